"""Files that no crash can spoil: written whole or not at all, or a line at a time with the last one alone at risk."""

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, Self, TypeVar

from editbench.errors import UsageError
from editbench.records import Record

R = TypeVar("R", bound=Record)
log = logging.getLogger(__name__)
_PIECE = 2**20  # bytes read at once
_MOST_OPEN = 100  # of the 1,024 files that a process may have open


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary name beside it, synced, renamed, the folder synced.

    The temporary name follows from the path, so a write that a crash cut short leaves nothing once it is done again.

    Raises:
        OSError: the disk is full or the folder can't be written; the temporary file is removed.
    """
    _write(path, (data,))


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Make these a file's records in the same way; nothing is written where they are that already.

    Raises:
        OSError: as `write_atomic` does.
    """
    write_lines(path, lambda: map(to_line, records))


def write_lines(path: Path, lines: Callable[[], Iterable[bytes]]) -> None:
    """The same for lines of records, of which a caller need not hold more than one: `lines` gives them once or twice.

    Raises:
        OSError: as `write_atomic` does.
    """
    if not _holds(path, lines()):
        _write(path, lines())


def to_line(record: Record) -> bytes:
    """The record as it stands in a file."""
    # a lone surrogate (of a file name in an error, say) becomes its JSON escape
    return record.to_json().encode(errors="backslashreplace") + b"\n"


def _holds(path: Path, lines: Iterable[bytes]) -> bool:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        return all(there == line for there, line in zip_longest(file, lines))


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            written = os.fstat(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            # a network disk whose answer was lost asks again, and then there is nothing left to rename
            if not os.path.samestat(written, path.stat()):
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


class RecordFiles(Generic[R]):
    """Files of records, of which memory need hold no more than a place each: a number by which to read it again.

    A file stays open once it was read, so that its places hold even when another launch puts a new one under its name
    or removes it. Where there are more than `_MOST_OPEN`, those opened first are opened anew, which is an OSError when
    that has happened.
    """

    def __init__(self, kind: type[R], paths: Sequence[Path]):
        self._kind, self._paths = kind, paths
        self._open: dict[int, BinaryIO] = {}
        self._found: dict[int, os.stat_result] = {}

    def __iter__(self) -> Iterator[tuple[int, R]]:
        """All records in order, with their places.

        A line that can't be read is left out and said so, for its pair is then redone. A missing file has no records.
        """
        for number in reversed(range(len(self._paths))):  # a merge removes a part when the first file has its records
            with contextlib.suppress(FileNotFoundError):
                self._file(number)
        for number in sorted(self._found):
            path, start, line_number = self._paths[number], 0, 0
            while lines := self._lines(number, start):
                for line in lines:
                    line_number += 1
                    try:
                        yield start * len(self._paths) + number, self._kind.from_json(line.decode())
                    except ValueError as error:
                        log.warning("%s, line %d: incomplete record dropped (%s)", path, line_number, error)
                    start += len(line)

    def newest(self) -> dict[str, int]:
        """By pair id, the place of its last record."""
        return {record.pair_id: place for place, record in self}

    def at(self, place: int) -> R:
        """The record there."""
        return self._kind.from_json(self.line(place).decode())

    def line(self, place: int) -> bytes:
        """The record there as it stands in its file, with the line break that the last one may lack."""
        start, number = divmod(place, len(self._paths))
        (line,) = self._lines(number, start, 1)
        return line if line.endswith(b"\n") else line + b"\n"

    def _lines(self, number: int, start: int, num_bytes: int = _PIECE) -> list[bytes]:
        """Whole lines of a file from there on, of about that many bytes."""
        file = self._file(number)
        file.seek(start)  # as often as needed: a record may be asked for between two others
        return file.readlines(num_bytes)

    def _file(self, number: int) -> BinaryIO:
        if number not in self._open:
            if len(self._open) == _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            file = self._paths[number].open("rb")
            found = os.fstat(file.fileno())
            if not os.path.samestat(found, self._found.setdefault(number, found)):
                file.close()
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self._paths[number]))
            self._open[number] = file
        return self._open[number]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        while self._open:
            self._open.popitem()[1].close()


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of one file, as `RecordFiles` gives them."""
    with RecordFiles(kind, (path,)) as files:
        for _, record in files:
            yield record
