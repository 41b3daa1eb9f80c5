"""The strict reading of a judge's reply: what was asked for stands in it once, or there is a failure of a kind.

Four forms, shared by all rubrics: one number, a JSON object, labelled lines, a number after a marker. Before reading, a
closed `<think>…</think>` block at the beginning and one Markdown fence round the rest are set aside, with a note. Two
candidates are a failure, also when they agree. A numeral is a decimal of ASCII or full-width digits: no sign but a
minus, no separator of thousands, no exponent, no fraction, no number in words; JSON adds its own exponents (`1e1`).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from editbench.records import Failure
from editbench.rubrics.rubric import Reading

MAX_CHARS = 64
"""A longer reply is never one number: no form of that grammar comes near, and the work stays bounded."""

# Only the full-width forms of ASCII (U+FF01 to U+FF5E) and what stands for quotes, minus and space. The whole of NFKC
# would go further and make a 10 of "1⁰" and a 71 of "7①".
PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | str.maketrans("\u3000“”‘’−", " \"\"''-")
_DIGITS = {0xFF0E: "."} | {code: code - 0xFEE0 for code in range(0xFF10, 0xFF1A)}

NUMERAL = r"-?\d+(?:\.\d+)?"
_NUMERAL = re.compile(NUMERAL, re.ASCII)
GRAMMAR = re.compile(
    rf"""
    (?P<outer>\*\*|["'`]|)
    (?:(?:final\ score|score|最终评分|最终得分|评分|得分|分数)\s*:\s*)?
    (?P<inner>\*\*|["'`]|)
    (?P<number>{NUMERAL})
    (?:\s*分)?
    (?P=inner)
    [.。]?
    (?P=outer)
    (?:(?<![.。])[.。])?
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
JSON_OBJECT = re.compile(rf'\{{\s*"score"\s*:\s*(?P<number>{NUMERAL})\s*\}}', re.ASCII)
_THINK = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_LIST_MARK = re.compile(r"\d{1,2}[.)]\s+", re.ASCII)
MAX_BROKEN = 100
"""So many braces may open no JSON object: the work stays bounded."""

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
class Key:
    """What a key of a JSON object holds."""

    low: float = 0.0
    """The least number, included."""
    high: float = 10.0
    """The greatest number, included."""
    count: int | None = None
    """Of a list of numbers: how many; None: one number, no list."""
    whole: bool = False
    """Only whole numbers, such as 4 and 4.0."""
    quoted: bool = False
    """A number as text, such as "4", is read too."""
    choices: Mapping[str, float] | None = None
    """The words that it may be, in lower case, with their numbers; the case and one full stop at the end are
    disregarded."""

    def dimensions(self, key: str) -> tuple[str, ...]:
        """The names of the numbers that it gives: the key, or `key_1`, `key_2`, … of a list."""
        return (key,) if self.count is None else tuple(f"{key}_{place}" for place in range(1, self.count + 1))


class _Failed(Exception):
    def __init__(self, failure: Failure, detail: str, numbers: dict[str, float] | None = None):
        self.failure: Failure = failure
        self.detail = detail
        self.numbers = numbers


def set_aside(reply: str) -> tuple[str, tuple[str, ...]]:
    """Take a closed `<think>` block off the beginning and one Markdown fence off the whole; a note for each."""
    text, notes = reply.strip(), ()
    if thought := _THINK.match(text):
        text, notes = text[thought.end() :].strip(), ("a <think> block was set aside",)
    opening, _, inner = text.partition("\n")
    if inner.endswith("```") and re.fullmatch(r"```[\w+-]*\s*", opening) and inner.count("```") == 1:
        text, notes = inner[:-3].strip(), (*notes, "a Markdown fence was set aside")
    return text, notes


def _read(reply: str, numbers: Callable[[str], dict[str, float]]) -> Reading:
    text, notes = set_aside(reply)
    try:
        if not text:
            raise _Failed("empty", "nothing but what was set aside" if notes else "the reply holds no text")
        if text.lower().startswith("<think>"):
            raise _Failed("unreadable", f"the <think> block is not closed: {excerpt(text)}")
        return Reading(numbers=numbers(text), notes=notes)
    except _Failed as failed:
        failure, detail = failed.failure, failed.detail
        if failed.numbers is None and failure in ("unreadable", "truncated") and _refuses(text):
            failure, detail = "refused", f"the judge declined: {excerpt(text)}"
        return Reading(numbers=failed.numbers, failure=failure, detail=detail, notes=notes)


def read_number(reply: str, dimension: str, *, low: float, high: float, whole: bool = False) -> Reading:
    """Read a reply that must be one number and nothing else; never raises, never takes a default.

    Full-width forms become plain and white space round the reply is dropped; then all of it must be one of

        NUMBER                decimal digits: at most two, or as many as `high` has; then perhaps a point and more
        LABEL: NUMBER         score, final score, 评分, 得分, 分数, 最终评分, 最终得分, with either colon
        NUMBER 分             with or without a label
        {"score": NUMBER}     JSON with this one key, nothing round it

    where all but the JSON may stand in one pair of `**`, quotes or backticks, the part after the label in another, and
    one full stop may end the whole, also inside the outer pair. Everything else is a failure: "empty", "refused" (it
    opens as one of REFUSALS), "out of range" (the only number, also a negative one, is not in `low` to `high`),
    "unreadable" (anything more: prose, `8/10`, `7-8`, `7,5`, `1e1`, `70%`).

    Args:
        reply: the judge's words; hostile.
        dimension: the name of the number.
        low: the least value, included.
        high: the greatest value, included.
        whole: only whole numbers, such as 4 and 4.0.
    """

    def numbers(text: str) -> dict[str, float]:
        text = text.translate(PLAIN).strip()
        if _refuses(text):
            raise _Failed("refused", f"the judge declined: {excerpt(text)}")
        if len(text) > MAX_CHARS:
            raise _Failed("unreadable", f"{len(text)} characters are not one number: {excerpt(text)}")
        found = GRAMMAR.fullmatch(text) or JSON_OBJECT.fullmatch(text)
        if found is None:
            raise _Failed("unreadable", f"not one number: {excerpt(text)}")
        return {dimension: _numeral(found["number"], low, high, whole)}

    return _read(reply, numbers)


def read_json(reply: str, keys: Mapping[str, Key], *, partial: bool = False) -> Reading:
    """Read the one JSON object that holds any of these keys; never raises.

    Text may stand round the object, and other keys in it. Booleans, null, NaN and lists where one number was asked for
    are no numbers. Line breaks inside a JSON text are read. A key that stands twice, or a second such object, is
    "unreadable"; an object that breaks off before it is closed is "truncated".

    Args:
        reply: the judge's words; hostile.
        keys: what each key must hold; see `Key.dimensions` for the names of the numbers.
        partial: where some keys can be read and others not, give the numbers of the former beside the failure.
    """

    def numbers(text: str) -> dict[str, float]:
        found, read = _object(text, keys), dict[str, float]()
        failed: _Failed | None = None
        for key, kind in keys.items():
            try:
                read |= _values(found, key, kind)
            except _Failed as error:
                failed = failed or error
        if failed is not None:
            raise _Failed(failed.failure, failed.detail, read if partial and read else None)
        return read

    return _read(reply, numbers)


def read_lines(
    reply: str,
    dimensions: Sequence[str],
    *,
    low: float,
    high: float,
    labelled: bool = True,
    whole: bool = False,
    ignore: Sequence[str] = (),
    wide_colon: bool = True,
) -> Reading:
    """Read lines `Name: NUMBER`, each on a line alone; other lines are disregarded; never raises.

    A colon and a space, or a full-width colon, stand between; list marks and `**` round the name are dropped. A number
    in bold, with a unit, a fraction or a full stop after it is none. A name that stands twice is "unreadable".

    Args:
        reply: the judge's words; hostile.
        dimensions: the names of the numbers, in order.
        low: the least value, included.
        high: the greatest value, included.
        labelled: the dimensions are the names, in any order and case; otherwise the names are any, as many as there are
            dimensions, and the order counts.
        whole: only whole numbers, such as 4 and 4.0.
        ignore: names that are no scores, in lower case.
        wide_colon: a full-width colon is one.
    """
    separator = re.compile(r":\s+|：\s*" if wide_colon else r":\s+")

    def numbers(text: str) -> dict[str, float]:
        found: list[tuple[str, str]] = []
        for line in text.splitlines():
            parts = separator.split(line.strip())
            if len(parts) == 2 and _NUMERAL.fullmatch(number := parts[1].translate(_DIGITS)):
                name = parts[0].lower().lstrip("-*#• \t")
                name = _LIST_MARK.sub("", name, count=1) if _LIST_MARK.match(name) else name
                found.append((name.strip("* \t"), number))
        found = [(name, number) for name, number in found if name not in ignore]
        if not labelled and len(found) != len(dimensions):
            raise _Failed("unreadable", f"{len(found)} score lines, not {len(dimensions)}: {excerpt(text)}")
        names = [name.lower() for name in dimensions] if labelled else [name for name, _ in found]
        read: dict[str, float] = {}
        for dimension, name in zip(dimensions, names, strict=True):
            said = [number for other, number in found if other == name]
            if len(said) != 1:
                times = f"{len(said)} lines" if said else "no line"
                raise _Failed("unreadable", f"{times} {excerpt(name)}: NUMBER in {excerpt(text)}")
            read[dimension] = _numeral(said[0], low, high, whole)
        return read

    return _read(reply, numbers)


def read_marker(reply: str, marker: str, dimension: str, *, low: float, high: float, whole: bool = False) -> Reading:
    """Read the one number after a marker such as `Final Score`; never raises.

    Between them may stand a plural s, a colon, `**` and white space, also line breaks; after the number `/5` or
    `out of 5` where 5 is `high`, and words. More digits on the number's line, or a second marker with a number, are
    "unreadable".

    Args:
        reply: the judge's words; hostile.
        marker: in any case; outer white space and a colon at its end are dropped.
        dimension: the name of the number.
        low: the least value, included.
        high: the greatest value, included.
        whole: only whole numbers, such as 4 and 4.0.
    """
    name = re.escape(marker.strip().rstrip(":：").strip())
    # possessive, so that no number of white space or stars makes the work more than linear
    form = rf"{name}s?[*_`\s]*+[:：]?[*_`\s]*+(?P<number>-?\d[^\n]*)"

    def numbers(text: str) -> dict[str, float]:
        lines = [found["number"] for found in re.finditer(form, text.translate(_DIGITS), re.IGNORECASE | re.ASCII)]
        if len(lines) != 1:
            times = f"{len(lines)} numbers" if lines else "no number"
            raise _Failed("unreadable", f"{times} after {excerpt(marker)}: {excerpt(text[-32:])}")
        number = re.match(r"[-\d.]+", lines[0], re.ASCII)
        assert number is not None  # the form has a digit there
        rest = re.sub(rf"^[*_`\s]*+\(?\s*+(?:/|out of)\s*+{high:g}(?![\d.]*\d)", "", lines[0][number.end() :])
        numeral = number[0].rstrip(".")
        if re.search(r"\d", rest) or not _NUMERAL.fullmatch(numeral):
            raise _Failed("unreadable", f"more than one number after {excerpt(marker)}: {excerpt(lines[0])}")
        return {dimension: _numeral(numeral, low, high, whole)}

    return _read(reply, numbers)


def excerpt(text: str) -> str:
    """The beginning of hostile text, quoted and escaped, so it may be printed."""
    return ascii(text[:32]) + ("…" if len(text) > 32 else "")


def _refuses(text: str) -> bool:
    return text[:MAX_CHARS].translate(PLAIN).lower().lstrip("*\"'` ").startswith(REFUSALS)


def _in_range(number: Decimal, said: str, low: float, high: float, whole: bool) -> float:
    # Decimal, since a float rounds 10.00000000000000000001 to 10 and lets it in
    if not Decimal(low) <= number <= Decimal(high):
        raise _Failed("out of range", f"{excerpt(said)[1:-1]} is not in {low:g} to {high:g}")
    if whole and number != number.to_integral_value():
        raise _Failed("unreadable", f"{excerpt(said)[1:-1]} is not a whole number")
    return float(number)


def _numeral(text: str, low: float, high: float, whole: bool) -> float:
    """Read a numeral; the range comes first, so that -1 is out of range and no odd form."""
    number = _in_range(Decimal(text), text, low, high, whole)
    most = max(2, len(f"{max(abs(low), abs(high)):.0f}"))
    if len(text.lstrip("-").split(".")[0]) > most or (text.startswith("-") and low >= 0):
        raise _Failed("unreadable", f"{excerpt(text)[1:-1]} is not a plain decimal")
    return number


_TWICE: Any = object()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _TWICE if key in found else value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# not strict: a line break inside a text is what judges write
_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=Decimal, parse_float=Decimal, parse_constant=_no_constant, strict=False
)


def _object(text: str, keys: Mapping[str, Key]) -> dict[str, Any]:
    """Find the one object with any of the keys, which may not stand inside a broken one."""
    found: list[tuple[dict[str, Any], int]] = []
    broken: _Failed | None = None
    at = depth = num_broken = 0
    while (brace := text.find("{", at)) >= 0:
        depth = max(0, depth - text.count("}", at, brace))
        if num_broken > MAX_BROKEN:
            raise _Failed("unreadable", f"more than {MAX_BROKEN} braces that open no JSON: {excerpt(text)}")
        try:
            value, at = _DECODER.raw_decode(text, brace)
        except (RecursionError, ArithmeticError):  # the latter: an exponent that Decimal does not take
            raise _Failed("unreadable", "JSON nested too deeply, or a number too large") from None
        except json.JSONDecodeError as error:
            if broken is None and (error.pos >= len(text) or error.msg.startswith("Unterminated string")):
                broken = _Failed("truncated", f"the JSON object is not closed: {excerpt(text[brace:])}")
            broken = broken or _Failed("unreadable", f"no JSON: {error.msg} at {error.pos} of {excerpt(text[brace:])}")
            at, depth, num_broken = brace + 1, depth + 1, num_broken + 1
        except ValueError as error:
            broken = broken or _Failed("unreadable", str(error))
            at, depth, num_broken = brace + 1, depth + 1, num_broken + 1
        else:
            if any(key in value for key in keys):
                found.append((value, depth))
    if len(found) == 1 and found[0][1] == 0:
        return found[0][0]
    wanted = " or ".join(keys)
    if len(found) > 1:
        raise _Failed("unreadable", f"{len(found)} JSON objects with {wanted}: {excerpt(text)}")
    raise broken or _Failed("unreadable", f"no JSON object with {wanted}: {excerpt(text)}")


def _values(found: dict[str, Any], key: str, kind: Key) -> dict[str, float]:
    if key not in found:
        raise _Failed("unreadable", f"no {key} in the JSON object")
    value = found[key]
    if value is _TWICE:
        raise _Failed("unreadable", f"{key} stands twice in the JSON object")
    if kind.count is None:
        return {key: _value(value, key, kind)}
    if not isinstance(value, list) or len(value) != kind.count:
        said = f"a list of {len(value)}" if isinstance(value, list) else _said(value)
        raise _Failed("unreadable", f"{key} is {said}, not a list of {kind.count}")
    return {name: _value(number, key, kind) for name, number in zip(kind.dimensions(key), value, strict=True)}


def _said(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, str):
        return excerpt(value)
    return "null" if value is None else str(value).lower()


def _value(value: Any, key: str, kind: Key) -> float:
    if kind.choices is not None:
        word = value.strip().removesuffix(".").lower() if isinstance(value, str) else ""
        if word not in kind.choices:
            raise _Failed("unreadable", f"{key} is {_said(value)}, not one of {', '.join(kind.choices)}")
        return kind.choices[word]
    if isinstance(value, Decimal):
        return _in_range(value, str(value), kind.low, kind.high, kind.whole)
    text = value.strip().translate(_DIGITS) if isinstance(value, str) and kind.quoted else ""
    if _NUMERAL.fullmatch(text):
        return _numeral(text, kind.low, kind.high, kind.whole)
    raise _Failed("unreadable", f"{key} is {_said(value)}, not a number")
