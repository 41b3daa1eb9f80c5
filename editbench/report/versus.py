"""Comparisons turned so that the run with the higher number is the second: each difference is ahead minus behind."""

from dataclasses import replace

from editbench.stats.comparison import Comparison, Difference
from editbench.stats.intervals import Interval


def turned(entry: Comparison) -> Comparison:
    """The same comparison, the winner, or else the run with the higher headline, as its second.

    Its sentence and its row then have one sign, since every difference is second minus first.
    """
    mean = entry.deciding.mean
    if entry.winner == entry.second or (entry.winner is None and (mean is None or mean >= 0)):
        return entry
    return swapped(entry)


def swapped(entry: Comparison) -> Comparison:
    """The same comparison the other way round."""
    return replace(
        entry,
        first=entry.second,
        second=entry.first,
        overall=_swapped(entry.overall),
        headlines={name: _swapped(found) for name, found in entry.headlines.items()},
        categories={name: _swapped(found) for name, found in entry.categories.items()},
        dimensions={name: _swapped(found) for name, found in entry.dimensions.items()},
        mean_failures_as_low=None if entry.mean_failures_as_low is None else -entry.mean_failures_as_low,
        num_only_first=entry.num_only_second,
        num_only_second=entry.num_only_first,
    )


def _swapped(found: Difference) -> Difference:
    return replace(
        found,
        mean=None if found.mean is None else -found.mean,
        num_wins=found.num_losses,
        num_losses=found.num_wins,
        interval=None if found.interval is None else _mirrored(found.interval),
    )


def _mirrored(found: Interval) -> Interval:
    return replace(found, low=-found.high, high=-found.low)
