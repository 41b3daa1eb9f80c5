"""Writes a report: Markdown, JSON, one HTML page and its plots."""

from collections.abc import Sequence
from pathlib import Path

from editbench.durable import write_atomic
from editbench.errors import UsageError
from editbench.report.as_json import to_json
from editbench.report.content import tell
from editbench.report.markdown import to_markdown
from editbench.report.page import to_page
from editbench.report.plots import draw_plots
from editbench.summary import RunRecords


def write_report(runs: Sequence[RunRecords], out: Path) -> Path:
    """Write `report.md`, `report.json`, `report.html` and `plots/*.svg` below `out`, each whole or not at all.

    The same records give the same bytes. Pictures are linked where they lie, relative to `out`.

    Returns:
        The path of the page.

    Raises:
        UsageError: there is no run.
        OSError: the folder can't be written.
    """
    if not runs:
        raise UsageError("no run to report on; give at least one: python report.py --run runs/NAME")
    content = tell(runs)
    plots = {f"plots/{plot.name}.svg": plot for plot in draw_plots(content)}
    for path, plot in plots.items():
        write_atomic(out / path, plot.svg)
    captions = {path: plot.caption for path, plot in plots.items()}
    write_atomic(out / "report.md", to_markdown(content, captions).encode())
    write_atomic(out / "report.json", to_json(content))
    page = out / "report.html"
    write_atomic(page, to_page(content, captions, out).encode())
    return page
