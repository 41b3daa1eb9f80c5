"""The scripts as processes, on the demo's real models."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import command, environment, rows, start, tree, untimed

# the demo's own classes and weights; four steps make no good picture, but one that is as much its own
QUICK = ("--config", "demo", "--editor.init_args.num_inference_steps", "4")
CATEGORIES = ["physical", "environmental", "social", "causal", "referential"]


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's first command, in a directory of its own."""
    folder = tmp_path_factory.mktemp("demo")
    done = start("launch.sh", cwd=folder)
    assert "embedded demo" in done.stderr
    assert "report.html" in done.stderr
    return folder / "runs" / "demo"


def test_one_command_without_arguments_gives_a_finished_report(demo_run):
    names = {path.name for path in demo_run.iterdir()}
    assert {"config.yaml", "environment.json", "manifest.jsonl", "report.md", "report.json", "report.html"} <= names
    assert "parts" not in names


def test_what_is_only_to_be_told_or_checked_starts_nothing(tmp_path):
    run = tmp_path / "run"
    assert "checked, 12 pairs" in start("launch.sh", "--run_dir", run, "--check").stderr
    assert "--benchmark" in start("launch.sh", "--help").stdout
    assert "num_inference_steps" in start("launch.sh", "--print_config").stdout
    assert not run.exists()


def test_every_pair_of_the_manifest_has_its_image_and_what_vouches_for_it(demo_run):
    manifest = rows(demo_run / "manifest.jsonl")
    assert len(manifest) == 12
    for row in manifest:
        assert {"pair_id", "image", "sha256", "seed", "error"} <= row.keys()
        assert row["error"] is None
        assert (demo_run / row["image"]).is_file()
        assert (demo_run / "sources" / Path(row["image"]).name).is_file()


def test_every_score_is_a_value_or_a_failure_with_its_reply(demo_run):
    (path,) = (demo_run / "scores").glob("*.jsonl")
    scores = rows(path)
    assert [row["pair_id"] for row in scores] == [row["pair_id"] for row in rows(demo_run / "manifest.jsonl")]
    for row in scores:
        assert (row["value"] is None) != (row["failure"] is None)
        assert [isinstance(answer["reply"], str) for answer in row["answers"]] == [True]
        assert row["value"] is None or 0 <= row["value"] <= 10


def test_the_report_counts_what_the_files_hold(demo_run):
    report = json.loads((demo_run / "report.json").read_text(encoding="utf-8"))
    (path,) = (demo_run / "scores").glob("*.jsonl")
    values = [row["value"] for row in rows(path) if row["value"] is not None]
    assert report["schema"] == 2
    (run,) = report["runs"]
    assert run["name"] == "demo"
    assert (run["overall"]["num_scored"], run["overall"]["num_pairs"]) == (len(values), 12)
    if values:
        assert run["overall"]["mean"] == pytest.approx(sum(values) / len(values))
    else:
        assert run["overall"]["mean"] is None
    assert list(run["categories"]) == CATEGORIES
    assert sum(category["num_pairs"] for category in run["categories"].values()) == 12


def test_a_finished_run_started_again_loads_nothing_and_changes_nothing(demo_run):
    before = {path: path.stat().st_mtime_ns for path in demo_run.rglob("*.png")}
    manifest = (demo_run / "manifest.jsonl").read_bytes()
    for script in ("edit.py", "score.py"):
        done = start(script, "--run_dir", demo_run)
        assert ", 0 to" in done.stderr
        assert "is ready" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in demo_run.rglob("*.png")} == before
    assert (demo_run / "manifest.jsonl").read_bytes() == manifest


def values_of(run: Path) -> dict[str, float]:
    (path,) = (run / "scores").glob("*.jsonl")
    return {row["pair_id"]: row["value"] for row in rows(path)}


def test_no_edit_scores_below_the_demo_editor_and_shuffled_pairs_below_both(demo_run, tmp_path):
    # were the judge's numbers chance, ten or more of twelve pairs would be won once in 52 times, both once in 2,700
    names = [row["pair_id"] for row in rows(demo_run / "manifest.jsonl")]
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for name, image in zip(names, [*names[1:], names[0]], strict=True):
        shutil.copy(demo_run / "images" / f"{image}.png", shuffled / f"{name}.png")
    values = {"demo": values_of(demo_run)}
    for run, editor in (("none", ["Unchanged"]), ("other", ["Saved", "--editor.init_args.folder", shuffled])):
        for script in ("edit.py", "score.py"):
            start(script, "--config", "demo", "--run_dir", tmp_path / run, "--editor", *editor)
        values[run] = values_of(tmp_path / run)
    for better, worse in (("demo", "none"), ("none", "other")):
        assert sum(values[better][name] > values[worse][name] for name in names) >= 10, values


@pytest.fixture(scope="session")
def one_rank(tmp_path_factory: pytest.TempPathFactory, photos_json: Path) -> Path:
    """Four photographs edited and scored by one process, undisturbed."""
    run = tmp_path_factory.mktemp("one") / "run"
    start("edit.py", *QUICK, "--benchmark", photos_json, "--run_dir", run)
    start("score.py", "--run_dir", run)
    return run


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory, photos_json: Path) -> Path:
    """The same by two processes."""
    run = tmp_path_factory.mktemp("two") / "run"
    start("edit.py", *QUICK, "--benchmark", photos_json, "--run_dir", run, ranks=2)
    start("score.py", "--run_dir", run, ranks=2)
    return run


def test_two_ranks_write_the_same_images_and_rows_as_one(one_rank, two_ranks):
    assert tree(two_ranks, "images") == tree(one_rank, "images")
    assert tree(two_ranks, "sources") == tree(one_rank, "sources")
    assert untimed(rows(two_ranks / "manifest.jsonl")) == untimed(rows(one_rank / "manifest.jsonl"))
    assert (two_ranks / "pairs.jsonl").read_bytes() == (one_rank / "pairs.jsonl").read_bytes()


def test_a_table_beside_images_gives_the_same_edits_as_images_inside(one_rank, photos_csv, tmp_path):
    # seeds follow from ids, so the table must use the same ones
    ids = [row["pair_id"] for row in rows(one_rank / "manifest.jsonl")]
    table = photos_csv.read_text(encoding="utf-8").splitlines()
    renamed = [table[0], *(f"{new},{line.split(',', 1)[1]}" for new, line in zip(ids, table[1:], strict=True))]
    path = tmp_path / "photos.csv"
    path.write_text("\n".join(renamed), encoding="utf-8")
    run = tmp_path / "run"
    start("edit.py", *QUICK, "--benchmark", path, "--images", photos_csv.parent, "--run_dir", run, ranks=2)
    assert tree(run, "images") == tree(one_rank, "images")


def test_a_rank_killed_in_the_middle_loses_nothing_that_was_finished(one_rank, photos_json, tmp_path):
    run = tmp_path / "run"
    argv = (*QUICK, "--benchmark", photos_json, "--run_dir", run)
    launch = subprocess.Popen(command("edit.py", *argv, ranks=2), env=environment(), stderr=subprocess.DEVNULL)
    while not list(run.glob("images/*.png")):
        assert launch.poll() is None
        time.sleep(0.02)
    children = psutil.Process(launch.pid).children(recursive=True)
    victims = [child for child in children if any(word.endswith("edit.py") for word in child.cmdline())]
    os.kill(max(victim.pid for victim in victims), signal.SIGKILL)
    assert launch.wait() != 0
    recorded = {row["pair_id"] for part in (run / "parts").glob("*.jsonl") for row in rows(part)}
    assert len(recorded) < 4
    before = {path: path.stat().st_mtime_ns for path in run.glob("images/*.png")}

    done = start("edit.py", *argv, ranks=2)
    assert f"{len(recorded)} already edited" in done.stderr
    assert tree(run, "images") == tree(one_rank, "images")
    assert untimed(rows(run / "manifest.jsonl")) == untimed(rows(one_rank / "manifest.jsonl"))
    kept = [row["image"] for row in rows(run / "manifest.jsonl") if row["pair_id"] in recorded]
    assert all((run / image).stat().st_mtime_ns == before[run / image] for image in kept)
    assert not (run / "parts").exists()


def test_a_changed_pair_is_refused_and_redone_only_when_asked(one_rank, photos_json, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-a", one_rank, run], check=True)
    pairs = json.loads(photos_json.read_text(encoding="utf-8"))
    pairs[2]["edit_instruction_en"] = "Show the cup broken into pieces."
    changed = tmp_path / "photos.json"
    changed.write_text(json.dumps(pairs), encoding="utf-8")
    argv = (*QUICK, "--benchmark", changed, "--run_dir", run)
    refused = start("edit.py", *argv, code=2)
    assert "1 of 4 finished pairs (00002_因果_easy" in refused.stderr
    assert tree(run, "images") == tree(one_rank, "images")
    done = start("edit.py", *argv, "--accept_changes")
    assert "3 already edited, 1 to do" in done.stderr
    assert "00002_因果_easy is redone: what it is made from has changed" in done.stderr
    old, new = tree(one_rank, "images"), tree(run, "images")
    assert [name for name in old if old[name] != new[name]] == ["00002_因果_easy.png"]
    assert ", 1 to score" in start("score.py", "--run_dir", run).stderr


def test_a_damaged_image_is_made_again_and_the_same(one_rank, photos_json, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-a", one_rank, run], check=True)
    image = next(run.glob("images/*.png"))
    image.write_bytes(image.read_bytes()[:-100])
    score = start("score.py", "--run_dir", run, "--scores", "again")
    assert "1 missing edit" in score.stderr
    start("edit.py", *QUICK, "--benchmark", photos_json, "--run_dir", run)
    assert tree(run, "images") == tree(one_rank, "images")


def test_another_editor_in_the_same_run_is_refused_with_the_difference(one_rank, photos_json):
    argv = (*QUICK, "--benchmark", photos_json, "--run_dir", one_rank)
    done = start("edit.py", *argv, "--editor.init_args.num_inference_steps", "2", code=2)
    assert "editor.init_args.num_inference_steps: " in done.stderr
    assert "2 now" in done.stderr
    assert "Traceback" not in done.stderr


def test_scores_asked_otherwise_need_a_name_and_destroy_nothing(two_ranks):
    (first,) = (two_ranks / "scores").glob("*.jsonl")
    before = first.read_bytes()
    blind = ("--rubric.init_args.judge_sees", "edit")
    refused = start("score.py", "--run_dir", two_ranks, *blind, code=2)
    assert "judge_sees: 'all' there, 'edit' now" in refused.stderr
    start("score.py", "--run_dir", two_ranks, *blind, "--scores", "blind")
    assert first.read_bytes() == before
    assert len(rows(two_ranks / "scores" / "blind.jsonl")) == 4
    start("report.py", "--run_dir", two_ranks)
    report = json.loads((two_ranks / "report.json").read_text(encoding="utf-8"))
    assert [run["name"] for run in report["runs"]] == [f"run · {name}" for name in sorted(("blind", first.stem))]


def test_a_pair_without_an_edit_is_a_counted_failure_and_the_others_go_on(one_rank, photos_json, tmp_path):
    made = tmp_path / "made"
    subprocess.run(["cp", "-r", one_rank / "images", made], check=True)
    next(made.glob("*物理*")).unlink()
    run = tmp_path / "run"
    saved = ("--editor", "Saved", "--editor.init_args.folder", made, "--benchmark", photos_json, "--run_dir", run)
    start("edit.py", "--config", "demo", *saved)
    (failed,) = [row for row in rows(run / "manifest.jsonl") if row["error"]]
    assert (failed["image"], failed["sha256"]) == (None, None)
    assert failed["pair_id"] in failed["error"]
    assert len(tree(run, "images")) == 3

    start("score.py", "--run_dir", run)
    start("report.py", "--run_dir", run)
    overall = json.loads((run / "report.json").read_text(encoding="utf-8"))["runs"][0]["overall"]
    assert overall["num_pairs"] == 4
    assert overall["num_scored"] <= 3
    scores = {row["pair_id"]: row for row in rows(next((run / "scores").glob("*.jsonl")))}
    assert scores[failed["pair_id"]]["failure"] == "missing edit"
    assert scores[failed["pair_id"]]["value"] is None
    start("edit.py", "--config", "demo", *saved, "--max_failures", "0", code=1)


def test_part_of_a_run_is_reported_as_part_of_a_run(one_rank, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-a", one_rank, run], check=True)
    (scores,) = (run / "scores").glob("*.jsonl")
    scores.write_text("".join(scores.read_text(encoding="utf-8").splitlines(keepends=True)[:3]))
    start("report.py", "--run_dir", run)
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "3" in text
    assert "part of a run" in text.lower()


def test_a_limit_takes_the_first_of_each_category_and_a_larger_one_adds(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = ("--editor", "Unchanged", "--benchmark", photos_json, "--run_dir", run)
    start("edit.py", *argv, "--categories", "物理,causal")
    assert [row["pair_id"] for row in rows(run / "manifest.jsonl")] == ["00001_物理_easy", "00002_因果_easy"]
    done = start("edit.py", *argv, "--limit", "1")
    assert "4 pairs, 2 already edited" in done.stderr
    assert all(row["flags"] == ["unchanged"] for row in rows(run / "manifest.jsonl"))
    start("edit.py", *argv, "--limit", "1", "--categories", "causal")
    assert len(rows(run / "manifest.jsonl")) == 4


def test_a_broken_benchmark_stops_everything_before_it_begins(photos_json, tmp_path):
    pairs = json.loads(photos_json.read_text(encoding="utf-8"))
    pairs[0]["src_img_b64"] = "no picture"
    pairs[1]["edit_instruction_en"] = "  "
    pairs[3]["original_image_path"] = pairs[2]["original_image_path"]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(pairs), encoding="utf-8")
    done = start("launch.sh", "--benchmark", broken, "--run_dir", tmp_path / "run", code=2)
    for words in ("row 1", "row 2", "row 4", "src_img_b64", "edit_instruction_en"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_that_does_not_exist_names_those_that_do(one_rank):
    for script in ("score.py", "report.py"):
        done = start(script, "--run_dir", one_rank.parent / "nope", code=2)
        assert "run" in done.stderr.split("runs in")[1]
        assert "Traceback" not in done.stderr


def test_ranks_that_load_in_turns_do_not_wait_for_ever(photos_json, tmp_path):
    argv = ("--editor", "Unchanged", "--benchmark", photos_json, "--run_dir", tmp_path / "run", "--load_in_turns")
    start("edit.py", *argv, ranks=3)
    assert len(rows(tmp_path / "run" / "manifest.jsonl")) == 4
