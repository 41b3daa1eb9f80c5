"""Intervals of a mean over pairs that share their sources: whole sources are drawn, never single pairs."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from editbench.rubrics.headlines import Headline
from editbench.stats.headlines import Rows, Table, plain_table, tabulate

MIN_GROUPS = 8
"""Below this many independent sources no interval is given: a bootstrap of so few is far too narrow."""
ALL_EQUAL = "all are equal"
TOO_FEW = "too few"
"""What stands in place of an interval of fewer than `MIN_GROUPS` sources."""
_MOST_DRAWN = 2000  # then the width strays by 1.6 % of itself, √(1 / 2·2000), and 100,000 sources take no longer


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A confidence interval of a mean or another statistic."""

    low: float
    high: float
    num_groups: int
    """Independent sources that were drawn from."""
    method: str
    """`BCa`, or `percentile` where BCa is not defined."""
    confidence: float = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The lowest and the highest of some values: what there is to say of few of them."""

    low: float
    high: float


def headline_interval(headline: Headline, rows: Rows) -> tuple[Interval | None, str | None]:
    """The 95 % interval of a headline, and why there is none: whole sources are drawn, never single pairs.

    Values of one source depend on each other, so the sources are drawn with replacement: the cluster bootstrap of
    Davison & Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    table = tabulate(headline, rows)
    if table is None or table.num_sources < MIN_GROUPS:
        return None, TOO_FEW
    if np.ptp(table.numbers) == 0:
        return None, ALL_EQUAL
    interval = table_interval(table)
    return interval, None if interval else "not defined in some draws"


def mean_interval(values: Sequence[float], groups: Sequence[str]) -> Interval | None:
    """The 95 % interval of the mean of `values`, each of which belongs to one of `groups`.

    Returns:
        None below `MIN_GROUPS` groups, and when all values are equal: the width would be zero, which claims certainty.
    """
    if len(set(groups)) < MIN_GROUPS or min(values) == max(values):
        return None
    return table_interval(plain_table(values, groups))


def table_interval(table: Table, *, num_resamples: int = 9999, seed: int = 0) -> Interval | None:
    """The interval of a table's headline, bias-corrected and accelerated, with the jackknife over sources.

    Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987). Very many sources are drawn in blocks.
    """
    from scipy.special import ndtr, ndtri

    num = table.num_sources
    table = table.in_blocks(_MOST_DRAWN)
    found = np.sort(table.value(draws(table.num_sources, num_resamples, seed)))
    one = np.ones((1, table.num_sources))
    observed = float(table.value(one)[0])
    left_out = table.value(one - np.eye(table.num_sources))
    off = left_out.mean() - left_out
    scale = 6 * float((off**2).sum()) ** 1.5
    below = (np.searchsorted(found, observed, "left") + np.searchsorted(found, observed, "right")) / 2 / len(found)
    ends, method = np.array([0.025, 0.975]), "percentile"
    if scale > 0 and 0 < below < 1:
        bias, slope = float(ndtri(below)), float((off**3).sum()) / scale
        shifted = bias + ndtri(ends)
        ends, method = ndtr(bias + shifted / (1 - slope * shifted)), "BCa"
    low, high = (float(end) for end in np.quantile(found, ends))
    return Interval(low=low, high=high, num_groups=num, method=method)


@lru_cache(maxsize=4)
def draws(num: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each of `num` sources is in each draw with replacement, draws × sources; always the same numbers."""
    drawn = np.random.default_rng(seed).integers(0, num, (num_resamples, num))
    places = drawn + num * np.arange(num_resamples)[:, None]
    return np.bincount(places.ravel(), minlength=num * num_resamples).reshape(num_resamples, num).astype(np.float32)


def dealt(num: int) -> np.ndarray:
    """Which block each of so many goes to, all blocks nearly alike in size; a block each where that is not too many."""
    return np.arange(num) if num <= _MOST_DRAWN else np.random.default_rng(0).permutation(num) % _MOST_DRAWN


def bootstrap_interval(
    columns: Sequence[np.ndarray],
    statistic: Callable[..., Any],
    *,
    num_resamples: int = 9999,
    seed: int = 0,
    vectorized: bool = True,
) -> Interval | None:
    """The 95 % interval of a statistic of groups, bias-corrected and accelerated, with the jackknife over groups.

    Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987), by scipy.stats.bootstrap; seeded.

    Args:
        columns: what is known of each group, drawn together; all of one length, the number of groups.
        statistic: of the drawn columns; with `vectorized`, along `axis`.
        num_resamples: how often the groups are drawn.
        seed: of the draws.
        vectorized: whether the statistic takes an `axis`.

    Returns:
        None below `MIN_GROUPS` groups, and where neither BCa nor the plain percentiles are finite.
    """
    num_groups = len(columns[0])
    if num_groups < MIN_GROUPS:
        return None
    from scipy import stats  # half a second to import

    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # that BCa is not defined is seen from its ends
            found = stats.bootstrap(
                tuple(columns),
                statistic,
                paired=len(columns) > 1,
                vectorized=vectorized,
                n_resamples=num_resamples,
                batch=1000,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        low, high = float(found.low), float(found.high)
        if math.isfinite(low) and math.isfinite(high):
            return Interval(low=low, high=high, num_groups=num_groups, method=method)
    return None


def standard_error(table: Table) -> float | None:
    """The standard error of a table's headline without rounding; None where a cell has a single source.

    The linearised variance of a ratio of sums (Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6) over the
    cells with their weights. A cell's own mean is taken off its rows, so each residual is scaled by √(k / (k - 1)) with
    the cell's k sources; then the weighted residuals of each source are added up. With one cell and one row a source it
    is the common s / √n.
    """
    num = (table.sizes > 0).sum(axis=0)
    if (num < 2).any():
        return None
    means = table.sums.sum(axis=0) / table.sizes.sum(axis=0)
    residuals = table.weights() * (table.numbers - means[table.cells]) * np.sqrt(num / (num - 1))[table.cells]
    return math.sqrt(float((np.bincount(table.sources, weights=residuals) ** 2).sum()))
