"""How far two lists of values agree on what is better: ranks, pairs in order, each with its interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from editbench.stats.intervals import MIN_GROUPS, TOO_FEW, Interval, dealt, mean_interval
from editbench.stats.outcomes import RunRecords, group_of

TIE_RULE = "a tie of the judge counts half, pairs that the reference ties are left out"
_NUM_RESAMPLES = 299  # ranks are slow to draw again; a standard deviation of so many strays by 4 %
_MOST_UNDEFINED = 0.05
_FLAT = 1e-9
_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A statistic with its interval."""

    value: float | None
    """None where it is not defined, such as a rank correlation with equal values."""
    interval: Interval | None
    interval_note: str | None
    """Why there is no interval; None when there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """One list of values against another, the reference."""

    num_items: int
    num_ordered: int
    """Pairs of items that the reference puts in an order."""
    spearman: Estimate
    """Spearman's rank correlation, ties at their mean rank, -1 to 1."""
    kendall: Estimate
    """Kendall's tau-b, -1 to 1."""
    pairwise: Estimate
    """The share of those pairs that the list puts in the same order, by `TIE_RULE`, 0 to 1; 0.5 is chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Apart:
    """A pair on which two judges differ."""

    pair_id: str
    first: float
    second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoJudges:
    """Two score files of one run."""

    first: str
    """Name of the run with its score file."""
    second: str
    agreement: Agreement
    """Of the second with the first; the rank correlations are the same the other way."""
    num_pairs: int
    """All pairs of the run; `agreement.num_items` of them have a value of both."""
    mean_difference: Estimate
    """Second minus first, on the scale."""
    furthest: tuple[Apart, ...]
    """Where they differ most, at most eight."""


def agree(values: Sequence[float], reference: Sequence[float], groups: Sequence[str]) -> Agreement:
    """How far the values agree with the reference, item by item.

    Kendall is tau-b (Kendall, The Treatment of Ties in Ranking Problems, Biometrika 33 (1945)). The pairwise accuracy
    is (1 + D) / 2 of Somers' D of the values on the reference (Somers, A New Asymmetric Measure of Association, Am.
    Sociol. Rev. 27 (1962)). Intervals draw whole groups; see `estimate`.
    """
    a, b = np.array(values, dtype=float), np.array(reference, dtype=float)
    return Agreement(
        num_items=len(a),
        num_ordered=_num_ordered(b),
        spearman=estimate(lambda at: spearman(a[at], b[at]), groups),
        kendall=estimate(lambda at: kendall(a[at], b[at]), groups),
        pairwise=estimate(lambda at: in_order(a[at], b[at]), groups, (0.0, 1.0)),
    )


def estimate(
    statistic: Callable[[np.ndarray], float], groups: Sequence[str], ends: tuple[float, float] = (-1.0, 1.0)
) -> Estimate:
    """A statistic of items, named by their places, with the 95 % interval of a draw of whole groups.

    z ± t(0.975) × SD, where z is Fisher's z of the value and SD the standard deviation of z over the draws: on that
    scale a correlation is nearly normal (Fisher, On the Probable Error of a Coefficient of Correlation, Metron 1
    (1921)).

    Args:
        statistic: of an array of places, which may come several times; NaN where it is not defined.
        groups: of each item; very many are drawn in blocks, for a rank statistic is nearly a mean over items.
        ends: lowest and highest that the statistic can be.
    """
    number: dict[str, int] = {}
    group = np.array([number.setdefault(name, len(number)) for name in groups], dtype=int)
    members: dict[int, list[int]] = {}
    for place, block in enumerate(dealt(len(number))[group].tolist()):
        members.setdefault(block, []).append(place)
    of_group = [np.array(places) for places in members.values()]
    value = statistic(np.arange(len(groups))) if groups else math.nan
    if math.isnan(value):
        return Estimate(value=None, interval=None, interval_note="not defined")
    if len(number) < MIN_GROUPS:
        return Estimate(value=value, interval=None, interval_note=TOO_FEW)
    rng = np.random.default_rng(0)
    found = np.array(
        [
            statistic(np.concatenate([of_group[place] for place in rng.integers(0, len(of_group), len(of_group))]))
            for _ in range(_NUM_RESAMPLES)
        ]
    )
    if np.isnan(found).mean() > _MOST_UNDEFINED:
        return Estimate(value=value, interval=None, interval_note="not defined in some draws")
    center, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
    with np.errstate(divide="ignore"):
        z, drawn = np.arctanh((value - center) / half), np.arctanh((found[~np.isnan(found)] - center) / half)
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(z) or len(drawn) < 2 or (spread := float(drawn.std(ddof=1))) < _FLAT:
        return Estimate(value=value, interval=None, interval_note="the same in every draw")
    from scipy.special import stdtrit

    reach = float(stdtrit(len(number) - 1, 0.975)) * spread
    low, high = (center + half * math.tanh(end) for end in (z - reach, z + reach))
    interval = Interval(low=low, high=high, num_groups=len(number), method="Fisher's z")
    return Estimate(value=value, interval=interval, interval_note=None)


def in_order(values: np.ndarray, reference: np.ndarray) -> float:
    """Of the pairs that the reference puts in an order, the share that the values put in the same order.

    Ties go by `TIE_RULE`; NaN where there are no such pairs. Computed from Kendall's tau-b, whose numerator is the same
    and whose denominator is the square root of (pairs ordered by the values × pairs ordered by the reference).
    """
    ordered = _num_ordered(reference)
    if not ordered:
        return math.nan
    tau = kendall(values, reference)
    return 0.5 if math.isnan(tau) else (1 + tau * math.sqrt(_num_ordered(values) / ordered)) / 2


def _num_ordered(values: np.ndarray) -> int:
    """How many of the pairs of these values are not tied."""
    _, ties = np.unique(values, return_counts=True)
    return (len(values) ** 2 - int((ties.astype(np.int64) ** 2).sum())) // 2


def two_judges(runs: Sequence[RunRecords]) -> list[TwoJudges]:
    """Each two score files of one run against each other."""
    return [_two(first, second) for first, second in combinations(runs, 2) if first.root == second.root]


def _two(first: RunRecords, second: RunRecords) -> TwoJudges:
    mine, theirs = first.outcomes, second.outcomes
    ends = [(pair, mine[pair.pair_id].value, theirs[pair.pair_id].value) for pair in first.pairs]
    both = [(pair, a, b) for pair, a, b in ends if a is not None and b is not None]
    furthest = sorted(both, key=lambda row: -abs(row[2] - row[1]))[:_SHOWN]
    groups = [group_of(pair) for pair, _, _ in both]
    return TwoJudges(
        first=first.name,
        second=second.name,
        agreement=agree([b for _, _, b in both], [a for _, a, _ in both], groups),
        num_pairs=len(ends),
        mean_difference=_mean_difference([b - a for _, a, b in both], groups),
        furthest=tuple(Apart(pair_id=pair.pair_id, first=a, second=b) for pair, a, b in furthest if a != b),
    )


def _mean_difference(steps: Sequence[float], groups: Sequence[str]) -> Estimate:
    if not steps:
        return Estimate(value=None, interval=None, interval_note="no pair has both")
    interval, note = mean_interval(steps, groups)
    return Estimate(value=math.fsum(steps) / len(steps), interval=interval, interval_note=note)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where one side has a single value."""
    if _flat(a) or _flat(b):
        return math.nan
    from scipy.stats import rankdata  # half a second to import

    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    return min(1.0, max(-1.0, float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))))


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b; NaN where one side has a single value."""
    from scipy import stats

    method = "asymptotic" if len(a) > 2 else "exact"  # only the p-value depends on it, which is not used
    found: Any = None if _flat(a) or _flat(b) else stats.kendalltau(a, b, method=method)
    return math.nan if found is None else float(found.statistic)


def _flat(values: np.ndarray) -> bool:
    return len(values) < 2 or bool((values == values[0]).all())
