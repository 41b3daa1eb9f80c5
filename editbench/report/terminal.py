"""The table that ends a run in the terminal, within 80 columns."""

import re
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
        parts = [part for place, table in enumerate(views) for part in (*_blocks(table, skip_lead=place > 0), Text())]
    states = [
        f"{text.one_line(summary.name, 60)}: {state}"
        for summary in content.summaries
        if (state := text.no_score(summary) or (None if summary.complete else summary.state)) is not None
    ]
    if content.several:
        parts.append(
            Text("In brackets: scored pairs, where not all are. *: shown to be ahead of every other run.", style="dim")
        )
    if states:
        parts.append(Text("\n".join(states), style="yellow"))
    return Group(*parts)


def _one(summary: Summary, columns: list[Column], cells: list[Cell | None]) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, width=WIDTH)
    # Text, not str: rich reads [red] in a string as markup
    table.add_column(Text(text.one_line(summary.name, 60)), max_width=26, overflow="fold")
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("scored", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("failed\nlowest", justify="right", no_wrap=True)
    table.add_column("without a score", ratio=1, overflow="fold")
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
    cells = [len(line) for row in table.rows for line in _value(row[place]).split("\n")]
    words = [cell_len(word) for word in _words(table.columns[place].label)]
    return max(*cells, min(_LABEL, max(words, default=1)))


def _words(label: str) -> list[str]:
    """The parts of a heading, between which it may be broken."""
    return re.findall(r"[^\s_\-/]*[_\-/]|[^\s_\-/]+", text.one_line(label))


def _heading(label: str, width: int) -> Text:
    """A heading in lines that fit, broken where its words end."""
    lines = [""]
    line = text.one_line(label)
    for word in _words(label):
        space = " " if lines[-1] and line.lstrip(" ") != line else ""
        line = line.lstrip(" ").removeprefix(word)
        if cell_len(lines[-1] + space + word) <= width:
            lines[-1] += space + word
        else:
            lines.append(word)
    return Text("\n".join(filter(None, lines)), overflow="fold")


def _block(table: Table, places: list[int], name: int) -> RichTable:
    # each column then takes its width, one of padding and one for the line that is not drawn
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1))
    shown.add_column("", width=name, overflow="fold")
    for place in places:
        width = _width(table, place)
        heading = _heading(table.columns[place].label, width)
        shown.add_column(heading, justify="right", width=width, overflow="fold")
    for run, row in zip(table.names, table.rows, strict=True):
        cells = [Text(_value(row[place]), style="bold" if _is_best(row[place]) else "") for place in places]
        shown.add_row(Text(text.one_line(run, 60)), *cells)
    return shown


def _is_best(cell: Cell | None) -> bool:
    return cell is not None and cell.is_best


def _value(cell: Cell | None) -> str:
    """The number, a star before it where it is best; below it what it is over, where that is not all."""
    if cell is None or cell.value is None:
        return "–"
    best = "*" if cell.is_best else ""
    return f"{best}{text.number(cell.value)}" + ("" if cell.is_whole else f"\n({cell.num_scored})")
