"""`report.md`: the numbers for people, to paste into a README or a pull request."""

from collections.abc import Iterable, Sequence

from editbench.report import text
from editbench.report.content import Content
from editbench.report.measured import failed_calls, judged_alike, leader, measured, title
from editbench.report.results import Table, tables
from editbench.report.results import to_markdown as table_to_markdown
from editbench.report.versus import turned
from editbench.stats.comparison import Comparison, Difference
from editbench.stats.correlation import TwoJudges
from editbench.stats.outcomes import SCORED, RunRecords
from editbench.stats.summary import HeadlineValue, Mean, Summary

_REASONS_SHOWN = 10
_MEAN = ("mean", "scored", "95 % interval")


def to_markdown(content: Content, plots: dict[str, str]) -> str:
    """The whole document; `plots` holds a caption by the path of each picture, from the document's folder.

    Everything that comes from outside (names, settings, reasons) is escaped: it shows as it is and does nothing.
    """
    summaries = content.summaries
    runs = [item.run for item in content.runs]
    parts = [f"# {text.markdown(title(content))}", *_measured(content)]
    if content.differ:
        parts.append(
            f"> **These runs differ in {text.listed(content.differ)}: their numbers are of different things.**"
        )
    parts += [*_results(content), *(_headline(summary) for summary in summaries if not content.several)]
    parts += [
        f"> **{text.markdown(summary.name)}: {text.markdown(line)}.**"
        for summary in summaries
        for line in _state(summary)
    ]
    if content.comparisons:
        parts += ["## Which is better?", *_compared(content)]
    if not content.several:
        parts += ["## In numbers", _means(content)]
    parts += ["## The judge", *_judges(content)]
    for entry in content.judges:
        parts += [f"### {text.markdown(entry.first)} and {text.markdown(entry.second)}", _agreement(entry)]
        rows = [[text.markdown(far.pair_id, 60), f"{far.first:.2f}", f"{far.second:.2f}"] for far in entry.furthest]
        names = ["furthest apart", text.markdown(entry.first), text.markdown(entry.second)]
        parts += [_table(names, rows)] if rows else []
    if content.preferences:
        parts += ["### Self-preference"]
        parts += ["\n".join(f"* {text.markdown(text.self_preference(entry))}" for entry in content.preferences)]
    parts += ["## Without a score", *_failures(content)]
    parts += ["## Time", _time(summaries), "## Settings", *_settings(runs)]
    if plots:
        parts += ["## Plots", *(f"![{caption}]({path})" for path, caption in plots.items())]
    return "\n\n".join(parts) + "\n"


def _measured(content: Content) -> Iterable[str]:
    about = measured(content)
    yield " · ".join(f"{name} **{text.markdown(value, 200)}**" for name, value in about.facts)
    lines = [
        f"* The runs differ in **{text.markdown(name)}**"
        + (f": {'; '.join(text.markdown(value, 200) for value in values)}." if values else ".")
        for name, values in about.between
    ]
    lines += [f"* {text.markdown(line)}" for line in about.departs]
    if lines:
        yield "\n".join(lines)
    for line in about.notes:
        yield f"> **{text.markdown(line)}**"
    for item, warnings in zip(content.runs, about.warnings, strict=True):
        who = f"{text.markdown(item.run.name)}: " if content.several else ""
        for line in warnings:
            yield f"> **{who}{text.markdown(line)}**"


def _results(content: Content) -> Iterable[str]:
    for place, table in enumerate(tables(content)):
        yield str(table_to_markdown(table)).rstrip("\n")
        if place == 0:
            yield "Means of the scored pairs, in brackets how many of how many, where they are not all" + (
                "; bold: shown to be ahead of every other run." if content.several else "."
            )
        yield from _without_interval(table)


def _without_interval(table: Table) -> Iterable[str]:
    for note, names in table.without_interval:
        yield f"No interval for {text.markdown(names)}: {note}."


def _headline(summary: Summary) -> str:
    found, name = summary.headlines[0] if summary.headlines else None, text.markdown(summary.name)
    if (nothing := text.no_score(summary)) is not None:
        return f"**{name}**: {text.markdown(nothing)}."
    if found is None or found.value is None:
        return f"**{name}**: no {text.markdown(text.label(found.name)) if found else 'headline'}."
    between = text.between(found.interval, found.interval_note)
    kind = "95 % interval " if found.interval else "interval: "
    sentence = (
        f"**{name}**: {text.markdown(text.label(found.name))} **{text.number(found.value)}** ({found.num_scored} of "
        f"{found.num_pairs} scored{_over_categories(found)}, {kind}{between})."
    )
    if found.value_failures_as_low is not None and found.value_failures_as_low != found.value:
        sentence += f" With failures at their lowest: {text.number(found.value_failures_as_low)}."
    return sentence


def _over_categories(found: HeadlineValue) -> str:
    if found.num_categories is None:
        return ""
    return f", over {found.num_categories} of {found.num_categories_meant} categories"


def _state(summary: Summary) -> Iterable[str]:
    if summary.overall.num_pairs and not summary.complete:
        yield f"this is {summary.state}"


def _means(content: Content) -> str:
    """Of one run, each number with all that it is over."""
    rows: list[list[str]] = []
    for table in tables(content):
        for column, cell in zip(table.columns, table.rows[0], strict=True):
            if cell is not None and (table.view == tables(content)[0].view or not column.is_headline):
                label = text.markdown(f"{column.group}: {column.label}" if column.group else column.label)
                between = text.between(cell.interval, cell.interval_note)
                missing = text.counted(cell.failed)
                label = f"**{label}**" if column.is_headline else label
                rows.append([label, text.number(cell.value), cell.of, between, text.number(cell.low), missing])
    return _table(["", *_MEAN, "failures at lowest", "without a score"], rows)


def _cells(mean: Mean) -> list[str]:
    """Under `_MEAN`, the lower bound and the kinds of failure: a mean with all that it is over."""
    low, missing = text.number(mean.mean_failures_as_low), text.counted(text.not_scored(mean))
    return [text.number(mean.mean), text.of(mean), text.interval(mean), low, missing]


def _compared(content: Content) -> Iterable[str]:
    def row(label: str, found: Difference, low: str) -> list[str]:
        shown = f"**{text.signed(found.mean)}**" if found.shown else text.signed(found.mean)
        ends = f"{found.num_wins} / {found.num_ties} / {found.num_losses}"
        could = text.number(found.minimum_detectable_difference)
        cells = [str(found.num_pairs), shown, text.interval(found), text.p_value(found.p_corrected), ends, could]
        return [label, *cells, low]

    comparisons = [turned(entry) for entry in content.ranked]
    names = [
        "winner − loser",
        "pairs",
        "difference",
        "95 % interval",
        "p (Holm)",
        "win / tie / loss",
        "could have shown",
        "failures at lowest",
    ]
    if len(content.runs) > 3 and (first := leader(content)) is not None:
        yield f"**{text.markdown(first[0])}** {text.markdown(first[1])}"
    else:
        yield "\n".join(f"* {_verdict(entry)}" for entry in comparisons)
    yield _table(names, [row(_pairing(entry), entry.deciding, text.low(entry)) for entry in comparisons])
    for entry in comparisons if len(comparisons) == 1 else ():
        inner = [(name, found) for name, found in entry.headlines.items() if name != entry.decides]
        inner += [*entry.categories.items(), *(entry.dimensions.items() if len(entry.dimensions) > 1 else ())]
        yield _table(names[:-1], [row(text.markdown(text.label(name)), found, "")[:-1] for name, found in inner])
    apart = [
        f"{_pairing(entry)}: {entry.num_only_second} scored only in the first named, {entry.num_only_first} only in "
        f"the second, {entry.num_asked_otherwise} asked otherwise"
        for entry in comparisons
        if entry.num_only_first or entry.num_only_second or entry.num_asked_otherwise
    ]
    yield "\n".join(
        [
            f"Differences of {text.markdown(text.label(comparisons[0].decides))} over the pairs that both runs have a "
            "score for; bold where a difference is shown. Permutation tests by source image, corrected by Holm over "
            f"the {len(comparisons)} comparisons of a headline"
            f"{' and, apart, over the categories and the dimensions' if len(comparisons) == 1 else ''}; *could have "
            "shown* is the difference that so many pairs show four times in five.",
            *(f"Not compared: {line}." for line in apart),
        ]
    )


def _judges(content: Content) -> Iterable[str]:
    means: list[list[str]] = []
    differences: list[list[str]] = []
    alike = judged_alike(content)
    if alike:
        yield "\n".join(f"* {text.markdown(line)}" for line in alike)
    for item in content.runs:
        who = [text.markdown(item.run.name)] if content.several else []
        lines = [line for line in text.judged(item.health, item.run, content.several) if line not in alike]
        if content.several and lines:
            yield f"**{text.markdown(item.run.name)}**"
        if lines:
            yield "\n".join(f"* {text.markdown(line)}" for line in lines)
        for control in item.health.controls:
            found = control.difference
            means.append([*who, text.CONTROL_NAMES[control.kind], *_cells(control.mean)])
            ends = f"{found.num_wins} / {found.num_ties} / {found.num_losses}"
            cells = [str(found.num_pairs), text.signed(found.mean), text.interval(found)]
            name = text.CONTROL_DIFFERENCES[control.kind]
            below = text.below_right(control)
            differences.append([*who, name, *cells, text.p_value(found.p_corrected), ends, below])
    yield from _histograms(content)
    who = ["run"] if content.several else []
    if means:
        yield _table([*who, "control", *_MEAN, "failures at lowest", "without a score"], means, len(who) + 1)
        names = [*who, "held against each other", "pairs", "difference", "95 % interval", "p (Holm)"]
        names += ["higher / same / lower", "below the right edit"]
        yield _table(names, differences, len(who) + 1)


def _histograms(content: Content) -> Iterable[str]:
    """How many got what, a table for each scale that occurs."""
    by_scale: dict[tuple[float, float], list[list[str]]] = {}
    for item in content.runs:
        who = [text.markdown(item.run.name)] if content.several else []
        found = [("value", item.health.values)]
        found += list(item.health.dimensions.items()) if len(item.health.dimensions) > 1 else []
        for name, of_it in found:
            if of_it.scale is not None and of_it.num_values:
                row = [*who, text.markdown(name), *map(str, of_it.histogram)]
                by_scale.setdefault(of_it.scale, []).append(row)
    for scale, rows in by_scale.items():
        yield "How many edits got what:"
        who = ["run"] if content.several else []
        yield _table([*who, "", *text.steps(scale)], rows, num_left=len(who) + 1)


def _agreement(entry: TwoJudges) -> str:
    return text.judges_agree(entry).format(first=text.markdown(entry.first), second=text.markdown(entry.second))


def _pairing(entry: Comparison) -> str:
    ahead, behind = text.markdown(entry.second), text.markdown(entry.first)
    return f"**{ahead}** − {behind}" if entry.winner else f"{ahead} − {behind}"


def _verdict(entry: Comparison) -> str:
    ahead, behind = text.markdown(entry.second), text.markdown(entry.first)
    return text.verdict(entry).format(ahead=f"**{ahead}**" if entry.winner else ahead, behind=behind)


def _failures(content: Content) -> Iterable[str]:
    runs = [item.run for item in content.runs]
    counts = [text.not_scored(summary.overall) for summary in content.summaries]
    kinds = list(dict.fromkeys(kind for count in counts for kind in count))
    if not kinds:
        yield "Every pair has a score."
        return
    names = [text.markdown(run.name) for run in runs]
    yield _table(["", *names], [[kind, *(str(count.get(kind, 0)) for count in counts)] for kind in kinds])
    calls = [
        [text.markdown(call), kind, *(f"{num} of {whole}" if whole else "–" for num, whole in found)]
        for call, kind, found in failed_calls(content)
    ]
    if calls:
        yield "Replies of the judge that could not be read, by call:"
        yield _table(["call", "kind", *names], calls, num_left=2)
    rows: list[list[str]] = []
    for run in runs:
        for pair in run.pairs:
            end = run.outcomes[pair.pair_id]
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
            median = f"{text.seconds(cost.median_s)} {cost.unit}" if cost.num_timed else "–"
            rows.append([*who, label, median, mean, str(cost.num_timed), made_on])
    names = [*(["run"] if len(summaries) > 1 else []), "", "median", "mean a pair", "timed", "pairs by device"]
    table = _table(names, rows, num_left=len(names) - 4)
    flags = "; ".join(f"{text.markdown(s.name)}: {text.markdown(text.counted(s.flags))}" for s in summaries)
    spent = [f"{text.markdown(s.name)}: {text.markdown(text.spent(s.spent))}" for s in summaries if s.spent]
    paid = f"\n\nThe editor's server counted: {'; '.join(spent)}." if spent else ""
    return f"{table}\n\nEdited images by flag: {flags}.{paid}"


def _settings(runs: Sequence[RunRecords]) -> Iterable[str]:
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    names = [text.markdown(run.name) for run in runs]
    rows = [[text.markdown(key), *(text.markdown(run.settings.get(key, "–"), 200) for run in runs)] for key in keys]
    yield _table(["", *names], rows, num_left=len(names) + 1)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], num_left: int = 1) -> str:
    """A GitHub table, numbers to the right; the first `num_left` columns to the left."""
    rule = [":--" if index < num_left else "--:" for index in range(len(names))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (names, rule, *rows))
