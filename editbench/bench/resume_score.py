"""Time and memory that a resume of `score` needs before the judge is asked, at three calls a pair.

python -m editbench.bench resume_score 100000

The run is written record by record: all pairs are edited, and all but one are judged. The process is one as a user
starts it; its judge is ready at once, and answers the last pair.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from editbench.bench.scale import HashJudge
from editbench.config import Config, to_yaml
from editbench.editors import Unchanged
from editbench.images import encode_png
from editbench.process.world import World
from editbench.records import Answer, Edit, Pair, Picture, Score
from editbench.rubrics import FromFile
from editbench.run.durable import write_atomic, write_records
from editbench.run.run_dir import RunDir, edit_key, sha256
from editbench.stages.protocol import protocol, questions, score_key

_RUBRIC = """\
version: three-calls
scale: [0, 9]
calls:
  done: {text: "Was it done as asked? {instruction}", reply: {number: [0, 9]}}
  kept: {text: "Is the rest as it was? {instruction}", reply: {number: [0, 9]}}
  natural: {shows: [edit], text: "How natural is it?", reply: {number: [0, 9]}}
"""


@dataclass(kw_only=True)
class ReadyJudge(HashJudge):
    """Leaves a file when it is loaded, with the processor's seconds until then."""

    marker: str
    """The file."""

    neutral = frozenset({"marker"})

    def load(self, world: World) -> str:
        """Nothing is loaded."""
        Path(self.marker).write_text(f"{time.process_time():.1f}", encoding="utf-8")
        return "cpu"


def main(argv: Sequence[str]) -> None:
    """Measure and print a line."""
    parser = argparse.ArgumentParser(
        prog="python -m editbench.bench resume_score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("num_pairs", type=int)
    num_pairs: int = parser.parse_args(argv).num_pairs
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{_measured(num_pairs, Path(folder))}\n")


def _measured(num_pairs: int, folder: Path) -> str:
    ready = folder / "ready"
    # in a process of its own: the peak of a process begins with its parent's memory
    subprocess.run(
        [sys.executable, "-c", f"from {__name__} import write; write({num_pairs}, {str(folder)!r})"], check=True
    )
    judge = ("--judge", f"{__name__}.ReadyJudge", "--judge.init_args.marker", str(ready))
    command = [sys.executable, "-m", "editbench", "score", "--run_dir", str(folder / "run"), *judge, "--trust_run"]
    begun, start = time.time(), time.monotonic()
    environ = os.environ | {"XDG_STATE_HOME": str(folder)}  # this user trusts no such rubric afterwards
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return (
        f"{num_pairs:,} pairs: the judge is ready after {ready.stat().st_mtime - begun:.1f} s "
        f"({ready.read_text(encoding='utf-8')} CPU-s); whole process "
        f"{time.monotonic() - start:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} CPU-s, peak "
        f"{usage.ru_maxrss / 1024:,.0f} MiB"
    )


def write(num_pairs: int, where: str) -> None:
    """Write the run into a folder: all but the last pair have a score."""
    folder = Path(where)
    (folder / "rubric.yaml").write_text(_RUBRIC, encoding="utf-8")
    run = RunDir(folder / "run")
    rubric = FromFile(file=str(folder / "rubric.yaml"))
    judge = ReadyJudge(marker=str(folder / "ready"))
    config = Config(run_dir=(run.root,), editor=Unchanged(), judge=judge, rubric=rubric)
    picture = encode_png(Image.new("RGB", (16, 16), "red"))
    how = protocol(config)
    pairs = [
        Pair(
            pair_id=f"{number:06d}",
            sources=(Picture(sha256=sha256(picture)),),
            instruction=f"Turn square {number:06d} blue.",
            category=f"category {number % 5}",
        )
        for number in range(num_pairs)
    ]
    edits = [
        Edit(
            pair_id=pair.pair_id,
            image=run.image(pair.pair_id).relative_to(run.root).as_posix(),
            sha256=sha256(picture),
            seed=0,
            key=edit_key(pair, seed=0),
            width=16,
            height=16,
        )
        for pair in pairs
    ]
    last = pairs[-1].pair_id
    for path in (run.source(last), run.image(last)):
        write_atomic(path, picture)
    write_atomic(run.config, to_yaml(config).encode())
    write_atomic(run.protocol(config.the_scores), yaml.safe_dump(how, sort_keys=False).encode())
    write_records(run.pairs, pairs)
    write_records(run.manifest, edits)

    def scores() -> Iterator[Score]:
        for pair, edit in zip(pairs[:-1], edits[:-1], strict=True):
            answers = tuple(
                Answer(call=question.name, reply="5", readings={question.name: 5.0}, batch_size=16, duration_s=0.1)
                for question in questions(rubric, pair, how)
            )
            yield Score(
                pair_id=pair.pair_id,
                value=5.0,
                key=score_key(pair, edit, rubric, how),
                edit_sha256=edit.sha256,
                rubric=rubric.version,
                dimensions={answer.call: 5.0 for answer in answers},
                answers=answers,
                device="cpu",
            )

    write_records(run.scores(config.the_scores), scores())
