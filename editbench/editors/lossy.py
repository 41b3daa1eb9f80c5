"""Named ways to trade likeness to the model for speed or memory: never a default, and in every edit's record."""

import inspect
from typing import Any

from editbench.errors import UsageError


def reschedule(pipeline: Any, settings: dict[str, Any]) -> None:
    """Change settings of the scheduler that the checkpoint came with.

    Raises:
        UsageError: it has no such setting; diffusers would leave it out.
    """
    kind = type(pipeline.scheduler)
    known = sorted(set(inspect.signature(kind.__init__).parameters) - {"self"})
    if unknown := sorted(set(settings) - set(known)):
        raise UsageError(
            f"--editor.init_args.scheduler: {kind.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}"
        )
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **settings)


def cache_first_block(pipeline: Any, threshold: float) -> None:
    """Let diffusers skip the other blocks of a step in which the first changed less than the threshold says.

    Raises:
        UsageError: the denoiser has no blocks that diffusers knows.
    """
    from diffusers.hooks.first_block_cache import FirstBlockCacheConfig

    model = _transformer(pipeline, "first_block_cache")
    if not hasattr(model, "enable_cache"):
        raise UsageError(f"--editor.init_args.first_block_cache: diffusers has no cache for {type(model).__name__}")
    model.enable_cache(FirstBlockCacheConfig(threshold=threshold))


def hold_in_fp8(pipeline: Any) -> None:
    """Let diffusers keep the denoiser's weights in 8 bits and widen each layer's as it is used.

    Raises:
        UsageError: the pipeline has no transformer, or none of its layers could be held so.
    """
    import torch

    model = _transformer(pipeline, "fp8_weights")
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=model.dtype)
    if not any(weight.dtype == torch.float8_e4m3fn for weight in model.parameters()):
        raise UsageError(f"--editor.init_args.fp8_weights: no layer of {type(model).__name__} can be held in 8 bits")


def _transformer(pipeline: Any, setting: str) -> Any:
    model = getattr(pipeline, "transformer", None)
    if model is None:
        raise UsageError(f"--editor.init_args.{setting}: {type(pipeline).__name__} has no transformer to apply it to")
    return model
