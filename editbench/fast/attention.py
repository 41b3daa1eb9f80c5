"""Attention of all tokens to all, without a mask, in two ways of telling the device how many tokens there are."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def dense(query: Tensor, key: Tensor, value: Tensor, num_tokens: int) -> Tensor:
    """By torch's own choice of backend. cuDNN's builds a plan for every number of tokens that it has not met.

    Args:
        query: (rows, heads, head width), of which the first `num_tokens` rows count.
        key: the same.
        value: the same.
        num_tokens: how many rows count.

    Returns:
        (tokens, heads, head width)
    """
    q, k, v = (rows[None, :num_tokens].transpose(1, 2) for rows in (query, key, value))
    seen = F.scaled_dot_product_attention(q, k, v)
    return seen[0].transpose(0, 1)


def packed(query: Tensor, key: Tensor, value: Tensor, num_tokens: int) -> Tensor:
    """By cuDNN, its plan made for all the rows and told on the device how many count; arguments as of `dense`.

    The rows that do not count must be finite numbers.
    """
    ends = _ends(num_tokens, query.device)
    rows = len(query)
    seen = torch.ops.aten._cudnn_attention_forward(query, key, value, None, ends, ends, rows, rows, True)[0]
    return seen[:num_tokens]


@lru_cache(maxsize=8)
def _ends(num_tokens: int, device: torch.device) -> Tensor:
    return torch.tensor([0, num_tokens], dtype=torch.int32, device=device)
