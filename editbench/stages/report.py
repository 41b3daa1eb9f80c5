"""The report stage: from the files of one run or several to the pages."""

import logging
from pathlib import Path

from editbench.config import Config
from editbench.errors import UsageError
from editbench.process.console import console, start_logging
from editbench.process.world import World
from editbench.report import render_table, tell, write_export, write_report
from editbench.run.durable import refuse_unwritable
from editbench.run.run_dir import RunDir
from editbench.stages.run_records import read_run

log = logging.getLogger(__name__)


def report(config: Config, world: World) -> int:
    """Write report.md, report.json, report.html and plots of the runs, a table to the terminal, and `config.export`.

    Only rank 0 works; several score files of one run stand side by side like several runs.

    Returns:
        0.

    Raises:
        UsageError: a run holds nothing to report.
    """
    if world.rank != 0:
        return 0
    start_logging(None, "report", world)
    runs = [RunDir(path) for path in dict.fromkeys(config.run_dir or (config.the_run,))]
    out = config.out or (runs[0].root if len(runs) == 1 else _beside(runs))
    if (out / "pairs.jsonl").exists() and out.resolve() not in {run.root.resolve() for run in runs}:
        raise UsageError(f"--out {out} is another run, whose own report would be lost; name a folder of its own")
    refuse_unwritable(out, out / "plots", out / "thumbnails", *([config.export.parent] if config.export else []))
    content = tell(
        [records for run in runs for records in read_run(run, config.scores, _called(run, runs), config.rubric)]
    )
    page = write_report(content, out, standalone=config.standalone)
    if config.export is not None:
        write_export(content, config.export)
    console.print(render_table(content))
    log.info("Report: %s", page)
    return 0


def _called(run: RunDir, runs: list[RunDir]) -> str:
    """The directory's name, or its path where another run of this report has the same."""
    alike = [other for other in runs if other.name == run.name]
    return run.name if len(alike) == 1 else run.root.as_posix()


def _beside(runs: list[RunDir]) -> Path:
    return runs[0].root.parent / "-vs-".join(run.name for run in runs)
