"""Files that no crash can spoil: written whole or not at all, or a line at a time with the last one alone at risk."""

import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from editbench.records import Record

R = TypeVar("R", bound=Record)
log = logging.getLogger(__name__)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary name beside it, synced, renamed, the folder synced.

    The temporary name follows from the path, so a write that a crash cut short leaves nothing once it is done again.

    Raises:
        OSError: the disk is full or the folder can't be written; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            # a network disk whose answer was lost asks again, and then there is nothing left to rename
            if path.read_bytes() != data:
                raise
    except BaseException as error:
        _name_file(error, path)
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _name_file(error: BaseException, path: Path) -> None:
    """A write that fails does not say of which file, and the user needs to know which disk is full."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        # a lone surrogate (of a file name in an error, say) becomes its JSON escape
        rest = record.to_json().encode(errors="backslashreplace") + b"\n"
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


def read_records(path: Path, kind: type[R]) -> list[R]:
    """The file's records in order; a line that can't be read is left out and said so, for its pair is then redone.

    A missing file has no records.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    records: list[R] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            records.append(kind.from_json(line.decode()))
        except ValueError as error:
            log.warning("%s, line %d: incomplete record dropped (%s)", path, number, error)
    return records
