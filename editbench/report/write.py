"""Writes a report: Markdown, JSON, one HTML page and its plots."""

from pathlib import Path

from editbench.durable import write_atomic
from editbench.report.as_json import to_json
from editbench.report.content import Content
from editbench.report.markdown import to_markdown
from editbench.report.page import to_page
from editbench.report.plots import draw_plots


def write_report(content: Content, out: Path) -> Path:
    """Write `report.md`, `report.json`, `report.html` and `plots/*.svg` below `out`, each whole or not at all.

    The same content gives the same bytes. Pictures are linked where they lie, relative to `out`.

    Returns:
        The path of the page.

    Raises:
        OSError: the folder can't be written.
    """
    plots = {f"plots/{plot.name}.svg": plot for plot in draw_plots(content)}
    for path, plot in plots.items():
        write_atomic(out / path, plot.svg)
    captions = {path: plot.caption for path, plot in plots.items()}
    write_atomic(out / "report.md", to_markdown(content, captions).encode())
    write_atomic(out / "report.json", to_json(content))
    page = out / "report.html"
    write_atomic(page, to_page(content, captions, out).encode())
    return page
