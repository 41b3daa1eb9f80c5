"""Runs against each other on the pairs that both have: differences, tests, and what could have been shown."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from editbench.records import Pair
from editbench.rubrics.headlines import ITEM_MEAN, Headline, compute, select
from editbench.stats.headlines import Rows, Table, plain_table, tabulate
from editbench.stats.intervals import Interval, standard_error, table_interval
from editbench.stats.outcomes import WAITING, RunRecords
from editbench.stats.redraws import Redrawn, redraw

ALPHA = 0.05
"""A difference is shown when its corrected p-value is at most this."""
POWER = 0.8
"""The chance to show it that `Difference.minimum_detectable_difference` is computed for."""
MUST_AGREE = ("language", "judge", "rubric", "lossy mode")
"""The settings that make two runs' numbers of different things where they differ, beside the benchmark's content."""
TIE_DIGITS = 4
"""Values are equal when they are so to this many decimals, as scores are saved."""
PRINTED_DIGITS = 2
"""Decimals of a difference in a report: one that is 0 when rounded so points no way."""
_ROUNDING = 1e-6  # of sums in single precision
_EXACT = 14  # sources up to which all 2**sources signs are tried
_NUM_RESAMPLES = 9999
_DRAWN_AT_ONCE = 8192  # signs of each source, a multiple of 8
_FLOOR = 20  # the smallest attainable p-value, corrected, is at most ALPHA / _FLOOR


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The second run minus the first, over the pairs that both have a value for."""

    mean: float | None
    """Of the headline, category or dimension; None when no pair has both."""
    num_pairs: int
    """Pairs that both have a value for, and were asked the same."""
    num_wins: int
    """Pairs on which the second run's value is the greater; after rounding to `TIE_DIGITS`."""
    num_ties: int
    """Pairs with the same value."""
    num_losses: int
    interval: Interval | None
    interval_note: str | None
    """Why there is no interval; None when there is one."""
    p_value: float | None
    """Of the permutation test; None where no pair has both."""
    smallest_p: float | None
    """The smallest p-value that so many sources and draws can give."""
    p_corrected: float | None = None
    """By Holm over the family."""
    num_tests: int = 1
    """Size of the family: of a headline the pairs of runs, of a category or dimension those of the same two runs."""
    minimum_detectable_difference: float | None
    """The smallest true difference that so many pairs show with a chance of `POWER` under the correction; None where
    no difference can be shown, or all differences are equal."""

    @property
    def shown(self) -> bool:
        """Whether there is a difference by the corrected test."""
        return self.p_corrected is not None and self.p_corrected <= ALPHA

    @property
    def can_be_shown(self) -> bool:
        """Whether the smallest p-value that is attainable would be enough under the correction."""
        return self.smallest_p is not None and self.smallest_p * self.num_tests <= ALPHA

    @property
    def interval_alone(self) -> bool:
        """Whether the interval excludes 0 while the test does not show a difference: it must not stand alone."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high and not self.shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs, pair by pair."""

    first: str
    second: str
    headlines: Mapping[str, Difference]
    """By name, those that both runs have; the first decides the verdict."""
    overall: Difference
    """The item mean: every pair weighs the same."""
    categories: Mapping[str, Difference]
    """Those with pairs in both runs, in the benchmark's order."""
    dimensions: Mapping[str, Difference]
    """Those with pairs in both runs."""
    mean_failures_as_low: float | None
    """The difference of the deciding headline with failures at their lowest, over the pairs that both have tried."""
    num_failures_as_low: int
    """Pairs that it is over."""
    num_only_first: int
    """Pairs that only the first run has a value for."""
    num_only_second: int
    redrawn: Redrawn | None
    """How the sign of the deciding difference would do with other replies; None without repeats (`--repeats`)."""
    num_asked_otherwise: int
    """Pairs of one id of which an instruction, a source or something that the judge is shown differs: they are in no
    number."""

    @property
    def decides(self) -> str:
        """The name of the headline whose difference is the verdict."""
        return next(iter(self.headlines))

    @property
    def deciding(self) -> Difference:
        """The difference of that headline."""
        return self.headlines[self.decides]

    @property
    def means_disagree(self) -> bool:
        """Whether the deciding headline and the item mean point different ways, both by more than rounding hides."""
        official, items = (round(found.mean or 0.0, PRINTED_DIGITS) for found in (self.deciding, self.overall))
        return official * items < 0

    @property
    def winner(self) -> str | None:
        """The run that is shown to be ahead by the deciding headline; None while that is open.

        It must be ahead by the item mean too, and with failures at their lowest: a run could pull ahead by failing
        where the other is weak.
        """
        return None if self.why_no_winner else self.second if (self.deciding.mean or 0) > 0 else self.first

    @property
    def why_no_winner(self) -> str | None:
        """In a sentence; None where there is a winner."""
        found, low = self.deciding, self.mean_failures_as_low
        if not found.mean or not found.shown:
            return "No difference is shown."
        if self.means_disagree:
            ahead, behind = (self.second, self.first) if found.mean > 0 else (self.first, self.second)
            return (
                f"No winner: by {self.decides} {ahead} is ahead, by the item mean {behind}; the answer depends on how "
                "the categories are weighed."
            )
        if low is None or found.mean * low <= 0:
            return "No winner: with failures at their lowest the lead is gone."
        return None


@dataclass(kw_only=True, eq=False)
class _Difference:
    """What a `Difference` is made of; the tests of many are made together."""

    table: Table | None
    steps: Sequence[float]
    num_tests: int
    test: tuple[float, float] | None = None
    """The p-value and the smallest attainable; None: no table, or not yet."""

    @cached_property
    def finished(self) -> Difference:
        table, num_tests = self.table, self.num_tests
        rounded = [round(step, TIE_DIGITS) for step in self.steps]
        interval, note = table_interval(table)
        p_value, smallest_p = self.test or (None, None)
        reachable = smallest_p is not None and smallest_p * num_tests <= ALPHA
        return Difference(
            mean=None if table is None else float(table.value(np.ones((1, table.num_sources)))[0]),
            num_pairs=len(rounded),
            num_wins=sum(step > 0 for step in rounded),
            num_ties=sum(step == 0 for step in rounded),
            num_losses=sum(step < 0 for step in rounded),
            interval=interval,
            interval_note=note,
            p_value=p_value,
            smallest_p=smallest_p,
            num_tests=num_tests,
            minimum_detectable_difference=_detectable(table, num_tests) if table is not None and reachable else None,
        )


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A `Comparison` whose differences are still to be tested."""

    headlines: Mapping[str, _Difference]
    overall: _Difference
    categories: Mapping[str, _Difference]
    dimensions: Mapping[str, _Difference]
    rest: Mapping[str, Any]

    @property
    def differences(self) -> list[_Difference]:
        of_names = [one for part in (self.headlines, self.categories, self.dimensions) for one in part.values()]
        return of_names if self.overall in of_names else [*of_names, self.overall]

    def finish(self) -> Comparison:
        def of(part: Mapping[str, _Difference]) -> dict[str, Difference]:
            return {name: one.finished for name, one in part.items()}

        return Comparison(
            headlines=of(self.headlines),
            overall=self.overall.finished,
            categories=of(self.categories),
            dimensions=of(self.dimensions),
            **self.rest,
        )


def compare(runs: Sequence[RunRecords]) -> list[Comparison]:
    """Each run with each later one, p-values corrected; deterministic.

    Each headline is a family over all pairs of runs; the categories of one pair of runs are a family, and so are its
    dimensions. Two judges' scores of one run are no comparison of runs, and are left out. Where two runs were scored by
    several judges, only scores of the same judge and rubric are compared.
    """
    pairs = list(_matches(runs))
    drafts = [_draft(first, second, len(pairs)) for first, second in pairs]
    untested = [one for draft in drafts for one in draft.differences if one.table is not None]
    for num_tests in {one.num_tests for one in untested}:
        family = [one for one in untested if one.num_tests == num_tests]
        for one, test in zip(family, sign_tests([one.table for one in family if one.table], num_tests), strict=True):
            one.test = test
    return _corrected([draft.finish() for draft in drafts])


def unlike(runs: Sequence[RunRecords]) -> list[str]:
    """In what the runs differ so that their numbers are of different things: the benchmark's content, settings of
    `MUST_AGREE`, and the model that answered.
    """
    found = [name for name in MUST_AGREE if len({run.settings.get(name) for run in runs}) > 1]
    models = {run.models for run in runs} - {frozenset[str]()}
    return [
        *(["benchmark"] if not all(_same_benchmark(runs[0], run) for run in runs[1:]) else []),
        *found,
        *(["model that answered"] if len(models) > 1 else []),
    ]


def _same_benchmark(first: RunRecords, second: RunRecords) -> bool:
    """By what is in it, whatever its file is called: the same pairs, asked the same."""
    ours, theirs = ({pair.pair_id: pair for pair in run.pairs} for run in (first, second))
    return ours.keys() == theirs.keys() and all(same_asked(pair, theirs[name]) for name, pair in ours.items())


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


def corrected(family: Sequence[Difference]) -> list[Difference]:
    """The differences of one family with their corrected p-values."""
    return [
        dataclasses.replace(found, p_corrected=p)
        for found, p in zip(family, holm([found.p_value for found in family]), strict=True)
    ]


def mean_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], *, num_tests: int = 1
) -> Difference:
    """The second values minus the first, one by one, as `difference` has it for their plain mean.

    Args:
        first: values.
        second: as many.
        groups: the source of each.
        num_tests: how many tests the family has that this is one of.
    """
    steps = [b - a for a, b in zip(first, second, strict=True)]
    return difference(plain_table(steps, groups) if steps else None, steps, num_tests=num_tests)


def difference(table: Table | None, steps: Sequence[float], *, num_tests: int = 1) -> Difference:
    """What there is to say of differences pair by pair.

    The test gives each source's differences at random one sign or the other, whole sources together, since only they
    are independent; two-sided, with the weight that each row has in the headline. All signs are tried where there are
    few sources, else so many draws that the smallest p-value is still small after correction, with the observed one
    counted in, as Phipson & Smyth ask (Stat. Appl. Genet. Mol. Biol. 9 (2010), article 39). The minimum detectable
    difference is (t(1 - 0.05 / 2 num_tests) + t(0.8)) × the standard error, with as many degrees of freedom as sources
    less one: Bloom, Minimum Detectable Effects, Evaluation Review 19 (1995); `bench/coverage.md` has how often it is
    shown.

    Args:
        table: of the differences, row by row, without rounding; None: no pair has both.
        steps: the difference of each pair, for wins, ties and losses.
        num_tests: how many tests the family has that this is one of.
    """
    test = None if table is None else sign_test(table, num_tests)
    return _Difference(table=table, steps=steps, num_tests=num_tests, test=test).finished


def sign_test(table: Table, num_tests: int) -> tuple[float, float]:
    """The p-value, and the smallest that could have come out."""
    return sign_tests([table], num_tests)[0]


def sign_tests(tables: Sequence[Table], num_tests: int) -> list[tuple[float, float]]:
    """`sign_test` of each, all at once: the same numbers in a fraction of the time."""
    found: dict[int, tuple[float, float]] = {}
    drawn: dict[int, np.ndarray] = {}
    for place, table in enumerate(tables):
        totals = np.bincount(table.sources, weights=table.weights() * table.numbers)
        totals = totals[np.abs(totals) > _ROUNDING * np.abs(totals).sum()].astype(np.float32)  # 0 has no sign
        if len(totals) > _EXACT:
            drawn[place] = totals
            continue
        reached = np.abs(signs(len(totals)) @ totals) >= _observed(totals)
        found[place] = float(reached.mean()), 2.0 ** (1 - len(totals)) if len(totals) else 1.0
    if drawn:
        num_resamples = max(_NUM_RESAMPLES, math.ceil(_FLOOR * num_tests / ALPHA) - 1)
        num_reached = _num_reached(list(drawn.values()), num_resamples)
        for place, num in zip(drawn, num_reached, strict=True):
            found[place] = (1 + num) / (1 + num_resamples), 1 / (1 + num_resamples)
    return [found[place] for place in range(len(tables))]


def _observed(totals: np.ndarray) -> float:
    return abs(float(totals.sum())) - _ROUNDING * float(np.abs(totals).sum())


def _num_reached(of_tables: Sequence[np.ndarray], num_resamples: int) -> list[int]:
    """How many draws of signs give each table's totals a sum as far from 0 as the observed one."""
    columns = np.zeros((max(map(len, of_tables)), len(of_tables)), np.float32)
    for place, totals in enumerate(of_tables):
        columns[: len(totals), place] = totals
    observed = np.array([_observed(totals) for totals in of_tables])
    reached = np.zeros(len(of_tables), int)
    packed = _random_bits(len(columns), num_resamples)
    for start in range(0, num_resamples, _DRAWN_AT_ONCE):
        num = min(_DRAWN_AT_ONCE, num_resamples - start)
        of_draw = np.unpackbits(packed[:, start // 8 :], axis=1, count=num).astype(np.float32)
        of_draw *= -2
        of_draw += 1
        reached += (np.abs(of_draw.T @ columns) >= observed).sum(axis=0)
    return reached.tolist()


@lru_cache(maxsize=_EXACT + 1)
def signs(num: int) -> np.ndarray:
    """All ways to give a sign to each of `num`, ways × num."""
    ways = np.arange(2**num)[:, None] >> np.arange(num)
    return (1 - 2 * (ways & 1)).astype(np.float32)


@lru_cache(maxsize=4)
def _random_bits(num: int, num_resamples: int) -> np.ndarray:
    """A bit for each of `num` sources and each resample, packed along the resamples; always the same, and the first
    sources' whatever their number.
    """
    width = math.ceil(num_resamples / 64) * 8  # whole words of the generator
    return np.frombuffer(np.random.default_rng(0).bytes(num * width), np.uint8).reshape(num, width)


def _detectable(table: Table, num_tests: int) -> float | None:
    from scipy.special import stdtrit

    error = standard_error(table)
    freedom = table.num_sources - 1
    # no error at all: equal differences say nothing of how they would vary
    if not error or freedom < 1:
        return None
    return float(stdtrit(freedom, 1 - ALPHA / 2 / num_tests) + stdtrit(freedom, POWER)) * error


def _corrected(found: list[Comparison]) -> list[Comparison]:
    names = list(dict.fromkeys(name for entry in found for name in entry.headlines))
    of_headlines: list[dict[str, Difference]] = [{} for _ in found]
    for name in names:
        places = [place for place, entry in enumerate(found) if name in entry.headlines]
        for place, one in zip(places, corrected([found[place].headlines[name] for place in places]), strict=True):
            of_headlines[place][name] = one
    items = corrected([entry.overall for entry in found])

    def family(of_it: Mapping[str, Difference]) -> dict[str, Difference]:
        return dict(zip(of_it, corrected(list(of_it.values())), strict=True))

    return [
        dataclasses.replace(
            entry,
            headlines={name: headlines[name] for name in entry.headlines},
            overall=overall,
            categories=family(entry.categories),
            dimensions=family(entry.dimensions),
        )
        for entry, headlines, overall in zip(found, of_headlines, items, strict=True)
    ]


def _matches(runs: Sequence[RunRecords]) -> Iterator[tuple[RunRecords, RunRecords]]:
    def asked(run: RunRecords) -> tuple[str | None, str | None]:
        return run.settings.get("judge"), run.settings.get("rubric")

    others = [(a, b) for a, b in combinations(runs, 2) if a.root != b.root]
    alike = {(a.root, b.root) for a, b in others if asked(a) == asked(b)}
    for a, b in others:
        if asked(a) == asked(b) or (a.root, b.root) not in alike:
            yield a, b


Matched = Sequence[tuple[Pair, Mapping[str, float | None], Mapping[str, float | None]]]
"""Pairs that were asked the same, with the first run's and the second's numbers by name."""


def _draft(first: RunRecords, second: RunRecords, num_pairs_of_runs: int) -> _Draft:
    theirs = {pair.pair_id: pair for pair in second.pairs}
    common = [pair for pair in first.pairs if pair.pair_id in theirs]
    same = [pair for pair in common if same_asked(pair, theirs[pair.pair_id])]
    ends = [(pair, first.outcomes[pair.pair_id], second.outcomes[pair.pair_id]) for pair in same]
    rows = [(pair, {**a.row, "value": a.value}, {**b.row, "value": b.value}) for pair, a, b in ends]
    official = [(pair, a.row, b.row) for pair, a, b in ends]
    theirs_too = {headline.name for headline in second.headlines}
    headlines = [headline for headline in first.headlines if headline.name in theirs_too] or [ITEM_MEAN]
    low = [(p, a.low_row, b.low_row) for p, a, b in ends if a.status not in WAITING and b.status not in WAITING]
    known = first.scale is not None and second.scale is not None

    def over(part: Matched, value: str, num_tests: int) -> _Difference:
        return _of_headline(Headline(name=value, scale=(-math.inf, math.inf), values=(value,)), part, num_tests)

    of_headlines = {one.name: _of_headline(one, official, num_pairs_of_runs) for one in headlines}
    plain = [one.name for one in headlines if one.on(ITEM_MEAN.scale) == dataclasses.replace(ITEM_MEAN, name=one.name)]
    categories = {
        name: [row for row in rows if row[0].category == name]
        for name in first.categories
        if any(pair.category == name for pair in same)
    }
    dimensions = {
        name: [row for row in rows if name in row[1] and name in row[2]]
        for name in first.dimensions
        if any(name in a and name in b for _, a, b in rows)
    }
    rest = {
        "first": first.name,
        "second": second.name,
        "mean_failures_as_low": compute(_linear(headlines[0]), _steps(low, headlines[0])) if known else None,
        "num_failures_as_low": len(low) if known else 0,
        "redrawn": redraw(_linear(headlines[0]), first, second, _steps(official, headlines[0])),
        "num_only_first": sum(a.value is not None and b.value is None for _, a, b in ends),
        "num_only_second": sum(a.value is None and b.value is not None for _, a, b in ends),
        "num_asked_otherwise": len(common) - len(same),
    }
    return _Draft(
        headlines=of_headlines,
        overall=of_headlines[plain[0]] if plain else over(rows, "value", num_pairs_of_runs),
        categories={name: over(part, "value", len(categories)) for name, part in categories.items()},
        dimensions={name: over(part, name, len(dimensions)) for name, part in dimensions.items()},
        rest=rest,
    )


def _of_headline(headline: Headline, part: Matched, num_tests: int) -> _Difference:
    linear, rows = _linear(headline), _steps(part, headline)
    by_pair: dict[str, list[float]] = {}
    for pair, _, number in select(linear, rows):
        by_pair.setdefault(pair.pair_id, []).append(number)
    steps = [math.fsum(of_it) / len(of_it) for of_it in by_pair.values()]
    return _Difference(table=tabulate(linear, rows), steps=steps, num_tests=num_tests)


def _linear(headline: Headline) -> Headline:
    """Of differences: without rounding and offset, so that the headline of the differences is the difference."""
    levels = tuple(dataclasses.replace(level, digits=None) for level in headline.levels)
    return dataclasses.replace(headline, levels=levels, offset=0.0, digits=None)


def _steps(part: Matched, headline: Headline) -> Rows:
    return [
        (
            pair,
            {
                name: None if (x := a.get(name)) is None or (y := b.get(name)) is None else y - x
                for name in headline.values
            },
        )
        for pair, a, b in part
    ]


def same_asked(one: Pair, other: Pair) -> bool:
    """Whether editor and judge are asked the same about two pairs of one id: category, instruction, sources, rationale,
    references, and those of the benchmark's other columns that both have.
    """
    shared = one.fields.keys() & other.fields.keys()
    return _asked(one) == _asked(other) and all(one.fields[name] == other.fields[name] for name in shared)


def _asked(pair: Pair) -> tuple[Any, ...]:
    shown = {name: picture.sha256 for name, picture in pair.references.items()}
    return pair.category, pair.instruction, pair.turns, pair.sources_sha256, pair.rationale, shown
