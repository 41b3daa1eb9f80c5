"""The page's pictures: a small copy of each, made once, so that a page of thousands opens at once.

Where the thumbnail of an edit is made, the edit is also compared with its pair's first source: PSNR, SSIM, the share of
pixels that changed, and a map of the change. Both pictures are scaled to at most 256 pixels a side first, which
averages out noise and small details. The numbers describe an edit and are in no mean; `changes/measures.json` keeps
them.
"""

import base64
import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import msgspec
from markupsafe import Markup
from PIL import Image

from editbench.images import decode
from editbench.run.durable import write_atomic
from editbench.run.run_dir import key
from editbench.stats.change import Described, change_map, describe
from editbench.stats.outcomes import RunRecords

log = logging.getLogger(__name__)

FOLDER = "thumbnails"
_SIDE = 400
"""Longest side of a thumbnail, pixels: a card shows it at 180 to 400 of the page's."""
_QUALITY = 75
CHANGES = "changes"
"""The folder of the maps and the measures of change."""
_MEASURED_SIDE = 256
"""Longest side at which an edit is compared with its source, pixels."""
_BRIGHTER = 4
"""How much brighter than the difference a map is: an eye does not see 16 of 255 levels."""
_MEASURES = "measures.json"
_MASK = "mask"
"""The reference that is white where an edit may change the source."""
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
    change: Described | None = None
    """Of an edit beside its first source; None: another picture, or a source that can't be read."""
    map_url: str | None = None
    """Of the map of the change, like `url`; None where `change` is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Origin:
    """What an edit is compared with, and where the map of its change stands."""

    source: Path
    mask: Path | None
    name: str
    map: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """An image of a run, and where its thumbnail stands."""

    image: Path
    thumbnail: Path
    width: int
    height: int
    origin: _Origin | None
    """Of an edit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recorded:
    """An image as it stands in the records."""

    path: str
    sha256: str
    source: tuple[str, str] | None = None
    """Of an edit: path and hash of its pair's first source."""
    mask: tuple[str, str] | None = None
    """The same of the benchmark's mask."""


Pictures = Mapping[tuple[Path, str], Picture]
"""By run directory and path below it; an image that can't be shown is not in it."""


def make_pictures(
    runs: Sequence[RunRecords], pair_ids: Iterable[str], out: Path, *, standalone: bool = False
) -> Pictures:
    """A thumbnail of each picture of these pairs, in `out/thumbnails` unless it is there, for a page in `out`, and the
    change of each edit, in `out/changes`.

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
    recorded = [(run.root, image) for run in runs for image in _recorded(run, shown)]
    files = {(root, image.path): _file(root, image, out) for root, image in recorded}
    found = {name: file for name, file in files.items() if file is not None}
    known = _read_measures(out)
    missing = {file.thumbnail: file for file in found.values() if _is_missing(file, known)}
    if len(missing) > _MANY:
        log.info("%d thumbnails are made, once.", len(missing))
    broken, measured = _write(list(missing.values()))
    changes = known | measured
    used = {name: changes[name] for name in _origins(found.values()) if name in changes}
    if used != known:
        write_atomic(out / CHANGES / _MEASURES, msgspec.json.encode(used))

    def address(path: Path) -> str:
        return _embedded(path) if standalone else _address(path, out)

    def of_change(file: _File) -> tuple[Described | None, str | None]:
        described = used.get(file.origin.name) if file.origin else None
        return described, address(file.origin.map) if described and file.origin else None

    described = {name: of_change(file) for name, file in found.items()}
    return {
        name: Picture(
            url=address(file.thumbnail),
            full=None if standalone else _address(file.image, out),
            width=file.width,
            height=file.height,
            change=described[name][0],
            map_url=described[name][1],
        )
        for name, file in found.items()
        if file.image not in broken
    }


def _recorded(run: RunRecords, shown: Set[str]) -> Iterator[_Recorded]:
    """The sources, references and edits of each of these pairs."""
    for pair in run.pairs:
        if pair.pair_id not in shown:
            continue
        sources = list(zip(run.sources.get(pair.pair_id, ()), (one.sha256 for one in pair.sources), strict=False))
        references = {
            name: (path, pair.references[name].sha256 if name in pair.references else "")
            for name, path in run.references.get(pair.pair_id, {}).items()
        }
        for path, sha256 in (*sources, *references.values()):
            yield _Recorded(path=path, sha256=sha256)
        for number in range(run.num_tries):
            edit = run.edits.get((pair.pair_id, number))
            if edit is not None and edit.image is not None:
                source = sources[0] if sources else None
                yield _Recorded(path=edit.image, sha256=edit.sha256 or "", source=source, mask=references.get(_MASK))


def _file(root: Path, recorded: _Recorded, out: Path) -> _File | None:
    """The image below `root`; None when there is none that can be shown."""
    if (found := image_below(root, recorded.path)) is None:
        return None
    image, (width, height) = found
    thumbnail = out / FOLDER / f"{key(path=recorded.path, sha256=recorded.sha256)}.webp"
    return _File(image=image, thumbnail=thumbnail, width=width, height=height, origin=_origin(root, recorded, out))


def image_below(root: Path, path: str) -> tuple[Path, tuple[int, int]] | None:
    """A run's image with its width and height in pixels; None where the path leads out of the run or to no image."""
    image = _below(root, path)
    if image is None:
        return None
    try:
        with Image.open(image, formats=("PNG", "JPEG", "WEBP")) as opened:
            return image, opened.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _below(root: Path, path: str) -> Path | None:
    """The path below `root`; None where it leads out: a record can't show another file of this machine."""
    base = Path(os.path.abspath(root))
    image = Path(os.path.abspath(base / path))
    return image if image.is_relative_to(base) else None


def _origin(root: Path, recorded: _Recorded, out: Path) -> _Origin | None:
    source = _below(root, recorded.source[0]) if recorded.source else None
    if source is None:
        return None
    hashes = {"source": recorded.source, "mask": recorded.mask}
    name = key(path=recorded.path, sha256=recorded.sha256, side=_MEASURED_SIDE, **hashes)
    mask = _below(root, recorded.mask[0]) if recorded.mask else None
    return _Origin(source=source, mask=mask, name=name, map=out / CHANGES / f"{name}.webp")


def _origins(files: Iterable[_File]) -> list[str]:
    return [file.origin.name for file in files if file.origin]


def _is_missing(file: _File, known: Mapping[str, Described]) -> bool:
    origin = file.origin
    return not file.thumbnail.exists() or (
        origin is not None and origin.source.exists() and not (origin.name in known and origin.map.exists())
    )


def _read_measures(out: Path) -> dict[str, Described]:
    """The measures of earlier pages; none where there is no such file, or one of another version."""
    try:
        return msgspec.json.decode((out / CHANGES / _MEASURES).read_bytes(), type=dict[str, Described])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _write(files: Sequence[_File]) -> tuple[set[Path], dict[str, Described]]:
    """Write these thumbnails and maps; returns the images that are broken behind their headers, and the changes."""
    broken: set[Path] = set()
    measured: dict[str, Described] = {}
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow lets other threads work while it decodes and encodes
    try:
        for file, small in zip(files, pool.map(_shrink, files), strict=True):
            if small is None:
                broken.add(file.image)
                continue
            write_atomic(file.thumbnail, small.thumbnail)
            if file.origin and small.change:
                write_atomic(file.origin.map, small.map)
                measured[file.origin.name] = small.change
    finally:
        pool.shutdown(cancel_futures=True)  # on a stop or a full disk the waiting thumbnails are dropped
        _to_measure.cache_clear()  # a source may be another by the next page
    return broken, measured


@dataclass(frozen=True, kw_only=True, slots=True)
class _Small:
    """What is made of an image."""

    thumbnail: bytes
    change: Described | None = None
    map: bytes = b""


def _shrink(file: _File) -> _Small | None:
    try:
        image = decode(file.image.read_bytes())
    except ValueError as error:
        log.warning("%s is not shown: it %s", file.image, error)
        return None
    image.thumbnail((_SIDE, _SIDE))
    thumbnail = _webp(image)
    origin = file.origin
    if origin is None:
        return _Small(thumbnail=thumbnail)
    try:
        source = _to_measure(origin.source)
        mask = _to_measure(origin.mask) if origin.mask else None
    except (OSError, ValueError) as error:
        log.warning("the change of %s is not measured: its source or mask can't be read: %s", file.image, error)
        return _Small(thumbnail=thumbnail)
    image.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE))
    brighter = change_map(source, image).point([min(255, _BRIGHTER * level) for level in range(256)])
    return _Small(thumbnail=thumbnail, change=describe(source, image, mask), map=_webp(brighter))


@lru_cache(maxsize=64)  # the tries of a pair, and pairs of one source, come one after another
def _to_measure(path: Path) -> Image.Image:
    image = decode(path.read_bytes())
    image.thumbnail((_SIDE, _SIDE))  # by the same steps as the edit's
    image.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE))
    return image


def _webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=2)
    return file.getvalue()


def _address(file: Path, out: Path) -> str:
    return quote(os.fsencode(os.path.relpath(file, os.path.abspath(out))))


def _embedded(file: Path) -> str:
    # base64 holds nothing to escape, and there is much of it
    return Markup(embed("image/webp", file.read_bytes()))


def embed(kind: str, data: bytes) -> str:
    """The bytes as a `data:` address of this media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
