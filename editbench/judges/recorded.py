"""A judge whose replies, or numbers, were made elsewhere and stand in a file."""

import csv
import hashlib
import io
import json
import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from editbench.errors import UsageError
from editbench.judges.judge import Judge, Message, Reply, Way

log = logging.getLogger(__name__)

_MAX_BYTES = 2**31
_MAX_FIELD = 2**24
_MAX_DEFECTS = 20
_COLUMNS = {
    "replies": ("pair_id", "try", "call", "repeat", "reply", "error", "model", "finish_reason"),
    "values": ("pair_id", "try", "repeat", "dimension", "value"),
}

_Place = tuple[str, int, str, int]
"""Pair, try, call (or dimension; empty: none), repeat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    text: str | None = None
    number: float | None = None
    error: str | None = None
    model: str = ""
    finish_reason: str = ""


@dataclass(kw_only=True)
class Recorded(Judge):
    """Replies or plain numbers from a file: read, reported and compared as any judge's, without a model.

    One of `replies` and `values` is given. A pair or call without a row is a failure of its own (`error`); rows of
    other pairs or calls are counted in the log. A file that has changed is read again, all of it.
    """

    replies: str | None = None  # pyright: ignore[reportIncompatibleMethodOverride]  (a setting; `ask` is overridden)
    """A .jsonl or .csv of `pair_id`, `call` and `reply`, or `error` in its place; optional: `repeat` and `try`, from 0,
    `model`, `finish_reason` (`length`: cut off). Without `call` a row is of its pair's only call."""
    values: str | None = None
    """A .csv or .jsonl of `pair_id` and `value`; with `dimension` a number for the rubric's formula, without it the
    pair's value itself; optional: `repeat` and `try`, from 0."""
    scale: tuple[float, float] | None = None
    """Lowest and highest of the numbers in `values`, which are converted to the rubric's; none: they are on its own."""

    neutral: ClassVar[frozenset[str]] = frozenset({"replies", "values"})  # `files` has what decides
    offers: ClassVar[frozenset[Way]] = frozenset({"samples"})

    def __post_init__(self) -> None:
        """Nothing is known yet of what will be asked."""
        self._only_call: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The file's name without ending."""
        return Path(self._file).stem

    @property
    def gives_values(self) -> bool:
        """Whether the numbers are the pairs' values themselves."""
        return self.values is not None and not any(call for _, _, call, _ in self._rows)

    def files(self) -> Mapping[str, str]:
        """The file's hash."""
        return {Path(self._file).name: hashlib.sha256(self._read_bytes()).hexdigest()}

    def check(self) -> None:
        """Read the whole file.

        Raises:
            UsageError: there is none, or rows can't be read: a line each.
        """
        if self.scale is not None and self.values is None:
            raise UsageError("scale stands with values: a recorded reply is read on the rubric's own")
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise UsageError(f"scale {list(self.scale)}: the lowest comes first, and below the highest")
        if not self._rows:
            raise UsageError(f"{self._file} holds no row")

    def check_calls(self, calls: Mapping[str, Collection[str]]) -> None:
        """Count the rows that no pair or call of the run asks for.

        Raises:
            UsageError: no row is asked for.
        """
        self._only_call = {pair_id: next(iter(names)) for pair_id, names in calls.items() if len(names) == 1}
        others = [place for place in self._rows if place[0] not in calls]
        of_calls: list[_Place] = []
        if self.values is None:
            of_calls = [
                place
                for place in self._rows
                if place[0] in calls and (place[2] not in calls[place[0]] if place[2] else len(calls[place[0]]) != 1)
            ]
        if len(others) + len(of_calls) == len(self._rows):
            known = ", ".join(sorted({name for names in calls.values() for name in names}))
            raise UsageError(f"{self._file}: no row is of a pair and call of this run; its calls are {known}")
        if others:
            log.warning("%s: %d rows are of pairs that are not in this run; left out.", self._file, len(others))
        if of_calls:
            named = ", ".join(sorted({place[2] or "without `call`" for place in of_calls})[:5])
            log.warning("%s: %d rows are of calls that are not asked (%s).", self._file, len(of_calls), named)

    def weight_bytes(self) -> int | None:
        """There is no model."""
        return 0

    def num_at_once(self) -> int | None:
        """No memory is needed."""
        return 256

    def ask(self, messages: Sequence[Message]) -> list[Reply]:
        """The row of each message's repeat."""
        return [self._reply(message, message.repeats[0]) for message in messages]

    def samples(self, messages: Sequence[Message], seeds: Sequence[Sequence[int]]) -> list[list[Reply]]:
        """The rows of the repeats that each message asks for."""
        return [[self._reply(message, repeat) for repeat in message.repeats] for message in messages]

    def _reply(self, message: Message, repeat: int) -> Reply:
        if self.values is not None:
            return self._numbers(message, repeat)
        row = self._rows.get((message.pair_id, message.try_, message.call, repeat))
        if row is None and self._only_call.get(message.pair_id) == message.call:
            row = self._rows.get((message.pair_id, message.try_, "", repeat))
        if row is None:
            return Reply(text="", failure="error", detail="no recorded reply")
        if row.error is not None:
            return Reply(text="", failure="error", detail=row.error or "recorded without a reason", model=row.model)
        if row.finish_reason == "content_filter":
            return Reply(text=row.text or "", failure="refused", detail="content_filter", model=row.model)
        return Reply(text=row.text or "", truncated=row.finish_reason == "length", model=row.model)

    def _numbers(self, message: Message, repeat: int) -> Reply:
        numbers: dict[str, float] = {}
        for name, (low, high) in message.gives.items():
            row = self._rows.get((message.pair_id, message.try_, "" if self.gives_values else name, repeat))
            if row is None or row.number is None:
                detail = "no recorded value" if self.gives_values else f"no recorded value of {name}"
                return Reply(text="", failure="error", detail=detail)
            number = row.number
            if self.scale is not None:
                first, last = self.scale
                if not first <= number <= last:
                    detail = f"{number:g} is not in the scale {first:g} to {last:g}"
                    return Reply(text="", failure="out of range", detail=detail)
                number = low + (number - first) / (last - first) * (high - low)
            numbers[name] = number
        return Reply(text="", readings=numbers)

    @cached_property
    def _file(self) -> str:
        if (self.replies is None) == (self.values is None):
            raise UsageError("the judge Recorded reads one file: --judge.init_args.replies FILE, or …values FILE")
        return self.replies or self.values or ""

    def _read_bytes(self) -> bytes:
        path = Path(self._file)
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise UsageError(f"{path} has more than {_MAX_BYTES:,} bytes")
            return path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} can't be read: {error.strerror}") from error

    @cached_property
    def _rows(self) -> dict[_Place, _Row]:
        kind = "replies" if self.replies is not None else "values"
        defects: list[str] = []
        found: dict[_Place, _Row] = {}
        lines: dict[_Place, int] = {}
        for number, row in self._lines(kind, defects):
            try:
                place, entry = _parse(kind, row)
            except ValueError as error:
                defects.append(f"{self._file}, line {number}: {error}")
                continue
            if place in lines:
                defects.append(f"{self._file}, line {number}: the same pair, call and repeat as line {lines[place]}")
            found[place] = entry
            lines[place] = number
        if kind == "values" and 0 < sum(bool(place[2]) for place in found) < len(found):
            defects.append(f"{self._file}: some rows have a dimension and some have none; give one kind a file")
        if defects:
            more = [f"{len(defects) - _MAX_DEFECTS} more"] if len(defects) > _MAX_DEFECTS else []
            raise UsageError("\n".join(defects[:_MAX_DEFECTS] + more))
        return found

    def _lines(self, kind: str, defects: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows with the number of their line."""
        ending = Path(self._file).suffix.lower()
        if ending not in (".jsonl", ".csv"):
            raise UsageError(f"{self._file}: unknown kind of file; give .jsonl or .csv")
        try:
            text = self._read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"{self._file} is not UTF-8: byte {error.start}") from error
        if ending == ".csv":
            csv.field_size_limit(_MAX_FIELD)
            table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            needed = ("pair_id", "reply" if kind == "replies" else "value")
            try:
                if lacking := [name for name in needed if name not in (table.fieldnames or ())]:
                    raise UsageError(
                        f"{self._file}: no column {', '.join(lacking)}; known are {', '.join(_COLUMNS[kind])}"
                    )
                for row in table:
                    # an empty cell says nothing, but for an empty reply
                    yield (
                        table.line_num,
                        {n: v for n, v in row.items() if n and (v or (n == "reply" and not row.get("error")))},
                    )
            except csv.Error as error:
                defects.append(f"{self._file}, line {table.line_num}: {error}")
            return
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                defects.append(f"{self._file}, line {number}: not JSON: {error}")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                defects.append(f"{self._file}, line {number}: not an object")


def _parse(kind: str, row: Mapping[str, Any]) -> tuple[_Place, _Row]:
    """A row of the file.

    Raises:
        ValueError: a field is missing or of another type.
    """
    pair_id = row.get("pair_id")
    if not isinstance(pair_id, str) or not pair_id:
        raise ValueError("pair_id is missing")
    try_, repeat = _count(row, "try"), _count(row, "repeat")
    if kind == "values":
        return (pair_id, try_, _text(row, "dimension"), repeat), _Row(number=_number(row.get("value")))
    place = (pair_id, try_, _text(row, "call"), repeat)
    model, reason = _text(row, "model"), _text(row, "finish_reason")
    error = row.get("error")
    if error is not None and row.get("reply") is None:
        return place, _Row(error=str(error), model=model, finish_reason=reason)
    reply = row.get("reply")
    if reply is None and reason == "length":  # what a server sends whose model thought up to the limit
        reply = ""
    if not isinstance(reply, str):
        raise ValueError("reply must be text; give `error` where there is none")
    if error is not None:
        raise ValueError("reply and error: give one of them")
    return place, _Row(text=reply, model=model, finish_reason=reason)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    return value.strip()


def _count(row: Mapping[str, Any], name: str) -> int:
    value: Any = row.get(name)
    if value is None:
        return 0
    if isinstance(value, str) and value.isdecimal() and len(value) < 9:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise ValueError(f"{name} must be a whole number from 0")
    return value


def _number(value: Any) -> float | None:
    """The number; None where the cell is empty."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"value {value!r:.40} is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"value {value!r:.40} is no number") from error
    if not math.isfinite(number):
        raise ValueError(f"value {value!r:.40} is no finite number")
    return number
