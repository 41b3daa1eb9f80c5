"""What of a pipeline stays on the GPU, from the sizes in its checkpoint and the memory that is free before loading."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from editbench.errors import UsageError
from editbench.models.checkpoints import safetensors_header

Offload = Literal["auto", "none", "model", "group"]
_WORKING_GIB = 5  # activations of a 1 MP edit, and what a workspace and a fragmented pool take


def component_bytes(folder: Path, bytes_a_number: int) -> dict[str, int]:
    """The memory of each part of a pipeline, in bytes, read from the headers of its safetensors files.

    Args:
        folder: a diffusers checkpoint.
        bytes_a_number: of the type that it will be loaded as.
    """
    found: dict[str, int] = {}
    for path in sorted(folder.glob("*/*.safetensors")):
        numbers = sum(math.prod(entry.shape) for entry in safetensors_header(path).tensors.values())
        found[path.parent.name] = found.get(path.parent.name, 0) + numbers * bytes_a_number
    return found


def choose(sizes: Mapping[str, int], free: int) -> Offload:
    """`none` if all parts fit together, `model` if the largest does alone, else `group`.

    Args:
        sizes: bytes by part.
        free: bytes.

    Raises:
        UsageError: not even the activations would fit.
    """
    working = _WORKING_GIB * 2**30
    if free < working:
        raise UsageError(f"{free / 2**30:.1f} GiB of GPU memory are free; an edit needs {_WORKING_GIB} for itself")
    if sum(sizes.values()) + working <= free:
        return "none"
    return "model" if max(sizes.values()) + working <= free else "group"


def in_a_line(chosen: Offload, sizes: Mapping[str, int], free: int) -> str:
    """The choice and its reason in a line."""
    gib = {name: f"{size / 2**30:.1f}" for name, size in sizes.items()}
    parts = ", ".join(f"{name} {size}" for name, size in gib.items())
    what = {
        "none": "everything stays on the GPU",
        "model": "one part at a time on the GPU, the others in host memory: slower",
        "group": "a few layers at a time on the GPU, the rest in host memory: much slower",
    }
    return f"Weights of {sum(sizes.values()) / 2**30:.1f} GiB ({parts}), {free / 2**30:.1f} GiB free: {what[chosen]}."
