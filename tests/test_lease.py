"""Two launches never work on one stage of a run at once, and a dead one never keeps the next one out."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict

import pytest

from editbench.errors import UsageError
from editbench.run.lease import Holder, Lease
from tests.conftest import ROOT, start
from tests.test_signals import EDITOR, stuck


@pytest.fixture
def path(tmp_path):
    return tmp_path / "edit.lease"


def lease(path) -> Lease:
    return Lease(path, beat_s=0.05, patience_s=0.5)


def test_a_lease_is_held_until_its_launch_ends(path):
    with lease(path) as first:
        first.take()
        with pytest.raises(UsageError, match=f"process {os.getpid()} on {socket.gethostname()}, started 20"):
            lease(path).take()
    assert not path.exists()
    with lease(path) as second:
        second.take()


def test_a_second_launch_that_is_refused_leaves_the_first_one_s_lease(path):
    with lease(path) as first:
        first.take()
        with pytest.raises(UsageError), lease(path) as second:
            second.take()
        assert path.exists()


@pytest.mark.parametrize("reaped", [True, False])
def test_a_dead_process_of_this_machine_is_known_at_once(path, caplog, reaped):
    code = (
        "import os, sys; from editbench.run.lease import Lease; Lease(__import__('pathlib').Path(sys.argv[1])).take()"
    )
    child = subprocess.Popen([sys.executable, "-c", f"{code}; os.kill(os.getpid(), 9)", path], cwd=ROOT)
    if reaped:
        child.wait()
    else:  # it stays in the list of processes
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert path.exists()
    begin = time.monotonic()
    with Lease(path) as next_one:
        next_one.take()
    assert time.monotonic() - begin < 1
    assert "was killed (process" in caplog.text
    child.wait()


def held_by(path, **changes) -> None:
    """A lease as this very process would hold it, but for the changes."""
    path.write_text(json.dumps(asdict(Holder.me()) | changes))


def test_a_process_number_that_was_given_again_is_another_process(path):
    held_by(path, started=time.time() - 1e6)
    with lease(path) as next_one:
        next_one.take()


def test_a_restarted_container_takes_the_lease_of_its_dead_namesake_at_once(path):
    held_by(path)  # the same host, process id and start, but no lease that this process took
    begin = time.monotonic()
    with Lease(path) as next_one:
        next_one.take()
    assert time.monotonic() - begin < 60  # the default patience


def test_a_process_does_not_take_its_own_lease_twice(path):
    with lease(path) as first:
        first.take()
        with pytest.raises(UsageError, match="is in use by process"):
            lease(path).take()


@contextmanager
def beating(path):
    stop = threading.Event()

    def beat():
        while not stop.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


ELSEWHERE = {"host": "far", "pid": 7}
CLOCK_SET = {"pid": os.getppid(), "started": time.time() - 3600}
IN_A_CONTAINER = {"pid": 2**22 + 1, "pid_namespace": 1}


@pytest.mark.parametrize("changes", [ELSEWHERE, CLOCK_SET, IN_A_CONTAINER], ids=["elsewhere", "clock set", "container"])
def test_a_holder_that_cannot_be_seen_is_respected_while_its_heart_beats(path, changes):
    held_by(path, **changes)
    with beating(path), pytest.raises(UsageError, match="is in use by process"):
        lease(path).take()
    with lease(path) as next_one:
        next_one.take()


@pytest.mark.parametrize("left", [b"", b'{"host": "far', b'{"host": "far", "pid": 7, "started": 1.0}', b"[1]"])
def test_a_lease_without_a_heartbeat_is_taken_over_after_the_stated_time(path, left):
    path.write_bytes(left)
    begin = time.monotonic()
    with lease(path) as next_one:
        next_one.take()
        assert path.read_bytes() != left
    assert 0.5 <= time.monotonic() - begin < 5


def test_of_many_newcomers_to_a_dead_lease_one_gets_it(path):
    path.write_text('{"host": "far", "pid": 7, "started": 1.0}')
    newcomers = [lease(path) for _ in range(8)]
    taken, refused = [], []

    def take(newcomer: Lease):
        try:
            newcomer.take()
            taken.append(newcomer)
        except UsageError:
            refused.append(newcomer)

    threads = [threading.Thread(target=take, args=(newcomer,)) for newcomer in newcomers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 7)
    taken[0].__exit__(None, None, None)
    assert list(path.parent.iterdir()) == []


def test_a_second_launch_in_one_run_is_refused_and_disturbs_nothing(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = (*EDITOR, "--benchmark", photos_json, "--run_dir", run)
    first = stuck("edit.py", run / "environment.json", *argv, "--editor.init_args.at", "editing")
    second = start("edit.py", *argv, code=2)
    assert f"is in use by process {first.pid} on" in " ".join(second.stderr.split())
    assert first.poll() is None
    first.kill()
    first.wait()
    third = start("edit.py", *argv)
    assert "was killed" in third.stderr
    assert not list(run.glob("*.lease"))
