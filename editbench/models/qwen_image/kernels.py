"""The functions of `reference` as Triton kernels: each reads its rows once and writes them once.

One compilation serves every length of text, so a new prompt costs nothing; Inductor's own kernels for the same sums
split the norm from the gate before it and copy text and image together.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportMissingTypeArgument=false, reportCallIssue=false, reportIndexIssue=false, reportArgumentType=false
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

_HEADS = 8  # heads that one program of the rotation holds


@triton.jit
def _gate_modulate(
    rows, change, out, gate, shift, scale, first, second, gate_stride, shift_stride, scale_stride, width, eps,
    GATED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    inside = column < width
    span = (row >= first).to(tl.int32) + (row >= second).to(tl.int32)
    at = row * width + column
    x = tl.load(rows + at, mask=inside, other=0.0).to(tl.float32)
    if GATED:
        y = tl.load(change + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(gate + span * gate_stride + column, mask=inside, other=0.0).to(tl.float32)
        stored = (x + g * y).to(rows.dtype.element_ty)
        tl.store(rows + at, stored, mask=inside)
        x = stored.to(tl.float32)  # the norm is of the rows as they stand
    mean = tl.sum(x, 0) / width
    centred = tl.where(inside, x - mean, 0.0)
    inverse = tl.rsqrt(tl.sum(centred * centred, 0) / width + eps)
    b = tl.load(shift + span * shift_stride + column, mask=inside, other=0.0).to(tl.float32)
    a = tl.load(scale + span * scale_stride + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, (centred * inverse * (1.0 + a) + b).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _rotate_one(x_ptr, weight, c, s, at, inside, eps, HEADS: tl.constexpr, WIDTH: tl.constexpr):
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(x * x, 1) / WIDTH + eps)
    x = x * inverse[:, None] * weight[None, :].to(tl.float32)
    real, imaginary = tl.split(tl.reshape(x, (HEADS, WIDTH // 2, 2)))
    turned = tl.join(real * c - imaginary * s, real * s + imaginary * c)
    tl.store(x_ptr + at, tl.reshape(turned, (HEADS, WIDTH)).to(x_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _rotate(query, key, weights, cos, sin, num_text, heads, eps, HEADS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    column = tl.arange(0, WIDTH)
    half = tl.arange(0, WIDTH // 2)
    inside = (head < heads)[:, None] & (column >= 0)[None, :]
    at = (row * heads + head)[:, None] * WIDTH + column[None, :]
    kind = (row >= num_text).to(tl.int32)
    c = tl.load(cos + row * (WIDTH // 2) + half)[None, :]
    s = tl.load(sin + row * (WIDTH // 2) + half)[None, :]
    _rotate_one(query, tl.load(weights + kind * WIDTH + column), c, s, at, inside, eps, HEADS, WIDTH)
    _rotate_one(key, tl.load(weights + (2 + kind) * WIDTH + column), c, s, at, inside, eps, HEADS, WIDTH)


def modulate(rows: Tensor, shift: Tensor, scale: Tensor, ends: Sequence[int], eps: float) -> Tensor:
    """As `reference.modulate`."""
    return _launch(rows, None, scale, shift, scale, ends, eps)


def gate_modulate(
    rows: Tensor, change: Tensor, gate: Tensor, shift: Tensor, scale: Tensor, ends: Sequence[int], eps: float
) -> Tensor:
    """As `reference.gate_modulate`."""
    return _launch(rows, change, gate, shift, scale, ends, eps)


def rotate(query: Tensor, key: Tensor, weights: Tensor, cos: Tensor, sin: Tensor, num_text: int, eps: float) -> None:
    """As `reference.rotate`; the head's width must be a power of two."""
    num_tokens, heads, width = query.shape
    grid = (num_tokens, triton.cdiv(heads, _HEADS))
    _rotate[grid](query, key, weights, cos, sin, num_text, heads, eps, HEADS=_HEADS, WIDTH=width, num_warps=4)


def _launch(
    rows: Tensor,
    change: Tensor | None,
    gate: Tensor,
    shift: Tensor,
    scale: Tensor,
    ends: Sequence[int],
    eps: float,
) -> Tensor:
    num_tokens, width = rows.shape
    out = torch.empty_like(rows)
    second = ends[1] if len(ends) > 2 else num_tokens  # two spans: no row is of a third
    _gate_modulate[(num_tokens,)](
        rows,
        rows if change is None else change,
        out,
        gate,
        shift,
        scale,
        ends[0],
        second,
        gate.stride(0),
        shift.stride(0),
        scale.stride(0),
        width,
        eps,
        GATED=change is not None,
        BLOCK=triton.next_power_of_2(width),
        num_warps=8,
    )
    return out
