"""What people said of edits: a file of scores, or of preferences between two runs' edits."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editbench.errors import UsageError

TIE = "tie"
_ERRORS_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """What one person said of one pair."""

    pair_id: str
    rater: str
    """Who; empty where the file does not say."""
    value: float | None
    """The person's score, on any scale on which more is better; None in a file of preferences."""
    winner: str | None
    """The name of the run whose edit the person prefers, or `tie`; None in a file of scores."""


def read_ratings(path: Path, runs: Sequence[str]) -> list[Rating]:
    """Read a .csv or .jsonl with `pair_id`, `value` or `winner`, and `rater` where several people rated.

    Args:
        path: UTF-8, with or without a byte-order mark.
        runs: the names that `winner` may hold, beside `tie`.

    Raises:
        UsageError: the file can't be read, or rows are not as they should be: all of them, with row and field.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"--human {path}: no such file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--human {path}: not UTF-8 at byte {error.start}") from error
    if path.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--human {path}: give a .csv or a .jsonl")
    wrong: list[str] = []
    found: list[Rating] = []
    seen: set[tuple[str, str]] = set()
    for number, row in _rows(text, path.suffix, wrong):
        try:
            rating = _rating(row, runs)
        except ValueError as error:
            wrong.append(f"row {number}: {error}")
            continue
        if rating.rater and (rating.pair_id, rating.rater) in seen:
            wrong.append(f"row {number}: {rating.rater!r} rated {rating.pair_id!r} before")
        seen.add((rating.pair_id, rating.rater))
        found.append(rating)
    if len({rating.winner is None for rating in found}) > 1:
        wrong.append("some rows hold a value and some a winner: give two files")
    if not found and not wrong:
        wrong.append("no row")
    if wrong:
        more = f"\n  and {len(wrong) - _ERRORS_SHOWN} more" if len(wrong) > _ERRORS_SHOWN else ""
        raise UsageError(f"--human {path}:\n" + "\n".join(f"  {line}" for line in wrong[:_ERRORS_SHOWN]) + more)
    return found


def _rows(text: str, suffix: str, wrong: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its number, the header and the first line being 1."""
    if suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            wrong.append(f"row {reader.line_num}: {error}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            wrong.append(f"row {number}: not JSON ({error})")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            wrong.append(f"row {number}: not a JSON object")


def _rating(row: dict[str, Any], runs: Sequence[str]) -> Rating:
    """One row.

    Raises:
        ValueError: says which field is wrong and how.
    """
    pair_id, rater = row.get("pair_id"), row.get("rater")
    if not isinstance(pair_id, str) or not pair_id:
        raise ValueError(f"pair_id is {pair_id!r}; give the id of a pair")
    value, winner = row.get("value"), row.get("winner")
    if value in (None, "") and winner in (None, ""):
        raise ValueError("neither value nor winner")
    if value not in (None, "") and winner not in (None, ""):
        raise ValueError("both value and winner: give one")
    if winner not in (None, ""):
        if winner not in (*runs, TIE):
            raise ValueError(f"winner is {winner!r}; give one of {', '.join(runs)} or {TIE}")
        return Rating(pair_id=pair_id, rater=_name(rater), value=None, winner=winner)
    return Rating(pair_id=pair_id, rater=_name(rater), value=_number(value), winner=None)


def _name(rater: object) -> str:
    return "" if rater is None else str(rater)


def _number(value: object) -> float:
    """A finite number, also written as text.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"value is {value!r}; give a number")
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"value is {value!r}; give a number") from error
    if not math.isfinite(number):
        raise ValueError(f"value is {value!r}; give a finite number")
    return number
