"""How a process stops when it is told to: what it has under way is dropped, and it is gone within seconds."""

import os
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

GRACE_S = 3.0
"""How long the unwinding may take; a scheduler's own patience is 30 s, torchrun's too."""

# Slurm's --signal sends SIGUSR1 before a job's time is up
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stopped(BaseException):
    """The process was told to stop; not an Exception, so nobody takes it for a pair's failure."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number
        """The exit code that a shell gives for this signal: 143 for SIGTERM, 130 for SIGINT."""


def stop_on_signals() -> None:
    """From now on SIGTERM, SIGINT and SIGUSR1 raise `Stopped` in the main thread, once.

    Where that thread is in foreign code that does not return, or cleaning up takes longer than `GRACE_S`, the process
    ends all the same, and at once at a second SIGINT: whatever counts on disk was written whole before.
    """
    told, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in _STOPPING:
        signal.signal(number, _raise_stopped)
    threading.Thread(target=_see_to_it, args=(told,), name="signals", daemon=True).start()


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    for ours in _STOPPING:  # a second exception would break off the cleaning up after the first
        signal.signal(ours, lambda number, frame: None)
    raise Stopped(number)


def _see_to_it(told: int) -> NoReturn:
    """Woken by the interpreter's C handler, which needs no turn of the main thread's."""
    first = os.read(told, 1)[0]
    sys.stderr.write(f"stopping: {signal.Signals(first).name}\n")
    end = time.monotonic() + GRACE_S
    while select.select([told], [], [], max(0.0, end - time.monotonic()))[0]:
        if os.read(told, 1)[0] == first == signal.SIGINT:
            break
    os._exit(128 + first)
