"""What needs no model of its own starts and works without importing torch."""

import csv
import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT, environment, rows
from tests.test_images_api import server
from tests.test_server import endpoint

__all__ = ["endpoint", "server"]  # fixtures

BLOCK = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")

sys.meta_path.insert(0, NoTorch())
"""
BLOCKED = f"{BLOCK}from editbench.cli.main import main\nsys.exit(main(sys.argv[1:]))"


def without_torch(*argv, program=BLOCKED, code=0):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, argv)],
        capture_output=True,
        text=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == code, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def run(dots, tmp_path_factory):
    """The twelve, edited and scored without torch."""
    folder = tmp_path_factory.mktemp("without")
    table = folder / "recorded.jsonl"
    names = [json.loads(line)["id"] for line in dots.read_text(encoding="utf-8").splitlines()]
    table.write_text("".join(json.dumps({"pair_id": name, "value": i % 10}) + "\n" for i, name in enumerate(names)))
    without_torch("edit", "--benchmark", dots, "--run_dir", folder / "run", "--editor", "Unchanged")
    recorded = ("--judge", "Recorded", "--judge.init_args.values", table)
    without_torch("score", "--run_dir", folder / "run", *recorded)
    return folder / "run"


def test_recorded_replies_are_scored_and_reported(run):
    without_torch("report", "--run_dir", run)
    found = json.loads((run / "report.json").read_text(encoding="utf-8"))["runs"][0]["overall"]
    assert (found["num_scored"], found["mean"]) == (12, pytest.approx((sum(range(10)) + 0 + 1) / 12))


def test_saved_pictures_are_taken(run, dots, tmp_path):
    saved = ("--editor", "Saved", "--editor.init_args.folder", run / "images")
    without_torch("edit", "--benchmark", dots, "--run_dir", tmp_path / "saved", *saved)
    assert [row["error"] for row in rows(tmp_path / "saved" / "manifest.jsonl") if row.get("error")] == []


def test_a_server_scores(run, endpoint):
    judge = ("--judge", "Server", "--judge.init_args.model", "org/served-model")
    judge = (*judge, "--judge.init_args.base_url", endpoint.url, "--scores", "served")
    without_torch("score", "--run_dir", run, *judge)
    assert [row["value"] for row in rows(run / "scores" / "served.jsonl")] == [7.5] * 12


def test_a_server_whose_replies_fail_is_a_record_and_no_import(run, endpoint):
    endpoint.steps = [(400, {}, {"error": {"message": "out of memory"}})]
    judge = ("--judge", "Server", "--judge.init_args.model", "org/served-model", "--max_failures", "12")
    judge = (*judge, "--judge.init_args.base_url", endpoint.url, "--scores", "failed")
    done = without_torch("score", "--run_dir", run, *judge, code=1)
    assert {row["value"] for row in rows(run / "scores" / "failed.jsonl")} == {None}
    assert "torch" not in done.stderr


def test_an_interface_of_images_edits(dots, server, tmp_path):
    editor = ("--editor", "ImagesAPI", "--editor.init_args.model", "image-1")
    editor = (*editor, "--editor.init_args.base_url", server.url)
    without_torch("edit", "--benchmark", dots, "--run_dir", tmp_path / "run", *editor)
    assert len(list((tmp_path / "run" / "images").iterdir())) == 12


def test_people_are_compared_with_the_judge(run, tmp_path):
    human = tmp_path / "human.csv"
    with human.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["pair_id", "value"])
        table.writerows([f"dot{number:02d}", number % 10] for number in range(12))
    without_torch("agreement", "--run_dir", run, "--human", human, "--scores", "recorded")
    (found,) = json.loads((run / "agreement.json").read_text(encoding="utf-8"))["pooled"]["measures"][:1]
    assert found["judge"]["value"] == pytest.approx(1.0)


def test_the_number_of_judges_asks_no_gpu_where_the_model_runs_elsewhere(run):
    code = f"{BLOCK}from editbench.cli.replicas import main\nsys.exit(main())"
    judge = ("--judge", "Server", "--judge.init_args.model", "m")
    assert without_torch("--run_dir", run, *judge, program=code).stdout == "1\n"
