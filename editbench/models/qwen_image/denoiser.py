"""The forward of Qwen-Image's denoiser, laid out for a GPU that multiplies faster than it reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from editbench.models.qwen_image.attention import Attend, by_torch
from editbench.models.qwen_image.modulation import Modulation


class Kernels(Protocol):
    """A module like `editbench.models.qwen_image.reference`, which defines what its functions compute."""

    def modulate(self, rows: Tensor, shift: Tensor, scale: Tensor, ends: Sequence[int], eps: float) -> Tensor:
        """Norm, then modulation."""
        ...

    def gate_modulate(
        self, rows: Tensor, change: Tensor, gate: Tensor, shift: Tensor, scale: Tensor, ends: Sequence[int], eps: float
    ) -> Tensor:
        """A gated sum in place, then norm and modulation."""
        ...

    def rotate(
        self, query: Tensor, key: Tensor, weights: Tensor, cos: Tensor, sin: Tensor, num_text: int, eps: float
    ) -> None:
        """Norm and rotation of the heads, in place."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One block's, as the forward uses them; pairs are of text and image."""

    query: tuple[Any, Any]
    key: tuple[Any, Any]
    value: tuple[Any, Any]
    out: tuple[Any, Any]
    up: tuple[Any, Any]
    down: tuple[Any, Any]
    norms: Tensor
    """(2, 2, head width): query and key, of text and image."""
    eps: float
    """Of those norms."""


class Denoiser:
    """Stands in for the `forward` of a loaded `QwenImageTransformer2DModel` and gives the same up to rounding.

    Only the rows of the picture to come are given, all that the pipelines read; stock gives the shown pictures' too.
    The text's and the image's tokens are the rows of one matrix from the first layer to the last: nothing is joined
    or parted, each linear layer writes into its part of a buffer that all blocks share, and what stands between two
    of them (gate, sum, norm, modulation) is one pass over memory. Pictures of a batch go one by one, which at this
    size costs nothing and needs no attention mask.
    """

    def __init__(
        self,
        model: Any,
        modulation: Callable[[Tensor], Modulation],
        kernels: Kernels,
        *,
        attend: Attend = by_torch,
        gelu_epilogue: bool = True,
    ):
        """Take the model's layers.

        Args:
            model: a `QwenImageTransformer2DModel` that `editbench.models.qwen_image.why_not` accepts.
            modulation: gives the vectors of a timestep.
            kernels: `editbench.models.qwen_image.reference` or `editbench.models.qwen_image.kernels`.
            attend: the attention of a block, as `editbench.models.qwen_image.attention` chooses it.
            gelu_epilogue: let cuBLAS apply the GELU as it writes the product; of no effect on the CPU.
        """
        self._model, self._modulation, self._kernels = model, modulation, kernels
        self._attend, self._gelu_epilogue = attend, gelu_epilogue
        self._blocks = [_weights(block) for block in model.transformer_blocks]
        block = model.transformer_blocks[0]
        self._heads: int = block.num_attention_heads
        self._eps: float = block.img_norm1.eps

    @torch.no_grad()
    def __call__(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        img_shapes: Sequence[Any],
        encoder_hidden_states_mask: Tensor | None = None,
        guidance: Tensor | None = None,
        attention_kwargs: Any = None,
        return_dict: bool = True,
    ) -> Any:
        """As the stock forward; `guidance` and `attention_kwargs` have no meaning for the models that this serves."""
        timestep = timestep.to(hidden_states.dtype)
        output = torch.stack(
            [
                self._one(
                    hidden_states[place],
                    encoder_hidden_states[place],
                    None if encoder_hidden_states_mask is None else encoder_hidden_states_mask[place].bool(),
                    timestep[place],
                    img_shapes[place],
                )
                for place in range(len(hidden_states))
            ]
        )
        if not return_dict:
            return (output,)
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        return Transformer2DModelOutput(sample=output)

    def _one(self, image: Tensor, text: Tensor, kept: Tensor | None, timestep: Tensor, shapes: Any) -> Tensor:
        model, kernels = self._model, self._kernels
        image_angles, text_angles = model.pos_embed([shapes], max_txt_seq_len=len(text), device=image.device)
        if kept is not None:  # padding is dropped instead of masked
            text, text_angles = text[kept], text_angles[kept]
        num_text, num_tokens = len(text), len(text) + len(image)
        turns = torch.view_as_real(torch.cat((text_angles, image_angles)))
        cos, sin = turns[..., 0].contiguous(), turns[..., 1].contiguous()

        modulation = self._modulation(timestep)
        target = num_text + shapes[0][0] * shapes[0][1] * shapes[0][2]
        ends = (num_text, num_tokens) if modulation.blocks.shape[1] == 2 else (num_text, target, num_tokens)
        # a view each: (6, spans, width) of every block
        vectors = [block.transpose(0, 1).unbind(0) for block in modulation.blocks]
        last_scale, last_shift = (vector.expand(len(ends), -1) for vector in modulation.last)

        both = _Rows(num_text, num_tokens)
        width: int = model.inner_dim
        rows = both.linear(
            (model.txt_in, model.img_in), (model.txt_norm(text), image), image.new_empty(num_tokens, width)
        )
        query, key, value = rows.new_empty(3, num_tokens, self._heads, width // self._heads)
        change = torch.empty_like(rows)
        inner = rows.new_empty(num_tokens, len(self._blocks[0].up[0].weight))
        normed = kernels.modulate(rows, vectors[0][0], vectors[0][1], ends, self._eps)
        for place, block in enumerate(self._blocks):
            _, _, gate1, shift2, scale2, gate2 = vectors[place]
            shift1, scale1 = vectors[place + 1][:2] if place + 1 < len(vectors) else (last_shift, last_scale)
            for layers, buffer in ((block.query, query), (block.key, key), (block.value, value)):
                both.linear(layers, both.parts(normed), buffer.flatten(1))
            kernels.rotate(query, key, block.norms, cos, sin, num_text, block.eps)
            if place + 1 == len(self._blocks):
                # of what the last block gives, only the picture to come is read: its rows see all, no others need to
                new = slice(num_text, target)
                rows, query, change, inner = rows[new], query[new], change[new], inner[new]
                both, ends = _Rows(0, target - num_text), (0, *(target - num_text,) * (len(ends) - 1))
            seen = self._attend(query, key, value)
            both.linear(block.out, both.parts(seen.flatten(1)), change)
            normed = kernels.gate_modulate(rows, change, gate1, shift2, scale2, ends, self._eps)
            both.linear(block.up, both.parts(normed), inner, self._up)
            both.linear(block.down, both.parts(inner), change)
            normed = kernels.gate_modulate(rows, change, gate2, shift1, scale1, ends, self._eps)
        return model.proj_out(normed)

    def _up(self, layer: Any, x: Tensor, out: Tensor) -> None:
        """The MLP's first layer with its GELU, the tanh form."""
        if x.is_cuda and self._gelu_epilogue:
            torch.ops.aten._addmm_activation.out(layer.bias, x, layer.weight.t(), use_gelu=True, out=out)
        else:
            _linear(layer, x, out)
            out.copy_(F.gelu(out, approximate="tanh"))


class _Rows:
    """Which rows are text and which are image."""

    def __init__(self, num_text: int, num_tokens: int):
        self._sizes = (num_text, num_tokens - num_text)

    def parts(self, rows: Tensor) -> Sequence[Tensor]:
        return rows.split(self._sizes)

    def linear(
        self,
        layers: tuple[Any, Any],
        parts: Sequence[Tensor],
        out: Tensor,
        apply: Callable[[Any, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """Each part through its own layer, into its rows of `out`, which is returned."""
        for layer, part, place in zip(layers, parts, self.parts(out), strict=True):
            (apply or _linear)(layer, part, place)
        return out


def _linear(layer: Any, x: Tensor, out: Tensor) -> None:
    torch.addmm(layer.bias, x, layer.weight.t(), out=out)


def _weights(block: Any) -> Weights:
    attention = block.attn
    norms = ((attention.norm_added_q, attention.norm_q), (attention.norm_added_k, attention.norm_k))
    return Weights(
        query=(attention.add_q_proj, attention.to_q),
        key=(attention.add_k_proj, attention.to_k),
        value=(attention.add_v_proj, attention.to_v),
        out=(attention.to_add_out, attention.to_out[0]),
        up=(block.txt_mlp.net[0].proj, block.img_mlp.net[0].proj),
        down=(block.txt_mlp.net[2], block.img_mlp.net[2]),
        norms=torch.stack([torch.stack([norm.weight for norm in pair]) for pair in norms]).detach(),
        eps=attention.norm_q.eps,
    )
