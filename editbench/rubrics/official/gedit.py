"""GEdit-Bench: how well an everyday edit follows its instruction, in English and Chinese.

Source: stepfun-ai/Step1X-Edit, `GEdit-Bench/test_gedit_score.py`, `viescore/` and `calculate_statistics.py`, commit
570eba6ebda0.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from editbench.records import Pair
from editbench.rubrics.headlines import Headline, Level
from editbench.rubrics.official.prompts import OfficialRubric, PromptFile, quote_lines
from editbench.rubrics.readers import Key, read_json, set_aside
from editbench.rubrics.rubric import Question, Reading, Shown

CATEGORIES = (
    "background_change",
    "color_alter",
    "material_alter",
    "motion_change",
    "ps_human",
    "style_change",
    "subject-add",
    "subject-remove",
    "subject-replace",
    "text_change",
    "tone_transfer",
)
SCALE = (0.0, 10.0)
DELIMITER = "||V^=^V||"
FAILED_CALL = "rate_limit_exceeded"
"""What the official code takes for a call that did not come about."""
_BARE = re.compile(r"-?\d+|\[\s*-?\d+\s*(?:,\s*-?\d+\s*)*\]", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class GEdit(OfficialRubric):
    """GEdit-Bench with its two questions: whether the edit follows (SC), and whether it looks natural (PQ).

    Each question asks for two numbers from 0 to 10 and counts the lower one. A pair's value is O, the square root of
    SC times PQ. The field `Intersection_exist` is the official column. A pair without an edit is left out.
    """

    groups: ClassVar = {"": CATEGORIES}
    official: ClassVar = {
        "judge": "gpt-4.1",
        "decoding": "the server's default temperature, at most 1,400 tokens",
        "size of pictures": "that of the source, also of the edit",
        "language": "all",
    }
    layout: ClassVar = {
        "edit": "{category}/{instruction_language}/{key}.png",
        "source": "{category}/{instruction_language}/{key}_SRCIMG.png",
    }
    counts: ClassVar = dict(zip(CATEGORIES, (40, 40, 40, 40, 70, 60, 60, 57, 60, 99, 40), strict=True))
    prompt_files: ClassVar = (
        PromptFile(
            repository="https://github.com/stepfun-ai/Step1X-Edit",
            path="GEdit-Bench/viescore/vie_prompts.py",
            sha256="010234af186e",
        ),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "gedit-1"

    @property
    def scale(self) -> tuple[float, float]:
        """0 to 10."""
        return SCALE

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """SC and PQ, 0 to 10."""
        return {"SC": SCALE, "PQ": SCALE}

    @property
    def headlines(self) -> Sequence[Headline]:
        """Means of the eleven categories' means, by language; none where a category has no score.

        Those that end in `_intersection` are over the pairs that every compared model of the paper could edit.
        """
        return [
            _headline(value, language, intersection=intersection)
            for intersection in (False, True)
            for language in ("en", "zh")
            for value in ("O", "SC", "PQ")
        ]

    def calls(self, pair: Pair) -> Sequence[Question]:
        """SC with source and edit, PQ with the edit; the text comes first."""
        prompts = self.texts()
        source = Shown(picture="source", jpeg_quality=75)
        edit = Shown(picture="edit", size_of="source", jpeg_quality=75)
        follows = prompts.replaced(
            "_context_no_delimit",
            "_prompts_0shot_two_image_edit_rule",
            "_prompts_0shot_tie_rule_SC",
            placeholder="<instruction>",
            by=quote_lines(pair.instruction),
        )
        natural = prompts.raw("_context_no_delimit", "_prompts_0shot_rule_PQ")
        return [
            Question(name="SC", parts=(follows, source, edit), gives=("SC",), max_new_tokens=1400),
            Question(name="PQ", parts=(natural, edit), gives=("PQ",), max_new_tokens=1400),
        ]

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The two calls."""
        return {"SC": ("SC",), "PQ": ("PQ",)}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """JSON with `score`, two numbers from 0 to 10 or one; also between two `||V^=^V||`, or bare whole numbers."""
        text, notes = set_aside(reply)
        if text.count(DELIMITER) == 2:
            text = text.split(DELIMITER)[1].strip()
        if text == FAILED_CALL:
            return Reading(failure="error", detail="the reply is what the official code takes for a failed call")
        if _BARE.fullmatch(text):
            text = f'{{"score": {text}}}'
        low, high = SCALE
        # a single number counts as a list of one
        tried = [read_json(text, {"score": Key(low=low, high=high, count=count)}) for count in (2, 1, None)]
        found = next((reading for reading in tried if reading.failure != "unreadable"), tried[0])
        (name,) = question.gives
        numbers = None if found.numbers is None else {name: min(found.numbers.values())}
        asked = "two numbers from 0 to 10 were asked for"
        detail = f"{asked}; {found.detail}" if found.failure == "unreadable" else found.detail
        return Reading(numbers=numbers, failure=found.failure, detail=detail, notes=notes + found.notes)

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """O, which is also the value, SC and PQ."""
        follows, natural = readings.get("SC"), readings.get("PQ")
        overall = None if follows is None or natural is None else sqrt(follows * natural)
        complete = overall is not None
        return {
            "value": overall,
            "O": overall,
            "SC": follows if complete else None,
            "PQ": natural if complete else None,
        }


def _headline(value: str, language: str, *, intersection: bool) -> Headline:
    name = f"G_{value}" + ("_cn" if language == "zh" else "") + ("_intersection" if intersection else "")
    return Headline(
        name=name,
        scale=SCALE,
        values=(value,),
        levels=(Level(by="category", needs=CATEGORIES),),
        where=lambda pair: pair.language == language and (not intersection or _is_true(pair)),
    )


def _is_true(pair: Pair) -> bool:
    return str(pair.fields.get("Intersection_exist")).strip().lower() in ("true", "1", "1.0")
