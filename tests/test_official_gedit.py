from math import sqrt
from pathlib import Path

import pytest

from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.gedit import CATEGORIES, GEdit
from editbench.rubrics.rubric import Shown

PROMPTS = """
_context_no_delimit = "Be fair.\\nReply as JSON."
_prompts_0shot_two_image_edit_rule = "Two pictures."
_prompts_0shot_tie_rule_SC = "Was <instruction> done?"
_prompts_0shot_rule_PQ = "Is it natural?"
"""


@pytest.fixture
def rubric(tmp_path: Path) -> GEdit:
    path = tmp_path / "GEdit-Bench" / "viescore" / "vie_prompts.py"
    path.parent.mkdir(parents=True)
    path.write_text(PROMPTS)
    return GEdit(prompts=str(tmp_path))


def make_pair(
    category: str = "ps_human", language: str = "en", *, intersection: object = True, number: int = 0
) -> Pair:
    return Pair(
        pair_id=f"{category}_{number}.{language}",
        category=category,
        instruction="Make it red.",
        language=language,
        sources=(Picture(sha256="0"),),
        fields={"Intersection_exist": intersection},
    )


def read(rubric: GEdit, replies: dict[str, str]):
    pair = make_pair()
    return {question.name: rubric.read(pair, question, replies[question.name]) for question in rubric.calls(pair)}


def values(rubric: GEdit, replies: dict[str, str]):
    readings = {name: (reading.numbers or {}).get(name) for name, reading in read(rubric, replies).items()}
    return rubric.values(make_pair(), readings)


def test_two_questions_are_asked_with_the_edit_in_the_size_of_the_source(rubric):
    follows, natural = rubric.calls(make_pair())
    edit = Shown(picture="edit", size_of="source", jpeg_quality=75)
    assert follows.parts == (
        "Be fair.\nReply as JSON.\nTwo pictures.\nWas Make it red. done?",
        Shown(picture="source", jpeg_quality=75),
        edit,
    )
    assert natural.parts == ("Be fair.\nReply as JSON.\nIs it natural?", edit)
    assert [(question.name, question.gives, question.max_new_tokens) for question in (follows, natural)] == [
        ("SC", ("SC",), 1400),
        ("PQ", ("PQ",), 1400),
    ]


GOOD = '{"reasoning": "fine", "score": [9, 8]}'


@pytest.mark.parametrize(
    ("reply", "lower"),
    [
        ('{"score": [8, 9], "reasoning": "The hat is red now."}', 8),
        ('{"score": [7.5, 9], "reasoning": "x"}', 7.5),
        ('||V^=^V||\n{"score" : [5, 10], "reasoning" : "x"}\n||V^=^V||', 5),
        ("[6, 0]", 0),
        ("7", 7),
        ('{"score": 8, "reasoning": "x"}', 8),
        ('{"score": [7]}', 7),
        ('<think>{maybe}</think>{"score": [8, 9]}', 8),
        ('```json\n{"score": [4, 9]}\n```', 4),
    ],
)
def test_the_lower_of_two_numbers_counts_in_every_form_that_the_official_code_takes(rubric, reply, lower):
    found = values(rubric, {"SC": reply, "PQ": GOOD})
    assert found == {"value": sqrt(lower * 8), "O": sqrt(lower * 8), "SC": lower, "PQ": 8}


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("[7.5, 8.0]", "unreadable"),
        ('{"score": [8, 7, 6]}', "unreadable"),
        ('{"score": [-3, 5]}', "out of range"),
        ('{"score": [12, 11]}', "out of range"),
        ("11", "out of range"),
        ('{"score": ["8", "9"]}', "unreadable"),
        ('{"score": []}', "unreadable"),
        ('{"rating": [8, 8]}', "unreadable"),
        ("{score: [8, 9], reasoning: fine}", "unreadable"),
        ("I'm sorry, I can't help with that.", "refused"),
        ("", "empty"),
        ('{"score": [8, 9], "reasoning": "cut off at the tok}', "truncated"),
        ("rate_limit_exceeded", "error"),
        ('{"score": [8, 9]} {"score": [1, 9]}', "unreadable"),
        ("8 9", "unreadable"),
    ],
)
def test_what_the_official_code_guesses_or_stumbles_over_is_a_failure_of_its_kind(rubric, reply, failure):
    assert read(rubric, {"SC": reply, "PQ": GOOD})["SC"].failure == failure
    assert values(rubric, {"SC": reply, "PQ": GOOD}) == {"value": None, "O": None, "SC": None, "PQ": None}


def test_a_headline_is_the_mean_of_eleven_means_by_language_and_needs_all_of_them(rubric):
    rows = [
        (make_pair(category, number=number), {"O": 8.0 if category != "text_change" else 2.0})
        for category in CATEGORIES
        for number in range(9 if category == "text_change" else 1)
    ]
    by_name = {headline.name: headline for headline in rubric.headlines}
    assert list(by_name)[:6] == ["G_O", "G_SC", "G_PQ", "G_O_cn", "G_SC_cn", "G_PQ_cn"]
    assert compute(by_name["G_O"], rows) == pytest.approx(82 / 11)
    assert compute(by_name["G_O"], rows[1:]) is None
    assert compute(by_name["G_O_cn"], rows) is None
    assert compute(by_name["G_O_intersection"], rows) == pytest.approx(82 / 11)


@pytest.mark.parametrize(("value", "counts"), [(True, True), ("True", True), (False, False), ("false", False)])
def test_the_intersection_is_read_from_the_official_column(rubric, value, counts):
    rows = [(make_pair(category, intersection=value), {"O": 5.0}) for category in CATEGORIES]
    (headline,) = (headline for headline in rubric.headlines if headline.name == "G_O_intersection")
    assert compute(headline, rows) == (5.0 if counts else None)


def test_a_chinese_pair_counts_in_the_chinese_headlines(rubric):
    rows = [(make_pair(category, "zh"), {"O": 5.0, "SC": 4.0}) for category in CATEGORIES]
    found = {headline.name: compute(headline, rows) for headline in rubric.headlines}
    assert {name for name, number in found.items() if number is not None} == {
        "G_O_cn",
        "G_SC_cn",
        "G_O_cn_intersection",
        "G_SC_cn_intersection",
    }


def test_which_calls_a_pair_has_is_known_without_the_prompts(rubric):
    assert GEdit().asked(make_pair()) == {question.name: question.gives for question in rubric.calls(make_pair())}
