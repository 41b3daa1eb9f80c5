"""Qwen3-VL-30B-A3B at its real size with random weights, or at the demo's for a rehearsal, and prompts for it."""

from typing import Any

import torch

_TEXT: dict[str, Any] = {
    "hidden_size": 2048,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]},
}
_SMALL_TEXT: dict[str, Any] = _TEXT | {
    "hidden_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 512,
    "moe_intermediate_size": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 2048,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [6, 5, 5]},
}
_VISION: dict[str, Any] = {
    "depth": 27,
    "hidden_size": 1152,
    "num_heads": 16,
    "intermediate_size": 4304,
    "out_hidden_size": 2048,
    "deepstack_visual_indexes": [8, 16, 24],
    "num_position_embeddings": 2304,
}
_SMALL_VISION: dict[str, Any] = _VISION | {
    "depth": 4,
    "hidden_size": 128,
    "num_heads": 4,
    "intermediate_size": 384,
    "out_hidden_size": 192,
    "deepstack_visual_indexes": [1],
    "num_position_embeddings": 256,
}
_PATCH = 16
_SPECIAL = 8  # ids from the vocabulary's end that stand for pictures and the turns


def model(device: str, *, small: bool, num_layers: int | None = None) -> Any:
    """A `Qwen3VLMoeForConditionalGeneration`, bfloat16 at the real size, matrices drawn from a small normal.

    Args:
        device: where it is made.
        small: the demo's sizes, in float32.
        num_layers: of the text model, fewer than its own, where the memory is not enough for all.

    """
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration
    from transformers.initialization import no_init_weights

    text, vision = (_SMALL_TEXT, _SMALL_VISION) if small else (_TEXT, _VISION)
    if num_layers is not None:
        text = text | {"num_hidden_layers": num_layers}
    last: int = text["vocab_size"] - 1
    config = Qwen3VLMoeConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=last,
        video_token_id=last - 1,
        vision_start_token_id=last - 2,
        vision_end_token_id=last - 3,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if small else torch.bfloat16)
    try:
        with torch.device(device), no_init_weights():
            made = Qwen3VLMoeForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    made.eval().requires_grad_(False)
    torch.manual_seed(0)
    for name, weight in made.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, 0.08 if small else 0.02)
        else:
            weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    made.generation_config.pad_token_id, made.generation_config.eos_token_id = last - 4, None
    return made


def inputs(of: Any, number: int, *, side: int, num_opening: int, num_user: int = 120) -> dict[str, Any]:
    """A question as a processor gives it, on the CPU: a shared beginning, two square pictures, words of its own.

    Args:
        of: the model.
        number: which question; the own words are 0 to 39 more by it.
        side: of a picture, pixels.
        num_opening: tokens that all questions share, the last of them the one that begins the first picture.
        num_user: tokens after the pictures.

    """
    config, grid = of.config, side // _PATCH
    highest = config.text_config.vocab_size - _SPECIAL
    system = torch.randint(highest, (num_opening - 1,), generator=torch.Generator().manual_seed(0))
    own = torch.Generator().manual_seed(1 + number)
    words = torch.randint(highest, (num_user + number * 7 % 40,), generator=own)
    start, end = torch.tensor([config.vision_start_token_id]), torch.tensor([config.vision_end_token_id])
    picture = torch.cat([start, torch.full(((grid // 2) ** 2,), config.image_token_id), end])
    ids = torch.cat([system, picture, picture, words])[None]
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == config.image_token_id).long(),
        "pixel_values": torch.randn(2 * grid**2, 3 * 2 * _PATCH**2, generator=own),
        "image_grid_thw": torch.tensor([[1, grid, grid]] * 2),
    }


def batch(of: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Questions as a processor gives them together, padded on the left, on the model's device."""
    longest = max(row["input_ids"].shape[1] for row in rows)
    filled = {"input_ids": of.generation_config.pad_token_id, "attention_mask": 0, "mm_token_type_ids": 0}
    found = {
        name: torch.cat(
            [torch.nn.functional.pad(row[name], (longest - row[name].shape[1], 0), value=by) for row in rows]
        )
        for name, by in filled.items()
    }
    found |= {name: torch.cat([row[name] for row in rows]) for name in ("pixel_values", "image_grid_thw")}
    return {name: value.to(of.device) for name, value in found.items()}
