"""`report.md`: the numbers for people, to paste into a README or a pull request."""

from collections.abc import Iterable, Sequence

from editbench.report import text
from editbench.summary import SCORED, RunRecords, Summary, outcome

_REASONS_SHOWN = 10


def to_markdown(runs: Sequence[tuple[RunRecords, Summary]], plots: dict[str, str]) -> str:
    """The whole document; `plots` holds a caption by the path of each picture, from the document's folder.

    Everything that comes from outside (names, settings, reasons) is escaped: it shows as it is and does nothing.
    """
    summaries = [summary for _, summary in runs]
    parts = ["# Image edits, judged", *(_headline(summary) for summary in summaries), _means(summaries)]
    parts += ["## Without a score", *_failures(runs)]
    parts += ["## Time", _time(summaries), "## Settings", *_settings([run for run, _ in runs])]
    if plots:
        parts += ["## Plots", *(f"![{caption}]({path})" for path, caption in plots.items())]
    return "\n\n".join(parts) + "\n"


def _headline(summary: Summary) -> str:
    o, name = summary.overall, text.markdown(summary.name)
    if (nothing := text.no_score(summary)) is not None:
        sentence = f"**{name}**: {nothing}."
    else:
        between = f", 95 % interval {text.interval(o)}" if o.interval else f", interval: {o.interval_note}"
        sentence = f"**{name}**: mean **{text.number(o.mean)}** ({text.of(o)} scored{between})."
        if o.total_failed:
            low = text.number(o.mean_failures_as_low)
            sentence += f" With the {o.total_failed} failed counted as {summary.scale[0]:g}: {low}."
    return sentence if summary.complete else f"{sentence}\n\n> **This is {summary.state}.**"


def _means(summaries: Sequence[Summary]) -> str:
    def row(summary: Summary, label: str, cells: Sequence[str]) -> list[str]:
        return [*([text.markdown(summary.name)] if len(summaries) > 1 else []), label, *cells]

    rows: list[list[str]] = []
    for summary in summaries:
        for label, mean in [*summary.categories.items(), ("all pairs", summary.overall)]:
            if mean.num_pairs:
                low = text.number(mean.mean_failures_as_low)
                rows.append(row(summary, label, [text.number(mean.mean), text.of(mean), text.interval(mean), low]))
        over = f"{summary.num_categories_scored} of {summary.num_categories} categories"
        rows.append(row(summary, "category mean", [text.number(summary.category_mean), over, "", ""]))
    bottom = f"failures as {summaries[0].scale[0]:g}"
    names = [*(["run"] if len(summaries) > 1 else []), "", "mean", "scored", "95 % interval", bottom]
    return _table(names, rows, num_left=len(names) - 4)


def _failures(runs: Sequence[tuple[RunRecords, Summary]]) -> Iterable[str]:
    counts = [text.not_scored(summary.overall) for _, summary in runs]
    kinds = list(dict.fromkeys(kind for count in counts for kind in count))
    if not kinds:
        yield "Every pair has a score."
        return
    names = [text.markdown(run.name) for run, _ in runs]
    yield _table(["", *names], [[kind, *(str(count.get(kind, 0)) for count in counts)] for kind in kinds])
    rows: list[list[str]] = []
    for run, _ in runs:
        for pair in run.pairs:
            end = outcome(run, pair.pair_id)
            if end.status != SCORED and end.reason:
                who = [text.markdown(run.name)] if len(runs) > 1 else []
                rows.append([*who, text.markdown(pair.pair_id, 60), end.status, text.markdown(end.reason, 120)])
    if rows:
        header = [*(["run"] if len(runs) > 1 else []), "pair", "what", "reason"]
        yield _table(header, rows[:_REASONS_SHOWN], num_left=len(header))
        if len(rows) > _REASONS_SHOWN:
            yield f"{len(rows) - _REASONS_SHOWN} more with a reason are in report.html."


def _time(summaries: Sequence[Summary]) -> str:
    rows: list[list[str]] = []
    for summary in summaries:
        who = [text.markdown(summary.name)] if len(summaries) > 1 else []
        for label, cost in (("editing", summary.editing), ("scoring", summary.scoring)):
            made_on = text.markdown(text.counted(cost.devices))
            mean = f"{text.seconds(cost.mean_s)} {cost.unit}" if cost.num_timed else "–"
            rows.append([*who, label, f"{text.seconds(cost.median_s)} s", mean, str(cost.num_timed), made_on])
    names = [*(["run"] if len(summaries) > 1 else []), "", "median", "mean a pair", "timed", "pairs by device"]
    table = _table(names, rows, num_left=len(names) - 4)
    flags = "; ".join(f"{text.markdown(s.name)}: {text.markdown(text.counted(s.flags))}" for s in summaries)
    return f"{table}\n\nEdited images by flag: {flags}."


def _settings(runs: Sequence[RunRecords]) -> Iterable[str]:
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    differ = [key for key in keys if len({run.settings.get(key) for run in runs}) > 1]
    if differ:
        yield f"The runs differ in: {', '.join(text.markdown(key) for key in differ)}."
    names = [text.markdown(run.name) for run in runs]
    rows = [[text.markdown(key), *(text.markdown(run.settings.get(key, "–"), 200) for run in runs)] for key in keys]
    yield _table(["", *names], rows, num_left=len(names) + 1)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], num_left: int = 1) -> str:
    """A GitHub table, numbers to the right; the first `num_left` columns to the left."""
    rule = [":--" if index < num_left else "--:" for index in range(len(names))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (names, rule, *rows))
