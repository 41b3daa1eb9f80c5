"""ImgEdit-Bench, its basic set: nine kinds of edit in a single turn.

Source: PKU-YuanGroup/ImgEdit, `Benchmark/Basic/`, commit 547185d12c08.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.prompts import PromptFile
from editbench.rubrics.official.three_lines import NAMES, SCALE, ThreeLines, category_mean
from editbench.rubrics.rubric import Question, Shown


@dataclass(frozen=True, kw_only=True)
class ImgEdit(ThreeLines):
    """ImgEdit-Bench with its one question; papers call `compose` Hybrid and print the mean of the nine kinds."""

    groups: ClassVar = {
        "": ("add", "adjust", "extract", "replace", "remove", "background", "style", "compose", "action")
    }
    official: ClassVar = {
        "judge": "gpt-4.1",
        "decoding": "the server's defaults",
        "size of pictures": "their own",
    }
    layout: ClassVar = {"edit": "{id}.png"}
    counts: ClassVar = dict(zip(groups[""], (95, 94, 117, 92, 86, 94, 100, 23, 36), strict=True))
    prompt_files: ClassVar = (
        PromptFile(
            repository="https://github.com/PKU-YuanGroup/ImgEdit",
            path="Benchmark/Basic/prompts.json",
            sha256="f9468dc84877",
        ),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "imgedit-1"

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean of the kinds that are there, which papers print, and the mean over all pairs."""
        return (category_mean("overall"), Headline(name="item_mean", scale=SCALE))

    def calls(self, pair: Pair) -> Sequence[Question]:
        """The text, the source, the edit."""
        parts = (self.prompt(pair), Shown(picture="source"), Shown(picture="edit"))
        return [Question(name="edit", parts=parts, gives=NAMES, max_new_tokens=2048)]
