"""What is wrong with a benchmark, gathered so that its user sees all of it at once."""

from collections import Counter
from pathlib import Path
from typing import Any

from editbench.errors import UsageError

_MAX_SHOWN = 50


class Defects:
    """The defects of one benchmark, in the order in which they are found."""

    def __init__(self, benchmark: Path) -> None:
        self._benchmark = benchmark
        self._lines: list[str] = []

    def add(
        self, message: str, row: int | None = None, pair_id: str = "", field: str = "", file: Path | None = None
    ) -> None:
        """One defect: what is wrong and what to do, and where as far as it is known."""
        place = str(file or self._benchmark)
        if row is not None:
            place += f", row {row}" + (f" (id {shown(pair_id)})" if pair_id else "")
        self._lines.append(f"{place}{', ' if field else ''}{field}: {message}")

    def add_if_none(self, message: str) -> None:
        """A defect that counts only where no other one explains it."""
        if not self._lines:
            self.add(message)

    def raise_if_any(self) -> None:
        """Raise one UsageError with all of them, the first 50 in words."""
        lines = self._lines
        if len(lines) > 1:
            more = [f"and {len(lines) - _MAX_SHOWN} more"] if len(lines) > _MAX_SHOWN else []
            lines = [f"{len(lines)} defects in {self._benchmark}:", *lines[:_MAX_SHOWN], *more]
        if lines:
            raise UsageError("\n  ".join(lines))


class Fields(dict[str, Any]):
    """A row's fields by name; JSON may name one twice, and a dict would keep the last without a word."""

    repeated: frozenset[str] = frozenset()


def fields_of(items: list[tuple[str, Any]]) -> Fields:
    """The fields of a JSON object, with the names that stand in it twice."""
    fields = Fields(items)
    if len(fields) < len(items):
        fields.repeated = frozenset(name for name, times in Counter(name for name, _ in items).items() if times > 1)
    return fields


def shown(text: str) -> str:
    """Text of a stranger, safe on a terminal: cut to 60 characters, what is not printable escaped."""
    return repr(text if len(text) <= 60 else text[:59] + "…")


def kind(value: object) -> str:
    """What JSON calls the type of this value, with its article."""
    kinds = {
        "bool": "true or false",
        "NoneType": "null",
        "str": "a text",
        "list": "a list",
        "Fields": "an object",
        "dict": "an object",
        "bytes": "binary data",
    }
    return kinds.get(type(value).__name__, "a number")
