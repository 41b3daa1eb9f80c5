"""Real faults, made on purpose: what the user is told, the exit code, and that the same command then goes on."""

import json
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from editbench.config import Config
from editbench.edit_stage import edit
from editbench.editors import EditRefused, Unchanged
from editbench.report_stage import report
from editbench.run_dir import RunDir
from editbench.world import World
from tests.conftest import command, environment, rows, start, tree, untimed

STUCK = ("--editor", "tests.planned.StuckEditor", "--judge", "tests.planned.StuckJudge")
FAILING = ("--editor", "tests.planned.FailingEditor", "--judge", "tests.planned.StuckJudge")


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs of four by four pixels each."""
    folder = tmp_path_factory.mktemp("dots")
    lines = []
    for number in range(12):
        Image.new("RGB", (4, 4), (20 * number, 0, 0)).save(folder / f"{number}.png")
        category = ("physical", "causal")[number % 2]
        row = {"id": f"dot{number:02d}", "source": f"{number}.png", "instruction": "Turn it.", "category": category}
        lines.append(json.dumps(row) + "\n")
    path = folder / "dots.jsonl"
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="session")
def clean(dots, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twelve, edited undisturbed."""
    run = tmp_path_factory.mktemp("clean") / "run"
    start("edit.py", *FAILING, "--benchmark", dots, "--run", run)
    return run


def limited(script: str, *argv: str | Path, before: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    env = environment()
    return subprocess.run(
        command(script, *argv), preexec_fn=before, capture_output=True, text=True, env=env, check=False
    )


def same(run: Path, clean: Path) -> bool:
    return tree(run, "images") == tree(clean, "images") and untimed(rows(run / "manifest.jsonl")) == untimed(
        rows(clean / "manifest.jsonl")
    )


@pytest.mark.parametrize(("limit", "where"), [(1_000, "pairs.jsonl"), (3_500, "edit.000001.00000.jsonl")])
def test_a_file_that_can_grow_no_more_stops_the_run_and_loses_nothing(dots, clean, tmp_path, limit, where):
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run", run)
    done = limited("edit.py", *argv, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    said = " ".join(done.stderr.split())
    assert done.returncode == 3
    assert "File too large" in said
    assert where in said.replace(" ", "")
    assert "MiB free" in said
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
    done = start("edit.py", *argv, "--run", run, code=3)
    said = " ".join(done.stderr.split())
    assert "No space left on device" in said
    assert ".png" in said
    assert "Traceback" not in said
    assert not [path for path in run.rglob("*.tmp")]
    # the one mebibyte holds no four photographs twice: the run moves to a larger disk and goes on there
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", run, moved], check=True)
    start("edit.py", *argv, "--run", moved)
    start("edit.py", *argv, "--run", tmp_path / "undisturbed")
    assert same(moved, tmp_path / "undisturbed")


def test_too_few_file_handles_are_named(dots, tmp_path):
    argv = (*FAILING, "--benchmark", dots, "--run", tmp_path / "run")
    done = limited("edit.py", *argv, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (7, 7)))
    assert done.returncode != 0
    assert "Too many open files" in done.stderr


def test_a_run_directory_that_cannot_be_made_is_named(dots, tmp_path):
    (tmp_path / "file").write_text("")
    done = start("edit.py", *FAILING, "--benchmark", dots, "--run", tmp_path / "file" / "run", code=3)
    assert "Not a directory" in done.stderr


def test_a_process_that_hangs_says_where_and_ends(dots, tmp_path):
    run = tmp_path / "run"
    argv = (*STUCK, "--benchmark", dots, "--run", run)
    begin = time.monotonic()
    done = start("edit.py", *argv, "--editor.init_args.at", "editing", "--hang_after_s", "1", code=3)
    assert time.monotonic() - begin < 15
    said = " ".join(done.stderr.split())
    assert "rank 0: dot00 has hung for 1 s: this process ends" in said
    assert "in stuck" in said
    assert "in stuck" in (run / "logs" / "edit.rank0.log").read_text()
    start("edit.py", *argv)
    assert len(rows(run / "manifest.jsonl")) == 12


def test_a_poisoned_gpu_stops_its_rank_and_no_later_pair_is_called_failed(dots, clean, tmp_path):
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run", run)
    done = start("edit.py", *argv, "--editor.init_args.at", "dot03", "--editor.init_args.how", "Poisoned", code=3)
    assert "illegal memory access" in done.stderr
    (part,) = run.glob("parts/*.jsonl")
    assert [row["pair_id"] for row in rows(part)] == ["dot00", "dot01", "dot02"]
    start("edit.py", *argv)
    assert same(run, clean)


def test_every_exit_code_comes_through_torchrun_and_launch_sh(dots, tmp_path):
    def launched(name: str, *argv: str, code: int) -> str:
        common = (*FAILING, "--benchmark", dots, "--run", tmp_path / name)
        return start("launch.sh", *common, *argv, code=code).stderr

    launched("failures", "--max_failures", "0", "--editor.init_args.at", "dot03", code=1)
    launched("poisoned", "--editor.init_args.at", "dot03", "--editor.init_args.how", "Poisoned", code=3)
    launched("poisoned", code=0)
    launched("poisoned", "--seed", "1", code=2)


def test_a_finished_run_started_again_loads_no_model_and_ends_in_two_seconds(dots, clean):
    begin = time.monotonic()
    done = start("edit.py", *FAILING, "--benchmark", dots, "--run", clean)
    assert "is ready" not in done.stderr
    assert time.monotonic() - begin < 6  # 0.7 s on a machine at rest; tests share theirs


def test_one_then_three_then_two_ranks_give_what_one_gives(dots, clean, tmp_path):
    run = tmp_path / "run"
    argv = (*FAILING, "--benchmark", dots, "--run", run)
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


class Marred(Unchanged):
    """A black image for the first pair, the second refused, the third half the size, the fourth as it is."""

    def edit(self, pair, source, seed):
        if "物理" in pair.pair_id:
            return Image.new("RGB", source.size)
        if "社会" in pair.pair_id:
            raise EditRefused("refused: the pipeline's safety checker blanked the image")
        return source.reduce(2) if "因果" in pair.pair_id else source


def test_black_halved_unchanged_and_refused_edits_are_flagged_kept_and_counted(photos_json, tmp_path):
    config = Config(benchmark=photos_json, run=(tmp_path / "run",), editor=Marred())
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
    config = Config(benchmark=photos_json, run=(tmp_path / "run",), categories=("physical",), editor=editor)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert edit(config, World()) == 0
    (row,) = rows(RunDir(config.the_run).manifest)
    assert "constant" in row["flags"]
