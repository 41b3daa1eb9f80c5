"""The same models, faster where a case is simple: one frame, real numbers.

Qwen-Image's autoencoder is a video's: each convolution is 3D and causal, so on a single picture two of its three
slices multiply padding. One 2D convolution with the last slice gives the same sums. A root mean square needs no
detour over `F.normalize`, which is slow across channels.
"""

from types import MethodType
from typing import Any


def _convolve(self: Any, x: Any, cache_x: Any = None) -> Any:
    import torch.nn.functional as F

    left, right, top, bottom = self._padding[:4]
    weight, frame = self.weight[:, :, -1], x[:, :, 0]
    if left == right == top == bottom:
        return F.conv2d(frame, weight, self.bias, self.stride[1:], left).unsqueeze(2)
    return F.conv2d(F.pad(frame, (left, right, top, bottom)), weight, self.bias, self.stride[1:]).unsqueeze(2)


def _normalise(self: Any, x: Any) -> Any:
    inverse = x.float().square().sum(1, keepdim=True).clamp_min(1e-24).rsqrt() * self.scale
    return (x * inverse.to(x.dtype)) * self.gamma + self.bias


def one_frame(vae: Any) -> Any:
    """Switch a loaded `AutoencoderKLQwenImage` to single pictures; it gives the same up to rounding.

    Its time convolutions, which a single picture never reaches, stay as they are.
    """
    from diffusers.models.autoencoders import autoencoder_kl_qwenimage as stock

    for name, module in vae.named_modules():
        if isinstance(module, stock.QwenImageCausalConv3d) and "time_conv" not in name:
            module.forward = MethodType(_convolve, module)
        elif isinstance(module, stock.QwenImageRMS_norm) and module.channel_first:
            module.forward = MethodType(_normalise, module)
    return vae


class _RealRope:
    """Qwen-Image's joint attention with rotations in real numbers, which a compiler can fuse."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any,
        encoder_hidden_states_mask: Any = None,
        attention_mask: Any = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        import torch
        import torch.nn.functional as F

        length = encoder_hidden_states.shape[1]
        picture = [layer(hidden_states) for layer in (attn.to_q, attn.to_k, attn.to_v)]
        words = [layer(encoder_hidden_states) for layer in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)]
        norms = ((attn.norm_added_q, attn.norm_q), (attn.norm_added_k, attn.norm_k), (None, None))
        joined: list[Any] = []
        turns = torch.cat([image_rotary_emb[1], image_rotary_emb[0]])[None, :, None]
        for of_words, of_picture, (norm_words, norm_picture) in zip(words, picture, norms, strict=True):
            a, b = (x.unflatten(-1, (attn.heads, -1)) for x in (of_words, of_picture))
            if norm_words is None:
                joined.append(torch.cat([a, b], 1).transpose(1, 2))
                continue
            both = torch.cat([norm_words(a), norm_picture(b)], 1)
            even, odd = both.float().unflatten(-1, (-1, 2)).unbind(-1)
            cos, sin = turns.unbind(-1)
            turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
            joined.append(turned.flatten(-2).to(both.dtype).transpose(1, 2))
        out = F.scaled_dot_product_attention(*(x.to(joined[2].dtype) for x in joined)).transpose(1, 2).flatten(2)
        return attn.to_out[0](out[:, length:]), attn.to_add_out(out[:, :length])


def real_rope(transformer: Any) -> Any:
    """Switch a `QwenImageTransformer2DModel` to rotations in real numbers; it gives the same up to rounding."""
    import torch

    stock = transformer.pos_embed.forward
    transformer.pos_embed.forward = lambda *args, **kwargs: tuple(torch.view_as_real(x) for x in stock(*args, **kwargs))
    transformer.set_attn_processor(_RealRope())
    return transformer
