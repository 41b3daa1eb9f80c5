"""What a judge's answers to one question come to: a value with its evidence, or a failure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from editbench.judges import Reply
from editbench.records import Score
from editbench.rubric import Rubric


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
    if expected:
        reading = rubric.expect(first.probabilities)
        probabilities = tuple(round(p, 6) for p in first.probabilities)
        mass = round(math.fsum(first.probabilities), 6)
        said = replace(said, probabilities=probabilities, mass=mass)
        return replace(said, value=reading.value, failure=reading.failure, detail=reading.detail)
    readings = [rubric.read(reply.text, truncated=reply.truncated) for reply in replies]
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
