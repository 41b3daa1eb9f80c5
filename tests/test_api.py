"""editbench from Python: evaluate, load, and both again and again in a training job."""

import json
import logging
import subprocess
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import torch
import torch.multiprocessing as mp
import yaml
from nbclient import NotebookClient
from PIL import Image

import editbench
from editbench.editors import Diffusers, Editor, LivePipeline, QwenImageEdit, Unchanged
from editbench.errors import UsageError
from editbench.judges import Recorded
from editbench.rubrics import Brief
from tests.conftest import BIN, ROOT, STATE, environment, rows, start, tree, untimed
from tests.planned import FailingEditor, StuckJudge
from tests.training_loop import STEPS, Brightness, evaluate, fail_on_rank_1, make_pipeline, own_log, state, training_of


@pytest.fixture(autouse=True)
def _own_state_folder(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", STATE)


def test_a_result_says_what_the_report_says(dots, tmp_path):
    result = editbench.evaluate(dots, "Unchanged", judge=Brightness(), rubric="Brief", run_dir=tmp_path / "run")
    document = json.loads((tmp_path / "run" / "report.json").read_bytes())["runs"][0]
    assert result.report == tmp_path / "run" / "report.html"
    assert result.complete
    assert [one.value for one in result.headlines.values()] == [one["value"] for one in document["headlines"]]
    # grey levels of (20 n, 0, 0) are 0.299 of 20 n, rounded, and one reply says a 25.5th of it with one decimal
    values = [round(round(0.299 * 20 * number) / 25.5, 1) for number in range(12)]
    assert [row["value"] for row in result.rows()] == values
    assert result.overall.mean == pytest.approx(sum(values) / 12)
    assert (result.overall.interval, result.overall.interval_note) == (None, "too few")
    assert {name: mean.num_pairs for name, mean in result.categories.items() if mean.num_pairs} == {
        "physical": 6,
        "causal": 6,
    }
    assert set(result.dimensions) == {"score"}
    assert not result.failures
    again = editbench.load(tmp_path / "run")
    assert again.summary == result.summary
    assert again.rows() == result.rows()


def test_headline_dimension_and_category_have_intervals_where_there_are_pairs_enough(tmp_path):
    bench = tmp_path / "bench" / "many.jsonl"
    bench.parent.mkdir()
    pairs = []
    for number in range(60):
        Image.new("RGB", (4, 4), (4 * number, 0, 0)).save(bench.parent / f"{number}.png")
        category = ("physical", "causal")[number % 2]
        pairs.append({"id": f"{number}", "source": f"{number}.png", "instruction": "Turn it.", "category": category})
    bench.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    result = editbench.evaluate(bench, "Unchanged", judge=Brightness(), rubric="Brief", run_dir=tmp_path / "run")
    means = [result.overall, result.dimensions["score"], result.categories["physical"]]
    for mean in means:
        assert mean.mean is not None
        assert mean.interval is not None
        assert mean.interval.low < mean.mean < mean.interval.high
    assert result.headline.interval is not None


def test_rows_are_those_of_the_export_without_the_change_to_the_source_and_a_data_frame_has_them_all(dots, tmp_path):
    result = editbench.evaluate(
        dots, "Unchanged", judge=Brightness(), run_dir=tmp_path / "run", export=tmp_path / "table.csv"
    )
    header = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    frame = result.to_pandas()
    assert [*frame.columns] == [name for name in header if not name.startswith(("change_", "consistency_outside"))]
    assert list(frame["pair_id"]) == [f"dot{number:02d}" for number in range(12)]
    assert frame["value"].mean() == pytest.approx(result.overall.mean)


def test_a_failure_is_in_the_result_with_its_reason(dots, tmp_path):
    result = editbench.evaluate(dots, FailingEditor(at="dot03"), judge=StuckJudge(), run_dir=tmp_path / "run")
    assert {name: (end.status, end.reason) for name, end in result.failures.items()} == {
        "dot03": ("edit failed", "planned")
    }
    assert result.overall.num_scored == 11


def test_a_second_call_makes_only_what_is_missing(dots, tmp_path):
    first = editbench.evaluate(dots, "Unchanged", judge=StuckJudge(), run_dir=tmp_path / "run", limit=2)
    assert (first.overall.num_pairs, first.overall.num_scored) == (4, 4)
    kept = tree(tmp_path / "run", "images")
    second = editbench.evaluate(dots, Unchanged(), judge=StuckJudge(), run_dir=tmp_path / "run")
    assert second.overall.num_scored == 12
    assert kept.items() <= tree(tmp_path / "run", "images").items()


def test_of_several_score_files_one_is_named(dots, tmp_path):
    run = tmp_path / "run"
    editbench.evaluate(dots, "Unchanged", judge=StuckJudge(), run_dir=run)
    table = tmp_path / "numbers.csv"
    table.write_text("pair_id,value\n" + "".join(f"dot{number:02d},{number % 10}\n" for number in range(12)))
    assert editbench.evaluate(dots, "Unchanged", judge=Recorded(values=str(table)), run_dir=run).overall.mean == 46 / 12
    with pytest.raises(UsageError, match=r"several score files \(StuckJudge, numbers\)"):
        editbench.load(run)
    assert editbench.load(run, scores="StuckJudge").overall.mean == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"editor": "Unchangd"}, "no such class; shipped are Diffusers"),
        ({"editor": "Diffusers"}, "has settings to give"),
        ({"judge": Unchanged()}, "judge: Unchanged is no Judge"),
        ({"limits": 3}, "no setting limits; is limit meant?"),
        ({"benchmark": "not/there.json"}, "not/there.json"),
    ],
)
def test_a_call_that_cannot_work_says_what_is_wrong(given, said, dots, tmp_path):
    call = {"benchmark": dots, "editor": "Unchanged", "judge": StuckJudge(), "run_dir": tmp_path / "run", **given}
    with pytest.raises(UsageError, match=said):
        editbench.evaluate(**call)
    assert not (tmp_path / "run").exists()


def test_importing_editbench_imports_neither_torch_nor_the_stages():
    code = "import sys, editbench; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'editbench.api')))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_live_pipeline_stands_in_the_run_as_its_class_and_its_name(dots, tmp_path):
    run = tmp_path / "run"
    result = evaluate(make_pipeline(), dots, run, "my-step-100")
    assert result.overall.num_scored == 12
    recorded = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["editor"]
    assert recorded == {
        "class_path": "editbench.editors.LivePipeline",
        "init_args": {"num_inference_steps": 2, "call": {}, "pipeline": "PaintPipeline", "name": "my-step-100"},
    }
    with pytest.raises(UsageError, match=r"editor\.init_args\.name: 'my-step-100' there, 'my-step-200' now"):
        evaluate(make_pipeline(), dots, run, "my-step-200")


def test_the_command_line_scores_the_edits_of_a_live_pipeline_and_does_not_edit_with_it(dots, tmp_path):
    run = tmp_path / "run"
    first = evaluate(make_pipeline(), dots, run, "a", limit=1)
    start("score.py", "--run_dir", run, "--scores", "again")
    assert editbench.load(run, scores="again").overall.mean == first.overall.mean
    options = (
        "--editor",
        "LivePipeline",
        "--editor.init_args.name",
        "a",
        "--editor.init_args.pipeline",
        "PaintPipeline",
    )
    refused = start("edit.py", "--benchmark", dots, "--run_dir", run, *options, code=2)
    assert "lived in another process" in refused.stderr


def test_a_live_pipeline_resumes_within_its_name(dots, tmp_path):
    pipe = make_pipeline()
    evaluate(pipe, dots, tmp_path / "run", "a", limit=1)
    kept = tree(tmp_path / "run", "images")
    torch.nn.init.zeros_(pipe.painter.colours.weight)
    evaluate(pipe, dots, tmp_path / "run", "a")
    now = tree(tmp_path / "run", "images")
    assert len(now) == 12
    assert kept.items() <= now.items()


def test_a_live_pipeline_needs_a_name_and_its_own_class_s_settings():
    pipe = make_pipeline()
    assert isinstance(Diffusers(pipeline=pipe, name="a"), LivePipeline)
    with pytest.raises(UsageError, match="needs a name"):
        Diffusers(pipeline=pipe)
    with pytest.raises(UsageError, match="give the live pipeline to Diffusers"):
        QwenImageEdit(pipeline=pipe, name="a")
    with pytest.raises(UsageError, match="PaintPipeline takes no guidance"):
        Diffusers(pipeline=pipe, name="a", call={"guidance": 1.0}).check()
    assert type(Diffusers(model="x", pipeline="FluxKontextPipeline")) is Diffusers


LOADED: list[weakref.ref[torch.nn.Module]] = []


@dataclass(kw_only=True)
class Loads(Editor):
    """Holds a model from `load` on, and changes what a careless editor changes."""

    def load(self, world):
        self._model = torch.nn.Linear(8, 8)
        LOADED.append(weakref.ref(self._model))
        torch.manual_seed(5)
        torch.set_grad_enabled(False)
        return world.claim_device()

    def edit(self, pair, sources, seed):
        return sources[0]


def test_what_a_call_loads_is_freed_and_what_it_changes_is_restored(dots, tmp_path):
    editor, pipe = Loads(), make_pipeline()
    before = state(pipe)
    for number in range(2):
        editbench.evaluate(dots, editor, judge=Brightness(), rubric=Brief(), run_dir=tmp_path / f"run{number}")
    assert state(pipe) == before
    assert len(LOADED) == 2
    assert [model() for model in LOADED] == [None, None]
    assert not hasattr(editor, "_model")


def test_the_host_s_log_has_its_own_lines_and_the_run_s_log_has_ours(dots, tmp_path):
    with own_log() as text:
        logging.getLogger("host").info("before")
        evaluate(make_pipeline(), dots, tmp_path / "run", "a")
        logging.getLogger("host").info("after")
    lines = text.getvalue().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert any("12 of 12 edited" in line for line in lines)  # its level lets through what is INFO
    logs = tmp_path / "run" / "logs"
    assert "12 of 12 edited" in (logs / "edit.rank0.log").read_text()
    assert "before" not in (logs / "edit.rank0.log").read_text()
    assert "edits, 12 to score" in (logs / "score-Brightness.rank0.log").read_text()
    assert "to score" not in (logs / "edit.rank0.log").read_text()


def test_two_ranks_that_train_evaluate_three_times_with_the_numbers_of_separate_runs(dots, tmp_path):
    launcher = [str(BIN / "torchrun"), "--standalone", "--nproc_per_node=2", "-m", "tests.training_loop"]
    done = subprocess.run(
        [*launcher, str(tmp_path), str(dots)], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert said[0]["evaluations"] == said[1]["evaluations"]
    assert all(one["kept"] for one in said[0]["evaluations"])
    values = [one["value"] for one in said[0]["evaluations"]]
    assert len(set(values)) == 3
    for of_rank in said:
        assert [line for line in of_rank["lines"] if line.startswith("step ")] == ["step 0", "step 1", "step 2"]
    for step, value in zip(STEPS, values, strict=True):
        run, alone = tmp_path / f"run{step}", tmp_path / f"alone{step}"
        result = evaluate(make_pipeline(tmp_path / f"{step}.pt"), dots, alone, f"step-{step}")
        assert result.overall.mean == value
        assert tree(run, "images") == tree(alone, "images")
        assert untimed(rows(run / "manifest.jsonl")) == untimed(rows(alone / "manifest.jsonl"))
        assert {path.name for path in (run / "logs").iterdir()} >= {"edit.rank0.log", "edit.rank1.log"}
    assert "12/12" in done.stderr
    assert "24/" not in done.stderr


def test_a_rank_that_raises_does_not_leave_the_others_waiting(dots, tmp_path):
    mp.spawn(fail_on_rank_1, args=(2, tmp_path, dots), nprocs=2)
    said = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert said == [
        "RankLost: another rank has raised an exception; its own output says which",
        "ZeroDivisionError: planned",
    ]


def python_of(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block.split("\n```")[0] for block in text.split("```python\n")[1:]]


def test_the_python_of_the_readme_runs_in_a_notebook(dots, tmp_path):
    (code,) = python_of("README.md")
    code = code.replace('"bench.json"', repr(str(dots))).replace('judge="QwenVL"', "judge=Brightness()")
    before = "from tests.training_loop import Brightness, make_pipeline\npipe = make_pipeline()"
    after = "print(result.overall.num_scored, result.report.name, len(result.to_pandas()))"
    cells = [nbformat.v4.new_code_cell(cell) for cell in (before, code, after)]
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.create_kernel_manager()
    notebook = client.execute(env=environment() | {"PYTHONPATH": str(ROOT)})
    assert notebook.cells[-1].outputs[-1].text == "12 report.html 12\n"


def test_the_callback_of_the_editors_page_evaluates_a_trainer_s_pipeline(dots, tmp_path, monkeypatch):
    code = next(block for block in python_of("editbench/editors/README.md") if "TrainerCallback" in block)
    code = code.replace('"bench.json"', repr(str(dots))).replace('judge="QwenVL"', "judge=Brightness()")
    monkeypatch.chdir(tmp_path)
    assert training_of(code, Brightness) == 2
    assert [path.name for path in sorted((tmp_path / "runs").iterdir())] == ["step-1", "step-2"]
    assert Path("runs/step-2/report.html").is_file()
