"""`report.md`: the numbers for people, to paste into a README or a pull request."""

from collections.abc import Iterable, Sequence

from editbench.report import text
from editbench.report.content import Content
from editbench.stats.comparison import Comparison, Difference
from editbench.stats.correlation import TwoJudges
from editbench.stats.summary import SCORED, Mean, RunRecords, Summary, outcome

_REASONS_SHOWN = 10
_MEAN = ("mean", "scored", "95 % interval")


def to_markdown(content: Content, plots: dict[str, str]) -> str:
    """The whole document; `plots` holds a caption by the path of each picture, from the document's folder.

    Everything that comes from outside (names, settings, reasons) is escaped: it shows as it is and does nothing.
    """
    summaries = content.summaries
    runs = [told.run for told in content.runs]
    parts = ["# Image edits, judged"]
    if content.differ:
        parts.append(f"> **These runs differ in {_listed(content.differ)}: their numbers are of different things.**")
    parts += [
        f"> **{text.markdown(run.name)} was edited in a lossy way: {text.markdown(run.settings['lossy mode'])}.**"
        for run in runs
        if "lossy mode" in run.settings
    ]
    parts += [
        f"> {text.markdown(run.name)} was edited on more than one {text.markdown(run.settings['made on several'])}: "
        "the last bits of its pictures may differ between them."
        for run in runs
        if "made on several" in run.settings
    ]
    parts += [*(_headline(summary) for summary in summaries), _means(summaries)]
    if content.comparisons:
        parts += ["## Compared", *_compared(content.comparisons)]
    parts += ["## The judge", *_judges(content)]
    for entry in content.judges:
        parts += [f"### {text.markdown(entry.first)} and {text.markdown(entry.second)}", _agreement(entry)]
        rows = [[text.markdown(far.pair_id, 60), f"{far.first:.2f}", f"{far.second:.2f}"] for far in entry.furthest]
        names = ["furthest apart", text.markdown(entry.first), text.markdown(entry.second)]
        parts += [_table(names, rows)] if rows else []
    parts += ["## Without a score", *_failures(content)]
    parts += ["## Time", _time(summaries), "## Settings", *_settings(runs)]
    if plots:
        parts += ["## Plots", *(f"![{caption}]({path})" for path, caption in plots.items())]
    return "\n\n".join(parts) + "\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _headline(summary: Summary) -> str:
    o, name = summary.overall, text.markdown(summary.name)
    if (nothing := text.no_score(summary)) is not None:
        sentence = f"**{name}**: {nothing}."
    else:
        between = f", 95 % interval {text.interval(o)}" if o.interval else f", interval: {o.interval_note}"
        sentence = f"**{name}**: item mean **{text.number(o.mean)}** ({text.of(o)} scored{between})."
        if o.total_failed:
            low = text.number(o.mean_failures_as_low)
            sentence += f" With the {o.total_failed} failed counted as {summary.scale[0]:g}: {low}."
    return sentence if summary.complete else f"{sentence}\n\n> **This is {summary.state}.**"


def _means(summaries: Sequence[Summary]) -> str:
    def row(summary: Summary, label: str, cells: Sequence[str]) -> list[str]:
        return [*([text.markdown(summary.name)] if len(summaries) > 1 else []), label, *cells]

    rows: list[list[str]] = []
    for summary in summaries:
        for label, mean in [*summary.categories.items(), ("**item mean** (all pairs)", summary.overall)]:
            if mean.num_pairs:
                rows.append(row(summary, label, _cells(mean)))
        over = f"{summary.num_categories_scored} of {summary.num_categories} categories"
        between = text.between(summary.category_interval, summary.category_interval_note)
        low = text.number(summary.category_mean_failures_as_low)
        rows.append(
            row(summary, "**category mean** (official)", [text.number(summary.category_mean), over, between, low, ""])
        )
    bottom = f"failures as {summaries[0].scale[0]:g}"
    names = [*(["run"] if len(summaries) > 1 else []), "", *_MEAN, bottom, "without a score"]
    return _table(names, rows, num_left=len(names) - 5)


def _cells(mean: Mean) -> list[str]:
    """Under `_MEAN`, the lower bound and the kinds of failure: a mean with all that it is over."""
    low, missing = text.number(mean.mean_failures_as_low), text.counted(text.not_scored(mean))
    return [text.number(mean.mean), text.of(mean), text.interval(mean), low, missing]


def _compared(comparisons: Sequence[Comparison]) -> Iterable[str]:
    def row(label: str, found: Difference, low: str) -> list[str]:
        shown = f"**{text.signed(found.mean)}**" if found.shown else text.signed(found.mean)
        ends = f"{found.num_wins} / {found.num_ties} / {found.num_losses}"
        could = text.number(found.smallest_shown)
        cells = [str(found.num_pairs), shown, text.interval(found), text.p_value(found.p_corrected), ends, could]
        return [label, *cells, low]

    names = [
        "",
        "pairs",
        "difference",
        "95 % interval",
        "p (Holm)",
        "win / tie / loss",
        "could have shown",
        "failures as lowest",
    ]
    yield "\n".join(f"* {_verdict(entry)}" for entry in comparisons)
    yield _table(names, [row(_pairing(entry), entry.overall, text.low(entry)) for entry in comparisons])
    for entry in comparisons if len(comparisons) == 1 else ():
        yield _table(names[:-1], [row(name, found, "")[:-1] for name, found in entry.categories.items()])
    apart = [
        f"{_pairing(entry)}: {entry.num_only_second} scored only in the first named, {entry.num_only_first} only in "
        f"the second, {entry.num_asked_otherwise} asked otherwise"
        for entry in comparisons
        if entry.num_only_first or entry.num_only_second or entry.num_asked_otherwise
    ]
    yield "\n".join(
        [
            "Over the pairs that both runs have a score for; bold where a difference is shown. Permutation tests by "
            f"source image, corrected by Holm over the {len(comparisons)} overall here"
            f"{' and, apart, over the categories' if len(comparisons) == 1 else ''}; *could have shown* is the "
            "difference that so many pairs show four times in five.",
            *(f"Not compared: {line}." for line in apart),
        ]
    )


def _judges(content: Content) -> Iterable[str]:
    values: list[list[str]] = []
    means: list[list[str]] = []
    differences: list[list[str]] = []
    for told in content.runs:
        who = [text.markdown(told.run.name)] if content.several else []
        if content.several:
            yield f"**{text.markdown(told.run.name)}**"
        yield "\n".join(f"* {text.markdown(line)}" for line in text.judged(told.health, told.run))
        values.append([*who, *map(str, told.health.histogram)])
        for control in told.health.controls:
            found = control.difference
            means.append([*who, text.CONTROL_NAMES[control.kind], *_cells(control.mean)])
            cells = [str(found.num_pairs), text.signed(found.mean), text.interval(found)]
            name = text.CONTROL_DIFFERENCES[control.kind]
            differences.append([*who, name, *cells, text.p_value(found.p_corrected)])
    who = ["run"] if content.several else []
    scale = content.runs[0].run.scale
    yield "How many edits got what score:"
    yield _table([*who, *text.steps(scale)], values, num_left=len(who))
    if means:
        yield _table([*who, "control", *_MEAN, f"failures as {scale[0]:g}", "without a score"], means, len(who) + 1)
        names = [*who, "held against each other", "pairs", "difference", "95 % interval", "p (Holm)"]
        yield _table(names, differences, len(who) + 1)


def _agreement(entry: TwoJudges) -> str:
    return text.judges_agree(entry).format(first=text.markdown(entry.first), second=text.markdown(entry.second))


def _pairing(entry: Comparison) -> str:
    first, second = text.markdown(entry.first), text.markdown(entry.second)
    if entry.winner is None:
        return f"{second} − {first}"
    return f"**{second}** − {first}" if entry.winner == entry.second else f"{second} − **{first}**"


def _verdict(entry: Comparison) -> str:
    first, second = text.markdown(entry.first), text.markdown(entry.second)
    ahead, behind = (first, second) if entry.winner == entry.first else (second, first)
    return text.verdict(entry).format(first=first, second=second, winner=f"**{ahead}**", loser=behind)


def _failures(content: Content) -> Iterable[str]:
    runs = [told.run for told in content.runs]
    counts = [text.not_scored(summary.overall) for summary in content.summaries]
    kinds = list(dict.fromkeys(kind for count in counts for kind in count))
    if not kinds:
        yield "Every pair has a score."
        return
    names = [text.markdown(run.name) for run in runs]
    yield _table(["", *names], [[kind, *(str(count.get(kind, 0)) for count in counts)] for kind in kinds])
    rows: list[list[str]] = []
    for run in runs:
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
    names = [text.markdown(run.name) for run in runs]
    rows = [[text.markdown(key), *(text.markdown(run.settings.get(key, "–"), 200) for run in runs)] for key in keys]
    yield _table(["", *names], rows, num_left=len(names) + 1)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], num_left: int = 1) -> str:
    """A GitHub table, numbers to the right; the first `num_left` columns to the left."""
    rule = [":--" if index < num_left else "--:" for index in range(len(names))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (names, rule, *rows))
