import json
from dataclasses import replace
from pathlib import Path

import pytest

from editbench.report import text
from editbench.report.as_json import to_json
from editbench.report.content import tell
from editbench.report.markdown import to_markdown
from editbench.stats.self_preference import preferences, shared_family
from tests.test_summary import a_run


def by(judge, run, values, editor="Mine (model 'x')"):
    made = a_run(values, name=f"{run} · {judge}", root=Path(run))
    settings = {"judge": f"QwenVL (model '{judge}')" if "qwen" in judge else f"Server (model '{judge}')"}
    return replace(made, run=run, score_file=judge, settings=settings | {"editor": editor, "rubric": "one-1"})


def four(extra=1.0):
    """`qwen` gives run `a`, by a Qwen editor, `extra` more than `other` does; 24 pairs, give or take a half."""
    base = [float(3 + i % 4) for i in range(24)]
    wobble = [(i % 3 - 1) / 2 for i in range(24)]
    own = "QwenImageEdit (model 'Qwen/Qwen-Image-Edit')"
    return [
        by("qwen", "a", [v + extra + w for v, w in zip(base, wobble, strict=True)], own),
        by("other", "a", base, own),
        by("qwen", "b", [v + 0.25 for v in base]),
        by("other", "b", base),
    ]


def test_what_a_judge_gives_its_own_family_more_than_another_judge_does_is_measured():
    (found,) = preferences(four())
    assert (found.first, found.second, found.judge, found.other_judge) == ("a", "b", "qwen", "other")
    assert found.difference.mean == pytest.approx(1.0 - 0.25)
    assert found.difference.num_pairs == 24
    assert found.difference.shown
    assert found.difference.interval.low < 0.75 < found.difference.interval.high
    assert found.families == ("qwen and the editor of a are of one family, Qwen",)


def test_judges_that_differ_alike_on_both_runs_show_no_preference():
    (found,) = preferences(four(0.25))
    assert found.difference.mean == pytest.approx(0.0)
    assert not found.difference.shown


def test_three_of_the_four_score_files_are_not_enough():
    assert preferences(four()[:3]) == []
    assert preferences([four()[0], four()[2]]) == []


def test_it_stands_in_every_form_of_a_report():
    content = tell(four())
    (found,) = content.preferences
    said = text.self_preference(found)
    assert said.startswith("(qwen − other on a) − (qwen − other on b) is +0.75 over 24 pairs (95 % interval: ")
    assert said.endswith("shown): above 0, qwen gives a more than other does. " + found.families[0] + ".")
    assert text.markdown(said) in to_markdown(content, {})
    (document,) = json.loads(to_json(content))["self_preference"]
    assert document["difference"]["mean"] == pytest.approx(0.75)


def test_a_family_is_that_of_the_judge_and_of_the_editor():
    qwen, other = four()[0], four()[3]
    assert shared_family(qwen, qwen) == "Qwen"
    assert shared_family(qwen, other) is None
    assert shared_family(other, qwen) is None
