from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editbench.errors import UsageError
from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.kris import DIMENSIONS, KNOWLEDGE, Kris
from editbench.rubrics.official.named_scores import read_scores
from editbench.rubrics.rubric import Shown

NAMES = ("consist", "instruction_following", "dual_evaluation", "abnormal_instruction_following")
NAMES += (
    "view_instruction_following",
    "consist_temporal",
    "instruction_temporal",
    "consist_multi",
    "instruction_multi",
)
SOURCE, EDIT = Shown(picture="source"), Shown(picture="edit")
ORIGINAL, EDITED = "This is the original image:", "This is the edited image:"


@pytest.fixture
def rubric(tmp_path):
    path = tmp_path / "utils" / "prompts.py"
    path.parent.mkdir()
    explained = ("dual_evaluation", "abnormal_instruction_following")
    path.write_text(
        "".join(
            f'prompt_{name} = """{name} {{instruct}} {{{{x}}}}{" {explanation}" if name in explained else ""}"""\n'
            for name in NAMES
        )
        + 'prompt_quality = "quality {{x}}"\n'
    )
    return Kris(prompts=str(tmp_path))


def make_pair(category="color_change", number=1, paths=("1.jpg",), **more):
    return Pair(
        pair_id=f"{category}/{number}",
        category=category,
        instruction="Go on.",
        rationale="It melts.",
        sources=tuple(Picture(sha256=str(place), path=path) for place, path in enumerate(paths)),
        **more,
    )


def parts(rubric, pair):
    return {question.name: question.parts for question in rubric.calls(pair)}


def test_a_factual_pair_is_asked_for_consistency_instruction_and_quality(rubric):
    shown = (ORIGINAL, SOURCE, EDITED, EDIT)
    assert parts(rubric, make_pair()) == {
        "consistency": ("consist Go on. {x}", *shown),
        "instruction": ("instruction_following Go on. {x}", *shown),
        "quality": ("quality {{x}}", EDITED, EDIT),
    }
    assert {question.max_new_tokens for question in rubric.calls(make_pair())} == {1000}


@pytest.mark.parametrize("category", sorted(KNOWLEDGE))
def test_a_knowledge_pair_is_asked_for_instruction_and_knowledge_at_once_with_the_explanation(rubric, category):
    questions = rubric.calls(make_pair(category))
    assert [(question.name, question.gives) for question in questions] == [
        ("consistency", ("VC",)),
        ("dual", ("IF", "KP")),
        ("quality", ("VQ",)),
    ]
    assert questions[1].parts[0] == "dual_evaluation Go on. {x} It melts."


def test_a_viewpoint_shows_the_ground_truth_last_to_the_instruction_alone(rubric):
    pair = make_pair("viewpoint_change", references={"reference": Picture(sha256="9")})
    found = parts(rubric, pair)
    assert found["instruction"] == (
        "view_instruction_following Go on. {x}",
        *(ORIGINAL, SOURCE, EDITED, EDIT),
        *("This is the ground truth image:", Shown(picture="reference")),
    )
    assert len(found["consistency"]) == 5


def test_several_elements_are_numbered_and_the_prediction_comes_last(rubric):
    found = parts(rubric, make_pair("multi-element_composition", paths=("a.jpg", "b.jpg")))
    shown = ("Reference Image 1:", SOURCE, "Reference Image 2:", Shown(picture="source_2"), "Predicted Image:", EDIT)
    assert found["consistency"] == ("consist_multi Go on. {x}", *shown)
    assert found["instruction"] == ("instruction_multi Go on. {x}", *shown)
    assert found["quality"] == ("quality {{x}}", "This is the image to evaluate:", EDIT)


def test_the_frame_to_make_stands_among_the_others_by_their_file_names(rubric):
    found = parts(rubric, make_pair("temporal_prediction", paths=("t/7-1.jpg", "t/7-2.jpg", "t/7-4.jpg")))

    def frame(picture):
        return Shown(picture=picture, jpeg_quality=85)

    shown = (
        *("Frame 1 (Reference):", frame("source"), "Frame 2 (Reference):", frame("source_2")),
        *("Frame 3 (Generated):", frame("edit"), "Frame 4 (Reference):", frame("source_3")),
    )
    assert found["consistency"] == ("consist_temporal Go on. {x}", *shown)
    assert found["instruction"] == ("instruction_temporal Go on. {x}", *shown)
    assert found["quality"][1:] == ("This is the image to evaluate:", frame("edit"))


def test_shipped_anomalies_are_asked_generally_and_corrected_by_their_own_prompt(rubric):
    pair = make_pair("anomaly_correction")
    corrected = replace(rubric, as_shipped=False)
    assert parts(rubric, pair)["instruction"][0] == "instruction_following Go on. {x}"
    assert parts(corrected, pair)["instruction"][0] == "abnormal_instruction_following Go on. {x} It melts."
    assert {f"{headline.name}_corrected" for headline in rubric.headlines} == {
        headline.name for headline in corrected.headlines
    }


def test_what_cannot_be_asked_is_the_users_error(rubric):
    pairs = [
        make_pair("sharpen"),
        make_pair("viewpoint_change"),
        make_pair("temporal_prediction", paths=("first.jpg",)),
    ]
    with pytest.raises(UsageError, match=r"sharpen[\s\S]*reference[\s\S]*first\.jpg"):
        rubric.check(pairs)


def read(rubric, call, reply):
    pair = make_pair("biology" if call == "dual" else "color_change")
    (question,) = (question for question in rubric.calls(pair) if question.name == call)
    return rubric.read(pair, question, reply)


@pytest.mark.parametrize(
    ("call", "reply", "numbers"),
    [
        ("consistency", '{"reasoning": "only the vase changed", "consistency_score": 4}', {"VC": 4}),
        ("consistency", '{\n"reasoning": **Compared**, the wall changed.\n"consistency_score": 3\n}', {"VC": 3}),
        ("consistency", '{"reasoning": "the set {a, b} is kept", "consistency_score": 4}', {"VC": 4}),
        ("instruction", '{"reasoning": 1. Two hats. 2. Expected: one, "instruction_score": 5}', {"IF": 5}),
        ("instruction", '{"instruction_score": "4", "reasoning": "x"}', {"IF": 4}),
        ("quality", "I would give this 4 out of 5.", {"VQ": 4}),
        ("quality", "Rating: 3/5", {"VQ": 3}),
        ("quality", "**Quality Score**: 3", {"VQ": 3}),
        ("quality", "quality_score: 3/5", {"VQ": 3}),
        ("dual", "instruction_score: 2\nknowledge_score: 1", {"IF": 2, "KP": 1}),
        ("dual", '{"instruction_score": 2, "knowledge_score": 4, "knowledge_reasoning": "y"}', {"IF": 2, "KP": 4}),
    ],
)
def test_a_score_is_read_from_json_broken_json_and_prose_that_names_it(rubric, call, reply, numbers):
    reading = read(rubric, call, reply)
    assert (reading.numbers, reading.failure) == (numbers, None)


@pytest.mark.parametrize(
    ("call", "reply", "failure"),
    [
        ("consistency", '{"consistency_score": 0}', "out of range"),
        ("consistency", "consistency_score: 8", "out of range"),
        ("consistency", '{"consistency_score": 3.7}', "unreadable"),
        ("quality", '{"quality_score": null, "reasoning": "flaw 2 seen"}', "unreadable"),
        ("quality", "quality_score: 3-4", "unreadable"),
        ("quality", "quality_score: 3/10", "unreadable"),
        ("quality", "quality_score: 3, later quality_score: 3", "unreadable"),
        ("quality", "It is 3/5, no, 4/5.", "unreadable"),
        ("quality", "3", "unreadable"),
        ("quality", '{"quality_score": 4, "reasoning": "cut o', "truncated"),
        ("instruction", "I'm sorry, I can't assist with these 3 people.", "refused"),
        ("consistency", "", "empty"),
    ],
)
def test_a_lone_digit_or_an_unclear_score_is_a_failure_of_its_kind(rubric, call, reply, failure):
    reading = read(rubric, call, reply)
    assert (reading.numbers, reading.failure) == (None, failure)


@pytest.mark.parametrize("reply", ['{"instruction_score": 4, "instruction_reasoning": "x"}', "instruction_score: 4"])
def test_a_dual_reply_that_lacks_one_score_gives_the_other_beside_the_failure(rubric, reply):
    reading = read(rubric, "dual", reply)
    assert (reading.numbers, reading.failure) == ({"IF": 4}, "unreadable")
    values = rubric.values(make_pair("biology"), {"VC": 5, "IF": 4, "KP": None, "VQ": 5})
    assert values == {"value": None, "VC": 5, "IF": 4, "KP": None, "VQ": 5}


# VC, IF, VQ and, where knowledge is asked for, KP
TABLE = {
    "count_change": [(5, 5, 5), (4, 1, 5)],
    "color_change": [(5, 3, 4)],
    "viewpoint_change": [(3, 2, 4)],
    "temporal_prediction": [(2, 1, 3), (4, 4, 4)],
    "humanities": [(5, 2, 5, 1)],
    "biology": [(4, 4, 4, 3), (3, 5, 5, 5)],
    "abstract_reasoning": [(5, 1, 5, 1), (4, 2, 5, 1)],
    "multi-element_composition": [(2, 3, 4)],
    "multi-instruction_execution": [(5, 5, 5), (4, 5, 5)],
}


def test_both_formulas_give_the_numbers_that_the_published_code_gives(rubric):
    rows = []
    for category, each in TABLE.items():
        for number, scores in enumerate(each):
            pair = make_pair(category, number)
            rows.append((pair, rubric.values(pair, dict(zip(("VC", "IF", "VQ", "KP"), scores, strict=False)))))
    found = {headline.name: compute(headline, rows) for headline in rubric.headlines}
    assert list(found)[:2] == ["flat", "item_mean"]
    assert found["flat"] == pytest.approx(66.48936170212765)
    assert found["item_mean"] == pytest.approx(66.96428571428571)
    assert found["flat: Factual Knowledge"] == pytest.approx(63.888888888888886)
    assert found["flat: Conceptual Knowledge"] == pytest.approx(70.83333333333333)
    assert found["flat: Procedural Knowledge"] == pytest.approx(66.17647058823529)
    assert found["item_mean: Procedural Knowledge"] == pytest.approx(68.33333333333334)
    dimensions = {
        "Attribute Perception": 77.77777777777777,
        "Spatial Perception": 50.0,
        "Temporal Prediction": 50.0,
        "Social Science": 56.25,
        "Natural Science": 78.125,
        "Logical Reasoning": 50.0,
        "Instruction Decomposition": 80.55555555555556,
    }
    for name, number in dimensions.items():
        assert found[name] == pytest.approx(number), name


def test_every_category_stands_in_one_group(rubric):
    categories = [category for each in rubric.groups.values() for category in each]
    assert len(categories) == len(set(categories)) == 20
    assert set(DIMENSIONS.values()) == set(rubric.dimensions)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["score", "quality_", '"', ": ", "：", "4", "/5", " out of 5", "{", "}", "-", ".", " ", "\n"])
    )
)
def test_reading_never_raises_and_gives_a_whole_number_in_range_or_a_failure(pieces):
    for any_prefix in (False, True):
        reading = read_scores("".join(pieces), ("score",), low=1, high=5, any_prefix=any_prefix)
        if reading.numbers is None:
            assert reading.failure
        else:
            assert reading.numbers in ({"score": 4.0}, {"score": 5.0})


def test_which_calls_a_pair_has_is_known_without_the_prompts(rubric):
    for category in (category for each in rubric.groups.values() for category in each):
        pair = make_pair(category, paths=("7-1.jpg", "7-2.jpg"), references={"reference": Picture(sha256="9")})
        assert Kris().asked(pair) == {question.name: question.gives for question in rubric.calls(pair)}
