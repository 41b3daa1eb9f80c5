"""The changes that a program makes below one folder: recorded, laid out again up to any point, made to fail there."""

import builtins
import errno
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Op:
    """One change to the folder, by names below it."""

    kind: str
    """`mkdir`, `rmdir`, `create`, `write`, `truncate`, `sync`, `rename` or `remove`."""
    name: str
    place: int = 0
    """Of a write: where in the file. Of a truncation: the new size."""
    data: bytes = b""
    target: str = ""
    """Of a rename."""


class Recorder:
    """Sees what Python code changes below `root` through `open`, `pathlib` and `os`, in the order in which it happens.

    What is below `logs` is not looked at: nothing reads it. At change number `fail_at` the disk is full: half of a
    write gets through, anything else not at all.
    """

    def __init__(self, root: Path, fail_at: int | None = None):
        self.ops: list[Op] = []
        self._root, self._fail_at = os.path.realpath(root), fail_at
        self._lock = threading.RLock()
        self._names: dict[int, str] = {}

    def name(self, path: Any) -> str | None:
        """The path below the root, or None when it is of no interest."""
        if isinstance(path, int):
            return self._names.get(path)
        full = os.path.abspath(os.fsdecode(path))
        name = os.path.relpath(full, self._root)
        return None if name.startswith(("..", "logs")) else name

    def forget(self, handle: int) -> None:
        self._names.pop(handle, None)

    def do(self, op: Op, act: Callable[[Op], Any]) -> Any:
        with self._lock:
            number = len(self.ops)
            self.ops.append(op)
            if number == self._fail_at:
                if op.kind == "write":
                    act(Op("write", op.name, op.place, op.data[: len(op.data) // 2]))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None if op.kind == "write" else op.name)
            return act(op)

    @contextmanager
    def recording(self) -> Iterator["Recorder"]:
        with pytest.MonkeyPatch.context() as patch:
            opened = io.open
            for module in (io, builtins):
                patch.setattr(module, "open", lambda *args, **kwargs: self._open(opened, *args, **kwargs))
            for function, kind in (("mkdir", "mkdir"), ("rmdir", "rmdir"), ("unlink", "remove"), ("remove", "remove")):
                patch.setattr(os, function, self._wrapped(getattr(os, function), kind))
            for function in ("rename", "replace"):
                patch.setattr(os, function, self._renaming(getattr(os, function)))
            patch.setattr(os, "fsync", self._wrapped(os.fsync, "sync"))
            yield self

    def _wrapped(self, real: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            name = self.name(path)
            changes_nothing = {
                "mkdir": lambda: os.path.exists(path),
                "remove": lambda: not _exists(path),
                "rmdir": lambda: not _exists(path) or bool(os.listdir(path)),
            }
            if name is None or changes_nothing.get(kind, lambda: False)():
                return real(path, *args, **kwargs)
            return self.do(Op(kind, name), lambda _: real(path, *args, **kwargs))

        return call

    def _renaming(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, target: Any) -> Any:
            op = Op("rename", self.name(source) or "", target=self.name(target) or "")
            return self.do(op, lambda _: real(source, target)) if op.name else real(source, target)

        return call

    def _open(self, real: Callable[..., Any], file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kw: Any):
        name = None if isinstance(file, int) else self.name(file)
        if name is None or not set(mode) & set("wxa+"):
            return real(file, mode, buffering, *args, **kw)
        assert "b" in mode, f"{name} is written as text: this recorder knows bytes only"
        fresh = "w" in mode or not _exists(file)
        make: Callable[[Op], _File] = lambda _: _File(self, name, os.fspath(file), mode.replace("b", ""))  # noqa: E731
        raw = self.do(Op("create", name), make) if fresh else make(Op("", name))
        self._names[raw.fileno()] = name
        return raw if buffering == 0 else io.BufferedWriter(raw)


class _File(io.FileIO):
    def __init__(self, recorder: Recorder, name: str, path: str, mode: str):
        super().__init__(path, mode)
        self._recorder, self._below = recorder, name

    def close(self) -> None:
        if not self.closed:
            self._recorder.forget(self.fileno())  # its number goes to whatever is opened next
        super().close()

    def write(self, data: Any) -> int:
        written = super().write
        return self._recorder.do(Op("write", self._below, self.tell(), bytes(data)), lambda op: written(op.data))

    def truncate(self, size: int | None = None) -> int:
        cut, size = super().truncate, self.tell() if size is None else size
        return self._recorder.do(Op("truncate", self._below, size), lambda _: cut(size))


def _exists(path: Any) -> bool:
    return os.path.lexists(path)


@dataclass
class Disk:
    """A folder in memory, to which recorded changes are made one by one."""

    folders: set[str] = field(default_factory=set)
    files: dict[str, bytearray] = field(default_factory=dict)
    synced: dict[str, bytes] = field(default_factory=dict)
    """What of each file would outlast a power cut."""

    def apply(self, op: Op) -> None:
        match op.kind:
            case "mkdir":
                self.folders.add(op.name)
            case "rmdir":
                self.folders.discard(op.name)
            case "create":
                self.files[op.name], self.synced[op.name] = bytearray(), b""
            case "write":
                self.files[op.name][op.place : op.place + len(op.data)] = op.data
            case "truncate":
                del self.files[op.name][op.place :]
            case "sync" if op.name in self.files:
                self.synced[op.name] = bytes(self.files[op.name])
            case "rename":
                self.files[op.target], self.synced[op.target] = self.files.pop(op.name), self.synced.pop(op.name)
            case "remove":
                del self.files[op.name], self.synced[op.name]

    def after_kill(self) -> "State":
        return State(frozenset(self.folders), {name: bytes(data) for name, data in self.files.items()})

    def after_power_cut(self) -> "State":
        return State(frozenset(self.folders), dict(self.synced))


@dataclass(frozen=True)
class State:
    """What a folder holds."""

    folders: frozenset[str]
    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr((sorted(self.folders), sorted(self.files.items()))).encode()).hexdigest()

    def lay_out(self, root: Path) -> None:
        for name in sorted(self.folders):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)


def states(ops: Sequence[Op], records: Callable[[State], set[str]]) -> list[tuple[State, set[str]]]:
    """Every different state that a crash during these changes can leave, and the records that must outlast it.

    After each change; within each write, torn in its middle; and after each change with a power cut, which takes what
    was written but not synced, while names stay. A record must outlast a crash once it has been safe from a power cut.
    """
    disk, safe = Disk(), set[str]()
    found: dict[str, tuple[State, set[str]]] = {}
    for op in ops:
        left: list[State] = []
        if op.kind == "write":
            torn = Disk(set(disk.folders), {name: bytearray(data) for name, data in disk.files.items()})
            torn.apply(Op("write", op.name, op.place, op.data[: len(op.data) // 2]))
            left.append(torn.after_kill())
        disk.apply(op)
        left += [disk.after_kill(), disk.after_power_cut()]
        for state in left:
            _, before = found.get(state.digest, (state, set[str]()))
            found[state.digest] = (state, before | safe | records(state))
        safe |= records(disk.after_power_cut())
    return list(found.values())
