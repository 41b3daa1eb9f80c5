"""The drawing of `drawing.paint` for a GPU, and resizing that equals the pipelines' own."""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
from functools import cache
from typing import Any

from editbench.demo.training.drawing import NUM_NUMBERS, paint

TILE = 32


@cache
def _kernel() -> Any:
    import triton
    import triton.language as tl

    @triton.jit
    def painted(table, out, num_shapes, size: tl.constexpr, numbers: tl.constexpr, tile: tl.constexpr):
        image, block = tl.program_id(0), tl.program_id(1)
        across = size // tile
        top, left = (block // across) * tile, (block % across) * tile
        index = tl.arange(0, tile * tile)
        x_at = (left + index % tile + 0.5) / size
        y_at = (top + index // tile + 0.5) / size
        red = tl.zeros((tile * tile,), tl.float32)
        green = tl.zeros((tile * tile,), tl.float32)
        blue = tl.zeros((tile * tile,), tl.float32)
        reach = (tile / 2 + 4) / size
        x_mid, y_mid = (left + tile / 2) / size, (top + tile / 2) / size
        for i in range(num_shapes):
            row = table + (image * num_shapes + i) * numbers
            form, x, y = tl.load(row), tl.load(row + 1), tl.load(row + 2)
            half_x, half_y, opacity = tl.load(row + 3), tl.load(row + 4), tl.load(row + 8)
            near = (tl.abs(x_mid - x) < half_x + reach) & (tl.abs(y_mid - y) < half_y + reach)
            if near & (opacity > 0):
                dx, dy = tl.abs(x_at - x), y_at - y
                u, v = dx / half_x, dy / half_y
                ellipse = (tl.sqrt(u * u + v * v) - 1) * tl.minimum(half_x, half_y)
                box = tl.maximum(dx - half_x, tl.abs(dy) - half_y)
                slope = (2 * half_y * dx - half_x * (dy + half_y)) / tl.sqrt(4 * half_y * half_y + half_x * half_x)
                triangle = tl.maximum(dy - half_y, slope)
                distance = tl.where(form == 0, ellipse, tl.where(form == 1, box, triangle))
                cover = tl.minimum(tl.maximum(0.5 - distance * size, 0.0), 1.0) * opacity
                red += cover * (tl.load(row + 5) - red)
                green += cover * (tl.load(row + 6) - green)
                blue += cover * (tl.load(row + 7) - blue)
        pixel = out + image * 3 * size * size + (top + index // tile) * size + left + index % tile
        tl.store(pixel, red)
        tl.store(pixel + size * size, green)
        tl.store(pixel + 2 * size * size, blue)

    return painted


def paint_fast(table: Any, size: int) -> Any:
    """What `drawing.paint` gives, in one kernel where there is a GPU."""
    import torch

    if not table.is_cuda:
        return paint(table, size)
    table = table.contiguous()
    out = torch.empty(len(table), 3, size, size, device=table.device)
    grid = (len(table), (size // TILE) ** 2)
    _kernel()[grid](table, out, table.shape[1], size, NUM_NUMBERS, TILE)
    return out


@cache
def _resizer(before: int, after: int, lanczos: bool, device: str) -> Any:
    import numpy as np
    import torch
    from PIL import Image

    # a resized unit matrix is the resizing itself, as Pillow does it
    kind = Image.Resampling.LANCZOS if lanczos else Image.Resampling.BICUBIC
    unit = Image.fromarray(np.eye(before, dtype=np.float32))
    return torch.from_numpy(np.array(unit.resize((after, before), kind))).to(device)


def resize(pictures: Any, size: int, *, lanczos: bool = True, cut: tuple[Any, Any] | None = None) -> Any:
    """Resize square pictures as Pillow does: the pipeline's Lanczos on the way in, the judge's bicubic.

    Args:
        pictures: float in 0 to 1, (pictures, 3, side, side).
        size: the new side, pixels.
        lanczos: else bicubic.
        cut: indices of the new picture's rows and columns that are wanted; None: all.
    """
    import torch

    matrix = _resizer(pictures.shape[-1], size, lanczos, str(pictures.device)).to(pictures.dtype)
    down, across = (matrix, matrix) if cut is None else (matrix[:, at] for at in cut)
    with torch.autocast(pictures.device.type, enabled=False):  # bf16 would cost two grey levels
        return (down.T @ (pictures @ across).clamp(0, 1)).clamp(0, 1)
