"""How much of a source an edit changed, pixel by pixel: a description of one edit, not a quality and not for a mean."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Array = NDArray[Any]

VISIBLE = 16
"""Of 255 levels: a pixel counts as changed when one of its channels differs by more. An autoencoder alone moves most
pixels by a few levels."""
_SIGMA, _TRUNCATE = 1.5, 3.5  # a window of 11 × 11 pixels, as in the paper
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_ROWS = 1024  # at a time, so that a picture of 64 megapixels takes no gigabytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An edit beside its source, over all pixels or over those outside a mask."""

    psnr_db: float | None
    """Peak signal-to-noise ratio over the three channels, dB, higher where less changed; None: no pixel differs."""
    ssim: float
    """Mean structural similarity of the three channels, -1 to 1; 1: nothing changed."""
    changed: float
    """Share of pixels that differ visibly, 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """An edit beside its source in numbers."""

    whole: Change
    """Over all pixels."""
    outside: Change | None
    """Over those outside the benchmark's mask: the consistency outside the edit; None: there is no mask, or it leaves
    no pixel."""


def describe(source: Image.Image, edit: Image.Image, mask: Image.Image | None = None) -> Described:
    """Both measures of an edit, as `change` has them."""
    whole = change(source, edit)
    assert whole is not None  # without a mask there are pixels
    return Described(whole=whole, outside=change(source, edit, mask) if mask is not None else None)


def change(source: Image.Image, edit: Image.Image, mask: Image.Image | None = None) -> Change | None:
    """Measure how far an edit is from its source.

    An edit of another size is scaled to the source's (Lanczos), which by itself lowers the PSNR.

    Args:
        source: RGB.
        edit: RGB, of any size.
        mask: where it is white the edit is allowed to change the source, and only the rest is measured; of any size
            and mode. None: all pixels are measured.

    Returns:
        None where the mask leaves no pixel.

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity": Gaussian
        window of 1.5 pixels, K1 = 0.01, K2 = 0.03. Near a mask's edge a window reaches over it, as no pixel outside
        is left out.
    """
    before, after = _levels(source), _levels(_fitted(source, edit))
    outside = None
    if mask is not None:
        outside = np.asarray(mask.convert("L").resize(source.size, Image.Resampling.NEAREST)) < 128
        if not outside.any():
            return None
    squares = similarity = 0.0
    changed = number = 0
    for top in range(0, source.height, _ROWS):
        rows = slice(top, min(top + _ROWS, source.height))
        kept = outside[rows] if outside is not None else np.ones((rows.stop - top, source.width), bool)
        difference = np.abs(before[rows].astype(np.int16) - after[rows])[kept]
        squares += float(np.square(difference, dtype=np.float64).sum())
        changed += int((difference.max(-1) > VISIBLE).sum()) if difference.size else 0
        similarity += float(_similarity(before, after, rows)[kept].sum())
        number += int(kept.sum())
    error = squares / (3 * number)
    return Change(
        psnr_db=None if error == 0 else float(10 * np.log10(255**2 / error)),
        ssim=similarity / number,
        changed=changed / number,
    )


def change_map(source: Image.Image, edit: Image.Image) -> Image.Image:
    """Where an edit differs from its source: gray, the largest difference of a pixel's channels, 0 to 255."""
    before, after = _levels(source).astype(np.int16), _levels(_fitted(source, edit))
    return Image.fromarray(np.abs(before - after).max(-1).astype(np.uint8))


def _fitted(source: Image.Image, edit: Image.Image) -> Image.Image:
    return edit if edit.size == source.size else edit.resize(source.size, Image.Resampling.LANCZOS)


def _levels(image: Image.Image) -> Array:
    return np.asarray(image.convert("RGB"))


def _similarity(before: Array, after: Array, rows: slice) -> Array:
    """Of these rows, by pixel, the mean over the channels; the rows around them are seen by the windows."""
    radius = int(_TRUNCATE * _SIGMA + 0.5)
    first = max(rows.start - radius, 0)
    x, y = (levels[first : rows.stop + radius].astype(np.float64) for levels in (before, after))

    def blurred(values: Array) -> Array:
        return gaussian_filter(values, (_SIGMA, _SIGMA, 0), truncate=_TRUNCATE)

    mean_x, mean_y = blurred(x), blurred(y)
    variance_x, variance_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    similar = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similar /= (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return similar[rows.start - first : rows.stop - first].mean(-1)
