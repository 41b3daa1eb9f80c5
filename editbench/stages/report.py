"""The report stage: from the files of one run or several to the pages."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from editbench.config import Config
from editbench.errors import UsageError
from editbench.process.console import console, start_logging
from editbench.process.signals import Stopped
from editbench.process.world import World
from editbench.report import render_table, tell, write_plots, write_report
from editbench.report.as_json import SCHEMA
from editbench.report.content import Content, Live
from editbench.report.index import Entry, write_index
from editbench.report.measured import short
from editbench.rubrics.headlines import compute
from editbench.run.durable import refuse_unwritable
from editbench.run.run_dir import RunDir
from editbench.stages.controls import FOLDER
from editbench.stages.run_records import read_run
from editbench.stats.outcomes import SCORED, WAITING, RunRecords, numbered

log = logging.getLogger(__name__)

_AGAIN_S = 10
"""Seconds between two looks at runs that are watched, at least."""
_SHARE = 20
"""A look that takes t seconds is followed by a pause of this many t, so that watching costs 5 % of a core."""
_NUM_NEWEST = 24
"""Pairs that a watched page names as the newest."""
_Key = tuple[str, int]


def report(config: Config, world: World) -> int:
    """Write report.md, report.json, report.html and plots of the runs, a table to the terminal, and `config.export`.

    Only rank 0 works; several score files of one run stand side by side like several runs. With `config.watch` the page
    is written again while a run goes, until all are complete; with `config.index` only the index of a folder is
    written.

    Returns:
        0.

    Raises:
        UsageError: a run holds nothing to report.
    """
    if world.rank != 0:
        return 0
    start_logging(None, "report", world)
    if config.index is not None:
        return _index(config.index)
    runs = [RunDir(path) for path in dict.fromkeys(config.run_dir or (config.the_run,))]
    out = config.out or (runs[0].root if len(runs) == 1 else _beside(runs))
    if (out / "pairs.jsonl").exists() and out.resolve() not in {run.root.resolve() for run in runs}:
        raise UsageError(f"--out {out} is another run, whose own report would be lost; name a folder of its own")
    also = [*([config.export.parent] if config.export else []), *([config.plots] if config.plots else [])]
    refuse_unwritable(out, out / "plots", out / "thumbnails", out / "changes", *also)
    content = _watch(config, runs, out) if config.watch else tell(_read(config, runs))
    page = write_report(content, out, standalone=config.standalone, export=config.export)
    if config.plots is not None:
        written = write_plots(content, config.plots)
        log.info("%s: %d plots.", config.plots, len(written))
    if config.track is not None:
        from editbench.report.track import track

        track(content, config.track)
    if world.host is None:
        console.print(render_table(content))
    log.info("Report: %s", page)
    return 0


def _read(config: Config, runs: Sequence[RunDir]) -> list[RunRecords]:
    return [
        records for run in runs for records in read_run(run, config.scores, _called(run, runs), rubric=config.rubric)
    ]


def _called(run: RunDir, runs: Sequence[RunDir]) -> str:
    """The directory's name, or its path where another run of this report has the same."""
    alike = [other for other in runs if other.name == run.name]
    return run.name if len(alike) == 1 else run.root.as_posix()


def _beside(runs: Sequence[RunDir]) -> Path:
    return runs[0].root.parent / "-vs-".join(run.name for run in runs)


# ------------------------------------------------------------------------------------------------------------- watch


def _watch(config: Config, runs: Sequence[RunDir], out: Path) -> Content:
    """Write the page at each change of the runs' records until all are complete.

    Returns:
        The content at the end, for the last page.

    Raises:
        UsageError: a run holds something that can't be reported.
    """
    progress = _Progress()
    seen: Mapping[Path, tuple[int, int]] = {}
    content: Content | None = None
    pause_s = float(_AGAIN_S)
    if not all(run.pairs.exists() for run in runs):
        log.info("Waiting for the first pairs of %s.", ", ".join(str(run.root) for run in runs))
    try:
        while True:
            now = {path: at for run in runs for path, at in _record_files(run.root).items()}
            if now != seen and all(run.pairs.exists() for run in runs):
                start = time.monotonic()
                records = _read(config, runs)
                if all(_is_complete(run) for run in records):
                    return tell(records)
                content = tell(records, progress.live(records, round(pause_s)))
                page = write_report(content, out, standalone=config.standalone)
                pause_s = max(float(_AGAIN_S), _SHARE * (time.monotonic() - start))
                if not seen:
                    log.info("Live: %s; it is written again while the run goes. Ctrl+C ends that.", page)
                seen = now
            time.sleep(pause_s)
    except Stopped:
        if content is not None:  # the page must not say that it is live
            write_report(replace(content, live=None), out, standalone=config.standalone)
        raise


def _record_files(root: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of each file of records of a run: what changes when it goes on."""
    folders = (root, root / "scores", root / "parts")
    found: dict[Path, tuple[int, int]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
            try:
                state = path.stat()
            except FileNotFoundError:  # a part that was merged meanwhile
                continue
            found[path] = state.st_size, state.st_mtime_ns
    return found


def _is_complete(run: RunRecords) -> bool:
    return run.score_file is not None and not any(end.waits for end in run.outcomes.values())


class _Progress:
    """How fast watched runs go."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()
        self._first: tuple[int, int] | None = None
        self._known: set[tuple[str, _Key, bool]] = set()
        self._newest: list[str] = []

    def live(self, runs: Sequence[RunRecords], again_s: int) -> Live:
        """What a page says of the runs as they stand now."""
        edits = {(run.name, key, False) for run in runs for key in run.edits}
        scores = {(run.name, key, True) for run in runs for key in run.scores}
        new = sorted((edits | scores) - self._known)
        if self._known:
            names = list(dict.fromkeys(key[0] for _, key, _ in new))
            self._newest = [*names, *(name for name in self._newest if name not in names)][:_NUM_NEWEST]
        self._known |= edits | scores
        num_edits, num_scores = len(edits), len(scores)
        if self._first is None:
            self._first = num_edits, num_scores
        minutes = (time.monotonic() - self._start_s) / 60
        wanted = sum(len(run.pairs) * run.num_tries for run in runs)
        edited = _rate("edited", num_edits, num_edits - self._first[0], wanted, minutes)
        scored = _rate("scored", num_scores, num_scores - self._first[1], wanted, minutes)
        return Live(again_s=again_s, line=f"{edited}; {scored}.", newest=tuple(self._newest))


def _rate(what: str, num: int, num_new: int, wanted: int, minutes: float) -> str:
    """`412 of 1,200 edited (12.3 a minute, about 64 minutes left)`."""
    said = f"{num:,} of {wanted:,} {what}"
    if num_new <= 0 or minutes <= 0:
        return said
    rate = num_new / minutes
    left = f", about {numbered(max(1, round((wanted - num) / rate)), 'minute')} left" if num < wanted else ""
    return f"{said} ({rate:.1f} a minute{left})"


# ------------------------------------------------------------------------------------------------------------- index


def _index(folder: Path) -> int:
    if not folder.is_dir():
        raise UsageError(f"--index {folder}: no such folder; give the one that holds the run directories")
    refuse_unwritable(folder)
    entries = [entry for root in _run_dirs(folder) for entry in _entries(root, folder)]
    page = write_index(entries, folder)
    log.info("Index of %d runs: %s", len({entry.root for entry in entries}), page)
    return 0


def _run_dirs(folder: Path) -> Iterator[Path]:
    """The run directories below a folder; what is in one is not looked through."""
    for path, names, files in os.walk(folder):
        if "pairs.jsonl" in files and "config.yaml" in files:
            names.clear()
            yield Path(path)
        else:
            names[:] = sorted(name for name in names if name != FOLDER and not name.startswith("."))


def _entries(root: Path, folder: Path) -> list[Entry]:
    """A run with each of its score files: from its report.json where that is newer than all records."""
    files = _record_files(root)
    changed_ns = max((at for _, at in files.values()), default=0)
    name = root.relative_to(folder).as_posix() if root != folder else folder.name
    blank = Entry(
        name=name,
        root=root,
        changed_s=changed_ns / 1e9,
        benchmark="",
        editor="",
        judge="",
        headline="",
        value=None,
        scale=None,
        num_scored=0,
        num_pairs=0,
        state="",
    )
    written = root / "report.json"
    if written.exists() and written.stat().st_mtime_ns >= changed_ns:
        found = _reported(blank, written)
        if found:
            return found
    try:
        return [_of_records(blank, records) for records in read_run(RunDir(root), called=name)]
    except UsageError as error:
        return [replace(blank, state=f"can't be read: {error}")]


def _reported(blank: Entry, written: Path) -> list[Entry]:
    """From a run's report.json; empty where that is of another version or of several runs."""
    try:
        document: dict[str, Any] = json.loads(written.read_bytes())
    except ValueError:
        return []
    runs: list[dict[str, Any]] = document.get("runs", []) if document.get("schema") == SCHEMA else []
    own = blank.root.resolve().name
    if any(run["name"] != own and not run["name"].startswith(f"{own} · ") for run in runs):
        return []  # of other runs beside it
    several = len(runs) > 1
    found: list[Entry] = []
    for run in runs:
        settings: dict[str, str] = run["settings"]
        headline: dict[str, Any] = next(iter(run["headlines"]), {})
        scale = headline.get("scale")
        entry = replace(
            blank,
            name=f"{blank.name} · {run['name'].rpartition(' · ')[2]}" if several else blank.name,
            headline=headline.get("name", ""),
            value=headline.get("value"),
            scale=tuple(scale) if scale else None,
            num_scored=run["overall"]["num_scored"],
            num_pairs=run["overall"]["num_pairs"],
            state=run["state"],
        )
        found.append(_with_settings(entry, settings))
    return found


def _of_records(blank: Entry, run: RunRecords) -> Entry:
    """From the records, without intervals: an index of many runs is written in seconds."""
    ends = run.outcomes.values()
    headline = next(iter(run.headlines), None)
    rows = [(pair, run.outcomes[pair.pair_id].row) for pair in run.pairs]
    num_scored = sum(end.status == SCORED for end in ends)
    waiting = sum(end.waits or end.status in WAITING for end in ends)
    entry = replace(
        blank,
        name=run.name,
        headline=headline.name if headline else "",
        value=compute(headline, rows) if headline and num_scored else None,
        scale=run.scale,
        num_scored=num_scored,
        num_pairs=len(run.pairs),
        state="complete" if not waiting else f"part of a run: {waiting} of {len(run.pairs)} pairs wait",
    )
    return _with_settings(entry, run.settings)


def _with_settings(entry: Entry, settings: Mapping[str, str]) -> Entry:
    names = ("benchmark", "editor", "judge")
    return replace(entry, **{name: short(settings.get(name, "")) for name in names})
