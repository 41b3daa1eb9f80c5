"""A launch that is told to stop is gone within five seconds, and the next one goes on from there."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import command, environment, rows, start

EDITOR = ("--editor", "tests.planned.StuckEditor", "--judge", "tests.planned.StuckJudge")


def stuck(script: str, sign: Path, *argv: str | Path, ranks: int = 1) -> "subprocess.Popen[str]":
    """A launch that has come to its planned place, for which `sign` stands."""
    launch = subprocess.Popen(command(script, *argv, ranks=ranks), env=environment(), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not sign.exists():
        assert launch.poll() is None, launch.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
    return launch


def told(launch: "subprocess.Popen[str]", *numbers: signal.Signals, within_s: float = 5) -> tuple[int, str]:
    begin = time.monotonic()
    for number in numbers:
        launch.send_signal(number)
        time.sleep(0.2)
    _, said = launch.communicate(timeout=20)
    assert time.monotonic() - begin < within_s, said
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
def test_editing_stops_in_five_seconds_wherever_it_is(photos_json, tmp_path, at, how, number, sign):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run)
    launch = stuck("edit.py", run / sign, *argv, "--editor.init_args.at", at, "--editor.init_args.how", how)
    code, said = told(launch, number)
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


def test_a_second_sigint_ends_at_once_what_the_first_could_not(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run, "--editor.init_args.at", "editing")
    launch = stuck("edit.py", run / "environment.json", *argv, "--editor.init_args.how", "computing")
    code, _ = told(launch, signal.SIGINT, signal.SIGINT, within_s=2)
    assert code == 130


@pytest.mark.parametrize("at", ["loading", "scoring"])
def test_scoring_stops_too_and_goes_on(photos_json, tmp_path, at):
    run = tmp_path / "run"
    start("edit.py", *EDITOR, "--benchmark", photos_json, "--run_dir", run)
    launch = stuck(
        "score.py", run / "parts" / "score-StuckJudge.000001.00000.jsonl", "--run_dir", run, "--judge.init_args.at", at
    )
    code, _ = told(launch, signal.SIGTERM)
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
    ended, said = told(launch, number, within_s=8)  # torchrun itself takes its time
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
        assert select.select([terminal], [], [], 60)[0]
        said += os.read(terminal, 4096)
    time.sleep(0.5)
    family = psutil.Process(pid).children(recursive=True)
    begin = time.monotonic()
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # which is how the end of a terminal is told
        while select.select([terminal], [], [], 20)[0] and (more := os.read(terminal, 4096)):
            said += more
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert time.monotonic() - begin < 8
    assert b"stopping: SIGINT" in said
    assert not psutil.wait_procs(family, timeout=5)[1]
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 4


def test_a_report_stops_too_and_is_written_anew(dots, tmp_path):
    run = tmp_path / "run"
    start("edit.py", *EDITOR, "--benchmark", dots, "--run_dir", run)
    for name in ("pairs.jsonl", "manifest.jsonl"):  # so many pairs that the page takes seconds
        (row, *_) = rows(run / name)
        lines = (json.dumps(row | {"pair_id": f"dot{number}"}) + "\n" for number in range(5_000))
        (run / name).write_text("".join(lines))
    launch = stuck("report.py", run / "report.json", "--run_dir", run)
    code, said = told(launch, signal.SIGTERM)
    assert code == 143
    assert "Traceback" not in said
    start("report.py", "--run_dir", run)
    assert (run / "report.html").exists()
    assert not list(run.rglob("*.tmp"))
