"""What `--check` prints of a rubric's questions."""

from dataclasses import replace

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.process.world import World
from editbench.rubrics import Brief, FromFile
from editbench.stages.asked import as_text
from editbench.stages.edit import edit
from editbench.stages.score import score
from tests.test_from_file import PHOTOS, a_pair, rubric  # noqa: F401  (a fixture)
from tests.test_score_stage import PlannedJudge


def test_questions_are_shown_as_they_will_be_sent(rubric):  # noqa: F811
    assert as_text(rubric(PHOTOS), a_pair()).splitlines() == [
        "p is asked 2 questions by the rubric product-photos-1:",
        "",
        "--- following → done (1 to 5), kept (1 to 5)",
        "[user]",
        "[picture: source, max_pixels 1048576]",
        "[picture: edit, max_pixels 1048576]",
        "Was it done as asked? Make it (red). Reply as JSON.",
        "",
        "--- quality → quality (1 to 5)",
        "[user]",
        "[picture: edit, max_pixels 1048576]",
        "How natural is it, 1 to 5? Reply with one number.",
    ]


def test_a_rubric_that_has_no_questions_says_why(tmp_path):
    said = as_text(FromFile(file=str(tmp_path / "none.yaml")), a_pair())
    assert said.startswith("p: no questions by FromFile: ")
    assert "no such file" in said


def test_check_prints_them_before_and_after_editing(dots, tmp_path, capsys):
    config = Config(
        benchmark=dots, run_dir=(tmp_path / "run",), editor=Unchanged(), rubric=Brief(), limit=1, check=True
    )
    edit(config, World())
    assert "dot00 is asked 1 question by the rubric brief-1:" in capsys.readouterr().out
    edit(replace(config, check=False), World())
    score(replace(config, judge=PlannedJudge()), World())
    assert "Instruction: Turn it." in capsys.readouterr().out
