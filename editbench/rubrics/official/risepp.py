"""RISEBench++: RISEBench with several sources, several turns, counterfactual and hybrid items.

Source: PhoenixZ810/RISEBench, `RISEBench++/gemini_eval.py` and `utils.py`, commit 2902d8bad631.
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

LOGICAL, COUNTERFACTUAL, HYBRID = "logical_reasoning", "counterfactual_reasoning", "hybrid_reasoning"
CATEGORIES = ("temporal_reasoning", "causal_reasoning", "spatial_reasoning", LOGICAL, COUNTERFACTUAL)


@dataclass(frozen=True, kw_only=True)
class RisePP(FinalScore):
    """RISEBench++ with its three questions (logical items: two) and its accuracy.

    The pair's fields are the official columns; `reference_img` and `consistency_img` are the pair's pictures
    `reference` and `consistency`. An item with the mark `multi_turn` is hybrid; its own categories stand in the field
    `categories`, a list or joined by commas, else in the pair's category. A pair without an edit has the lowest scores
    and stays in every denominator; one whose reply cannot be read leaves the score and counts as 0 in the accuracy.
    """

    groups: ClassVar = {"": (*CATEGORIES, HYBRID)}
    official: ClassVar = {
        "judge": "gemini-3-flash-preview",
        "judge of quality": "gemini-3.1-flash-lite",
        "decoding": "the server's own",
        "size of pictures": "at most 768 pixels a side",
        "language": "en",
    }
    counts: ClassVar = dict(zip(groups[""], (200, 200, 200, 200, 100, 100), strict=True))
    layout: ClassVar = {"edit": "images/{category}/{index}.png"}
    prompt_files: ClassVar = (
        PromptFile(repository="https://github.com/PhoenixZ810/RISEBench", path="RISEBench++/utils.py"),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "risepp-1"

    @property
    def headlines(self) -> Sequence[Headline]:
        """The accuracy, the mean score in percent; the accuracy by category; the three kinds of score."""
        return (ACCURACY, replace(MEAN, name="score"), *self.by_category(ACCURACY), *self.means())

    def category(self, text: str) -> str:
        """Several categories joined are `hybrid_reasoning`."""
        return HYBRID if len(_split(text)) > 1 else text

    def routes(self, pair: Pair) -> dict[str, Route]:
        """The prompt and the pictures of each call.

        Raises:
            UsageError: a category is none of the five, or there are several without the mark `multi_turn`.
        """
        own = self._own_categories(pair)
        if unknown := [name for name in own if name not in CATEGORIES]:
            raise UsageError(
                f"{pair.pair_id}: RISEBench++ has no category {', '.join(unknown)}; there are {', '.join(CATEGORIES)}"
            )
        if len(own) > 1 and not _is_hybrid(pair):
            raise UsageError(f"{pair.pair_id}: several categories without the mark `multi_turn`")
        has_reference, with_input = "reference" in pair.references, is_given(pair.fields.get("reasoning_img"))
        kind = "general"
        if self._is_logical(pair):
            kind = "logical"
        elif not _is_hybrid(pair) and own == ("spatial_reasoning",):
            kind = "spatial"
        if has_reference and (_is_hybrid(pair) or own != (COUNTERFACTUAL,)):
            reasoning = Route(prompt=f"prompt_{kind}_ref_img", pictures=("reference", "edit"))
        elif with_input:
            reasoning = Route(prompt=f"prompt_{kind}_ref_txt_w_input", pictures=("source", "edit"))
        else:
            reasoning = Route(prompt=f"prompt_{kind}_ref_txt", pictures=("edit",))
        compared = ("consistency" if "consistency" in pair.references else "source", "edit")
        answered = "_ans" if kind == "logical" and not has_reference else ""
        judged = "counterfactual" if COUNTERFACTUAL in own else kind
        every = {
            CONSISTENCY: Route(prompt=f"prompt_{kind}_cons{answered}", pictures=compared),
            REASONING: reasoning,
            QUALITY: Route(prompt=f"prompt_{judged}_qual", pictures=compared, raw=True),
        }
        return {name: every[name] for name in self._names(pair)}

    def calls(self, pair: Pair) -> Sequence[Question]:
        """As `routes` says; the instruction (of several turns: numbered lines) and the reference are filled in."""
        routes = self.routes(pair)
        fields = {"instruct": quote_lines(pair.instruction)}
        if not routes[REASONING].prompt.endswith("_ref_img"):
            chinese = pair.language == "zh" and is_given(pair.fields.get("reference_txt_chinese"))
            fields["reference"] = text_field(pair, "reference_txt_chinese" if chinese else "reference_txt")
        return self.questions(routes, fields)

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The calls of the pair's kind of item."""
        return {name: (name,) for name in self._names(pair)}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """`Final Score: N`, 1 to 5; of a logical item 0 or 1, which become 1 and 5."""
        return self.final_score(question, reply, binary=self._is_logical(pair))

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The weighted score, whether all asked scores are 5, and the three scores of a complete pair."""
        asked = self._names(pair)
        scores = scores_of(asked, readings)
        complete = scores is not None and all(number == 5 for number in scores.values())
        score = None
        if scores is not None:
            if self._is_logical(pair):
                weights = {CONSISTENCY: 0.3, REASONING: 0.7}
            elif CONSISTENCY not in asked:
                weights = {REASONING: 0.8, QUALITY: 0.2}
            else:
                weights = {CONSISTENCY: 0.3, REASONING: 0.5, QUALITY: 0.2}
            score = halved(sum(weight * scores[name] for name, weight in weights.items()), scores[REASONING])
        return {"value": score, "complete": float(complete), **named(scores)}

    def values_without_edit(self, pair: Pair) -> Mapping[str, float | None]:
        """The lowest scores, as the official code counts a missing picture."""
        return self.values(pair, dict.fromkeys(self._names(pair), 1.0))

    def _own_categories(self, pair: Pair) -> tuple[str, ...]:
        listed = pair.fields.get("categories")
        return tuple(map(str, listed)) if isinstance(listed, list | tuple) else _split(listed or pair.category)

    def _is_logical(self, pair: Pair) -> bool:
        own = self._own_categories(pair)
        return LOGICAL in own if _is_hybrid(pair) else own == (LOGICAL,)

    def _names(self, pair: Pair) -> list[str]:
        free = is_given(pair.fields.get("consistency_free"))
        return [*([] if free else [CONSISTENCY]), REASONING, *([] if self._is_logical(pair) else [QUALITY])]


def _is_hybrid(pair: Pair) -> bool:
    return is_given(pair.fields.get("multi_turn"))


def _split(category: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in category.split(","))
