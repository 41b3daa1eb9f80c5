import pytest

from editbench.errors import UsageError
from editbench.records import Pair, Picture
from editbench.rubrics.headlines import compute
from editbench.rubrics.official.wiseedit import ASKED, WiseEdit
from editbench.rubrics.rubric import Shown

KINDS = ("detail_preserving", "instruction_following", "knowledge_fidelity", "creative_fusion")


@pytest.fixture
def rubric(tmp_path):
    folder = tmp_path / "Evaluation"
    folder.mkdir()
    single = "".join(f'prompt_{kind}_single = "{kind} {{x}}"\n' for kind in KINDS)
    (folder / "prompt_single.py").write_text(single + 'prompt_visual_quality = "visual {{x}}"\n')
    (folder / "prompt_multi.py").write_text("".join(f'prompt_{kind}_multi = "{kind}, multi"\n' for kind in KINDS))
    return WiseEdit(prompts=str(tmp_path))


def make_pair(category="Awareness", number=1, language="en", num_sources=1, references=(), **fields):
    return Pair(
        pair_id=f"{category}/{number}.{language}",
        category=category,
        instruction="Melt it." if language == "en" else "让它融化。",
        language=language,
        sources=tuple(Picture(sha256=str(place)) for place in range(num_sources)),
        references={name: Picture(sha256="9") for name in references},
        fields={"prompt": "Melt it."} | fields,
    )


def shown(picture):
    return Shown(picture=picture, max_side=512, jpeg_quality=90)


def parts(rubric, pair):
    return {question.name: question.parts for question in rubric.calls(pair)}


def test_a_metric_is_a_call_and_prompts_are_sent_raw(rubric):
    found = parts(rubric, make_pair())
    assert list(found) == ["DP", "IF", "VQ", "KF"]
    asked = "Melt it."
    assert found["DP"] == (
        f"detail_preserving {{x}}\n\nEditing instruction: {asked}",
        *("Input image:", shown("source"), "Edited image:", shown("edit")),
    )
    assert found["VQ"] == ("visual {{x}}", "Image:", shown("edit"))
    assert list(parts(rubric, make_pair("Imagination"))) == ["DP", "IF", "VQ", "CF"]
    assert list(parts(rubric, make_pair("WiseEdit_Complex"))) == ["DP", "IF", "VQ", "KF", "CF"]


def test_hint_and_references_are_shown_to_instruction_and_knowledge_alone(rubric):
    pair = make_pair("WiseEdit_Complex", references=("reference_10", "reference", "reference_2"), hint="It drips.")
    found = parts(rubric, pair)
    for name in ("IF", "KF"):
        *_, hint, label, first, _, second, _, last = found[name]
        assert hint.endswith("\nIt drips.")
        assert (label, first, second, last) == (
            "Reference image:",
            *(shown(name) for name in ("reference", "reference_2", "reference_10")),
        )
    for name in ("DP", "VQ", "CF"):
        assert found[name][-1] == shown("edit")


def test_several_sources_are_numbered_and_asked_by_the_other_file(rubric):
    found = parts(rubric, make_pair(num_sources=2))
    assert found["KF"] == (
        "knowledge_fidelity, multi\n\nEditing instruction: Melt it.",
        *("Input image #1:", shown("source"), "Input image #2:", shown("source_2")),
        *("Edited image:", shown("edit")),
    )


def test_the_judge_sees_the_english_instruction_of_a_chinese_pair(rubric):
    text, *_ = parts(rubric, make_pair(language="zh"))["IF"]
    assert text.endswith("Editing instruction: Melt it.")
    with pytest.raises(UsageError, match="`prompt`"):
        rubric.check([make_pair(language="zh", prompt=None)])
    with pytest.raises(UsageError, match="no category 'Other'"):
        rubric.check([make_pair("Other")])


def test_a_subset_belongs_to_its_category(rubric):
    names = ["Awareness_1", "WiseEdit_Complex_2", "Imagination"]
    assert [rubric.category(name) for name in names] == ["Awareness", "WiseEdit_Complex", "Imagination"]


@pytest.mark.parametrize(
    ("reply", "number", "failure"),
    [
        ('{"score": 8, "reason": "x"}', 8, None),
        ('{"score": "7", "reason": "x"}', 7, None),
        ('{"consistency_score": 6, "reasoning": "x"}', 6, None),
        ("I rate it 7 out of 10", 7, None),
        ("9/10", 9, None),
        ('{"score": 7.9, "reason": "x"}', None, "unreadable"),
        ('{"a_score": 6, "b_score": 6}', None, "unreadable"),
        ('{"score": 0, "reason": "x"}', None, "out of range"),
        ("", None, "empty"),
    ],
)
def test_the_score_is_read_from_its_key_or_one_that_ends_in_it(rubric, reply, number, failure):
    pair = make_pair()
    question = rubric.calls(pair)[0]
    reading = rubric.read(pair, question, reply)
    assert (reading.numbers, reading.failure) == ({"DP": number} if number else None, failure)


TABLES = {
    "Imagination": [(8, 7, 9, 6), (5, 5, 5, 5)],
    "Awareness": [(10, 10, 10, 10), (1, 1, 1, 1)],
    "Interpretation": [(7, 6, 8, 3), (9, 9, 9, 9)],
    "WiseEdit_Complex": [(6, 5, 7, 4, 3), (8, 8, 8, 8, 8)],
}


def rows(rubric, changed=()):
    found = []
    for category, each in TABLES.items():
        for number, scores in enumerate(each):
            for language in ("en", "zh"):
                pair = make_pair(category, number, language)
                readings = dict(zip(ASKED[category], scores, strict=True)) | dict(changed).get(pair.pair_id, {})
                found.append((pair, rubric.values(pair, readings)))
    return found


def test_the_headlines_are_what_the_official_code_gives(rubric):
    found = {headline.name: compute(headline, rows(rubric)) for headline in rubric.headlines}
    assert next(iter(found)) == "basic_overall_en"
    assert found["basic_overall_en"] == found["basic_overall_cn"] == pytest.approx(60.19166666666666)
    assert found["Imagination_overall_en"] == pytest.approx(58.35)
    assert found["Awareness_overall_cn"] == pytest.approx(50.0)
    assert found["Interpretation_overall_cn"] == pytest.approx(72.225)
    assert found["WiseEdit_Complex_overall"] == found["WiseEdit_Complex_overall_en"] == pytest.approx(61.12)


def test_a_score_that_is_missing_in_one_language_drops_the_item_in_both(rubric):
    changed = {"Interpretation/0.zh": {"KF": None}}
    found = {headline.name: compute(headline, rows(rubric, changed)) for headline in rubric.headlines}
    # the other item alone: (9 - 1) / 9 = 88.9 in each of the four metrics
    assert found["Interpretation_overall_en"] == pytest.approx(88.9)
    assert found["Interpretation_overall_cn"] == pytest.approx(88.9)


def test_a_missing_edit_is_a_missing_score_and_a_missing_category_no_headline(rubric):
    assert rubric.values_without_edit(make_pair())["DP"] is None
    headline = rubric.headlines[0]
    assert compute(headline, [row for row in rows(rubric) if row[0].category != "Awareness"]) is None


def test_which_calls_a_pair_has_is_known_without_the_prompts(rubric):
    for category in ASKED:
        pair = make_pair(category)
        assert WiseEdit().asked(pair) == {question.name: question.gives for question in rubric.calls(pair)}
