"""How the stages grow with the number of pairs: time and memory of each, without a model.

python -m editbench.bench scale 1000 10000 100000 --out scale.json

Pairs of 16 × 16 pixels, the `Unchanged` editor and a judge that answers without looking, each stage a process of its
own as a user starts it. `resume` edits a run in which one pair is left: nearly all of it is the start.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from editbench.judges import Judge, Message, Reply
from editbench.rubrics.five_aspects import CATEGORIES

_SIDE = 16
_STAGES = {"edit": ("edit", False), "resume": ("edit", False), "score": ("score", True), "report": ("report", True)}


@dataclass(kw_only=True)
class HashJudge(Judge):
    """Answers each message with the same number every time: from a hash of its text, without looking."""

    def replies(self, messages: Sequence[Message]) -> list[Reply]:
        """A number from 0 to 9 for each."""
        texts = ("".join(part for part in message.content if isinstance(part, str)) for message in messages)
        return [Reply(text=str(hashlib.sha256(text.encode()).digest()[0] % 10)) for text in texts]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One stage at one size."""

    stage: str
    num_pairs: int
    seconds: float
    """Wall time of the whole process, its start included."""
    cpu_s: float
    """Processor time of the process, which others on the machine disturb less."""
    peak_mib: float
    """Largest resident size of the process."""
    start_s: float | None = None
    """Wall time until the editor is ready, where the stage is an edit."""


def measure(num_pairs: int, folder: Path) -> list[Measured]:
    """Each stage once on that many pairs, one after another."""
    benchmark, run = _write_benchmark(num_pairs, folder), folder / "run"
    found: list[Measured] = []
    for name, (stage, from_run) in _STAGES.items():
        if name == "resume":
            _forget_last(run / "manifest.jsonl")
        code = (
            f"from editbench.cli.command import run; from editbench.stages.{stage} import {stage} as stage; "
            f"raise SystemExit(run(stage, '', from_run={from_run}))"
        )
        argv = ["--run_dir", str(run)]
        if not from_run:
            argv += ["--benchmark", str(benchmark), "--editor", "Unchanged", "--rubric", "Brief"]
            argv += ["--judge", f"{__name__}.HashJudge"]
        ready = run / "environment.json" if stage == "edit" else None
        found.append(_timed(name, num_pairs, [sys.executable, "-c", code, *argv], ready))
        sys.stdout.write(f"{_row(found[-1])}\n")
        sys.stdout.flush()
    return found


def _timed(stage: str, num_pairs: int, command: Sequence[str], ready: Path | None) -> Measured:
    begun, start = time.time(), time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measured(
        stage=stage,
        num_pairs=num_pairs,
        seconds=round(seconds, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mib=round(usage.ru_maxrss / 1024),
        # the file that an edit writes once its editor is loaded
        start_s=round(ready.stat().st_mtime - begun, 2) if ready else None,
    )


def _write_benchmark(num_pairs: int, folder: Path) -> Path:
    images = folder / "images"
    images.mkdir()
    path = folder / "pairs.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(num_pairs):
            name = f"{number:06d}"
            Image.new("RGB", (_SIDE, _SIDE), (number % 256, number // 256 % 256, number // 65536)).save(
                images / f"{name}.png", compress_level=1
            )
            row = {"id": name, "source": f"images/{name}.png", "instruction": f"Turn square {name} blue."}
            file.write(json.dumps(row | {"category": CATEGORIES[number % len(CATEGORIES)]}) + "\n")
    return path


def _forget_last(manifest: Path) -> None:
    """Cut its last line off; to read all of it would show in a stage's peak, which begins at its parent's memory."""
    with manifest.open("rb+") as file:
        file.seek(-2, os.SEEK_END)
        while file.read(1) != b"\n":
            file.seek(-2, os.SEEK_CUR)
        file.truncate()


def _row(measured: Measured) -> str:
    start = "" if measured.start_s is None else f", begins after {measured.start_s:.1f} s"
    taken = f"{measured.seconds:10.1f} s{measured.cpu_s:10.1f} CPU-s{measured.peak_mib:8.0f} MiB"
    return f"{measured.stage:8}{measured.num_pairs:8,} pairs{taken}{start}"


def main(argv: Sequence[str]) -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m editbench.bench scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("num_pairs", type=int, nargs="+", help="how many pairs, one size after another")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    args = parser.parse_args(argv)
    found: list[Measured] = []
    for num_pairs in args.num_pairs:
        with tempfile.TemporaryDirectory() as folder:
            found += measure(num_pairs, Path(folder))
    if args.out is not None:
        args.out.write_text(json.dumps([asdict(measured) for measured in found], indent=1) + "\n", encoding="utf-8")
