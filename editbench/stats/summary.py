"""What is derived from a run's records: means with their denominators, intervals, failures, coverage and time."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from editbench.records import Pair, Score
from editbench.rubrics.headlines import Headline, compute, select
from editbench.stats.intervals import Interval, Range, headline_interval
from editbench.stats.outcomes import FAILED, NO_EDIT, SCORED, WAITING, Outcome, RunRecords
from editbench.stats.remarks import categories_of, remarks


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean over pairs, with the counts that it is based on; several tries of a pair count as one pair."""

    mean: float | None
    """Of the scored pairs only; None when there is none, never NaN."""
    num_scored: int
    num_pairs: int
    num_edited: int
    """Pairs with an edited image in at least one try."""
    num_failed: Mapping[str, int]
    """By kind, every kind of `FAILED`; with `num_scored`, `num_not_scored` and `num_pending` it adds up to all."""
    num_not_scored: int
    num_pending: int
    num_partial: int
    """Scored pairs some of whose replies or tries failed."""
    interval: Interval | None
    interval_note: str | None
    """Why there is no interval, such as `too few`; None when there is one."""
    range: Range | None
    """Lowest and highest value of the scored pairs; None when there is none."""
    mean_failures_as_low: float | None
    """The lower bound: every failure counted at the lowest, pairs that wait left out; None when nothing was scored or
    failed, and where the scale is not known."""

    @property
    def total_failed(self) -> int:
        """Over all kinds."""
        return sum(self.num_failed.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadlineValue:
    """One of the benchmark's own numbers for a run."""

    name: str
    value: float | None
    """None where nothing was scored, or a group that it needs has no number."""
    scale: tuple[float, float] | None
    """Lowest and highest that it can be; None: not known."""
    num_scored: int
    """Pairs that the value is over."""
    num_pairs: int
    """Pairs that it is meant to be over."""
    num_categories: int | None
    """Of a mean of categories over all pairs, how many of them have a number; None of any other headline."""
    num_categories_meant: int | None
    """Of how many, also those that no pair is of."""
    num_without_edit: int
    """How many of `num_scored` have no edit: the official formula gives such pairs a value."""
    interval: Interval | None
    interval_note: str | None
    """Why there is no interval; None when there is one."""
    value_failures_as_low: float | None
    """The same number with every failure at its dimension's lowest, pairs that wait left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tries:
    """What several tries of each pair say: they are no further pairs."""

    num_tries: int
    """Of each pair."""
    spread: float | None
    """How far a try is from its pair's mean: the square root of the pairs' mean variance; None without two tries."""
    num_pairs_spread: int
    """Pairs with two scored tries or more, which `spread` is over."""
    best_mean: float | None
    """Mean over pairs of the best of the tries that were scored: not what an editor gives in one try."""
    num_pairs_best: int
    """Pairs that `best_mean` is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a stage took: seconds of all the devices that worked on a pair, so twice the time where two did."""

    median_s: float | None
    """Median over the edits, or scored edits, that have a duration."""
    mean_s: float | None
    """Sum of the durations over the number that have one, failed ones too: they cost as much."""
    num_timed: int
    devices: Mapping[str, int]
    """How many each kind of device did."""

    @property
    def unit(self) -> str:
        """`CPU-s` when no other device was used, else `GPU-s`."""
        return "CPU-s" if self.devices and all(name == "cpu" for name in self.devices) else "GPU-s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a server counted for the edits, failed ones too, by what it said of each."""

    prices: Mapping[str, float]
    """Sum by currency, by the prices that the user gave; empty where none were given."""
    num_priced: int
    """Edits that `prices` is over."""
    num_unpriced: int
    """Edits with no price, since the server did not say how much it used: the true sum is higher."""
    usage: Mapping[str, float]
    """Sum by the server's own name, such as `output_tokens`; a dot leads into a group."""
    num_used: int
    """Edits that `usage` is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in numbers."""

    name: str
    headlines: tuple[HeadlineValue, ...]
    """The benchmark's own numbers; the first decides verdicts."""
    overall: Mean
    """The item mean of the pairs' value: every scored pair weighs the same."""
    categories: Mapping[str, Mean]
    """In the benchmark's order, also those of the rubric without pairs."""
    category_groups: Mapping[str, tuple[str, ...]]
    """Names of the categories by the name of their group, `""` for those without one."""
    dimensions: Mapping[str, Mean]
    """Each over the pairs that were asked for it."""
    dimension_scales: Mapping[str, tuple[float, float] | None]
    """Lowest and highest reading; None: not known."""
    languages: Mapping[str, Mean]
    """In order of appearance."""
    failures: Mapping[str, Mapping[str, int]]
    """Replies without readings, by the judge's call and kind."""
    num_replies: Mapping[str, int]
    """Replies by call, with and without readings."""
    num_retried: int
    """Pairs of which a call was answered several times (`--repeats`)."""
    tries: Tries | None
    """None: one try a pair."""
    models: Mapping[str, int]
    """Replies by the model that answered, in a server's own words; empty where none says."""
    editing: Cost
    scoring: Cost
    spent: Spent | None
    """None where no edit records a price or usage."""
    flags: Mapping[str, int]
    """How many edits have each flag: `unchanged`, `constant`, `resized` and whatever else stands in the records."""
    scale: tuple[float, float] | None
    """Of a pair's value; None: not known."""
    remarks: tuple[str, ...]
    """What a reader should know before the numbers, a sentence each, the most important first."""
    num_waiting: int
    """Pairs of which an edit or a score of at least one try is still to be made."""

    @property
    def complete(self) -> bool:
        """Whether nothing is waiting to be edited or scored."""
        return not self.num_waiting

    @property
    def state(self) -> str:
        """`complete`, or `part of a run: 412 of 606 edited, 400 scored`."""
        o = self.overall
        if self.complete:
            return "complete"
        return f"part of a run: {o.num_edited} of {o.num_pairs} edited, {o.num_scored} scored"


def summarize(run: RunRecords) -> Summary:
    """Everything that the report says of a run in numbers; deterministic."""
    by_category: dict[str, list[Pair]] = {category: [] for category in run.categories}
    by_language: dict[str, list[Pair]] = {}
    by_dimension: dict[str, list[Pair]] = {name: [] for name in run.dimensions}
    for pair in run.pairs:
        by_category[pair.category].append(pair)
        by_language.setdefault(pair.language, []).append(pair)
        for name in run.outcomes[pair.pair_id].dimension_status:
            by_dimension[name].append(pair)
    edits, scores = list(run.edits.values()), list(run.scores.values())
    answers = [answer for score in scores for answer in score.answers]
    flags = Counter({"unchanged": 0, "constant": 0, "resized": 0})
    flags.update(flag for edit in edits for flag in edit.flags if edit.image is not None)
    failures: dict[str, Counter[str]] = {answer.call: Counter() for answer in answers}
    for answer in answers:
        failures[answer.call].update([answer.failure] if answer.failure else [])
    return Summary(
        name=run.name,
        headlines=tuple(headline_value(run, headline) for headline in run.headlines),
        overall=mean_of(run, run.pairs),
        categories={name: mean_of(run, pairs) for name, pairs in by_category.items()},
        category_groups=run.category_groups,
        dimensions={name: mean_of(run, pairs, name) for name, pairs in by_dimension.items()},
        dimension_scales=run.dimensions,
        languages={name: mean_of(run, pairs) for name, pairs in by_language.items()},
        failures={call: dict(kinds) for call, kinds in failures.items()},
        num_replies=dict(Counter(answer.call for answer in answers)),
        num_retried=len({score.pair_id for score in scores if any(answer.repeat for answer in score.answers)}),
        tries=_tries(run),
        models=dict(Counter(answer.model for answer in answers if answer.model).most_common()),
        editing=_cost([(edit.duration_s, edit.device) for edit in edits]),
        scoring=_cost([(_duration(one), one.device) for one in scores]),
        spent=_spent([edit.details for edit in edits]),
        flags=dict(flags),
        scale=run.scale,
        remarks=remarks(run),
        num_waiting=sum(end.waits for end in run.outcomes.values()),
    )


def mean_of(run: RunRecords, pairs: Sequence[Pair], dimension: str | None = None) -> Mean:
    """The mean of some pairs of a run, of their value or of one dimension that all of them were asked for.

    The lower bound is the mean with each failure at its lowest. Every reading is at least the lowest, so turning one
    into a failure can't raise it: the worst-case bound for missing data of Manski, Partial Identification of
    Probability Distributions (2003), chapter 1. Pairs that wait are in neither mean.
    """
    ends = [run.outcomes[pair.pair_id] for pair in pairs]
    rows = [(pair, {"mean": _number(end, dimension)}) for pair, end in zip(pairs, ends, strict=True)]
    values = [number for _, row in rows if (number := row["mean"]) is not None]
    count = Counter(end.status if dimension is None else end.dimension_status[dimension] for end in ends)
    headline = Headline(name="mean", scale=_scale(run, dimension), values=("mean",))
    interval, note = headline_interval(headline, rows)
    low = [_low(end, dimension) for end in ends if end.status in FAILED or end.status == SCORED]
    known = [number for number in low if number is not None]
    return Mean(
        mean=math.fsum(values) / len(values) if values else None,
        num_scored=len(values),
        num_pairs=len(pairs),
        num_edited=sum(any(_has_image(run, pair, number) for number in range(run.num_tries)) for pair in pairs),
        num_failed={kind: count[kind] for kind in FAILED},
        num_not_scored=count["not scored"],
        num_pending=count["pending"],
        num_partial=sum(end.is_partial for end in ends),
        interval=interval,
        interval_note=note,
        range=Range(low=min(values), high=max(values)) if values else None,
        mean_failures_as_low=math.fsum(known) / len(known) if low and len(known) == len(low) else None,
    )


def headline_value(run: RunRecords, headline: Headline) -> HeadlineValue:
    """A headline of a run, with its interval and its lower bound."""
    num_pairs = sum(headline.where is None or headline.where(pair) for pair in run.pairs)
    # all rows: pairs that the headline leaves out may still decide how the others are grouped
    rows = [(pair, run.outcomes[pair.pair_id].row) for pair in run.pairs]
    low = [(pair, end.low_row) for pair in run.pairs if (end := run.outcomes[pair.pair_id]).status not in WAITING]
    counted = {pair.pair_id for pair, _, _ in select(headline, rows)}
    interval, note = headline_interval(headline, rows)
    categories = categories_of(run, headline)
    return HeadlineValue(
        name=headline.name,
        value=compute(headline, rows),
        scale=headline.scale if all(math.isfinite(end) for end in headline.scale) else None,
        num_scored=len(counted),
        num_pairs=num_pairs,
        num_categories=None if categories is None else len(categories),
        num_categories_meant=None if categories is None else len(run.categories),
        num_without_edit=sum(run.outcomes[name].status in NO_EDIT for name in counted),
        interval=interval,
        interval_note=note,
        value_failures_as_low=compute(headline, low) if run.scale else None,
    )


def _number(end: Outcome, dimension: str | None) -> float | None:
    return end.value if dimension is None else end.dimensions.get(dimension)


def _low(end: Outcome, dimension: str | None) -> float | None:
    return end.low_values.get("value") if dimension is None else end.low_dimensions.get(dimension)


def _scale(run: RunRecords, dimension: str | None) -> tuple[float, float]:
    found = run.scale if dimension is None else run.dimensions.get(dimension)
    return found or (-math.inf, math.inf)


def _has_image(run: RunRecords, pair: Pair, number: int) -> bool:
    edit = run.edits.get((pair.pair_id, number))
    return edit is not None and edit.image is not None


def _tries(run: RunRecords) -> Tries | None:
    if run.num_tries == 1:
        return None
    ends = list(run.outcomes.values())
    spreads = [end.spread for end in ends if end.spread is not None]
    bests = [end.best for end in ends if end.best is not None]
    return Tries(
        num_tries=run.num_tries,
        spread=math.sqrt(math.fsum(spread**2 for spread in spreads) / len(spreads)) if spreads else None,
        num_pairs_spread=len(spreads),
        best_mean=math.fsum(bests) / len(bests) if bests else None,
        num_pairs_best=len(bests),
    )


def _duration(score: Score) -> float | None:
    """Of all calls about one edit, on all of the judge's GPUs."""
    known = [answer.duration_s for answer in score.answers if answer.duration_s is not None]
    return score.num_gpus * math.fsum(known) if known else None


def _cost(taken: Sequence[tuple[float | None, str]]) -> Cost:
    timed = [(took, device) for took, device in taken if took is not None]
    durations = [took for took, _ in timed]
    return Cost(
        median_s=statistics.median(durations) if durations else None,
        mean_s=math.fsum(durations) / len(durations) if durations else None,
        num_timed=len(durations),
        devices=dict(Counter(device for _, device in timed if device).most_common()),
    )


def _spent(details: Sequence[Mapping[str, Any]]) -> Spent | None:
    """Of the edits' details; an edit of several turns has one for each turn, and its price is their sum."""
    prices: dict[str, float] = {}
    usage: dict[str, float] = {}
    num_priced = num_unpriced = num_used = 0
    for one in details:
        turns: list[Mapping[str, Any]] = one.get("turns") or [one]
        if "price" in one:
            price: float | None = one["price"]
            num_priced, num_unpriced = num_priced + (price is not None), num_unpriced + (price is None)
            currency: str = next((turn["currency"] for turn in turns if "currency" in turn), "")
            prices[currency] = prices.get(currency, 0.0) + (price or 0.0)
        used = [turn["usage"] for turn in turns if turn.get("usage")]
        num_used += bool(used)
        for name, number in (entry for of_turn in used for entry in _flat(of_turn).items()):
            usage[name] = usage.get(name, 0) + number
    if not num_priced + num_unpriced + num_used:
        return None
    return Spent(
        prices={currency: round(total, 9) for currency, total in prices.items()} if num_priced else {},
        num_priced=num_priced,
        num_unpriced=num_unpriced,
        usage=usage,
        num_used=num_used,
    )


def _flat(usage: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in usage.items():
        if isinstance(value, Mapping):
            inner = _flat(cast(Mapping[str, Any], value))
            found |= {f"{name}.{part}": number for part, number in inner.items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found
