"""Writes a report: Markdown, JSON, one HTML page and its plots."""

from pathlib import Path

from editbench.report.as_json import to_json
from editbench.report.content import Content
from editbench.report.export import write_export
from editbench.report.markdown import to_markdown
from editbench.report.page import to_page
from editbench.report.pictures import embed, make_pictures
from editbench.report.plots import draw_plots
from editbench.run.durable import write_atomic


def write_report(content: Content, out: Path, *, standalone: bool = False, export: Path | None = None) -> Path:
    """Write `report.md`, `report.json`, `report.html`, `plots/`, `thumbnails/` and `changes/` below `out`, each file
    whole; and the flat table `export`, with the changes of the pairs that the page shows.

    The same content gives the same bytes. The page links the thumbnails, and the pictures where they lie, relative to
    `out`; one that is `standalone` holds thumbnails and plots itself, and can be moved alone.

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
    pictures = make_pictures([item.run for item in content.runs], content.shown, out, standalone=standalone)
    if standalone:
        captions = {embed("image/svg+xml", plot.svg): plot.caption for plot in plots.values()}
    if export is not None:
        write_export(content, export, pictures)
    page = out / "report.html"
    write_atomic(page, to_page(content, captions, pictures, standalone=standalone).encode())
    return page
