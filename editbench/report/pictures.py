"""The page's pictures: a small copy of each, made once, so that a page of thousands opens at once."""

import base64
import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from editbench.images import decode
from editbench.run.durable import write_atomic
from editbench.run.run_dir import key
from editbench.stats.outcomes import RunRecords

log = logging.getLogger(__name__)

FOLDER = "thumbnails"
_SIDE = 400
"""Longest side of a thumbnail, pixels: a card shows it at 180 to 400 of the page's."""
_QUALITY = 75
_MANY = 200  # that take longer than a blink


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image as the page shows it."""

    url: str
    """Of the thumbnail: relative to the page and quoted, or all of it as `data:`."""
    full: str | None
    """Of the image itself, relative and quoted; None on a page that stands alone."""
    width: int
    """Of the image itself, pixels."""
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """An image of a run, and where its thumbnail stands."""

    image: Path
    thumbnail: Path
    width: int
    height: int


Pictures = Mapping[tuple[Path, str], Picture]
"""By run directory and path below it; an image that can't be shown is not in it."""


def make_pictures(
    runs: Sequence[RunRecords], pair_ids: Iterable[str], out: Path, *, standalone: bool = False
) -> Pictures:
    """A thumbnail of each picture of these pairs, in `out/thumbnails` unless it is there, for a page in `out`.

    Pictures are sources, references and edits with all tries. A thumbnail is named by its image's recorded path and
    hash, so an image that was made again gets a new one.

    Args:
        runs: whose images.
        pair_ids: those that the page shows.
        out: the page's folder.
        standalone: give each as a `data:` address, and no address of the image itself.

    Raises:
        OSError: the folder can't be written.
    """
    shown = set(pair_ids)
    recorded = [(run.root, *image) for run in runs for image in _recorded(run, shown)]
    files = {(root, path): _file(root, path, sha256, out) for root, path, sha256 in recorded}
    found = {name: file for name, file in files.items() if file is not None}
    missing = {file.thumbnail: file for file in found.values() if not file.thumbnail.exists()}
    if len(missing) > _MANY:
        log.info("%d thumbnails are made, once.", len(missing))
    broken = _write(list(missing.values()))
    return {
        name: Picture(
            url=_embedded(file.thumbnail) if standalone else _address(file.thumbnail, out),
            full=None if standalone else _address(file.image, out),
            width=file.width,
            height=file.height,
        )
        for name, file in found.items()
        if file.image not in broken
    }


def _recorded(run: RunRecords, shown: Set[str]) -> Iterator[tuple[str, str]]:
    """Path and hash of the sources, references and edits of each of these pairs."""
    for pair in run.pairs:
        if pair.pair_id not in shown:
            continue
        for path, source in zip(run.sources.get(pair.pair_id, ()), pair.sources, strict=False):
            yield path, source.sha256
        for name, path in run.references.get(pair.pair_id, {}).items():
            yield path, pair.references[name].sha256 if name in pair.references else ""
        for number in range(run.num_tries):
            edit = run.edits.get((pair.pair_id, number))
            if edit is not None and edit.image is not None:
                yield edit.image, edit.sha256 or ""


def _file(root: Path, path: str, sha256: str, out: Path) -> _File | None:
    """The image below `root`; None when there is none that can be shown."""
    if (found := image_below(root, path)) is None:
        return None
    image, (width, height) = found
    thumbnail = out / FOLDER / f"{key(path=path, sha256=sha256)}.webp"
    return _File(image=image, thumbnail=thumbnail, width=width, height=height)


def image_below(root: Path, path: str) -> tuple[Path, tuple[int, int]] | None:
    """A run's image with its width and height in pixels; None where the path leads out of the run or to no image."""
    from PIL import Image

    base = Path(os.path.abspath(root))
    image = Path(os.path.abspath(base / path))
    if not image.is_relative_to(base):  # a record can't make a page show another file of this machine
        return None
    try:
        with Image.open(image, formats=("PNG", "JPEG", "WEBP")) as opened:
            return image, opened.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _write(files: Sequence[_File]) -> set[Path]:
    """Write these thumbnails; returns the images that are broken behind their headers."""
    broken: set[Path] = set()
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow lets other threads work while it decodes and encodes
    try:
        for file, small in zip(files, pool.map(_shrink, files), strict=True):
            if small is None:
                broken.add(file.image)
            else:
                write_atomic(file.thumbnail, small)
    finally:
        pool.shutdown(cancel_futures=True)  # on a stop or a full disk the waiting thumbnails are dropped
    return broken


def _shrink(file: _File) -> bytes | None:
    try:
        image = decode(file.image.read_bytes())
    except ValueError as error:
        log.warning("%s is not shown: it %s", file.image, error)
        return None
    image.thumbnail((_SIDE, _SIDE))
    small = io.BytesIO()
    image.save(small, "WEBP", quality=_QUALITY, method=2)
    return small.getvalue()


def _address(file: Path, out: Path) -> str:
    return quote(os.fsencode(os.path.relpath(file, os.path.abspath(out))))


def _embedded(file: Path) -> str:
    # base64 holds nothing to escape, and there is much of it
    return Markup(embed("image/webp", file.read_bytes()))


def embed(kind: str, data: bytes) -> str:
    """The bytes as a `data:` address of this media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
