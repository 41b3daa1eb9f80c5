"""What the parts of the training share: a clock that survives a restart, a schedule, a checkpoint, a log."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any


class Session:
    """One part's training, in as many calls as it takes; its schedule follows the time spent, not the steps."""

    def __init__(self, part: str, folder: Path, *, total_s: float, call_s: float, learning_rate: float) -> None:
        """Take up the part where its checkpoint left it.

        Args:
            part: its name, and its files'.
            folder: of checkpoints and the log.
            total_s: of the whole training, seconds of wall time over all calls.
            call_s: the most of this call.
            learning_rate: the highest.
        """
        self.part, self.folder = part, folder
        self.total_s, self.call_s, self.learning_rate = total_s, call_s, learning_rate
        self.step, self.before_s = 0, 0.0
        self.began = time.monotonic()
        self.last_save = self.began
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def spent_s(self) -> float:
        """Over all calls, seconds."""
        return self.before_s + time.monotonic() - self.began

    @property
    def progress(self) -> float:
        """0 at the beginning, 1 at the end."""
        return min(1.0, self.spent_s / self.total_s)

    @property
    def goes_on(self) -> bool:
        """Whether there is time left for another step."""
        return self.progress < 1 and time.monotonic() - self.began < self.call_s

    def schedule(self, optimiser: Any, warmup: int = 200) -> None:
        """Set the learning rate: a warm-up by steps, then half a cosine by time."""
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress))
        for group in optimiser.param_groups:
            group["lr"] = self.learning_rate * min(1.0, (self.step + 1) / warmup) * cosine

    def restore(self, **holders: Any) -> bool:
        """Load the checkpoint into these models and optimisers, if there is one."""
        import torch

        path = self.folder / f"{self.part}.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.step, self.before_s = state["step"], state["spent_s"]
        for name, holder in holders.items():
            holder.load_state_dict(state[name])
        self.log(resumed=True)
        return True

    def save(self, **holders: Any) -> None:
        """Write the checkpoint, all of it or nothing."""
        import torch

        state = {name: holder.state_dict() for name, holder in holders.items()}
        path = self.folder / f"{self.part}.pt"
        torch.save({**state, "step": self.step, "spent_s": self.spent_s}, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)
        self.last_save = time.monotonic()

    def log(self, **figures: Any) -> None:
        """Append a line of figures to the log."""
        rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in figures.items()}
        line = json.dumps({"part": self.part, "step": self.step, "s": round(self.spent_s), **rounded})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        import sys

        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def spent_s(part: str, folder: Path) -> float:
    """What a part's checkpoint says was spent on it, seconds; 0 without one."""
    import torch

    path = folder / f"{part}.pt"
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["spent_s"] if path.exists() else 0.0


def device() -> str:
    """The GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def mixed(on: str) -> Any:
    """Autocast to bf16 on a GPU; a CPU emulates it slowly."""
    import torch

    # no weight's cast is kept: a recorded step would go on with what the weight was when it was recorded
    return torch.autocast(on, torch.bfloat16, enabled=on == "cuda", cache_enabled=False)
