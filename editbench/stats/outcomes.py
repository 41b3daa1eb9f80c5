"""How each pair of a run ended: its values over its tries, or the kind of failure."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from editbench.records import FAILURES, Answer, Edit, Pair, Score
from editbench.rubrics.headlines import CATEGORY_MEAN, ITEM_MEAN, Headline
from editbench.rubrics.rubric import Rubric
from editbench.rubrics.scoring import GIVEN, lowest, settle

SCORED = "scored"
FAILED: tuple[str, ...] = ("edit failed", "edit refused", *FAILURES)
"""The ways to end without a value; each counts at the lowest in every lower bound."""
NO_EDIT: tuple[str, ...] = ("edit failed", "edit refused", "missing edit")
"""Of `FAILED`, those without an edited image that is as recorded."""
WAITING: tuple[str, ...] = ("not scored", "pending")
"""Not failures: edited but not scored yet, and not edited yet."""
QUORUM = 0.5
"""A pair of several tries has a value when at least this share of those that ended gave one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a pair, or one try of it, ended."""

    status: str
    """`scored`, one of `FAILED` or one of `WAITING`."""
    value: float | None = None
    """On the run's scale: the mean over the tries that have one; None unless scored."""
    values: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """The rubric's named values, means over the tries that have them; of a failed edit what the official formula counts
    it as, where it does; empty while the pair waits."""
    dimensions: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """By each dimension that the pair is asked for; None: no number."""
    dimension_status: Mapping[str, str] = field(default_factory=dict[str, str])
    """By the same names: `scored`, one of `FAILED` or one of `WAITING`."""
    low_values: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """`values` with each failed reply, reading, edit and try at its lowest; empty while the pair waits, and where the
    run's scale is not known."""
    low_dimensions: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """The same of `dimensions`."""
    reason: str | None = None
    """The failure in a sentence, where there is one."""
    num_replies: int = 0
    """The judge's replies over all calls, repeats and tries."""
    num_failed_replies: int = 0
    """Of these, replies without readings."""
    num_repeats: int = 1
    """How often each call was asked (`--repeats`); over several tries all of them together."""
    num_complete: int = 0
    """Repeats whose readings give a value."""
    repeat_spread: float | None = None
    """Sample standard deviation of the repeats' values; None below two, and over several tries."""
    tries: tuple["Outcome", ...] = ()
    """Of each try, where the run has several; empty: one."""

    @property
    def waits(self) -> bool:
        """Whether it, or one of its tries, is still to be edited or scored."""
        return self.status in WAITING or any(one.status in WAITING for one in self.tries)

    @property
    def is_partial(self) -> bool:
        """Whether it has a value though a reply or a try failed."""
        failed_try = any(one.status in FAILED for one in self.tries)
        return self.status == SCORED and (self.num_failed_replies > 0 or failed_try)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the tries' values; None below two."""
        found = [one.value for one in self.tries if one.value is not None]
        return statistics.stdev(found) if len(found) > 1 else None

    @property
    def best(self) -> float | None:
        """The highest value of the tries, which is not what an editor gives in one try; None without a value."""
        return max((one.value for one in self.tries if one.value is not None), default=None)

    @property
    def row(self) -> Mapping[str, float | None]:
        """Dimensions and values by name: what a headline is made of."""
        return {**self.dimensions, **self.values}

    @property
    def low_row(self) -> Mapping[str, float | None]:
        """The same with failures at the lowest."""
        return {**self.low_dimensions, **self.low_values}


@dataclass(frozen=True, kw_only=True)
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
    """Everything selected, in benchmark order, each with the name that the rubric gives its category."""
    sources: Mapping[str, tuple[str, ...]]
    """Paths of the source images below the root, by pair id."""
    references: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Paths of the references below the root, by pair id and name."""
    edits: Mapping[tuple[str, int], Edit]
    """By pair id and try, those of the pairs as they stand; one that is missing is pending."""
    scores: Mapping[tuple[str, int], Score]
    """By pair id and try, those of the edits as they stand; one that is missing is not scored yet."""
    num_tries: int = 1
    """How many edits each pair is to have."""
    settings: Mapping[str, str]
    """A few lines to show: benchmark, editor, judge, rubric, language, seed."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The sha256 of the files that the rubric read when the edits were scored, by name."""
    rubric: Rubric | None
    """Derives every number from the saved answers; None: it could not be built, and the stored numbers are used."""
    stored_scale: tuple[float, float] | None = None
    """The scale where there is no rubric, as it stands beside the scores; None: not known."""
    notes: tuple[str, ...] = ()
    """What a reader must know before the numbers, a sentence each."""
    controls: "RunRecords | None" = None
    """The same judge's scores of edits whose worth is known, made from this run's pairs; None when there are none."""

    @property
    def scale(self) -> tuple[float, float] | None:
        """Lowest and highest of a pair's value; None: not known."""
        return self.rubric.scale if self.rubric else self.stored_scale

    @cached_property
    def headlines(self) -> tuple[Headline, ...]:
        """The numbers that the run is known by; the first decides verdicts."""
        if self.rubric:
            return tuple(self.rubric.headlines)
        scale = self.stored_scale or (-math.inf, math.inf)
        return CATEGORY_MEAN.on(scale), ITEM_MEAN.on(scale)

    @cached_property
    def dimensions(self) -> Mapping[str, tuple[float, float] | None]:
        """Those that a pair is asked for, in the rubric's order: lowest and highest reading, None where not known."""
        if self.rubric:
            every = self.rubric.dimensions
            if len(every) < 2:
                return dict(every)
            asked = {name for pair in self.pairs for gives in self.rubric.asked(pair).values() for name in gives}
            return {name: ends for name, ends in every.items() if name in asked}
        return dict.fromkeys(name for score in self.scores.values() for name in score.dimensions)

    @cached_property
    def category_groups(self) -> Mapping[str, tuple[str, ...]]:
        """The categories by the name of their group, in the benchmark's order: the rubric's, then others as they come;
        `""` is the group of those without one.
        """
        groups = {name: tuple(of_it) for name, of_it in (self.rubric.groups if self.rubric else {}).items()}
        known = {category for of_it in groups.values() for category in of_it}
        others = tuple(dict.fromkeys(pair.category for pair in self.pairs if pair.category not in known))
        return groups | ({"": groups.get("", ()) + others} if others else {})

    @property
    def categories(self) -> tuple[str, ...]:
        """All of them, in the benchmark's order, also those of the rubric that have no pair."""
        return tuple(dict.fromkeys(name for of_it in self.category_groups.values() for name in of_it))

    @cached_property
    def models(self) -> frozenset[str]:
        """The models that answered, in a server's own words; empty where none says."""
        return frozenset(answer.model for score in self.scores.values() for answer in score.answers if answer.model)

    @cached_property
    def has_repeats(self) -> bool:
        """Whether a call was answered several times."""
        return any(answer.repeat for score in self.scores.values() for answer in score.answers)

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """How each pair ended, by its id."""
        return {pair.pair_id: _of_pair(self, pair) for pair in self.pairs}


def group_of(pair: Pair) -> str:
    """The source that a pair shares with others: pairs of one source are one draw."""
    return pair.source_group or pair.sources_sha256


def first_edited(run: RunRecords, pair_id: str) -> int:
    """The first try of a pair that has an edited image, of which its controls are made; 0 where none has."""
    tries = (number for number in range(run.num_tries) if (edit := run.edits.get((pair_id, number))) and edit.image)
    return next(tries, 0)


def numbered(num: int, noun: str) -> str:
    """`1 pair`, `12 pairs`, `1,200 pairs`."""
    return f"{num:,} {noun}{'' if num == 1 else 's'}"


def _of_pair(run: RunRecords, pair: Pair) -> Outcome:
    asked = _asked(run, pair)
    tries = tuple(_of_try(run, pair, number, asked) for number in range(run.num_tries))
    return tries[0] if len(tries) == 1 else _over_tries(tries)


def _asked(run: RunRecords, pair: Pair) -> Mapping[str, tuple[str, ...]]:
    """The dimensions that a pair is asked for, by call; of stored numbers all of them, by no call."""
    if run.rubric is None:
        return {"": tuple(run.dimensions)}
    return run.rubric.asked(pair)


def _of_try(run: RunRecords, pair: Pair, number: int, asked: Mapping[str, tuple[str, ...]]) -> Outcome:
    edit, score = run.edits.get((pair.pair_id, number)), run.scores.get((pair.pair_id, number))
    names = [name for gives in asked.values() for name in gives]
    if edit is None:
        return _without_score("pending", None, names)
    if edit.image is None:
        status = "edit refused" if "refused" in edit.flags else "edit failed"
        counted = run.rubric.values_without_edit(pair) if run.rubric else {}
        return _failed(run, pair, status, edit.error or "the record names no image", names, counted)
    if score is None:
        return _without_score("not scored", None, names)
    if score.edit_sha256 and edit.sha256 and score.edit_sha256 != edit.sha256:
        return _without_score("not scored", "the score is of an earlier image", names)
    if score.failure == "missing edit":
        counted = run.rubric.values_without_edit(pair) if run.rubric else {}
        return _failed(run, pair, "missing edit", score.detail, names, counted)
    if run.rubric is None or not score.answers:
        return _stored(run, pair, score, names)
    return _derived(run.rubric, pair, score, asked)


def _derived(rubric: Rubric, pair: Pair, score: Score, asked: Mapping[str, tuple[str, ...]]) -> Outcome:
    """The numbers again from the answers, so that a changed formula needs no judge."""
    found = settle(rubric, pair, score.answers)
    by_call: dict[str, list[Answer]] = {}
    for answer in score.answers:
        by_call.setdefault(answer.call, []).append(answer)
    low, high = rubric.scale
    value, status, detail = found.value, SCORED, found.detail
    if value is not None and not low <= value <= high:  # NaN too: it fails both comparisons
        value, status, detail = None, "out of range", f"{value} is not from {low:g} to {high:g}"
    elif value is None:
        status = _kind(found.failure)
    dimensions: dict[str, float | None] = {}
    statuses: dict[str, str] = {}
    at_low: dict[str, float | None] = {}
    for call, gives in asked.items():
        of_call = by_call.get(call, [])
        if not of_call and GIVEN in by_call:
            continue  # a value that was made elsewhere has no dimensions
        for name in gives:
            number, lowest_number = found.dimensions.get(name), rubric.dimensions[name][0]
            # a reply may give some of its dimensions and fail for others
            kinds = [answer.failure for answer in of_call if name not in answer.readings]
            dimensions[name] = number
            if number is None:
                statuses[name] = _kind(kinds[0] if kinds else found.failure)
                at_low[name] = lowest_number
            else:
                statuses[name] = SCORED
                at_low[name] = number + (lowest_number - number) * len(kinds) / len(of_call)
    values = {**found.values, "value": value}
    return Outcome(
        status=status,
        value=value,
        values=values,
        dimensions=dimensions,
        dimension_status=statuses,
        low_values=lowest(rubric, pair, score.answers),
        low_dimensions=at_low,
        reason=detail,
        num_replies=len(score.answers),
        num_failed_replies=sum(answer.failure is not None for answer in score.answers),
        num_repeats=found.num_repeats,
        num_complete=found.num_complete,
        repeat_spread=found.spread,
    )


def _stored(run: RunRecords, pair: Pair, score: Score, names: Sequence[str]) -> Outcome:
    """The numbers as they stand in the file."""
    low, high = run.scale or (-math.inf, math.inf)
    value = score.value
    if value is None:
        return _failed(run, pair, _kind(score.failure), score.detail, names, {}, score)
    if not low <= value <= high:
        reason = f"{value} is not from {low:g} to {high:g}"
        return _failed(run, pair, "out of range", reason, names, {}, score)
    numbers = {name: score.dimensions[name] for name in names if name in score.dimensions}
    values = {**score.values, "value": value}
    return Outcome(
        status=SCORED,
        value=value,
        values=values,
        dimensions=numbers,
        dimension_status={name: "error" if number is None else SCORED for name, number in numbers.items()},
        low_values=values,
        low_dimensions={name: _low_of(run, name) if number is None else number for name, number in numbers.items()},
        num_replies=len(score.answers),
        num_failed_replies=sum(answer.failure is not None for answer in score.answers),
        num_complete=1,
        repeat_spread=score.spread,
    )


def _without_score(status: str, reason: str | None, names: Sequence[str]) -> Outcome:
    return Outcome(
        status=status, reason=reason, dimensions=dict.fromkeys(names), dimension_status=dict.fromkeys(names, status)
    )


def _failed(
    run: RunRecords,
    pair: Pair,
    status: str,
    reason: str | None,
    names: Sequence[str],
    counted: Mapping[str, float | None],
    score: Score | None = None,
) -> Outcome:
    low: Mapping[str, float | None] = {}
    if run.rubric is not None:
        low = {**lowest(run.rubric, pair, None), **counted}
    elif run.scale is not None:
        low = {"value": run.scale[0]}
    answers = score.answers if score else ()
    numbers: dict[str, float | None] = dict.fromkeys(names)
    if score is not None and run.rubric is None:
        numbers |= {name: score.dimensions[name] for name in names if name in score.dimensions}
    return Outcome(
        status=status,
        values=counted,
        dimensions=numbers,
        dimension_status={name: status if number is None else SCORED for name, number in numbers.items()},
        low_values=low,
        low_dimensions={name: _low_of(run, name) if number is None else number for name, number in numbers.items()},
        reason=reason,
        num_replies=len(answers),
        num_failed_replies=sum(answer.failure is not None for answer in answers),
    )


def _low_of(run: RunRecords, name: str) -> float | None:
    ends = run.dimensions.get(name)
    return None if ends is None else ends[0]


def _over_tries(tries: tuple[Outcome, ...]) -> Outcome:
    """One outcome of several tries: means over those that have a number, and none below the quorum."""
    ended = [one for one in tries if one.status not in WAITING]
    status = _status_of([one.status for one in tries])
    scored = status == SCORED
    reasons = [one.reason for one in tries if one.status == status and one.reason]
    names = tuple(tries[0].dimension_status)
    of_dimension = {name: _status_of([one.dimension_status.get(name, one.status) for one in tries]) for name in names}
    dimensions = {
        name: found if of_dimension[name] == SCORED else None
        for name, found in _means(ended, lambda one: one.dimensions, names).items()
    }
    # below the quorum the values of the few tries that gave one are dropped; what a failed edit counts as stays
    counted = [one for one in ended if scored or one.value is None]
    values = _means(counted, lambda one: one.values)
    return Outcome(
        status=status,
        value=values.get("value") if scored else None,
        values=values,
        dimensions=dimensions,
        dimension_status=of_dimension,
        low_values=_means(ended, lambda one: one.low_values),
        low_dimensions=_means(ended, lambda one: one.low_dimensions, names) if ended else {},
        reason=None if scored or not reasons else reasons[0],
        num_replies=sum(one.num_replies for one in tries),
        num_failed_replies=sum(one.num_failed_replies for one in tries),
        num_repeats=sum(one.num_repeats for one in tries),
        num_complete=sum(one.num_complete for one in tries),
        tries=tries,
    )


def _status_of(statuses: Sequence[str]) -> str:
    """Scored by the quorum of the tries that ended; waiting while none has; else the commonest failure."""
    ended = [status for status in statuses if status not in WAITING]
    if not ended:
        return next((status for status in WAITING if status in statuses), WAITING[-1])
    if ended.count(SCORED) >= QUORUM * len(ended):
        return SCORED
    return Counter(status for status in ended if status != SCORED).most_common(1)[0][0]


def _means(
    ended: Sequence[Outcome], part: Callable[[Outcome], Mapping[str, float | None]], names: Sequence[str] | None = None
) -> dict[str, float | None]:
    found = [part(one) for one in ended]
    means: dict[str, float | None] = {}
    for name in dict.fromkeys(name for one in found for name in one) if names is None else names:
        numbers = [number for one in found if (number := one.get(name)) is not None]
        means[name] = math.fsum(numbers) / len(numbers) if numbers else None
    return means


def _kind(failure: str | None) -> str:
    return failure if failure in FAILURES else "error"
