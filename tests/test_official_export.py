"""Edits of a run under the names that a benchmark's own scripts look for."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from editbench.config import Config
from editbench.editors import Saved, Unchanged
from editbench.errors import UsageError
from editbench.process.world import World
from editbench.rubrics import Brief, RisePP
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.export import Exported, export_official
from tests.conftest import ROOT, environment


@dataclass(frozen=True, kw_only=True)
class WithSource(RisePP):
    """As GEdit-Bench has it: the source stands beside the edit, and here both are JPEG."""

    layout: ClassVar = {"edit": "{task}/{index}.jpg", "source": "{task}/{index}_SRCIMG.png"}


@dataclass(frozen=True, kw_only=True)
class OneName(RisePP):
    """Two pairs have the same name."""

    layout: ClassVar = {"edit": "{task}.png"}


@pytest.fixture
def run(tmp_path, dots):
    rows = [json.loads(line) for line in dots.read_text().splitlines()][:3]
    categories = ["temporal_reasoning", "temporal_reasoning, logical_reasoning", "spatial_reasoning"]
    for number, (row, category) in enumerate(zip(rows, categories, strict=True)):
        row |= {"category": category, "index": f"{category[:4]}_{number}", "task": "../up" if number == 2 else "in"}
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = Config(benchmark=path, images=dots.parent, run_dir=(tmp_path / "run",), editor=Unchanged())
    assert edit(config, World()) == 0
    return RunDir(config.the_run)


def files(folder: Path):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_edits_are_copied_byte_for_byte_to_their_official_names(run, tmp_path):
    out = tmp_path / "out"
    assert export_official(run, out, RisePP()) == Exported(num_edits=3, num_missing=0)
    assert files(out) == [
        "images/hybrid_reasoning/temp_1.png",
        "images/spatial_reasoning/spat_2.png",
        "images/temporal_reasoning/temp_0.png",
    ]
    assert (out / "images/temporal_reasoning/temp_0.png").read_bytes() == run.image("dot00").read_bytes()
    assert export_official(run, out, RisePP()).num_edits == 3  # again: the same pictures stand there
    (out / "images/temporal_reasoning/temp_0.png").write_bytes(b"another")
    with pytest.raises(UsageError, match=r"temp_0\.png: another picture stands there"):
        export_official(run, out, RisePP())


def test_a_damaged_or_missing_edit_is_counted_and_not_written(run, tmp_path):
    run.image("dot00").write_bytes(run.image("dot01").read_bytes())
    run.image("dot01").unlink()
    assert export_official(run, tmp_path / "out", RisePP()) == Exported(num_edits=1, num_missing=2)
    assert files(tmp_path / "out") == ["images/spatial_reasoning/spat_2.png"]


def test_a_name_that_leads_out_of_the_folder_is_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(UsageError, match=r"dot02: its official name '\.\./up/spat_2\.jpg' would lead out"):
        export_official(run, tmp_path / "out", WithSource())
    with pytest.raises(UsageError, match="dot00 and dot01 are both named"):
        export_official(run, tmp_path / "out", OneName())
    assert not (tmp_path / "out").exists()


def test_a_jpeg_name_gets_a_jpeg_and_the_source_stands_beside(run, tmp_path):
    pairs = [json.loads(line) for line in run.pairs.read_text().splitlines()]
    pairs[2]["fields"]["task"] = "in"
    run.pairs.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    export_official(run, tmp_path / "out", WithSource())
    assert files(tmp_path / "out") == sorted(
        f"in/{name}" for index in ("temp_0", "temp_1", "spat_2") for name in (f"{index}.jpg", f"{index}_SRCIMG.png")
    )
    assert Image.open(io.BytesIO((tmp_path / "out/in/temp_0.jpg").read_bytes())).format == "JPEG"
    assert (tmp_path / "out/in/temp_0_SRCIMG.png").read_bytes() == run.source("dot00").read_bytes()


def test_a_rubric_without_official_names_and_the_runs_own_folder_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="is of no public benchmark"):
        export_official(run, tmp_path / "out", Brief())
    with pytest.raises(UsageError, match="give a folder outside the run"):
        export_official(run, run.root / "images", RisePP())


def test_the_command_takes_the_rubric_from_the_run_or_by_name(run, tmp_path):
    def started(*argv):
        line = [sys.executable, "-m", "editbench", "export", "--run_dir", str(run.root), *argv]
        return subprocess.run(line, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False)

    done = started("--layout", "official", "--out", str(tmp_path / "out"), "--rubric", "RisePP")
    assert (done.returncode, len(files(tmp_path / "out"))) == (0, 3), done.stderr
    assert "3 edits written, 0 pairs have none." in done.stderr
    done = started("--out", str(tmp_path / "other"))  # the run's own rubric is of no public benchmark
    assert (done.returncode, "is of no public benchmark" in done.stderr) == (2, True)
    done = started("--rubric", "RisePP")
    assert (done.returncode, "--out: give the folder" in done.stderr) == (2, True)


def test_saved_finds_what_was_exported_without_being_told_a_template(run, dots, tmp_path):
    export_official(run, tmp_path / "out", RisePP())
    config = Config(
        benchmark=tmp_path / "pairs.jsonl",
        images=dots.parent,
        run_dir=(tmp_path / "again",),
        rubric=RisePP(),
        editor=Saved(folder=str(tmp_path / "out")),
    )
    assert edit(config, World()) == 0
    assert [entry.image is not None for entry in RunDir(config.the_run).edits(run.read_pairs()).values()] == [True] * 3
