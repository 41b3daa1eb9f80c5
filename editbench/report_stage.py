"""The report stage: from the files of one run or several to the pages."""

import logging
from pathlib import Path

from editbench.config import Config
from editbench.console import console, start_logging
from editbench.report import render_table, write_report
from editbench.run_dir import RunDir
from editbench.run_records import read_run
from editbench.world import World

log = logging.getLogger(__name__)


def report(config: Config, world: World) -> int:
    """Write report.md, report.json, report.html and plots of the runs, and a table to the terminal.

    Only rank 0 works; several score files of one run stand side by side like several runs.

    Returns:
        0.

    Raises:
        UsageError: a run holds nothing to report.
    """
    if world.rank != 0:
        return 0
    start_logging(None, "report", world)
    runs = [RunDir(path) for path in config.run or (config.the_run,)]
    records = [entry for run in runs for entry in read_run(run, config.scores)]
    out = config.out or (runs[0].root if len(runs) == 1 else _beside(runs))
    page = write_report(records, out)
    console.print(render_table(records))
    log.info("Report: %s", page)
    return 0


def _beside(runs: list[RunDir]) -> Path:
    return runs[0].root.parent / "-vs-".join(run.name for run in runs)
