"""The denoiser's modulation: what each block adds, scales and gates by at a timestep, whatever the picture.

A third of Qwen-Image's parameters do nothing but turn the timestep into these vectors. A run knows its timesteps
beforehand, so they can be computed once and the parameters be dropped.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Modulation(NamedTuple):
    """Of one timestep: the vectors of every block and of the norm after the last."""

    blocks: Tensor
    """(blocks, spans, 6, width): shift, scale and gate of the attention, then of the MLP; spans as in `reference`."""
    last: Tensor
    """(2, width): scale and shift of the norm after the last block."""


@torch.no_grad()
def compute(model: Any, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """As the stock blocks do, for several timesteps at once.

    Args:
        model: a `QwenImageTransformer2DModel`.
        timesteps: (timesteps,), in the model's dtype, 0 to 1.

    Returns:
        (timesteps, blocks, 2, 6, width), of text and image; and (timesteps, 2, width), of the norm after the last.
    """
    embedded = model.time_text_embed(timesteps, timesteps)
    active = F.silu(embedded)
    table = torch.stack(
        [torch.stack((block.txt_mod[1](active), block.img_mod[1](active)), 1) for block in model.transformer_blocks],
        1,
    )
    width = embedded.shape[-1]
    return table.unflatten(-1, (6, width)), model.norm_out.linear(active).unflatten(-1, (2, width))


def at(blocks: Tensor, last: Tensor, clean: Tensor | None) -> Modulation:
    """Put together the vectors of one timestep.

    Args:
        blocks: (blocks, 2, 6, width), of the timestep.
        last: (2, width), of the timestep.
        clean: (blocks, 2, 6, width), of timestep 0, for a model that takes the pictures it is shown as free of noise;
            None for one that does not.
    """
    return Modulation(blocks if clean is None else torch.cat((blocks, clean[:, 1:]), 1), last)


class Live:
    """Computes the vectors at every call, as the stock model does."""

    def __init__(self, model: Any):
        self._model = model

    def __call__(self, timestep: Tensor) -> Modulation:
        """Of a timestep, a tensor of one element in the model's dtype."""
        timesteps = torch.stack((timestep, timestep * 0)) if self._model.zero_cond_t else timestep[None]
        blocks, last = compute(self._model, timesteps)
        return at(blocks[0], last[0], blocks[1] if self._model.zero_cond_t else None)


class Table:
    """Holds the vectors of all timesteps of a run; the parameters that made them are dropped from the model."""

    def __init__(self, model: Any, timesteps: Tensor):
        """Compute and drop.

        Args:
            model: a `QwenImageTransformer2DModel`, whose `img_mod` and `txt_mod` become empty.
            timesteps: (timesteps,), those that will be asked for, as the pipeline gives them to the model.
        """
        values = torch.unique(timesteps)
        self._blocks, self._last = compute(model, values)
        self._clean = compute(model, values.new_zeros(1))[0][0] if model.zero_cond_t else None
        self._values = values.float()
        for block in model.transformer_blocks:
            block.img_mod = block.txt_mod = torch.nn.Identity()

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return sum(part.nbytes for part in (self._blocks, self._last, self._clean) if part is not None)

    def __call__(self, timestep: Tensor) -> Modulation:
        """Of a timestep, a tensor of one element in the model's dtype; NaN for one that the table was not made for.

        It is looked up on the device: to ask for its value would hold up every forward until the one before is done.
        """
        wanted = timestep.float().reshape(1)
        place = torch.searchsorted(self._values, wanted).clamp(max=len(self._values) - 1)
        is_known = self._values[place] == wanted
        blocks, last = (part.index_select(0, place)[0] for part in (self._blocks, self._last))
        return at(torch.where(is_known, blocks, torch.nan), torch.where(is_known, last, torch.nan), self._clean)
