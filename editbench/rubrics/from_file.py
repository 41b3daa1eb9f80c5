"""A rubric that is a YAML file: the questions and numbers that come of it; `file/` reads it."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from editbench.records import Pair
from editbench.rubrics.file.formula import apply, part_weights
from editbench.rubrics.file.reader import read_spec
from editbench.rubrics.file.spec import Call, Spec
from editbench.rubrics.file.values import Defects
from editbench.rubrics.headlines import Headline
from editbench.rubrics.readers import read_json, read_lines, read_marker, read_number
from editbench.rubrics.rubric import Question, Reading, Rubric, Shown
from editbench.rubrics.template import FIELD, PAIR_FIELDS, fill

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class FromFile(Rubric):
    """A rubric from a YAML file: calls with their texts and replies, a formula, headlines; see `rubrics/README.md`."""

    file: str
    """The YAML file; the text files that it names start from its folder."""

    neutral: ClassVar[frozenset[str]] = frozenset({"file"})  # `files` has what decides

    @property
    def version(self) -> str:
        """As the file says."""
        return self._spec.version

    @property
    def scale(self) -> tuple[float, float]:
        """As the file says; by default the range of all its numbers."""
        return self._spec.scale

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """One for each number of each reply."""
        return self._spec.ranges

    @property
    def headlines(self) -> Sequence[Headline]:
        """As the file says; by default the mean of all pairs."""
        return self._spec.headlines

    def files(self) -> Mapping[str, str]:
        """A hash of the questions and replies in the file and in those that it names, not of formula and headlines."""
        return {"rubric": self._spec.fingerprint}

    def check(self, pairs: Sequence[Pair]) -> None:
        """Find what the pairs lack: texts for their categories, fields, pictures, a dimension with weight.

        Raises:
            UsageError: with every defect, a line each.
        """
        defects = Defects(Path(self.file))
        numbers = Counter(pair.category for pair in pairs)
        for call in self._spec.calls:
            where = f"calls.{call.name}"
            asked = [pair for pair in pairs if call.applies(pair.category)]
            for category in call.when:
                if category not in numbers:
                    log.warning("%s: %s.when: no pair has the category %r", self.file, where, category)
            if None not in call.texts:
                for category in numbers:
                    if call.applies(category) and category not in call.texts:
                        said = f"no text for the category {category!r} ({numbers[category]} pairs)"
                        defects.add(f"{where}.text", f"{said}; there are {', '.join(map(repr, call.texts))}")
            fields = {name for text in (*call.texts.values(), call.system) for name in FIELD.findall(text)}
            for name in sorted(fields - {*PAIR_FIELDS}):
                if asked and not any(name in pair.fields for pair in asked):
                    known = dict.fromkeys((*PAIR_FIELDS, *(name for pair in asked for name in pair.fields)))
                    defects.add(f"{where}.text", f"{{{name}}} is no field of any pair; there are {', '.join(known)}")
            for picture in call.shows:
                lacking = [pair.pair_id for pair in asked if not _has(pair, picture)]
                if lacking:
                    said = f"{len(lacking)} pairs have no picture {picture!r}, such as {lacking[0]!r}"
                    defects.add(f"{where}.shows", said)
        for category, number in numbers.items():
            if not any(call.applies(category) for call in self._spec.calls):
                defects.add("calls", f"none is for the category {category!r} ({number} pairs)")
            elif not self._part_weights(category):
                defects.add("value", f"no dimension with weight is asked for in the category {category!r}")
        defects.raise_if_any()

    def calls(self, pair: Pair) -> Sequence[Question]:
        """A question for each call that applies: its pictures, then its text."""
        return [
            Question(
                name=call.name,
                parts=(*self._shown(call, pair), fill(call.texts.get(pair.category, call.texts.get(None, "")), pair)),
                gives=tuple(call.dimensions.values()),
                system=fill(call.system, pair),
                max_new_tokens=call.max_new_tokens,
                digits=call.digits,
            )
            for call in self._spec.calls
            if call.applies(pair.category)
        ]

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """By the strict reader of the call's kind of reply."""
        call = next(call for call in self._spec.calls if call.name == question.name)
        names = list(call.dimensions)
        low, high = call.range
        if call.kind == "json":
            reading = read_json(reply, call.keys)
        elif call.kind == "lines":
            reading = read_lines(reply, names, low=low, high=high, labelled=call.is_labelled)
        elif call.kind == "marker":
            reading = read_marker(reply, call.marker, names[0], low=low, high=high)
        else:
            reading = read_number(reply, names[0], low=low, high=high)
        numbers = {call.dimensions[name]: number for name, number in (reading.numbers or {}).items()}
        return Reading(numbers=numbers or None, failure=reading.failure, detail=reading.detail, notes=reading.notes)

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The formula over the dimensions that were asked for; None where one with weight is missing."""
        weights = self._part_weights(pair.category)
        numbers = [readings.get(name) for name in weights]
        found = [number for number in numbers if number is not None]
        if not found or len(found) < len(numbers):
            return {"value": None}
        return {"value": apply(self._spec.formula, found, list(weights.values()))}

    def _part_weights(self, category: str) -> dict[str, float]:
        """The weights, above 0, of the dimensions that pairs of the category are asked for."""
        return part_weights(self._spec.calls, self._spec.weights, category)

    def _shown(self, call: Call, pair: Pair) -> list[Shown]:
        names: list[str] = []
        for picture in call.shows:
            if picture == "sources":
                names += ["source", *(f"source_{number}" for number in range(2, len(pair.sources) + 1))]
            else:
                names.append(picture)
        return [Shown(picture=name, max_pixels=self._spec.max_pixels) for name in names]

    @cached_property
    def _spec(self) -> Spec:
        return read_spec(Path(self.file))


def _has(pair: Pair, picture: str) -> bool:
    if picture in ("edit", "source", "sources"):
        return True
    number = picture.removeprefix("source_")
    if number != picture and number.isdecimal():
        return 2 <= int(number) <= len(pair.sources)
    return picture in pair.references
