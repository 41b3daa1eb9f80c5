"""The strict reading of a judge's reply: the whole reply is one number, or there is no value."""

import re
from dataclasses import dataclass
from decimal import Decimal

import regex

from editbench.records import Failure

MAX_CHARS = 64
"""Longer replies are never matched: no form of the grammar comes near, and the work stays bounded."""

# Only the full-width forms of ASCII (U+FF01 to U+FF5E) and what stands for quotes, minus and space. The whole of NFKC
# would go further and make a 10 of "1⁰" and a 71 of "7①".
PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | str.maketrans("\u3000“”‘’−", " \"\"''-")

GRAMMAR = re.compile(
    r"""
    (?P<outer>\*\*|["'`]|)
    (?:(?:final\ score|score|最终评分|最终得分|评分|得分|分数)\s*:\s*)?
    (?P<inner>\*\*|["'`]|)
    (?P<number>-?\d+(?:\.\d+)?)
    (?:\s*分)?
    (?P=inner)
    [.。]?
    (?P=outer)
    (?:(?<![.。])[.。])?
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
JSON_OBJECT = re.compile(r'\{\s*"score"\s*:\s*(?P<number>-?\d+(?:\.\d+)?)\s*\}', re.ASCII)
NUMERAL = re.compile(r"\d{1,2}(?:\.\d+)?", re.ASCII)
# the same two forms once more, since only `regex` can tell whether a text is the beginning of a match
_BEGINNINGS = tuple(
    regex.compile(form.pattern, flags)
    for form, flags in ((GRAMMAR, regex.VERBOSE | regex.ASCII | regex.IGNORECASE), (JSON_OBJECT, regex.ASCII))
)

REFUSALS = (
    "i'm sorry",
    "i am sorry",
    "sorry",
    "i apologize",
    "i apologise",
    "i cannot",
    "i can't",
    "i can not",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "i won't",
    "i will not",
    "i must decline",
    "i decline",
    "as an ai",
    "unfortunately, i",
    "抱歉",
    "很抱歉",
    "非常抱歉",
    "对不起",
    "不好意思",
    "我无法",
    "我不能",
    "我拒绝",
    "无法",
    "作为ai",
    "作为一个ai",
    "作为一名ai",
    "作为人工智能",
    "作为一个人工智能",
    "作为一名人工智能",
)
"""How a refusal opens, in lower case and without quotes or spaces before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a reply says: a value, or the kind of failure with a sentence on it.

    Raises:
        ValueError: both or neither of `value` and `failure` are set.

    """

    value: float | None = None
    """On the rubric's scale; None when there is no score."""
    failure: Failure | None = None
    """Why there is no value; None when there is one."""
    detail: str | None = None
    """The failure in a sentence; what it quotes of the reply is escaped, so it may be printed."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.failure is None):
            raise ValueError("a reading is either a value or a failure")


def read_number(reply: str, *, low: float, high: float, truncated: bool = False) -> Reading:
    """Read a reply that must be one number and nothing else; never raises, never takes a default.

    Full-width forms become plain and white space round the reply is dropped; then all of it must be one of

        NUMBER                a decimal of ASCII digits: one or two, then perhaps a point and more
        LABEL: NUMBER         score, final score, 评分, 得分, 分数, 最终评分, 最终得分, with either colon
        NUMBER 分             with or without a label
        {"score": NUMBER}     JSON with this one key, nothing round it

    where all but the JSON may stand in one pair of `**`, quotes or backticks, the part after the label in another, and
    one full stop may end the whole, also inside the outer pair. Everything else is a failure: "truncated" (whatever
    the reply holds), "empty", "refused" (it opens as one of REFUSALS), "out of range" (the only number, also a
    negative one, is not in `low` to `high`), "unreadable" (anything more: prose, `8/10`, `7-8`, `7,5`, `1e1`, `70%`).

    Args:
        reply: the judge's words; hostile.
        low: the least value, included.
        high: the greatest value, included.
        truncated: the reply reached the token limit.

    """
    if truncated:
        return Reading(failure="truncated", detail="the reply reached the token limit")
    text = reply.translate(PLAIN).strip()
    if not text:
        return Reading(failure="empty", detail="the reply holds no text")
    if text[:MAX_CHARS].lower().lstrip("*\"'` ").startswith(REFUSALS):
        return Reading(failure="refused", detail=f"the judge declined: {_excerpt(text)}")
    if len(text) > MAX_CHARS:
        return Reading(failure="unreadable", detail=f"{len(text)} characters are not one number: {_excerpt(text)}")
    found = GRAMMAR.fullmatch(text) or JSON_OBJECT.fullmatch(text)
    if found is None:
        return Reading(failure="unreadable", detail=f"not one number: {_excerpt(text)}")
    number = found["number"]
    # Decimal, since a float rounds 10.00000000000000000001 to 10 and lets it in
    if not Decimal(low) <= Decimal(number) <= Decimal(high):
        return Reading(failure="out of range", detail=f"{number} is not in {low:g} to {high:g}")
    if NUMERAL.fullmatch(number) is None:
        return Reading(failure="unreadable", detail=f"{number} is not a plain decimal")
    return Reading(value=float(number))


def is_settled(reply: str) -> bool:
    """Whether a reply is lost already: however it goes on, `read_number` gives no value.

    So a judge may be stopped there, and nowhere else: a number is never cut off, since one more digit, a unit or a
    word may follow, and neither is what may become a refusal. What was stopped reads as the whole would have, but that
    the whole might have reached the token limit, which is another failure.

    Args:
        reply: the reply's beginning, from its first character; half a character at its end (U+FFFD) is disregarded.

    """
    text = reply.rstrip("\ufffd").translate(PLAIN).lstrip()
    if len(text.rstrip()) > MAX_CHARS:
        return True
    opening = text.lower().lstrip("*\"'` ")
    if any(refusal.startswith(opening) and refusal != opening for refusal in REFUSALS):
        return False
    if len(text) > len(text.rstrip()) and any(form.fullmatch(text.rstrip()) for form in _BEGINNINGS):
        return False  # complete, and white space may stand round a reply
    return not any(form.fullmatch(text, partial=True) for form in _BEGINNINGS)


def _excerpt(text: str) -> str:
    return ascii(text[:32]) + ("…" if len(text) > 32 else "")
