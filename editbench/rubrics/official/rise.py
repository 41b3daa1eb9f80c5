"""RISEBench: does an edit show what follows in time, by cause, in space or by logic from its instruction?

Source: PhoenixZ810/RISEBench, `gpt_eval.py` and `utils.py`, commit 5f226519b25c.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.final_score import (
    ACCURACY,
    CONSISTENCY,
    MEAN,
    QUALITY,
    REASONING,
    FinalScore,
    Route,
    halved,
    is_given,
    named,
    scores_of,
    text_field,
)
from editbench.rubrics.official.prompts import PromptFile, quote_lines
from editbench.rubrics.rubric import Question, Reading

TEMPORAL, CAUSAL, SPATIAL, LOGICAL = (f"{name}_reasoning" for name in ("temporal", "causal", "spatial", "logical"))


@dataclass(frozen=True, kw_only=True)
class Rise(FinalScore):
    """RISEBench with its three questions (logical items: two) and its accuracy.

    The pair's fields are the official columns; the text `reference` may be the pair's rationale, and `reference_img` is
    its picture `reference`. A column that the table has and the item does not must be there as None: the official code
    behaves differently once it exists.
    A pair without an edit, or with a reply that cannot be read, leaves the score and counts as 0 in the accuracy.
    """

    as_shipped: bool = True
    """As the official code asks and weighs, faults included. False: the consistency question always compares with the
    source, `reasoning_wo_ins` and `consistency_free` go by the item's value and not by the column's existence; the
    headlines then have names of their own."""

    groups: ClassVar = {"": (TEMPORAL, CAUSAL, SPATIAL, LOGICAL)}
    official: ClassVar = {
        "judge": "gpt-4.1-2025-04-14",
        "decoding": "temperature 0, at most 4,096 tokens",
        "size of pictures": "at most 768 pixels a side",
    }
    counts: ClassVar = {TEMPORAL: 85, CAUSAL: 90, SPATIAL: 100, LOGICAL: 85}
    layout: ClassVar = {"edit": "images/{category}/{index}.png"}
    prompt_files: ClassVar = (
        PromptFile(
            repository="https://github.com/PhoenixZ810/RISEBench", path="RISEBench/utils.py", sha256="c8a693294768"
        ),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "rise-1"

    @property
    def headlines(self) -> Sequence[Headline]:
        """Accuracy in print and by code before April 2026, the score; accuracy by category; three means."""
        if self.as_shipped:
            before = replace(ACCURACY, name="accuracy_before_2026_04", values=("complete_before_2026_04",))
            return (ACCURACY, before, replace(MEAN, name="score"), *self.by_category(ACCURACY), *self.means())
        accuracy = replace(ACCURACY, name="accuracy_corrected")
        means = [replace(one, name=f"{one.name}_corrected") for one in (replace(MEAN, name="score"), *self.means())]
        return (accuracy, means[0], *self.by_category(accuracy), *means[1:])

    def notes(self) -> Sequence[str]:
        """Which prompts are not the known ones, and which routes are taken."""
        return [
            *super().notes(),
            "Questions and weights are as the official code ships them, faults included."
            if self.as_shipped
            else "Questions and weights are corrected, so the numbers are not those in print.",
        ]

    def routes(self, pair: Pair) -> dict[str, Route]:
        """The prompt and the pictures of each call.

        Raises:
            UsageError: the category is none of the four, or a logical item has no reference.
        """
        compared = "source"
        with_input = "_w_input" if self._given(pair, "reasoning_img") else ""
        looks = ("source", "edit") if with_input else ("edit",)
        has_reference = "reference" in pair.references
        match pair.category:
            case "temporal_reasoning" | "causal_reasoning":
                consistency, quality = "prompt_consist", "prompt_generation"
                reasoning = Route(prompt=f"prompt_reasoning{with_input}", pictures=looks)
            case "spatial_reasoning":
                consistency, quality = "prompt_spatial_cons", "prompt_spatial_qual"
                reasoning = Route(prompt=f"prompt_spatial_ref{with_input}", pictures=looks)
                if has_reference:
                    compared = "reference" if self.as_shipped else "source"
                    reasoning = Route(prompt="prompt_spatial_ref_img", pictures=("reference", "edit"))
            case "logical_reasoning":
                quality = ""
                if self._given(pair, "reference_txt"):
                    consistency = "prompt_logical_cons_ans"
                    reasoning = Route(prompt="prompt_logical_txt", pictures=("edit",))
                elif has_reference:
                    compared = "reference" if self.as_shipped else "source"
                    consistency = "prompt_logical_cons"
                    alone = (
                        "reasoning_wo_ins" in pair.fields if self.as_shipped else self._given(pair, "reasoning_wo_ins")
                    )
                    reasoning = Route(
                        prompt="prompt_logical_img_wo_q" if alone else "prompt_logical_img",
                        pictures=("reference", "edit"),
                        raw=alone,
                    )
                else:
                    raise UsageError(f"{pair.pair_id}: a logical item needs `reference_txt` or a picture `reference`")
            case other:
                there = ", ".join(self.groups[""])
                raise UsageError(f"{pair.pair_id}: RISEBench has no category {other!r}; there are {there}")
        every = {
            CONSISTENCY: Route(prompt=consistency, pictures=(compared, "edit")),
            REASONING: reasoning,
            QUALITY: Route(prompt=quality, pictures=("edit",), raw=True),
        }
        return {name: every[name] for name in self._names(pair)}

    def calls(self, pair: Pair) -> Sequence[Question]:
        """As `routes` says; the instruction and the reference are filled in."""
        routes = self.routes(pair)
        fields = {"instruct": quote_lines(pair.instruction)}
        if _is_logical(pair):
            if self._given(pair, "reference_txt"):
                fields["reference"] = text_field(pair, "reference_txt")
        elif pair.rationale is not None:
            fields["reference"] = quote_lines(pair.rationale)
        elif "reference" not in pair.references:
            fields["reference"] = text_field(pair, "reference")
        return self.questions(routes, fields)

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The calls of the pair's kind of item."""
        return {name: (name,) for name in self._names(pair)}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """`Final Score: N`, 1 to 5; of a logical item 0 or 1, which become 1 and 5."""
        return self.final_score(question, reply, binary=_is_logical(pair))

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The weighted score, whether all asked scores are 5, and the three scores of a complete pair."""
        scores = scores_of(self._names(pair), readings)
        complete = float(scores is not None and all(number == 5 for number in scores.values()))
        free = self._given(pair, "consistency_free")
        return {
            "value": None if scores is None else self._score(pair, scores),
            "complete": complete,
            "complete_before_2026_04": 0.0 if free else complete,
            **named(scores),
        }

    def values_without_edit(self, pair: Pair) -> Mapping[str, float | None]:
        """The official code stops at a missing edit; here it counts as a failed call does."""
        return {"value": None, "complete": 0.0, "complete_before_2026_04": 0.0}

    def _names(self, pair: Pair) -> list[str]:
        free, logical = self._given(pair, "consistency_free"), _is_logical(pair)
        return [*([] if free else [CONSISTENCY]), REASONING, *([] if logical else [QUALITY])]

    def _score(self, pair: Pair, scores: Mapping[str, float]) -> float | None:
        reasoning, consistency = scores[REASONING], scores.get(CONSISTENCY)
        if _is_logical(pair):
            score = None if consistency is None else 0.3 * consistency + 0.7 * reasoning
        elif self._weighed_free(pair):
            score = 0.8 * reasoning + 0.2 * scores[QUALITY]
        else:
            score = None if consistency is None else 0.3 * consistency + 0.5 * reasoning + 0.2 * scores[QUALITY]
        return None if score is None else halved(score, reasoning)

    def _weighed_free(self, pair: Pair) -> bool:
        """Shipped, the code tests a column's truth, and the NaN of an item without the mark is true."""
        value = pair.fields.get("consistency_free")
        if self.as_shipped and not is_given(value):
            return "consistency_free" in pair.fields
        return is_given(value) and bool(value)

    def _given(self, pair: Pair, name: str) -> bool:
        value = pair.fields.get(name)
        return is_given(value) and (self.as_shipped or bool(value))


def _is_logical(pair: Pair) -> bool:
    return pair.category == LOGICAL
