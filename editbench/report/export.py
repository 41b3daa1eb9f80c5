"""`--export`: one flat table for pandas and its like, a row for each try of each pair of each score file of each run.

Columns: `run`, `scores` (the score file's name), `pair_id`, `try` (from 0), `category`, `status` (`scored`, a kind of
failure, or `not scored` and `pending`, which wait), `value` (on the rubric's scale, only where scored), `reason` (the
failure in a sentence), `dimension_NAME` (a reading, or none), `value_NAME` (the rubric's other values), `reply_CALL`
(the judge's words; of several repeats a JSON list); then what the edit changed, which describes it and is no quality:
`change_psnr_db` (none where no pixel differs), `change_ssim` and `change_share` (of pixels that differ by more than 16
of 255 levels), against the first source, both scaled to at most 256 pixels a side, and the same three as
`consistency_outside_the_edit_…`, over the pixels outside the benchmark's mask, where it has one; only pairs that the
page shows have them; then the other fields of the pair, of its edit (`edit_…`) and of its score (`score_…`), as
`editbench/records.py` describes them. Several texts stand in one cell with `; ` between, anything deeper as JSON.

Parquet also holds the pictures, in columns that `datasets` and the hub's viewer show as images: `source` (`source_2`, …
where a pair has several) and `edit`; empty where there is none.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

import msgspec

from editbench.records import Answer, Edit, Pair, Record, Score
from editbench.report.content import Content
from editbench.report.pictures import Pictures, image_below
from editbench.report.text import inert
from editbench.run.durable import write_atomic, write_atomic_by
from editbench.stats.change import Change
from editbench.stats.outcomes import Outcome, RunRecords

_OUTCOME = {"pair_id", "try_", "value", "failure", "detail", "dimensions", "values"}  # the outcome holds them, checked
_MOST_ROWS = 100  # of a row group: a viewer reads few pictures more than it shows,
_MOST_BYTES = 2**28  # and a writer holds few more than these
_CHANGES = ("change", "consistency_outside_the_edit")
Cell = str | int | float | None
"""What stands in one place of the table."""


def write_export(content: Content, path: Path, pictures: Pictures | None = None) -> None:
    """Write the table, whole or not at all; the file's ending, `.csv` or `.parquet`, decides its form.

    In a CSV, a text that a spreadsheet would run as a formula has an apostrophe before it (OWASP, CSV Injection);
    in Parquet every text stands as it is.

    Args:
        content: of the report.
        path: of the table.
        pictures: of the page, with the changes of its edits; None: the table has no columns of change.

    Raises:
        OSError: the folder can't be written.
    """
    runs = [item.run for item in content.runs]
    kinds = _columns(runs, with_changes=pictures is not None)
    if path.suffix == ".parquet":
        write_atomic_by(path, lambda file: _write_parquet(file, kinds, runs, pictures or {}))
    else:
        write_atomic(path, _csv(kinds, export_rows(runs, pictures)))


def export_rows(runs: Sequence[RunRecords], pictures: Pictures | None = None) -> list[dict[str, Cell]]:
    """The table's rows, each with all columns of the CSV in their order; None: no value."""
    kinds = _columns(runs, with_changes=pictures is not None)
    rows = (row for run in runs for pair in run.pairs for row in _rows(run, pair, pictures or {}))
    return [{name: row.get(name) for name in kinds} for row in rows]


def _columns(runs: Sequence[RunRecords], *, with_changes: bool) -> dict[str, Any]:
    """The type of each column by its name, in their order."""
    kinds: dict[str, Any] = {"run": str, "scores": str, "pair_id": str, "try": int, "category": str, "status": str}
    kinds |= {"value": float, "reason": str}
    scores = [score for run in runs for score in run.scores.values()]
    values = dict.fromkeys(
        name for run in runs for end in run.outcomes.values() for name in end.values if name != "value"
    )
    kinds |= dict.fromkeys((f"dimension_{name}" for run in runs for name in run.dimensions), float)
    kinds |= dict.fromkeys((f"value_{name}" for name in values), float)
    kinds |= dict.fromkeys((f"reply_{answer.call}" for score in scores for answer in score.answers), str)
    if with_changes:
        kinds |= dict.fromkeys((f"{what}_{name}" for what in _CHANGES for name in ("psnr_db", "ssim", "share")), float)
    kinds |= {name: kind for name, kind in get_type_hints(Pair).items() if name not in kinds}
    for prefix, record, left_out in (("edit_", Edit, {"pair_id", "try_"}), ("score_", Score, _OUTCOME)):
        kinds |= {prefix + name: kind for name, kind in get_type_hints(record).items() if name not in left_out}
    return kinds


def _rows(run: RunRecords, pair: Pair, pictures: Pictures) -> list[dict[str, Cell]]:
    end = run.outcomes[pair.pair_id]
    return [_row(run, pair, number, one, pictures) for number, one in enumerate(end.tries or (end,))]


def _row(run: RunRecords, pair: Pair, number: int, end: Outcome, pictures: Pictures) -> dict[str, Cell]:
    edit, score = run.edits.get((pair.pair_id, number)), run.scores.get((pair.pair_id, number))
    row: dict[str, Any] = {"run": run.run, "scores": run.score_file, "try": number}
    row |= {"status": end.status, "value": end.value, "reason": end.reason}
    row |= {f"dimension_{name}": value for name, value in end.dimensions.items()}
    row |= {f"value_{name}": value for name, value in end.values.items() if name != "value"}
    row |= {f"reply_{call}": reply for call, reply in _replies(score).items()}
    picture = pictures.get((run.root, edit.image)) if edit and edit.image else None
    if picture and (described := picture.change):
        for what, found in zip(_CHANGES, (described.whole, described.outside), strict=True):
            row |= _changes(what, found) if found else {}
    row |= _fields(pair, "") | _fields(edit, "edit_") | _fields(score, "score_")
    return {name: _cell(value) for name, value in row.items()}


def _replies(score: Score | None) -> dict[str, str | None]:
    by_call: dict[str, list[Answer]] = {}
    for answer in score.answers if score else ():
        by_call.setdefault(answer.call, []).append(answer)
    return {
        call: found[0].reply if len(found) == 1 else json.dumps([one.reply for one in found], ensure_ascii=False)
        for call, found in by_call.items()
    }


def _changes(what: str, found: Change) -> dict[str, float | None]:
    return {f"{what}_psnr_db": found.psnr_db, f"{what}_ssim": found.ssim, f"{what}_share": found.changed}


def _fields(record: Record | None, prefix: str) -> dict[str, Any]:
    return {prefix + name: getattr(record, name) for name in record.__struct_fields__} if record else {}


def _cell(value: Any) -> Cell:
    if isinstance(value, tuple | list) and all(isinstance(entry, str) for entry in value):
        value = "; ".join(value)
    elif isinstance(value, tuple | list | dict):
        value = json.dumps(msgspec.to_builtins(value), ensure_ascii=False) if value else ""
    # a lone surrogate is no UTF-8: it stands as its escape
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _csv(kinds: Mapping[str, Any], rows: list[dict[str, Cell]]) -> bytes:
    file = io.StringIO(newline="")
    table = csv.writer(file)  # lines end with \r\n: only then is a lone \r in a text quoted before Python 3.13
    table.writerow([inert(name) for name in kinds])
    for row in rows:
        cells = [row.get(name) for name in kinds]
        table.writerow([inert(cell) if isinstance(cell, str) else cell for cell in cells])
    return file.getvalue().encode()


def _write_parquet(file: BinaryIO, kinds: Mapping[str, Any], runs: Sequence[RunRecords], shown: Pictures) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = {int: pa.int64(), int | None: pa.int64(), float: pa.float64(), float | None: pa.float64()}
    fields = [(name, types.get(kind, pa.string())) for name, kind in kinds.items()]
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = _picture_columns(runs)
    features = {name: {"dtype": _dtype(kind), "_type": "Value"} for name, kind in fields}
    features |= {name: {"_type": "Image"} for name in pictures}
    # what `datasets` writes itself: https://huggingface.co/docs/datasets/about_dataset_features
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([*fields, *((name, picture) for name in pictures)], metadata=about)
    rows = (
        {**row, **_pictures(run, pair, number)}
        for run in runs
        for pair in run.pairs
        for number, row in enumerate(_rows(run, pair, shown))
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for several in _groups(rows, pictures):
            writer.write_table(pa.Table.from_pylist(several, schema=schema))


def _groups(rows: Iterable[dict[str, Any]], pictures: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    several: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        several.append(row)
        size += sum(len(found["bytes"]) for name in pictures if (found := row.get(name)) is not None)
        if len(several) == _MOST_ROWS or size >= _MOST_BYTES:
            yield several
            several, size = [], 0
    if several:
        yield several


def _dtype(kind: Any) -> str:
    """The name that `datasets` has for a type of pyarrow."""
    return {"double": "float64"}.get(str(kind), str(kind))


def _source(number: int) -> str:
    return f"source_{number + 1}" if number else "source"


def _picture_columns(runs: Sequence[RunRecords]) -> list[str]:
    most = max((len(paths) for run in runs for paths in run.sources.values()), default=1)
    return [*map(_source, range(max(1, most))), "edit"]


def _pictures(run: RunRecords, pair: Pair, try_: int) -> dict[str, Any]:
    edit = run.edits.get((pair.pair_id, try_))
    paths = {_source(number): path for number, path in enumerate(run.sources.get(pair.pair_id, ()))}
    if edit is not None and edit.image is not None:
        paths["edit"] = edit.image
    return {name: _embedded(run.root, path) for name, path in paths.items()}


def _embedded(root: Path, path: str) -> dict[str, Any] | None:
    found = image_below(root, path)
    return None if found is None else {"bytes": found[0].read_bytes(), "path": _cell(path)}
