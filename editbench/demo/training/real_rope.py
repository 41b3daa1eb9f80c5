"""Qwen-Image's joint attention with rotations in real numbers, for training: a compiler can fuse them."""

from typing import Any


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
