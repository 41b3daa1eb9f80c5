"""From a judge's replies to the answers that are saved, and what a launch says of them at its end."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

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
    probabilities = reply.probabilities if all(map(math.isfinite, reply.probabilities)) else ()
    return Answer(
        call=question.name,
        repeat=repeat,
        reply=_words(reply),
        readings=dict(reading.numbers or {}),
        failure=reading.failure,
        detail=reading.detail,
        notes=reading.notes,
        probabilities=tuple(round(p, 6) for p in probabilities),
        mass=round(math.fsum(probabilities), 6) if probabilities else None,
        model=reply.model,
    )


def _words(reply: Reply) -> str | None:
    """The judge's words; None where there are none, which is not the same as an empty reply."""
    text: Any = reply.text
    no_words = not isinstance(text, str) or reply.readings is not None or (reply.failure == "error" and not text)
    return None if no_words else text


def _reading(rubric: Rubric, pair: Pair, question: Question, reply: Reply, *, expected: bool) -> Reading:
    if reply.failure is not None:
        return Reading(failure=reply.failure, detail=reply.detail)
    if reply.readings is not None:
        return _made_elsewhere(rubric, question, reply)
    if expected:
        return expect(rubric, question, reply.probabilities)
    text: Any = reply.text
    if not isinstance(text, str):
        return Reading(failure="error", detail=f"the judge gave {type(text).__name__} as the reply's text")
    if reply.truncated:
        where = "the rubric's max_new_tokens" if question.max_new_tokens else "--judge.init_args.max_new_tokens"
        return Reading(failure="truncated", detail=f"the reply reached the limit of new tokens; raise {where}")
    try:
        reading = rubric.read(pair, question, text)
    except Exception as error:
        return Reading(failure="error", detail=f"the rubric {rubric.version} could not read the reply: {reason(error)}")
    numbers = reading.numbers or {}
    missing = [name for name in question.gives if name not in numbers]
    odd = [name for name, number in numbers.items() if name not in question.gives or not math.isfinite(number)]
    if odd or (reading.failure is None and missing):
        what = f"no {', '.join(missing)}" if missing else f"{', '.join(odd)}, which was not asked for or is no number"
        return Reading(failure="error", detail=f"the rubric {rubric.version} read {what}")
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
    texts = [(_words(reply) or "", reply.truncated) for reply in replies]
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
