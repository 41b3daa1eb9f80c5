"""Judges side by side: the same messages, the same checkpoint, one process after another, seconds a pair."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from editbench.bench.measure import Figures
from editbench.bench.scaling import made, make_judge
from editbench.judges.judge import Message, Reply

_READERS = 8  # threads that prepare messages, as scoring has
_SIDES = {False: 1024, True: 64}
_SYSTEM = {False: 741, True: 40}  # tokens, nearly: one a word; every message begins with them
_WORDS = {False: 120, True: 10}  # tokens of a message's own


def main(argv: Sequence[str]) -> None:
    """Parse the options, make a checkpoint where there is none, and ask each judge."""
    parser = argparse.ArgumentParser(prog="python -m editbench.bench engines", description=__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint; one that is not there is made with random weights")
    parser.add_argument("--judges", nargs="+", default=["QwenVL", "VLLM"], help="classes of editbench.judges")
    parser.add_argument("--pairs", type=int, nargs="+", default=[32, 64], help="pairs that are asked together")
    parser.add_argument("--tokens", type=int, default=6, help="limit of a reply")
    parser.add_argument("--calls", type=int, default=5, help="calls that a median is over")
    parser.add_argument("--small", action="store_true", help="the demo's judge: a rehearsal, its times mean nothing")
    parser.add_argument("--out", type=Path, help="JSON file, written again after each judge")
    args = parser.parse_args(argv)
    if not args.small and args.model is None:
        parser.error("--model: where the checkpoint is, or shall be made (57 GiB)")
    figures = Figures("machine", args.out)
    if not args.small and not args.model.exists():
        figures.part("checkpoint", partial(made, args.model, make_judge))
    model = "editbench:demo/judge" if args.small else str(args.model)
    for judge in args.judges:
        figures.part(judge, partial(_alone, _ask, judge, model, args.small, args.pairs, args.tokens, args.calls))


def _alone(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What work gives in a process of its own, which leaves the GPU free."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _ask(name: str, model: str, small: bool, sizes: Sequence[int], num_tokens: int, num_calls: int) -> dict[str, Any]:
    """Seconds a pair, from prepared messages to replies; each call has messages that were never asked."""
    from editbench import judges
    from editbench.process.world import World

    judge: Any = getattr(judges, name)(model=model, dtype="float32" if small else "bfloat16")
    judge.check()
    start = time.monotonic()
    device = judge.load(World())
    figures: dict[str, Any] = {"device": device, "load_s": time.monotonic() - start} | judge.identity()
    number = 0

    def prepared(num_pairs: int, digits: tuple[str, ...] = ()) -> list[Message]:
        nonlocal number
        messages = [replace(_message(number + i, small, num_tokens), digits=digits) for i in range(num_pairs)]
        number += num_pairs
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(judge.prepare, messages))

    def timed(answer: Callable[[Sequence[Message]], list[Reply]], batches: list[list[Message]]) -> dict[str, Any]:
        took: list[float] = []
        replies: list[Reply] = []
        for batch in batches:
            begin = time.monotonic()
            replies = answer(batch)  # texts: nothing is left to wait for
            took.append((time.monotonic() - begin) / len(batch))
        took = took[1:]  # the first is not warm
        cut = sum(reply.truncated for reply in replies) / len(replies)
        median = statistics.median(took)
        return {"median_s": median, "fastest_s": min(took), "slowest_s": max(took), "of_full_length": cut}

    for size in sizes:
        batches = [prepared(size) for _ in range(num_calls + 1)]
        figures[f"{size} pairs, replies of up to {num_tokens} tokens"] = timed(judge.replies, batches)
        batches = [prepared(size, tuple("0123456789")) for _ in range(num_calls + 1)]
        figures[f"{size} pairs, expected scores"] = timed(judge.probabilities, batches)
    return figures


def _message(number: int, small: bool, num_tokens: int) -> Message:
    """Two pictures of noise and a text that no other number has, after a system text that all have."""
    random = np.random.default_rng(number)
    side = _SIDES[small]
    source, edit = (Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(2))
    words = " ".join(map(str, random.integers(0, 10, _WORDS[small] // 2)))  # a digit and a blank
    return Message(
        system="the " * _SYSTEM[small],
        content=("source", source, "edit", edit, words),
        max_new_tokens=num_tokens,
    )
