"""Editors that make nothing of their own: the no-edit control, and images made elsewhere."""

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from msgspec.structs import replace
from PIL.Image import Image

from editbench.benchmark.defects import Defects, Fields
from editbench.benchmark.files import text_rows
from editbench.editors.editor import EditFailed, Editor
from editbench.errors import UsageError
from editbench.images import decode
from editbench.records import Pair
from editbench.run.run_dir import file_stem, sha256

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2")


@dataclass(kw_only=True)
class Unchanged(Editor):
    """Gives the first source back: what a model that does nothing scores."""

    max_sources: ClassVar[int | None] = None

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Image:
        """The first source itself."""
        return sources[0]


@dataclass(kw_only=True)
class Saved(Editor):
    """Takes images that were made elsewhere: by default `<folder>/<pair id>.png`, or another ending of an image."""

    folder: str
    """Where the images are."""
    template: str | None = None
    """Each image's path below the folder, from the pair's fields: `{category}/{language}/{pair_id}.png`; none: where
    the official scripts of the rubric's benchmark look for it, otherwise `{pair_id}.png`."""
    table: str | None = None
    """A CSV, JSON or JSONL file with the columns `pair_id` and `path` (below the folder), in place of a template."""

    max_sources: ClassVar[int | None] = None
    category: Callable[[str], str] = field(default=str, init=False, repr=False, compare=False)
    """The name that the template's `{category}` gives a benchmark's category; the rubric's, by the configuration."""
    _paths: dict[str, str] | None = field(default=None, init=False, repr=False)
    _listed: dict[Path, dict[str, Path]] = field(default_factory=dict[Path, dict[str, Path]], init=False, repr=False)

    def check(self) -> None:
        """The folder is there and holds images, the table can be read, the template names a field."""
        self._listed.clear()  # of an earlier launch
        option = "--editor.init_args"
        folder = Path(self.folder)
        if not folder.is_dir():
            raise UsageError(f"{option}.folder {folder}: no such folder; name the one with the edited images")
        if self.template is not None and self.table is not None:
            raise UsageError(f"{option}: give template or table, not both")
        if self.template is not None:
            try:
                names = [name for _, name, _, _ in string.Formatter().parse(self.template) if name is not None]
            except ValueError as error:
                raise UsageError(f"{option}.template {self.template}: does not work as a template ({error})") from error
            if not names:
                raise UsageError(f"{option}.template {self.template}: names no field, such as {{pair_id}}")
        if self.table is not None:
            self._paths = _read_table(Path(self.table), f"{option}.table")
        elif not any(path.suffix.lower() in _ENDINGS for path in folder.rglob("*")):
            raise UsageError(f"{option}.folder {folder}: no image there; expected {self.template or '<pair id>.png'}")

    def check_run(self, run_dir: Path) -> None:
        """See that the folder is not among the images of the run itself, which the run writes and removes.

        Raises:
            UsageError: it is.
        """
        if Path(self.folder).resolve().is_relative_to(run_dir.resolve()):
            raise UsageError(
                f"--editor.init_args.folder {self.folder} lies in the run {run_dir} itself; copy the images elsewhere, "
                "or give --run_dir another directory"
            )

    def also_decides(self, pair: Pair) -> str | None:
        """The hash of the image saved for the pair, so that another one in its place is noticed."""
        try:
            path = self._path(pair)
        except EditFailed:
            return None
        return None if path is None else sha256(path.read_bytes())

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Image:
        """The image saved for the pair, by the run's one stated conversion."""
        path = self._path(pair)
        if path is None:
            raise EditFailed(f"no {self._expected(pair)} (or .jpg, .webp, …) in {self.folder}")
        try:
            return decode(path.read_bytes())
        except ValueError as error:
            raise EditFailed(f"{path.name}: {error}") from error

    def _path(self, pair: Pair) -> Path | None:
        if self.table is not None or self.template is not None:
            return self._find(self._expected(pair))
        stems = dict.fromkeys((pair.pair_id, file_stem(pair.pair_id)))
        return next((path for stem in stems if (path := self._find(f"{stem}.png")) is not None), None)

    def _expected(self, pair: Pair) -> str:
        """The image's path below the folder.

        Raises:
            EditFailed: the table has none, or the pair lacks a field of the template.
        """
        if self.table is not None:
            if self._paths is None:
                self._paths = _read_table(Path(self.table), "--editor.init_args.table")
            if pair.pair_id not in self._paths:
                raise EditFailed(f"{self.table} has no row for this pair")
            return self._paths[pair.pair_id]
        if self.template is None:
            return f"{file_stem(pair.pair_id)}.png"
        return fill(self.template, replace(pair, category=self.category(pair.category)))

    def _find(self, path: str) -> Path | None:
        """The file at this path below the folder, in any case of its ending or with the ending of another format."""
        parts = Path(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            return None
        place = Path(self.folder) / parts
        if place.is_file():
            return place
        there = self._names(place.parent)
        endings = (place.suffix.lower(), *_ENDINGS) if place.suffix.lower() in _ENDINGS else ()
        return next((there[name] for end in endings if (name := place.stem + end) in there), None)

    def _names(self, folder: Path) -> dict[str, Path]:
        """The images of a folder by their names as they are and with the ending in small letters; read once."""
        if folder not in self._listed:
            found: dict[str, Path] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in _ENDINGS and path.is_file():
                    found[path.name] = path
                    found.setdefault(path.stem + path.suffix.lower(), path)
            self._listed[folder] = found
        return self._listed[folder]


def fill(template: str, pair: Pair) -> str:
    """A path from a pair's own fields and those that its benchmark gives: `{task_type}/{language}/{key}.png`.

    Raises:
        EditFailed: the pair lacks one of the fields, or a format does not fit its value.
    """
    values: Mapping[str, Any] = {
        **pair.fields,
        "pair_id": pair.pair_id,
        "id": pair.pair_id,
        "category": pair.category,
        "language": pair.language,
        "language_cn": "cn" if pair.language == "zh" else pair.language,
        "difficulty": pair.difficulty,
        "source_group": pair.source_group,
    }
    text = ""
    try:
        for literal, name, form, _ in string.Formatter().parse(template):
            text += literal
            if name is not None:
                if values.get(name) is None:
                    raise EditFailed(f"the template {template} needs the field {name}, which the pair does not have")
                text += format(values[name], form or "")
    except (ValueError, TypeError) as error:
        raise EditFailed(f"the template {template} does not fit the pair ({error})") from error
    return text


def _read_table(path: Path, option: str) -> dict[str, str]:
    """By pair id, a path.

    Raises:
        UsageError: the table cannot be read or lacks a column.
    """
    if not path.is_file():
        raise UsageError(f"{option} {path}: there is no such file; give one with the columns pair_id and path")
    defects = Defects(path)
    paths: dict[str, str] = {}
    for number, row in text_rows(path, lambda name: name in ("pair_id", "path"), defects, lambda text: None):
        pair_id, place = (row.get("pair_id"), row.get("path")) if isinstance(row, Fields) else (None, None)
        if pair_id is None or not isinstance(place, str) or not place:
            defects.add("has no pair_id or no path; give both", number)
        else:
            paths[str(pair_id)] = place
    defects.raise_if_any()
    return paths
