"""The pictures of a row, in any of the forms that data sets hold them: a path, base64, bytes, or `{bytes, path}`."""

import base64
import functools
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editbench.benchmark.defects import kind, shown
from editbench.images import MAX_BYTES

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_DATA_URI = re.compile(r"data:[^,]{0,100},", re.IGNORECASE)
_BYTES_TEXT = re.compile(r"""b['"](\\x|[ -~])""")
# how the base64 of a PNG, JPEG, WebP, GIF, TIFF, AVIF or JPEG 2000 begins; no relative path does
_BASE64 = re.compile(
    r"(iVBORw0KGgo|[/_]9j[/_]|UklGR|R0lGODlh|R0lGODdh|SUkqA|TU0AK|AAAA[A-Z][A-Za-z0-9+/_-]Z0eXB|AAAADGpQ)"
)
_SHORTEST = 40  # characters of base64; no encoded picture is smaller


class PictureError(ValueError):
    """What is wrong with a picture's value and what to do, after the field's name."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture's encoded bytes."""

    data: bytes
    path: str | None
    """Below the folder of images, where the picture is a file of its own."""


class Places:
    """The folders that the pictures of one file of a benchmark may stand in."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Look for a path below `folder`, the file's own, then below `root`, the folder of all images.

        Links may lead to the blobs of the same repository in the hub's cache, where the root is one of its snapshots.
        """
        self._root = root
        self._starts = list(dict.fromkeys((str(folder), str(root))))
        self._allowed = [_real(str(root)), *([_real(blobs)] if (blobs := _blobs(root)) else [])]

    def read(self, path: str) -> Found:
        """The bytes of a file.

        Raises:
            PictureError: there is no such file, it lies elsewhere, or it cannot be read.
        """
        if found := _URL.match(path):
            why = "it may change or vanish between two runs" if found[1].lower() in ("http", "https") else "no path"
            raise PictureError(f"{shown(path)} is a URL, and {why}; download the image and give its path")
        if os.path.isabs(path):
            raise PictureError(f"{shown(path)} leaves the folder {self._root}; give a path below it")
        for start in self._starts:
            full, there = _look(start, path)
            if there is None or not stat.S_ISREG(there.st_mode):
                continue
            if not any(full.startswith(allowed) for allowed in self._allowed):
                raise PictureError(
                    f"{shown(path)} leaves the folder {self._root}: it leads to {full}; give a path below the folder, "
                    "or name with --images a folder that holds both"
                )
            try:
                with open(full, "rb", buffering=0) as file:  # a buffer takes longer to make than a small file to read
                    data = file.read(-1 if there.st_size <= MAX_BYTES else MAX_BYTES + 1)
            except OSError as error:
                raise PictureError(f"{shown(path)} cannot be read ({error.strerror}); make it readable") from error
            return Found(data, path if start == str(self._root) else os.path.relpath(f"{start}/{path}", self._root))
        link = f" (a link to {os.readlink(broken)})" if os.path.islink(broken := f"{self._starts[0]}/{path}") else ""
        where = " or ".join(self._starts)
        raise PictureError(f"there is no file {shown(path)}{link} in {where}; add it or correct the path")


def values_of(value: object) -> list[Any]:
    """The single pictures of a cell: of a list its items; a text that is a JSON list of texts counts as one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        import json

        try:
            listed: Any = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
        return listed if isinstance(listed, list) and listed else [value]  # pyright: ignore[reportUnknownVariableType]
    return list(value) if isinstance(value, list | tuple) else [value]  # pyright: ignore[reportUnknownArgumentType]


def read_picture(value: object, places: Places, *, is_base64: bool = False) -> Found:
    """The encoded bytes of one picture.

    Args:
        value: a cell, or an item of one.
        places: where paths lead.
        is_base64: whether a text is base64 whatever it looks like.

    Raises:
        PictureError: it is in none of the forms, or its file cannot be read.
    """
    if isinstance(value, Mapping):
        held: Any = value.get("bytes")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        path: Any = value.get("path")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if held is not None:
            return read_picture(held, places, is_base64=True)
        if isinstance(path, str):
            return read_picture(path, places)
        raise PictureError("is an object without bytes and path; give the image's path or its bytes in base64")
    if isinstance(value, bytes | bytearray | memoryview):
        return Found(bytes(value), None)
    if not isinstance(value, str):
        raise PictureError(f"is {kind(value)}; give text")
    if _DATA_URI.match(value):
        head, _, text = value.partition(",")
        if not head.lower().endswith(";base64"):
            raise PictureError(f"{shown(head)} is a data URI without base64; encode the image file's bytes as base64")
        return Found(_decode(text), None)
    if _BYTES_TEXT.match(value):
        raise PictureError("is the text that Python prints for bytes, b'…'; write base64.b64encode(data).decode()")
    if is_base64 or (len(value) >= _SHORTEST and _BASE64.match(value)):
        return Found(_decode(value), None)
    return places.read(value)


def looks_like_picture(value: object) -> bool:
    """Whether a cell that nothing names holds a picture, so that it is no field of a pair."""
    if isinstance(value, bytes | bytearray | memoryview):
        return True
    if isinstance(value, Mapping):
        return "bytes" in value
    if isinstance(value, str):
        return len(value) >= _SHORTEST and bool(_BASE64.match(value) or _DATA_URI.match(value))
    return isinstance(value, Sequence) and any(map(looks_like_picture, value))  # pyright: ignore[reportUnknownArgumentType]


def _decode(text: str) -> bytes:
    text = "".join(text.split()).translate(_FROM_URL_SAFE)
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except ValueError as error:
        raise PictureError(f"is not base64 ({error}); encode the image file's bytes again") from error


_FROM_URL_SAFE = str.maketrans("-_", "+/")


def _look(start: str, path: str) -> tuple[str, os.stat_result | None]:
    """The file itself, whatever links lead to it, and what stands there; None: nothing that could be looked at."""
    folder, name = os.path.split(path)
    full = _real(start, folder) + name
    there = _stat(full)
    if (there is not None and stat.S_ISLNK(there.st_mode)) or name in (os.curdir, os.pardir):
        full = os.path.realpath(full)
        there = _stat(full)
    return full, there


@functools.lru_cache(1024)
def _real(folder: str, below: str = "") -> str:
    """The folder itself, whatever links lead to it, with a slash at its end."""
    return os.path.join(os.path.realpath(os.path.join(folder, below)), "")


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _blobs(root: Path) -> str | None:
    """The blobs of the repository of which `root` is a snapshot, or part of one, in the hub's cache."""
    for folder in (root.absolute(), *root.absolute().parents):
        if folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir():
            return str(folder.parent.parent / "blobs")
    return None
