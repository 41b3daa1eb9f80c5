"""The files that a benchmark may stand in, read row by row: a JSON list, JSONL, CSV."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from editbench.errors import UsageError
from editbench.images import MAX_BYTES

_MAX_SHOWN = 50
_MAX_ROW = 2 * MAX_BYTES  # one endless row must not fill the memory; base64 takes 4/3 of an image's bytes
_CHUNK = 2**20
_TOKEN = 16  # characters; over the longest that JSON can be cut in without saying so, such as \ud83d\ude00
_BLANK = re.compile(r"[ \t\r\n]*")


class Defects:
    """What is wrong with one file, gathered so that its user sees all of it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []

    def add(self, message: str, row: int | None = None, pair_id: str = "", field: str = "") -> None:
        """One defect: what is wrong and what to do, and where as far as it is known."""
        place = str(self._path)
        if row is not None:
            place += f", row {row}" + (f" (id {shown(pair_id)})" if pair_id else "")
        self._lines.append(f"{place}{', ' if field else ''}{field}: {message}")

    def add_if_none(self, message: str) -> None:
        """One that only counts where it is not explained by another."""
        if not self._lines:
            self.add(message)

    def raise_if_any(self) -> None:
        """Raise one UsageError with all of them, the first 50 in words."""
        lines = self._lines
        if len(lines) > 1:
            more = [f"and {len(lines) - _MAX_SHOWN} more"] if len(lines) > _MAX_SHOWN else []
            lines = [f"{len(lines)} defects in {self._path}:", *lines[:_MAX_SHOWN], *more]
        if lines:
            raise UsageError("\n  ".join(lines))


class Fields(dict[str, Any]):
    """A row's fields by name; JSON may name one twice, of which a dict would keep the last in silence."""

    repeated: frozenset[str] = frozenset()


def _fields(items: list[tuple[str, Any]]) -> Fields:
    fields = Fields(items)
    if len(fields) < len(items):
        fields.repeated = frozenset(name for name, times in Counter(name for name, _ in items).items() if times > 1)
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_fields)


def json_items(file: BinaryIO, defects: Defects) -> Iterator[tuple[int, Any]]:
    """The items of a JSON list, numbered from 1, with no more than about two of them in memory."""
    window = _Window(file)
    number = 0
    try:
        if window.take() != "[":
            defects.add("is not a JSON list; give a list of objects, one a pair: [{…}, {…}]")
            return
        if window.peek() == "]":
            window.take()
        else:
            mark = ","
            while mark == ",":
                number += 1
                yield number, window.value()
                if window.peek() not in (",", "]"):
                    raise window.error("Expecting ',' or ']'")
                mark = window.take()
        if window.peek():
            raise window.error("Text after the list's end")
    except json.JSONDecodeError as error:
        defects.add(f"is not JSON at byte {window.byte(error.pos)} ({error.msg}); mend the file there", number or None)
    except UnicodeDecodeError as error:
        defects.add(f"is not UTF-8 at byte {error.start + 1}; save the file as UTF-8", number or None)
    except (ValueError, RecursionError) as error:
        defects.add(f"cannot be read as JSON ({error}); mend the item", number or None)


class _Window:
    """The part of a JSON text that is being parsed; it moves along the file.

    ijson is not used: its C backend crashes the process on deep nesting and on an integer of over 4,300 digits, its
    Python backend keeps all that it has read while strings are longer than its chunks (both seen with ijson 3.6.0).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self) -> str:
        """The same, and go past it."""
        character = self.peek()
        self._at += len(character)
        return character

    def value(self) -> Any:
        """The next JSON value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # what is only cut off is an open string, or an error within a token's length of the end
                cut = error.msg.startswith("Unterminated string") or error.pos + _TOKEN > len(self._text)
                if not cut or not self._more():
                    raise
            else:
                # a number near the end may go on: 1, 1.5, 1.5e+9
                if end + _TOKEN <= len(self._text) or not self._more():
                    self._at = end
                    return value

    def error(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self._at)

    def byte(self, position: int) -> int:
        """The number, from 1, of the file's byte at this position in the text."""
        return self._file.tell() - len(self._utf8.getstate()[0]) - len(self._text[position:].encode()) + 1

    def _more(self) -> bool:
        """Drop what has been parsed, and double the rest: parsing again and again then costs twice, not n times."""
        if self._ended:
            return False
        self._text = self._text[self._at :]
        self._at = 0
        if len(self._text) > _MAX_ROW:
            raise ValueError(f"it has over {_MAX_ROW:,} characters")
        start = self._file.tell() - len(self._utf8.getstate()[0])
        data = self._file.read(max(_CHUNK, len(self._text)))
        self._ended = not data
        try:
            self._text += self._utf8.decode(data, self._ended)
        except UnicodeDecodeError as error:
            error.start += start
            raise
        return True


def json_lines(file: BinaryIO, defects: Defects) -> Iterator[tuple[int, Any]]:
    """The objects of a JSONL file with their line numbers; blank lines are skipped."""
    for number, line in _lines(file):
        if not line.strip():
            continue
        try:
            value: Any = _DECODER.decode(line.decode())
        except json.JSONDecodeError as error:
            defects.add(f"is not JSON at character {error.pos + 1} ({error.msg}); mend the line", number)
        except UnicodeDecodeError as error:
            defects.add(f"is not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8", number)
        except (ValueError, RecursionError) as error:
            defects.add(f"cannot be read as JSON ({error}); mend the line", number)
        else:
            yield number, value


def csv_lines(file: BinaryIO, defects: Defects) -> Iterator[tuple[int, Any]]:
    """The rows of a CSV file below its header, with the numbers of the lines they begin on; tags are split at `;`."""
    table = csv.reader((line.decode() for _, line in _lines(file)), strict=True)
    header: list[str] | None = None
    number = 1
    try:
        for cells in table:
            if cells and header is None:
                header = [name.strip() for name in cells]
                repeated = sorted(name for name, times in Counter(header).items() if times > 1)
                if repeated or not {"id", "original_image_path"}.intersection(header):
                    wrong = f"has {shown(repeated[0])} twice" if repeated else "has no id"
                    defects.add(f"the header {wrong}; give a line of distinct column names, parted by commas", number)
                    return
            elif cells and header is not None and len(cells) != len(header):
                defects.add(f"has {len(cells)} cells, the header {len(header)}; quote those with commas", number)
            elif cells and header is not None:
                fields = Fields(zip(header, cells, strict=True))
                if "tags" in fields:
                    fields["tags"] = [tag.strip() for tag in fields["tags"].split(";") if tag.strip()]
                yield number, fields
            number = table.line_num + 1
    except UnicodeDecodeError as error:
        line = table.line_num + 1
        defects.add(f"is not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8", line)
    except csv.Error as error:
        defects.add(f"is not CSV ({error}); mend it", number)


def shown(text: str) -> str:
    """Text of a stranger, safe on a terminal: cut short, what is not printable escaped."""
    return repr(text if len(text) <= 60 else text[:59] + "…")


def kind(value: object) -> str:
    """What JSON calls the type of this value, with its article."""
    kinds = {"bool": "true or false", "NoneType": "null", "str": "a text", "list": "a list", "Fields": "an object"}
    return kinds.get(type(value).__name__, "a number")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    return enumerate(iter(lambda: file.readline(_MAX_ROW), b""), 1)
