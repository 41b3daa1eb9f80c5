"""The place of this process among those of its launch, and the few messages that they exchange."""

import contextlib
import functools
import itertools
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, Self

from editbench.errors import UsageError
from editbench.process.host import Host
from editbench.process.terminal import say

log = logging.getLogger(__name__)
Launcher = Literal["auto", "slurm", "single"]

_PATIENCE = timedelta(hours=24)  # rank 0 may check a large benchmark, and a turn to load may be long in coming
_REFUSED = "\0"
_COUNTING = threading.Lock()
_CALLS = itertools.count()
"""Calls from Python in this process: each has a namespace of the host's store."""
_BEAT_S = 5.0
SILENCE_S = 120.0
"""A rank of another machine that gives no sign of life for so many seconds is taken for dead."""
SAY_EVERY_S = 60.0
"""How often a process that waits for another one says so."""


class RefusedByRank0(UsageError):
    """Rank 0 has refused the call, and said why on its own terminal."""


class RankLost(OSError):
    """Another rank gave no sign of life for `SILENCE_S` or raised an exception, or the launch's store has gone."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One process among `size`; a process started alone is rank 0 of 1.

    The processes share files, and beside them only a small key-value store (torchrun's, or that of rank 0 under Slurm):
    no collective, so no process waits for the slowest inside a GPU call, and neither gloo nor NCCL is needed.
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
    num_nodes: int = 1
    """Number of machines."""
    launcher: Launcher = "auto"
    """Where the numbers above come from."""
    host: Host | None = None
    """The program that has called editbench from Python, whose state is kept; None: a command of ours."""
    host_gpu: int | None = None
    """The GPU that the host has given this rank; None: this process's share by its number."""

    @classmethod
    def from_env(cls, launcher: Launcher = "auto") -> Self:
        """Read the variables of torchrun, or with `slurm` those of srun; the only place that reads them.

        A process that neither started works alone: variables of the same names, which pods and schedulers set for other
        programs, are removed from its environment, since libraries would believe them.

        Raises:
            UsageError: srun started several tasks, and the call does not say what their ranks are.
        """
        if (world := cls.from_torchrun()) is not None:
            return world
        if launcher == "slurm":
            return replace(cls(launcher="slurm"), **_numbers(_SLURM))
        num_tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", os.environ.get("SLURM_NTASKS", "1")))
        if launcher == "auto" and num_tasks > 1 and "SLURM_PROCID" in os.environ:
            raise UsageError(
                f"started by Slurm as task {os.environ['SLURM_PROCID']} of SLURM_NTASKS={num_tasks}, without torchrun: "
                "each task would do all the work. Start one launch.sh, editbench run or torchrun a node, or add "
                "--launcher slurm (one task a GPU), or --launcher single for a process that works alone."
            )
        for variable in ("MASTER_ADDR", "MASTER_PORT", *itertools.chain.from_iterable(_TORCHRUN.values())):
            os.environ.pop(variable, None)
        return cls()

    @classmethod
    def from_torchrun(cls) -> Self | None:
        """What torchrun (or accelerate, which uses it) says; None where it did not start this process."""
        return replace(cls(), **_numbers(_TORCHRUN)) if "TORCHELASTIC_RUN_ID" in os.environ else None

    @classmethod
    def in_host(cls, host: Host, *, alone: bool = False) -> "World":
        """This process among the ranks of torch.distributed's initialised default group, else among those of torchrun.

        Every rank makes the same calls in the same order: each call has a namespace of its own in the store.

        Args:
            host: the calling program.
            alone: this process works by itself, whatever group it is in.

        Raises:
            RankLost: the store has gone.
        """
        if alone:  # not counted: the other ranks make no such call
            return cls(host=host)
        distributed: Any = sys.modules.get("torch.distributed")
        number = next(_CALLS)
        if distributed is None or not distributed.is_available() or not distributed.is_initialized():
            launched = cls.from_torchrun()
            if launched is None or launched.size == 1:
                return cls(host=host)
            connected = cls._connected(launched)
            return connected._shared_with(replace(launched, host=host))._of_call(number)
        world = cls(rank=distributed.get_rank(), size=distributed.get_world_size(), host=host)
        if world.size == 1:
            return world
        world._connect(distributed.distributed_c10d._get_default_store())
        return world._of_call(number)._placed()

    @staticmethod
    @functools.cache
    def _connected(world: "World") -> "World":
        """The place that torchrun gives this process, with the one connection that all its calls share."""
        assert world._store is not None
        return world

    def _connect(self, store: Any) -> None:
        """Use this store, of a launcher that sees to it that no rank outlives another."""
        self.__dict__["_store"] = store  # where cached_property keeps it
        self.__dict__["_life"] = None

    def _of_call(self, number: int) -> "World":
        world = self.apart(f"editbench call {number}")
        if world._store is not None:
            world.__dict__["_call"] = world._store
        return world

    def _placed(self) -> "World":
        """The same process with its place on its machine, as all ranks say where they are."""
        import torch

        gpu = torch.cuda.current_device() if torch.cuda.is_available() and torch.cuda.is_initialized() else -1
        self._ask("set", f"place of {self.rank}", f"{gpu} {socket.gethostname()}")
        names = [f"place of {rank}" for rank in range(self.size)]
        self._wait("all ranks to call editbench.evaluate", lambda: self._ask("check", names))
        places = [self._ask("get", name).decode().partition(" ") for name in names]
        hosts = [host for _, _, host in places]
        here = [rank for rank, host in enumerate(hosts) if host == hosts[self.rank]]
        gpus = [int(places[rank][0]) for rank in here]
        machines = list(dict.fromkeys(hosts))
        other = replace(
            self,
            local_rank=here.index(self.rank),
            local_size=len(here),
            node=machines.index(hosts[self.rank]),
            num_nodes=len(machines),
            # ranks that all stand on one GPU have not chosen it
            host_gpu=gpu if gpu >= 0 and len(set(gpus)) == len(gpus) else None,
        )
        return self._shared_with(other)

    def _shared_with(self, other: "World") -> "World":
        """The other one, with this one's store."""
        for name in ("_store", "_life", "_call"):
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other

    def give_up(self) -> None:
        """Let the ranks that wait for this one know that it has raised an exception."""
        if "_call" in self.__dict__:
            with contextlib.suppress(RuntimeError):  # the store has gone
                self.__dict__["_call"].add("gave up", 1)

    def meet(self, name: str) -> None:
        """Return when all ranks have come here."""
        self.count(name, 1)
        self.wait_for(name, self.size, "the other ranks")

    def from_rank_0(self, name: str, make: Callable[[], str]) -> str:
        """The text that rank 0 makes, on every rank; the others wait for it.

        Raises:
            UsageError: on rank 0, what `make` raised.
            RefusedByRank0: elsewhere, after rank 0 raised that.
            RankLost: rank 0 is on another machine and gives no sign of life.
        """
        if self._store is None:
            return make()
        if self.rank == 0:
            try:
                text = make()
            except UsageError:
                self._ask("set", name, _REFUSED)
                raise
            self._ask("set", name, text)
            return text
        self._wait(f"rank 0 ({name})", lambda: self._ask("check", [name]))
        text = self._ask("get", name).decode()
        if text == _REFUSED:
            raise RefusedByRank0("rank 0 has refused the call; its terminal says why.")
        return text

    def is_first_to_say(self, text: str) -> bool:
        """Whether no other process of this machine has asked the same of the same text."""
        if self._store is None:
            return True
        try:
            return self._ask("add", f"said on node {self.node}: {text}", 1) == 1
        except RankLost:  # the store has gone with its launcher
            return True

    def apart(self, name: str) -> Self:
        """The same process with counters and messages that are separate, for a second piece of work in one launch."""
        other = replace(self)
        if self._store is not None:
            import torch.distributed

            life = self._life
            prefixed: Any = torch.distributed.PrefixStore  # pyright: ignore[reportPrivateImportUsage]
            self._shared_with(other)._connect(prefixed(name, self._store))
            other.__dict__["_life"] = life
        return other

    def count(self, name: str, number: int = 0) -> int:
        """Add to a counter that all ranks share and return its value."""
        if self._store is None:
            with _COUNTING:
                self._counters[name] = self._counters.get(name, 0) + number
                return self._counters[name]
        return self._ask("add", name, number)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """A call to the store.

        Raises:
            RankLost: the store has gone, with the machine or the launcher that kept it.
        """
        try:
            return getattr(self._store, method)(*arguments)
        except RuntimeError as error:
            raise RankLost("the machine or the launcher that connected the ranks has ended") from error

    def wait_for(self, name: str, number: int, what: str | None = None) -> None:
        """Return when the counter has reached the number; `what` says in the log what is waited for.

        Raises:
            RankLost: a rank of another machine gives no sign of life.
        """
        self._wait(what or f"{name} to reach {number}", lambda: self.count(name) >= number)

    def leave(self) -> None:
        """Called at the end of the work: over several machines, return only when all ranks have come here.

        Otherwise a launcher that ends early takes the store with it, which the others still need. A rank that gives no
        sign of life is no longer waited for.
        """
        if self._life is not None and "_store" in self.__dict__:
            self.count("left", 1)
            with contextlib.suppress(RankLost):  # the keeper of the store has seen that all have come, and left
                self._wait("the ranks of the other machines", lambda: self.count("left") >= self.size)

    def _wait(self, what: str, is_over: Callable[[], bool]) -> None:
        start = said = time.monotonic()
        pause_s = 0.01
        while not is_over():
            time.sleep(pause_s)
            pause_s = min(0.2, 1.5 * pause_s)
            if self._life is not None:
                self._life.refuse_dead()
            if "_call" in self.__dict__ and self.__dict__["_call"].add("gave up", 0):
                raise RankLost("another rank has raised an exception; its own output says which")
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                self._say_waiting(what, said - start)

    def _say_waiting(self, what: str, seconds: float) -> None:
        line = f"rank {self.rank} waits for {what}, {seconds / 60:.0f} min so far"
        log.info("%s", line)
        if self.local_rank == 0 and self.rank != 0:  # rank 0 logs to the terminal
            say(line)

    @contextlib.contextmanager
    def _saying(self, what: str) -> Generator[None]:
        """Say every minute that a call which cannot be interrupted waits."""
        done, start = threading.Event(), time.monotonic()

        def say() -> None:
            while not done.wait(SAY_EVERY_S):
                self._say_waiting(what, time.monotonic() - start)

        threading.Thread(target=say, name="waiting", daemon=True).start()
        try:
            yield
        finally:
            done.set()

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
        if self.host_gpu is not None:
            return (self.host_gpu,)
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
            self.compute_alike()
            if self.host is None:  # its memory is its own affair
                _keep_memory()
            return "cpu"
        if self.host is not None:
            self.host.see_torch()
        torch.cuda.set_device(self.device)
        return torch.cuda.get_device_name()

    def compute_alike(self) -> None:
        """Do the CPU's arithmetic in one thread, in which a sum's order is always the same."""
        import torch

        if self.host is not None:
            self.host.see_torch()
        torch.set_num_threads(1)

    @cached_property
    def _counters(self) -> dict[str, int]:
        return {}

    @cached_property
    def _store(self) -> Any:
        if self.size == 1:
            return None
        from torch.distributed.rendezvous import rendezvous

        if self.launcher == "slurm":
            os.environ.setdefault("MASTER_ADDR", _first_host(os.environ["SLURM_JOB_NODELIST"]))
            job = int(os.environ.get("SLURM_JOB_ID", "0")) * 16 + int(os.environ.get("SLURM_STEP_ID", "0"))
            os.environ.setdefault("MASTER_PORT", str(20_000 + job % 10_000))  # below the ports that systems hand out
        with self._saying("all ranks to start"):
            store, _, _ = next(rendezvous("env://", self.rank, self.size, timeout=_PATIENCE))
        if self._life is not None:
            self._life.begin(store)
        return store

    @cached_property
    def _life(self) -> "_Life | None":
        """The heartbeats; None where one launcher sees all the processes, and ends them all when one of them dies."""
        return _Life(self.rank, self.size) if self.num_nodes > 1 or self.launcher == "slurm" else None


class _Life:
    """The heartbeat of this rank, and what it last saw of those of the others."""

    def __init__(self, rank: int, size: int):
        self._rank, self._size = rank, size
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked = 0.0

    def begin(self, store: Any) -> None:
        self._store = store.clone()  # its own connection: a slow call of the work's must not hold back a heartbeat
        self._beat()
        threading.Thread(target=self._go_on, name="heartbeat", daemon=True).start()

    def refuse_dead(self) -> None:
        """Look, at most every `_BEAT_S`, whether the other ranks live.

        Raises:
            RankLost: one of them does not.
        """
        now = time.monotonic()
        if now - self._looked < _BEAT_S:
            return
        self._looked = now
        for rank in range(self._size):
            try:
                beats = self._store.add(f"beats of {rank}", 0)
            except RuntimeError as error:
                raise RankLost("the machine that connected the ranks has ended") from error
            before, since = self._seen.get(rank, (-1, now))
            self._seen[rank] = (beats, now if beats != before else since)
            if now - self._seen[rank][1] > SILENCE_S:
                raise RankLost(f"rank {rank}, on another machine, has given no sign of life for {SILENCE_S:.0f} s")

    def _beat(self) -> None:
        self._store.add(f"beats of {self._rank}", 1)

    def _go_on(self) -> None:
        while True:
            time.sleep(_BEAT_S)
            try:
                self._beat()
            except RuntimeError:  # the store has gone, which ends what waits for it too
                return


_TORCHRUN = {
    "rank": ("RANK",),
    "size": ("WORLD_SIZE",),
    "local_rank": ("LOCAL_RANK",),
    "local_size": ("LOCAL_WORLD_SIZE",),
    "node": ("GROUP_RANK",),
    "num_nodes": ("GROUP_WORLD_SIZE",),
}
_SLURM = {  # of the step where srun says so, else of the job
    "rank": ("SLURM_PROCID",),
    "size": ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
    "local_rank": ("SLURM_LOCALID",),
    "local_size": ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE"),
    "node": ("SLURM_NODEID",),
    "num_nodes": ("SLURM_STEP_NUM_NODES", "SLURM_NNODES"),
}


def _numbers(variables: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A World's fields from the first of each field's variables that is set.

    Raises:
        UsageError: none is set, or it is no number.
    """
    found: dict[str, Any] = {}
    for field, names in variables.items():
        text = next((os.environ[name] for name in names if name in os.environ), "not set")
        number = text.partition("(")[0].partition(",")[0]  # tasks per node may be "8(x2),4"
        if not number.isdecimal():
            raise UsageError(f"{' or '.join(names)}: {text}; torchrun or srun must start the command")
        found[field] = int(number)
    return found


def _first_host(nodes: str) -> str:
    """The first of Slurm's list of hosts: `gpu03` of `gpu[03-05,09],cpu1`."""
    name = nodes.partition(",")[0]
    prefix, _, numbers = name.partition("[")
    return prefix + numbers.partition("-")[0].rstrip("]")


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
