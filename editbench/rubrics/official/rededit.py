"""REDEdit-Bench: fifteen kinds of edit in Chinese and English.

Source: FireRedTeam/FireRed-Image-Edit, `rededit_bench/redbench_eval.py`, commit 456d010bd3f9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.prompts import PromptFile
from editbench.rubrics.official.three_lines import NAMES, SCALE, ThreeLines, category_mean
from editbench.rubrics.rubric import Question, Shown


@dataclass(frozen=True, kw_only=True)
class RedEdit(ThreeLines):
    """REDEdit-Bench with its one question; the judge sees the instruction in the language that the editor was given."""

    groups: ClassVar = {
        "": (
            "add",
            "adjust",
            "background",
            "beauty",
            "color",
            "compose",
            "extract",
            "lowlevel",
            "motion",
            "portrait",
            "remove",
            "replace",
            "stylize",
            "text",
            "viewpoint",
        )
    }
    official: ClassVar = {
        "judge": "gemini-3-flash-preview",
        "decoding": "temperature 0.1, top_p 0.95, at most 8,192 tokens",
        "size of pictures": "their own",
        "language": "zh",
    }
    layout: ClassVar = {"edit": "{category}/{category}-{number}.png"}
    counts: ClassVar = dict(
        zip(groups[""], (143, 156, 91, 79, 99, 100, 95, 47, 78, 102, 147, 140, 92, 123, 50), strict=True)
    )
    prompt_files: ClassVar = (
        PromptFile(
            repository="https://github.com/FireRedTeam/FireRed-Image-Edit",
            path="rededit_bench/prompts.json",
            sha256="957e3b89b344",
        ),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "rededit-1"

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean of the kinds that are there: of all pairs, and of each language."""
        final = category_mean("final_score")
        return (
            final,
            replace(final, name="final_score_cn", where=in_chinese),
            replace(final, name="final_score_en", where=in_english),
            Headline(name="item_mean", scale=SCALE),
        )

    def calls(self, pair: Pair) -> Sequence[Question]:
        """The source and the edit, each with its label after it, then the text."""
        labels = ("这是原图A", "这是编辑后的图B。请进行评估。")
        parts = (Shown(picture="source"), labels[0], Shown(picture="edit"), labels[1], self.prompt(pair))
        return [Question(name="edit", parts=parts, gives=NAMES, max_new_tokens=8192)]


def in_chinese(pair: Pair) -> bool:
    """Whether the editor was given the Chinese instruction."""
    return pair.language == "zh"


def in_english(pair: Pair) -> bool:
    """Whether the editor was given the English instruction."""
    return pair.language == "en"
