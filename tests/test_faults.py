"""Real faults, made on purpose: what the user is told, the exit code, and that the same command then goes on."""

import json
import re
import shutil
import subprocess
import time

import psutil
import pytest
from PIL import Image

from editbench.config import Config
from editbench.editors import EditRefused, Unchanged
from editbench.process.console import _lagging
from editbench.process.world import World
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.report import report
from tests.conftest import FAILING, command, environment, rows, same, start, tree

STUCK = ("--editor", "tests.planned.StuckEditor", "--judge", "tests.planned.StuckJudge")


def test_a_process_that_hangs_says_where_and_ends(dots, tmp_path):
    run = tmp_path / "run"
    argv = (*STUCK, "--benchmark", dots, "--run_dir", run)
    begin = time.monotonic()
    done = start("edit.py", *argv, "--editor.init_args.at", "editing", "--hang_after_s", "1", code=3)
    assert time.monotonic() - begin < 15
    said = " ".join(done.stderr.split())
    assert "rank 0: dot00 has hung for 1 s: this process ends" in said
    assert "in stuck" in said
    assert "in stuck" in (run / "logs" / "edit.rank0.log").read_text()
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 12


def test_of_a_launch_whose_processes_were_all_killed_nothing_finished_is_lost(dots, clean, tmp_path):
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    stopped = (*argv, "--editor.init_args.at", "dot07", "--editor.init_args.how", "Stuck")
    launch = subprocess.Popen(command("edit.py", *stopped, ranks=2), env=environment(), stderr=subprocess.DEVNULL)
    while sum(len(rows(part)) for part in run.glob("parts/*.jsonl")) < 8:
        assert launch.poll() is None
        time.sleep(0.1)
    for process in (*psutil.Process(launch.pid).children(recursive=True), psutil.Process(launch.pid)):
        process.kill()
    launch.wait()
    done = [row["pair_id"] for part in run.glob("parts/*.jsonl") for row in rows(part)]  # a rank may have gone on
    made = {name: (run / "images" / f"{name}.png").stat().st_mtime_ns for name in done}
    said = start("edit.py", *argv).stderr
    assert "was killed" in said
    assert f"12 pairs, {len(done)} already edited" in said
    assert same(run, clean)
    assert all((run / "images" / f"{name}.png").stat().st_mtime_ns == when for name, when in made.items())


def test_a_poisoned_gpu_stops_its_rank_and_no_later_pair_is_called_failed(dots, clean, tmp_path):
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    done = start("edit.py", *argv, "--editor.init_args.at", "dot03", "--editor.init_args.how", "Poisoned", code=3)
    assert "illegal memory access" in done.stderr
    (part,) = run.glob("parts/*.jsonl")
    assert [row["pair_id"] for row in rows(part)] == ["dot00", "dot01", "dot02"]
    start("edit.py", *argv)
    assert same(run, clean)


def test_every_exit_code_comes_through_torchrun_and_launch_sh(dots, tmp_path):
    def launched(name: str, *argv: str, code: int) -> str:
        common = (*FAILING, "--benchmark", dots, "--run_dir", tmp_path / name)
        return start("launch.sh", *common, *argv, code=code).stderr

    said = launched("failures", "--max_failures", "0", "--editor.init_args.at", "dot03", code=1)
    assert "Traceback" not in said
    said = launched("poisoned", "--editor.init_args.at", "dot03", "--editor.init_args.how", "Poisoned", code=3)
    assert "illegal memory access" in said  # in our own traceback, and none of torchrun's stands below it
    assert "ChildFailedError" not in said
    said = launched("poisoned", "--editor.init_args.at", "dot05", "--editor.init_args.how", "Killed", code=3)
    assert re.search(r"rank [01] was killed by SIGKILL\.", said)
    launched("poisoned", code=0)
    launched("poisoned", "--seed", "1", code=2)


def test_a_finished_run_started_again_loads_no_model_and_ends_in_two_seconds(dots, clean):
    begin = time.monotonic()
    done = start("edit.py", *FAILING, "--benchmark", dots, "--run_dir", clean)
    assert "is ready" not in done.stderr
    assert time.monotonic() - begin < 6  # 0.7 s on a machine at rest; tests share theirs


def test_one_then_three_then_two_ranks_give_what_one_gives(dots, clean, tmp_path):
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run_dir", run)
    for ranks, poisoned in ((1, "dot05"), (3, "dot09")):
        start(
            *("edit.py", *argv, "--editor.init_args.at", poisoned, "--editor.init_args.how", "Poisoned"),
            ranks=ranks,
            code=3 if ranks == 1 else 1,
        )
        done = [row["pair_id"] for part in run.glob("parts/*.jsonl") for row in rows(part)]
        assert 0 < len(done) < 12
        assert len(done) == len(set(done))
        made = {name: (run / "images" / f"{name}.png").stat().st_mtime_ns for name in done}
    start("edit.py", *argv, ranks=2)
    assert same(run, clean)
    assert all((run / "images" / f"{name}.png").stat().st_mtime_ns == when for name, when in made.items())


def test_gpus_of_two_kinds_and_versions_that_changed_are_told_of_by_launch_and_report(dots, clean, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(clean, run)
    edits = rows(run / "manifest.jsonl")
    lines = (json.dumps(row | {"device": f"NVIDIA {('H100', 'H200')[n % 2]}"}) + "\n" for n, row in enumerate(edits))
    (run / "manifest.jsonl").write_text("".join(lines))
    now = json.loads((run / "environment.json").read_text())
    older = now | {"packages": now["packages"] | {"torch": "2.10.0"}}
    (run / "environment.json").write_text(json.dumps(now | {"earlier": [older]}))
    said = " ".join(start("edit.py", *FAILING, "--benchmark", dots, "--run_dir", run).stderr.split())
    assert "Edited on NVIDIA H100 and NVIDIA H200: the last bits of a picture may differ between them." in said
    start("report.py", "--run_dir", run)
    both = f"device NVIDIA H100 and NVIDIA H200; torch 2.10.0 and {now['packages']['torch']}"
    (told,) = json.loads((run / "report.json").read_text())["runs"]
    assert told["settings"]["made on several"] == both
    assert f"Edited on more than one {both}" in (run / "report.md").read_text().replace("\\", "")
    assert f"Edited on more than one {both}" in (run / "report.html").read_text()


def test_a_rank_that_lags_is_named_and_one_that_only_waits_is_not():
    assert _lagging([9, 3, 8]) == ", rank 1 lags: 3, the fastest 9"
    assert _lagging([9, 6, 8]) == _lagging([0, 2]) == _lagging([5]) == ""


class Marred(Unchanged):
    """A black image for the first pair, the second refused, the third half the size, the fourth as it is."""

    def edit(self, pair, sources, seed):
        source = sources[0]
        if "物理" in pair.pair_id:
            return Image.new("RGB", source.size)
        if "社会" in pair.pair_id:
            raise EditRefused("refused: the pipeline's safety checker blanked the image")
        return source.reduce(2) if "因果" in pair.pair_id else source


def test_black_halved_unchanged_and_refused_edits_are_flagged_kept_and_counted(photos_json, tmp_path):
    config = Config(benchmark=photos_json, run_dir=(tmp_path / "run",), editor=Marred())
    assert edit(config, World()) == 0
    run = RunDir(config.the_run)
    flags = {row["pair_id"].split("_")[1]: tuple(row["flags"]) for row in rows(run.manifest)}
    assert flags == {"社会": ("refused",), "物理": ("constant",), "因果": ("resized",), "环境": ("unchanged",)}
    assert len(tree(run.root, "images")) == 3
    report(config, World())
    (told,) = json.loads((run.root / "report.json").read_text())["runs"]
    assert told["overall"]["num_failed"]["edit refused"] == 1
    assert told["overall"]["num_failed"]["edit failed"] == 0
    assert (told["flags"]["constant"], told["flags"]["resized"], told["flags"]["unchanged"]) == (1, 1, 1)


def test_a_decoder_that_gives_nothing_but_nan_is_flagged(photos_json, tmp_path):
    import torch

    from editbench.editors import QwenImageEdit

    class Broken(QwenImageEdit):
        def load(self, world):
            device = super().load(world)
            with torch.no_grad():
                next(iter(self._pipeline.vae.decoder.parameters())).fill_(float("nan"))
            return device

    editor = Broken(model="editbench:demo/editor", num_inference_steps=1, dtype="float32")
    config = Config(benchmark=photos_json, run_dir=(tmp_path / "run",), categories=("physical",), editor=editor)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert edit(config, World()) == 0
    (row,) = rows(RunDir(config.the_run).manifest)
    assert "constant" in row["flags"]
