"""What all benchmarks share: the machine, a clock, and figures that are on disk as soon as they are known."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from editbench.process.faults import empty_cache, reason
from editbench.run.run_dir import write_atomic


class Figures:
    """The figures of one benchmark, printed and written to a file one after another, so that a kill loses none."""

    def __init__(self, title: str, out: Path | None):
        self._out, self._start = out, time.monotonic()
        self._rows: dict[str, dict[str, Any]] = {}
        self.add(title, machine())

    def add(self, name: str, figures: dict[str, Any]) -> None:
        """Take the figures of one part."""
        self._rows[name] = figures
        shown = ", ".join(f"{key} {_short(value)}" for key, value in figures.items())
        sys.stdout.write(f"[{time.monotonic() - self._start:6.1f} s] {name}: {shown}\n")
        sys.stdout.flush()
        if self._out is not None:
            write_atomic(self._out, (json.dumps(self._rows, indent=2) + "\n").encode())

    def part(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Take the figures that `measure` gives; a part that fails says why, and the others go on."""
        try:
            figures = measure()
        except Exception as error:
            figures = {"failed": reason(error)}
        self.add(name, figures)
        empty_cache()
        return figures


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, Any]:
    """Versions, the GPU and its driver: what a speed can't be read without."""
    known: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": _version("diffusers"),
        "transformers": _version("transformers"),
    }
    if not torch.cuda.is_available():
        return known | {"device": "cpu", "threads": torch.get_num_threads()}
    query = ["nvidia-smi", "--query-gpu=driver_version,power.limit", "--format=csv,noheader", "--id=0"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        driver = f"unknown ({reason(error)})"
    return known | {
        "device": torch.cuda.get_device_name(),
        "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
        "driver, power limit": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "triton": _version("triton"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None  # each benchmark needs some of them


def seconds(call: Callable[[], Any], device: str) -> float:
    """Of one call, from an idle device to an idle device."""
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def timed(call: Callable[[], Any], device: str, *, num_calls: int, num_warm: int = 2) -> dict[str, float]:
    """Median and spread over calls that follow one another, as in a run; on a GPU by its own clock, seconds."""
    for _ in range(num_warm):
        call()
    if device == "cpu":
        took = [seconds(call, device) for _ in range(num_calls)]
    else:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(num_calls + 1)]
        marks[0].record()
        for mark in marks[1:]:
            call()
            mark.record()
        wait(device)
        took = [before.elapsed_time(after) / 1e3 for before, after in pairwise(marks)]
    return {"median_s": statistics.median(took), "fastest_s": min(took), "slowest_s": max(took)}


def wait(device: str) -> None:
    """Until the device has done everything it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def matmul_ceiling(device: str, dtype: torch.dtype, size: int) -> dict[str, float]:
    """The rate of one large product, TFLOP/s: what the device can do with nothing in its way."""
    x, y = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    took = timed(lambda: x @ y, device, num_calls=20, num_warm=5)["median_s"]
    return {"TFLOP/s": 2 * size**3 / took / 1e12}


def distance(x: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative L2: the length of the difference over the length of the reference."""
    x, reference = x.float(), reference.float()
    return ((x - reference).norm() / reference.norm()).item()
