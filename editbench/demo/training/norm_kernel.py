"""A norm and its activation in one kernel each way, for training the autoencoder on a GPU.

`torch.compile` makes one kernel a shape, and compiles for two minutes; written out it is one kernel for all.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportUntypedBaseClass=false
from functools import cache
from typing import Any

ROWS = 64


@cache
def _kernels() -> tuple[Any, Any]:
    import triton
    import triton.language as tl

    @triton.jit
    def forward(x, gamma, out, count, scale, width: tl.constexpr, rows: tl.constexpr):
        row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
        column = tl.arange(0, width)
        at = row[:, None] * width + column[None]
        value = tl.load(x + at, mask=row[:, None] < count, other=1.0).to(tl.float32)
        inverse = 1 / tl.sqrt(tl.maximum(tl.sum(value * value, 1), 1e-24))
        y = value * inverse[:, None] * scale * tl.load(gamma + column)[None]
        tl.store(out + at, (y * tl.sigmoid(y)).to(out.dtype.element_ty), mask=row[:, None] < count)

    @triton.jit
    def backward(x, gamma, grad, out, part, count, scale, width: tl.constexpr, rows: tl.constexpr, turns: tl.constexpr):
        column = tl.arange(0, width)
        weight = tl.load(gamma + column)[None]
        total = tl.zeros((width,), tl.float32)
        for turn in range(turns):
            row = (tl.program_id(0).to(tl.int64) * turns + turn) * rows + tl.arange(0, rows)
            at = row[:, None] * width + column[None]
            inside = row[:, None] < count
            value = tl.load(x + at, mask=inside, other=1.0).to(tl.float32)
            above = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
            inverse = 1 / tl.sqrt(tl.maximum(tl.sum(value * value, 1), 1e-24))[:, None]
            unit = value * inverse
            y = unit * scale * weight
            gate = tl.sigmoid(y)
            above = above * gate * (1 + y * (1 - gate))
            total += tl.sum(above * unit * scale, 0)
            above = above * weight
            down = scale * inverse * (above - unit * tl.sum(above * unit, 1)[:, None])
            tl.store(out + at, down.to(out.dtype.element_ty), mask=inside)
        tl.store(part + tl.program_id(0) * width + column, total)

    return forward, backward


def _blocks(rows: int, size: int) -> int:
    return -(-rows // size)


@cache
def _function() -> Any:
    import torch

    class NormSilu(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, gamma: Any, scale: float) -> Any:
            width = x.shape[1]
            x = x.contiguous(memory_format=torch.channels_last)
            out = torch.empty_like(x)
            count = x.numel() // width
            _kernels()[0][(_blocks(count, ROWS),)](x, gamma, out, count, scale, width, ROWS)
            ctx.save_for_backward(x, gamma)
            ctx.scale = scale
            return out

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            x, gamma = ctx.saved_tensors
            width, turns = x.shape[1], 16
            grad = grads[0].contiguous(memory_format=torch.channels_last)
            out = torch.empty_like(x)
            count = x.numel() // width
            blocks = _blocks(count, ROWS * turns)
            part = torch.empty(blocks, width, device=x.device)
            _kernels()[1][(blocks,)](x, gamma, grad, out, part, count, ctx.scale, width, ROWS, turns)
            return out, part.sum(0).view_as(gamma), None

    return NormSilu


def norm_silu(x: Any, gamma: Any, scale: float) -> Any:
    """`silu(x / |x| * scale * gamma)` over the channels of (pictures, channels, height, width), powers of two wide."""
    return _function().apply(x, gamma.float(), scale)
