import re
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from editbench.records import Failure
from editbench.rubrics.readers import Key, read_json, read_lines, read_marker, read_number, set_aside
from editbench.rubrics.rubric import Reading

VALUES: dict[str, float] = {
    "7.250": 7.25,
    "0": 0.0,
    "0.000": 0.0,
    "00": 0.0,
    "07.5": 7.5,
    "10": 10.0,
    "10.000": 10.0,
    "5": 5.0,
    "9.9999999": 9.9999999,
    "  7.250\n": 7.25,
    "\n\n7.250": 7.25,
    "７．２５０": 7.25,
    "１０": 10.0,
    "7.250.": 7.25,
    "7.": 7.0,
    "7.250。": 7.25,
    "**7.250**": 7.25,
    "**7.250**.": 7.25,
    "**7.250.**": 7.25,
    '"7.250"': 7.25,
    "'7.250'": 7.25,
    "`7.250`": 7.25,
    "“7.250”": 7.25,
    "Score: 7.250": 7.25,
    "score:7.250": 7.25,
    "SCORE : 7.250.": 7.25,
    "Final score: 7.250": 7.25,
    "**Score: 7.250**": 7.25,
    "Score: **7.250**": 7.25,
    "评分：7.250": 7.25,
    "评分: 7.250。": 7.25,
    "得分：７．２５０": 7.25,
    "分数：7.250分": 7.25,
    "最终得分：**7.250**。": 7.25,
    "7.250分": 7.25,
    "7.250 分。": 7.25,
    '{"score": 7.250}': 7.25,
    '{ "score" : 10 }': 10.0,
}
FAILURES: dict[str, Failure] = {
    "": "empty",
    " \n\t ": "empty",
    "\u3000": "empty",
    # more than a number
    "A 10/10 idea. Score: 3": "unreadable",
    "The edit is convincing. 7.250": "unreadable",
    "7.250 because the shadows fit": "unreadable",
    "7.250\n\nThe shadows fit.": "unreadable",
    "about 7": "unreadable",
    "7ish": "unreadable",
    "seven": "unreadable",
    "七": "unreadable",
    "约7分": "unreadable",
    "我给7.250分": "unreadable",
    "Score 7.250": "unreadable",
    "Score: 7.250 Score: 7.250": "unreadable",
    "Rating of quality: 7.250": "unreadable",
    "I would say 5.000 is neutral": "unreadable",
    "The answer": "unreadable",
    "Score:": "unreadable",
    "评分：": "unreadable",
    "<think>easy 7.250": "unreadable",
    "7.250<|im_end|>": "unreadable",
    "\u200b7.250": "unreadable",
    "7.250\x00": "unreadable",
    "\\boxed{7.250}": "unreadable",
    "```\n7.250": "unreadable",
    "# 7.250": "unreadable",
    "- 7.250 -": "unreadable",
    "1. 7.250": "unreadable",
    # two numbers, fractions, ranges
    "7.250 8.000": "unreadable",
    "7.250\n8.000": "unreadable",
    "7.250, 8.000": "unreadable",
    "5.000 + 2.250": "unreadable",
    "(5 + 6 + 7 + 8 + 9) / 5 = 7.000": "unreadable",
    "8/5": "unreadable",
    "8/10": "unreadable",
    "8 out of 10": "unreadable",
    "10/10": "unreadable",
    "80/100": "unreadable",
    "7-8": "unreadable",
    "7–8": "unreadable",
    "7~8": "unreadable",
    "7 to 8": "unreadable",
    "７／１０": "unreadable",
    # other notations of numbers
    "7,5": "unreadable",
    "7，5": "unreadable",
    "7:5": "unreadable",
    "70%": "unreadable",
    "7.250%": "unreadable",
    "1e1": "unreadable",
    "1e5": "unreadable",
    "0x7": "unreadable",
    "NaN": "unreadable",
    "inf": "unreadable",
    "-inf": "unreadable",
    "None": "unreadable",
    "null": "unreadable",
    "N.NNN": "unreadable",
    "+7": "unreadable",
    ".5": "unreadable",
    "7.2.5": "unreadable",
    "7..": "unreadable",
    "7.250.。": "unreadable",
    "1_0": "unreadable",
    "007": "unreadable",
    "-0": "unreadable",
    "1⁰": "unreadable",
    "⑦": "unreadable",
    "½": "unreadable",
    "٧": "unreadable",
    "𝟕": "unreadable",
    "VII": "unreadable",
    "★★★★": "unreadable",
    # marks that do not pair
    "**7.250": "unreadable",
    "7.250**": "unreadable",
    "\"7.250'": "unreadable",
    "(7.250)": "unreadable",
    "[7.250]": "unreadable",
    # JSON of another shape
    '{"score": 7.250, "reason": "fits"}': "unreadable",
    '{"score": 7.250}{"score": 3.000}': "unreadable",
    '{"score": "7.250"}': "unreadable",
    '{"score": null}': "unreadable",
    '{"score": [7.250]}': "unreadable",
    '{"rating": 7.250}': "unreadable",
    "7" * 10_000: "unreadable",
    "7" + " " * 10_000 + "8": "unreadable",
    # one number, not on the scale
    "-1": "out of range",
    "−3.000": "out of range",
    "11": "out of range",
    "10.001": "out of range",
    "10.00000000000000000000000001": "out of range",
    "100": "out of range",
    "85分": "out of range",
    "Score: 72.5": "out of range",
    '{"score": 11}': "out of range",
    "123456789": "out of range",
    # the judge declined
    "I'm sorry, but I can't score this image.": "refused",
    "I’m sorry, I cannot help with that.": "refused",
    "I cannot judge this edit.": "refused",
    "As an AI, I have no opinion. 5.000": "refused",
    "I'm unable to see the images. Score: 5.000": "refused",
    '"Sorry, no."': "refused",
    "I apologize, but this is not possible. " * 20: "refused",
    "抱歉，我无法评分。": "refused",
    "很抱歉，5.000": "refused",
    "我无法对这张图像打分。": "refused",
    "作为一个AI语言模型，我没有看法。": "refused",
    "对不起，图像无法查看": "refused",
}


def number(reply: str) -> Reading:
    return read_number(reply, "score", low=0, high=10)


def scores(reply: str, **settings) -> Reading:
    return read_json(reply, {"score": Key(low=0, high=10, **settings)})


def lines(reply: str, **settings) -> Reading:
    return read_lines(reply, ("done", "kept"), low=1, high=5, **settings)


def marked(reply: str, **settings) -> Reading:
    return read_marker(reply, "Final Score", "score", low=1, high=5, **settings)


# One number


def test_the_table_of_replies_is_large_enough():
    assert len(VALUES) >= 30
    assert len(FAILURES) >= 70


@pytest.mark.parametrize(("reply", "value"), VALUES.items(), ids=ascii)
def test_a_reply_that_is_one_number_is_read(reply, value):
    assert number(reply) == Reading(numbers={"score": value})


@pytest.mark.parametrize(("reply", "failure"), FAILURES.items(), ids=lambda text: ascii(text)[:40])
def test_any_other_reply_is_a_failure_of_its_kind(reply, failure):
    reading = number(reply)
    assert (reading.numbers, reading.failure) == (None, failure)
    assert reading.detail
    assert len(reading.detail) < 400
    assert reading.detail.replace("…", "").isascii()


# what judges write most often beside the form that was asked for
ODD = {
    "7": 7.0,
    "8/10": None,
    '```json\n{"score": 7}\n```': 7.0,
    "<think>The sky is red now.</think>\n7": 7.0,
    "7-8": None,
    "八分": None,
    "10分": 10.0,
    "评分：8": 8.0,
    '{"score": 7, "reason": "ok"}': None,
    "7\n": 7.0,
    "## Score\n7": None,
    "Rating: 7": None,
    "7，": None,
    "得分：7分。": 7.0,
    "\u200b7": None,
    "Final Score: 7": 7.0,
    '{"score": "7"}': None,
    "07": 7.0,
    "1O": None,
}


@pytest.mark.parametrize(("reply", "value"), ODD.items(), ids=ascii)
def test_odd_forms_are_read_or_unreadable_and_none_is_read_wrongly(reply, value):
    reading = number(reply)
    assert reading.numbers == (None if value is None else {"score": value})
    assert reading.failure == ("unreadable" if value is None else None)


@settings(deadline=None)
@given(st.text() | st.text(alphabet="0123456789.:/-*\"'` score分評评{}\n"))
def test_reading_never_raises_and_gives_a_value_in_range_or_a_failure(reply):
    reading = number(reply)
    if reading.numbers is None:
        assert reading.failure in get_args(Failure)
        assert reading.detail
    else:
        assert reading.failure is None
        assert 0.0 <= reading.numbers["score"] <= 10.0
        assert len(re.findall(r"[0-9０-９]+(?:[.．][0-9０-９]+)?", reply)) == 1


@settings(deadline=None)
@given(
    thousandths=st.integers(0, 10_000),
    form=st.sampled_from(
        [
            "{}",
            " {}\n",
            "Score: {}",
            "评分：{}",
            "**{}**",
            "`{}`.",
            "**Score: {}**",
            "{}分",
            '{{"score": {}}}',
            "得分：'{}'。",
        ]
    ),
    wide=st.booleans(),
)
def test_a_number_in_the_grammar_is_read_back_exactly(thousandths, form, wide):
    numeral = f"{thousandths / 1000:.3f}"
    if wide:
        numeral = numeral.translate({code: code + 0xFEE0 for code in (*range(0x30, 0x3A), 0x2E)})
    assert number(form.format(numeral)).numbers == {"score": thousandths / 1000}


SCORES = st.integers(0, 10).map(str) | st.integers(0, 10_000).map(lambda score: f"{score / 1000:.3f}")


@settings(deadline=None)
@given(before=st.text(max_size=20), one=SCORES, between=st.text(min_size=1, max_size=20), two=SCORES, after=st.text())
def test_text_that_holds_two_numbers_never_gives_a_value(before, one, between, two, after):
    assume(float(one) != float(two))
    assume(re.search(r"[^0-9.０-９．]", between))  # else the two are one number
    assert number(before + one + between + two + after).numbers is None


def test_a_wider_scale_takes_more_digits_and_a_negative_one_a_minus():
    assert read_number("100", "x", low=0, high=100).numbers == {"x": 100.0}
    assert read_number("0100", "x", low=0, high=100).failure == "unreadable"
    assert read_number("-1.5", "x", low=-2, high=2).numbers == {"x": -1.5}
    assert read_number("4.5", "x", low=1, high=5, whole=True).failure == "unreadable"
    assert read_number("4.0", "x", low=1, high=5, whole=True).numbers == {"x": 4.0}


# What is set aside

FENCE, THINK = "a Markdown fence was set aside", "a <think> block was set aside"


@pytest.mark.parametrize(
    ("reply", "text", "notes"),
    [
        ("```\n7\n```", "7", (FENCE,)),
        ("```json\n7\n```  ", "7", (FENCE,)),
        ("<think>a\n8</think>\n\n7", "7", (THINK,)),
        ("<THINK></THINK>```text\n7```", "7", (THINK, FENCE)),
        ("<think>a</think><think>b</think>7", "<think>b</think>7", (THINK,)),
        ("```\n```\n7\n```\n```", "```\n```\n7\n```\n```", ()),
        ("so: ```\n7\n```", "so: ```\n7\n```", ()),
        ("7 <think>a</think>", "7 <think>a</think>", ()),
        ("<think>7", "<think>7", ()),
        ("```7```", "```7```", ()),
    ],
)
def test_one_closed_thought_at_the_beginning_and_one_fence_round_all_are_set_aside(reply, text, notes):
    assert set_aside(reply) == (text, notes)


@pytest.mark.parametrize("read", [number, scores, lines, marked])
def test_every_reader_says_what_it_set_aside_and_reads_no_number_of_an_open_thought(read):
    body = '{"score": 3}' if read is scores else "done: 3\nkept: 4" if read is lines else "Final Score: 3"
    assert read(f"<think>Final Score: 5</think>\n```\n{body}\n```").notes == (THINK, FENCE)
    assert read(f"<think>Final Score: 5</think>\n```\n{body}\n```").failure is None
    assert read(f"<think>\n{body}").failure == "unreadable"
    assert read("<think>Final Score: 5</think>").failure == "empty"
    assert read("").failure == "empty"
    assert read("I'm sorry, I can't help with that.").failure == "refused"


# A JSON object


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"score": 7}', 7.0),
        ('{"score": 7.5, "reasoning": "a {b} c"}', 7.5),
        ('{"reasoning": "a\nb", "score": 1e1}', 10.0),
        ('Here it is:\n{"score": 0}\nDone.', 0.0),
        ('{maybe} {"score": 3}', 3.0),
        ('{"rating": 9} {"score": 3}', 3.0),
        ('[{"score": 3}]', 3.0),
    ],
)
def test_the_one_object_with_the_key_is_read(reply, value):
    assert scores(reply).numbers == {"score": value}


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("7", "unreadable"),
        ("{}", "unreadable"),
        ('{"Score": 7}', "unreadable"),
        ('{"score": true}', "unreadable"),
        ('{"score": null}', "unreadable"),
        ('{"score": NaN}', "unreadable"),
        ('{"score": "7"}', "unreadable"),
        ('{"score": [7]}', "unreadable"),
        ('{"score": {"a": 7}}', "unreadable"),
        ('{"score": 7, "score": 7}', "unreadable"),
        ('{"score": 7} {"score": 7}', "unreadable"),
        ("{score: 7}", "unreadable"),
        ("{'score': 7}", "unreadable"),
        ('{"reasoning": "say "no"", "score": 7}', "unreadable"),
        ('{"reasoning": oops, "inner": {"score": 7}}', "unreadable"),
        ('{"score": 07}', "unreadable"),
        ('{"score": ' + "[" * 100_000, "unreadable"),
        ("{" * 100_000, "unreadable"),
        ('{"score": 7, "reasoning": "cut o', "truncated"),
        ('{"score": 7, "reasoning": "cut o}', "truncated"),
        ('{"score": 7,', "truncated"),
        ('{"score": 11}', "out of range"),
        ('{"score": -1}', "out of range"),
        ('{"score": 1e400}', "out of range"),
        ('{"score": 10.00000000000000000001}', "out of range"),
        ('{"score": 1e99999999999999999999}', "unreadable"),
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_what_is_not_one_number_under_the_key_is_a_failure_of_its_kind(reply, failure):
    reading = scores(reply)
    assert (reading.numbers, reading.failure) == (None, failure)
    assert reading.detail
    assert len(reading.detail) < 400


def test_a_list_gives_numbered_dimensions_and_needs_its_count():
    assert Key(count=2).dimensions("score") == ("score_1", "score_2")
    assert scores('{"score": [7, 8.5]}', count=2).numbers == {"score_1": 7.0, "score_2": 8.5}
    for wrong in ("[7]", "[7, 8, 9]", "7", '"78"', "[7, null]", "[true, 8]", "[[7], 8]"):
        assert scores(f'{{"score": {wrong}}}', count=2).failure == "unreadable", wrong
    assert scores('{"score": [7, 11]}', count=2).failure == "out of range"


def test_whole_numbers_numbers_in_quotes_and_choices_are_read_where_they_are_asked_for():
    assert scores('{"score": 4.0}', whole=True).numbers == {"score": 4.0}
    assert scores('{"score": 4.5}', whole=True).failure == "unreadable"
    assert scores('{"score": " ４ "}', quoted=True).numbers == {"score": 4.0}
    for wrong in ("four", "4/5", "", "4.", "1e1", "٤"):
        assert scores(f'{{"score": "{wrong}"}}', quoted=True).failure == "unreadable", wrong
    choices = {"yes": 1.0, "no": 0.0}
    assert scores('{"score": "Yes."}', choices=choices).numbers == {"score": 1.0}
    assert scores('{"score": "NO"}', choices=choices).numbers == {"score": 0.0}
    for wrong in ('"maybe"', "true", "1", '"yes and no"'):
        assert scores(f'{{"score": {wrong}}}', choices=choices).failure == "unreadable", wrong


def test_of_two_keys_both_are_needed_unless_a_part_is_asked_for():
    keys = {"done": Key(low=1, high=5), "kept": Key(low=1, high=5)}
    assert read_json('{"kept": 2, "done": 4}', keys).numbers == {"done": 4.0, "kept": 2.0}
    assert read_json('{"done": 4}', keys).numbers is None
    part = read_json('{"done": 4, "kept": 9}', keys, partial=True)
    assert (part.numbers, part.failure) == ({"done": 4.0}, "out of range")
    assert read_json('{"done": 0, "kept": 9}', keys, partial=True).numbers is None


# Labelled lines


@pytest.mark.parametrize(
    "reply",
    [
        "done: 4\nkept: 5",
        "Reasoning: the cup is red.\nKept: 5\nDone:  4\nThat is all: good",
        "**Done**: 4\n- Kept: 5",
        "1. done: 4\n2. kept: 5",
        "Done：4\nKept： ５",
        "done: 4\nother: 7\nkept: 5",
    ],
)
def test_a_line_for_each_name_is_read(reply):
    assert lines(reply).numbers == {"done": 4.0, "kept": 5.0}


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("done: 4", "unreadable"),
        ("done: 4.\nkept: 5", "unreadable"),
        ("**done: 4**\n**kept: 5**", "unreadable"),
        ("done: 4/5\nkept: 5/5", "unreadable"),
        ("done: 4\ndone: 4\nkept: 5", "unreadable"),
        ("done:4\nkept:5", "unreadable"),
        ("done 4\nkept 5", "unreadable"),
        ("so: done: 4\nkept: 5", "unreadable"),
        ("done: four\nkept: 5", "unreadable"),
        ("done: 0\nkept: 5", "out of range"),
        ("done: -1\nkept: 5", "out of range"),
        ("done: 4\nkept: 6", "out of range"),
    ],
)
def test_other_lines_are_a_failure_of_their_kind(reply, failure):
    assert (lines(reply).numbers, lines(reply).failure) == (None, failure)


def test_without_labels_the_order_counts_and_the_names_are_any():
    assert lines("A: 1\nB: 2", labelled=False).numbers == {"done": 1.0, "kept": 2.0}
    assert lines("A: 1\nB: 2\nC: 3", labelled=False).failure == "unreadable"
    assert lines("A: 1\nA: 2", labelled=False).failure == "unreadable"
    assert lines("Why: 1\nA: 1\nB: 2", labelled=False, ignore=("why",)).numbers == {"done": 1.0, "kept": 2.0}
    assert lines("A：1\nB：2", labelled=False, wide_colon=False).failure == "unreadable"
    assert lines("done: 4.5\nkept: 5").numbers == {"done": 4.5, "kept": 5.0}
    assert lines("done: 4.5\nkept: 5", whole=True).failure == "unreadable"


# A number after a marker


@pytest.mark.parametrize(
    "reply",
    [
        "Final Score: 4",
        "I weigh 3 things.\n\n**Final Score:** **4**",
        "Final Score 4",
        "final score：４",
        "### Final Score\n\n4",
        "**Final Scores:** 4.",
        "Final Score: 4/5",
        "Final Score: 4 (out of 5)",
        "Final Score: 4\n2. Another remark",
        "The final score depends on two things. Final Score: 4 points",
    ],
)
def test_the_number_after_the_marker_is_read(reply):
    assert marked(reply).numbers == {"score": 4.0}


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("4", "unreadable"),
        ("Score: 4", "unreadable"),
        ("Final Score: four", "unreadable"),
        ("Final Score: 4, 0", "unreadable"),
        ("Final Score: 4-5", "unreadable"),
        ("Final Score: 4/10", "unreadable"),
        ("Final Score: 4/5.5", "unreadable"),
        ("Final Score: 4.4.4", "unreadable"),
        ("Final Score: 4\nFinal Score: 4", "unreadable"),
        ("Final Score: 4 Final Score: 3", "unreadable"),
        ("Final Score: 0", "out of range"),
        ("Final Score: -1", "out of range"),
        ("Final Score: 45", "out of range"),
    ],
)
def test_no_number_two_numbers_or_one_off_the_scale_after_the_marker_is_a_failure(reply, failure):
    assert (marked(reply).numbers, marked(reply).failure) == (None, failure)


def test_a_marker_is_taken_literally_and_whole_numbers_can_be_asked_for():
    assert read_marker("Score (1-5): 3", "Score (1-5):", "x", low=1, high=5).numbers == {"x": 3.0}
    assert marked("Final Score: 4.5").numbers == {"score": 4.5}
    assert marked("Final Score: 4.5", whole=True).failure == "unreadable"


@pytest.mark.parametrize("tail", [" " * 60_000 + "x", "*" * 60_000 + "x", " 4 out of" * 5_000])
def test_a_long_tail_after_the_number_is_read_in_one_pass(tail):
    # work that grows with the square of the length would reach the test's limit
    assert marked(f"Final Score: 4{tail}").failure == ("unreadable" if "4" in tail else None)


# All of them

PIECES = st.sampled_from(["11", "0.5", '"score": ', "done: ", "kept: ", "Final Score: ", "I'm sorry"])
MARKS = st.sampled_from([*'{}[],-/"： 45' + "\n\ud800", "1e9", "**", "```", "```json\n", "<think>", "</think>"])
HOSTILE = st.text() | st.lists(PIECES | MARKS, max_size=30).map("".join)


@settings(deadline=None, max_examples=300)
@given(HOSTILE)
def test_no_reader_raises_and_each_gives_its_numbers_in_range_or_a_failure(reply):
    for read, names, low, high in (
        (scores, {"score"}, 0, 10),
        (lines, {"done", "kept"}, 1, 5),
        (marked, {"score"}, 1, 5),
    ):
        reading = read(reply)
        if reading.numbers is None:
            assert reading.failure in get_args(Failure)
            assert reading.detail
            assert reading.detail.replace("…", "").isascii()
        else:
            assert set(reading.numbers) == names
            assert all(low <= value <= high for value in reading.numbers.values())


@settings(deadline=None)
@given(one=st.integers(1, 5), two=st.integers(1, 5), between=st.text(max_size=10))
def test_two_candidates_never_give_a_value(one, two, between):
    assert scores(f'{{"score": {one}}}{between}{{"score": {two}}}').numbers is None
    assert lines(f"done: {one}\ndone: {two}\nkept: 1").numbers is None
    assert marked(f"Final Score: {one}\n{between}\nFinal Score: {two}").numbers is None


def test_a_reading_without_numbers_names_its_failure():
    with pytest.raises(ValueError, match="names its failure"):
        Reading()
