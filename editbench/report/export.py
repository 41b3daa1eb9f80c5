"""`--export`: one flat table for pandas and its like, a row for each pair of each score file of each run.

Columns: `run`, `scores` (the score file's name), `pair_id`, `category`, `status` (`scored`, a kind of failure, or
`not scored` and `pending`, which wait), `value` (on the rubric's scale, only where scored), `reason` (the failure in a
sentence); then the fields of the pair, of its edit (`edit_…`) and of its score (`score_…`), as `editbench/records.py`
tells them. What holds several stands in one cell with `; ` between.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from editbench.records import Edit, Pair, Record, Score
from editbench.report.content import Content
from editbench.run.durable import write_atomic
from editbench.stats.summary import Outcome, RunRecords, outcome

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_TOLD = {"pair_id", "value", "failure", "detail"}  # of a score: the outcome holds them, checked
_Cell = str | int | float | None


def write_export(content: Content, path: Path) -> None:
    """Write the table, whole or not at all; the file's ending, `.csv` or `.parquet`, decides its form.

    In a CSV, a text that a spreadsheet would run as a formula has an apostrophe before it (OWASP, CSV Injection);
    in Parquet every text stands as it is.

    Raises:
        OSError: the folder can't be written.
    """
    kinds = _columns()
    rows = [_row(told.run, pair) for told in content.runs for pair in told.run.pairs]
    write_atomic(path, _parquet(kinds, rows) if path.suffix == ".parquet" else _csv(kinds, rows))


def _columns() -> dict[str, Any]:
    """The type of each column by its name, in their order."""
    kinds: dict[str, Any] = dict.fromkeys(("run", "scores", "pair_id", "category"), str)
    kinds |= get_type_hints(Outcome) | get_type_hints(Pair)
    for prefix, record, left_out in (("edit_", Edit, {"pair_id"}), ("score_", Score, _TOLD)):
        kinds |= {prefix + name: kind for name, kind in get_type_hints(record).items() if name not in left_out}
    return kinds


def _row(run: RunRecords, pair: Pair) -> dict[str, _Cell]:
    end = outcome(run, pair.pair_id)
    row: dict[str, Any] = {"run": run.run, "scores": run.score_file}
    row |= {"status": end.status, "value": end.value, "reason": end.reason} | _fields(pair, "")
    row |= _fields(run.edits.get(pair.pair_id), "edit_") | _fields(run.scores.get(pair.pair_id), "score_")
    return {name: _cell(value) for name, value in row.items()}


def _fields(record: Record | None, prefix: str) -> dict[str, Any]:
    return {prefix + name: getattr(record, name) for name in record.__dataclass_fields__} if record else {}


def _cell(value: Any) -> _Cell:
    if isinstance(value, tuple):
        value = "; ".join("" if entry is None else str(entry) for entry in value)
    # a lone surrogate is no UTF-8: it stands as its escape
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _csv(kinds: Mapping[str, Any], rows: list[dict[str, _Cell]]) -> bytes:
    file = io.StringIO(newline="")
    table = csv.writer(file)  # lines end with \r\n: only then is a lone \r in a text quoted before Python 3.13
    table.writerow(kinds)
    for row in rows:
        cells = [row.get(name) for name in kinds]
        table.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in cells])
    return file.getvalue().encode()


def _parquet(kinds: Mapping[str, Any], rows: list[dict[str, _Cell]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    types = {int: pa.int64(), int | None: pa.int64(), float: pa.float64(), float | None: pa.float64()}
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in kinds.items()])
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    return file.getvalue()
