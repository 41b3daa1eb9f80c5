"""The program that calls editbench from Python, such as a training loop: its state is the same after the call."""

import gc
import logging
import random
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np

_OURS = "editbench"


class Host:
    """A context that restores what an evaluation changes in its process.

    Restored are the handlers and the level of the logger `editbench`, the states of the random generators (Python,
    NumPy, torch on the CPU and on CUDA), torch's number of threads, grad mode and current CUDA device, and the progress
    bars of diffusers and transformers. Memory that nobody refers to goes back to the device. The root logger is not
    touched: what the host's level lets through goes to the host's own handlers.
    """

    def __init__(self) -> None:
        self._exit = ExitStack()
        self._has_seen_torch = False

    def __enter__(self) -> Self:
        ours = logging.getLogger(_OURS)
        self._exit.callback(_restore_logger, ours, list(ours.handlers), ours.level, ours.propagate)
        self.level = ours.getEffectiveLevel()
        """What the host wants to see of editbench."""
        self._exit.callback(random.setstate, random.getstate())
        self._exit.callback(np.random.set_state, np.random.get_state())
        for library in ("diffusers", "transformers"):
            self._exit.callback(_show_progress, library, shown=_shows_progress(library))
        if "torch" in sys.modules:
            self.see_torch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._exit.close()
        free_memory()

    def see_torch(self) -> None:
        """Note torch's state; called before anything changes it, at the latest when torch is imported."""
        if self._has_seen_torch:
            return
        self._has_seen_torch = True
        import torch

        self._exit.callback(torch.set_num_threads, torch.get_num_threads())
        self._exit.callback(torch.set_grad_enabled, torch.is_grad_enabled())
        self._exit.callback(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():
            self._exit.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
            self._exit.callback(torch.cuda.set_device, torch.cuda.current_device())

    def take_lines(self, file: logging.Handler | None) -> None:
        """Send the lines of the logger `editbench` to this file (None: to none), and those that the host wants to it.

        A file of an earlier call is closed.
        """
        ours = logging.getLogger(_OURS)
        for handler in [handler for handler in ours.handlers if isinstance(handler, _Ours)]:
            ours.removeHandler(handler)
            handler.close()
        ours.addHandler(_Ours(file, self.level))
        ours.setLevel(min(self.level, logging.INFO))
        ours.propagate = False


class _Ours(logging.Handler):
    """Writes a record to the stage's file, and passes on to the root logger's handlers what the host wants to see."""

    def __init__(self, file: logging.Handler | None, level: int):
        super().__init__()
        self._file, self._level = file, level

    def emit(self, record: logging.LogRecord) -> None:
        if self._file is not None:
            self._file.handle(record)
        if record.levelno >= self._level:
            logging.getLogger().callHandlers(record)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def free_memory() -> None:
    """Drop what nobody refers to, and give torch's cache back to the devices."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _restore_logger(ours: logging.Logger, handlers: list[logging.Handler], level: int, propagate: bool) -> None:
    for handler in [handler for handler in ours.handlers if handler not in handlers]:
        ours.removeHandler(handler)
        handler.close()
    ours.handlers[:] = handlers
    ours.setLevel(level)
    ours.propagate = propagate


def _shows_progress(library: str) -> bool:
    """Whether the library draws bars; one that is not imported yet does by default."""
    module: Any = sys.modules.get(f"{library}.utils.logging")
    return module is None or module.is_progress_bar_enabled()


def _show_progress(library: str, *, shown: bool) -> None:
    module: Any = sys.modules.get(f"{library}.utils.logging")
    if module is not None and shown:
        module.enable_progress_bar()
