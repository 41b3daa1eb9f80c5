"""Mixture-of-experts layers for few tokens: each expert's weights are read once, where they lie.

While a reply is written, a layer's work is to read the weights of the experts that its few tokens chose.
transformers' `batched_mm` copies eight experts a token first; its `grouped_mm` is made for many tokens. Here one
program reads a strip of one expert's weights for all the tokens that chose it.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportArgumentType=false
from typing import Any

import torch
import triton
import triton.language as tl

_TOKENS = 16  # a tile's, the least that the tensor cores take


@triton.jit
def _up(
    x, weights, out, order, offsets, width, inner, top_k,
    TOKENS: tl.constexpr, STRIP: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """out[slot] = silu(gate · x[token]) * (up · x[token]), a strip of it, for one expert's slots."""
    expert, strip = tl.program_id(0).to(tl.int64), tl.program_id(1)
    start, end = tl.load(offsets + expert), tl.load(offsets + expert + 1)
    columns = strip * STRIP + tl.arange(0, STRIP)
    fits = columns < inner
    gates = weights + (expert * 2 * inner + columns[None, :]) * width
    for first in range(start, end, TOKENS):
        rows = first + tl.arange(0, TOKENS)
        live = rows < end
        slots = tl.load(order + rows, mask=live, other=0)
        gate = tl.zeros((TOKENS, STRIP), dtype=tl.float32)
        up = tl.zeros((TOKENS, STRIP), dtype=tl.float32)
        for begin in range(0, width, DEPTH):
            depth = begin + tl.arange(0, DEPTH)
            inside = depth < width
            a = tl.load(x + (slots // top_k)[:, None] * width + depth[None, :], live[:, None] & inside[None, :], 0.0)
            at = gates + depth[:, None]
            g = tl.load(at, inside[:, None] & fits[None, :], 0.0)
            u = tl.load(at + inner.to(tl.int64) * width, inside[:, None] & fits[None, :], 0.0)
            gate = tl.dot(a, g, gate)
            up = tl.dot(a, u, up)
        kept = gate * tl.sigmoid(gate) * up
        to = out + slots[:, None] * inner + columns[None, :]
        tl.store(to, kept.to(out.dtype.element_ty), live[:, None] & fits[None, :])


@triton.jit
def _down(
    x, weights, shares, out, order, offsets, inner, width,
    TOKENS: tl.constexpr, STRIP: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """out[slot] = share[slot] * (down · x[slot]), a strip of it, for one expert's slots."""
    expert, strip = tl.program_id(0).to(tl.int64), tl.program_id(1)
    start, end = tl.load(offsets + expert), tl.load(offsets + expert + 1)
    columns = strip * STRIP + tl.arange(0, STRIP)
    fits = columns < width
    downs = weights + (expert * width + columns[None, :]) * inner
    for first in range(start, end, TOKENS):
        rows = first + tl.arange(0, TOKENS)
        live = rows < end
        slots = tl.load(order + rows, mask=live, other=0)
        sums = tl.zeros((TOKENS, STRIP), dtype=tl.float32)
        for begin in range(0, inner, DEPTH):
            depth = begin + tl.arange(0, DEPTH)
            inside = depth < inner
            a = tl.load(x + slots[:, None] * inner + depth[None, :], live[:, None] & inside[None, :], 0.0)
            sums = tl.dot(a, tl.load(downs + depth[:, None], inside[:, None] & fits[None, :], 0.0), sums)
        share = tl.load(shares + slots, mask=live, other=0.0).to(tl.float32)
        to = out + slots[:, None] * width + columns[None, :]
        tl.store(to, (sums * share[:, None]).to(out.dtype.element_ty), live[:, None] & fits[None, :])


def few_tokens(self: Any, hidden_states: Any, top_k_index: Any, top_k_weights: Any) -> Any:
    """The forward of a transformers `Experts` module (gated by SiLU, no bias) for few tokens.

    Args:
        self: the module; `gate_up_proj` (experts, 2 * inner, width), `down_proj` (experts, width, inner).
        hidden_states: (tokens, width).
        top_k_index: (tokens, k), which experts.
        top_k_weights: (tokens, k), how much of each.

    """
    num_experts, width, inner = self.down_proj.shape
    tokens, top_k = top_k_index.shape
    chosen, order = top_k_index.reshape(-1).sort(stable=True)
    offsets = torch.searchsorted(chosen, torch.arange(num_experts + 1, device=chosen.device))
    x = hidden_states.contiguous()
    between = x.new_empty(tokens * top_k, inner)
    _up[num_experts, triton.cdiv(inner, 32)](
        x, self.gate_up_proj, between, order, offsets, width, inner, top_k, _TOKENS, 32, 128, num_stages=4
    )
    out = x.new_empty(tokens * top_k, width)
    _down[num_experts, triton.cdiv(width, 64)](
        between, self.down_proj, top_k_weights.contiguous(), out, order, offsets, inner, width, _TOKENS, 64, 128,
        num_stages=4,
    )  # fmt: skip
    return out.view(tokens, top_k, width).sum(1)
