"""A launch that gets a signal ends though its work would take minutes, and the next one continues from there."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import command, environment, rows, start

EDITOR = ("--editor", "tests.planned.StuckEditor", "--judge", "tests.planned.StuckJudge")


PATIENCE_S = 120
"""Far below the time for which the planned work is stuck, far above what a loaded machine takes to start or to end."""


def stuck(script: str, sign: Path, *argv: str | Path, ranks: int = 1) -> "subprocess.Popen[str]":
    """A launch that has come to its planned place, for which `sign` stands."""
    launch = subprocess.Popen(command(script, *argv, ranks=ranks), env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(sign, launch)
    return launch


def wait_for(sign: Path, launch: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE_S
    while not sign.exists():
        assert launch.poll() is None, launch.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)


def stopped(launch: "subprocess.Popen[str]", *numbers: signal.Signals) -> tuple[int, str]:
    """The exit code and the words of a launch that gets these signals, a moment apart."""
    for number in numbers:
        launch.send_signal(number)
        time.sleep(0.2)
    _, said = launch.communicate(timeout=PATIENCE_S)
    return launch.returncode, said


PLACES = [
    ("loading", "sleeping", signal.SIGTERM, "sources/00003_环境_easy.png"),
    ("loading", "computing", signal.SIGTERM, "sources/00003_环境_easy.png"),
    ("editing", "sleeping", signal.SIGTERM, "environment.json"),
    ("editing", "computing", signal.SIGINT, "environment.json"),
    ("merging", "sleeping", signal.SIGTERM, ".manifest.jsonl.tmp"),
    ("merging", "sleeping", signal.SIGUSR1, ".manifest.jsonl.tmp"),
]


@pytest.mark.parametrize(("at", "how", "number", "sign"), PLACES)
def test_editing_stops_wherever_it_is_and_the_next_launch_continues(photos_json, tmp_path, at, how, number, sign):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run)
    launch = stuck("edit.py", run / sign, *argv, "--editor.init_args.at", at, "--editor.init_args.how", how)
    code, said = stopped(launch, number)
    assert code == 128 + number
    assert f"stopping: {number.name}" in said
    assert "Traceback" not in said
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 4
    assert {path.name for path in run.iterdir()} == {
        *(
            "config.yaml",
            "environment.json",
            "pairs.jsonl",
            "checked.txt",
            "manifest.jsonl",
            "images",
            "sources",
            "logs",
        )
    }


def test_two_sigints_end_with_the_code_of_one(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run, "--editor.init_args.at", "editing")
    launch = stuck("edit.py", run / "environment.json", *argv, "--editor.init_args.how", "computing")
    code, _ = stopped(launch, signal.SIGINT, signal.SIGINT)
    assert code == 130


@pytest.mark.parametrize("at", ["loading", "scoring"])
def test_scoring_stops_too_and_the_next_launch_continues(photos_json, tmp_path, at):
    run = tmp_path / "run"
    start("edit.py", *EDITOR, "--benchmark", photos_json, "--run_dir", run)
    launch = stuck(
        "score.py", run / "parts" / "score-StuckJudge.000001.00000.jsonl", "--run_dir", run, "--judge.init_args.at", at
    )
    code, _ = stopped(launch, signal.SIGTERM)
    assert code == 143
    start("score.py", "--run_dir", run)
    assert len(rows(run / "scores" / "StuckJudge.jsonl")) == 4
    assert not (run / "parts").exists()
    assert not list(run.glob("*.lease"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_launch_sh_passes_a_signal_on_to_every_rank(photos_json, tmp_path, number, code):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run)
    launch = stuck("launch.sh", run / "environment.json", *argv, "--editor.init_args.at", "editing")
    ended, said = stopped(launch, number)
    assert ended == code, said
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 4


def test_ctrl_c_on_a_terminal_stops_launch_sh_and_all_its_processes(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(environment())
        os.execvp("bash", command("launch.sh", *argv, "--editor.init_args.at", "editing"))
    said = b""
    while not (run / "environment.json").exists():
        assert select.select([terminal], [], [], PATIENCE_S)[0]
        said += os.read(terminal, 4096)
    time.sleep(0.5)
    family = psutil.Process(pid).children(recursive=True)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # which is how a terminal's end is reported
        while select.select([terminal], [], [], PATIENCE_S)[0] and (more := os.read(terminal, 4096)):
            said += more
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert b"stopping: SIGINT" in said
    assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 4


def test_a_report_stops_too_and_the_next_one_is_whole(dots, tmp_path):
    run = tmp_path / "run"
    start("edit.py", *EDITOR, "--benchmark", dots, "--run_dir", run)
    for name in ("pairs.jsonl", "manifest.jsonl"):  # so many pairs that the page takes seconds
        (row, *_) = rows(run / name)
        lines = (json.dumps(row | {"pair_id": f"dot{number}"}) + "\n" for number in range(5_000))
        (run / name).write_text("".join(lines))
    launch = stuck("report.py", run / "report.json", "--run_dir", run)
    code, said = stopped(launch, signal.SIGTERM)
    assert code == 143
    assert "Traceback" not in said
    start("report.py", "--run_dir", run)
    assert (run / "report.html").exists()
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own signal at a parent's end")
def test_no_process_outlives_a_launcher_that_was_killed_or_whose_terminal_has_gone(dots, tmp_path, number):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", dots, "--run_dir", run)
    launch = stuck("launch.sh", run / "environment.json", *argv, "--editor.init_args.at", "editing")
    family = psutil.Process(launch.pid).children(recursive=True)
    assert len(family) >= 3  # torchrun and its two ranks
    launch.send_signal(number)
    _, left = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not left
    launch.communicate()
    assert launch.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 129)
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 12


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own signal at a parent's end")
def test_ranks_of_plain_torchrun_end_when_torchrun_is_killed(dots, tmp_path):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", dots, "--run_dir", run, "--editor.init_args.at", "editing")
    launch = stuck("edit.py", run / "environment.json", *argv, ranks=2)
    family = psutil.Process(launch.pid).children(recursive=True)
    launch.kill()
    assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]
    launch.communicate()


def test_a_process_under_nohup_does_not_end_when_its_terminal_goes(dots, tmp_path):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", dots, "--run_dir", run, "--editor.init_args.at", "editing")
    env = environment()
    launch = subprocess.Popen(["nohup", *command("edit.py", *argv)], env=env, stderr=subprocess.PIPE, text=True)
    wait_for(run / "environment.json", launch)
    launch.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert launch.poll() is None
    assert stopped(launch, signal.SIGTERM)[0] == 143
