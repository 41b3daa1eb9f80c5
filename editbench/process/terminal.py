"""The terminal, or the file or pipe in its place: safe to write to, whatever a text holds and whoever has closed it."""

import contextlib
import os
import sys
import unicodedata
from typing import TextIO

from editbench.process.redaction import redacted


def keep_standard_streams() -> None:
    """Let no write to stdout or stderr end the process: a closed pipe or a full disk there costs only what is said.

    A closed descriptor (`2>&-`) is opened on /dev/null: the next file that the process opens would take its number, and
    the messages of C libraries would go into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (as long as the process)
        if not isinstance(stream, _Tolerant):
            setattr(sys, name, _Tolerant(stream))


class _Tolerant:
    """A text stream whose writes never fail; all else is the stream's own."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            try:
                self._stream.write(text)
            except UnicodeEncodeError:  # a locale that lacks the character
                encoding = self._stream.encoding
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def say(text: str) -> None:
    """Write lines to stderr, without keys and control characters."""
    sys.stderr.write(f"{indented(printable(redacted(text)))}\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor or turn its lines: C0, C1 and bidi controls."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def indented(text: str) -> str:
    """The text, its lines after the first set in: a line break in an id or a reply cannot begin a line like ours."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(line if line.startswith("  ") or not line else f"  {line}" for line in rest)])
