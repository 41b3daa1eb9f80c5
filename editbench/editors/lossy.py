"""Named ways to trade likeness to the model for speed or memory: never a default, and in every edit's record."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from editbench.errors import UsageError
from editbench.models.checkpoints import loading


def check_lora(lora: str) -> None:
    """See without reading weights that a LoRA can be loaded.

    Raises:
        UsageError: no such file, no name of a file on the hub, or no `peft` to load it with.
    """
    option = f"--editor.init_args.lora {lora}"
    if not lora.endswith(".safetensors"):
        raise UsageError(f"{option}: name the file, here or on the hub (owner/name/file.safetensors)")
    if not Path(lora).is_file() and (lora.startswith((".", "/", "~")) or lora.count("/") < 2):
        raise UsageError(f"{option}: no such file, and not one on the hub (owner/name/file.safetensors) either")
    if find_spec("peft") is None:
        raise UsageError(f"{option}: needs peft; pip install 'editbench[lora]'")


def fuse_lora(pipeline: Any, lora: str) -> None:
    """Add a LoRA to the weights for good, so that it costs nothing in a forward."""
    path = Path(lora)
    if path.is_file():
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    else:
        owner, name, file = lora.split("/", 2)
        with loading(f"{owner}/{name}"):
            pipeline.load_lora_weights(f"{owner}/{name}", weight_name=file)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()


def reschedule(pipeline: Any, settings: dict[str, Any]) -> None:
    """Change settings of the scheduler that the checkpoint came with."""
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **settings)


def cache_first_block(pipeline: Any, threshold: float) -> None:
    """Let diffusers skip the other blocks of a step in which the first changed less than the threshold says."""
    from diffusers.hooks.first_block_cache import FirstBlockCacheConfig

    pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))


def hold_in_fp8(pipeline: Any) -> None:
    """Let diffusers keep the denoiser's weights in 8 bits and widen each layer's as it is used."""
    import torch

    model = pipeline.transformer
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=model.dtype)
