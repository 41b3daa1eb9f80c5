"""Disks that are full, broken, read-only or somebody else's: what is told, and that the same command then goes on."""

import ctypes
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from editbench.records import Edit, Pair, Picture
from editbench.run.durable import read_records, write_atomic, write_records
from editbench.run.run_dir import RunDir
from tests.conftest import FAILING, command, environment, rows, same, start


def limited(script: str, *argv: str | Path, before: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    env = environment()
    return subprocess.run(
        command(script, *argv), preexec_fn=before, capture_output=True, text=True, env=env, check=False
    )


@pytest.mark.parametrize("where", ["pairs.jsonl", "edit.000001.00000.jsonl"])
def test_a_file_that_can_grow_no_more_stops_the_run_and_loses_nothing(dots, clean, tmp_path, where):
    size = (clean / "pairs.jsonl").stat().st_size
    limit = size - 1 if where == "pairs.jsonl" else size
    assert (clean / "manifest.jsonl").stat().st_size > size + 100
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    done = limited("edit.py", *argv, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    said = " ".join(done.stderr.split())
    assert done.returncode == 3
    assert "File too large" in said
    assert where in said.replace(" ", "")
    assert "free there" in said
    assert "Traceback" not in said
    assert not [path for path in run.rglob("*.tmp")]
    for part in run.glob("parts/*.jsonl"):
        assert part.read_bytes().endswith(b"}\n")  # the line that did not fit was taken back
    start("edit.py", *argv)
    assert same(run, clean)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_in_the_middle_of_an_image_stops_the_run_and_a_freed_one_goes_on(photos_json, small_disk, tmp_path):
    run = small_disk / "run"
    argv = ("--editor", "Unchanged", "--benchmark", photos_json)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    done = start("edit.py", *argv, "--run_dir", run, code=3)
    said = " ".join(done.stderr.split())
    assert "No space left on device" in said
    assert ".png" in said
    assert "Traceback" not in said
    assert not [path for path in run.rglob("*.tmp")]
    # the one mebibyte holds no four photographs twice: the run moves to a larger disk and goes on there
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", run, moved], check=True)
    start("edit.py", *argv, "--run_dir", moved)
    start("edit.py", *argv, "--run_dir", tmp_path / "undisturbed")
    assert same(moved, tmp_path / "undisturbed")


def test_too_few_file_handles_are_named(dots, tmp_path):
    argv = (*FAILING, "--benchmark", dots, "--run_dir", tmp_path / "run")
    done = limited("edit.py", *argv, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (7, 7)))
    assert done.returncode != 0
    assert "Too many open files" in done.stderr


def test_a_run_directory_that_cannot_be_made_is_named(dots, tmp_path):
    (tmp_path / "file").write_text("")
    for check in ((), ("--check",)):
        done = start("edit.py", *FAILING, "--benchmark", dots, "--run_dir", tmp_path / "file" / "run", *check, code=2)
        assert "Not a directory" in done.stderr


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def told(done: subprocess.CompletedProcess[str], code: int = 3) -> str:
    """What a launch that the disk stopped said on the terminal, without white space: paths are broken into lines."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return "".join(done.stderr.split())


def test_a_disk_that_ran_out_of_files_is_named(dots, clean, small_disk):
    run = small_disk / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    start("edit.py", *argv, "--limit", "1")
    remount(small_disk, "nr_inodes=20")
    said = told(start("edit.py", *argv, code=3))
    assert f"Nospaceleftondevice:{run}" in said
    assert re.search(r"MiBand\dfilesfreethere", said)
    remount(small_disk, "nr_inodes=1000")
    start("edit.py", *argv)
    assert same(run, clean)


def test_a_disk_that_became_read_only_is_named_by_each_script_and_by_a_check(dots, clean, small_disk):
    run = small_disk / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    start("edit.py", *argv, "--limit", "1")
    remount(small_disk, "ro")
    for launch in (
        ("edit.py", *argv),
        ("edit.py", *argv, "--check"),
        ("score.py", "--run_dir", run),
        ("report.py", "--run_dir", run),
    ):
        assert f"Read-onlyfilesystem:{run}" in told(start(*launch, code=2), 2)
    remount(small_disk, "rw")
    start("edit.py", *argv)
    assert same(run, clean)


BREAKING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int CALL(int handle) {
    char link[64], name[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    readlink(link, name, sizeof name - 1);
    int (*real)(int) = dlsym(RTLD_NEXT, NAME);
    int result = real(handle);
    if (strstr(name, "dot03.png.tmp") && strstr(name, "/images/")) { errno = EIO; return -1; }
    return result;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("call", ["close", "fsync"])
def test_an_error_that_the_disk_tells_only_at_the_end_is_an_error(dots, clean, tmp_path, call):
    (tmp_path / "breaking.c").write_text(BREAKING)
    library = tmp_path / "breaking.so"
    options = [f"-DCALL={call}", f'-DNAME="{call}"', "-shared", "-fPIC", "-w", "-o", library]
    subprocess.run(["cc", *options, tmp_path / "breaking.c", "-ldl"], check=True)
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    env = environment() | {"LD_PRELOAD": str(library)}
    done = subprocess.run(command("edit.py", *argv), capture_output=True, text=True, env=env, check=False)
    assert f"Input/outputerror:{run / 'images' / 'dot03.png'}" in told(done)
    (part,) = run.glob("parts/*.jsonl")
    assert [row["pair_id"] for row in rows(part)] == ["dot00", "dot01", "dot02"]
    assert not list(run.rglob("*.tmp"))
    start("edit.py", *argv)
    assert same(run, clean)


def unprivileged() -> None:
    """From here on even root is held to the permissions of files."""
    capability_set_drop, dac_override = 24, 1  # linux/prctl.h, linux/capability.h
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(capability_set_drop, dac_override, 0, 0, 0) == 0


def test_a_directory_that_belongs_to_somebody_else_is_named_before_anything_is_loaded(dots, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if os.geteuid() == 0:
        os.chown(theirs, 65534, 65534)
    theirs.chmod(0o555)
    argv = ("--config", "demo", "--benchmark", dots, "--run_dir", theirs / "run")
    for check in ((), ("--check",)):
        said = told(limited("edit.py", *argv, *check, before=unprivileged), 2)
        assert f"Permissiondenied:{theirs};" in said
        assert "isready" not in said


@pytest.mark.parametrize(("mask", "code"), [(0o777, 3), (0o077, 0)])
def test_a_umask_that_locks_its_owner_out_is_named_and_a_private_one_works(dots, clean, tmp_path, mask, code):
    def before() -> None:
        unprivileged()
        os.umask(mask)

    run = tmp_path / "run"
    done = limited("edit.py", *FAILING, "--benchmark", dots, "--run_dir", run, before=before)
    assert done.returncode == code, done.stderr
    if code:
        assert f"Permissiondenied:{run}" in told(done)
        run.chmod(0o700)  # or its test's folder could not be cleared away
    else:
        assert same(run, clean)
        assert (run / "manifest.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["y" * 200] * 25)])
def test_a_path_that_is_too_long_is_named(dots, tmp_path, name):
    done = start("edit.py", *FAILING, "--benchmark", dots, "--run_dir", tmp_path / name, code=2)
    assert "Filenametoolong" in told(done, 2)


def test_a_rename_whose_answer_a_network_disk_lost_counts_and_one_that_failed_does_not(tmp_path, monkeypatch):
    rename, path = os.replace, tmp_path / "image.png"

    def asked_twice(source, target):
        rename(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "replace", asked_twice)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"

    def gone(source, target):
        os.unlink(source)
        rename(source, target)

    monkeypatch.setattr(os, "replace", gone)
    with pytest.raises(FileNotFoundError):
        write_atomic(path, b"newer")
    assert path.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


def test_what_a_network_disk_leaves_of_files_that_were_open_is_not_read(tmp_path):
    run = RunDir(tmp_path)
    edit = Edit(pair_id="a", seed=1, key="k", error="planned")
    with run.part("edit", 1, 0) as part:
        part.append(edit)
    (tmp_path / "parts" / ".nfs000000000000beef00000001").write_bytes(b"\0" * 100)
    write_records(run.pairs, [Pair(pair_id="a", instruction="x", sources=(Picture(sha256="s"),))])
    run.merge(Edit, "edit", run.manifest)
    assert list(read_records(run.manifest, Edit)) == [edit]
    assert run.next_launch("edit") == 1
