"""The table that ends a run in the terminal, within 80 columns."""

from collections.abc import Iterator

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from editbench.report import text
from editbench.report.content import Content
from editbench.report.results import Cell, Column, Table, tables
from editbench.stats.summary import Summary

WIDTH = 80
_NAME = 24
"""Columns of the terminal that a run's name may take in a table of several."""
_LABEL = 14
"""The most that a column's heading takes in a line."""


def render_table(content: Content) -> RenderableType:
    """The results: of one run a row each number, of several a row each run, in blocks where the columns are many.

    Text from outside can neither style nor steer the terminal.
    """
    views = tables(content)
    first, others = views[0], views[1:]
    if not content.several:
        shown = [*first.columns], [*first.rows[0]]
        for table in others:
            shown[0].extend(table.columns[table.num_leading :])
            shown[1].extend(table.rows[0][table.num_leading :])
        parts: list[RenderableType] = [_one(content.summaries[0], *shown)]
    else:
        parts = [block for place, table in enumerate(views) for block in _blocks(table, skip_lead=place > 0)]
    states = [
        f"{text.one_line(summary.name, 60)}: {state}"
        for summary in content.summaries
        if (state := text.no_score(summary) or (None if summary.complete else summary.state)) is not None
    ]
    if states:
        parts.append(Text("\n".join(states), style="yellow"))
    return Group(*parts)


def _one(summary: Summary, columns: list[Column], cells: list[Cell | None]) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, width=WIDTH)
    # Text, not str: rich reads [red] in a string as markup
    table.add_column(Text(text.one_line(summary.name, 60)), ratio=4, overflow="fold")
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("scored", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("failed\nlowest", justify="right", no_wrap=True)
    table.add_column("without a score", ratio=3, overflow="fold")
    group = ""
    for column, cell in zip(columns, cells, strict=True):
        if cell is None:
            continue
        if column.group != group:
            group = column.group
            table.add_row(Text(text.one_line(group, 60), style="dim"))
        table.add_row(
            Text(text.one_line(column.label, 60), style="bold" if column.is_headline else ""),
            text.number(cell.value),
            cell.of,
            text.between(cell.interval, cell.interval_note if cell.value is not None else None),
            text.number(cell.low),
            text.counted(cell.failed) if cell.failed else "",
        )
    return table


def _blocks(table: Table, *, skip_lead: bool) -> Iterator[RichTable]:
    start = table.num_leading if skip_lead and table.view != "headlines" else 0
    places = list(range(start, len(table.columns)))
    name = min(_NAME, max(cell_len(text.one_line(run)) for run in table.names))
    while places:
        left, taken = WIDTH - name, 0
        while taken < len(places) and left >= (wide := _width(table, places[taken]) + 2):
            left -= wide
            taken += 1
        here, places = places[: max(taken, 1)], places[max(taken, 1) :]
        yield _block(table, here, name)


def _width(table: Table, place: int) -> int:
    cells = [len(_value(row[place])) for row in table.rows]
    return max(*cells, min(_LABEL, _longest_word(table.columns[place].label)))


def _longest_word(label: str) -> int:
    return max((cell_len(word) for word in _broken(label).split()), default=1)


def _broken(label: str) -> str:
    """A heading that may be broken where its words end."""
    return text.one_line(label).replace("_", "_ ").replace("-", "- ")


def _block(table: Table, places: list[int], name: int) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 1))
    shown.add_column("", width=name, overflow="fold")
    for place in places:
        heading = Text(_broken(table.columns[place].label).strip(), overflow="fold")
        shown.add_column(heading, justify="right", width=_width(table, place), overflow="fold", vertical="bottom")
    for run, row in zip(table.names, table.rows, strict=True):
        cells = [Text(_value(row[place]), style="bold" if _is_best(row[place]) else "") for place in places]
        shown.add_row(Text(text.one_line(run, 60)), *cells)
    return shown


def _is_best(cell: Cell | None) -> bool:
    return cell is not None and cell.is_best


def _value(cell: Cell | None) -> str:
    """The number; on a line of its own what it is over, where that is not all."""
    if cell is None or cell.value is None:
        return "–"
    best = "*" if cell.is_best else ""
    return f"{best}{text.number(cell.value)}" + ("" if cell.is_whole else f" ({cell.num_scored})")
