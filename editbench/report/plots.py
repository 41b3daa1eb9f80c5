"""Plots that a reader would rather look at: distributions, means with their intervals, coverage."""

import contextlib
import io
import re
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editbench.report import text
from editbench.report.content import Content
from editbench.report.versus import turned
from editbench.run.durable import write_atomic
from editbench.stats.comparison import Difference
from editbench.stats.outcomes import RunRecords
from editbench.stats.summary import Mean, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#4a74d9", "#1f9e89", "#a25bc0", "#8f8430", "#4f9fbf", "#c2587f", "#7c7f86")
"""One a run, around again after the last; readable on white and near-black, none like the orange of a failure."""
_INK = "#010203"  # stands for the reader's text colour until `_svg` puts that in
_FAILED, _WAITING = "#cf6a3c", "#9aa1ac"
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', sans-serif"
_STYLE = "svg{color:#1c2330;background:none}@media(prefers-color-scheme:dark){svg{color:#dfe3ea}}"
_PRINTED: dict[str, dict[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"dpi": 300},
}
_BINS = 20
_MOST_COMPARED = 3  # runs of which all pairs stand in the plot of differences; of more those of the leader
_WIDTH_IN = 4.8  # beside each other on the page, the text is then as large as the page's


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A picture with its words."""

    name: str
    """The file's name without suffix."""
    caption: str
    """What it shows, in a sentence without full stop."""
    svg: bytes


def draw_plots(content: Content) -> list[Plot]:
    """The plots that there is data for; the same runs give the same bytes.

    Each is an SVG that takes the light or dark text colour from its reader and holds its text as text.
    """
    with _look():
        return [Plot(name=name, caption=caption, svg=_svg(figure)) for name, caption, figure in _figures(content)]


def write_plots(content: Content, folder: Path) -> list[Path]:
    """The same plots for a paper or a talk, `NAME.pdf` and `NAME.png` on white; the same runs give the same bytes.

    Text in the PDF is text, in matplotlib's own font, which has no Chinese.

    Raises:
        OSError: the folder can't be written.
    """
    written: list[Path] = []
    with _look():
        for name, _, figure in _figures(content):
            for form, options in _PRINTED.items():
                file = io.BytesIO()
                figure.savefig(file, format=form, facecolor="white", **options)
                written.append(folder / f"{name}.{form}")
                write_atomic(written[-1], file.getvalue())
    return written


@contextlib.contextmanager
def _look() -> Generator[None]:
    import matplotlib  # half a second to import

    fixed: dict[Any, Any] = {
        "svg.hashsalt": "editbench",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,  # TrueType: publishers refuse type 3
        "text.parse_math": False,  # a run's name may hold a dollar sign
        "font.size": 10,
        "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same layout everywhere
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with matplotlib.rc_context(fixed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts draw the text
        yield


def _figures(content: Content) -> "Iterator[tuple[str, str, Figure]]":
    """Name, caption and figure of the plots that there is data for."""
    runs = [(item.run, item.summary) for item in content.runs]
    if not any(run.pairs for run, _ in runs):
        return
    if any(summary.overall.num_scored for _, summary in runs):
        yield "scores", "Scores by category", _distributions(runs)
        caption = "Means with 95 % intervals; the tick is the mean with failures counted at the bottom"
        yield "means", caption, _means([summary for _, summary in runs])
    if any(entry.deciding.mean is not None for entry in content.comparisons):
        caption = "Mean differences with 95 % intervals; filled: shown, also after Holm's correction"
        yield "differences", caption, _differences(content)
    yield "coverage", "Pairs scored, failed and waiting", _coverage(runs)


def _rows(summaries: Sequence[Summary]) -> list[tuple[str, list[Mean]]]:
    rows = [("all pairs", [summary.overall for summary in summaries])]
    names = dict.fromkeys(name for summary in summaries for name in summary.categories)
    rows += [(name, [s.categories.get(name, NONE) for s in summaries]) for name in names]
    return [(label, means) for label, means in rows if any(mean.num_pairs for mean in means)]


NONE = Mean(
    mean=None,
    num_scored=0,
    num_pairs=0,
    num_edited=0,
    num_failed={},
    num_not_scored=0,
    num_pending=0,
    num_partial=0,
    interval=None,
    interval_note=None,
    range=None,
    mean_failures_as_low=None,
)
"""Of a category that a run does not have."""


def _reach(summaries: Sequence[Summary]) -> tuple[float, float]:
    """From the lowest to the highest of the runs' scales, or of their values where no scale is known."""
    ends = [end for summary in summaries for end in summary.scale or ()]
    if not ends:
        ends = [end for s in summaries if (found := s.overall.range) for end in (found.low, found.high)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _figure(height: float, num_rows: int = 1) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, height), layout="constrained")
    axes = [figure.add_subplot(num_rows, 1, index + 1) for index in range(num_rows)]
    for ax in axes:
        ax.patch.set_visible(False)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_alpha(0.3)
        ax.tick_params(length=0)
    return figure, axes


def _distributions(runs: Sequence[tuple[RunRecords, Summary]]) -> "Figure":
    import numpy as np

    rows = _rows([summary for _, summary in runs])
    low, high = _reach([summary for _, summary in runs])
    edges = np.linspace(low, high, _BINS + 1)
    figure, axes = _figure(0.6 + 0.58 * len(rows), len(rows))
    for ax, (label, means) in zip(axes, rows, strict=True):
        for index, ((run, _), mean) in enumerate(zip(runs, means, strict=True)):
            pairs = [pair for pair in run.pairs if label in ("all pairs", pair.category)]
            ends = [run.outcomes[pair.pair_id] for pair in pairs]
            counts, _edges = np.histogram([end.value for end in ends if end.value is not None], bins=edges)
            color = COLORS[index % len(COLORS)]
            name = text.one_line(run.name, 40) if ax is axes[0] else None
            ax.stairs(counts, edges, fill=True, color=color, alpha=0.9 if len(runs) == 1 else 0.16)
            ax.stairs(counts, edges, color=color, linewidth=1.4, label=name)
            if mean.mean is not None:
                ax.axvline(mean.mean, color=_INK if len(runs) == 1 else color, linewidth=1.1, linestyle=(0, (2, 2)))
        ax.set_xlim(low, high)
        ax.set_ylim(bottom=0)
        ax.set_yticks([])
        shown = text.one_line(label, 40)
        words = f"{shown}\n{means[0].num_scored} scored" if len(runs) == 1 else shown
        ax.set_ylabel(words, rotation=0, ha="right", va="center")
        if ax is not axes[-1]:
            ax.set_xticklabels([])
    axes[-1].set_xlabel("score (dashed: mean)")
    _legend(figure, len(runs))
    return figure


def _means(summaries: Sequence[Summary]) -> "Figure":
    rows = _rows(summaries)
    figure, (ax,) = _figure(0.9 + len(rows) * (0.24 + 0.16 * len(summaries)))
    step = 0.7 / len(summaries)
    for place, (_label, means) in enumerate(rows):
        for index, mean in enumerate(means):
            y = place + (index - (len(means) - 1) / 2) * step
            color = COLORS[index % len(COLORS)]
            if mean.interval is not None:
                ax.plot([mean.interval.low, mean.interval.high], [y, y], color=color, linewidth=2.2, alpha=0.75)
            if mean.mean is not None:
                name = text.one_line(summaries[index].name, 40) if place == 0 else None
                ax.plot([mean.mean], [y], "o", color=color, markersize=6.5, label=name)
            if mean.mean_failures_as_low is not None and mean.total_failed:
                ax.plot([mean.mean_failures_as_low], [y], "|", color=color, markersize=9, markeredgewidth=1.6)
    ax.set_xlim(*_reach(summaries))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [text.one_line(label, 40) for label, _ in rows])
    ax.grid(axis="x", color=_INK, alpha=0.12, linewidth=0.8)
    ax.set_xlabel("mean score")
    _legend(figure, len(summaries))
    return figure


def _differences(content: Content) -> "Figure":
    found = [turned(entry) for entry in content.ranked]
    if len(content.runs) > _MOST_COMPARED:
        found = found[: content.num_of_leader]
    rows: list[tuple[str, Difference]] = [
        (f"{text.one_line(c.second, 24)} − {text.one_line(c.first, 24)}", c.deciding) for c in found
    ]
    if len(found) == 1:
        rows += [(text.one_line(text.label(name), 40), one) for name, one in found[0].categories.items()]
    figure, (ax,) = _figure(0.9 + 0.34 * len(rows))
    ax.axvline(0, color=_INK, linewidth=1, alpha=0.5)
    for place, (_label, step) in enumerate(rows):
        color = COLORS[0] if step.shown else _WAITING
        if step.interval is not None:
            ax.plot([step.interval.low, step.interval.high], [place, place], color=color, linewidth=2.2, alpha=0.75)
        if step.mean is not None:
            look = "full" if step.shown else "none"
            ax.plot([step.mean], [place], "o", color=color, markersize=6.5, fillstyle=look)
    reach = max(abs(edge) for edge in ax.get_xlim())
    ax.set_xlim(-reach, reach)  # zero in the middle: which side is ahead is seen at once
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.grid(axis="x", color=_INK, alpha=0.12, linewidth=0.8)
    ax.set_xlabel("mean difference (winner minus loser)")
    return figure


def _coverage(runs: Sequence[tuple[RunRecords, Summary]]) -> "Figure":
    if len(runs) == 1:
        rows = [(text.one_line(label, 40), means[0]) for label, means in _rows([runs[0][1]])]
    else:
        rows = [(text.one_line(run.name, 40), summary.overall) for run, summary in runs]
    figure, (ax,) = _figure(0.9 + 0.34 * len(rows))
    for place, (_label, mean) in enumerate(rows):
        left = 0.0
        waiting = mean.num_pending + mean.num_not_scored
        parts = (("scored", mean.num_scored, COLORS[0]), ("failed", mean.total_failed, _FAILED))
        for name, num, color in (*parts, ("waiting", waiting, _WAITING)):
            share = 100 * num / max(mean.num_pairs, 1)
            ax.barh(place, share, 0.62, left, color=color, linewidth=0, label=name if place == 0 else None)
            left += share
        words = f"{mean.num_scored}/{mean.num_pairs}"
        ax.text(101.5, place, words, va="center", fontsize=9)
    ax.set_xlim(0, 100)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.set_xlabel("% of pairs")
    _legend(figure, 3)
    return figure


def _legend(figure: "Figure", entries: int) -> None:
    if entries > 1:
        figure.legend(loc="outside upper right", ncols=min(entries, 3), frameon=False, handlelength=1.2)


def _svg(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    picture = file.getvalue().decode()
    picture = picture.replace(_INK, "currentColor").replace("'DejaVu Sans'", _FONTS)
    return re.sub(r'(<style type="text/css">)', rf"\1{_STYLE}", picture, count=1).encode()
