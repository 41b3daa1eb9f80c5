"""The flat tables, read back by what they are for."""

import csv
import json
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed
from PIL import Image
from pyarrow import parquet

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.process.world import World
from editbench.records import Answer
from editbench.report import tell, write_export
from editbench.stages.edit import edit
from editbench.stages.report import report
from tests.drawn import HOSTILE, Photos, make_photos, make_run

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A part of a run, with instructions that a spreadsheet would run and a reply that is no UTF-8."""
    run = make_run(tmp_path_factory.mktemp("runs") / "qwen")
    pairs = [changed(pair, instruction=text) for pair, text in zip(run.pairs, FORMULAS, strict=False)]
    first = run.pairs[0].pair_id, 0
    answers = (
        Answer(call="score", reply="7\ud800", readings={"score": 7.0}),
        Answer(call="score", repeat=1, reply="", failure="empty"),
    )
    scores = run.scores | {first: changed(run.scores[first], value=7.0, answers=answers, spread=0.5)}
    return replace(run, pairs=(*pairs, *run.pairs[len(pairs) :]), scores=scores)


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_both_forms_hold_each_pair_of_each_score_file_once(run, tmp_path):
    blind = replace(run, name="qwen · blind", score_file="blind", scores={})
    content = tell([replace(run, name="qwen · judge"), blind])
    write_export(content, tmp_path / "scores.csv")
    write_export(content, tmp_path / "scores.parquet")
    for rows in (read_csv(tmp_path / "scores.csv"), parquet.read_table(tmp_path / "scores.parquet").to_pylist()):
        names = [(row["run"], row["scores"], row["pair_id"]) for row in rows]
        assert names == [("qwen", name, pair.pair_id) for name in ("judge", "blind") for pair in run.pairs]


def test_values_and_failures_are_the_reports(run, tmp_path):
    content = tell([run])
    write_export(content, tmp_path / "scores.parquet")
    table = parquet.read_table(tmp_path / "scores.parquet")
    overall = content.summaries[0].overall
    values = [value for value in table["value"].to_pylist() if value is not None]
    assert (len(values), sum(values) / len(values)) == (overall.num_scored, pytest.approx(overall.mean))
    statuses = table["status"].to_pylist()
    assert {kind: statuses.count(kind) for kind in overall.num_failed} == overall.num_failed
    assert statuses.count("pending") == overall.num_pending
    failed = table.to_pylist()[statuses.index("unreadable")]
    assert (failed["value"], failed["reason"]) == (None, "unreadable: what stood there was not one number")
    assert failed["reply_score"].endswith(HOSTILE)


def test_a_column_has_its_type_also_where_no_row_has_a_value(run, tmp_path):
    write_export(tell([replace(run, edits={}, scores={})]), tmp_path / "none.parquet")
    write_export(tell([run]), tmp_path / "scores.parquet")
    schema = parquet.read_schema(tmp_path / "scores.parquet")
    empty = parquet.read_schema(tmp_path / "none.parquet")
    assert [field for field in schema if field.name != "reply_score"] == list(empty)  # no call was answered there
    assert list(empty)[-2:] == [schema.field("source"), schema.field("edit")]
    kinds = {
        name: str(schema.field(name).type)
        for name in ("value", "edit_width", "edit_seed", "tags", "try", "dimension_score")
    }
    assert kinds == {
        "value": "double",
        "edit_width": "int64",
        "edit_seed": "int64",
        "tags": "string",
        "try": "int64",
        "dimension_score": "double",
    }


def test_a_spreadsheet_runs_nothing_of_a_csv_and_parquet_keeps_every_text(run, tmp_path):
    write_export(tell([run]), tmp_path / "scores.csv")
    write_export(tell([run]), tmp_path / "scores.parquet")
    rows = read_csv(tmp_path / "scores.csv")
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [row["instruction"] for row in rows[: len(FORMULAS)]] == [f"'{text}" for text in FORMULAS]
    exact = parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [row["instruction"] for row in exact] == [pair.instruction for pair in run.pairs]
    first = exact[0]
    assert first["reply_score"] == '["7\\ud800", ""]'
    assert (first["dimension_score"], first["score_spread"]) == (7.0, 0.5)


def test_dimensions_tries_and_each_call_s_reply_have_columns_of_their_own(tmp_path):
    write_export(tell([make_photos(tmp_path / "photos", tries=2, num_sources=2)]), tmp_path / "scores.parquet")
    rows = parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [(row["pair_id"], row["try"]) for row in rows[:3]] == [
        ("photo-0000", 0),
        ("photo-0000", 1),
        ("photo-0001", 0),
    ]
    assert len(rows) == 48
    for row in rows:
        found = [row[f"dimension_{name}"] for name in Photos.dimensions]
        assert row["value"] == (None if None in found else min(found))
        assert ("unreadable" in row["status"]) == (None in found)
    assert rows[8]["reply_quality"] == f"7-8 {HOSTILE}"
    assert rows[0]["reply_following"].startswith("```json")
    assert [picture["sha256"] for picture in json.loads(rows[0]["sources"])] == ["0" * 64, f"{'0' * 63}1"]


def test_a_report_writes_the_table_too_and_tells_two_runs_of_one_name_apart(photos_json, tmp_path):
    runs = (tmp_path / "a" / "run", tmp_path / "b" / "run")
    for run in runs:
        edit(Config(benchmark=photos_json, run_dir=(run,), editor=Unchanged()), World())
    also = {"export": tmp_path / "pairs.csv", "plots": tmp_path / "paper"}
    assert report(Config(run_dir=runs, out=tmp_path / "both", **also), World()) == 0
    assert {path.name for path in (tmp_path / "paper").iterdir()} == {"coverage.pdf", "coverage.png"}
    rows = read_csv(tmp_path / "pairs.csv")
    assert [row["run"] for row in rows] == [str(run) for run in runs for _ in range(4)]
    assert {(row["status"], row["edit_flags"], row["score_device"]) for row in rows} == {
        ("not scored", "unchanged", "")
    }
    assert f"<bdi>{runs[1]}</bdi>" in (tmp_path / "both" / "report.html").read_text()


def test_a_number_below_zero_stays_a_number(run, tmp_path):
    name = run.pairs[0].pair_id
    score = changed(run.scores[name, 0], value=-2.5, dimensions={"score": -2.5}, answers=())
    kept = {"rubric": None, "stored_scale": (-5.0, 5.0)}
    write_export(tell([replace(run, scores={(name, 0): score}, **kept)]), tmp_path / "scores.csv")
    assert read_csv(tmp_path / "scores.csv")[0]["value"] == "-2.5"


def test_datasets_shows_the_pictures_of_a_parquet_as_images(tmp_path):
    import datasets

    made = make_photos(tmp_path / "photos", num=6, tries=2, num_sources=2)
    (tmp_path / "photos" / made.edits["photo-0005", 1].image).unlink()
    write_export(tell([made]), tmp_path / "scores.parquet")
    found = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "scores.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    pictures = ("source", "source_2", "edit")
    assert [type(found.features[name]) for name in pictures] == [datasets.Image] * 3
    assert (found.features["value"], found.features["try"]) == (datasets.Value("float64"), datasets.Value("int64"))
    row = found[3]
    assert (row["pair_id"], row["try"]) == ("photo-0001", 1)
    paths = [*made.sources["photo-0001"], made.edits["photo-0001", 1].image]
    for name, path in zip(pictures, paths, strict=True):
        with Image.open(tmp_path / "photos" / path) as own:
            assert row[name].tobytes() == own.tobytes()
    assert found[11]["edit"] is None


def test_a_record_that_leads_out_of_the_run_embeds_nothing(tmp_path):
    made = make_photos(tmp_path / "photos", num=6)
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    name = ("photo-0000", 0)
    edits = {**made.edits, name: changed(made.edits[name], image="../secret.png")}
    write_export(tell([replace(made, edits=edits)]), tmp_path / "scores.parquet")
    rows = parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert rows[0]["edit"] is None
    assert rows[1]["edit"]["bytes"].startswith(b"\x89PNG")
    assert rows[1]["edit"]["path"] == made.edits["photo-0001", 0].image
