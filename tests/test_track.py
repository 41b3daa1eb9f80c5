"""Trackers: trackio writes to disk, and its own reader reads it back."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from editbench.config import Config
from editbench.errors import UsageError
from editbench.report import tell
from editbench.report.track import numbers
from tests.conftest import ROOT, environment
from tests.drawn import make_photos, make_run

READ = """
import json, sys, trackio
from trackio.sqlite_storage import SQLiteStorage
(run,) = trackio.Api().runs(sys.argv[1])
rows = SQLiteStorage.get_logs(run.project, run.name)
print(json.dumps({"name": run.name, "config": run.config, "rows": rows}, default=str))
"""
TRACK = """
import sys
from pathlib import Path
from editbench.report import tell
from editbench.report.track import track
from tests.drawn import make_photos
track(tell([make_photos(Path(sys.argv[1]))]), "trackio")
"""


def python(code, folder, *argv, **more):
    env = environment() | {"PYTHONPATH": str(ROOT), "TRACKIO_DIR": str(folder), **more}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_trackio_s_own_reader_gives_the_numbers_and_pictures_back(tmp_path):
    done = python(TRACK, tmp_path / "tracked", tmp_path / "photos", TRACKIO_PROJECT="mine")
    assert done.stdout == ""
    read = json.loads(python(READ, tmp_path / "tracked", "mine").stdout.splitlines()[-1])
    content = tell([make_photos(tmp_path / "photos")])
    (item,) = content.runs
    assert read["name"] == "photos"
    assert read["config"]["run_dir"] == str((tmp_path / "photos").resolve())
    assert read["config"]["judge"] == "Server (judge-2026)"
    first = read["rows"][0]
    assert {name: first[name] for name in numbers(item)} == pytest.approx(numbers(item))
    assert len(read["rows"]) == 20  # of 21 scored pairs
    values = sorted(end.value for end in item.run.outcomes.values() if end.value is not None)
    for name, ranked in (("worst", values), ("best", values[::-1])):
        shown = [float(row[name]["caption"].split(" · ")[0]) for row in read["rows"]]
        assert shown == ranked[:20]
    pictures = [Image.open(path).size for path in (tmp_path / "tracked" / "media").rglob("*.png")]
    assert pictures == [(736, 276)] * 40  # two of 368 × 276 beside each other


def test_numbers_count_every_kind_of_failure_and_give_no_mean_of_nothing(tmp_path):
    (item,) = tell([make_run(tmp_path / "run")]).runs
    found = numbers(item)
    overall = item.summary.overall
    assert found[f"headline/{item.summary.headlines[0].name}"] == item.summary.headlines[0].value
    assert (found["count/pairs"], found["count/scored"], found["count/pending"]) == (30, overall.num_scored, 2)
    kinds = {kind: found[f"count/{kind}"] for kind in overall.num_failed}
    assert kinds == overall.num_failed
    (empty,) = tell([make_run(tmp_path / "none", num=2)]).runs
    assert not [name for name in numbers(empty) if name.startswith("headline/")]


def test_a_tracker_that_fails_is_a_warning_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    done = python(TRACK, tmp_path / "file", tmp_path / "photos")
    assert "--track trackio: photos may lack something: " in done.stderr
    assert f"File exists: '{tmp_path / 'file'}" in done.stderr


def test_report_tracks_and_its_call_is_not_recorded(dots, tmp_path):
    run = tmp_path / "run"
    for stage, *more in (("edit", "--benchmark", dots, "--editor", "Unchanged"), ("report",)):
        argv = ["-m", "editbench", stage, "--run_dir", run, *more, "--track", "trackio"]
        env = environment() | {"TRACKIO_DIR": str(tmp_path / "tracked")}
        done = subprocess.run(
            [sys.executable, *map(str, argv)], capture_output=True, text=True, env=env, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "Tracked by trackio: run" in done.stderr
    assert "track:" not in (run / "config.yaml").read_text(encoding="utf-8")
    read = json.loads(python(READ, tmp_path / "tracked", "editbench").stdout.splitlines()[-1])
    assert (read["config"]["run_dir"], len(read["rows"])) == (str(run.resolve()), 1)
    assert read["rows"][0]["count/not scored"] == 12


def test_a_tracker_that_is_not_installed_is_said_at_the_start(monkeypatch):
    monkeypatch.setattr("editbench.config.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--track wandb: it is missing: pip install wandb"):
        Config(track="wandb")
