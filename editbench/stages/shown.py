"""The pictures of a pair as the judge is shown them."""

import io
from threading import Lock

from PIL import Image

from editbench.images import decode
from editbench.records import Edit, Pair
from editbench.rubrics.rubric import Shown
from editbench.run.run_dir import RunDir, sha256
from editbench.stages.protocol import source_index


class MissingEdit(Exception):
    """The edited image is not there, or is not the one that its record vouches for."""


class Pictures:
    """Loads the pictures of one pair and edit, each decoded once; its methods may be called from several threads."""

    def __init__(self, run: RunDir, pair: Pair, edit: Edit):
        self._run, self._pair, self._edit = run, pair, edit
        self._decoded: dict[str, Image.Image] = {}
        self._lock = Lock()

    def load(self, shown: Shown) -> Image.Image:
        """The picture by all rules of `shown` but `max_pixels`, which is the judge's processor's.

        Raises:
            MissingEdit: the edited image is not the recorded one.
            OSError: a source or a reference is not there.
            ValueError: a picture can't be decoded.
        """
        picture = self._picture(shown.picture)
        if shown.size_of is not None:
            size = self._picture(shown.size_of).size
            picture = picture if picture.size == size else picture.resize(size, Image.Resampling.BICUBIC)
        if shown.max_side is not None:
            picture = picture.copy()  # `thumbnail` works in place
            picture.thumbnail((shown.max_side, shown.max_side))
        if shown.scale_to is not None:
            picture = _scaled(picture, shown.scale_to)
        if shown.box is not None:
            picture = _cut(picture, shown.box)
            picture = picture if shown.scale_to is None else _scaled(picture, shown.scale_to)
        if shown.jpeg_quality is not None:
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=shown.jpeg_quality)
            picture = Image.open(file).convert("RGB")
        return picture

    def _picture(self, name: str) -> Image.Image:
        with self._lock:
            if name not in self._decoded:
                self._decoded[name] = decode(self._bytes(name))
            return self._decoded[name]

    def _bytes(self, name: str) -> bytes:
        index = source_index(name)
        if name != "edit":
            pair_id = self._pair.pair_id
            path = self._run.reference(pair_id, name) if index is None else self._run.source(pair_id, index)
            return path.read_bytes()
        if self._edit.image is None:
            raise MissingEdit(self._edit.error or "no image")
        try:
            data = (self._run.root / self._edit.image).read_bytes()
        except FileNotFoundError as error:
            raise MissingEdit(f"{self._edit.image} is not there; run edit.py again") from error
        if sha256(data) != self._edit.sha256:
            raise MissingEdit(f"{self._edit.image} is not as its record says; run edit.py again")
        return data


def _scaled(picture: Image.Image, longer_side: int) -> Image.Image:
    width, height = picture.size
    factor = longer_side / max(width, height)
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _cut(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The box's part of the picture; the whole picture where that is empty."""
    width, height = picture.size
    left, top, right, bottom = (int(edge) for edge in box)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return picture if left >= right or top >= bottom else picture.crop((left, top, right, bottom))
