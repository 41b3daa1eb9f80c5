"""What is derived from a run's records: means with their denominators, intervals, failures, coverage and time."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from editbench.records import CATEGORIES, FAILURES, Category, Edit, Pair, Score
from editbench.stats.intervals import MIN_GROUPS, TOO_FEW, Interval, bootstrap_interval, mean_interval, sum_up

SCORED = "scored"
FAILED: tuple[str, ...] = ("edit failed", "edit refused", *FAILURES)
"""The ways to end without a value; each counts at the scale's bottom in `mean_failures_as_low`."""
WAITING: tuple[str, ...] = ("not scored", "pending")
"""Not failures: edited but not scored yet, and not edited yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecords:
    """A run directory's records, as plain data."""

    name: str
    """What the report calls it: `run`; with several score files `run · score_file`."""
    run: str
    """The run directory's name, or its path where two runs of a report share the name."""
    score_file: str | None
    """Name of the file under `scores/`, without ending; None when the run has none."""
    root: Path
    """The run directory; every image path stands below it."""
    pairs: tuple[Pair, ...]
    """Everything selected, in benchmark order."""
    sources: Mapping[str, str]
    """Path of the source image below the root, by pair id."""
    edits: Mapping[str, Edit]
    """By pair id; one that is missing is pending."""
    scores: Mapping[str, Score]
    """By pair id; one that is missing is not scored yet."""
    settings: Mapping[str, str]
    """A few lines to show: benchmark, editor, judge, rubric, language, seed."""
    scale: tuple[float, float] = (0.0, 10.0)
    """The rubric's lowest and highest value."""
    controls: "RunRecords | None" = None
    """The same judge's scores of edits whose worth is known, made from this run's pairs; None when there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a pair ended: a value, or the kind of failure and its reason."""

    status: str
    """`scored`, one of `FAILED` or one of `WAITING`."""
    value: float | None = None
    """On the run's scale; None unless scored."""
    reason: str | None = None
    """The failure in a sentence, where there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean over pairs with everything that it is over."""

    mean: float | None
    """Of the scored pairs only; None when there is none, never NaN."""
    num_scored: int
    num_pairs: int
    num_edited: int
    """Pairs with an edited image."""
    num_failed: Mapping[str, int]
    """By kind, every kind of `FAILED`; with `num_scored`, `num_not_scored` and `num_pending` it adds up to all."""
    num_not_scored: int
    num_pending: int
    interval: Interval | None
    interval_note: str | None
    """Why there is no interval, such as `too few`; None when there is one."""
    mean_failures_as_low: float | None
    """The lower bound: every failure counted at the scale's bottom; None when nothing was scored or failed."""

    @property
    def total_failed(self) -> int:
        """Over all kinds."""
        return sum(self.num_failed.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a stage took, seconds on one device."""

    median_s: float | None
    """Median over the pairs that have a duration."""
    mean_s: float | None
    """Sum of the durations over the number of pairs that have one, failed ones too: they cost as much."""
    num_timed: int
    devices: Mapping[str, int]
    """How many pairs each kind of device did."""

    @property
    def unit(self) -> str:
        """`CPU-s` when no other device was used, else `GPU-s`."""
        return "CPU-s" if self.devices and all(name == "cpu" for name in self.devices) else "GPU-s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in numbers."""

    name: str
    overall: Mean
    """The item mean: every scored pair weighs the same."""
    categories: Mapping[Category, Mean]
    """All of `CATEGORIES`, also those without pairs."""
    category_mean: float | None
    """The official mean: the unweighted mean of the category means; None when no category has one."""
    category_interval: Interval | None
    """Of `category_mean`."""
    category_interval_note: str | None
    """Why there is none; None when there is one."""
    category_mean_failures_as_low: float | None
    """The unweighted mean of the categories' lower bounds."""
    num_categories_scored: int
    """Categories that `category_mean` is over."""
    num_categories: int
    """Categories that have pairs."""
    editing: Cost
    scoring: Cost
    flags: Mapping[str, int]
    """How many edits bear each flag: `unchanged`, `constant`, `resized` and whatever else stands in the records."""
    scale: tuple[float, float]

    @property
    def complete(self) -> bool:
        """Whether nothing is waiting to be edited or scored."""
        return not self.overall.num_pending and not self.overall.num_not_scored

    @property
    def state(self) -> str:
        """`complete`, or `part of a run: 412 of 606 edited, 400 scored`."""
        o = self.overall
        if self.complete:
            return "complete"
        return f"part of a run: {o.num_edited} of {o.num_pairs} edited, {o.num_scored} scored"


def numbered(num: int, noun: str) -> str:
    """`1 pair`, `12 pairs`, `1,200 pairs`."""
    return f"{num:,} {noun}{'' if num == 1 else 's'}"


def outcome(run: RunRecords, pair_id: str) -> Outcome:
    """How one pair of a run ended; a score of another image than the edit's, or off the scale, is no score."""
    edit, score = run.edits.get(pair_id), run.scores.get(pair_id)
    if edit is None:
        return Outcome(status="pending")
    if edit.image is None:
        status = "edit refused" if "refused" in edit.flags else "edit failed"
        return Outcome(status=status, reason=edit.error or "the record names no image")
    if score is None:
        return Outcome(status="not scored")
    if score.edit_sha256 and edit.sha256 and score.edit_sha256 != edit.sha256:
        return Outcome(status="not scored", reason="the score is of an earlier image")
    if score.value is None:
        return Outcome(status=score.failure if score.failure in FAILURES else "error", reason=score.detail)
    low, high = run.scale
    if not low <= score.value <= high:  # NaN too: it fails both comparisons
        return Outcome(status="out of range", reason=f"{score.value} is not from {low:g} to {high:g}")
    return Outcome(status=SCORED, value=float(score.value))


def group_of(pair: Pair) -> str:
    """The source that a pair shares with others: pairs of one source are one draw."""
    return pair.source_group or pair.source_sha256


def summarize(run: RunRecords) -> Summary:
    """Everything that the report says of a run in numbers; deterministic."""
    by_category: dict[Category, list[Pair]] = {category: [] for category in CATEGORIES}
    for pair in run.pairs:
        by_category[pair.category].append(pair)
    categories: dict[Category, Mean] = {name: mean_of(run, pairs) for name, pairs in by_category.items()}
    means = [mean.mean for mean in categories.values() if mean.mean is not None]
    bounds = [mean.mean_failures_as_low for mean in categories.values() if mean.mean_failures_as_low is not None]
    interval, note = _category_interval(run)
    edits = [run.edits[pair.pair_id] for pair in run.pairs if pair.pair_id in run.edits]
    scores = [run.scores[pair.pair_id] for pair in run.pairs if pair.pair_id in run.scores]
    flags = Counter({"unchanged": 0, "constant": 0, "resized": 0})
    flags.update(flag for edit in edits for flag in edit.flags if edit.image is not None)
    return Summary(
        name=run.name,
        overall=mean_of(run, run.pairs),
        categories=categories,
        category_mean=math.fsum(means) / len(means) if means else None,
        category_interval=interval,
        category_interval_note=note,
        category_mean_failures_as_low=math.fsum(bounds) / len(bounds) if bounds else None,
        num_categories_scored=len(means),
        num_categories=sum(mean.num_pairs > 0 for mean in categories.values()),
        editing=_cost([(edit.duration_s, edit.device) for edit in edits]),
        scoring=_cost([(score.duration_s, score.device) for score in scores]),
        flags=dict(flags),
        scale=run.scale,
    )


def mean_of(run: RunRecords, pairs: Sequence[Pair]) -> Mean:
    """The mean of some pairs of a run.

    The lower bound is (sum of values + failures × scale's bottom) / (scored + failed). Every value is at least the
    bottom, so turning one into a failure can't raise it: the worst-case bound for missing data of Manski, Partial
    Identification of Probability Distributions (2003), chapter 1. Pairs that wait are in neither mean.
    """
    outcomes = [outcome(run, pair.pair_id) for pair in pairs]
    scored = [(end.value, pair) for end, pair in zip(outcomes, pairs, strict=True) if end.value is not None]
    values = [value for value, _ in scored]
    count = Counter(end.status for end in outcomes)
    failed = {kind: count[kind] for kind in FAILED}
    num_tried = len(values) + sum(failed.values())
    total = math.fsum(values)
    groups = [group_of(pair) for _, pair in scored]
    interval = mean_interval(values, groups)
    note = None
    if interval is None:
        note = TOO_FEW if len(set(groups)) < MIN_GROUPS else "all scores are equal"
    return Mean(
        mean=total / len(values) if values else None,
        num_scored=len(values),
        num_pairs=len(pairs),
        num_edited=sum(pair.pair_id in run.edits and run.edits[pair.pair_id].image is not None for pair in pairs),
        num_failed=failed,
        num_not_scored=count["not scored"],
        num_pending=count["pending"],
        interval=interval,
        interval_note=note,
        mean_failures_as_low=(total + sum(failed.values()) * run.scale[0]) / num_tried if num_tried else None,
    )


def _category_interval(run: RunRecords) -> tuple[Interval | None, str | None]:
    """The interval of the unweighted category mean, and why there is none.

    Whole sources are drawn, as for the item mean; a category that a draw misses altogether, one draw in thousands
    at `MIN_GROUPS` sources, is left out of that draw's mean.
    """
    scored = [(outcome(run, pair.pair_id).value, pair) for pair in run.pairs]
    found = [(value, pair.category, group_of(pair)) for value, pair in scored if value is not None]
    names = sorted({category for _, category, _ in found})
    if not names or any(len({g for _, c, g in found if c == name}) < MIN_GROUPS for name in names):
        return None, TOO_FEW
    if len({value for value, _, _ in found}) == 1:
        return None, "all scores are equal"
    groups = sorted({group for _, _, group in found})
    place = {group: index for index, group in enumerate(groups)}
    columns: list[np.ndarray] = []
    for name in names:
        of_it = [(value, group) for value, category, group in found if category == name]
        by_group = sum_up([value for value, _ in of_it], [group for _, group in of_it])
        at = [place[group] for group in dict.fromkeys(group for _, group in of_it)]
        for column in (by_group.sums, by_group.sizes):
            spread = np.zeros(len(groups))
            spread[at] = column
            columns.append(spread)

    def mean_of_means(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        sums, sizes = (np.stack([column.sum(axis=axis) for column in drawn[start::2]]) for start in (0, 1))
        present = sizes > 0
        return np.divide(sums, sizes, out=np.zeros_like(sums), where=present).sum(axis=0) / present.sum(axis=0)

    interval = bootstrap_interval(columns, mean_of_means, of_sums=True)
    return interval, None if interval else "not defined in some draws"


def _cost(taken: Sequence[tuple[float | None, str]]) -> Cost:
    timed = [(took, device) for took, device in taken if took is not None]
    durations = [took for took, _ in timed]
    return Cost(
        median_s=statistics.median(durations) if durations else None,
        mean_s=math.fsum(durations) / len(durations) if durations else None,
        num_timed=len(durations),
        devices=dict(Counter(device for _, device in timed if device).most_common()),
    )
