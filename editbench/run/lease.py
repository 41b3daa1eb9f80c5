"""Lets one launch at a time work on a stage of a run: the holder's file, kept alive by a heartbeat.

filelock's `SoftFileLease` (4.3) was tried in its place and is not used: it takes the lease of a killed process of this
machine only after its whole duration (measured: 6.1 s of 6), its record names no pid namespace, so that containers of
one host name can't be told apart, and a holder that lost its lease would still need code of ours to stop.
"""

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
    """A file that a launch creates, touches every `beat_s` seconds and removes at its end.

    It needs no lock of the file system, which shared disks often lack, only exclusive creation. Clocks of two machines
    are never compared: a newcomer watches whether the heartbeat moves. The lease of a dead process of this machine is
    taken at once, another's after `patience_s` seconds without a heartbeat. A holder that loses its lease is stopped
    by SIGTERM.
    """

    def __init__(self, path: Path, *, beat_s: float = 5.0, patience_s: float = 60.0):
        self._path, self._beat_s, self._patience_s = path, beat_s, patience_s
        self._mine = b""
        self._made: list[Path] = []
        self._done = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)

    def take(self) -> None:
        """Hold the lease until the context ends; take it over from a dead holder.

        Raises:
            UsageError: a running launch holds it.
        """
        folder = self._path.parent.absolute()
        self._made = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        mine = json.dumps(asdict(Holder.me())).encode()
        _HELD_HERE.add(mine)  # before the file is there: another thread may read it at once
        try:
            while not (self._make(mine) or self._take_over(mine)):
                pass
        except BaseException:
            _HELD_HERE.discard(mine)
            raise
        self._mine = mine
        self._beating.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._done.set()
        if not self._mine:
            return
        self._beating.join()  # a beat after the removal would take the missing file for a takeover
        _HELD_HERE.discard(self._mine)
        if self._read()[0] == self._mine:
            self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: the run has begun
            for folder in self._made:  # a refused start leaves nothing
                folder.rmdir()

    def _make(self, mine: bytes, mode: str = "xb") -> bool:
        try:
            file = self._path.open(mode)
        except FileExistsError:
            return False
        try:
            with file:
                file.write(mine)
        except OSError:
            self._path.unlink()  # a file without a holder's name would make the next launch wait
            raise
        return True

    def _read(self) -> tuple[bytes | None, int]:
        """The file's content (None: no file) and its modification time, nanoseconds.

        Opened each time, since a network disk may cache an old time.
        """
        try:
            with self._path.open("rb") as file:
                return file.read(), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None, 0

    def _take_over(self, mine: bytes) -> bool:
        """Replace a dead holder's lease; False if the lease has changed or gone meanwhile.

        Raises:
            UsageError: the holder runs, or another newcomer is taking over.
        """
        dead = self._wait_for_a_dead_holder()
        if dead is None:
            return False
        # several newcomers may have seen it dead: a second lease lets one at a time check again and write
        path = self._path.with_name(f"{self._path.name}.taken")
        with Lease(path, beat_s=self._beat_s, patience_s=self._patience_s) as right:
            right.take()
            if self._read()[0] != dead:
                return False
            self._make(mine, "wb")
        log.warning("The launch before this one was killed (%s); what it finished counts.", Holder.parse(dead))
        return True

    def _wait_for_a_dead_holder(self) -> bytes | None:
        """The lease's content once its holder is known to be dead; None if the lease has changed or gone.

        Raises:
            UsageError: the holder runs.
        """
        text, touched = self._read()
        if text is None:
            return None
        holder = Holder.parse(text)
        if text not in _HELD_HERE and holder.is_gone:
            return text
        if text in _HELD_HERE or holder.is_alive:
            raise self._held(holder)
        log.info("%s: waiting up to %.0f s for a heartbeat of %s.", self._path, self._patience_s, holder)
        end = time.monotonic() + self._patience_s
        while time.monotonic() < end:
            time.sleep(self._beat_s / 5)
            text_now, touched_now = self._read()
            if text_now != text:
                return None
            if touched_now != touched:
                raise self._held(holder)
        return text

    def _held(self, holder: "Holder") -> UsageError:
        return UsageError(
            f"{self._path.parent} is in use by {holder}; wait for it, stop it, or give this launch another --run_dir. "
            f"If you know that it is dead, remove {self._path}."
        )

    def _beat(self) -> None:
        while not self._done.wait(self._beat_s):
            with contextlib.suppress(OSError):  # one failed touch: the next beat is soon enough
                if self._read()[0] != self._mine:
                    log.error("%s was taken over by another launch; this one stops.", self._path)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                os.utime(self._path)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that created a lease, as its file names it."""

    host: str = "an unknown machine"
    pid: int = 0
    started: float = 0.0
    """Start of the process, seconds since 1970: process ids are used again."""
    pid_namespace: int = 0
    """Inode of the pid namespace: containers can share a host name; 0: unknown."""
    lease: str = ""
    """Random, since a process may hold several leases one after another."""

    @classmethod
    def me(cls) -> Self:
        """This process."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            pid_namespace=_pid_namespace(),
            lease=secrets.token_hex(4),
        )

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read the holder back; a file that a crash cut short has an unknown holder."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return cls()

    @property
    def is_gone(self) -> bool:
        """Whether the process is known to be dead: it would run on this machine and does not.

        A restarted container may give this process the dead holder's id.
        """
        return self._is_here and (self._process is None or self.pid == os.getpid())

    @property
    def is_alive(self) -> bool:
        """Whether the process is known to run; where neither is known, the heartbeat decides.

        A process with another start is another one, or the clock was set in between, from which starts are computed.
        """
        process = self._process if self._is_here else None
        return process is not None and abs(process.create_time() - self.started) < 60

    @property
    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            # a zombie stays listed until its parent waits for it, which in a container may be never
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    @property
    def _is_here(self) -> bool:
        return (self.host, self.pid_namespace) == (socket.gethostname(), _pid_namespace())

    def __str__(self) -> str:
        if not self.pid:
            return "an unknown launch (its lock file is damaged)"
        since = datetime.fromtimestamp(self.started, UTC)
        return f"process {self.pid} on {self.host}, started {since:%Y-%m-%d %H:%M:%S} UTC"


_HELD_HERE: set[bytes] = set()
"""Leases that this process holds: its own id in a file does not make the file's holder this process."""


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0
