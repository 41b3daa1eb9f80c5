"""What a judge's answers to one question come to: a value with its evidence, or a failure."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from editbench.judges import Reply
from editbench.records import Score
from editbench.rubrics.rubric import Reading, Rubric


def verdict(blank: Score, rubric: Rubric, replies: Sequence[Reply], *, expected: bool) -> Score:
    """Fill a score in.

    Of several replies the value is the mean of those that could be read, `values` and `replies` keep all; without one
    the failure is the first reply's. Of an expected score the value is the mean under the judge's probabilities.

    Args:
        blank: what is known of the score already.
        rubric: reads.
        replies: one or more, in the order of the repeats.
        expected: whether the reply holds probabilities.

    """
    first = replies[0]
    said = replace(blank, reply=first.text, model=first.model)
    if len(replies) == 1 and first.failure is not None:
        return replace(said, failure=first.failure, detail=first.detail)
    if expected:
        reading = rubric.expect(first.probabilities)
        probabilities = tuple(round(p, 6) for p in first.probabilities)
        mass = round(math.fsum(first.probabilities), 6)
        said = replace(said, probabilities=probabilities, mass=mass)
        return replace(said, value=reading.value, failure=reading.failure, detail=reading.detail)
    readings = [_read(rubric, reply) for reply in replies]
    if len(replies) == 1:
        return replace(said, value=readings[0].value, failure=readings[0].failure, detail=readings[0].detail)
    values = tuple(reading.value for reading in readings)
    read = [value for value in values if value is not None]
    said = replace(said, replies=tuple(reply.text for reply in replies), values=values)
    if not read:
        detail = f"none of {len(replies)} replies was read; the first: {readings[0].detail}"
        return replace(said, failure=readings[0].failure, detail=detail)
    spread = round(statistics.stdev(read), 4) if len(read) > 1 else None
    return replace(said, value=round(math.fsum(read) / len(read), 4), spread=spread)


def told(scores: Iterable[Score]) -> str:
    """How many have a score, what the others lack and, where a server said so, which models answered."""
    failures, named, total = Counter[str](), set[str](), 0
    for score in scores:
        total += 1
        failures.update([score.failure] if score.failure else [])
        named.add(score.model)
    kinds = ", ".join(f"{number} {failure}" for failure, number in sorted(failures.items()))
    models = sorted(named - {""})
    answered = f", answered by {' and '.join(models)}" if models else ""
    mixed = ": MORE THAN ONE MODEL" if len(models) > 1 else ""
    return f"{total - failures.total()} of {total} have a score{kinds and f' ({kinds})'}{answered}{mixed}"


def _read(rubric: Rubric, reply: Reply) -> Reading:
    if reply.failure is not None:
        return Reading(failure=reply.failure, detail=reply.detail)
    return rubric.read(reply.text, truncated=reply.truncated)
