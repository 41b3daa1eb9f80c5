"""Editors and judges whose mishaps are planned, for tests that run the scripts as processes."""

import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from editbench.editors import EditFailed, Editor
from editbench.judges import Judge, Reply

STUCK_S = 600


def stuck(how: Literal["sleeping", "computing"]) -> None:
    if how == "sleeping":
        time.sleep(STUCK_S)
    else:  # in foreign code, which no Python exception can interrupt
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)


@dataclass(kw_only=True)
class StuckEditor(Editor):
    """Gives the source back, but for one place where it stays."""

    at: Literal["loading", "editing", "merging", "nowhere"] = "nowhere"
    how: Literal["sleeping", "computing"] = "sleeping"
    pair: str = ""
    """Stuck while editing only this one; empty: the first."""

    neutral = frozenset({"at", "how", "pair"})

    def load(self, world):
        if self.at == "loading":
            stuck(self.how)
        if self.at == "merging":
            rename = os.replace

            def slow(source, target):
                if Path(target).name == "manifest.jsonl":
                    stuck(self.how)
                rename(source, target)

            os.replace = slow
        return "cpu"

    def edit(self, pair, sources, seed):
        if self.at == "editing" and self.pair in pair.pair_id:
            stuck(self.how)
        return sources[0]


@dataclass(kw_only=True)
class FailingEditor(Editor):
    """Inverts the source, but fails at the pairs whose id holds `at`."""

    at: str = "no such pair"
    how: str = "EditFailed"

    neutral = frozenset({"at", "how"})

    def edit(self, pair, sources, seed):
        if self.at in pair.pair_id:
            if self.how == "Stuck":
                stuck("sleeping")
            if self.how == "Killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise self.error()
        return Image.eval(sources[0], lambda value: 255 - value)

    def error(self) -> Exception:
        import torch

        return {
            "EditFailed": EditFailed("planned"),
            "Bug": ZeroDivisionError("planned"),
            "Poisoned": torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        }[self.how]


@dataclass(kw_only=True)
class StuckJudge(Judge):
    """Says 5.0 to everything, but for one place where it stays."""

    at: Literal["loading", "scoring", "nowhere"] = "nowhere"

    neutral = frozenset({"at"})

    def load(self, world):
        if self.at == "loading":
            stuck("sleeping")
        return "cpu"

    def replies(self, questions):
        if self.at == "scoring":
            stuck("sleeping")
        return [Reply(text="5.0", truncated=False) for _ in questions]
