"""What the fused kernels compute, in plain torch: their definition, their test, and the path without a GPU.

A picture's text and image tokens are the rows of one matrix, text first. Rows fall into spans that are modulated
differently: the text, the picture in the making, and (where the model tells them apart) the pictures it is shown.
Everything is computed in float32 and rounded once, when it is stored.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def modulate(rows: Tensor, shift: Tensor, scale: Tensor, ends: Sequence[int], eps: float) -> Tensor:
    """`norm(rows) * (1 + scale) + shift`, the norm over a row without weights.

    Args:
        rows: (tokens, width).
        shift: (spans, width), what is added to the rows of each span.
        scale: (spans, width).
        ends: the row after the last of each span; the last is the number of tokens.
        eps: of the norm.
    """
    out = torch.empty_like(rows)
    for span, part in _spans(ends):
        normed = F.layer_norm(rows[part].float(), rows.shape[-1:], eps=eps)
        out[part] = (normed * (1 + scale[span].float()) + shift[span].float()).to(rows.dtype)
    return out


def gate_modulate(
    rows: Tensor, change: Tensor, gate: Tensor, shift: Tensor, scale: Tensor, ends: Sequence[int], eps: float
) -> Tensor:
    """`rows += gate * change`, in place, then `modulate` of what came out; shapes as there."""
    for span, part in _spans(ends):
        rows[part] = (rows[part].float() + gate[span].float() * change[part].float()).to(rows.dtype)
    return modulate(rows, shift, scale, ends, eps)


def rotate(query: Tensor, key: Tensor, weights: Tensor, cos: Tensor, sin: Tensor, num_text: int, eps: float) -> None:
    """Normalise every head of `query` and `key` and turn its pairs of neighbours by their token's angles, in place.

    Args:
        query: (tokens, heads, head width).
        key: the same.
        weights: (2, 2, head width), of the norms: query and key, of text and image.
        cos: (tokens, head width / 2), float32.
        sin: the same.
        num_text: how many of the tokens are text; they come first.
        eps: of the norms.
    """
    for which, heads in enumerate((query, key)):
        for kind, part in enumerate((slice(0, num_text), slice(num_text, None))):
            x = heads[part].float()
            x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights[which, kind].float()
            real, imaginary = x.unflatten(-1, (-1, 2)).unbind(-1)
            c, s = cos[part, None], sin[part, None]
            turned = torch.stack((real * c - imaginary * s, real * s + imaginary * c), -1)
            heads[part] = turned.flatten(-2).to(heads.dtype)


def _spans(ends: Sequence[int]) -> Iterator[tuple[int, slice]]:
    for span, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
        yield span, slice(start, end)
