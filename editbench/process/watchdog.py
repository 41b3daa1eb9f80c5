"""A process that hangs in one piece of work ends itself, and says where it hung."""

import faulthandler
import logging
import os
import sys
import threading
import time
from types import TracebackType
from typing import NoReturn, Self

log = logging.getLogger(__name__)
CODE = 3


class Watchdog:
    """Ends the process with code 3 when a piece of work takes longer than `limit_s`.

    A call that waits for a GPU for ever can't be interrupted from within; all that is finished is on disk, so the
    next launch continues from there.
    """

    def __init__(self, limit_s: float):
        self._limit_s = limit_s
        self._work: tuple[str, float] | None = None
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def begin(self, what: str) -> None:
        """A piece of work starts, and the one before it is over."""
        self._work = (what, time.monotonic())

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._done.set()

    def _watch(self) -> None:
        while not self._done.wait(min(1.0, self._limit_s / 4)):
            if self._work is not None and time.monotonic() - self._work[1] > self._limit_s:
                self._end(*self._work)

    def _end(self, what: str, start: float) -> NoReturn:
        log.critical("%s has hung for %.0f s: this process ends.", what, time.monotonic() - start)
        faulthandler.dump_traceback(sys.stderr)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                faulthandler.dump_traceback(handler.stream.fileno())
        os._exit(CODE)
