"""Editors that make nothing of their own: the no-edit control, and images made elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL.Image import Image

from editbench.editors.editor import EditFailed, Editor
from editbench.errors import UsageError
from editbench.images import decode
from editbench.records import Pair
from editbench.run.run_dir import file_stem, sha256

_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(kw_only=True)
class Unchanged(Editor):
    """Gives the source back: what a model that does nothing scores, the floor that every report needs."""

    max_sources: ClassVar[int | None] = None

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Image:
        """The first source itself."""
        return sources[0]


@dataclass(kw_only=True)
class Saved(Editor):
    """Takes images that were made elsewhere: `<folder>/<pair id>.png` (or .jpg, .jpeg, .webp)."""

    folder: str
    """Where the images are."""

    max_sources: ClassVar[int | None] = None

    def check(self) -> None:
        """The folder exists and holds an image."""
        folder = Path(self.folder)
        if not folder.is_dir():
            raise UsageError(f"--editor.init_args.folder {folder}: no such folder; name the one with the edited images")
        if not any(path.suffix.lower() in _EXTENSIONS for path in folder.iterdir()):
            raise UsageError(f"--editor.init_args.folder {folder}: no image there; expected <pair id>.png")

    def also_decides(self, pair: Pair) -> str | None:
        """The hash of the image saved for the pair, so that another one in its place is noticed."""
        path = self._path(pair)
        return None if path is None else sha256(path.read_bytes())

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Image:
        """The image saved for the pair, by the run's one stated conversion."""
        path = self._path(pair)
        if path is None:
            raise EditFailed(f"no {file_stem(pair.pair_id)}.png (or .jpg, .jpeg, .webp) in {self.folder}")
        try:
            return decode(path.read_bytes())
        except ValueError as error:
            raise EditFailed(f"{path.name}: {error}") from error

    def _path(self, pair: Pair) -> Path | None:
        candidates = [
            Path(self.folder) / (stem + extension)
            for stem in dict.fromkeys((pair.pair_id, file_stem(pair.pair_id)))
            if "/" not in stem and "\0" not in stem
            for extension in _EXTENSIONS
        ]
        return next((path for path in candidates if path.is_file()), None)
