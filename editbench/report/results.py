"""The results table, as papers print it: a row a run, a column a headline, category, dimension or language."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from editbench.report import text
from editbench.report.content import Content
from editbench.stats.comparison import Comparison, Difference
from editbench.stats.intervals import Interval
from editbench.stats.summary import HeadlineValue, Mean, Summary

View = Literal["categories", "dimensions", "languages", "headlines"]
_MOST_LEADING = 3
"""Headlines that open the table of every view; of more only the first does, and all have a view of their own."""
_LATEX = {
    **{char: rf"\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One number of a run with what it is over."""

    value: float | None
    """None: the run has none."""
    num_scored: int
    num_pairs: int
    scale: tuple[float, float] | None
    """Lowest and highest that it can be; None: not known."""
    interval: Interval | None
    interval_note: str | None
    low: float | None
    """The number with failures counted at the lowest."""
    failed: Mapping[str, int]
    """Pairs without a score by kind, where that is counted."""
    is_best: bool = False
    """Whether the run is shown to be ahead of every other one here."""

    @property
    def is_whole(self) -> bool:
        """Whether it is over all pairs."""
        return self.num_scored == self.num_pairs

    @property
    def of(self) -> str:
        """`25 of 30`."""
        return f"{self.num_scored} of {self.num_pairs}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """What the cells below each other are."""

    name: str
    """As the benchmark writes it."""
    label: str
    """The same to show."""
    group: str
    """The benchmark's group of categories; empty: none."""
    is_headline: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One view of the results."""

    view: View
    names: tuple[str, ...]
    """Of the runs, a row each."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | None, ...], ...]
    """By run and column; None: the run has no such column."""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Groups with the number of their columns, in order; empty where no column has a group."""
        if not any(column.group for column in self.columns):
            return []
        found: list[tuple[str, int]] = []
        for column in self.columns:
            if found and found[-1][0] == column.group:
                found[-1] = (column.group, found[-1][1] + 1)
            else:
                found.append((column.group, 1))
        return found

    @property
    def num_leading(self) -> int:
        """Columns of headlines at the left."""
        return sum(column.is_headline for column in self.columns)

    @property
    def shared_counts(self) -> tuple[str | None, ...]:
        """By column: `25 of 30` where every run has that and it is not all, so that it need be said once only."""
        found: list[str | None] = []
        for place in range(len(self.columns)):
            cells = [cell for row in self.rows if (cell := row[place]) is not None]
            same = len(self.rows) > 1 and len({cell.of for cell in cells}) == 1 and len(cells) == len(self.rows)
            found.append(cells[0].of if same and not cells[0].is_whole else None)
        return tuple(found)

    @property
    def without_interval(self) -> list[tuple[str, str]]:
        """Why cells have no interval, with the names of the columns that it holds for; a reason once."""
        found: dict[str, list[str]] = {}
        for place, column in enumerate(self.columns):
            for row in self.rows:
                cell = row[place]
                if cell is not None and cell.value is not None and cell.interval is None and cell.interval_note:
                    labels = found.setdefault(cell.interval_note, [])
                    labels += [] if column.label in labels else [column.label]
        inner = [column.label for column in self.columns if not column.is_headline]
        every = [column.label for column in self.columns]
        whole = {tuple(every): "any of them", tuple(inner): f"any of the {self.view}"}
        return [(note, whole.get(tuple(labels)) or text.listed(labels)) for note, labels in found.items()]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A table as text, its rows apart so that they can be put in another order."""

    head: str
    rows: tuple[str, ...]
    foot: str

    def __str__(self) -> str:
        return self.head + "".join(self.rows) + self.foot


def tables(content: Content) -> list[Table]:
    """Every view that says something: categories first; the others where there are several columns of them."""
    summaries = content.summaries
    groups: dict[str, list[str]] = {}
    for summary in summaries:
        for group, names in summary.category_groups.items():
            groups.setdefault(group, []).extend(name for name in names if name not in groups.get(group, []))
    categories = [(group, name) for group, names in groups.items() for name in names if _has_pairs(summaries, name)]
    dimensions = _union(summary.dimensions for summary in summaries)
    languages = _union(summary.languages for summary in summaries)
    headlines = list(dict.fromkeys(found.name for summary in summaries for found in summary.headlines))
    leading = headlines if len(headlines) <= _MOST_LEADING else headlines[:1]
    views: list[tuple[View, list[tuple[str, str]]]] = [("categories", categories)]
    if len(dimensions) > 1:
        views.append(("dimensions", [("", name) for name in dimensions]))
    if len(languages) > 1:
        views.append(("languages", [("", name) for name in languages]))
    if len(headlines) > _MOST_LEADING:
        views.append(("headlines", []))
    if len(categories) < 2 and len(views) > 1:
        views = views[1:]
    return [_table(content, view, columns, headlines if view == "headlines" else leading) for view, columns in views]


def _has_pairs(summaries: Sequence[Summary], category: str) -> bool:
    return any(category in summary.categories and summary.categories[category].num_pairs for summary in summaries)


def _union(parts: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part))


def _table(content: Content, view: View, inner: Sequence[tuple[str, str]], headlines: Sequence[str]) -> Table:
    columns = [Column(name=name, label=text.label(name), group="", is_headline=True) for name in headlines]
    columns += [Column(name=name, label=text.label(name), group=group, is_headline=False) for group, name in inner]
    rows = [[_cell(summary, view, column) for column in columns] for summary in content.summaries]
    for place, column in enumerate(columns):
        best = _best(content, view, column, [row[place] for row in rows])
        if best is not None and (cell := rows[best][place]) is not None:
            rows[best][place] = replace(cell, is_best=True)
    return Table(
        view=view,
        names=tuple(summary.name for summary in content.summaries),
        columns=tuple(columns),
        rows=tuple(map(tuple, rows)),
    )


def _cell(summary: Summary, view: View, column: Column) -> Cell | None:
    if column.is_headline:
        found = next((entry for entry in summary.headlines if entry.name == column.name), None)
        return None if found is None else _of_headline(found)
    scale = summary.scale
    if view == "dimensions":
        mean, scale = summary.dimensions.get(column.name), summary.dimension_scales.get(column.name)
    else:
        mean = (summary.categories if view == "categories" else summary.languages).get(column.name)
    return None if mean is None or not mean.num_pairs else _of_mean(mean, scale)


def _of_headline(found: HeadlineValue) -> Cell:
    return Cell(
        value=found.value,
        num_scored=found.num_scored,
        num_pairs=found.num_pairs,
        scale=found.scale,
        interval=found.interval,
        interval_note=found.interval_note,
        low=found.value_failures_as_low,
        failed={},
    )


def _of_mean(mean: Mean, scale: tuple[float, float] | None) -> Cell:
    return Cell(
        value=mean.mean,
        num_scored=mean.num_scored,
        num_pairs=mean.num_pairs,
        scale=scale,
        interval=mean.interval,
        interval_note=mean.interval_note,
        low=mean.mean_failures_as_low,
        failed=text.not_scored(mean),
    )


def _best(content: Content, view: View, column: Column, cells: Sequence[Cell | None]) -> int | None:
    """The run with the highest value, when the comparison shows it ahead of each other run that has one."""
    values = {place: cell.value for place, cell in enumerate(cells) if cell is not None and cell.value is not None}
    if len(values) < 2:
        return None
    ahead = max(values, key=lambda place: values[place])
    names = [summary.name for summary in content.summaries]
    found = {(entry.first, entry.second): entry for entry in content.comparisons}
    for other in values:
        if other == ahead:
            continue
        entry = found.get((names[other], names[ahead])) or found.get((names[ahead], names[other]))
        step = None if entry is None else _difference(entry, view, column)
        if entry is None or step is None or not step.shown or not step.mean:
            return None
        if (step.mean > 0) != (entry.second == names[ahead]):
            return None
    return ahead


def _difference(entry: Comparison, view: View, column: Column) -> Difference | None:
    if column.is_headline:
        return entry.headlines.get(column.name)
    if view == "languages":
        return None
    return (entry.dimensions if view == "dimensions" else entry.categories).get(column.name)


# ------------------------------------------------------------------------------------------------------ as text


def to_latex(table: Table) -> Form:
    """For a paper that uses the package booktabs; the best bold where the comparison shows it."""
    lead, rest = table.num_leading, len(table.columns) - table.num_leading
    gap = r"@{\quad}" if lead and rest else ""
    lines = [rf"\begin{{tabular}}{{l{'r' * lead}{gap}{'r' * rest}}}", r"\toprule"]
    if table.groups:
        cells, rules, at = [""], [], 2
        for name, num in table.groups:
            cells.append(rf"\multicolumn{{{num}}}{{c}}{{{latex(name)}}}")
            rules += [rf"\cmidrule(lr){{{at}-{at + num - 1}}}"] if name else []
            at += num
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    lines += [" & ".join(["", *(latex(column.label) for column in table.columns)]) + r" \\", r"\midrule", ""]

    def cell(found: Cell | None) -> str:
        if found is None or found.value is None:
            return "--"
        value = f"{found.value:.2f}" if found.value >= 0 else f"$-${-found.value:.2f}"
        value = rf"\textbf{{{value}}}" if found.is_best else value
        return value if found.is_whole else rf"{value} {{\scriptsize({found.num_scored}/{found.num_pairs})}}"

    rows = [
        " & ".join([latex(name), *map(cell, row)]) + " \\\\\n"
        for name, row in zip(table.names, table.rows, strict=True)
    ]
    return Form(head="\n".join(lines), rows=tuple(rows), foot="\\bottomrule\n\\end{tabular}\n")


def to_markdown(table: Table) -> Form:
    """For a README; groups stand before their categories' names."""

    def cell(found: Cell | None) -> str:
        if found is None or found.value is None:
            return "–"
        value = f"**{text.number(found.value)}**" if found.is_best else text.number(found.value)
        return value if found.is_whole else f"{value} ({found.num_scored}/{found.num_pairs})"

    names = [text.markdown(f"{c.group}: {c.label}" if c.group else c.label) for c in table.columns]
    head = ["", *names], [":--", *("--:" for _ in names)]
    lines = ["| " + " | ".join(line) + " |\n" for line in head]
    rows = [
        "| " + " | ".join([text.markdown(name), *map(cell, row)]) + " |\n"
        for name, row in zip(table.names, table.rows, strict=True)
    ]
    return Form(head="".join(lines), rows=tuple(rows), foot="")


def to_csv(table: Table) -> Form:
    """For a spreadsheet: each column with what it is over; a text that it would run has an apostrophe before it."""
    names = [["run"], *([c.name, f"{c.name}: scored", f"{c.name}: pairs"] for c in table.columns)]
    rows: list[list[str]] = []
    for name, row in zip(table.names, table.rows, strict=True):
        cells = [
            ["", "", ""]
            if cell is None
            else ["" if cell.value is None else f"{cell.value:.2f}", str(cell.num_scored), str(cell.num_pairs)]
            for cell in row
        ]
        rows.append([text.inert(name), *(part for parts in cells for part in parts)])
    lines = [_csv_line(row) for row in rows]
    return Form(head=_csv_line([text.inert(name) for part in names for name in part]), rows=tuple(lines), foot="")


FORMS: Mapping[str, Callable[[Table], Form]] = {"LaTeX": to_latex, "Markdown": to_markdown, "CSV": to_csv}
"""By the name on the page's button."""


def latex(words: str) -> str:
    """One line that LaTeX prints as it is."""
    return re.sub(r"[&%$#_{}~^\\]", lambda found: _LATEX[found[0]], text.one_line(words))


def _csv_line(cells: Sequence[str]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerow(cells)
    return file.getvalue()
