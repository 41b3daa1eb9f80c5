"""How a command ends: its exit code, what the terminal shows, and what stays on the disk."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil
import pytest
from PIL import Image

from editbench.editors import Editor
from editbench.errors import UsageError
from tests.conftest import FAILING, ROOT, command, environment, rows, start

STUCK = ("--editor", "tests.planned.StuckEditor", "--judge", "tests.planned.StuckJudge")


@dataclass(kw_only=True)
class Odd(Editor):
    """Ends the process, or refuses to load, on one rank or all."""

    how: str = "exit"
    rank: int = 0

    neutral = frozenset({"how", "rank"})

    def load(self, world):
        if world.rank == self.rank and self.how == "usage":
            raise UsageError("the planned mistake\n12 of 12 have a score")
        if world.rank == self.rank and self.how == "bug":
            raise ZeroDivisionError("the planned bug")
        return "cpu"

    def edit(self, pair, sources, seed):
        if self.how == "exit" and pair.pair_id == "dot05":
            sys.exit(0)
        if self.how == "os._exit" and pair.pair_id == "dot05":
            os._exit(0)
        if self.how == "exit in C" and pair.pair_id == "dot05":
            ctypes.CDLL(None)._exit(0)
        return sources[0]


def odd(dots, run, how, rank=0):
    argv = ("--editor", "tests.test_command.Odd", "--editor.init_args.how", how, "--editor.init_args.rank", str(rank))
    return (*argv, "--benchmark", dots, "--run_dir", run)


def test_an_editor_that_leaves_the_process_ends_no_launch_with_success(dots, tmp_path):
    done = start("edit.py", *odd(dots, tmp_path / "run", "exit"), code=None)
    finished = tmp_path / "run" / "manifest.jsonl"
    assert done.returncode == 3 or len(rows(finished)) == 12
    assert "sys.exit(0)" in done.stderr or "SystemExit" in finished.read_text(encoding="utf-8")


@pytest.mark.parametrize("ranks", [1, 2])
def test_os_exit_with_0_in_the_middle_ends_a_stage_otherwise(dots, tmp_path, ranks):
    run = tmp_path / "run"
    done = start("edit.py", *odd(dots, run, "os._exit"), ranks=ranks, code=None)
    assert done.returncode == (3 if ranks == 1 else 1)  # torchrun's own code
    assert "called os._exit(0). The same command continues." in done.stderr
    assert not (run / "manifest.jsonl").exists()


@pytest.mark.parametrize("how", ["os._exit", "exit in C"])
def test_a_launch_whose_editor_ends_the_process_is_incomplete(dots, tmp_path, monkeypatch, how):
    monkeypatch.setenv("NUM_EDITORS", "1")
    done = start("launch.sh", *odd(dots, tmp_path / "run", how), *FAILING[2:], code=3)
    assert "before their work was done" in done.stderr or "called os._exit(0)" in done.stderr
    assert "the same command continues" in done.stderr
    assert not (tmp_path / "run" / "report.json").exists()


def test_what_the_rubric_cannot_judge_is_refused_by_run_before_any_edit_and_by_edit_warned_of(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    row = {"id": "a", "source": "a.png", "instruction": "Turn it.", "category": "relight"}
    (tmp_path / "own.jsonl").write_text(json.dumps(row), encoding="utf-8")
    argv = (*FAILING, "--benchmark", tmp_path / "own.jsonl", "--run_dir", tmp_path / "run")
    for more in ((), ("--check",)):
        done = start("launch.sh", *argv, *more, code=2)
        assert "'relight'" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "run").exists()
    for more in (("--expected",), ("--repeats", "2")):  # the judge gives neither
        assert (
            more[0]
            in start("launch.sh", *argv, "--rubric", "tests.test_score_stage.TwoQuestions", *more, code=2).stderr
        )
        assert not (tmp_path / "run").exists()
    assert "cannot judge these pairs" in start("edit.py", *argv).stderr
    assert len(rows(tmp_path / "run" / "manifest.jsonl")) == 1


@pytest.mark.parametrize(("how", "words"), [("usage", "the planned mistake"), ("bug", "ZeroDivisionError")])
def test_an_error_on_any_rank_is_on_the_terminal_with_its_rank(dots, tmp_path, how, words):
    done = start("launch.sh", *odd(dots, tmp_path / "run", how, rank=1), code=2 if how == "usage" else 3)
    assert "rank 1: " in done.stderr
    assert words in done.stderr


def test_the_same_mistake_on_all_ranks_is_said_once(dots, tmp_path):
    (tmp_path / "x.yaml").write_text("limit: 0\n", encoding="utf-8")
    for argv in (["--limit", "0"], ["--config", tmp_path / "x.yaml"]):
        done = start("edit.py", *FAILING, "--benchmark", dots, *argv, ranks=3, code=1)  # torchrun's own code
        assert done.stderr.count("it must be 1 or more") == 1


def test_a_line_break_in_an_error_begins_no_line_of_ours(dots, tmp_path):
    done = start("edit.py", *odd(dots, tmp_path / "run", "usage"), code=2)
    assert "\n  12 of 12 have a score" in done.stderr
    assert "\n12 of 12" not in done.stderr


def test_a_refused_start_leaves_nothing_behind(dots, tmp_path):
    run = tmp_path / "runs" / "new"
    for argv in (
        ("--benchmark", tmp_path / "nope.json"),
        ("--benchmark", dots, "--categories", "social"),
        ("--benchmark", dots, "--check"),
    ):
        start("edit.py", *FAILING, *argv, "--run_dir", run, code=0 if "--check" in argv else 2)
        assert not run.parent.exists()


@pytest.mark.parametrize("closed", ["pipe", "descriptor", "full"])
def test_a_terminal_that_goes_away_costs_no_run(dots, tmp_path, closed):
    run = tmp_path / "run"
    argv = command("edit.py", *FAILING, "--benchmark", dots, "--run_dir", run)
    redirection = {"pipe": "2>&1 | true; exit ${PIPESTATUS[0]}", "descriptor": "2>&-", "full": "2>/dev/full"}[closed]
    shell = ["bash", "-c", f'"$@" {redirection}', "bash", *argv]
    done = subprocess.run(shell, env=environment(), stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    assert len(rows(run / "manifest.jsonl")) == 12


def test_a_hang_while_loading_ends_the_process_and_says_so(dots, tmp_path):
    argv = (*STUCK, "--benchmark", dots, "--run_dir", tmp_path / "run", "--editor.init_args.at", "loading")
    done = start("edit.py", *argv, "--hang_after_s", "1", code=3)
    assert "loading StuckEditor has hung" in " ".join(done.stderr.split())


def test_agreement_refuses_bad_arguments_with_code_2(tmp_path):
    for argv in ([], ["--run_dir", tmp_path, "--human", tmp_path / "nope.csv"], ["--nope"]):
        words = [sys.executable, "-m", "editbench", "agreement", *map(str, argv)]
        done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


def test_variables_of_a_pod_are_not_taken_for_a_launchers(dots, tmp_path):
    pod = {"WORLD_SIZE": "4", "RANK": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "LOCAL_RANK": "0"}
    argv = command("edit.py", *FAILING, "--benchmark", dots, "--run_dir", tmp_path / "run")
    subprocess.run(argv, env=environment() | pod, check=True, timeout=120)
    assert len(rows(tmp_path / "run" / "manifest.jsonl")) == 12


def test_a_batch_script_of_several_tasks_that_starts_a_lone_process_names_the_ways(dots, tmp_path):
    batch = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7", "SLURM_NODEID": "0", "SLURM_LOCALID": "0"}
    argv = command("edit.py", *FAILING, "--benchmark", dots, "--run_dir", tmp_path / "run")
    done = subprocess.run(argv, env=environment() | batch, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "launch.sh" in done.stderr
    assert "--launcher slurm" in done.stderr
    assert not (tmp_path / "run").exists()


TASKS = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NODELIST": "localhost", "SLURM_NNODES": "1"}
TASKS |= {"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_JOB_ID": str(os.getpid())}


def tasks(*argv):
    words = command("edit.py", *argv)
    numbers = ({"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)} for n in range(2))
    started = [
        subprocess.Popen(words, env=environment() | TASKS | one, stderr=subprocess.PIPE, text=True) for one in numbers
    ]
    said = [process.communicate(timeout=240)[1] for process in started]
    return [process.returncode for process in started], said


def test_two_tasks_of_srun_are_refused_or_share_the_work_when_asked(dots, tmp_path):
    argv = (*FAILING, "--benchmark", dots, "--run_dir", tmp_path / "run")
    codes, said = tasks(*argv)
    assert codes == [2, 2]
    assert "SLURM_NTASKS=2" in said[1]
    assert "--launcher slurm" in said[1]
    codes, said = tasks(*argv, "--launcher", "slurm")
    assert codes == [0, 0], said
    assert len(rows(tmp_path / "run" / "manifest.jsonl")) == 12
    assert (tmp_path / "run" / "logs" / "edit.rank1.log").exists()


def test_a_lone_process_that_is_killed_ends_with_code_3_and_says_what_to_do(dots, tmp_path, monkeypatch):
    monkeypatch.setenv("NUM_EDITORS", "1")
    planned = ("--editor.init_args.at", "dot05", "--editor.init_args.how", "Killed")
    done = start("launch.sh", *FAILING, *planned, "--benchmark", dots, "--run_dir", tmp_path / "run", code=3)
    assert "killed by SIGKILL" in done.stderr
    assert "the same command continues" in done.stderr


def test_a_signal_in_the_first_second_stops_the_launch(dots, tmp_path):
    argv = command("launch.sh", *FAILING, "--benchmark", dots, "--run_dir", tmp_path / "run")
    launch = subprocess.Popen(argv, env=environment(), stderr=subprocess.PIPE, text=True)
    while not psutil.Process(launch.pid).children():
        time.sleep(0.01)
    launch.terminate()
    launch.communicate(timeout=120)
    # bash itself may still be the process; a shell reports its death by SIGTERM as 143 too
    assert launch.returncode in (143, -signal.SIGTERM)
    assert not (tmp_path / "run").exists()
