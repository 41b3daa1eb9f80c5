"""The table that ends a run in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from editbench.report import text
from editbench.report.content import Content
from editbench.stats.summary import Mean, Summary


def render_table(content: Content) -> Table:
    """Means of each run by category, in 80 columns; text from outside can neither style nor steer the terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=80)
    table.add_column("", ratio=4, overflow="fold")
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("scored", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("failed\nlowest", justify="right", no_wrap=True)
    table.add_column("without a score", ratio=3, overflow="fold")
    states: list[str] = []
    for summary in content.summaries:
        # Text, not str: rich reads [red] in a string as markup
        table.add_row(Text(text.one_line(summary.name, 60), style="bold"), *_cells(summary.overall))
        if summary.overall.num_pairs:
            for category, mean in summary.categories.items():
                if mean.num_pairs:
                    table.add_row(f"  {category}", *_cells(mean))
            over = f"{summary.num_categories_scored} of {summary.num_categories}"
            between = text.between(summary.category_interval, summary.category_interval_note)
            low = text.number(summary.category_mean_failures_as_low)
            table.add_row("  category mean", text.number(summary.category_mean), over, between, low, "")
        table.add_section()
        if (state := _state(summary)) is not None:
            states.append(f"{text.one_line(summary.name, 60)}: {state}")
    if states:
        table.caption = Text("\n".join(states), style="yellow")
        table.caption_justify = "left"
    return table


def _cells(mean: Mean) -> list[str]:
    missing = text.not_scored(mean)
    low, kinds = text.number(mean.mean_failures_as_low), text.counted(missing) if missing else ""
    return [text.number(mean.mean), text.of(mean), text.interval(mean), low, kinds]


def _state(summary: Summary) -> str | None:
    return text.no_score(summary) or (None if summary.complete else summary.state)
