"""Both stages of `launch.sh` on 1, 2, … GPUs of this host, at the models' real size with random weights.

python -m editbench.bench scaling 1 2 4 6 8 --folder /data/scaling --out scaling.json

One `bash launch.sh` a number of ranks, watched from outside: a record's time is when its line reached the disk, a
rank's rate is over all its records but the first ones, so without loading and compiling. The two checkpoints (54 and
58 GiB) are made once and stay in the folder.
"""

import argparse
import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from editbench.bench.measure import Figures
from editbench.records import Edit

_ROOT = Path(__file__).parents[2]
_JUDGE = _ROOT / "editbench" / "demo" / "judge"
_JUDGE_BATCH = 8
_READY = re.compile(r" is ready on .* after ([\d.]+) s")


def main(argv: Sequence[str]) -> None:
    """Make what is missing, then launch once a number of ranks."""
    parser = argparse.ArgumentParser(
        prog="python -m editbench.bench scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ranks", type=int, nargs="+", help="numbers of GPUs, one launch each")
    parser.add_argument("--folder", type=Path, required=True, help="for the checkpoints: 120 GB, on a local disk")
    parser.add_argument("--pairs", type=int, default=64, help="edited and judged by each launch")
    parser.add_argument("--steps", type=int, default=2, help="denoising steps, each of them with guidance")
    parser.add_argument("--cold", action="store_true", help="drop the checkpoints from the page cache before a launch")
    parser.add_argument("--edit_only", action="store_true", help="no judge and no checkpoint of it")
    parser.add_argument("--judge_only", action="store_true", help="every source is its own edit: no checkpoint of one")
    parser.add_argument("--small", action="store_true", help="the demo's models: a rehearsal, its times mean nothing")
    parser.add_argument("--out", type=Path, help="JSON file, written anew after each launch")
    args = parser.parse_args(argv)
    figures = Figures("machine", args.out)
    makers = {"editor": _make_editor, "judge": make_judge}
    left_out = {"editor": args.small or args.judge_only, "judge": args.small or args.edit_only}
    for name in [name for name in makers if not left_out[name]]:
        figures.add(f"{name}'s checkpoint", made(args.folder / name, makers[name]))
    benchmark = _benchmark(args.folder / f"{args.pairs}-pairs", args.pairs)
    found: dict[int, dict[str, Any]] = {}
    for number in args.ranks:
        if args.cold:
            figures.add(f"{number} ranks, dropped from the page cache", {"gib": _evict(args.folder)})
        run = args.folder / f"run-{time.time_ns()}"
        command = [
            *_command(number, edit_only=args.edit_only),
            *_options(args),
            "--benchmark",
            benchmark,
            "--run_dir",
            run,
        ]
        launch = _Launch(run, number)
        launch.watch([str(part) for part in command])
        found[number] = figures.part(f"{number} ranks", launch.figures)
    first, *more = args.ranks
    for number in more:
        ratios = {
            f"{what} against {first}": found[number][what] / found[first][what] * first / number
            for what in ("images_an_hour", "judged_a_second")
            if what in found[first] and what in found[number]
        }
        figures.add(f"scaling, {number} ranks", ratios)


def _command(number: int, *, edit_only: bool) -> list[Any]:
    if edit_only:
        return ["torchrun", "--standalone", f"--nproc_per_node={number}", _ROOT / "edit.py"]
    return ["bash", _ROOT / "launch.sh"]


def _options(args: argparse.Namespace) -> list[Any]:
    """The editor's and the judge's; all scores of random weights may fail, and what they are does not matter."""
    models: list[Any] = ["--config", "demo"]
    if not args.small:
        models = ["--editor", "QwenImageEdit", "--editor.init_args.model", args.folder / "editor"]
        models += ["--judge", "QwenVL", "--judge.init_args.model", args.folder / "judge"]
    steps: list[Any] = ["--editor.init_args.num_inference_steps", args.steps]
    if args.judge_only:
        steps = ["--editor", "Unchanged"]
    return [
        *models,
        *steps,
        *("--batch_size", _JUDGE_BATCH),
        *("--expected", "true", "--rubric", "FiveAspects", "--rubric.init_args.digits", "true"),
        *("--max_failures", args.pairs),
    ]


def made(path: Path, make: Any) -> dict[str, Any]:
    """Let a process of its own write a checkpoint, so that the GPU is free again afterwards."""
    start = time.monotonic()
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.unfinished")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(make, unfinished).result()
        unfinished.rename(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"gib": size / 2**30, "took_s": time.monotonic() - start}


def _make_editor(path: Path) -> None:
    from editbench.bench import random_models

    random_models.pipeline(random_models.transformer("cuda", small=False), small=False).save_pretrained(path)


def make_judge(path: Path) -> None:
    """The weights at random, the words and the pictures' preparation as the demo's judge has them."""
    from transformers import AutoConfig, AutoProcessor

    from editbench.bench import random_judge

    config: Any = AutoConfig.from_pretrained(_JUDGE)
    processor: Any = AutoProcessor.from_pretrained(_JUDGE)
    model = random_judge.model("cuda", small=False)
    for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
        setattr(model.config, name, getattr(config, name))
    model.save_pretrained(path, max_shard_size="5GB")
    processor.image_processor.size = {"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096}  # the model's own
    processor.save_pretrained(path)


def _benchmark(folder: Path, num_pairs: int) -> Path:
    """Drawn scenes of 1024², beside their instructions."""
    from editbench.demo.training.drawing import draw
    from editbench.demo.training.pairs import evaluation_edits, png

    folder.mkdir(parents=True, exist_ok=True)
    rows: list[str] = []
    for number, edit in enumerate(evaluation_edits(num_pairs)):
        name = f"{number:04d}"
        (folder / f"{name}.png").write_bytes(png(draw([edit.source], 1024)[0]))
        row = {"id": name, "source": f"{name}.png", "instruction": edit.en, "category": edit.category}
        rows.append(json.dumps(row) + "\n")
    path = folder / "pairs.jsonl"
    path.write_text("".join(rows), encoding="utf-8")
    return path


def _evict(folder: Path) -> float:
    """Ask the kernel to forget the checkpoints' pages; GiB that were asked for."""
    total = 0
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            total += path.stat().st_size
    return total / 2**30


@dataclass
class _Launch:
    """One run of the stages, as its files tell it."""

    run: Path
    num_ranks: int
    started: float = 0.0
    ended: float = 0.0
    exit_code: int = 0
    host_gib: float = 0.0
    """The most that the host's memory in use grew by, page cache not counted."""
    counts: dict[str, list[tuple[float, int]]] = field(default_factory=dict[str, list[tuple[float, int]]])
    """Of each rank's file of records: when it was seen to hold how many."""

    def watch(self, command: Sequence[str]) -> None:
        """Run it to its end."""
        number = str(self.num_ranks)
        environment = os.environ | {"NUM_EDITORS": number, "NUM_JUDGES": number}
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(self.num_ranks)))
        before = psutil.virtual_memory().used
        self.started = time.monotonic()
        process = subprocess.Popen(command, env=environment)
        while process.poll() is None:
            self._look()
            self.host_gib = max(self.host_gib, (psutil.virtual_memory().used - before) / 2**30)
            time.sleep(0.05)
        self.ended = time.monotonic()
        self.exit_code = process.returncode

    def _look(self) -> None:
        now = time.monotonic()
        for path in (self.run / "parts").glob("*.jsonl"):
            try:
                number = path.read_bytes().count(b"\n")
            except FileNotFoundError:
                continue  # merged meanwhile
            seen = self.counts.setdefault(path.name, [])
            if number and (not seen or seen[-1][1] != number):
                seen.append((now, number))

    def figures(self) -> dict[str, Any]:
        """Rates, loading, memory and the switch between the stages, seconds but where it says otherwise."""
        edits, scores = self._seen("edit."), self._seen("score-")
        found: dict[str, Any] = {
            "images_an_hour": 3600 * sum(map(_rate, edits)),
            "first_image_s": min(seen[0][0] for seen in edits) - self.started,
            "editors_load_s": self._loads("edit"),
        }
        if scores:
            found["judged_a_second"] = sum(map(_rate, scores))
            found["judges_load_s"] = self._loads("score-")
            found["switch_s"] = min(seen[0][0] for seen in scores) - max(seen[-1][0] for seen in edits)
        with (self.run / "manifest.jsonl").open(encoding="utf-8") as file:
            errors = sum(Edit.from_json(line).error is not None for line in file)
        return found | {
            "exit_code": self.exit_code,
            "failed_edits": errors,
            "host_gib": self.host_gib,
            "all_s": self.ended - self.started,
        }

    def _seen(self, stage: str) -> list[list[tuple[float, int]]]:
        return [seen for name, seen in sorted(self.counts.items()) if name.startswith(stage) and seen]

    def _loads(self, stage: str) -> list[float]:
        logs = sorted(path for path in (self.run / "logs").glob("*.log") if path.name.startswith(stage))
        return [float(found) for path in logs for found in _READY.findall(path.read_text(encoding="utf-8"))]


def _rate(seen: Sequence[tuple[float, int]]) -> float:
    """Records a second of one rank, between the first and the last time that some were seen."""
    (start, before), (end, after) = seen[0], seen[-1]
    return (after - before) / (end - start) if end > start else float("nan")
