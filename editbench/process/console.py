"""The output of a run while it works: lines and a bar on rank 0, and a log file for every rank."""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from editbench.process.redaction import redacted
from editbench.process.terminal import indented, printable
from editbench.process.world import World

console = Console(stderr=True, soft_wrap=sys.stderr is None or not sys.stderr.isatty())
_LINE_EVERY_S = 10.0
_LOOK_EVERY_S = 0.2


def start_logging(folder: Path | None, stage: str, world: World) -> None:
    """Send `editbench`'s own lines to `<folder>/<stage>.rank<n>.log`, on rank 0 to the terminal too.

    Of other ranks the terminal shows errors. Warnings of other libraries go to the file alone, and so do tracebacks.

    Args:
        folder: the run's folder of logs, which is made once the run has its `config.yaml`: a call that is refused
            before leaves nothing behind. None: no file.
        stage: the first part of the file's name.
        world: gives the rank, and the host where editbench was called from Python: its terminal and its loggers are
            left alone.
    """
    file = None if folder is None else _LogFile(folder / f"{stage}.rank{world.rank}.log")
    if file is not None:
        file.setFormatter(_Line("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    if world.host is not None:
        world.host.take_lines(file)
        return
    ours = logging.getLogger("editbench")
    ours.setLevel(logging.INFO)
    terminal = RichHandler(console=console, show_time=False, show_path=False, show_level=False, markup=False)
    terminal.setLevel(logging.INFO if world.rank == 0 else logging.ERROR)
    terminal.setFormatter(_Message("" if world.size == 1 or world.rank == 0 else f"rank {world.rank}: "))
    ours.handlers = [terminal]
    if file is not None:
        logging.basicConfig(level=logging.WARNING, handlers=[file], force=True)


class _LogFile(logging.FileHandler):
    def __init__(self, path: Path):
        super().__init__(path, encoding="utf-8", delay=True)
        self._folder = path.parent
        self._early: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, once there is a run for it."""
        self._early.append(record)
        if self.stream is None and not (self._folder.parent / "config.yaml").is_file():
            return
        early, self._early = self._early, []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for one in early:
                super().emit(one)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is reported by the write that matters, not by every line of the log."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Line(logging.Formatter):
    """A line of the log file with its traceback, without keys and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return indented(printable(redacted(super().format(record))))


class _Message(logging.Formatter):
    """The message alone, without keys and control characters; a traceback belongs in the log file."""

    def __init__(self, start: str):
        super().__init__()
        self._start = start

    def format(self, record: logging.LogRecord) -> str:
        return indented(printable(redacted(f"{self._start}{record.getMessage()}")))


class Tally:
    """Counts what all ranks have finished and failed; shown on rank 0, which leaves only when all have finished.

    A bar on a terminal, a line every ten seconds elsewhere. The rate is of this launch, so what an earlier one had
    done does not make the remaining time look shorter than it is.
    """

    def __init__(self, world: World, total: int, what: str):
        self._world, self._total, self._what = world, total, what
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._start = time.monotonic()
        self._viewer = threading.Thread(target=self._view, daemon=True)

    def add(self, *, failed: bool) -> None:
        """One more is done, well or not."""
        with self._lock:
            if failed:
                self._world.count("failed", 1)
            self._world.count(f"done by {self._world.rank}", 1)
            self._world.count("done", 1)

    def __enter__(self) -> Self:
        if self._world.rank == 0:
            self._viewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._world.rank != 0:
            return
        try:
            if kind is None:
                self._world.wait_for("done", self._total, "the pairs of the other ranks")
        finally:
            self._stop.set()
            self._viewer.join()

    def _state(self) -> tuple[int, str]:
        with self._lock:
            done, failed = self._world.count("done"), self._world.count("failed")
            by_rank = [self._world.count(f"done by {rank}") for rank in range(self._world.size)]
        rate = done / (time.monotonic() - self._start)
        left = f"{_clock((self._total - done) / rate)} left" if done else "first ones under way"
        speed = f"{rate * 3600:,.0f}/h" if rate < 1 else f"{rate:.1f}/s"
        slow = "" if done == self._total else _lagging(by_rank)
        return done, f"{failed} failed, {speed if done else '–'}, {left if done < self._total else 'done'}{slow}"

    def _view(self) -> None:
        if console.is_terminal:
            self._view_bar()
        else:
            self._view_lines()

    def _view_bar(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn())
        with Progress(*columns, TextColumn("{task.fields[state]}"), console=console, transient=True) as progress:
            task: TaskID = progress.add_task(self._what, total=self._total, state="")
            while True:
                last = self._stop.wait(_LOOK_EVERY_S)
                done, state = self._state()
                progress.update(task, completed=done, state=state)
                if last:
                    break
        self._print_line()

    def _view_lines(self) -> None:
        while not self._stop.wait(_LINE_EVERY_S):
            self._print_line()
        self._print_line()

    def _print_line(self) -> None:
        done, state = self._state()
        console.print(f"{self._what} {done}/{self._total}, {state}", highlight=False, markup=False)


def _lagging(by_rank: Sequence[int]) -> str:
    """Names the rank that has done the least, once the fastest has done twice as much and three more."""
    least, most = min(by_rank), max(by_rank)
    return f", rank {by_rank.index(least)} lags: {least}, the fastest {most}" if most >= 2 * least + 3 else ""


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
