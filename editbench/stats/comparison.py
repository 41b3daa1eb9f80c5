"""Runs against each other on the pairs that both have: differences, tests, and what could have been shown."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from editbench.records import CATEGORIES, Category, Pair
from editbench.stats.intervals import MIN_GROUPS, TOO_FEW, Interval, in_blocks, mean_interval, standard_error, sum_up
from editbench.stats.summary import FAILED, RunRecords, group_of, outcome

ALPHA = 0.05
"""A difference is shown when its corrected p-value is at most this."""
POWER = 0.8
"""The chance to show it that `Difference.smallest_shown` is reckoned for."""
MUST_AGREE = ("benchmark", "language", "judge", "rubric", "lossy mode")
"""The settings that make two runs' numbers of different things where they differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The second run minus the first, over the pairs that both have a value for."""

    mean: float | None
    """On the runs' scale; None when no pair has both."""
    num_pairs: int
    """Pairs that both have a value for, and were asked the same."""
    num_wins: int
    """Pairs on which the second run's value is the greater."""
    num_ties: int
    """Pairs with the same value."""
    num_losses: int
    interval: Interval | None
    interval_note: str | None
    """Why there is no interval; None when there is one."""
    p_value: float | None
    """Of the permutation test; None below `MIN_GROUPS` sources."""
    p_corrected: float | None = None
    """By Holm over the family: all pairs of runs, overall or by category."""
    smallest_shown: float | None
    """The smallest true difference that so many pairs show with a chance of `POWER`; None below `MIN_GROUPS`, and
    where all differences are equal."""

    @property
    def shown(self) -> bool:
        """Whether there is a difference by the corrected test and by the interval."""
        clear = self.interval is None or not self.interval.low <= 0 <= self.interval.high
        return self.p_corrected is not None and self.p_corrected <= ALPHA and clear


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs, pair by pair."""

    first: str
    second: str
    overall: Difference
    categories: Mapping[Category, Difference]
    """Those with pairs in both runs."""
    low: float | None
    """The mean difference with failures counted at the scale's bottom, over the pairs that both have tried."""
    num_low: int
    """Pairs that `low` is over."""
    num_only_first: int
    """Pairs that only the first run has a value for."""
    num_only_second: int
    num_asked_otherwise: int
    """Pairs of one id whose instruction or source differ: they are in no number."""

    @property
    def winner(self) -> str | None:
        """The run that is shown to be ahead, also with failures at the bottom; None while that is open.

        The second condition is there because a run could pull ahead by failing where the other is weak.
        """
        mean = self.overall.mean
        if not self.overall.shown or not mean or self.low is None or mean * self.low <= 0:
            return None
        return self.second if mean > 0 else self.first


def compare(runs: Sequence[RunRecords]) -> list[Comparison]:
    """Each run with each later one, p-values corrected over all of them; deterministic.

    Two judges' scores of one run are no comparison of runs, and are left out. Where two runs were scored by several
    judges, only scores of the same judge and rubric are compared.
    """
    found = [_compare(first, second) for first, second in _matches(runs)]
    overall = iter(holm([entry.overall.p_value for entry in found]))
    inner = iter(holm([d.p_value for entry in found for d in entry.categories.values()]))
    return [
        replace(
            entry,
            overall=replace(entry.overall, p_corrected=next(overall)),
            categories={name: replace(d, p_corrected=next(inner)) for name, d in entry.categories.items()},
        )
        for entry in found
    ]


def unlike(runs: Sequence[RunRecords]) -> list[str]:
    """The settings of `MUST_AGREE` in which the runs differ."""
    return [name for name in MUST_AGREE if len({run.settings.get(name) for run in runs}) > 1]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected for being a family, in their order; None stays and is no member.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statist. 6 (1979): the smallest of m times
    m, the next times m - 1, and so on, never below the one before, at most 1.
    """
    ranked = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for passed, (p, place) in enumerate(ranked):
        least = max(least, min(1.0, (len(ranked) - passed) * p))
        corrected[place] = least
    return corrected


def difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], *, num_resamples: int = 9999, seed: int = 0
) -> Difference:
    """The second values minus the first, one by one.

    The test gives each source's values at random to one side or the other, whole sources together, since only they are
    independent; two-sided, by scipy.stats.permutation_test: exact when there are at most 9999 ways, else with the
    observed one counted in, as Phipson & Smyth ask (Stat. Appl. Genet. Mol. Biol. 9 (2010), article 39). The smallest
    difference that could have been shown is (t(0.975) + t(0.8)) × the standard error, with as many degrees of freedom
    as sources less one: Bloom, Minimum Detectable Effects, Evaluation Review 19 (1995).
    """
    steps = [b - a for a, b in zip(first, second, strict=True)]
    num_groups = len(set(groups))
    enough = num_groups >= MIN_GROUPS
    interval = mean_interval(steps, groups, num_resamples=num_resamples, seed=seed)
    note = None if interval else "all are equal" if enough else TOO_FEW
    return Difference(
        mean=math.fsum(steps) / len(steps) if steps else None,
        num_pairs=len(steps),
        num_wins=sum(step > 0 for step in steps),
        num_ties=sum(step == 0 for step in steps),
        num_losses=sum(step < 0 for step in steps),
        interval=interval,
        interval_note=note,
        p_value=_permutation(first, second, groups, num_resamples, seed) if enough else None,
        smallest_shown=_smallest_shown(steps, groups) if enough else None,
    )


def _permutation(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], num_resamples: int, seed: int
) -> float:
    from scipy import stats  # half a second to import

    def total(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return (b - a).sum(axis=axis)

    found = stats.permutation_test(
        in_blocks((sum_up(first, groups).sums, sum_up(second, groups).sums)),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=num_resamples,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _smallest_shown(steps: Sequence[float], groups: Sequence[str]) -> float | None:
    from scipy import stats

    error = standard_error(steps, groups)
    freedom = len(set(groups)) - 1
    # no error at all: equal differences say nothing of how they would vary
    return None if not error else float(stats.t.ppf([1 - ALPHA / 2, POWER], freedom).sum()) * error


def _matches(runs: Sequence[RunRecords]) -> Iterator[tuple[RunRecords, RunRecords]]:
    def asked(run: RunRecords) -> tuple[str | None, str | None]:
        return run.settings.get("judge"), run.settings.get("rubric")

    others = [(a, b) for a, b in combinations(runs, 2) if a.root != b.root]
    alike = {(a.root, b.root) for a, b in others if asked(a) == asked(b)}
    for a, b in others:
        if asked(a) == asked(b) or (a.root, b.root) not in alike:
            yield a, b


def _compare(first: RunRecords, second: RunRecords) -> Comparison:
    theirs = {pair.pair_id: pair for pair in second.pairs}
    common = [pair for pair in first.pairs if pair.pair_id in theirs]
    same = [pair for pair in common if _asks(pair) == _asks(theirs[pair.pair_id])]
    ends = [(pair, outcome(first, pair.pair_id), outcome(second, pair.pair_id)) for pair in same]
    both = [(pair, a.value, b.value) for pair, a, b in ends if a.value is not None and b.value is not None]

    def over(category: Category | None) -> Difference:
        rows = [row for row in both if category is None or row[0].category == category]
        groups = [group_of(pair) for pair, _, _ in rows]
        return difference([a for _, a, _ in rows], [b for _, _, b in rows], groups)

    def at_least(value: float | None, run: RunRecords) -> float:
        return run.scale[0] if value is None else value

    tried = [(a, b) for _, a, b in ends if all(x.value is not None or x.status in FAILED for x in (a, b))]
    steps = [at_least(b.value, second) - at_least(a.value, first) for a, b in tried]
    return Comparison(
        first=first.name,
        second=second.name,
        overall=over(None),
        categories={name: over(name) for name in CATEGORIES if any(pair.category == name for pair in same)},
        low=math.fsum(steps) / len(steps) if steps else None,
        num_low=len(steps),
        num_only_first=sum(a.value is not None and b.value is None for _, a, b in ends),
        num_only_second=sum(a.value is None and b.value is not None for _, a, b in ends),
        num_asked_otherwise=len(common) - len(same),
    )


def _asks(pair: Pair) -> tuple[str, str, str]:
    return pair.category, pair.instruction, pair.source_sha256
