"""How a process stops at a signal: what it works on is dropped, and it ends within seconds."""

import os
import select
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

from editbench.process.terminal import say

GRACE_S = 3.0
"""How long the unwinding may take; a scheduler's own patience is 30 s, torchrun's too."""

# Slurm's --signal sends SIGUSR1 before a job's time is up
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stopped(BaseException):
    """The process got a signal to stop; not an Exception, so that nobody takes it for a pair's failure."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number
        """The exit code that a shell gives for this signal: 143 for SIGTERM, 130 for SIGINT."""


def stop_on_signals() -> None:
    """From now on SIGTERM, SIGINT, SIGUSR1 and SIGHUP raise `Stopped` in the main thread, once.

    Where that thread is in foreign code that does not return, or cleaning up takes longer than `GRACE_S`, the process
    ends all the same, and at once at a second SIGINT: what counts on disk was written whole before. SIGHUP stays
    ignored where it is, as under nohup.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in stopping():
        signal.signal(number, _raise_stopped)
    threading.Thread(target=_end_in_time, args=(read_end,), name="signals", daemon=True).start()


def stopping() -> tuple[signal.Signals, ...]:
    """The signals that end a process of ours."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return _STOPPING if ignored else (*_STOPPING, signal.SIGHUP)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    for ours in stopping():  # a second exception would break off the cleaning up after the first
        signal.signal(ours, lambda number, frame: None)
    raise Stopped(number)


def _end_in_time(read_end: int) -> NoReturn:
    """Woken by the interpreter's C handler, which does not need the main thread."""
    first = os.read(read_end, 1)[0]
    say(f"stopping: {signal.Signals(first).name}")
    end = time.monotonic() + GRACE_S
    while select.select([read_end], [], [], max(0.0, end - time.monotonic()))[0]:
        if os.read(read_end, 1)[0] == first == signal.SIGINT:
            break
    os._exit(128 + first)
