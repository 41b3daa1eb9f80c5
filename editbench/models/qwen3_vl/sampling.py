"""Sampling with one seed a reply, independent of the batch."""

from collections.abc import Sequence
from typing import Any


class Draws:
    """Random numbers for some replies, one a token, drawn on the CPU, so that batch and rank change none."""

    def __init__(self, seeds: Sequence[int], num_tokens: int, temperature: float):
        import torch

        rows = [torch.rand(num_tokens, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        self._numbers = torch.stack(rows).double()
        self._temperature = temperature

    def choose(self, logits: Any, step: int) -> Any:
        """Each row's token of this step: where its number falls in the cumulative distribution.

        Args:
            logits: (replies, vocabulary).
            step: 0 for a reply's first token.

        Returns:
            (replies,) token ids.
        """
        import torch

        sums = (logits.float() / self._temperature).softmax(-1).double().cumsum(-1)
        # the sum of rounded probabilities is not quite 1
        at = self._numbers[:, step, None].to(sums.device) * sums[:, -1:]
        return torch.searchsorted(sums, at).squeeze(-1)


def processor(draws: Draws, prompt_length: int) -> Any:
    """A logits processor for transformers' `generate` that leaves only the drawn token."""
    import torch
    from transformers import LogitsProcessor

    class OnlyDrawn(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            chosen = draws.choose(scores, input_ids.shape[1] - prompt_length)
            return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)

    return OnlyDrawn()
