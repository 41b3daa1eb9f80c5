"""What a rubric's file says, once it is checked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from editbench.rubrics.headlines import Headline
from editbench.rubrics.readers import Key


@dataclass(frozen=True, kw_only=True)
class Call:
    """One entry of `calls`."""

    name: str
    shows: tuple[str, ...]
    texts: Mapping[str | None, str]
    """By category; under None the text of all others."""
    system: str
    when: tuple[str, ...]
    """Only in these categories; empty: in all."""
    max_new_tokens: int | None
    kind: str
    """Of the reply: `number`, `json`, `lines` or `marker`."""
    keys: Mapping[str, Key]
    """What a JSON object holds, by key; of the other kinds one entry for each number."""
    is_labelled: bool
    """Of lines: whether their names are the keys."""
    marker: str
    dimensions: Mapping[str, str]
    """The dimension of each number that the reader gives."""

    def applies(self, category: str) -> bool:
        """Whether pairs of this category are asked."""
        return not self.when or category in self.when

    @cached_property
    def range(self) -> tuple[float, float]:
        """Of all numbers but those of JSON, whose keys have one each."""
        first = next(iter(self.keys.values()))
        return first.low, first.high

    @cached_property
    def digits(self) -> tuple[str, ...]:
        """The replies where they are single digits."""
        low, high = self.range
        if self.kind == "number" and low.is_integer() and high.is_integer() and 0 <= low <= high <= 9:
            return tuple(str(digit) for digit in range(int(low), int(high) + 1))
        return ()

    def range_of(self, name: str) -> tuple[float, float]:
        """Of one of the numbers, by its name within the call: of JSON, of the key whose list holds it."""
        key = next(kind for key, kind in self.keys.items() if name in kind.dimensions(key))
        return key.low, key.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """The whole file, checked."""

    version: str
    scale: tuple[float, float]
    calls: tuple[Call, ...]
    ranges: Mapping[str, tuple[float, float]]
    """Of each dimension."""
    formula: str
    """One of `formula.FORMULAS`."""
    weights: Mapping[str, float]
    """By dimension; empty: all weigh alike."""
    headlines: tuple[Headline, ...]
    max_pixels: int
    fingerprint: str
    """Hash of what decides questions and readings."""


def fingerprint(calls: Sequence[Call], max_pixels: int) -> str:
    """A hash of what decides the questions and the readings."""
    rows = [
        [
            call.name,
            call.shows,
            sorted((category or "", text) for category, text in call.texts.items()),
            call.system,
            call.when,
            call.max_new_tokens,
            call.kind,
            [repr(item) for item in call.keys.items()],
            call.is_labelled,
            call.marker,
        ]
        for call in calls
    ]
    return hashlib.sha256(json.dumps([rows, max_pixels]).encode()).hexdigest()
