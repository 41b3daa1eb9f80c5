"""A crash after any single change to the run directory costs nothing that was recorded, and leaves no trace."""

import hashlib
import json
import logging
import os
import pickle
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from editbench.config import Config
from editbench.editors import Editor
from editbench.judges import Judge, Reply
from editbench.process.world import World
from editbench.report.content import Content
from editbench.report.plots import Plot, draw_plots
from editbench.rubrics import Brief
from editbench.run.lease import Lease
from editbench.stages.edit import edit
from editbench.stages.report import report
from editbench.stages.score import score
from tests.crash import Op, Recorder, State, states


@dataclass(kw_only=True)
class InvertEditor(Editor):
    """Inverts the source and remembers for which pairs it was asked."""

    made: list[str] = field(default_factory=list, init=False)

    def edit(self, pair, sources, seed):
        self.made.append(pair.pair_id)
        return Image.eval(sources[0], lambda value: 255 - value)


@dataclass(kw_only=True)
class HashJudge(Judge):
    """Gives a number that follows from the question, and remembers the questions by the pair that they hold."""

    asked: list[str] = field(default_factory=list, init=False)

    def replies(self, messages):
        texts = ["".join(part for part in message.content if isinstance(part, str)) for message in messages]
        self.asked += [f"dot{text.split('Turn dot ')[1][0]}" for text in texts]
        return [Reply(text=f"{hashlib.sha256(text.encode()).digest()[0] % 10}", truncated=False) for text in texts]


class Clock:
    """Stands still, so that no duration differs."""

    @staticmethod
    def monotonic() -> float:
        return 0.0


DRAWN: dict[str, list[Plot]] = {}


def drawn(content: Content) -> list[Plot]:
    """The real plots, drawn once for the same numbers: they take nine tenths of a launch's time."""
    numbers = repr(content)
    if numbers not in DRAWN:
        DRAWN[numbers] = draw_plots(content)
    return DRAWN[numbers]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory) -> Path:
    """Three pairs of four by four pixels."""
    folder = tmp_path_factory.mktemp("dots")
    rows = []
    for number, category in enumerate(("physical", "causal", "physical")):
        Image.new("RGB", (4, 4), (50 * number, 0, 0)).save(folder / f"{number}.png")
        row = {"id": f"dot{number}", "source": f"{number}.png", "instruction": f"Turn dot {number}."}
        rows.append(json.dumps(row | {"category": category}) + "\n")
    path = folder / "dots.jsonl"
    path.write_text("".join(rows))
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Durations of nothing, and no minute's wait for a lease whose holder a torn file does not tell."""
    monkeypatch.setattr("editbench.stages.edit.time", Clock)
    monkeypatch.setattr("editbench.stages.score.time", Clock)
    monkeypatch.setattr("editbench.run.run_dir.Lease", partial(Lease, beat_s=0.01, patience_s=0.05))
    monkeypatch.setattr("editbench.process.console.console.print", lambda *_, **__: None)
    monkeypatch.setattr("editbench.report.write.draw_plots", drawn)


def launch(benchmark: Path, run: Path) -> tuple[list[str], list[str]]:
    """What launch.sh does, with the real stages; the pairs that were edited and judged."""
    config = Config(
        benchmark=benchmark, run_dir=(run,), editor=InvertEditor(), judge=HashJudge(), rubric=Brief(), batch_size=1
    )
    for stage in (edit, score, report):
        assert stage(config, World()) == 0
        logging.getLogger("editbench").handlers = []
    return config.editor.made, config.judge.asked


def apart(benchmark: Path, run: Path, fail_at: int | None = None) -> tuple[int, list[Op]]:
    """The same in a process of its own, which is gone afterwards: its exit code and the changes it made."""
    trace = run.with_suffix(".trace")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with Recorder(run, fail_at).recording() as recorder:
                try:
                    launch(benchmark, run)
                    code = 0
                except OSError:
                    code = 3
            trace.write_bytes(pickle.dumps(recorder.ops))
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, pickle.loads(trace.read_bytes())


def held(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes() if path.is_file() else b"a folder"
        for path in run.rglob("*")
        if "logs" not in path.relative_to(run).parts
    }


def records(state: State) -> set[str]:
    """`<stage> <pair>` for each whole record in this state, with its image if it names one."""
    found: set[str] = set()
    for name, data in state.files.items():
        if not name.endswith(".jsonl") or name == "pairs.jsonl":
            continue
        for line in data.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            image = state.files.get(row.get("image"))
            if "image" not in row or (image and hashlib.sha256(image).hexdigest() == row["sha256"]):
                found.add(f"{'edit' if 'image' in row else 'score'} {row['pair_id']}")
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Always the same place, since a run's config.yaml names it."""
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="module")
def undisturbed(benchmark, run) -> tuple[list[Op], dict[str, bytes]]:
    with pytest.MonkeyPatch.context() as patch:
        quick.__wrapped__(patch)
        code, ops = apart(benchmark, run)
    assert code == 0
    return ops, held(run)


def test_the_trace_makes_the_run_again(undisturbed, tmp_path):
    ops, end = undisturbed
    last, safe = states(ops, records)[-1]
    last.lay_out(tmp_path)
    assert held(tmp_path) == end
    assert safe == {f"{stage} dot{number}" for stage in ("edit", "score") for number in range(3)}
    assert len(ops) > 100
    assert {op.kind for op in ops} >= {"mkdir", "rmdir", "create", "write", "sync", "rename", "remove"}


def test_after_a_crash_anywhere_the_same_command_makes_the_same_run(benchmark, undisturbed, run):
    ops, end = undisturbed
    every = states(ops, records)
    for number, (state, safe) in enumerate(every):
        shutil.rmtree(run)
        state.lay_out(run)
        made, asked = launch(benchmark, run)
        assert held(run) == end, f"state {number} of {len(every)}: {sorted(state.files)}"
        again = safe & {f"edit {pair_id}" for pair_id in made} | safe & {f"score {pair_id}" for pair_id in asked}
        assert not again, f"state {number}: made again though recorded: {again}"
    assert len(every) > 100


def test_after_a_full_disk_anywhere_the_same_command_makes_the_same_run(benchmark, undisturbed, run):
    ops, end = undisturbed
    for number in range(len(ops)):
        shutil.rmtree(run)
        code, _ = apart(benchmark, run, fail_at=number)
        assert code == 3, f"{ops[number].kind} {ops[number].name} failed, and nobody said so"
        launch(benchmark, run)
        assert held(run) == end, f"{ops[number].kind} {ops[number].name}"
