"""Complex-Edit: one instruction of many parts, judged on what was done, what was kept and how good it looks.

Source: UCSC-VLAA/Complex-Edit, `eval.py` and `complex_edit/eval/`, commit 3502eaa9e81b.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.prompts import OfficialRubric, PromptFile, quote_lines
from editbench.rubrics.readers import Key, read_json
from editbench.rubrics.rubric import Question, Reading, Shown

SCALE = (0.0, 10.0)
SCORE = Key(low=0, high=10, whole=True, quoted=True)
KEYS = {"instruction_following": "IF", "identity_preservation": "IP", "perceptual_quality": "PQ"}
"""The keys of the reply, and the dimensions' names in the paper."""
ALIGNMENT = (
    'State your reasons before you score. Reply with one JSON object of three keys: "reasoning" holds your reasons as '
    'a text, "instruction_following" and "identity_preservation" each hold a whole number from 0 to 10.'
)
QUALITY = 'Reply with one JSON object whose only key, "perceptual_quality", holds a whole number from 0 to 10.'
"""Ours: the official code asks the server for this form and does not write it into the prompt."""
_REPOSITORY = "https://github.com/UCSC-VLAA/Complex-Edit"


@dataclass(frozen=True, kw_only=True)
class ComplexEdit(OfficialRubric):
    """Complex-Edit with its two questions; officially each is asked 20 times, here `--repeats 20`.

    A pair without an edit, or with a reply that cannot be read, has no value: the official code asks until it has one.
    """

    official: ClassVar = {
        "judge": "gpt-4o-2024-11-20",
        "decoding": "temperature 1.0, 20 samples, at most 512 tokens, structured output",
    }
    layout: ClassVar = {"edit": "{id}.png"}
    prompt_files: ClassVar = (
        PromptFile(repository=_REPOSITORY, path="complex_edit/eval/prompt_alignment.py", sha256="cecaf6122bcf"),
        PromptFile(repository=_REPOSITORY, path="complex_edit/eval/prompt_quality.py", sha256="9d4b6a31b3d2"),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "complexedit-1"

    @property
    def scale(self) -> tuple[float, float]:
        """0 to 10."""
        return SCALE

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """Instruction following, identity preservation, perceptual quality, each from 0 to 10."""
        return dict.fromkeys(KEYS.values(), SCALE)

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean over items of their mean of three, and of each of the three."""
        overall = Headline(name="overall", scale=SCALE)
        return (overall, *(replace(overall, name=name, values=(name,)) for name in KEYS.values()))

    def notes(self) -> Sequence[str]:
        """Which prompts are not the known ones, and what is ours."""
        return [*super().notes(), "The request for a JSON reply is in editbench's words."]

    def calls(self, pair: Pair) -> Sequence[Question]:
        """Alignment shows source and edit before the instruction, quality the edit alone."""
        alignment, quality = self.texts(0), self.texts(1)
        return (
            Question(
                name="alignment",
                system=f"{alignment.raw('ALIGNMENT_PROMPT_W_RUBRIC')}\n{ALIGNMENT}",
                parts=(
                    Shown(picture="source"),
                    Shown(picture="edit"),
                    alignment.formatted("PROMPT_TEMPLATE", fields={"instruction": quote_lines(pair.instruction)}),
                ),
                gives=("IF", "IP"),
                max_new_tokens=512,
            ),
            Question(
                name="quality",
                system=f"{quality.raw('PERCEPTUAL_QUALITY_PROMPT_W_RUBRIC_WO_INST')}\n{QUALITY}",
                parts=(Shown(picture="edit"),),
                gives=("PQ",),
                max_new_tokens=512,
            ),
        )

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The two calls."""
        return {"alignment": ("IF", "IP"), "quality": ("PQ",)}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """One JSON object with the question's keys, whole numbers from 0 to 10, as numbers or as text."""
        wanted = {key: SCORE for key, name in KEYS.items() if name in question.gives}
        reading = read_json(reply, wanted)
        if reading.numbers is None:
            return reading
        return replace(reading, numbers={KEYS[key]: number for key, number in reading.numbers.items()})

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The mean of the three, and the three of a complete pair."""
        found = {name: number for name in KEYS.values() if (number := readings.get(name)) is not None}
        if len(found) < len(KEYS):
            return {"value": None} | dict.fromkeys(KEYS.values())
        return {"value": math.fsum(found.values()) / len(found), **found}
