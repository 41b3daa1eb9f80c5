"""One launch at a time works on a stage of a run: who holds it says so in a file, with a heartbeat."""

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from editbench.errors import UsageError

log = logging.getLogger(__name__)


class Lease:
    """A file that one launch makes and touches every few seconds until it is done.

    It needs no lock of the file system's, which shared disks often lack, only that making a file can fail because it
    is there; and no two machines' clocks are compared: a newcomer watches whether the heartbeat moves. A holder of
    this machine whose process is gone is known at once, another after `patience_s` without a heartbeat.
    """

    def __init__(self, path: Path, *, beat_s: float = 5.0, patience_s: float = 60.0):
        self._path, self._beat_s, self._patience_s = path, beat_s, patience_s
        self._mine = b""
        self._done = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)

    def take(self) -> None:
        """Hold the lease from now on, for a dead holder if need be.

        Raises:
            UsageError: a living launch holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        mine = json.dumps(asdict(_Holder.me())).encode()
        while not (self._make(mine) or self._take_over(mine)):
            pass
        self._mine = mine
        self._beating.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._done.set()
        if not self._mine:
            return
        self._beating.join()  # or it might miss the lease that is given back here
        if self._read()[0] == self._mine:
            self._path.unlink(missing_ok=True)

    def _make(self, mine: bytes, mode: str = "xb") -> bool:
        try:
            file = self._path.open(mode)
        except FileExistsError:
            return False
        try:
            with file:
                file.write(mine)
        except OSError:
            self._path.unlink()  # or the next launch would wait for a holder that cannot be told
            raise
        return True

    def _read(self) -> tuple[bytes | None, int]:
        """What the file says, None if there is none, and when it was touched.

        It is opened anew each time, since a network disk may remember an old time.
        """
        try:
            with self._path.open("rb") as file:
                return file.read(), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None, 0

    def _take_over(self, mine: bytes) -> bool:
        """Put `mine` in a dead holder's place; False if the lease there has changed or gone meanwhile.

        Raises:
            UsageError: the holder lives, or another newcomer that is doing the same.
        """
        dead = self._wait_for_a_dead_holder()
        if dead is None:
            return False
        # many may have seen it dead: one at a time looks again and writes, and its right to is a lease as well
        path = self._path.with_name(f"{self._path.name}.taken")
        with Lease(path, beat_s=self._beat_s, patience_s=self._patience_s) as right:
            right.take()
            if self._read()[0] != dead:
                return False
            self._make(mine, "wb")
        log.warning(
            "The launch before this one did not end by itself (%s); what it finished counts.", _Holder.parse(dead)
        )
        return True

    def _wait_for_a_dead_holder(self) -> bytes | None:
        """The text of the lease when its holder is known to be dead; None if the lease has changed or gone.

        Raises:
            UsageError: the holder lives.
        """
        text, touched = self._read()
        if text is None:
            return None
        holder = _Holder.parse(text)
        if holder.is_gone:
            return text
        if holder.is_alive:
            raise self._held(holder)
        log.info("%s: waiting up to %.0f s to see whether %s lives.", self._path, self._patience_s, holder)
        end = time.monotonic() + self._patience_s
        while time.monotonic() < end:
            time.sleep(self._beat_s / 5)
            text_now, touched_now = self._read()
            if text_now != text:
                return None
            if touched_now != touched:
                raise self._held(holder)
        return text

    def _held(self, holder: "_Holder") -> UsageError:
        return UsageError(
            f"{self._path.parent} is being worked on by {holder}; wait for it or end it, or give this launch a run of "
            f"its own (--run_dir). If you know that it is gone, remove {self._path}."
        )

    def _beat(self) -> None:
        while not self._done.wait(self._beat_s):
            with contextlib.suppress(OSError):  # a disk that hiccups: the next beat will do
                if self._read()[0] != self._mine:
                    log.error("%s was taken over by another launch; this one stops.", self._path)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                os.utime(self._path)


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """The process that made a lease, as its file tells."""

    host: str = "an unknown machine"
    pid: int = 0
    started: float = 0.0
    """When the process was, seconds since 1970: a process id is given again, to a process of another time."""
    numbers: int = 0
    """Of the space of process ids: a container may have its machine's name and ids of its own; 0: not known."""
    lease: str = ""
    """Drawn for this one lease: a process may hold several, one after another."""

    @classmethod
    def me(cls) -> Self:
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            numbers=_numbers(),
            lease=secrets.token_hex(4),
        )

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read back what `me` was written as; a file that a crash cut short is of an unknown holder."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return cls()

    @property
    def is_gone(self) -> bool:
        """Whether it can be seen from here that the process is no more."""
        return self._is_here and self._process is None

    @property
    def is_alive(self) -> bool:
        """Whether it can be seen from here that it works; where neither can, its heartbeat tells.

        A process with another start is another one, or the clock was set meanwhile, from which starts are reckoned.
        """
        process = self._process if self._is_here else None
        return process is not None and abs(process.create_time() - self.started) < 60

    @property
    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            # a dead one stays in the list until its parent asks, and in a container nobody may
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    @property
    def _is_here(self) -> bool:
        return (self.host, self.numbers) == (socket.gethostname(), _numbers())

    def __str__(self) -> str:
        if not self.pid:
            return "a launch that cannot be told"
        since = datetime.fromtimestamp(self.started, UTC)
        return f"process {self.pid} on {self.host}, started {since:%Y-%m-%d %H:%M:%S} UTC"


def _numbers() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0
