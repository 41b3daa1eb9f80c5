"""Where this process stands among the others of its launch, and the few words that they exchange."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Self

from editbench.errors import UsageError

_PATIENCE = timedelta(hours=24)  # rank 0 may check a large benchmark, and a turn to load may be long in coming
_REFUSED = "\0"


@dataclass(frozen=True, kw_only=True)
class World:
    """One process among `size`, as torchrun describes it; a process started alone is rank 0 of 1.

    The processes share files, and beside them only what torchrun's own key-value store carries: no collective, so
    no process ever waits for the slowest inside a GPU call, and neither gloo nor NCCL is needed.
    """

    rank: int = 0
    """0 to size - 1, over all machines."""
    size: int = 1
    """Number of processes over all machines."""
    local_rank: int = 0
    """0 to local_size - 1, on this machine."""
    local_size: int = 1
    """Number of processes on this machine."""
    node: int = 0
    """This machine's number."""

    @classmethod
    def from_env(cls) -> Self:
        """Read what torchrun set; the only place that reads it."""
        return cls(**{name: int(os.environ.get(variable, default)) for name, variable, default in _VARIABLES})

    def from_rank_0(self, name: str, make: Callable[[], str]) -> str:
        """What rank 0 makes, on every rank; the others wait for it.

        Raises:
            UsageError: on rank 0, what `make` raised.
            SystemExit: elsewhere, with the same exit code and nothing more said.
        """
        if self._store is None:
            return make()
        if self.rank == 0:
            try:
                text = make()
            except UsageError:
                self._store.set(name, _REFUSED)
                raise
            self._store.set(name, text)
            return text
        text = self._store.get(name).decode()
        if text == _REFUSED:
            raise SystemExit(2)
        return text

    def apart(self, name: str) -> Self:
        """The same process with counters and words of its own, for a second piece of work in one launch."""
        other = replace(self)
        if self._store is not None:
            import torch.distributed

            prefixed: Any = torch.distributed.PrefixStore  # pyright: ignore[reportPrivateImportUsage]
            other.__dict__["_store"] = prefixed(name, self._store)  # where cached_property keeps it
        return other

    def count(self, name: str, number: int = 0) -> int:
        """Add to a counter that all ranks share and return what it then holds."""
        if self._store is None:
            self._counters[name] = self._counters.get(name, 0) + number
            return self._counters[name]
        return self._store.add(name, number)

    def wait_for(self, name: str, number: int) -> None:
        """Return when the counter has come that far."""
        while self.count(name) < number:
            time.sleep(0.1)

    @cached_property
    def device(self) -> str:
        """This process's own device: `cuda:<n>`, one a local rank, or `cpu`."""
        gpus = self.gpus
        return f"cuda:{gpus[0]}" if gpus else "cpu"

    @cached_property
    def gpus(self) -> tuple[int, ...]:
        """This process's share of this machine's GPUs: M of them over N local ranks, M / N each and one at least."""
        import torch

        number = torch.cuda.device_count()
        if number == 0:
            return ()
        if number < self.local_size:
            return (self.local_rank % number,)
        first, end = (number * edge // self.local_size for edge in (self.local_rank, self.local_rank + 1))
        return tuple(range(first, end))

    def claim_device(self) -> str:
        """Make this process's device the current one and return its name, such as `NVIDIA H200` or `cpu`.

        On the CPU one thread does the arithmetic, however many processes there are: torchrun sets another number
        for one process than for two, and a sum's order, hence a pixel, follows the number of threads.
        """
        import torch

        if self.device == "cpu":
            torch.set_num_threads(1)
            _keep_memory()
            return "cpu"
        torch.cuda.set_device(self.device)
        return torch.cuda.get_device_name()

    @cached_property
    def _counters(self) -> dict[str, int]:
        return {}

    @cached_property
    def _store(self) -> Any:
        if self.size == 1:
            return None
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(rendezvous("env://", self.rank, self.size, timeout=_PATIENCE))
        return store


_VARIABLES = (
    ("rank", "RANK", "0"),
    ("size", "WORLD_SIZE", "1"),
    ("local_rank", "LOCAL_RANK", "0"),
    ("local_size", "LOCAL_WORLD_SIZE", "1"),
    ("node", "GROUP_RANK", "0"),
)


def _keep_memory() -> None:
    """Let the C library keep freed memory for the next tensor of this process, where it has glibc's `mallopt`.

    It gives large blocks back at once, and the kernel clears each page when it is asked for again: 40 % of a demo
    edit's time on a CPU.
    """
    import ctypes

    trim_threshold, mmap_max = -1, -4  # malloc.h: M_TRIM_THRESHOLD, M_MMAP_MAX
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
