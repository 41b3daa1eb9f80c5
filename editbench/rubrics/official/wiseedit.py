"""WiseEdit: edits that need awareness, interpretation and imagination, in English and Chinese.

Source: beepkh/WiseEdit, `run_eval.py`, `statistic.py` and `Evaluation/`, commit 58cadba788b5.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import DIMENSION, Headline, Level
from editbench.rubrics.official.named_scores import read_scores
from editbench.rubrics.official.prompts import OfficialRubric, PromptFile, quote_lines
from editbench.rubrics.rubric import Question, Reading, Shown

SCALE = (1.0, 10.0)
PERCENT = (0.0, 100.0)
COMPLEX = "WiseEdit_Complex"
ASKED: Mapping[str, tuple[str, ...]] = {
    "Awareness": ("DP", "IF", "VQ", "KF"),
    "Interpretation": ("DP", "IF", "VQ", "KF"),
    "Imagination": ("DP", "IF", "VQ", "CF"),
    COMPLEX: ("DP", "IF", "VQ", "KF", "CF"),
}
"""By category: detail preserving, instruction following, visual quality, knowledge fidelity, creative fusion."""
BASIC = tuple(category for category in ASKED if category != COMPLEX)
PROMPTS = {
    "DP": "prompt_detail_preserving",
    "IF": "prompt_instruction_following",
    "VQ": "prompt_visual_quality",
    "KF": "prompt_knowledge_fidelity",
    "CF": "prompt_creative_fusion",
}
FOURTH = "KF or CF"
"""The fourth number of a basic category, under one name."""


@dataclass(frozen=True, kw_only=True)
class WiseEdit(OfficialRubric):
    """WiseEdit with four questions a pair, five in its complex part.

    Fields of the pair: `prompt`, the English instruction, which the judge sees also of an edit made from the Chinese
    one; `idx` and `subset`, which name the item in both languages; `hint`, beside references `reference`,
    `reference_2`, …: what a right edit shows. A number that is missing in one language, also of a missing edit, drops
    the item in both.
    """

    groups: ClassVar = {"": tuple(ASKED)}
    official: ClassVar = {
        "judge": "gpt-4o",
        "decoding": "the server's default temperature, at most 1,000 tokens",
        "size of pictures": "at most 512 pixels a side",
        "language": "all",
    }
    layout: ClassVar = {"edit": "{subset}/{language_cn}/{idx}.png"}
    prompt_files: ClassVar = (
        PromptFile(
            repository="https://github.com/beepkh/WiseEdit", path="Evaluation/prompt_single.py", sha256="0d12af1f0df4"
        ),
        PromptFile(
            repository="https://github.com/beepkh/WiseEdit", path="Evaluation/prompt_multi.py", sha256="6acb8fb8cdc3"
        ),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "wiseedit-1"

    @property
    def scale(self) -> tuple[float, float]:
        """0 to 100."""
        return PERCENT

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """The five metrics, each from 1 to 10."""
        return dict.fromkeys(PROMPTS, SCALE)

    @property
    def headlines(self) -> Sequence[Headline]:
        """0 to 100: the mean of three categories by language, the complex part, and each category by language."""
        metrics = Level(by=DIMENSION, digits=1)
        item = Headline(name="", scale=PERCENT, levels=(metrics,), together=_item)
        found: list[Headline] = []
        for language, suffix in (("en", "en"), ("zh", "cn")):
            basic = replace(
                item, values=("DP", "IF", "VQ", FOURTH), levels=(Level(by="category", needs=BASIC), metrics)
            )
            found.append(replace(basic, name=f"basic_overall_{suffix}", where=_of(BASIC, language)))
        complex_part = replace(item, values=ASKED[COMPLEX], levels=(Level(by="language", needs=("en", "zh")), metrics))
        found.append(replace(complex_part, name=f"{COMPLEX}_overall", where=_of((COMPLEX,))))
        for category, asked in ASKED.items():
            for language, suffix in (("en", "en"), ("zh", "cn")):
                name = f"{category}_overall_{suffix}"
                found.append(replace(item, name=name, values=asked, where=_of((category,), language)))
        return found

    def notes(self) -> Sequence[str]:
        """Which prompts are not the known ones, and which words are ours."""
        return [*super().notes(), "The sentence before the hint is ours; the official one stands in code."]

    def category(self, text: str) -> str:
        """The category of a subset: `Awareness` of `Awareness_1`."""
        return re.sub(r"_\d+$", "", text)

    def calls(self, pair: Pair) -> Sequence[Question]:
        """A question for each metric: text, sources, edit, then hint and references where the metric goes by them.

        Raises:
            UsageError: an unknown category, or no English instruction.
        """
        single, multiple = self.texts(0), self.texts(1)
        several = len(pair.sources) > 1
        edit = _shown("edit")
        instruction = pair.instruction if pair.language == "en" else pair.fields.get("prompt")
        if not isinstance(instruction, str) or not instruction.strip():
            raise UsageError(f"{pair.pair_id}: the field `prompt` with the English instruction is missing")
        sources: list[str | Shown] = []
        for place in range(len(pair.sources)):
            label = f"Input image #{place + 1}:" if several else "Input image:"
            sources += [label, _shown("source" if place == 0 else f"source_{place + 1}")]
        right: list[str | Shown] = []
        hint = pair.fields.get("hint")
        if isinstance(hint, str) and hint.strip():
            right.append(f"Hint: what a right edit of this pair shows. Score by it.\n{quote_lines(hint)}")
        for name in sorted(pair.references, key=_number):
            right += ["Reference image:", _shown(name)]
        found: list[Question] = []
        for metric in self._metrics(pair):
            if metric == "VQ":
                parts: tuple[str | Shown, ...] = (single.raw(PROMPTS[metric]), "Image:", edit)
            else:
                text = multiple.raw(f"{PROMPTS[metric]}_multi") if several else single.raw(f"{PROMPTS[metric]}_single")
                text = f"{text}\n\nEditing instruction: {quote_lines(instruction)}"
                parts = (text, *sources, "Edited image:", edit, *(right if metric in ("IF", "KF") else ()))
            found.append(Question(name=metric, parts=parts, gives=(metric,), max_new_tokens=1000))
        return found

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """A call for each metric of the category."""
        return {name: (name,) for name in self._metrics(pair)}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """JSON with `score`, or one key that ends in it, a whole number from 1 to 10."""
        low, high = SCALE
        found = read_scores(reply, ("score",), low=low, high=high, any_prefix=True)
        return found if found.numbers is None else replace(found, numbers={question.name: found.numbers["score"]})

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """Each number as a share of 100, and their mean."""
        asked = self._metrics(pair)
        numbers = {name: None if (x := readings.get(name)) is None else (x - 1) / 9 * 100 for name in asked}
        there = [number for number in numbers.values() if number is not None]
        complete = len(there) == len(asked)
        fourth = {} if len(asked) > 4 else {FOURTH: numbers.get("KF", numbers.get("CF"))}
        return {"value": sum(there) / len(asked) if complete else None, **numbers, **fourth}

    def values_without_edit(self, pair: Pair) -> Mapping[str, float | None]:
        """Nothing is there, so the item leaves both languages."""
        return self.values(pair, {})

    def _metrics(self, pair: Pair) -> tuple[str, ...]:
        category = self.category(pair.category)
        if category not in ASKED:
            raise UsageError(f"{pair.pair_id}: WiseEdit has no category {category!r}; there are {', '.join(ASKED)}")
        return ASKED[category]


def _shown(picture: str) -> Shown:
    return Shown(picture=picture, max_side=512, jpeg_quality=90)


def _number(name: str) -> tuple[int, str]:
    found = re.search(r"\d+$", name)
    return int(found[0]) if found else 1, name


def _item(pair: Pair) -> str:
    return pair.pair_id.removesuffix(f".{pair.language}")


def _of(categories: Sequence[str], language: str | None = None) -> Callable[[Pair], bool]:
    return lambda pair: pair.category in categories and language in (None, pair.language)
