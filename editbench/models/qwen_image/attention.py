"""Which kernel computes the denoiser's attention: FlashAttention 4 where it is installed and fits, else torch's."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from editbench.process.faults import reason

log = logging.getLogger(__name__)

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From query (rows, heads, width), key and value (tokens, heads, width) to (rows, heads, width); no mask."""

_MODULES = ("flash_attn.cute", "vllm.vllm_flash_attn.cute")
"""The package flash-attn-4, and the copy of it that vLLM brings."""
# compute capabilities, major: Hopper, where it was measured (bench/edit.md), and the Blackwell of data centres
_GPUS = (9, 10)
_CHECKED_TOKENS = 1000  # no multiple of a kernel's tile
_MOST_DISTANCE = 1e-2  # relative L2 between two kernels in bfloat16; each is 2.3e-3 from float32


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A kernel and how it was chosen."""

    attend: Attend
    name: str
    """`FlashAttention 4`, or `torch`."""
    reason: str | None = None
    """Why it is not FlashAttention 4; None where it is."""


def by_torch(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's own choice: cuDNN's kernel on Hopper, FlashAttention 2 elsewhere."""
    q, k, v = (rows.transpose(0, 1)[None] for rows in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)


def choose(device: torch.device, dtype: torch.dtype, num_heads: int, width: int) -> Attention:
    """FlashAttention 4 where it is installed, serves this device and dtype, and agrees with torch's on random numbers.

    By a table and not by a clock: all ranks of a run must choose alike.

    Args:
        device: of the denoiser.
        dtype: of its activations.
        num_heads: of a block.
        width: of a head.
    """
    found = _flash_4(device, dtype, num_heads, width)
    if isinstance(found, str):
        return Attention(attend=by_torch, name="torch", reason=found)
    return Attention(attend=found, name="FlashAttention 4")


def _flash_4(device: torch.device, dtype: torch.dtype, num_heads: int, width: int) -> Attend | str:
    """The kernel, or why it does not serve."""
    if device.type != "cuda":
        return f"it needs a GPU, not {device.type}"
    if torch.cuda.get_device_capability(device)[0] not in _GPUS:
        return f"it is used on Hopper and Blackwell, not on {torch.cuda.get_device_name(device)}"
    if dtype is not torch.bfloat16:
        return f"it is used in bfloat16, not in {str(dtype).removeprefix('torch.')}"
    module = next((name for name in _MODULES if _is_there(name)), None)
    if module is None:
        return "the package flash-attn-4 is not installed"
    try:
        attend = _from(import_module(module))
        query, key, value = torch.randn(3, _CHECKED_TOKENS, num_heads, width, device=device, dtype=dtype)
        with torch.inference_mode():
            expected, given = (way(query, key, value).float() for way in (by_torch, attend))
            distance = ((given - expected).norm() / expected.norm()).item()
    except Exception as error:  # a compiler of another version, or one that the GPU's driver does not fit
        log.warning("%s does not run here.", module, exc_info=True)
        return f"{module} does not run: {reason(error)}"
    if not distance < _MOST_DISTANCE:
        return f"{module} is {distance:.1e} from torch's attention on random numbers"
    return attend


def _is_there(module: str) -> bool:
    """Whether it is installed; the import of a parent may fail where only a part of it is."""
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _from(module: Any) -> Attend:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        given = module.flash_attn_func(query[None], key[None], value[None])
        return (given[0] if isinstance(given, tuple) else given)[0]

    return attend
