"""Complex-Edit: two questions, three numbers, their mean."""

import pytest

from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.complexedit import ComplexEdit
from editbench.rubrics.rubric import Question, Shown

PAIR = Pair(pair_id="a", instruction="add a cat and a dog", sources=(Picture(sha256="0"),))


@pytest.fixture
def rubric(tmp_path):
    folder = tmp_path / "complex_edit" / "eval"
    folder.mkdir(parents=True)
    (folder / "prompt_alignment.py").write_text(
        "ALIGNMENT_PROMPT_W_RUBRIC = 'Judge {this}.'\nPROMPT_TEMPLATE = 'Asked: {instruction}'\n"
    )
    (folder / "prompt_quality.py").write_text("PERCEPTUAL_QUALITY_PROMPT_W_RUBRIC_WO_INST = 'How good?'\n")
    return ComplexEdit(prompts=str(tmp_path))


def test_alignment_shows_both_pictures_before_the_instruction_and_quality_the_edit(rubric):
    alignment, quality = rubric.calls(PAIR)
    assert alignment.parts == (
        Shown(picture="source"),
        Shown(picture="edit"),
        "Asked: add a cat and a dog",
    )
    assert quality.parts == (Shown(picture="edit"),)
    assert alignment.system.startswith("Judge {this}.\n")
    assert quality.system.startswith("How good?\n")
    assert ComplexEdit().asked(PAIR) == {question.name: question.gives for question in (alignment, quality)}
    assert sorted(rubric.files()) == ["complex_edit/eval/prompt_alignment.py", "complex_edit/eval/prompt_quality.py"]


@pytest.mark.parametrize(
    ("reply", "numbers", "failure"),
    [
        (
            '{"reasoning": "a {b}", "instruction_following": "8", "identity_preservation": 10}',
            {"IF": 8, "IP": 10},
            None,
        ),
        ('{"instruction_following": 8}', None, "unreadable"),
        ('{"instruction_following": 11, "identity_preservation": 1}', None, "out of range"),
        ('{"instruction_following": 7.5, "identity_preservation": 1}', None, "unreadable"),
    ],
)
def test_alignment_is_read_from_one_object(reply, numbers, failure):
    reading = ComplexEdit().read(PAIR, Question(name="alignment", parts=(), gives=("IF", "IP")), reply)
    assert (reading.numbers, reading.failure) == (numbers, failure)


def test_the_headlines_are_item_means_of_the_three_and_of_their_mean():
    readings = [(8.5, 6.0, 7.0), (2.0, 10.0, 9.0), (5.0, 5.0, 1.0), (9.0, 9.0, None)]
    rows = [(PAIR, ComplexEdit().values(PAIR, dict(zip(("IF", "IP", "PQ"), row, strict=True)))) for row in readings]
    assert {headline.name: compute(headline, rows) for headline in ComplexEdit().headlines} == {
        "overall": pytest.approx(5.9444444444),
        "IF": pytest.approx(31 / 6),
        "IP": 7,
        "PQ": pytest.approx(17 / 3),
    }
