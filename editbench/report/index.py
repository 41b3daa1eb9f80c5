"""`index.html`: all run directories below a folder, the newest first, with headline and state."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from editbench.report.page import environment_of_pages, style
from editbench.run.durable import write_atomic


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One run directory, with one of its score files."""

    name: str
    """Path of the run below the folder, with the score file where there are several."""
    root: Path
    changed_s: float
    """When one of its records was last written, seconds since 1970."""
    benchmark: str
    editor: str
    judge: str
    """Each as the run's settings say it; empty where they do not."""
    headline: str
    """Name of its first number; empty: it has none."""
    value: float | None
    scale: tuple[float, float] | None
    num_scored: int
    num_pairs: int
    state: str
    """`complete`, how far it is, or why it can't be read."""

    @property
    def when(self) -> str:
        """`2026-11-27 12:30`, UTC."""
        return datetime.fromtimestamp(self.changed_s, UTC).strftime("%Y-%m-%d %H:%M")


def write_index(entries: Sequence[Entry], folder: Path) -> Path:
    """Write `index.html` into the folder; the same entries give the same bytes.

    Returns:
        Its path.

    Raises:
        OSError: the folder can't be written.
    """
    newest = sorted(entries, key=lambda entry: (-entry.changed_s, entry.name))
    page = folder / "index.html"
    rows = [(entry, _link(entry, folder)) for entry in newest]
    html = environment_of_pages().get_template("index.html.j2").render(rows=rows, folder=folder.name, style=style())
    write_atomic(page, html.encode())
    return page


def _link(entry: Entry, folder: Path) -> Markup | None:
    """Address of the run's own page; None where there is none yet."""
    page = entry.root / "report.html"
    if not page.exists():
        return None
    return Markup(quote(os.fsencode(os.path.relpath(page, folder))))
