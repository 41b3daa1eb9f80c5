"""From the saved answers of a pair to its numbers, by the rubric's formula and without a judge."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from editbench.records import Answer, Failure, Pair
from editbench.rubrics.rubric import Question, Reading, Rubric

_QUORUM = 0.5
_DIGITS = 4
_MASS_ERROR = 1e-3  # of a sum of rounded probabilities
GIVEN = "value"
"""The call of an answer that holds a pair's value itself, made elsewhere, in place of replies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A pair's numbers; the fields are those of a Score."""

    value: float | None
    failure: Failure | None
    detail: str | None
    dimensions: dict[str, float | None]
    values: dict[str, float | None]
    spread: float | None
    num_repeats: int
    num_complete: int
    """Repeats whose readings give a value."""


def settle(rubric: Rubric, pair: Pair, answers: Sequence[Answer]) -> Settled:
    """The numbers of a pair that was judged.

    Each repeat has values of its own. The pair's is their mean where at least half of the repeats have one, and none
    otherwise, so that a judge that answers now and then does not look like one that answers.

    Args:
        rubric: whose formula is used.
        pair: whose edit was judged.
        answers: one or more, all calls of all repeats, with their readings.
    """
    by_repeat, per_repeat = _repeats(rubric, pair, answers)
    values = {name: _over_quorum(per_repeat, name) for name in dict.fromkeys(n for one in per_repeat for n in one)}
    value = values.pop("value", None)
    complete = [found for one in per_repeat if (found := one.get("value")) is not None]
    failure, detail = _why(answers, len(complete), len(per_repeat))
    if value is None and failure is None:
        failure, detail = "error", "the rubric's formula gives no value for these readings"
    return Settled(
        value=value,
        failure=failure if value is None else None,
        detail=detail,
        dimensions={
            name: _mean([one[name] for one in by_repeat if name in one])
            for name in dict.fromkeys(n for one in by_repeat for n in one)
        },
        values=values,
        spread=round(statistics.stdev(complete), _DIGITS) if len(complete) > 1 else None,
        num_repeats=len(per_repeat),
        num_complete=len(complete),
    )


def rows_of_repeats(rubric: Rubric, pair: Pair, answers: Sequence[Answer]) -> list[dict[str, float | None]]:
    """The readings and values of each repeat of the calls (`--repeats`), in the order of the repeats."""
    return [readings | values for readings, values in zip(*_repeats(rubric, pair, answers), strict=True)]


def _repeats(
    rubric: Rubric, pair: Pair, answers: Sequence[Answer]
) -> tuple[list[dict[str, float | None]], list[dict[str, float | None]]]:
    """Of each repeat the readings, and the values."""
    by_repeat: dict[int, dict[str, float | None]] = {}
    given: dict[int, float | None] = {}
    asked = rubric.asked(pair)
    for answer in answers:
        readings = by_repeat.setdefault(answer.repeat, {})
        if answer.call == GIVEN and GIVEN not in asked:
            given[answer.repeat] = answer.readings.get(GIVEN)
            continue
        readings.update(dict.fromkeys(asked.get(answer.call, ())))
        readings.update(answer.readings)
    ordered = sorted(by_repeat.items())
    values = [
        {"value": given[repeat]} if repeat in given else _finite(rubric.values(pair, readings))
        for repeat, readings in ordered
    ]
    return [readings for _, readings in ordered], values


def lowest(rubric: Rubric, pair: Pair, answers: Sequence[Answer] | None) -> dict[str, float | None]:
    """The values, "value" and the others, of a pair all of whose failures count at their dimension's lowest.

    Args:
        rubric: whose formula is used.
        pair: whose edit was judged.
        answers: of the judge; None: it was not asked, so that every call failed.
    """
    asked = rubric.asked(pair)
    low = {name: rubric.dimensions[name][0] for gives in asked.values() for name in gives}
    repeats: dict[int, dict[str, float | None]] = {} if answers else {0: {}}
    given: dict[int, float] = {}
    for answer in answers or ():
        readings = repeats.setdefault(answer.repeat, {})
        readings.update(answer.readings)
        if answer.call == GIVEN and GIVEN not in asked:
            given[answer.repeat] = answer.readings.get(GIVEN, rubric.scale[0])
    per_repeat = [
        {"value": given[repeat]} if repeat in given else _finite(rubric.values(pair, low | readings))
        for repeat, readings in sorted(repeats.items())
    ]
    return {
        name: _mean([one.get(name) for one in per_repeat])
        for name in dict.fromkeys(name for one in per_repeat for name in one)
    }


def expect(rubric: Rubric, question: Question, probabilities: Sequence[float]) -> Reading:
    """Read an expected score: the mean of the question's digits under the judge's own distribution over them.

    Args:
        rubric: says how much probability the digits must have together.
        question: has digits and gives one dimension.
        probabilities: one a digit, each of the judge's next token; 0 to 1 together.
    """
    if len(probabilities) != len(question.digits):
        detail = f"{len(probabilities)} probabilities for the {len(question.digits)} digits"
        return Reading(failure="error", detail=detail)
    mass = math.fsum(probabilities)
    if not all(0 <= p <= 1 for p in probabilities) or mass > 1 + _MASS_ERROR:
        shown = ", ".join(f"{p:.3g}" for p in probabilities)
        return Reading(failure="error", detail=f"no probabilities of {' '.join(question.digits)}: {shown}")
    if mass < rubric.least_mass:
        detail = f"only {mass:.3f} of the probability is on {question.digits[0]} to {question.digits[-1]}"
        return Reading(failure="unreadable", detail=detail)
    mean = math.fsum(float(digit) * p for digit, p in zip(question.digits, probabilities, strict=True)) / mass
    (dimension,) = question.gives
    return Reading(numbers={dimension: round(mean, _DIGITS)})


def _finite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The formula's values; None for what is no number, such as the root of a negative one."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}


def _over_quorum(per_repeat: Sequence[Mapping[str, float | None]], name: str) -> float | None:
    found = [value for one in per_repeat if (value := one.get(name)) is not None]
    return _mean(found) if len(found) >= _QUORUM * len(per_repeat) else None


def _mean(numbers: Sequence[float | None]) -> float | None:
    found = [number for number in numbers if number is not None]
    return math.fsum(found) / len(found) if found else None


def _why(answers: Sequence[Answer], num_complete: int, num_repeats: int) -> tuple[Failure | None, str | None]:
    """The first failure, and a sentence on all of them; None where every repeat is complete."""
    first = next((answer for answer in answers if answer.failure), None)
    if first is None:
        return None, None
    several_calls = len({answer.call for answer in answers}) > 1
    detail = f"{first.call}: {first.detail}" if several_calls else first.detail
    if num_repeats > 1:
        detail = f"{num_complete} of {num_repeats} repeats are complete; the first failure: {detail}"
    elif num_complete:
        return None, None  # the formula needs no reading of this call
    return first.failure, detail
