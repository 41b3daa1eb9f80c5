"""Replies and numbers made elsewhere: read by any rubric, without a model."""

import json
from dataclasses import replace

import pytest

from editbench.cli.options import parse
from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Recorded
from editbench.process.world import World
from editbench.records import Score
from editbench.rubrics import Brief, FromFile
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.score import score

RUBRIC = """
version: two-1
scale: [0, 5]
calls:
  done:
    shows: [edit]
    text: Done? {instruction}
    reply: {number: [0, 1]}
  marks:
    text: "How well? As JSON."
    reply: {json: {kept: [1, 5], natural: [1, 5]}}
value: {done: 1, kept: 2, natural: 1}
"""


@pytest.fixture(scope="module")
def edited(dots, tmp_path_factory):
    """Three pairs, dot00 to dot02, edited by nobody."""
    run = tmp_path_factory.mktemp("recorded") / "run"
    config = Config(benchmark=dots, run_dir=(run,), editor=Unchanged(), limit=2)
    edit(config, World())
    return config


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def judged(config, judge, **changes) -> dict[str, Score]:
    config = replace(config, judge=judge, **changes)
    config = replace(config, scores=f"s{len(RunDir(config.the_run).score_names())}")
    score(config, World())
    records = read_records(RunDir(config.the_run).scores(config.the_scores), Score)
    return {record.pair_id: record for record in records}


def test_recorded_replies_give_the_numbers_worked_out_by_hand(edited, tmp_path):
    (tmp_path / "two.yaml").write_text(RUBRIC)
    rows = [
        {"pair_id": "dot00", "call": "done", "reply": "1"},
        {"pair_id": "dot00", "call": "marks", "reply": '{"kept": 4, "natural": 2}', "model": "m-1"},
        {"pair_id": "dot01", "call": "done", "error": "503"},
        {"pair_id": "dot01", "call": "marks", "reply": '{"kept": 4, "natu', "finish_reason": "length"},
        {"pair_id": "dot02", "call": "done", "reply": "0.5"},
        {"pair_id": "dot99", "call": "done", "reply": "1"},
        {"pair_id": "dot02", "call": "other", "reply": "1"},
    ]
    judge = Recorded(replies=written(tmp_path / "r.jsonl", rows))
    scores = judged(edited, judge, rubric=FromFile(file=str(tmp_path / "two.yaml")))
    first, second, third = scores["dot00"], scores["dot01"], scores["dot02"]
    assert (first.value, first.dimensions) == (2.75, {"done": 1.0, "kept": 4.0, "natural": 2.0})  # (1 + 2 · 4 + 2) / 4
    assert [answer.model for answer in first.answers] == ["", "m-1"]
    assert (second.answers[0].failure, second.answers[0].detail) == ("error", "503")
    assert second.answers[1].failure == "truncated"
    assert (third.value, third.failure) == (None, "error")
    assert third.answers[1].detail == "no recorded reply"
    assert third.dimensions == {"done": 0.5, "kept": None, "natural": None}


def test_a_row_without_call_is_of_the_only_one_and_repeats_are_told_apart(edited, tmp_path):
    rows = [
        {"pair_id": "dot00", "repeat": 0, "reply": "4.0"},
        {"pair_id": "dot00", "repeat": 1, "reply": "I'm sorry"},
        {"pair_id": "dot00", "repeat": 2, "reply": "8.0"},
    ]
    judge = Recorded(replies=written(tmp_path / "r.jsonl", rows))
    found = judged(edited, judge, rubric=Brief(), repeats=3)["dot00"]
    assert (found.value, found.spread) == (6.0, 2.8284)
    assert [answer.failure for answer in found.answers] == [None, "refused", None]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_table_of_plain_numbers_gives_values_and_a_scale_of_its_own_is_converted(edited, tmp_path, ending):
    path = tmp_path / f"v{ending}"
    rows = [("dot00", 75), ("dot01", 120), ("other", 1)]
    if ending == ".csv":
        path.write_text("pair_id,value\n" + "".join(f"{name},{value}\n" for name, value in rows))
    else:
        written(path, [{"pair_id": name, "value": value} for name, value in rows])
    scores = judged(edited, Recorded(values=str(path), scale=(0.0, 100.0)), rubric=Brief())
    assert (scores["dot00"].value, scores["dot00"].dimensions) == (7.5, {})
    assert (scores["dot01"].failure, scores["dot01"].value) == ("out of range", None)
    assert (scores["dot02"].failure, scores["dot02"].detail) == ("error", "no recorded value")
    plain = judged(edited, Recorded(values=str(path)), rubric=Brief())
    assert plain["dot00"].detail == "value 75 is not in 0 to 10"


def test_numbers_by_dimension_go_through_the_formula(edited, tmp_path):
    (tmp_path / "two.yaml").write_text(RUBRIC)
    path = tmp_path / "v.csv"
    path.write_text("pair_id,dimension,value\ndot00,done,1\ndot00,kept,4\ndot00,natural,2\ndot01,done,1\n")
    scores = judged(edited, Recorded(values=str(path)), rubric=FromFile(file=str(tmp_path / "two.yaml")))
    assert scores["dot00"].value == 2.75
    assert (scores["dot01"].value, scores["dot01"].failure) == (None, "error")
    assert "no recorded value of kept" in scores["dot01"].detail


def test_a_file_that_has_changed_is_read_again(edited, tmp_path):
    path = tmp_path / "again.jsonl"
    config = replace(
        edited, judge=Recorded(replies=written(path, [{"pair_id": "dot00", "reply": "4"}])), rubric=Brief()
    )
    score(config, World())
    rows = [{"pair_id": "dot00", "reply": "5"}, {"pair_id": "dot01", "reply": "6"}]
    config = replace(config, judge=Recorded(replies=written(path, rows)))
    score(config, World())
    records = read_records(RunDir(config.the_run).scores("again"), Score)
    assert [record.value for record in records][:2] == [5.0, 6.0]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"pair_id": "dot00", "reply": 7}', "line 1: reply must be text"),
        ('{"reply": "7"}', "line 1: pair_id is missing"),
        ('{"pair_id": "dot00", "reply": "7"}\n{"pair_id": "dot00", "reply": "7"}', "line 2: the same .* as line 1"),
        ("[1]", "line 1: not an object"),
        ('{"pair_id"', "line 1: not JSON"),
        ('{"pair_id": "dot00", "repeat": -1, "reply": "7"}', "repeat must be a whole number"),
        ('{"pair_id": "x", "reply": "7"}', "no row is of a pair and call of this run; its calls are score"),
        ("", "holds no row"),
    ],
)
def test_what_can_not_be_read_is_refused_by_file_and_line(edited, tmp_path, lines, says):
    (tmp_path / "r.jsonl").write_text(lines)
    with pytest.raises(UsageError, match=says):
        judged(edited, Recorded(replies=str(tmp_path / "r.jsonl")), rubric=Brief())


def test_one_file_is_needed():
    for judge in (Recorded(), Recorded(replies="a.jsonl", values="b.csv")):
        with pytest.raises(UsageError, match="reads one file"):
            judge.check()
    with pytest.raises(UsageError, match=r"give \.jsonl or \.csv"):
        Recorded(values="b.xlsx").check()
    with pytest.raises(UsageError, match="can't be read"):
        Recorded(values="no such.csv").check()


def test_the_command_line_takes_it():
    config = parse("x", ["--judge", "Recorded", "--judge.init_args.replies", "r.jsonl"])
    assert config.judge == Recorded(replies="r.jsonl")
    config = parse(
        "x", ["--judge", "Recorded", "--judge.init_args.values", "v.csv", "--judge.init_args.scale", "[0, 100]"]
    )
    assert config.judge == Recorded(values="v.csv", scale=(0, 100))
    assert config.the_scores == "v"
