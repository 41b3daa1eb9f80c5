"""The examples of `editbench/rubrics/README.md`, run as they stand there."""

import re

import pytest

from editbench.cli.options import parse
from editbench.process.world import World
from editbench.records import Score
from editbench.rubrics.file.calls import CALL_KEYS, REPLIES
from editbench.rubrics.file.formula import FORMULAS
from editbench.rubrics.file.reader import FILE_KEYS
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.score import score
from tests.conftest import ROOT

TEXT = (ROOT / "editbench" / "rubrics" / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (first, *_) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return first


@pytest.mark.parametrize(
    ("options", "replies", "value", "dimensions"),
    [
        (
            ["--rubric", "FromFile", "--rubric.init_args.file", "{folder}/mine.yaml"],
            {"following": '{"done": 4, "kept": 3}'},
            3.0,
            {"done": 4.0, "kept": 3.0},
        ),
        (
            ["--rubric", "my_rubrics.Likeness", "--rubric.init_args.strict", "true"],
            {"face": "7", "dress": "9.5"},
            7.0,
            {"face": 7.0, "dress": 9.5},
        ),
    ],
    ids=["yaml", "python"],
)
def test_the_page_s_rubrics_run(dots, tmp_path, monkeypatch, options, replies, value, dimensions):
    (tmp_path / "mine.yaml").write_text(block("yaml"), encoding="utf-8")
    (tmp_path / "my_rubrics.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    table = tmp_path / "replies.csv"
    cells = "".join(f'dot00,{call},"{reply.replace(chr(34), chr(34) * 2)}"\n' for call, reply in replies.items())
    table.write_text("pair_id,call,reply\n" + cells, encoding="utf-8")
    recorded = ["--judge", "Recorded", "--judge.init_args.replies", str(table)]
    common = ["--benchmark", str(dots), "--run_dir", str(tmp_path / "run"), "--editor", "Unchanged", "--limit", "1"]
    config = parse("x", [*common, *recorded, *(option.format(folder=tmp_path) for option in options)])
    assert edit(config, World()) == 0
    assert score(config, World()) == 0
    first, second = read_records(RunDir(config.the_run).scores("replies"), Score)
    assert (first.value, first.dimensions) == (value, dimensions)
    assert (second.value, second.failure) == (None, "error")  # it has no row


def test_the_page_names_every_key_of_a_file():
    for key in (*FILE_KEYS, *CALL_KEYS, *FORMULAS, *REPLIES):
        assert re.search(rf"\b{key}\b", TEXT), key
