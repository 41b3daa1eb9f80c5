"""KRIS-Bench: edits that need knowledge of facts, concepts and procedures.

Source: mercurystraw/Kris_Bench, `metrics_*.py`, commits 2114fec9, 7f7a944b, 9502ee30 and bcdbaf1c; the flat formula:
ByteDance-Seed/Bagel, `eval/gen/kris/summarize.py`, commit 056b5fd51a88.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import ClassVar

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.named_scores import read_scores
from editbench.rubrics.official.prompts import OfficialRubric, PromptFile, quote_lines
from editbench.rubrics.rubric import Question, Reading, Shown

SCALE = (1.0, 5.0)
TREE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Factual Knowledge": {
        "Attribute Perception": (
            "count_change",
            "color_change",
            "size_adjustment",
            "part_completion",
            "anomaly_correction",
        ),
        "Spatial Perception": ("position_movement", "viewpoint_change"),
        "Temporal Prediction": ("temporal_prediction",),
    },
    "Conceptual Knowledge": {
        "Social Science": ("practical_knowledge", "humanities"),
        "Natural Science": ("biology", "chemistry", "geography", "mathematics", "medicine", "physics"),
    },
    "Procedural Knowledge": {
        "Logical Reasoning": ("abstract_reasoning", "rule-based_reasoning"),
        "Instruction Decomposition": ("multi-instruction_execution", "multi-element_composition"),
    },
}
COUNTS: Mapping[str, int] = {
    **dict.fromkeys(("count_change", "color_change", "size_adjustment", "part_completion"), 50),
    **dict.fromkeys(("position_movement", "viewpoint_change"), 50),
    **dict.fromkeys(("practical_knowledge", "mathematics", "medicine"), 50),
    **dict.fromkeys(("anomaly_correction", "humanities", "chemistry", "geography", "physics"), 75),
    **dict.fromkeys(("abstract_reasoning", "rule-based_reasoning"), 75),
    **dict.fromkeys(("multi-instruction_execution", "multi-element_composition"), 75),
    **{"biology": 68, "temporal_prediction": 74},
}
KNOWLEDGE = frozenset(
    (*TREE["Conceptual Knowledge"]["Social Science"], *TREE["Conceptual Knowledge"]["Natural Science"])
    + TREE["Procedural Knowledge"]["Logical Reasoning"]
)
"""Categories whose edits are also asked for their knowledge."""
DIMENSIONS = {"consistency_score": "VC", "instruction_score": "IF", "knowledge_score": "KP", "quality_score": "VQ"}
"""By key of a reply: visual consistency, instruction following, knowledge plausibility, visual quality."""
FRAMES = (1, 2, 3, 4)
PERCENT = Headline(name="", scale=(0.0, 100.0), offset=-1.0, factor=25.0)
_FRAME = re.compile(r"\d+-(\d+)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Kris(OfficialRubric):
    """KRIS-Bench with three questions a pair, and both formulas in print: `flat` and `item_mean`.

    The pair's rationale is the official explanation (`explain_en`), its reference the ground truth (`gt_img`); the
    frames of `temporal_prediction` are numbered by their file names. A pair without an edit is left out.
    """

    as_shipped: bool = True
    """As the official code asks. False: `anomaly_correction` is asked by the prompt made for it, with the explanation,
    which the official code never uses since it looks for another name; the headlines then have names of their own."""

    groups: ClassVar = {dimension: categories for tree in TREE.values() for dimension, categories in tree.items()}
    official: ClassVar = {
        "judge": "gpt-4o",
        "decoding": "the server's default temperature, at most 1,000 tokens",
        "size of pictures": "their own",
    }
    layout: ClassVar = {"edit": "{category}/{__key__}.jpg"}
    counts: ClassVar = COUNTS
    prompt_files: ClassVar = (
        PromptFile(repository="https://github.com/mercurystraw/Kris_Bench", path="utils/prompts.py"),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "kris-1"

    @property
    def scale(self) -> tuple[float, float]:
        """1 to 5."""
        return SCALE

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """The four scores, each from 1 to 5."""
        return dict.fromkeys(DIMENSIONS.values(), SCALE)

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean over all scores (`flat`) and over the pairs' means (`item_mean`), 0 to 100, also by group; the
        dimensions, as the paper prints them, by the latter.
        """
        item_mean = replace(PERCENT, name="item_mean")
        both = (replace(PERCENT, name="flat", values=tuple(DIMENSIONS.values())), item_mean)
        found = list(both)
        for group, tree in TREE.items():
            of_group = _in(category for categories in tree.values() for category in categories)
            found += [replace(one, name=f"{one.name}: {group}", where=of_group) for one in both]
        found += [replace(item_mean, name=name, where=_in(categories)) for name, categories in self.groups.items()]
        return found if self.as_shipped else [replace(one, name=f"{one.name}_corrected") for one in found]

    def notes(self) -> Sequence[str]:
        """Which prompts are not the known ones, and which question `anomaly_correction` gets."""
        said = "the general prompt, as the official code does" if self.as_shipped else "the prompt made for it"
        return [*super().notes(), f"anomaly_correction is asked by {said}."]

    def calls(self, pair: Pair) -> Sequence[Question]:
        """Consistency, instruction (or dual, with knowledge) and quality; the text comes first, then labels.

        Raises:
            UsageError: an unknown category, a viewpoint without reference, frames without numbers.
        """
        if pair.category not in {category for categories in self.groups.values() for category in categories}:
            raise UsageError(f"{pair.pair_id}: KRIS-Bench has no category {pair.category!r}")
        judged = ("This is the edited image:", Shown(picture="edit"))
        alone = judged
        consistency, instruction = "prompt_consist", "prompt_instruction_following"
        shown: tuple[str | Shown, ...] = ("This is the original image:", Shown(picture="source"), *judged)
        instruction_shown = shown
        fields = {"instruct": quote_lines(pair.instruction), "explanation": quote_lines(pair.rationale or "")}
        match pair.category:
            case "temporal_prediction":
                consistency, instruction = "prompt_consist_temporal", "prompt_instruction_temporal"
                number, shown = self._frames(pair)
                fields["N"] = str(number)
                instruction_shown = shown
                alone = ("This is the image to evaluate:", Shown(picture="edit", jpeg_quality=85))
            case "multi-element_composition":
                consistency, instruction = "prompt_consist_multi", "prompt_instruction_multi"
                shown = (*self._elements(pair), "Predicted Image:", Shown(picture="edit"))
                instruction_shown = shown
                alone = ("This is the image to evaluate:", Shown(picture="edit"))
            case "viewpoint_change":
                if "reference" not in pair.references:
                    raise UsageError(f"{pair.pair_id}: viewpoint_change needs a picture `reference` (gt_img)")
                instruction = "prompt_view_instruction_following"
                instruction_shown = (*shown, "This is the ground truth image:", Shown(picture="reference"))
            case "anomaly_correction" if not self.as_shipped:
                instruction = "prompt_abnormal_instruction_following"
            case category if category in KNOWLEDGE:
                instruction = "prompt_dual_evaluation"
            case _:
                pass
        prompts = self.texts()
        texts = (
            prompts.formatted(consistency, fields=fields),
            prompts.formatted(instruction, fields=fields),
            prompts.raw("prompt_quality"),
        )
        return [
            Question(name=name, parts=(text, *pictures), gives=gives, max_new_tokens=1000)
            for (name, gives), text, pictures in zip(
                self.asked(pair).items(), texts, (shown, instruction_shown, alone), strict=True
            )
        ]

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The three calls; `dual` in place of `instruction` where knowledge is asked for."""
        second = {"dual": ("IF", "KP")} if pair.category in KNOWLEDGE else {"instruction": ("IF",)}
        return {"consistency": ("VC",), **second, "quality": ("VQ",)}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """JSON with a whole number from 1 to 5 under each key; a dual reply may give one and lack the other."""
        low, high = SCALE
        names = [name for name, dimension in DIMENSIONS.items() if dimension in question.gives]
        found = read_scores(reply, names, low=low, high=high)
        if found.numbers is None:
            return found
        return replace(found, numbers={DIMENSIONS[name]: number for name, number in found.numbers.items()})

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The mean of the pair's three scores, or four with knowledge; and each score that is there, for `flat`."""
        asked = [name for gives in self.asked(pair).values() for name in gives]
        scores = {name: readings.get(name) for name in asked}
        numbers = [number for number in scores.values() if number is not None]
        return {"value": sum(numbers) / len(asked) if len(numbers) == len(asked) else None, **scores}

    def _elements(self, pair: Pair) -> Sequence[str | Shown]:
        return [
            part for place in range(len(pair.sources)) for part in (f"Reference Image {place + 1}:", _source(place))
        ]

    def _frames(self, pair: Pair) -> tuple[int, tuple[str | Shown, ...]]:
        """The number of the frame to make, and all frames in their order with it among them."""
        numbers: list[int] = []
        for source in pair.sources:
            found = _FRAME.search(PurePosixPath(source.path or "").name)
            if found is None:
                raise UsageError(
                    f"{pair.pair_id}: frames need names such as 12-3.jpg, with their number; there is {source.path}"
                )
            numbers.append(int(found[1]))
        missing = [number for number in FRAMES if number not in numbers]
        made = missing[0] if len(missing) == 1 else max(numbers) + 1
        frames = [
            (number, f"Frame {number} (Reference):", replace(_source(place), jpeg_quality=85))
            for place, number in enumerate(numbers)
        ]
        frames.append((made, f"Frame {made} (Generated):", Shown(picture="edit", jpeg_quality=85)))
        frames.sort(key=lambda frame: frame[0])
        return made, tuple(part for _, label, picture in frames for part in (label, picture))


def _source(place: int) -> Shown:
    return Shown(picture="source" if place == 0 else f"source_{place + 1}")


def _in(categories: Iterable[str]) -> Callable[[Pair], bool]:
    wanted = frozenset(categories)
    return lambda pair: pair.category in wanted
