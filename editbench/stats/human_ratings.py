"""What people said of edits: a file of scores, or of preferences among runs' edits of one pair."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from editbench.errors import UsageError

TIE = "tie"
_ERRORS_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """What one person said of one edit."""

    pair_id: str
    run: str
    """The run whose edit it is."""
    rater: str
    """Who; empty where the file does not say."""
    value: float
    """The person's score, on any scale on which more is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """What one person said of two edits of one pair; of a ranking each two of its edits."""

    pair_id: str
    first: str
    """A run."""
    second: str
    """Another run."""
    rater: str
    """Who; empty where the file does not say."""
    sign: int
    """1: the second is better; -1: the first; 0: neither."""


def read_ratings(path: Path, runs: Mapping[str, str]) -> list[Rating] | list[Preference]:
    """Read a .csv or .jsonl of scores or of preferences.

    Every row has `pair_id`, and `rater` where several people rated. Of scores it has `value`, and `run` where there are
    several runs. Of preferences it has `winner`, a run or `tie`, and `loser` where there are more than two runs (of a
    tie two runs in `first` and `second`), or `ranking`: runs from best to worst, `a > b = c`, or a list of runs and of
    lists of equal ones.

    Args:
        path: UTF-8, with or without a byte-order mark.
        runs: by each name that the file may call a run by, the run's own name.

    Raises:
        UsageError: the file can't be read, or rows are not as they should be: all of them, with row and field.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"--human {path}: no such file") from error
    except OSError as error:
        raise UsageError(f"--human {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--human {path}: not UTF-8 at byte {error.start}") from error
    if path.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--human {path}: give a .csv or a .jsonl")
    wrong: list[str] = []
    scores: list[Rating] = []
    preferences: list[Preference] = []
    seen: set[tuple[str, ...]] = set()
    for number, row in _rows(text, path.suffix, wrong):
        try:
            found = _read(row, runs)
        except ValueError as error:
            wrong.append(f"row {number}: {error}")
            continue
        for one in found:
            of_two = sorted((one.first, one.second)) if isinstance(one, Preference) else [one.run, ""]
            same = (one.pair_id, one.rater, *of_two)
            if one.rater and same in seen:
                wrong.append(f"row {number}: {one.rater!r} rated {one.pair_id!r} before")
                break
            seen.add(same)
            (preferences if isinstance(one, Preference) else scores).append(one)  # type: ignore[arg-type]
    if scores and preferences:
        wrong.append("some rows hold a value and some a winner or a ranking: give two files")
    if not scores and not preferences and not wrong:
        wrong.append("no row")
    if wrong:
        more = f"\n  and {len(wrong) - _ERRORS_SHOWN} more" if len(wrong) > _ERRORS_SHOWN else ""
        raise UsageError(f"--human {path}:\n" + "\n".join(f"  {line}" for line in wrong[:_ERRORS_SHOWN]) + more)
    return scores or preferences


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


def _read(row: dict[str, Any], runs: Mapping[str, str]) -> Sequence[Rating | Preference]:
    """One row; a ranking is as many preferences as it has pairs of edits.

    Raises:
        ValueError: says which field is wrong and how.
    """
    pair_id, rater = row.get("pair_id"), row.get("rater")
    if not isinstance(pair_id, str) or not pair_id:
        raise ValueError(f"pair_id is {pair_id!r}; give the id of a pair")
    given = [name for name in ("value", "winner", "ranking") if row.get(name) not in (None, "", [])]
    if len(given) != 1:
        raise ValueError(f"{' and '.join(given) or 'neither value, winner nor ranking'}: give one of them")
    who = "" if rater is None else str(rater)
    if given == ["value"]:
        return [Rating(pair_id=pair_id, run=_run(row, "run", runs), rater=who, value=_number(row["value"]))]
    places = _winner(row, runs) if given == ["winner"] else _ranking(row["ranking"], runs)
    return [
        Preference(
            pair_id=pair_id, first=a, second=b, rater=who, sign=(places[a] > places[b]) - (places[a] < places[b])
        )
        for a, b in combinations(places, 2)
    ]


def _winner(row: dict[str, Any], runs: Mapping[str, str]) -> dict[str, int]:
    """The two runs with their places."""
    names = list(dict.fromkeys(runs.values()))
    if row["winner"] == TIE:
        if len(names) == 2:
            return dict.fromkeys(names, 1)
        return _two(_run(row, "first", runs), _run(row, "second", runs), 1)
    winner = _run(row, "winner", runs)
    if row.get("loser") in (None, "") and len(names) == 2:
        return _two(winner, next(name for name in names if name != winner), 2)
    return _two(winner, _run(row, "loser", runs), 2)


def _two(first: str, second: str, place: int) -> dict[str, int]:
    if first == second:
        raise ValueError(f"{first!r} is compared with itself")
    return {first: 1, second: place}


def _ranking(found: object, runs: Mapping[str, str]) -> dict[str, int]:
    """The place of each run, from 1."""
    if isinstance(found, str):
        parts: list[Any] = [[name.strip() for name in part.split("=")] for part in found.split(">")]
    elif isinstance(found, list):
        parts = found
    else:
        raise ValueError(f"ranking is {found!r}; give `a > b = c` or a list of runs")
    places: dict[str, int] = {}
    for place, part in enumerate(parts, 1):
        for name in part if isinstance(part, list) else [part]:
            run = _known(name, "ranking", runs)
            if run in places:
                raise ValueError(f"ranking has {name!r} twice")
            places[run] = place
    if len(places) < 2:
        raise ValueError("ranking has fewer than two runs")
    return places


def _run(row: dict[str, Any], field: str, runs: Mapping[str, str]) -> str:
    names = set(runs.values())
    if field == "run" and row.get(field) in (None, "") and len(names) == 1:
        return next(iter(names))
    return _known(row.get(field), field, runs)


def _known(name: object, field: str, runs: Mapping[str, str]) -> str:
    if not isinstance(name, str) or name not in runs:
        also = f" or {TIE}" if field == "winner" else ""
        raise ValueError(f"{field} is {name!r}; give one of {', '.join(runs)}{also}")
    return runs[name]


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
