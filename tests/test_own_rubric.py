"""A rubric of a user's own, in YAML, on the demo's pairs with other categories: from the launch to the report."""

import json

import pytest

from editbench.models.checkpoints import locate
from tests.conftest import rows, start
from tests.test_rubrics_readme import block


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """The demo's pairs in two other categories, beside the rubric of `rubrics/README.md`."""
    folder = tmp_path_factory.mktemp("own")
    with open(locate("editbench:demo/pairs.json"), encoding="utf-8") as file:
        pairs = json.load(file)
    for number, row in enumerate(pairs):
        row["subset"] = ("relight", "background")[number % 2]
    (folder / "pairs.json").write_text(json.dumps(pairs), encoding="utf-8")
    (folder / "mine.yaml").write_text(block("yaml"), encoding="utf-8")
    return folder


def options(folder, run):
    own = ("--rubric", "FromFile", "--rubric.init_args.file", folder / "mine.yaml")
    where = ("--config", "demo", "--benchmark", folder / "pairs.json", "--run_dir", run)
    return (*where, "--editor", "Unchanged", *own)


def reported(run):
    (found,) = json.loads((run / "report.json").read_text())["runs"]
    return found


def test_what_the_demo_s_judge_says_is_unreadable_and_counted(ours, tmp_path, monkeypatch):
    monkeypatch.setenv("NUM_JUDGES", "2")
    monkeypatch.setenv("NUM_EDITORS", "1")
    run = tmp_path / "run"
    done = start("launch.sh", *options(ours, run), code=1)
    assert "0 of 12 have a score" in done.stderr
    found = reported(run)
    assert (found["overall"]["num_scored"], found["overall"]["num_pairs"]) == (0, 12)
    assert list(found["dimensions"]) == ["done", "kept", "quality"]
    assert found["dimensions"]["quality"]["num_pairs"] == 6  # asked of `relight` alone
    assert [(one["name"], one["value"], one["scale"]) for one in found["headlines"]] == [
        ("category_mean", None, [1, 5]),
        ("item_mean", None, [1, 5]),
    ]
    page = (run / "report.html").read_text()
    assert all(name in page for name in ("done", "kept", "quality", "category_mean", "item_mean"))


def test_recorded_replies_give_the_numbers_worked_out_by_hand(ours, tmp_path):
    run = tmp_path / "run"
    start("edit.py", *options(ours, run))
    pairs = rows(run / "pairs.jsonl")
    replies = tmp_path / "by_hand.jsonl"
    with replies.open("w") as file:
        for number, pair in enumerate(pairs[:11]):  # none of the last, a `background`
            both = {"done": 1 + number % 5, "kept": 5}
            file.write(json.dumps({"pair_id": pair["pair_id"], "call": "following", "reply": json.dumps(both)}) + "\n")
            if number % 2 == 0:
                said = "2" if number else "very"
                file.write(json.dumps({"pair_id": pair["pair_id"], "call": "quality", "reply": said}) + "\n")
    recorded = ("--judge", "Recorded", "--judge.init_args.replies", replies)
    start("score.py", "--run_dir", run, *recorded)
    start("report.py", "--run_dir", run, *recorded)
    found = reported(run)
    # relight: pair 0 has no quality; 2, 4, 6, 8, 10 have done 3, 5, 2, 4, 1 and quality 2: 2, 2, 2, 2, 1
    assert found["categories"]["relight"]["mean"] == pytest.approx(9 / 5)
    # background: 1, 3, 5, 7, 9 have done 2, 4, 1, 3, 5 and kept 5: the same
    assert found["categories"]["background"]["mean"] == pytest.approx(15 / 5)
    assert (found["overall"]["num_scored"], found["overall"]["num_pairs"]) == (10, 12)
    assert [(one["name"], pytest.approx(one["value"])) for one in found["headlines"]] == [
        ("category_mean", (1.8 + 3.0) / 2),
        ("item_mean", 24 / 10),
    ]
    means = {name: (one["mean"], one["num_scored"], one["num_pairs"]) for name, one in found["dimensions"].items()}
    assert means["done"] == (pytest.approx(31 / 11), 11, 12)  # 1 + 2 + 3 + 4 + 5 twice, and 1
    assert means["kept"] == (5.0, 11, 12)
    assert means["quality"] == (2.0, 5, 6)


def test_a_changed_formula_needs_no_judge(ours, tmp_path):
    run = tmp_path / "run"
    start("edit.py", *options(ours, run), "--limit", "1")
    first, second = rows(run / "pairs.jsonl")[:2]
    replies = tmp_path / "by_hand.csv"
    replies.write_text(
        "pair_id,call,reply\n"
        f'{first["pair_id"]},following,"{{""done"": 4, ""kept"": 2}}"\n{first["pair_id"]},quality,3\n'
        f'{second["pair_id"]},following,"{{""done"": 4, ""kept"": 2}}"\n',
        encoding="utf-8",
    )
    own = tmp_path / "mine.yaml"
    text = (ours / "mine.yaml").read_text()
    own.write_text(text)
    ask = ("--rubric", "FromFile", "--rubric.init_args.file", own)
    start("score.py", "--run_dir", run, *ask, "--judge", "Recorded", "--judge.init_args.replies", replies)
    before = (run / "scores" / "by_hand.jsonl").read_bytes()
    start("report.py", "--run_dir", run, *ask)
    assert reported(run)["overall"]["mean"] == 2.0
    own.write_text(text.replace("value: min", "value: mean"))
    start("report.py", "--run_dir", run, *ask)
    assert reported(run)["overall"]["mean"] == 3.0  # (4 + 2 + 3) / 3 and (4 + 2) / 2
    assert (run / "scores" / "by_hand.jsonl").read_bytes() == before
