"""Files that survive a crash: written whole or not at all, or appended line by line with only the last line at risk."""

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from editbench.errors import UsageError
from editbench.records import Record

R = TypeVar("R", bound=Record)
log = logging.getLogger(__name__)
_PIECE = 2**20  # bytes read at once


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary name beside it, synced, renamed, the folder synced.

    The temporary name follows from the path, so a write that a crash interrupted leaves nothing after it is repeated.

    Raises:
        OSError: the disk is full or the folder cannot be written; the temporary file is removed.
    """

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomic_by(path, write)


def write_atomic_by(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """The same for a file that is too large to be held at once: `write` gets it open.

    Raises:
        OSError: as `write_atomic` does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            written = os.fstat(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            # a network disk that lost its answer repeats the rename, and then the temporary file is already gone
            if not os.path.samestat(written, path.stat()):
                raise
    except BaseException as error:
        _name_file(error, path)
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Make these the file's records, in the same way; a file that already holds exactly them is left alone.

    Raises:
        OSError: as `write_atomic` does.
    """
    data = b"".join(to_line(record) for record in records)
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return
    write_atomic(path, data)


def to_line(record: Record) -> bytes:
    """The record as it stands in a file."""
    return record.to_json() + b"\n"


def _name_file(error: BaseException, path: Path) -> None:
    """Add the file's name to an error of writing, which does not say which disk is full."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network and FUSE disks cannot sync a folder; the file itself is synced
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def refuse_unwritable(*folders: Path) -> None:
    """See, without writing, that files can be made in these folders, and those folders that are not there yet.

    Raises:
        UsageError: a disk that is read-only, a folder of somebody else's, a file in a folder's place, too long a name.
    """
    for folder in folders:
        place = folder.absolute()
        try:
            while not _is_there(place):
                place = place.parent
        except OSError as error:
            raise UsageError(f"{error.strerror}: {folder}; give another path") from error
        if not place.is_dir():
            raise UsageError(f"Not a directory: {place}; give another path than {folder}")
        if not os.access(place, os.W_OK | os.X_OK):
            read_only = os.statvfs(place).f_flag & os.ST_RDONLY
            why = os.strerror(errno.EROFS if read_only else errno.EACCES)
            raise UsageError(f"{why}: {place}; make it writable, or give another path than {folder}")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def is_file(path: str, digest: str | None) -> bool:
    """Whether the file is there, byte for byte as the SHA-256 says, 64 hexadecimal digits."""
    found = hashlib.sha256()
    try:
        handle = os.open(path, os.O_RDONLY)  # not open: of 100,000 small files, two thirds of its time
    except FileNotFoundError:
        return False
    try:
        while piece := os.read(handle, _PIECE):
            found.update(piece)
    finally:
        os.close(handle)
    return found.hexdigest() == digest


class Part:
    """One process's own records of one launch: a line appended and synced at a time, so at most one can be torn."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered: closing would write what a full disk left in a buffer, after the line was taken back
        self._file = path.open("xb", buffering=0)
        _sync_folder(path.parent)

    def append(self, record: Record) -> None:
        """Add one line and sync it; what a full disk cut short is taken back before the error goes on.

        Raises:
            OSError: the disk is full or gone.
        """
        start = self._file.tell()
        rest = to_line(record)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            _name_file(error, Path(self._file.name))
            self._file.seek(start)
            self._file.truncate()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._file.close()


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a file in order; a missing file has none.

    A line that cannot be read is left out with a warning: its pair is then redone.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, 1):
            try:
                yield kind.from_json(line)
            except ValueError as error:
                log.warning("%s, line %d: incomplete record dropped (%s)", path, number, error)
