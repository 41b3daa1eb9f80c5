"""How far a judge agrees with people: item by item, by category and run, in ranking runs, and in level.

`stats/README.md` says what each number is and where published ones mislead.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from editbench.records import Pair
from editbench.stats.comparison import TIE_DIGITS
from editbench.stats.correlation import TIE_RULE, Estimate, estimate, in_order, kendall, spearman
from editbench.stats.headlines import Table, plain_table
from editbench.stats.human_ratings import Preference, Rating
from editbench.stats.intervals import MIN_GROUPS, TOO_FEW, Interval, degrees_of_freedom, mean_interval, standard_error
from editbench.stats.outcomes import RunRecords, group_of

Statistic = Callable[[np.ndarray, np.ndarray], float]
WAYS: Mapping[str, tuple[Statistic, tuple[float, float]]] = {
    "Spearman": (spearman, (-1.0, 1.0)),
    "Kendall tau-b": (kendall, (-1.0, 1.0)),
    "pairs in order": (in_order, (0.0, 1.0)),
}
"""How two lists of values are compared, each with the lowest and highest that it can be."""
SHARED = "preferences shared"
_FEWEST_OF_RATER = 5  # ratings that others rated too: below it a person's own correlation says nothing
_NUM_BINS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One way to say how far the judge and people agree."""

    name: str
    judge: Estimate
    """The judge with the mean of all people, or with each preference."""
    judge_with_others: Estimate | None
    """The judge with the mean of all people but one, averaged over the people left out, on the edits that the one
    rated: what `person_with_others` is to be compared with. None where no two people rated the same."""
    person_with_others: Estimate | None
    """One person with the mean of the others, averaged over people: no judge need do better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """All edits, or those of a category or a run."""

    name: str
    num_items: int
    """Edits that were rated and scored; of preferences, preferences."""
    measures: tuple[Measure, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Averages:
    """A correlation averaged over runs."""

    name: str
    mean: float | None
    """Of the runs' correlations."""
    fisher: float | None
    """tanh(mean(atanh ρ)); a run with a correlation of ±1 makes it ±1."""
    num_runs: int
    """Runs that it is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A run by the judge and by people."""

    run: str
    judge: float
    """Mean of the judge's values over the edits that people rated."""
    people: float
    """Mean of people's means over the same edits; of preferences the share of comparisons won, ties counting half."""
    num_items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Runs ranked by the judge against runs ranked by people."""

    standings: tuple[Standing, ...]
    """The best by people first."""
    measures: tuple[Measure, ...]
    """Over the runs; none of fewer than three."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Edits that the judge gave about the same value."""

    low: float
    """Lowest of the judge's values in it."""
    high: float
    num_items: int
    judge: float
    """Mean of the judge's values."""
    people: float
    """Mean of people's means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Whether the judge's numbers mean to people what they say, on the judge's scale."""

    bins: tuple[Bin, ...]
    """By the judge's value, equally many edits in each as far as ties allow."""
    bias: Estimate
    """Judge less people."""
    slope: float | None
    """People's units for one of the judge's, by least squares; 1 where a difference means to people what it says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """A run's mean with the judge's bias taken off."""

    run: str
    mean: float
    """Item mean of the judge over all scored edits."""
    corrected: float
    """Less the judge's bias on the rated edits."""
    interval: Interval | None
    """Of `corrected`: it has the error of the bias in it."""
    interval_note: str | None
    num_scored: int
    num_rated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Everything that is reported."""

    runs: tuple[str, ...]
    num_rated: int
    """Edits that people rated and the judge scored; of preferences, pairs."""
    num_raters: int
    """People who gave their name; 0: the file does not say."""
    num_left_out: int
    """Ratings of edits that are in no run or have no value there."""
    num_ties: int
    """Preferences for neither, which are left out; of scores the pairs of edits with one mean."""
    differ: tuple[str, ...]
    """Settings in which the runs' scores are of different things."""
    pooled: Part
    by_category: tuple[Part, ...]
    by_run: tuple[Part, ...]
    """Of preferences by each two runs."""
    averages: tuple[Averages, ...]
    """Over the runs; of scores of two runs or more."""
    within: Part | None
    """Of scores of several runs: each two runs' edits of one pair, by the order that people's means give."""
    system: System | None
    """None of one run."""
    calibration: Calibration | None
    """Of scores whose scale is known."""
    corrected: tuple[Corrected, ...]
    """By run; of scores whose scale is known."""
    rule: str
    """How ties count."""


@dataclass(kw_only=True, slots=True)
class _Item:
    """One edit that people rated."""

    run: str
    pair: Pair
    judge: float
    ratings: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    @property
    def people(self) -> float:
        return math.fsum(value for _, value in self.ratings) / len(self.ratings)


def with_scores(
    runs: Mapping[str, RunRecords],
    ratings: Sequence[Rating],
    *,
    scale: tuple[float, float] | None = None,
    differ: Sequence[str] = (),
) -> Agreement:
    """The judge's values against people's scores.

    The ceiling is one person against the mean of the others, averaged over people: the lower bound of the noise ceiling
    of Nili et al., A Toolbox for Representational Similarity Analysis, PLoS Comput. Biol. 10 (2014). The judge is
    compared with the same means.

    Args:
        runs: by name.
        ratings: of their edits; those of other edits are counted and left out.
        scale: lowest and highest that people could give, mapped to the judge's scale; None: what people mean by a
            number is not known, so that there is neither calibration nor a corrected mean.
        differ: settings in which the runs differ.
    """
    items, left_out = _items(runs, ratings)
    by_run = [part for name in runs if (part := _part(name, [item for item in items if item.run == name])).num_items]
    categories = dict.fromkeys(category for run in runs.values() for category in run.categories)
    judged_on = next(iter(runs.values())).scale
    mapped = _mapped(items, scale, judged_on) if scale and judged_on else None
    pooled = by_run[0] if len(by_run) == 1 else _part("all", items)
    _, ties = np.unique([item.people for item in items], return_counts=True)
    return Agreement(
        runs=tuple(runs),
        num_rated=len(items),
        num_raters=len({rating.rater for rating in ratings if rating.rater}),
        num_left_out=left_out,
        num_ties=sum(math.comb(int(tie), 2) for tie in ties),
        differ=tuple(differ),
        pooled=pooled,
        by_category=tuple(
            _part(name, of_it)
            for name in categories
            if len(categories) > 1 and (of_it := [item for item in items if item.pair.category == name])
        ),
        by_run=tuple(by_run) if len(by_run) > 1 else (),
        averages=_averages(by_run) if len(by_run) > 1 else (),
        within=_within(items) if len(by_run) > 1 else None,
        system=_system(items) if len(by_run) > 1 else None,
        calibration=_calibration(items, mapped) if mapped is not None and items else None,
        corrected=tuple(_corrected(runs[part.name], part.name, items, mapped) for part in by_run)
        if mapped is not None
        else (),
        rule=TIE_RULE,
    )


def with_preferences(
    runs: Mapping[str, RunRecords], preferences: Sequence[Preference], *, differ: Sequence[str] = ()
) -> Agreement:
    """The judge's order of edits of one pair against people's, preference by preference.

    The ceiling is each person against the majority of the others, an even split counting half; the judge is compared
    with the same majorities.

    Args:
        runs: by name.
        preferences: between their edits; those of other edits are counted and left out.
        differ: settings in which the runs differ.
    """
    pairs = {pair.pair_id: pair for run in runs.values() for pair in run.pairs}
    usable: list[_Compared] = []
    for one in preferences:
        a, b = (runs[name].outcomes.get(one.pair_id) for name in (one.first, one.second))
        if a is not None and b is not None and a.value is not None and b.value is not None:
            usable.append((one, pairs[one.pair_id], _sign(b.value - a.value)))
    firm = [row for row in usable if row[0].sign]
    votes: dict[tuple[str, ...], tuple[int, int]] = {}
    for one, _, _ in usable:
        total, number = votes.get(_of_two(one), (0, 0))
        votes[_of_two(one)] = total + _in_order_of_names(one), number + 1
    categories = dict.fromkeys(category for run in runs.values() for category in run.categories)
    of_two = list(dict.fromkeys(_of_two(one)[1:] for one, _, _ in firm))
    return Agreement(
        runs=tuple(runs),
        num_rated=len({one.pair_id for one, _, _ in usable}),
        num_raters=len({one.rater for one in preferences if one.rater}),
        num_left_out=len(preferences) - len(usable),
        num_ties=len(usable) - len(firm),
        differ=tuple(differ),
        pooled=_shared("all", firm, votes),
        by_category=tuple(
            _shared(name, of_it, votes)
            for name in categories
            if len(categories) > 1 and (of_it := [row for row in firm if row[1].category == name])
        ),
        by_run=tuple(
            _shared(", ".join(names), [row for row in firm if _of_two(row[0])[1:] == names], votes) for names in of_two
        )
        if len(of_two) > 1
        else (),
        averages=(),
        within=None,
        system=_system_of_wins(runs, usable),
        calibration=None,
        corrected=(),
        rule="a tie of the judge, or an even split of the others, counts half; people's ties are left out",
    )


def _items(runs: Mapping[str, RunRecords], ratings: Sequence[Rating]) -> tuple[list[_Item], int]:
    """The edits that were rated and scored, and how many ratings are of others."""
    pairs = {name: {pair.pair_id: pair for pair in run.pairs} for name, run in runs.items()}
    found: dict[tuple[str, str], _Item] = {}
    left_out = 0
    for rating in ratings:
        key = rating.run, rating.pair_id
        if key not in found:
            pair = pairs[rating.run].get(rating.pair_id)
            value = runs[rating.run].outcomes[pair.pair_id].value if pair else None
            if pair is None or value is None:
                left_out += 1
                continue
            found[key] = _Item(run=rating.run, pair=pair, judge=value)
        found[key].ratings.append((rating.rater, rating.value))
    return list(found.values()), left_out


def _part(name: str, items: Sequence[_Item]) -> Part:
    """The three measures of some edits."""
    judge = np.array([item.judge for item in items])
    people = np.array([item.people for item in items])
    groups = [group_of(item.pair) for item in items]
    raters = _raters(items)
    measures: list[Measure] = []
    for way, (statistic, ends) in WAYS.items():

        def of_all(at: np.ndarray, statistic: Statistic = statistic) -> float:
            return statistic(judge[at], people[at])

        measures.append(
            Measure(
                name=way,
                judge=estimate(of_all, groups, ends),
                judge_with_others=_mean_over_people(raters, "judge", statistic, groups, ends),
                person_with_others=_mean_over_people(raters, "person", statistic, groups, ends),
            )
        )
    return Part(name=name, num_items=len(items), measures=tuple(measures))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rater:
    """One person's edits that others rated too."""

    places: np.ndarray
    """Of the items."""
    judge: np.ndarray
    person: np.ndarray
    others: np.ndarray
    """Mean of the others' ratings."""


def _raters(items: Sequence[_Item]) -> list[_Rater]:
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for place, item in enumerate(items):
        total = math.fsum(value for _, value in item.ratings)
        for rater, value in item.ratings if len(item.ratings) > 1 else ():
            if rater:
                rest = (total - value) / (len(item.ratings) - 1)
                rows.setdefault(rater, []).append((place, item.judge, value, rest))
    found: list[_Rater] = []
    for of_rater in rows.values():
        if len(of_rater) >= _FEWEST_OF_RATER:
            places, judge, person, others = np.array(of_rater).T
            found.append(_Rater(places=places.astype(int), judge=judge, person=person, others=others))
    return found


def _mean_over_people(
    raters: Sequence[_Rater], who: str, statistic: Statistic, groups: Sequence[str], ends: tuple[float, float]
) -> Estimate | None:
    if not raters:
        return None

    def mean(at: np.ndarray) -> float:
        times = np.bincount(at, minlength=len(groups))
        found: list[float] = []
        for rater in raters:
            rows = np.repeat(np.arange(len(rater.places)), times[rater.places])
            found.append(statistic(getattr(rater, who)[rows], rater.others[rows]))
        defined = [value for value in found if not math.isnan(value)]
        return math.fsum(defined) / len(defined) if defined else math.nan

    return estimate(mean, groups, ends)


def _averages(parts: Sequence[Part]) -> tuple[Averages, ...]:
    """Of the two correlations."""
    found: list[Averages] = []
    for way in ("Spearman", "Kendall tau-b"):
        ours = [measure.judge.value for part in parts for measure in part.measures if measure.name == way]
        values = [value for value in ours if value is not None]
        with np.errstate(divide="ignore", invalid="ignore"):
            fisher = float(np.tanh(np.mean(np.arctanh(values)))) if values else math.nan
        found.append(
            Averages(
                name=way,
                mean=math.fsum(values) / len(values) if values else None,
                fisher=None if math.isnan(fisher) else fisher,
                num_runs=len(values),
            )
        )
    return tuple(found)


def _within(items: Sequence[_Item]) -> Part:
    """Each two edits of one pair, as preferences that people's means make."""
    by_pair: dict[str, list[_Item]] = {}
    for item in items:
        by_pair.setdefault(item.pair.pair_id, []).append(item)
    judged: list[int] = []
    said: list[int] = []
    groups: list[str] = []
    for of_pair in by_pair.values():
        for place, a in enumerate(of_pair):
            for b in of_pair[place + 1 :]:
                if sign := _sign(b.people - a.people):
                    judged.append(_sign(b.judge - a.judge))
                    said.append(sign)
                    groups.append(group_of(a.pair))
    measure = Measure(
        name="edits of one pair in order",
        judge=_share(np.array(judged), np.array(said), groups),
        judge_with_others=None,
        person_with_others=None,
    )
    return Part(name="within one instruction", num_items=len(said), measures=(measure,))


_Compared = tuple[Preference, Pair, int]
"""A preference, its pair, and the sign of the judge's own."""


def _shared(name: str, rows: Sequence[_Compared], votes: Mapping[tuple[str, ...], tuple[int, int]]) -> Part:
    groups = [group_of(pair) for _, pair, _ in rows]
    said = np.array([_in_order_of_names(one) for one, _, _ in rows])
    judged = np.array([sign if one.first < one.second else -sign for one, _, sign in rows])
    rest = np.array([_sign(votes[_of_two(one)][0] - _in_order_of_names(one)) for one, _, _ in rows])
    held = np.array([votes[_of_two(one)][1] > 1 for one, _, _ in rows], dtype=bool)
    kept = [group for group, is_held in zip(groups, held, strict=True) if is_held]
    measure = Measure(
        name=SHARED,
        judge=_share(judged, said, groups),
        judge_with_others=_share(judged[held], rest[held], kept) if kept else None,
        person_with_others=_share(said[held], rest[held], kept) if kept else None,
    )
    return Part(name=name, num_items=len(rows), measures=(measure,))


def _share(ours: np.ndarray, theirs: np.ndarray, groups: Sequence[str]) -> Estimate:
    """The share of signs that are the same, 0 on either side counting half."""
    same = (1 + ours * theirs) / 2

    def mean(at: np.ndarray) -> float:
        return float(same[at].mean()) if len(at) else math.nan

    return estimate(mean, groups, (0.0, 1.0))


def _of_two(one: Preference) -> tuple[str, ...]:
    return one.pair_id, *sorted((one.first, one.second))


def _in_order_of_names(one: Preference) -> int:
    """The sign of a preference of the one run or the other, whichever the file named first."""
    return one.sign if one.first < one.second else -one.sign


def _sign(step: float) -> int:
    step = round(step, TIE_DIGITS)
    return (step > 0) - (step < 0)


def _system(items: Sequence[_Item]) -> System:
    names = list(dict.fromkeys(item.run for item in items))
    number = np.array([names.index(item.run) for item in items])
    judge, people = np.array([item.judge for item in items]), np.array([item.people for item in items])
    return _ranked(names, number, judge, people, [group_of(item.pair) for item in items])


def _system_of_wins(runs: Mapping[str, RunRecords], rows: Sequence[_Compared]) -> System:
    """Each comparison counts for both of its runs."""
    names = list(runs)
    found: list[tuple[int, float, float, str]] = []
    for one, pair, _ in rows:
        for name, won in ((one.first, -one.sign), (one.second, one.sign)):
            value = runs[name].outcomes[one.pair_id].value
            assert value is not None
            found.append((names.index(name), value, (1 + won) / 2, group_of(pair)))
    number = np.array([row[0] for row in found], dtype=int)
    judge, people = np.array([row[1] for row in found]), np.array([row[2] for row in found])
    return _ranked(names, number, judge, people, [row[3] for row in found])


def _ranked(
    names: Sequence[str], number: np.ndarray, judge: np.ndarray, people: np.ndarray, groups: Sequence[str]
) -> System:
    """Runs by their means.

    Args:
        names: of the runs.
        number: of each item, the place of its run.
        judge: of each item.
        people: of each item.
        groups: of each item.
    """
    sizes = np.bincount(number, minlength=len(names))
    present = np.flatnonzero(sizes)

    def means(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        totals = np.bincount(number[at], weights=values[at], minlength=len(names))
        with np.errstate(invalid="ignore"):
            return totals[present] / np.bincount(number[at], minlength=len(names))[present]

    measures: list[Measure] = []
    for way, (statistic, ends) in WAYS.items() if len(present) > 2 else ():

        def over_runs(at: np.ndarray, statistic: Statistic = statistic) -> float:
            a, b = means(judge, at), means(people, at)
            return math.nan if np.isnan(a).any() else statistic(a, b)

        found = estimate(over_runs, groups, ends)
        measures.append(Measure(name=way, judge=found, judge_with_others=None, person_with_others=None))
    everything = np.arange(len(number))
    standings = [
        Standing(run=names[place], judge=float(of_judge), people=float(of_people), num_items=int(sizes[place]))
        for place, of_judge, of_people in zip(
            present.tolist(), means(judge, everything), means(people, everything), strict=True
        )
    ]
    return System(standings=tuple(sorted(standings, key=lambda one: -one.people)), measures=tuple(measures))


def _mapped(items: Sequence[_Item], scale: tuple[float, float], to: tuple[float, float]) -> np.ndarray:
    """People's means on the judge's scale."""
    share = (np.array([item.people for item in items]) - scale[0]) / (scale[1] - scale[0])
    return to[0] + share * (to[1] - to[0])


def _calibration(items: Sequence[_Item], people: np.ndarray) -> Calibration:
    judge = np.array([item.judge for item in items])
    groups = [group_of(item.pair) for item in items]
    steps = (judge - people).tolist()
    interval, note = mean_interval(steps, groups)
    levels = np.unique(judge)
    if len(levels) > _NUM_BINS:
        levels = np.unique(np.quantile(judge, np.linspace(0, 1, _NUM_BINS + 1))[:-1])
    which = np.searchsorted(levels, judge, "right") - 1  # a bin goes from its level up to the next
    bins = [
        Bin(
            low=float(judge[which == place].min()),
            high=float(judge[which == place].max()),
            num_items=int((which == place).sum()),
            judge=float(judge[which == place].mean()),
            people=float(people[which == place].mean()),
        )
        for place in np.unique(which).tolist()
    ]
    spread = float(((judge - judge.mean()) ** 2).sum())
    return Calibration(
        bins=tuple(bins),
        bias=Estimate(value=math.fsum(steps) / len(steps), interval=interval, interval_note=note),
        slope=float(((judge - judge.mean()) * (people - people.mean())).sum()) / spread if spread else None,
    )


def _corrected(run: RunRecords, name: str, items: Sequence[_Item], mapped: np.ndarray) -> Corrected:
    """The difference estimator: the mean of all values, less the mean of judge less people on the rated edits.

    The variances of both means are added, each by source (Angelopoulos et al., Prediction-powered Inference, Science
    382 (2023)). It is right where the rated edits are a random draw of all.
    """
    scored = [(value, pair) for pair in run.pairs if (value := run.outcomes[pair.pair_id].value) is not None]
    values = [value for value, _ in scored]
    steps = [
        (item.judge - people, item.pair)
        for item, people in zip(items, mapped.tolist(), strict=True)
        if item.run == name
    ]
    mean = math.fsum(values) / len(values)
    bias = math.fsum(step for step, _ in steps) / len(steps)
    interval, note = None, TOO_FEW
    if len({group_of(pair) for _, pair in steps}) >= MIN_GROUPS:
        interval, note = _joint(
            plain_table(values, [group_of(pair) for _, pair in scored]),
            plain_table([step for step, _ in steps], [group_of(pair) for _, pair in steps]),
            mean - bias,
        )
    return Corrected(
        run=name,
        mean=mean,
        corrected=mean - bias,
        interval=interval,
        interval_note=note,
        num_scored=len(values),
        num_rated=len(steps),
    )


def _joint(of_all: Table, of_rated: Table, value: float) -> tuple[Interval | None, str | None]:
    from scipy.special import stdtrit

    tables = (of_all, of_rated)
    errors = [standard_error(table) or 0.0 for table in tables]
    variance = math.fsum(error**2 for error in errors)
    if not variance:
        return None, "all are equal"
    by_freedom = [error**4 / degrees_of_freedom(table)[0] for error, table in zip(errors, tables, strict=True) if error]
    reach = float(stdtrit(variance**2 / math.fsum(by_freedom), 0.975)) * math.sqrt(variance)
    low, high, num = value - reach, value + reach, of_rated.num_sources
    return Interval(low=low, high=high, num_groups=num, method="difference estimator"), None
