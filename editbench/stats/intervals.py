"""Intervals of a mean over pairs that share their sources: whole sources are drawn, never single pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from editbench.rubrics.headlines import Headline
from editbench.stats.headlines import Rows, Table, plain_table, tabulate

MIN_GROUPS = 20
"""Below this many independent sources no interval is given: none covers what it says (`bench/coverage.md`)."""
ALL_EQUAL = "all are equal"
TOO_FEW = "too few"
"""What stands in place of an interval of fewer than `MIN_GROUPS` sources."""
TOO_UNEQUAL = "a few sources have nearly all pairs"
_MIN_IN_CELL = 4  # sources of each category of a category mean
_MIN_FREEDOM = 4.0
_SHARE = 0.05  # of the sample's variance, added to each draw's
_BATCH = 5000  # draws at once: few large products, as a matrix library shares small ones badly among busy cores
_MOST_DRAWN = 2000  # then the width strays by 1.6 % of itself, √(1 / 2·2000), and 100,000 sources take no longer


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A confidence interval of a mean or another statistic."""

    low: float
    high: float
    num_groups: int
    """Independent sources that were drawn from."""
    method: str
    """`studentised`; of a correlation or a share of pairs in order `Fisher's z`."""
    confidence: float = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The lowest and the highest of some values: what there is to say of few of them."""

    low: float
    high: float


def headline_interval(headline: Headline, rows: Rows) -> tuple[Interval | None, str | None]:
    """The 95 % interval of a headline, and why there is none; see `table_interval`."""
    return table_interval(tabulate(headline, rows), headline.scale)


def mean_interval(
    values: Sequence[float], groups: Sequence[str], scale: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[Interval | None, str | None]:
    """The 95 % interval of the mean of `values`, each of which belongs to one of `groups`; see `table_interval`."""
    return table_interval(plain_table(values, groups) if values else None, scale)


def table_interval(
    table: Table | None, scale: tuple[float, float] = (-math.inf, math.inf), *, num_resamples: int = 4999, seed: int = 0
) -> tuple[Interval | None, str | None]:
    """The 95 % interval of a table's headline, and why there is none.

    Values of one source depend on each other, so whole sources are drawn with replacement (Davison & Hinkley, Bootstrap
    Methods and their Application, 1997, section 3.8). Each draw is studentised by its own standard error, which covers
    where scores are skewed and a percentile interval is too narrow (the same, section 5.2). Two things are added, and
    `bench/coverage.md` has what they do. A twentieth of the sample's variance is added to each draw's and to the
    sample's own: a draw of nothing but equal scores near an end of the scale would else have an error of 0. The
    quantiles are widened by t(0.975) with the degrees of freedom that sources of such unequal sizes have (Kish's
    effective number, joined over the cells by Satterthwaite) over t(0.975) of as many equal ones.

    Args:
        table: None: no rows.
        scale: lowest and highest that the headline can be; the interval ends there.
        num_resamples: draws; very many sources are drawn in blocks.
        seed: of the draws.

    Returns:
        No interval below `MIN_GROUPS` sources, where a cell has fewer than `_MIN_IN_CELL`, and when all values are
        equal: the width would be zero, which claims certainty.
    """
    if table is None or table.num_sources < MIN_GROUPS or int((table.sizes > 0).sum(axis=0).min()) < _MIN_IN_CELL:
        return None, TOO_FEW
    if np.ptp(table.numbers) == 0:
        return None, ALL_EQUAL
    freedom, of_equal = degrees_of_freedom(table)
    if freedom < _MIN_FREEDOM:
        return None, TOO_UNEQUAL
    from scipy.special import stdtrit

    num = table.num_sources
    table = table.in_blocks(_MOST_DRAWN)
    value, variance = (float(of_all[0]) for of_all in table.value_and_variance(np.ones((1, table.num_sources))))
    if variance <= 0:
        return None, ALL_EQUAL
    found: list[np.ndarray] = []
    for start in range(0, num_resamples, _BATCH):
        drawn = draws(table.num_sources, num_resamples, seed)[start : start + _BATCH].astype(np.float32)
        values, variances = table.value_and_variance(drawn)
        found.append((values - value) / np.sqrt(variances + _SHARE * variance))
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    wider = float(stdtrit(freedom, 0.975) / stdtrit(of_equal, 0.975)) * math.sqrt((1 + _SHARE) * variance)
    ends = (max(scale[0], value - float(high) * wider), min(scale[1], value - float(low) * wider))
    return Interval(low=ends[0], high=ends[1], num_groups=num, method="studentised"), None


def degrees_of_freedom(table: Table) -> tuple[float, float]:
    """Of the standard error of a table's headline, and what they were if all sources of a cell were of one size.

    A cell's are Kish's effective number of sources, (Σ size)² / Σ size², less one; cells are joined by Satterthwaite
    with their shares of the variance.
    """
    num = (table.sizes > 0).sum(axis=0)
    means = table.sums.sum(axis=0) / table.sizes.sum(axis=0)
    weight = np.zeros(len(num))
    weight[table.cells] = table.weights()  # rows of one cell weigh alike
    variances = ((weight * table.spread_factor * (table.sums - means * table.sizes)) ** 2).sum(axis=0)
    effective = table.sizes.sum(axis=0) ** 2 / (table.sizes**2).sum(axis=0)

    def joined(of_cell: np.ndarray) -> float:
        used = (variances > 0) & (of_cell > 0)
        return float(variances.sum() ** 2 / (variances[used] ** 2 / of_cell[used]).sum()) if used.any() else 0.0

    return joined(effective - 1), joined(num - 1.0)


@lru_cache(maxsize=16)  # of 2,000 sources 10 MB each; runs that failed on a pair or two have as many numbers of sources
def draws(num: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each of `num` sources is in each draw with replacement, draws × sources; always the same numbers."""
    drawn = np.random.default_rng(seed).integers(0, num, (num_resamples, num))
    places = drawn + num * np.arange(num_resamples)[:, None]
    return np.bincount(places.ravel(), minlength=num * num_resamples).reshape(num_resamples, num).astype(np.uint8)


def dealt(num: int) -> np.ndarray:
    """Which block each of so many goes to, all blocks nearly alike in size; a block each where that is not too many."""
    return np.arange(num) if num <= _MOST_DRAWN else np.random.default_rng(0).permutation(num) % _MOST_DRAWN


def standard_error(table: Table) -> float | None:
    """The standard error of a table's headline without rounding; None where a cell has a single source."""
    if int((table.sizes > 0).sum(axis=0).min()) < 2:
        return None
    _, variance = table.value_and_variance(np.ones((1, table.num_sources)))
    return math.sqrt(float(variance[0]))
