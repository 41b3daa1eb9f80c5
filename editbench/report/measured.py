"""What was measured, in the report's first lines: benchmark, editors, judge, rubric, and where that is not official."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from editbench.report import text
from editbench.report.content import Content
from editbench.stats.outcomes import RunRecords, numbered
from editbench.stats.summary import Summary

_FACTS = ("benchmark", "editor", "judge", "rubric", "language", "date", "editbench")
"""Settings that stand in the first line."""
_WARNED = ("made on several", "lossy mode")
"""Settings that are said as a warning, not as a difference."""
_PLUGIN = re.compile(r"(\w+) \(model '([^']+)'")
_MOST_SHORT = 80
"""Characters of another editor's or judge's settings in the first line."""
_MOST_VALUES = 4
"""Of a setting in which the runs differ, values that are named; more are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The first lines."""

    facts: tuple[tuple[str, str], ...]
    """Name and value of what all runs have in common."""
    between: tuple[tuple[str, tuple[str, ...]], ...]
    """Settings in which the runs differ, with their values; none where they are many."""
    departs: tuple[str, ...]
    """What differs from the official protocol, a sentence each."""
    notes: tuple[str, ...]
    """What a reader must know before the numbers of each run, a sentence each."""
    warnings: tuple[tuple[str, ...], ...]
    """By run: the same of its numbers alone."""


def measured(content: Content) -> Measured:
    """The first lines of a report; deterministic."""
    runs = content.runs
    settings = [dict(one.run.settings) | _derived(one.run, one.summary) for one in runs]
    names = list(dict.fromkeys(name for of_run in settings for name in of_run))
    ordered = [*(name for name in (*_FACTS, *_DERIVED) if name in names), *names]
    facts: list[tuple[str, str]] = []
    between: list[tuple[str, tuple[str, ...]]] = []
    for name in dict.fromkeys(ordered):
        values = list(dict.fromkeys(of_run.get(name, "–") for of_run in settings))
        if name == "date" and len(values) > 1:
            facts.append((name, f"{min(values)} to {max(values)}"))
        elif len(values) == 1 and name in (*_FACTS, *_DERIVED):
            facts.append((name, short(values[0]) if name in ("editor", "judge") else values[0]))
        elif len(values) > 1 and name not in _WARNED:
            between.append((name, tuple(values) if len(values) <= _MOST_VALUES else ()))
    order = ["benchmark", *_DERIVED[:2], *_FACTS[1:4], *_DERIVED[2:], *_FACTS[4:]]
    warnings = [_warnings(one.run, one.summary) for one in runs]
    alike = [line for line in warnings[0] if all(line in others for others in warnings)]
    return Measured(
        facts=tuple(sorted(facts, key=lambda fact: order.index(fact[0]))),
        between=tuple(between),
        departs=tuple(dict.fromkeys(line for one in runs for line in _departs(one.run, one.summary))),
        notes=tuple(alike),
        warnings=tuple(tuple(line for line in lines if line not in alike) for lines in warnings),
    )


def short(plugin: str) -> str:
    """An editor or judge by its class and model; all of its settings stand further down."""
    found = _PLUGIN.match(plugin)
    return f"{found[1]} ({found[2]})" if found else text.one_line(plugin, _MOST_SHORT)


_DERIVED = ("content", "pairs", "answered by")


def _derived(run: RunRecords, summary: Summary) -> dict[str, str]:
    found = {"content": content_hash(run), "pairs": f"{len(run.pairs):,}"}
    if summary.models:
        found["answered by"] = text.listed(list(summary.models))
    return found


def content_hash(run: RunRecords) -> str:
    """Of everything that was asked: ids, instructions, sources and references in order; 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for pair in run.pairs:
        references = sorted(f"{name}={picture.sha256}" for name, picture in pair.references.items())
        parts = (pair.pair_id, pair.category, pair.language, pair.instruction, pair.sources_sha256, *references)
        digest.update("\n".join(parts).encode("utf-8", "backslashreplace") + b"\0")
    return digest.hexdigest()[:12]


def _departs(run: RunRecords, summary: Summary) -> list[str]:
    """Where this run is not the official protocol, and the files that its rubric reads."""
    if run.rubric is None:
        return []
    here: Mapping[str, str] = {**run.settings, **_derived(run, summary)}
    lines: list[str] = []
    for name, official in run.rubric.official.items():
        ours = here.get(name, "")
        if name == "judge":
            ours = ", ".join([ours, *summary.models])
        if official.lower() not in ours.lower():
            lines.append(f"The official {name} is {official}{f'; here it is {ours}' if ours else ''}.")
    lines += [f"{name}: sha256 {digest[:12]}." for name, digest in sorted(run.files.items())]
    return lines


def _warnings(run: RunRecords, summary: Summary) -> list[str]:
    lines = list(dict.fromkeys((*run.notes, *summary.remarks)))
    if "lossy mode" in run.settings:
        lines.append(f"Edited in a lossy way: {run.settings['lossy mode']}.")
    if "made on several" in run.settings:
        lines.append(
            f"Edited on more than one {run.settings['made on several']}: the last bits of its pictures may differ "
            "between them."
        )
    return lines


def title(content: Content) -> str:
    """Of the page."""
    runs = [item.run for item in content.runs]
    if len(runs) == 1:
        return runs[0].name
    if len({run.root for run in runs}) == 1:
        return f"{runs[0].run}, judged in {len(runs)} ways"
    benchmarks = {run.settings.get("benchmark", "") for run in runs}
    on = f" on {next(iter(benchmarks))}" if len(benchmarks) == 1 and "" not in benchmarks else ""
    return f"{numbered(len(runs), 'run')}{on}"


def leader(content: Content) -> tuple[str, str] | None:
    """The run that leads, and in words of how many others it is shown to be ahead; None where no run has a number."""
    name = content.leader
    if name is None:
        return None
    others = [entry for entry in content.comparisons if name in (entry.first, entry.second)]
    won = sum(entry.winner == name for entry in others)
    by = text.label(content.summaries[0].headlines[0].name)
    ahead = f"it is shown to be ahead of {won} of {numbered(len(others), 'other')}"
    return name, f"has the highest {by}; {ahead}."


def judged_alike(content: Content) -> list[str]:
    """Of several runs, what is said of the judge on all of them in the same words; empty for one."""
    lines = [text.judged(item.health, item.run, content.several) for item in content.runs]
    return [line for line in lines[0] if all(line in others for others in lines)] if content.several else []


def failed_calls(content: Content) -> list[tuple[str, str, list[tuple[int, int]]]]:
    """Call, kind and, by run, how many of the call's replies failed so; calls and kinds that never failed left out.

    Empty where no rubric has several calls: the pairs' failures then say the same.
    """
    summaries = content.summaries
    if all(len(summary.num_replies) < 2 for summary in summaries):
        return []
    found = dict.fromkeys(
        (call, kind) for summary in summaries for call, kinds in summary.failures.items() for kind in kinds
    )
    return [
        (
            call,
            kind,
            [(one.failures.get(call, {}).get(kind, 0), one.num_replies.get(call, 0)) for one in summaries],
        )
        for call, kind in found
    ]
