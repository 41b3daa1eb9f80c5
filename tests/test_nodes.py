"""Several machines, played by several launches on this one."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from editbench.cli.launcher import num_nodes, rendezvous
from editbench.editors import Editor
from editbench.errors import UsageError
from tests.conftest import command, environment, rows, start
from tests.planned import stuck

# what torchrun's agent and we wait for, a hundredth as long
SHORTER = """
import sys
if "editbench.cli.processes" in sys.orig_argv:
    import functools
    import torch.distributed.launcher.api as api
    api.LocalElasticAgent = functools.partial(api.LocalElasticAgent, exit_barrier_timeout=3)
import editbench.process.world as world
world.SILENCE_S, world.SAY_EVERY_S, world._BEAT_S = {silence}, 2.0, 1.0
"""


@dataclass(kw_only=True)
class LateOnOne(Editor):
    """On the second machine each edit takes two seconds: the exit barrier of torchrun's agent is three."""

    def load(self, world):
        self._node = world.node
        return "cpu"

    def edit(self, pair, sources, seed):
        time.sleep(2.0 * self._node)
        return sources[0]


@dataclass(kw_only=True)
class StuckOnOne(LateOnOne):
    """On the machine that does not have rank 0 the second edit takes minutes."""

    marker: str = ""

    def load(self, world):
        self._num = 0
        if world.rank != 0:
            Path(self.marker).write_text(os.environ["SLURM_NODEID"], encoding="utf-8")
        return super().load(world)

    def edit(self, pair, sources, seed):
        self._num += 1
        if self._node and self._num == 2:
            stuck("sleeping")
        return sources[0]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def node(number: int, port: int, folder: Path, *argv: str | Path, silence: float = 60) -> "subprocess.Popen[str]":
    """The README's recipe on one of two machines."""
    (folder / "sitecustomize.py").write_text(SHORTER.format(silence=silence), encoding="utf-8")
    recipe = {"PET_NNODES": "2", "PET_RDZV_BACKEND": "c10d", "PET_RDZV_ENDPOINT": f"127.0.0.1:{port}"}
    recipe |= {"PET_RDZV_ID": str(port), "SLURM_NODEID": str(number), "SLURM_PROCID": str(number), "SLURM_NTASKS": "2"}
    recipe |= {"NUM_EDITORS": "1", "NUM_JUDGES": "1", "PYTHONPATH": str(folder)}
    words = command("launch.sh", *argv)
    return subprocess.Popen(words, env=environment() | recipe, stderr=subprocess.PIPE, text=True)


def test_a_machine_that_is_far_behind_holds_nobody_up_for_good(dots, tmp_path):
    run = tmp_path / "run"
    argv = ("--editor", "tests.test_nodes.LateOnOne", "--judge", "tests.planned.StuckJudge")
    argv = (*argv, "--benchmark", dots, "--run_dir", run)
    port = free_port()
    first = node(0, port, tmp_path, *argv)
    time.sleep(6)  # and the second joins late
    second = node(1, port, tmp_path, *argv)
    said = [launch.communicate(timeout=400)[1] for launch in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], "\n===\n".join(said)
    assert len(rows(run / "scores" / "StuckJudge.jsonl")) == 12
    assert (run / "report.html").exists()
    assert "Waiting for the others of 2 machines at 127.0.0.1" in said[0]
    assert not [line for text in said for line in text.splitlines() if "Traceback" in line or "barrier" in line]
    assert "report.html" in said[0]
    assert "report.html" not in said[1]


def test_a_machine_that_dies_ends_the_other_with_code_3_and_a_sentence(dots, tmp_path):
    run = tmp_path / "run"
    marker = tmp_path / "node"
    argv = ("--editor", "tests.test_nodes.StuckOnOne", "--editor.init_args.marker", marker)
    argv = (*argv, "--judge", "tests.planned.StuckJudge", "--benchmark", dots, "--run_dir", run)
    port = free_port()
    launches = [node(number, port, tmp_path, *argv, silence=8) for number in range(2)]
    while not list(run.glob("parts/edit.*.00001.jsonl")) or not (run / "environment.json").exists():
        assert all(launch.poll() is None for launch in launches)
        time.sleep(0.2)
    time.sleep(2)
    dead = int(marker.read_text(encoding="utf-8"))
    launches[dead].kill()  # and the kernel ends its processes
    said = launches[1 - dead].communicate(timeout=400)[1]
    launches[dead].communicate()
    assert launches[1 - dead].returncode == 3, said
    assert "Traceback" not in said
    assert "the same command" in said


def test_a_machine_alone_says_for_whom_it_waits(dots, tmp_path):
    argv = ("--editor", "Unchanged", "--judge", "tests.planned.StuckJudge", "--benchmark", dots)
    launch = node(0, free_port(), tmp_path, *argv, "--run_dir", tmp_path / "run")
    for line in launch.stderr:
        if "Waiting for the others of 2 machines" in line:
            break
    launch.send_signal(signal.SIGTERM)
    launch.communicate(timeout=120)
    assert launch.returncode == 143


def test_a_node_number_of_slurm_alone_takes_no_report_away(dots, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_NODEID", "1")
    monkeypatch.setenv("NUM_EDITORS", "1")
    monkeypatch.setenv("NUM_JUDGES", "1")
    argv = ("--editor", "Unchanged", "--judge", "tests.planned.StuckJudge", "--benchmark", dots)
    start("launch.sh", *argv, "--run_dir", tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()


def test_each_stage_meets_under_an_id_of_its_own():
    edit, score = (rendezvous({"PET_RDZV_ID": "7"}, stage)[0] for stage in ("edit", "score"))
    assert (edit, score) == ("--rdzv_id=7-edit", "--rdzv_id=7-score")


def test_a_number_of_machines_is_a_number():
    assert [num_nodes(environ) for environ in ({}, {"PET_NNODES": "2"}, {"PET_NNODES": "1:4"})] == [1, 2, 4]
    with pytest.raises(UsageError, match="PET_NNODES=two"):
        num_nodes({"PET_NNODES": "two"})


@pytest.mark.parametrize("variable", ["NUM_EDITORS", "NUM_JUDGES"])
@pytest.mark.parametrize("value", ["abc", "0", "-1"])
def test_a_number_of_processes_that_is_none_is_refused_at_once(tmp_path, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    done = start("launch.sh", "--run_dir", tmp_path / "run", code=2)
    assert f"{variable}={value}" in done.stderr
    assert not os.listdir(tmp_path)
