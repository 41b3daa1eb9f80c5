"""Text files of rows: JSON lists and objects, JSON lines, CSV with commas, semicolons or tabs; in several encodings."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from editbench.benchmark.defects import Defects, Fields, fields_of, shown
from editbench.errors import UsageError
from editbench.images import MAX_BYTES

Items = Iterator[tuple[int, Any]]
"""Rows with their numbers: an item's from 1, or the line's that it begins on."""

KEY = "__key__"
"""The field that holds the name of a row in an object of rows."""
_MAX_ROW = 2 * MAX_BYTES  # one endless row must not fill the memory; base64 takes 4/3 of an image's bytes
_MAX_FOREIGN = 2**29  # bytes of a file that is not UTF-8, which is held whole
_CHUNK = 2**20
_TOKEN = 16  # characters; over the longest that JSON can be cut in without saying so, such as \ud83d\ude00
_BLANK = re.compile(r"[ \t\r\n]*")
_DELIMITERS = ",;\t"
_DECODER = json.JSONDecoder(object_pairs_hook=fields_of)


def open_text(path: Path, say: Callable[[str], None]) -> BinaryIO:
    """Open a text file as UTF-8 without byte order mark; what is not UTF-8 is UTF-16 or GB18030, and `say` tells it.

    Raises:
        UsageError: a file that is not UTF-8 has over 512 MiB.
        OSError: it cannot be read.
    """
    file = path.open("rb")
    start = file.read(4)
    if start.startswith(codecs.BOM_UTF8):
        file.seek(len(codecs.BOM_UTF8))
        return file
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif _is_all(file, "utf-8"):
        encoding = ""
    elif (looks := _utf_16(start)) and _is_all(file, looks):
        encoding = looks
    else:
        encoding = "gb18030" if _is_all(file, "gb18030") else ""
    file.seek(0)
    if not encoding:
        return file
    with file:
        if path.stat().st_size > _MAX_FOREIGN:
            raise UsageError(f"{path}: is not UTF-8 and has over {_MAX_FOREIGN:,} bytes; save it as UTF-8")
        text = file.read().decode(encoding, "replace")
    say(f"{path} is not UTF-8: read as {encoding.upper()}")
    return io.BytesIO(text.encode("utf-8", "surrogatepass"))


def _is_all(file: BinaryIO, encoding: str) -> bool:
    """Whether the whole file decodes, but for a character that its end cuts off."""
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        while data := file.read(_CHUNK):
            decoder.decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _utf_16(start: bytes) -> str:
    """Which UTF-16 a text without byte order mark is that begins with two ASCII characters; empty: none."""
    if len(start) < 4:
        return ""
    return {(False, True) * 2: "utf-16-le", (True, False) * 2: "utf-16-be"}.get(tuple(byte == 0 for byte in start), "")


def json_rows(file: BinaryIO, defects: Defects, path: Path, is_field: Callable[[str], bool]) -> Items:
    """The rows of a JSON file in any of its forms, with no more than about two of them in memory.

    The forms are a list of rows, such a list under one key of an object, an object of rows by name, and JSON lines. A
    row of an object gets its name as the field `__key__`.

    Args:
        file: UTF-8.
        defects: get what is wrong.
        path: of the file, for the defects.
        is_field: whether a name is one of a row's fields, to tell a row from an object of rows.
    """
    start = file.tell()
    if path.suffix.lower() in (".jsonl", ".ndjson") and file.read(_CHUNK).lstrip()[:1] != b"[":
        file.seek(start)
        yield from json_lines(file, defects, path)
        return
    file.seek(start)
    window = _Window(file)
    try:
        match window.peek():
            case "[":
                for value in window.items():
                    yield window.started, value
                if window.peek():
                    raise window.error("Text after the list's end")
            case "{":
                if _is_row(window, is_field):
                    file.seek(start)
                    if file.readline(_MAX_ROW).rstrip().endswith(b"}"):
                        file.seek(start)
                        yield from json_lines(file, defects, path)
                        return
                    file.seek(start)
                    window = _Window(file)  # objects over several lines, one after another
                    while window.peek():
                        window.started += 1
                        value = window.value()
                        if _is_by_columns(value):
                            defects.add(_BY_COLUMNS, file=path)
                            return
                        yield window.started, value
                    return
                file.seek(start)
                window = _Window(file)
                found, num_rows, others = list[str](), 0, list[tuple[int, Fields]]()
                for name, value in window.members():
                    if isinstance(value, Fields):
                        value.setdefault(KEY, name)
                        if any(map(is_field, value.keys() - {KEY})):
                            num_rows += 1
                            yield window.started, value
                        else:
                            others.append((window.started, value))
                    elif isinstance(value, _Item):
                        found += [name] if name not in found else []
                        yield window.started, value.value
                if not (found or num_rows):
                    yield from others  # they are about the data set where it has rows elsewhere
                if len(found) > 1:
                    names = ", ".join(map(shown, found))
                    defects.add(f"holds lists under {names}; keep one, or give a file for each", file=path)
                if window.peek():
                    raise window.error("Text after the object's end")
            case _:
                what = "a list of objects, one a pair: [{…}, {…}], or one object a line"
                defects.add(f"is not a JSON list; give {what}", file=path)
    except json.JSONDecodeError as error:
        wrong = f"is not JSON at byte {window.byte(error.pos)} ({error.msg}); correct the file there"
        defects.add(wrong, window.started or None, file=path)
    except UnicodeDecodeError as error:
        wrong = f"is not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
        defects.add(wrong, window.started or None, file=path)
    except (ValueError, RecursionError) as error:
        defects.add(f"cannot be read as JSON ({error}); correct the item", window.started or None, file=path)


def _is_row(window: "_Window", is_field: Callable[[str], bool]) -> bool:
    """Whether an object is a row and not a container of rows: it has a field's name before anything nested."""
    window.take()
    while window.peek() == '"':
        if is_field(window.value()):
            return True
        if window.take() != ":" or window.peek() in ("{", "["):
            return False
        window.value()
        if window.take() != ",":
            break
    return False


_BY_COLUMNS = "is written by columns; write it by rows, as pandas does with to_json(orient='records')"


def _is_by_columns(value: Any) -> bool:
    """Whether an object holds a table's columns and not a row's fields, of which one at least is no list or object."""
    return isinstance(value, Fields) and bool(value) and all(isinstance(one, Fields | list) for one in value.values())


class _Item:
    """An item of a list within an object."""

    def __init__(self, value: Any) -> None:
        self.value = value


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
        self.started = 0
        """How many rows have been begun."""

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self) -> str:
        """The same, and move past it."""
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

    def items(self) -> Iterator[Any]:
        """The items of the list that begins here."""
        self.take()
        if self.peek() == "]":
            self.take()
            return
        while True:
            self.started += 1
            yield self.value()
            if self.peek() not in (",", "]"):
                raise self.error("Expecting ',' or ']'")
            if self.take() == "]":
                return

    def members(self) -> Iterator[tuple[str, Any]]:
        """The names and values of the object that begins here; of a list its items one by one."""
        self.take()
        if self.peek() == "}":
            self.take()
            return
        while True:
            if self.peek() != '"':
                raise self.error("Expecting property name enclosed in double quotes")
            name = self.value()
            if self.peek() != ":":
                raise self.error("Expecting ':' delimiter")
            self.take()
            if self.peek() == "[":
                for value in self.items():
                    yield name, _Item(value)
            else:
                self.started += self.peek() == "{"
                yield name, self.value()
            if self.peek() not in (",", "}"):
                raise self.error("Expecting ',' or '}'")
            if self.take() == "}":
                return

    def error(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self._at)

    def byte(self, position: int) -> int:
        """The number, from 1, of the byte at this position in the text."""
        return self._file.tell() - len(self._utf8.getstate()[0]) - len(self._text[position:].encode()) + 1

    def _more(self) -> bool:
        """Drop what is parsed and double the rest, so that repeated parsing costs twice the time, not n times."""
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


def json_lines(file: BinaryIO, defects: Defects, path: Path) -> Items:
    """The objects of a file of JSON lines with their line numbers; blank lines are skipped."""
    for number, line in _lines(file):
        if not line.strip():
            continue
        try:
            value: Any = _DECODER.decode(line.decode())
        except json.JSONDecodeError as error:
            what = f"is not JSON at character {error.pos + 1} ({error.msg}); correct the line"
            defects.add(what, number, file=path)
        except UnicodeDecodeError as error:
            what = f"is not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
            defects.add(what, number, file=path)
        except (ValueError, RecursionError) as error:
            defects.add(f"cannot be read as JSON ({error}); correct the line", number, file=path)
        else:
            if _is_by_columns(value):
                defects.add(_BY_COLUMNS, file=path)
                return
            yield number, value


def csv_rows(file: BinaryIO, defects: Defects, path: Path, is_field: Callable[[str], bool]) -> Items:
    """The rows of a table below its header, with the numbers of the lines they begin on.

    A column without name is left out. The cells are separated by a comma, a semicolon or a tab, whichever separates
    the most fields' names in the header.
    """
    csv.field_size_limit(_MAX_ROW)
    start = file.tell()
    header_line = next((line for _, line in _lines(file) if line.strip()), b"").decode(errors="replace")
    file.seek(start)
    parts = {mark: [name.strip(' "\r\n') for name in header_line.split(mark)] for mark in _DELIMITERS}
    mark = max(_DELIMITERS, key=lambda mark: (sum(map(is_field, parts[mark])), len(parts[mark])))
    table = csv.reader((line.decode() for _, line in _lines(file)), strict=True, delimiter=mark)
    header: list[str] | None = None
    number = 1
    try:
        for cells in table:
            if cells and header is None:
                header = [name.strip() for name in cells]
                repeated = sorted(name for name, times in Counter(filter(None, header)).items() if times > 1)
                if repeated:
                    what = f"the header has {shown(repeated[0])} twice; give a line of distinct column names"
                    defects.add(what, number, file=path)
                    return
            elif cells and header is not None and len(cells) != len(header):
                what = f"has {len(cells)} cells, the header {len(header)}; put cells that hold {mark!r} in quotes"
                defects.add(what, number, file=path)
            elif cells and header is not None:
                yield number, Fields((name, cell) for name, cell in zip(header, cells, strict=True) if name)
            number = table.line_num + 1
    except UnicodeDecodeError as error:
        line = table.line_num + 1
        what = f"is not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
        defects.add(what, line, file=path)
    except csv.Error as error:
        defects.add(f"is not CSV ({error}); correct it", number, file=path)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    return enumerate(iter(lambda: file.readline(_MAX_ROW), b""), 1)
