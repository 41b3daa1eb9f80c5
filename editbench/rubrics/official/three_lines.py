"""What ImgEdit and REDEdit-Bench share: one call whose reply ends in three lines `Name: N`, 1 to 5."""

from collections.abc import Mapping
from dataclasses import replace

from editbench.records import Pair
from editbench.rubrics.headlines import Headline, Level
from editbench.rubrics.official.prompts import OfficialRubric, quote_lines
from editbench.rubrics.readers import read_lines
from editbench.rubrics.rubric import Question, Reading

SCALE = (1.0, 5.0)
NAMES = ("edit_1", "edit_2", "edit_3")
"""The three numbers in order: whether the instruction was followed comes first; the other two differ by category."""


class ThreeLines(OfficialRubric):
    """The common half: the prompt by category, the reading, the rounded means.

    A pair's value is the mean of its three numbers, rounded to two decimals, and the headline the mean of the
    categories' means, each rounded to two decimals. A pair without an edit is left out.
    """

    @property
    def scale(self) -> tuple[float, float]:
        """1 to 5."""
        return SCALE

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """The three numbers, each from 1 to 5."""
        return dict.fromkeys(NAMES, SCALE)

    def prompt(self, pair: Pair) -> str:
        """The category's text with the instruction filled in."""
        return self.texts().replaced(pair.category, placeholder="<edit_prompt>", by=quote_lines(pair.instruction))

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The one call."""
        return {"edit": NAMES}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """Three lines `Name: N` with any names and nothing after the number; `Brief reasoning: 7` is no score."""
        low, high = SCALE
        reading = read_lines(
            reply,
            NAMES,
            low=low,
            high=high,
            labelled=False,
            whole=True,
            ignore=("brief reasoning", "reasoning"),
            wide_colon=False,
        )
        if reading.numbers is None or max(reading.numbers.values()) <= reading.numbers[NAMES[0]]:
            return reading
        note = "a score exceeds the first, which the prompt forbids and the official code lets pass"
        return replace(reading, notes=(*reading.notes, note))

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The rounded mean of the three numbers."""
        numbers = [number for name in NAMES if (number := readings.get(name)) is not None]
        return {"value": round(sum(numbers) / len(NAMES), 2) if len(numbers) == len(NAMES) else None}


def category_mean(name: str) -> Headline:
    """The mean of the rounded means of the categories that are there."""
    return Headline(name=name, scale=SCALE, levels=(Level(by="category", digits=2),))
