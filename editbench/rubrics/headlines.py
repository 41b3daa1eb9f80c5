"""Headlines: named numbers over many pairs, each a mean over levels."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from editbench.records import Pair

DIMENSION = "dimension"
"""The level that groups by the name of the value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Rows are grouped, and the groups' means weigh alike."""

    by: str
    """`category`, `language`, `dimension` (the value's name), or one of the pair's own `fields`."""
    digits: int | None = None
    """Each group's mean is rounded to so many decimals; None: not rounded."""
    needs: tuple[str, ...] = ()
    """Without a number for each of these groups there is no headline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The mean, over levels, of the values of many pairs; GEdit's macro mean, ImgEdit's type mean, KRIS's flat mean
    differ in their levels only.

    A row is a pair and one of `values` that is not None. The innermost mean is over rows, each further one over the
    groups of its level.
    """

    name: str
    """As the benchmark's papers call it, such as `G_O`."""
    scale: tuple[float, float]
    """Lowest and highest that it can be."""
    values: tuple[str, ...] = ("value",)
    """Which of the pair's values or dimensions it is over."""
    levels: tuple[Level, ...] = ()
    """Outermost first; none: the mean over all rows."""
    factor: float = 1.0
    """The mean is multiplied by this, …"""
    offset: float = 0.0
    """… after this was added."""
    digits: int | None = None
    """The headline is rounded to so many decimals; None: not rounded."""
    where: Callable[[Pair], bool] | None = None
    """Which pairs it is over; None: all."""
    together: Callable[[Pair], str] | None = None
    """Pairs of one such name, among all pairs, count only when each has each of `values`; None: each by itself."""

    def on(self, scale: tuple[float, float]) -> "Headline":
        """The same on another scale."""
        return dataclasses.replace(self, scale=scale)


ITEM_MEAN = Headline(name="item_mean", scale=(0.0, 10.0))
CATEGORY_MEAN = Headline(name="category_mean", scale=(0.0, 10.0), levels=(Level(by="category"),))


def group_name(level: Level, pair: Pair, value: str) -> str:
    """Which of a level's groups a row belongs to."""
    if level.by == DIMENSION:
        return value
    if level.by in ("category", "language"):
        return getattr(pair, level.by)
    return str(pair.fields.get(level.by))


def select(
    headline: Headline, rows: Sequence[tuple[Pair, Mapping[str, float | None]]]
) -> list[tuple[Pair, str, float]]:
    """The rows that the headline is over: a pair, the name of one of `values`, and its number."""
    chosen = [(pair, values) for pair, values in rows if headline.where is None or headline.where(pair)]
    if headline.together is not None:
        broken = {
            headline.together(pair)
            for pair, values in rows  # also of those that `where` leaves out: of another language
            if any(values.get(name) is None for name in headline.values)
        }
        chosen = [(pair, values) for pair, values in chosen if headline.together(pair) not in broken]
    return [
        (pair, name, number)
        for pair, values in chosen
        for name in headline.values
        if (number := values.get(name)) is not None
    ]


def compute(headline: Headline, rows: Sequence[tuple[Pair, Mapping[str, float | None]]]) -> float | None:
    """The headline of these pairs with their values; None where there is nothing to take a mean of."""

    def mean(part: Sequence[tuple[Pair, str, float]], levels: Sequence[Level]) -> float | None:
        if not part:
            return None
        if not levels:
            return math.fsum(number for _, _, number in part) / len(part)
        first, *rest = levels
        groups: dict[str, list[tuple[Pair, str, float]]] = {}
        for pair, name, number in part:
            groups.setdefault(group_name(first, pair, name), []).append((pair, name, number))
        if any(name not in groups for name in first.needs):
            return None
        means = [found for group in groups.values() if (found := mean(group, rest)) is not None]
        if first.digits is not None:
            means = [round(found, first.digits) for found in means]
        return math.fsum(means) / len(means)

    found = mean(select(headline, rows), headline.levels)
    if found is None:
        return None
    found = (found + headline.offset) * headline.factor
    return found if headline.digits is None else round(found, headline.digits)
