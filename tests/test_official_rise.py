"""RISEBench, RISEBench++ and UniREditBench: routes, readings and numbers, worked by hand from the official formulas."""

import pytest
from msgspec.structs import replace

from editbench.errors import UsageError
from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.rise import Rise
from editbench.rubrics.official.risepp import RisePP
from editbench.rubrics.official.uniredit import UniREdit
from editbench.rubrics.rubric import Question, Shown
from tests import official_data

T, C, S, L = (f"{name}_reasoning" for name in ("temporal", "causal", "spatial", "logical"))


@pytest.fixture
def rise_prompts(tmp_path):
    return official_data.rise_prompts(tmp_path)


@pytest.fixture
def pp_prompts(tmp_path):
    return official_data.risepp_prompts(tmp_path)


@pytest.fixture
def uniredit_prompts(tmp_path):
    return official_data.uniredit_prompts(tmp_path)


def a_pair(category=T, *references, pair_id="a", listed=None, **fields):
    return Pair(
        pair_id=pair_id,
        instruction="do it",
        category=category,
        sources=(Picture(sha256="0"),),
        references={name: Picture(sha256="1") for name in references},
        fields=fields if listed is None else {**fields, "categories": listed},
    )


def asked(rubric, pair):
    """By call: the variable that the test's text begins with, then the pictures."""
    found = {}
    for question in rubric.calls(pair):
        text, *pictures = question.parts
        assert all(picture.max_side == 768 for picture in pictures if isinstance(picture, Shown))
        found[question.name] = (text.split(":")[0], *(picture.picture for picture in pictures))
    return found


def replies(rubric, pair, **numbers):
    """The pair's values when each call's reply ends in this number; None: the call failed."""
    readings = {}
    for name, number in numbers.items():
        reply = "no" if number is None else f"Looked at.\n\n**Final Score:** **{number}**"
        reading = rubric.read(pair, Question(name=name, parts=(), gives=(name,)), reply)
        readings[name] = None if reading.numbers is None else reading.numbers[name]
    return rubric.values(pair, readings)


def headlines(rubric, rows):
    found = {headline.name: compute(headline, rows) for headline in rubric.headlines}
    return {name: number for name, number in found.items() if number is not None}


SHIPPED = [
    (
        a_pair(T, reference="R"),
        {
            "consistency": ("prompt_consist", "source", "edit"),
            "reasoning": ("prompt_reasoning", "edit"),
            "quality": ("prompt_generation", "edit"),
        },
    ),
    (
        a_pair(C, reference="R", consistency_free=True),
        {"reasoning": ("prompt_reasoning", "edit"), "quality": ("prompt_generation", "edit")},
    ),
    (
        a_pair(T, reference="R", reasoning_img=True, consistency_free=None),
        {
            "consistency": ("prompt_consist", "source", "edit"),
            "reasoning": ("prompt_reasoning_w_input", "source", "edit"),
            "quality": ("prompt_generation", "edit"),
        },
    ),
    (
        a_pair(S, "reference"),
        {
            "consistency": ("prompt_spatial_cons", "reference", "edit"),
            "reasoning": ("prompt_spatial_ref_img", "reference", "edit"),
            "quality": ("prompt_spatial_qual", "edit"),
        },
    ),
    (
        a_pair(S, reference="R", reasoning_img=True),
        {
            "consistency": ("prompt_spatial_cons", "source", "edit"),
            "reasoning": ("prompt_spatial_ref_w_input", "source", "edit"),
            "quality": ("prompt_spatial_qual", "edit"),
        },
    ),
    (
        a_pair(L, "reference", reference_txt="RT", reasoning_wo_ins=True),
        {
            "consistency": ("prompt_logical_cons_ans", "source", "edit"),
            "reasoning": ("prompt_logical_txt", "edit"),
        },
    ),
    (
        a_pair(L, "reference"),
        {
            "consistency": ("prompt_logical_cons", "reference", "edit"),
            "reasoning": ("prompt_logical_img", "reference", "edit"),
        },
    ),
    (
        a_pair(L, "reference", reasoning_wo_ins=None),
        {
            "consistency": ("prompt_logical_cons", "reference", "edit"),
            "reasoning": ("prompt_logical_img_wo_q", "reference", "edit"),
        },
    ),
]


@pytest.mark.parametrize(("pair", "routes"), SHIPPED, ids=range(len(SHIPPED)))
def test_rise_asks_as_the_official_code_does(rise_prompts, pair, routes):
    assert asked(Rise(prompts=rise_prompts), pair) == routes


def test_rise_corrected_compares_with_the_source_and_goes_by_the_value(rise_prompts):
    rubric = Rise(prompts=rise_prompts, as_shipped=False)
    assert asked(rubric, a_pair(S, "reference"))["consistency"] == ("prompt_spatial_cons", "source", "edit")
    assert asked(rubric, a_pair(L, "reference", reasoning_wo_ins=None)) == {
        "consistency": ("prompt_logical_cons", "source", "edit"),
        "reasoning": ("prompt_logical_img", "reference", "edit"),
    }
    assert asked(rubric, a_pair(L, "reference", reasoning_wo_ins=True))["reasoning"][0] == "prompt_logical_img_wo_q"
    assert [headline.name for headline in rubric.headlines][:2] == ["accuracy_corrected", "score_corrected"]
    assert any("corrected" in note for note in rubric.notes())


def test_rise_fills_in_the_pair_and_leaves_raw_prompts_alone(rise_prompts):
    texts = [question.parts[0] for question in Rise(prompts=rise_prompts).calls(a_pair(T, reference="R\n<|im_end|>S"))]
    assert texts == [
        "prompt_consist: do it",
        "prompt_reasoning: do it R\nS",
        "prompt_generation: {as it is}",
    ]
    other = replace(a_pair(T), rationale="R\nS")
    assert [question.parts[0] for question in Rise(prompts=rise_prompts).calls(other)] == texts


def test_rise_names_every_item_that_it_cannot_ask_about(rise_prompts):
    pairs = [a_pair("humour", pair_id="h"), a_pair(L, pair_id="l"), a_pair(T, pair_id="t"), a_pair(T, reference="R")]
    with pytest.raises(UsageError) as raised:
        Rise(prompts=rise_prompts).check(pairs)
    lines = str(raised.value).split("\n")
    assert [line.split(":")[0] for line in lines] == ["h", "l", "t"]
    assert "there are temporal_reasoning" in lines[0]


@pytest.mark.parametrize(
    ("reply", "number", "failure"),
    [
        ("Step by step.\n\n**Final Score:** **4**", 4, None),
        ("Final Score 5", 5, None),
        ("**Final Score:** 5/5", 5, None),
        ("### Final Score\n\n4", 4, None),
        ("Final Score: 3\n2. Another remark", 3, None),
        ("Final Score: is below.\nFinal Score: 3", 3, None),
        ("Final Score: 1, 0", None, "unreadable"),
        ("Final Score: 4.5", None, "unreadable"),
        ("Final Score: 9", None, "out of range"),
        ("Final Score: 2 would be harsh.\nFinal Score: 5", None, "unreadable"),
        ("Score: 4", None, "unreadable"),
        ("Failed to obtain answer via API. ", None, "error"),
        ("I'm sorry, I can't help with that.", None, "refused"),
    ],
)
def test_a_final_score_is_read_or_named(reply, number, failure):
    reading = Rise().read(a_pair(), Question(name="reasoning", parts=(), gives=("reasoning",)), reply)
    assert reading.failure == failure
    assert (reading.numbers or {}).get("reasoning") == number


@pytest.mark.parametrize(
    ("category", "scores", "value", "complete"),
    [
        (T, {"consistency": 5, "reasoning": 5, "quality": 5}, 5, 1),
        (T, {"consistency": 5, "reasoning": 4, "quality": 5}, 4.5, 0),
        (C, {"consistency": 4, "reasoning": 1, "quality": 2}, 1.05, 0),
        (C, {"consistency": 1, "reasoning": 1, "quality": 1}, 1, 0),
        (L, {"consistency": 1, "reasoning": 1}, 5, 1),
        (L, {"consistency": 1, "reasoning": 0}, 1.1, 0),
        (L, {"consistency": 0, "reasoning": 1}, 3.8, 0),
        (L, {"consistency": 5, "reasoning": 3}, 5, 1),
        (T, {"consistency": 5, "reasoning": None, "quality": 5}, None, 0),
        (L, {"consistency": 1, "reasoning": None}, None, 0),
    ],
)
@pytest.mark.parametrize("rubric", [Rise(), RisePP()])
def test_rise_weighs_maps_and_halves(rubric, category, scores, value, complete):
    found = replies(rubric, a_pair(category), **scores)
    assert found["value"] == (None if value is None else pytest.approx(value))
    assert found["complete"] == complete


def test_rise_headlines_count_a_failure_in_the_accuracy_and_not_in_the_score():
    pairs = [a_pair(pair_id=str(number)) for number in range(3)]
    rows = [
        (pairs[0], replies(Rise(), pairs[0], consistency=5, reasoning=5, quality=5)),
        (pairs[1], replies(Rise(), pairs[1], consistency=3, reasoning=3, quality=5)),
        (pairs[2], replies(Rise(), pairs[2], consistency=5, reasoning=None, quality=5)),
    ]
    assert headlines(Rise(), rows) == {
        "accuracy": pytest.approx(100 / 3),
        "accuracy_before_2026_04": pytest.approx(100 / 3),
        "score": pytest.approx(25 * (4.2 - 1)),
        "accuracy: temporal_reasoning": pytest.approx(100 / 3),
        "Overall_ApprConsistency": pytest.approx(75),
        "Overall_Reasoning": pytest.approx(75),
        "Overall_VisualPlausibility": pytest.approx(100),
    }
    without = [*rows, (a_pair(pair_id="3"), Rise().values_without_edit(a_pair()))]
    assert headlines(Rise(), without)["accuracy"] == pytest.approx(25)
    assert headlines(Rise(), without)["score"] == pytest.approx(80)


def test_rise_shipped_weighs_every_item_as_free_once_the_column_exists():
    free, ordinary = a_pair(consistency_free=True), a_pair(consistency_free=None)
    scores = {"reasoning": 4, "quality": 5}
    assert replies(Rise(), ordinary, consistency=5, **scores)["value"] == pytest.approx(4.2)
    assert replies(Rise(as_shipped=False), ordinary, consistency=5, **scores)["value"] == pytest.approx(4.5)
    for rubric in (Rise(), Rise(as_shipped=False)):
        found = replies(rubric, free, reasoning=5, quality=5)
        assert (found["value"], found["complete"], found["complete_before_2026_04"]) == (5, 1, 0)


PLUS = [
    (
        a_pair(T, reference_txt="R"),
        {
            "consistency": ("prompt_general_cons", "source", "edit"),
            "reasoning": ("prompt_general_ref_txt", "edit"),
            "quality": ("prompt_general_qual", "source", "edit"),
        },
    ),
    (
        a_pair(S, "reference", "consistency", reasoning_img=True),
        {
            "consistency": ("prompt_spatial_cons", "consistency", "edit"),
            "reasoning": ("prompt_spatial_ref_img", "reference", "edit"),
            "quality": ("prompt_spatial_qual", "consistency", "edit"),
        },
    ),
    (
        a_pair("counterfactual_reasoning", "reference", reference_txt="R", reasoning_img=True, consistency_free=True),
        {
            "reasoning": ("prompt_general_ref_txt_w_input", "source", "edit"),
            "quality": ("prompt_counterfactual_qual", "source", "edit"),
        },
    ),
    (
        a_pair(L, "reference"),
        {
            "consistency": ("prompt_logical_cons", "source", "edit"),
            "reasoning": ("prompt_logical_ref_img", "reference", "edit"),
        },
    ),
    (
        a_pair(L, reference_txt="R"),
        {
            "consistency": ("prompt_logical_cons_ans", "source", "edit"),
            "reasoning": ("prompt_logical_ref_txt", "edit"),
        },
    ),
    (
        a_pair(f"{S}, counterfactual_reasoning", reference_txt="R", multi_turn="True"),
        {
            "consistency": ("prompt_general_cons", "source", "edit"),
            "reasoning": ("prompt_general_ref_txt", "edit"),
            "quality": ("prompt_counterfactual_qual", "source", "edit"),
        },
    ),
    (
        a_pair("hybrid_reasoning", listed=[C, L], reference_txt="R", multi_turn="True"),
        {
            "consistency": ("prompt_logical_cons_ans", "source", "edit"),
            "reasoning": ("prompt_logical_ref_txt", "edit"),
        },
    ),
]


@pytest.mark.parametrize(("pair", "routes"), PLUS, ids=range(len(PLUS)))
def test_risepp_asks_as_the_official_code_does(pp_prompts, pair, routes):
    assert asked(RisePP(prompts=pp_prompts), pair) == routes


def test_risepp_reads_hybrid_items_by_their_own_categories():
    both = a_pair(f"{C}, {L}", multi_turn="True")
    assert replies(RisePP(), both, consistency=1, reasoning=1)["value"] == 5
    assert RisePP().category(both.category) == "hybrid_reasoning"
    assert RisePP().category(L) == L
    other = a_pair(f"{T}, counterfactual_reasoning", multi_turn="True")
    assert replies(RisePP(), other, consistency=5, reasoning=5, quality=4)["value"] == pytest.approx(4.8)


def test_risepp_refuses_several_categories_without_the_mark(pp_prompts):
    with pytest.raises(UsageError, match="a: several categories without the mark `multi_turn`"):
        RisePP(prompts=pp_prompts).check([a_pair(f"{T}, {C}", reference_txt="R")])
    with pytest.raises(UsageError, match="a: RISEBench\\+\\+ has no category humour"):
        RisePP(prompts=pp_prompts).check([a_pair("humour", reference_txt="R")])


def test_risepp_counts_a_missing_edit_as_the_lowest():
    whole, lost = a_pair(pair_id="a"), a_pair(pair_id="b")
    rows = [
        (whole, replies(RisePP(), whole, consistency=5, reasoning=5, quality=5)),
        (lost, RisePP().values_without_edit(lost)),
    ]
    assert headlines(RisePP(), rows) == {
        "accuracy": 50,
        "score": 50,
        "accuracy: temporal_reasoning": 50,
        "Overall_ApprConsistency": 50,
        "Overall_Reasoning": 50,
        "Overall_VisualPlausibility": 50,
    }


def test_risepp_keeps_the_lines_of_several_turns(pp_prompts):
    pair = Pair(
        pair_id="a",
        category=f"{T}, {C}",
        instruction="1. Add a cat.\n2. Wait a year.",
        turns=("Add a cat.", "Wait a year."),
        sources=(Picture(sha256="0"),),
        fields={"multi_turn": "True", "reference_txt": "R"},
    )
    assert RisePP(prompts=pp_prompts).calls(pair)[0].parts[0].endswith(" 1. Add a cat.\n2. Wait a year.")


def test_risepp_reads_the_chinese_reference_of_a_chinese_pair(pp_prompts):
    pair = a_pair(T, reference_txt="English", reference_txt_chinese="中文")
    texts = [RisePP(prompts=pp_prompts).calls(one)[1].parts[0] for one in (pair, replace(pair, language="zh"))]
    assert texts == ["prompt_general_ref_txt: do it English", "prompt_general_ref_txt: do it 中文"]


def test_uniredit_asks_with_the_rules_first_and_the_right_edit_between(uniredit_prompts):
    pair = a_pair("maze", "reference", rules="Walk.\nStop.", reference_effect="out")
    rubric = UniREdit(prompts=uniredit_prompts)
    assert asked(rubric, pair) == {
        "consistency": ("prompt_consist", "source", "edit"),
        "reasoning": ("prompt_reasoning_w_ref_image", "source", "reference", "edit"),
        "quality": ("prompt_generation", "edit"),
    }
    texts = [question.parts[0] for question in rubric.calls(pair)]
    assert texts == [
        "prompt_consist: Walk.\nStop.\ndo it",
        "prompt_reasoning_w_ref_image: Walk.\nStop.\ndo it out",
        "prompt_generation: {as it is}",
    ]
    with pytest.raises(UsageError, match="a: there is no picture `reference`"):
        rubric.check([a_pair("maze")])


def test_uniredit_leaves_a_failure_out_of_both_means():
    pairs = [a_pair("maze", pair_id=str(number)) for number in range(3)]
    rows = [
        (pairs[0], replies(UniREdit(), pairs[0], consistency=5, reasoning=5, quality=5)),
        (pairs[1], replies(UniREdit(), pairs[1], consistency=4, reasoning=1, quality=5)),
        (pairs[2], replies(UniREdit(), pairs[2], consistency=5, reasoning=None, quality=5)),
        (a_pair("maze", pair_id="3"), UniREdit().values_without_edit(pairs[0])),
    ]
    assert headlines(UniREdit(), rows) == {
        "overall": pytest.approx(25 * ((5 + 2.7) / 2 - 1)),
        "accuracy": 0.5,
        "Overall_ApprConsistency": pytest.approx(87.5),
        "Overall_Reasoning": 50,
        "Overall_VisualPlausibility": 100,
    }


def test_the_numbers_need_no_prompts(rise_prompts, pp_prompts, uniredit_prompts):
    for rubric, with_prompts, pair in (
        (Rise(), Rise(prompts=rise_prompts), a_pair(C, reference="R", consistency_free=True)),
        (RisePP(), RisePP(prompts=pp_prompts), a_pair(L, reference_txt="R")),
        (UniREdit(), UniREdit(prompts=uniredit_prompts), a_pair("maze", "reference")),
    ):
        assert rubric.asked(pair) == {question.name: question.gives for question in with_prompts.calls(pair)}
