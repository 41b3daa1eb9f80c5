"""A run's pictures under the names that a benchmark's own scripts look for."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from editbench.config import Config
from editbench.editors.controls import fill
from editbench.editors.editor import EditFailed
from editbench.errors import UsageError
from editbench.images import decode
from editbench.process.console import start_logging
from editbench.process.world import World
from editbench.records import Pair
from editbench.rubrics.rubric import Rubric
from editbench.run.durable import write_atomic
from editbench.run.run_dir import RunDir, sha256

log = logging.getLogger(__name__)
_JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written."""

    num_edits: int
    num_missing: int
    """Pairs without an edit, or whose image is not as its record says."""


def export(config: Config, world: World) -> int:
    """Write the run's edits to `--out` under the names of the rubric's benchmark; of several tries the first.

    Returns:
        0.

    Raises:
        UsageError: as `export_official` does, or there is no `--out`.
        OSError: the folder cannot be written.
    """
    start_logging(None, "export", world)
    if config.out is None:
        raise UsageError("--out: give the folder that the edits are written to")
    if world.rank == 0:
        done = export_official(RunDir(config.the_run), config.out, config.rubric)
        log.info("%s: %d edits written, %d pairs have none.", config.out, done.num_edits, done.num_missing)
    return 0


def export_official(run: RunDir, out: Path, rubric: Rubric, *, try_: int = 0) -> Exported:
    """Copy a run's edits, and the sources where the official scripts look for them, to their official names.

    PNG files are copied byte for byte; a name that ends in .jpg gets a JPEG of quality 95.

    Args:
        run: whose pictures.
        out: a folder outside the run; what stands there already must be the same picture.
        rubric: of the benchmark; its `layout` says the names.
        try_: which of a pair's edits.

    Raises:
        UsageError: the rubric has no official names, a pair has none or another pair's, the folder is the run's, or
            another picture stands there.
        OSError: the folder cannot be written.
    """
    if not rubric.layout:
        raise UsageError(f"--layout official: {rubric.version} is of no public benchmark with scripts of its own")
    if out.resolve().is_relative_to(run.root.resolve()):
        raise UsageError(f"--out {out}: give a folder outside the run {run.root}")
    pairs = run.read_pairs()
    edits = run.edits(pairs)
    names: dict[str, PurePosixPath] = {}
    owners: dict[PurePosixPath, str] = {}
    for pair in pairs:
        name = names[pair.pair_id] = official_name(rubric.layout["edit"], pair, rubric)
        if (other := owners.setdefault(name, pair.pair_id)) != pair.pair_id:
            raise UsageError(f"--layout official: {other} and {pair.pair_id} are both named {name}")
    num_edits = 0
    for pair in pairs:
        edit = edits.get((pair.pair_id, try_))
        data = None if edit is None or edit.image is None else _read(run.root / edit.image)
        if edit is None or data is None or sha256(data) != edit.sha256:
            continue
        _write(out, names[pair.pair_id], data)
        if "source" in rubric.layout:
            _write(out, official_name(rubric.layout["source"], pair, rubric), run.source(pair.pair_id).read_bytes())
        num_edits += 1
    return Exported(num_edits=num_edits, num_missing=len(pairs) - num_edits)


def official_name(template: str, pair: Pair, rubric: Rubric) -> PurePosixPath:
    """The path that a template of the rubric's `layout` gives for a pair.

    Raises:
        UsageError: the pair lacks a field, or the path would lead out of the folder.
    """
    try:
        text = fill(template, replace(pair, category=rubric.category(pair.category)))
    except EditFailed as error:
        raise UsageError(f"{pair.pair_id}: it has no official name: {error}") from error
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or not text.isprintable():
        raise UsageError(f"{pair.pair_id}: its official name {text!r} would lead out of the folder")
    return path


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(out: Path, name: PurePosixPath, data: bytes) -> None:
    path = out / name
    if path.suffix in (".jpg", ".jpeg"):
        file = io.BytesIO()
        decode(data).save(file, "JPEG", quality=_JPEG_QUALITY)
        data = file.getvalue()
    there = _read(path)
    if there is None:
        write_atomic(path, data)
    elif there != data:
        raise UsageError(f"{path}: another picture stands there; give an empty folder, or remove it")
