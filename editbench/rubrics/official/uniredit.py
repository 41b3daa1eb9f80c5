"""UniREditBench: reasoning edits of the real world and of game worlds, judged beside a right edit.

Source: Maplebb/UniREditBench, `eval/gpt_eval_uniredit.py` and `eval/utils.py`, commit a7015c5c2d17.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.final_score import (
    CONSISTENCY,
    MEAN,
    QUALITY,
    REASONING,
    FinalScore,
    Route,
    is_given,
    named,
    scores_of,
)
from editbench.rubrics.official.prompts import PromptFile, quote_lines
from editbench.rubrics.rubric import Question, Reading

ROUTES = {
    CONSISTENCY: Route(prompt="prompt_consist", pictures=("source", "edit")),
    REASONING: Route(prompt="prompt_reasoning_w_ref_image", pictures=("source", "reference", "edit")),
    QUALITY: Route(prompt="prompt_generation", pictures=("edit",), raw=True),
}


@dataclass(frozen=True, kw_only=True)
class UniREdit(FinalScore):
    """UniREditBench with its three questions.

    The pair's category is the official `name`; its fields `rules` (of games) and `reference_effect` enter the questions
    and `reference_image_path` is the pair's picture `reference`. A pair without an edit, or with a reply that cannot be
    read, leaves both means.
    """

    official: ClassVar = {
        "judge": "gpt-4.1-2025-04-14",
        "decoding": "temperature 0, at most 4,096 tokens",
        "size of pictures": "at most 768 pixels a side",
    }
    layout: ClassVar = {"edit": "{name}/{idx}.png"}
    prompt_files: ClassVar = (
        PromptFile(repository="https://github.com/Maplebb/UniREditBench", path="eval/utils.py", sha256="2823400b1cc0"),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "uniredit-1"

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean score in percent, the share of perfect items, and the three means beside them."""
        accuracy = Headline(name="accuracy", scale=(0.0, 1.0), values=("complete",))
        return (replace(MEAN, name="overall"), accuracy, *self.means())

    def calls(self, pair: Pair) -> Sequence[Question]:
        """Three questions; a game's rules stand on the lines before the instruction."""
        if "reference" not in pair.references:
            raise UsageError(f"{pair.pair_id}: there is no picture `reference`, and its question shows it")
        rules, effect = pair.fields.get("rules"), pair.fields.get("reference_effect")
        instruction = quote_lines(pair.instruction)
        if isinstance(rules, str) and rules:
            instruction = f"{quote_lines(rules)}\n{instruction}"
        reference = quote_lines(str(effect)) if is_given(effect) else ""
        return self.questions(ROUTES, {"instruct": instruction, "reference": reference})

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The three calls."""
        return {name: (name,) for name in ROUTES}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """`Final Score: N`, 1 to 5."""
        return self.final_score(question, reply)

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The weighted score, whether all three scores are 5, and the three scores of a complete pair."""
        scores = scores_of(ROUTES, readings)
        if scores is None:
            return {"value": None, "complete": None, **named(None)}
        return {
            "value": 0.3 * scores[CONSISTENCY] + 0.5 * scores[REASONING] + 0.2 * scores[QUALITY],
            "complete": float(all(number == 5 for number in scores.values())),
            **named(scores),
        }
