"""PICABench: questions from the item's fields, the part of the edit that is shown, yes or no."""

import json

import pytest

from editbench.errors import UsageError
from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.pica import REQUEST, Pica
from editbench.rubrics.rubric import Question, Shown

BOX = {"x": 100, "y": 50, "width": 200, "height": 100}


def a_pair(*answers, pair_id="0", questions=None):
    entries = [{"question": f"Is it {number}?", "answer": answer, "box": BOX} for number, answer in enumerate(answers)]
    return Pair(
        pair_id=pair_id,
        instruction="remove it",
        sources=(Picture(sha256="0"),),
        fields={"annotated_qa_pairs": entries if questions is None else questions},
    )


def answered(pair, *answers):
    readings = {}
    for number, answer in enumerate(answers):
        question = Question(name=f"q{number}", parts=(), gives=(f"q{number}",))
        reading = Pica().read(pair, question, json.dumps({"answer": answer, "explanation": "x"}))
        readings[question.name] = None if reading.numbers is None else reading.numbers[question.name]
    return Pica().values(pair, readings)


def test_a_call_a_question_shows_the_part_of_the_edit_in_the_box():
    first, second = Pica().calls(a_pair("Yes", "No"))
    assert Pica().asked(a_pair("Yes", "No")) == {"q0": ("q0",), "q1": ("q1",)}
    assert (first.name, first.gives, second.name) == ("q0", ("q0",), "q1")
    text, picture = first.parts
    assert text == f"Is it 0?\n\n{REQUEST}"
    assert picture == Shown(picture="edit", box=(80, 30, 320, 170), scale_to=1024, jpeg_quality=90)


@pytest.mark.parametrize("form", [lambda found: {"kind": found[:1], "other": found[1:]}, json.dumps])
def test_questions_may_stand_by_kind_or_as_text(form):
    pair = a_pair("Yes", "No")
    other = a_pair(questions=form(pair.fields["annotated_qa_pairs"]))
    assert Pica().calls(other) == Pica().calls(pair)


def test_the_value_is_the_share_of_right_answers_and_the_headline_its_item_mean():
    rows = [
        (pair, answered(pair, *said))
        for pair, said in [
            (a_pair("Yes", "No", "Yes", "Yes"), ("Yes", "no.", "True", "No")),
            (a_pair("Yes"), ("No",)),
            (a_pair("No", "No"), ("No", "n")),
        ]
    ]
    assert [values["value"] for _, values in rows] == [0.75, 0, 1]
    assert compute(Pica().headlines[0], rows) == pytest.approx(100 * 7 / 12)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("No, the shadow is absent.", "unreadable"),
        ("There is no shadow, so yes the rule is broken.", "unreadable"),
        ('{"answer": true}', "unreadable"),
        ('{"answer": "Yes", "explanation": "cut o', "truncated"),
        ("I'm sorry, I can't assist with that.", "refused"),
        ("Error: all attempts failed", "error"),
    ],
)
def test_what_is_no_plain_answer_is_a_failure_and_leaves_the_pair_without_a_value(reply, failure):
    pair = a_pair("Yes", "Yes")
    reading = Pica().read(pair, Question(name="q1", parts=(), gives=("q1",)), reply)
    assert reading.failure == failure
    assert Pica().values(pair, {"q0": 1.0, "q1": None}) == {"value": None}


def test_the_request_is_ours_the_users_or_the_official_one(tmp_path):
    pair = a_pair("Yes")
    assert Pica().files() == {}
    assert "editbench's words" in Pica().notes()[0]
    (tmp_path / "mine.txt").write_text("Only JSON.\n")
    mine = Pica(prompts=str(tmp_path / "mine.txt"))
    assert mine.calls(pair)[0].parts[0] == "Is it 0?\n\nOnly JSON."
    (tmp_path / "PicaEval_gpt.py").write_text(
        "json_instruction = 'of the module'\n"
        "def create_structured_prompt(question):\n"
        '    """Words."""\n'
        "    json_instruction = (\n        '\\n\\nGive '\n        'JSON.'\n    )\n"
        "    return question + json_instruction\n"
    )
    official = Pica(prompts=str(tmp_path))
    assert official.calls(pair)[0].parts[0] == "Is it 0?\n\nGive JSON."
    assert list(official.files()) == ["PicaEval_gpt.py"]


@pytest.mark.parametrize(
    ("questions", "what"),
    [
        (None, "holds 0 questions"),
        ("[", "is no JSON"),
        ([{"question": "a", "answer": "Maybe", "box": BOX}], "question 0 .*not 'Maybe'"),
        ([{"question": "a", "answer": "Yes", "box": {"x": 1}}], "question 0 .*has no box"),
    ],
)
def test_an_item_that_cannot_be_asked_about_is_named(questions, what):
    pair = a_pair(questions=questions) if questions is not None else a_pair()
    with pytest.raises(UsageError, match=f"0: .*{what}"):
        Pica().check([pair])
