"""Puts the fast denoiser into a loaded Qwen-Image pipeline, and says where it does not belong."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editbench.models.qwen_image import reference
from editbench.models.qwen_image.attention import Attention, choose
from editbench.models.qwen_image.denoiser import Denoiser
from editbench.models.qwen_image.modulation import Live, Table

log = logging.getLogger(__name__)
_PIPELINES = ("QwenImageEditPipeline", "QwenImageEditPlusPipeline")
WIDEST = 16
"""Longer side over shorter, of the pictures whose timesteps are known beforehand."""


def why_not(pipeline: Any) -> str | None:
    """What keeps the fast path from serving this pipeline, in a few words; None: nothing."""
    if type(pipeline).__name__ not in _PIPELINES:
        return f"it serves {' and '.join(_PIPELINES)}"
    model = pipeline.transformer
    other = ("guidance_embeds", "use_additional_t_cond", "use_layer3d_rope")
    if found := [name for name in other if model.config.get(name)]:
        return f"the model has {', '.join(found)}"
    if model.dtype not in (torch.bfloat16, torch.float32):
        return f"its sums are made for bfloat16 and float32, not {str(model.dtype).removeprefix('torch.')}"
    head = model.config.attention_head_dim
    if head & (head - 1):
        return f"its heads are {head} wide, which is no power of two"
    if model.device.type == "cuda":
        try:
            import triton  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError:
            return "Triton is not installed"
    return None


def speed_up(pipeline: Any, num_inference_steps: int, call: Mapping[str, Any]) -> Attention:
    """Give a pipeline that `why_not` has nothing against the fast denoiser: the same edits, up to rounding.

    Args:
        pipeline: loaded, with its LoRA fused if it has one.
        num_inference_steps: of the run.
        call: the other arguments of the pipeline's call.

    Returns:
        The attention that it uses, and why.
    """
    model = pipeline.transformer
    attention = attention_for(model)
    timesteps = reachable_timesteps(pipeline, num_inference_steps, call)
    held = sum(part.nbytes for name, part in model.named_parameters() if "_mod." in name)
    # in bfloat16 the schedules of all shapes have some hundred timesteps together, in float32 each has its own
    if len(timesteps) < model.inner_dim:
        modulation = Table(model, timesteps)
        log.info(
            "The modulation of %d timesteps takes %.2f GiB in place of the %.2f GiB of its weights.",
            len(timesteps),
            modulation.num_bytes / 2**30,
            held / 2**30,
        )
    else:
        modulation = Live(model)
    model.forward = Denoiser(model, modulation, kernels_for(model.device), attend=attention.attend)
    return attention


def attention_for(model: Any) -> Attention:
    """The attention that is chosen for a `QwenImageTransformer2DModel`, by its device, dtype and heads."""
    config = model.config
    return choose(model.device, model.dtype, config.num_attention_heads, config.attention_head_dim)


def kernels_for(device: torch.device) -> Any:
    """The module of fused sums: Triton's on CUDA, plain torch elsewhere."""
    if device.type != "cuda":
        return reference
    from editbench.models.qwen_image import kernels

    return kernels


def reachable_timesteps(pipeline: Any, num_inference_steps: int, call: Mapping[str, Any]) -> Tensor:
    """Every timestep that the pipeline can give its model, sorted, in the model's dtype and on its device.

    The schedule is shifted by the number of image tokens, which the pipeline makes of the source's shape. All shapes
    up to 16 to 1 are gone through here as the pipeline does it.
    """
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit import calculate_dimensions, calculate_shift

    multiple = pipeline.vae_scale_factor * 2
    ratios = np.exp(np.linspace(-np.log(WIDEST), np.log(WIDEST), 20001))
    sizes = {calculate_dimensions(1024 * 1024, ratio)[:2] for ratio in ratios}
    lengths = {
        ((call.get("width") or width) // multiple) * ((call.get("height") or height) // multiple)
        for width, height in sizes
    }
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    sigmas = call.get("sigmas")
    config = scheduler.config
    found: list[Tensor] = []
    for length in sorted(lengths):
        mu = calculate_shift(
            length,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        scheduler.set_timesteps(
            sigmas=np.linspace(1.0, 1 / num_inference_steps, num_inference_steps) if sigmas is None else sigmas, mu=mu
        )
        found.append(scheduler.timesteps)
    model = pipeline.transformer
    # divided on the device, as the pipeline does: a GPU's quotient may differ from the CPU's in its last bit
    return torch.unique(torch.cat(found).to(model.device, model.dtype) / 1000)
