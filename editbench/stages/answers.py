"""From a judge's replies to the answers that are saved, and what a launch says of them at its end."""

import math
from collections import Counter
from collections.abc import Iterable

from editbench.judges import Reply
from editbench.process.faults import reason
from editbench.records import Answer, Pair, Score
from editbench.rubrics.rubric import Question, Reading, Rubric
from editbench.rubrics.scoring import GIVEN, expect

_THOUGHT = ("<think>", "</think>")


def answer_of(rubric: Rubric, pair: Pair, question: Question, repeat: int, reply: Reply, *, expected: bool) -> Answer:
    """Read a reply.

    Args:
        rubric: reads it.
        pair: whose edit was judged.
        question: what was asked.
        repeat: which of several replies, from 0.
        reply: of the judge; a plug-in's, so its types are not believed.
        expected: the reply holds probabilities of the question's digits.
    """
    reading = _reading(rubric, pair, question, reply, expected=expected)
    text = reply.text if isinstance(reply.text, str) and not (reply.failure == "error" and not reply.text) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    return Answer(
        call=question.name,
        repeat=repeat,
        reply=None if reply.readings is not None else text,
        readings=dict(reading.numbers or {}),
        failure=reading.failure,
        detail=reading.detail,
        notes=reading.notes,
        probabilities=tuple(round(p, 6) for p in reply.probabilities),
        mass=round(math.fsum(reply.probabilities), 6) if reply.probabilities else None,
        model=reply.model,
    )


def _reading(rubric: Rubric, pair: Pair, question: Question, reply: Reply, *, expected: bool) -> Reading:
    if reply.failure is not None:
        return Reading(failure=reply.failure, detail=reply.detail)
    if reply.readings is not None:
        return _made_elsewhere(rubric, question, reply)
    if expected:
        return expect(rubric, question, reply.probabilities)
    if not isinstance(reply.text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return Reading(failure="error", detail=f"the judge gave {type(reply.text).__name__} as the reply's text")
    if reply.truncated:
        where = "the rubric's max_new_tokens" if question.max_new_tokens else "--judge.init_args.max_new_tokens"
        return Reading(failure="truncated", detail=f"the reply reached the limit of new tokens; raise {where}")
    try:
        reading = rubric.read(pair, question, reply.text)
    except Exception as error:
        return Reading(failure="error", detail=f"the rubric {rubric.version} could not read the reply: {reason(error)}")
    missing = [name for name in question.gives if name not in (reading.numbers or {})]
    if reading.failure is None and missing:
        return Reading(failure="error", detail=f"the rubric {rubric.version} read no {', '.join(missing)}")
    return reading


def _made_elsewhere(rubric: Rubric, question: Question, reply: Reply) -> Reading:
    numbers = dict(reply.readings or {})
    for name in question.gives:
        low, high = rubric.scale if question.name == GIVEN else rubric.dimensions[name]
        if name not in numbers:
            return Reading(failure="error", detail=f"no number for {name}")
        if not low <= numbers[name] <= high:
            return Reading(failure="out of range", detail=f"{name} {numbers[name]:g} is not in {low:g} to {high:g}")
    return Reading(numbers=numbers)


def thinks_aloud(replies: Iterable[Reply]) -> str | None:
    """A sentence on a judge that writes its thoughts into its replies; None: it does not."""
    texts = [(reply.text, reply.truncated) for reply in replies if isinstance(reply.text, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
    thinking = [truncated for text, truncated in texts if any(mark in text.lower() for mark in _THOUGHT)]
    if not thinking:
        return None
    cut = f", {sum(thinking)} of them cut off by the limit of new tokens" if any(thinking) else ""
    return (
        f"The judge thinks aloud in {len(thinking)} of its first {len(texts)} replies{cut}: give it room "
        "(--judge.init_args.max_new_tokens 4096), or choose a model that answers at once."
    )


def summary(scores: Iterable[Score]) -> str:
    """How many have a score, what the others lack, how many replies failed and, where a server says so, which model."""
    failures, replies = Counter[str](), Counter[str]()
    named, total, num_answers, num_partial = set[str](), 0, 0, 0
    for score in scores:
        total += 1
        num_answers += len(score.answers)
        failures.update([score.failure] if score.failure else [])
        failed = [answer.failure for answer in score.answers if answer.failure]
        replies.update(failed)
        num_partial += score.value is not None and bool(failed)
        named.update(answer.model for answer in score.answers)
    parts = [f"{total - failures.total()} of {total} have a score"]
    if failures:
        parts[0] += f" ({_kinds(failures)})"
    if num_partial:
        parts.append(f"{num_partial} of them without some of their replies")
    if replies and num_answers > total:
        parts.append(f"{replies.total()} of {num_answers} replies failed ({_kinds(replies)})")
    models = sorted(named - {""})
    if models:
        mixed = ": MORE THAN ONE MODEL" if len(models) > 1 else ""
        parts.append(f"answered by {' and '.join(models)}{mixed}")
    return ", ".join(parts)


def _kinds(failures: Counter[str]) -> str:
    return ", ".join(f"{number} {failure}" for failure, number in sorted(failures.items()))
