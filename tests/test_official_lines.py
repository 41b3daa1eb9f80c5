import json

import pytest

from editbench.errors import UsageError
from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.imgedit import ImgEdit
from editbench.rubrics.official.rededit import RedEdit
from editbench.rubrics.official.three_lines import NAMES
from editbench.rubrics.rubric import Shown

REASON = "Brief reasoning: The vase was added with a plausible shadow.\n"


@pytest.fixture(params=[ImgEdit, RedEdit])
def rubric(request, tmp_path):
    kind = request.param
    categories = kind.groups[""]
    path = tmp_path / kind.prompt_files[0].path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({category: f"{category}: was <edit_prompt> done?" for category in categories}))
    return kind(prompts=str(tmp_path))


def make_pair(category="add", number=0, language="en"):
    return Pair(
        pair_id=f"{category}-{number}",
        category=category,
        instruction="Add a {vase}.",
        language=language,
        sources=(Picture(sha256="0"),),
    )


def scores(first, second, third, names=("Prompt Compliance", "Visual Naturalness", "Physical & Detail Coherence")):
    return "\n".join(f"{name}: {number}" for name, number in zip(names, (first, second, third), strict=True))


def value(rubric, reply):
    pair = make_pair()
    (question,) = rubric.calls(pair)
    reading = rubric.read(pair, question, reply)
    return reading, rubric.values(pair, reading.numbers or {})["value"]


def test_imgedit_asks_text_source_edit_and_rededit_source_edit_text(rubric):
    (question,) = rubric.calls(make_pair())
    text, source, edit = "add: was Add a {vase}. done?", Shown(picture="source"), Shown(picture="edit")
    assert (question.name, question.gives) == ("edit", NAMES)
    if isinstance(rubric, ImgEdit):
        assert question.parts == (text, source, edit)
    else:
        assert question.parts == (source, "这是原图A", edit, "这是编辑后的图B。请进行评估。", text)
        assert question.max_new_tokens == 8192


def test_every_category_has_a_question_and_an_unknown_one_is_the_users_error(rubric):
    rubric.check([make_pair(category) for category in rubric.groups[""]])
    with pytest.raises(UsageError, match="sharpen"):
        rubric.check([make_pair("sharpen")])


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        (REASON + scores(5, 4, 4), 4.33),
        (scores(5, 4, 3), 4.0),
        (scores(5, 4, 3, names=("**A**", "- B", "1. C")), 4.0),
        ("Brief reasoning: 7\n" + scores(5, 4, 4), 4.33),
        ("Brief reasoning: two things: shadow and colour\n" + scores(4, 4, 4), 4.0),
        ("```\n" + scores(1, 1, 1) + "\n```", 1.0),
    ],
)
def test_the_value_is_the_mean_of_three_score_lines_rounded_to_two_decimals(rubric, reply, number):
    reading, found = value(rubric, reply)
    assert (reading.failure, found) == (None, number)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (REASON + scores("5.", "4.", "4."), "unreadable"),
        ("\n".join(f"**{line}**" for line in scores(5, 4, 3).splitlines()), "unreadable"),
        (scores(5, 4, 4).replace(": ", "："), "unreadable"),
        (scores("5/5", "4/5", "4/5"), "unreadable"),
        (scores(5, "n/a", 3), "unreadable"),
        (scores(4.5, 4, 4), "unreadable"),
        (scores(5, 4, 4) + "\nOverall: 4", "unreadable"),
        (scores(5, 4, 4, names=("A", "A", "B")), "unreadable"),
        (scores("²", 4, 4), "unreadable"),
        ("Error: 429", "unreadable"),
        (scores(9, 5, 5), "out of range"),
        (scores(0, 0, 0), "out of range"),
        ("I'm sorry, but I can't assist with that request.", "refused"),
        ("", "empty"),
    ],
)
def test_other_replies_have_no_value_and_say_why(rubric, reply, failure):
    reading, found = value(rubric, reply)
    assert (reading.failure, found) == (failure, None)


def test_a_score_above_the_first_is_read_and_noted_since_the_official_code_lets_it_pass(rubric):
    reading, found = value(rubric, scores(2, 5, 5))
    assert found == 4.0
    assert "exceeds the first" in reading.notes[0]
    assert not value(rubric, scores(5, 5, 2))[0].notes


def test_the_headline_is_the_mean_of_rounded_means_of_rounded_values(rubric):
    said = {
        "add": [(5, 4, 4), (4, 4, 4), (1, 1, 1)],  # 4.33, 4.0, 1.0: 3.11
        "remove": [(5, 5, 5), (3, 2, 2)],  # 5.0, 2.33: 3.665, rounded 3.67 by the official code, or 3.66
        "extract": [(4, 3, 3), None],  # 3.33
    }
    rows = [
        (make_pair(category, number, language), {"value": None if one is None else round(sum(one) / 3, 2)})
        for language in ("en", "zh")
        for category, each in said.items()
        for number, one in enumerate(each)
    ]
    found = {headline.name: compute(headline, rows) for headline in rubric.headlines}
    expected = (3.11 + round((5.0 + 2.33) / 2, 2) + 3.33) / 3
    if isinstance(rubric, ImgEdit):
        assert list(found) == ["overall", "item_mean"]
        assert found["overall"] == pytest.approx(expected)
    else:
        assert list(found) == ["final_score", "final_score_cn", "final_score_en", "item_mean"]
        assert found["final_score_cn"] == found["final_score_en"] == pytest.approx(expected)
    assert found["item_mean"] == pytest.approx((4.33 + 4 + 1 + 5 + 2.33 + 3.33) / 6)


def test_a_pair_without_edit_is_left_out(rubric):
    assert rubric.values_without_edit(make_pair()) == {}


def test_which_calls_a_pair_has_is_known_without_the_prompts(rubric):
    (question,) = rubric.calls(make_pair())
    assert type(rubric)().asked(make_pair()) == {question.name: question.gives}
