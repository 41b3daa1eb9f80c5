import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from editbench.records import Picture
from editbench.rubrics.headlines import Headline, Level
from editbench.stats.comparison import (
    Difference,
    compare,
    corrected,
    holm,
    mean_difference,
    sign_test,
    sign_tests,
    unlike,
)
from editbench.stats.headlines import plain_table
from tests.test_summary import OneNumber, a_run, answer, score

NAMES = [str(i) for i in range(10)]


def named(name, values, **changes):
    return a_run([v if isinstance(v, str) else float(v) for v in values], name=name, root=Path(name), **changes)


def test_a_worked_difference():
    first = [5.0] * 10
    second = [6.0, 7, 5, 6, 8, 4, 6, 7, 5, 6]  # steps 1 2 0 1 3 -1 1 2 0 1: sum 10
    found = mean_difference(first, second, NAMES)
    assert (found.mean, found.num_pairs) == (pytest.approx(1.0), 10)
    assert (found.num_wins, found.num_ties, found.num_losses) == (7, 2, 1)
    # 8 steps that are not 0: 1 1 1 1 1 2 2 3. Of the 2^8 ways to give them a sign, those with a sum of 10 or more:
    # all plus 1 (12), one of the five 1s minus 5 (10), so 6; both sides: 12 / 256
    assert found.p_value == pytest.approx(12 / 256)
    # s² = (sum of squares 22 - 10 × 1²) / 9 = 4 / 3; standard error √(4 / 3 / 10) = 0.36515;
    # t(9): 2.26216 + 0.88340 = 3.14556
    assert found.minimum_detectable_difference == pytest.approx(0.36515 * 3.14556, abs=1e-4)
    assert found.interval_note == "too few"


def test_copies_of_a_source_are_no_further_evidence():
    first, second = [5.0] * 10, [6.0, 7, 5, 6, 8, 4, 6, 7, 5, 6]
    once, thrice = mean_difference(first, second, NAMES), mean_difference(first * 3, second * 3, NAMES * 3)
    assert thrice.p_value == pytest.approx(once.p_value)
    assert thrice.minimum_detectable_difference == pytest.approx(once.minimum_detectable_difference)


def test_holm_s_worked_example():
    # m = 4: 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1 = 0.04, which may not be below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]  # two members, not three
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
@settings(deadline=None)
def test_a_correction_never_makes_a_p_value_smaller_nor_changes_their_order(values):
    found = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, found, strict=True))
    by_p = [q for _, q in sorted(zip(values, found, strict=True))]
    assert by_p == sorted(by_p)


def test_a_winner_is_named_only_when_it_is_shown():
    base = [5, 6, 4, 5, 7, 5, 6, 4, 5, 6, 5, 4]
    far = named("far", [v + 2 + (i % 3) / 2 for i, v in enumerate(base)])
    near = named("near", [v + (1 if i % 2 else -0.9) for i, v in enumerate(base)])
    (clear,) = compare([named("base", base), far])
    assert (clear.first, clear.second, clear.winner) == ("base", "far", "far")
    (turned,) = compare([far, named("base", base)])
    assert turned.winner == "far"
    assert turned.overall.mean == pytest.approx(-clear.overall.mean)
    (open_,) = compare([named("base", base), near])
    assert open_.winner is None
    assert open_.overall.minimum_detectable_difference > abs(open_.overall.mean)
    assert all(entry.winner != "near" for entry in compare([named("base", base), near, far]))


def test_a_run_can_not_win_by_failing():
    base = [5, 6, 4, 5, 7, 5, 6, 4, 5, 6, 5, 4]
    picky = [v + 1 + (i % 3) / 2 for i, v in enumerate(base)] + ["refused"] * 6
    (found,) = compare([named("base", [*base, 5, 5, 5, 5, 5, 5]), named("picky", picky)])
    assert found.overall.shown
    assert found.overall.mean == pytest.approx(1.5)
    assert (found.num_only_first, found.num_only_second, found.num_failures_as_low) == (6, 0, 18)
    assert found.mean_failures_as_low == pytest.approx((12 * 1.5 - 6 * 5) / 18)
    assert found.winner is None


def weighed_otherwise():
    """`a` leads by 1 in four categories of 9 pairs, `b` by 1 in one of 80, give or take."""
    categories = ["big"] * 80 + [name for name in ("c", "d", "e", "f") for _ in range(9)]
    steps = [(1 if name == "big" else -1) + ((i % 3) - 1) / 2 for i, name in enumerate(categories)]
    first = named("a", [5.0] * 116, categories=categories)
    return first, named("b", [5 + step for step in steps], categories=categories)


def test_the_verdict_is_of_the_headline_and_there_is_none_where_the_means_disagree():
    (found,) = compare(weighed_otherwise())
    by_category, by_item = found.deciding, found.overall
    assert found.decides == "category_mean"
    assert (by_category.shown, by_item.shown) == (True, True)
    assert by_category.mean == pytest.approx((1 - 4 * 1) / 5, abs=0.02)
    assert by_item.mean == pytest.approx((80 - 36) / 116, abs=0.02)
    assert found.winner is None
    assert found.why_no_winner.startswith("No winner: by category_mean a is ahead, by the item mean b")
    # the variance of a category mean is that of each category's mean, s² / n, over 5², added up
    first, second = weighed_otherwise()
    by_name = {}
    for pair in first.pairs:
        step = second.outcomes[pair.pair_id].value - first.outcomes[pair.pair_id].value
        by_name.setdefault(pair.category, []).append(step)
    variances = [np.var(of_it, ddof=1) / len(of_it) / 25 for of_it in by_name.values()]
    t = stats.t.ppf([0.975, 0.8], 115).sum()
    assert by_category.minimum_detectable_difference == pytest.approx(t * sum(variances) ** 0.5)


def test_an_item_mean_that_is_zero_as_printed_does_not_take_a_win_away():
    """Category means 1.00 apart; item means 0.004 the other way, then 0.02 the other way."""
    categories = ["big"] * 30 + [name for name in ("c", "d", "e", "f") for _ in range(9)]
    for tiny, wins in ((-0.004, True), (-0.02, False)):
        # four categories of 9 at +1.5, give or take; the big one makes up the sum
        small = [1.5 + ((i % 3) - 1) / 2 for i in range(36)]
        big = (tiny * 66 - sum(small)) / 30
        steps = [*[big] * 30, *small]
        first = named("first", [5.0] * 66, categories=categories)
        second = named("second", [5 + step for step in steps], categories=categories)
        (found,) = compare([first, second])
        assert found.overall.mean == pytest.approx(tiny)
        assert found.deciding.mean > 0.5
        assert found.means_disagree is not wins


def test_a_headline_on_a_scale_of_its_own_is_compared_on_it():
    class Points(OneNumber):
        @property
        def headlines(self):
            return (Headline(name="points", scale=(0, 100), levels=(Level(by="category", digits=1),), factor=10),)

    values = [4, 5, 6, 7] * 6
    categories = ["a", "b"] * 12
    (found,) = compare(
        [
            named("x", values, categories=categories, rubric=Points()),
            named("y", [v + 1.23 for v in values], categories=categories, rubric=Points()),
        ]
    )
    assert found.decides == "points"
    assert found.deciding.mean == pytest.approx(12.3)  # not rounded: a difference of rounded means would be 12
    assert found.overall.mean == pytest.approx(1.23)
    assert found.mean_failures_as_low == pytest.approx(12.3)


def test_eleven_runs_can_show_a_difference_of_a_category():
    draw = np.random.default_rng(0)
    categories = [name for name in "abcde" for _ in range(8)]
    runs = [named(f"r{i}", i * 0.8 + draw.normal(1, 0.3, 40).clip(0), categories=categories) for i in range(11)]
    found = compare(runs)
    assert len(found) == 55
    for entry in found:
        assert entry.deciding.num_tests == 55
        assert entry.deciding.smallest_p * 55 <= 0.05 / 20
        assert all(one.num_tests == 5 and one.can_be_shown for one in entry.categories.values())
    assert all(one.shown for one in found[1].categories.values())  # 1.6 apart, 8 sources each: 2 / 2**8 × 5 = 0.039
    assert {one.smallest_p for one in found[1].categories.values()} == {2 / 2**8}


def test_an_interval_that_excludes_zero_where_the_test_does_not_show_it_is_known():
    steps = [0.5 + (i % 5 - 2) * 0.55 for i in range(20)]  # mean 0.5, p about 0.01: enough alone, not in a family of 10
    alone = mean_difference([0.0] * 20, steps, [str(i) for i in range(20)])
    assert corrected([alone])[0].shown
    in_family = corrected([alone] + [dataclasses.replace(alone, p_value=0.9)] * 9)[0]
    assert (in_family.shown, in_family.interval_alone) == (False, True)


def test_differences_that_are_all_equal_claim_no_certainty():
    found = mean_difference([1.0] * 20, [9.0] * 20, [str(i) for i in range(20)])
    assert (found.interval, found.interval_note, found.minimum_detectable_difference) == (None, "all are equal", None)


def test_what_so_few_sources_can_not_show_is_said():
    (found,) = compare([named("a", [1.0] * 5), named("b", [9.0, 8, 9, 8, 7])])
    assert found.overall.p_value == found.overall.smallest_p == 2 / 2**5
    assert (found.overall.can_be_shown, found.overall.minimum_detectable_difference, found.winner) == (
        False,
        None,
        None,
    )
    assert found.overall.interval_note == "too few"
    (found,) = compare([named("a", [1.0] * 7), named("b", [9.0] * 7)])
    assert (found.overall.p_value, found.winner) == (2 / 2**7, "b")


def test_pairs_that_were_asked_otherwise_are_in_no_number():
    first, second = named("a", [5.0] * 9), named("b", [6.0] * 9)
    other = tuple(
        msgspec.structs.replace(pair, instruction="another") if i == 0 else pair for i, pair in enumerate(second.pairs)
    )
    (found,) = compare([first, dataclasses.replace(second, pairs=other)])
    assert (found.num_asked_otherwise, found.overall.num_pairs) == (1, 8)
    (none,) = compare([first, dataclasses.replace(second, pairs=())])
    assert (none.overall.mean, none.overall.num_pairs, none.mean_failures_as_low) == (None, 0, None)


def test_another_rationale_or_reference_is_asked_otherwise():
    first, second = named("a", [5.0] * 9), named("b", [7.0] * 9)
    told = tuple(msgspec.structs.replace(pair, rationale="It must be red.") for pair in second.pairs)
    (found,) = compare([first, dataclasses.replace(second, pairs=told)])
    assert (found.num_asked_otherwise, found.overall.num_pairs, found.winner) == (9, 0, None)
    right = {"reference": Picture(sha256="r")}
    shown = tuple(msgspec.structs.replace(pair, references=right) for pair in second.pairs)
    (found,) = compare([first, dataclasses.replace(second, pairs=shown)])
    assert found.num_asked_otherwise == 9


def test_benchmarks_are_compared_by_content_and_the_model_that_answered_counts():
    first = named("a", [5.0] * 9, settings={"benchmark": "old/place.json"})
    second = named("b", [7.0] * 9, settings={"benchmark": "new/place.json"})
    assert unlike([first, second]) == []
    told = tuple(msgspec.structs.replace(pair, rationale="It must be red.") for pair in second.pairs)
    assert unlike([first, dataclasses.replace(second, pairs=told)]) == ["benchmark"]
    assert unlike([first, dataclasses.replace(second, pairs=second.pairs[1:])]) == ["benchmark"]
    answered = {key: score(key[0], answer("score", 7.0, model="small")) for key in second.scores}
    other = {key: score(key[0], answer("score", 7.0, model="big")) for key in first.scores}
    runs = [dataclasses.replace(first, scores=other), dataclasses.replace(second, scores=answered)]
    assert unlike(runs) == ["model that answered"]


def test_two_judges_of_one_run_are_no_two_runs():
    def judged(name, judge):
        return named(name, [5.0] * 9, settings={"judge": judge, "rubric": "r"})

    a, b = judged("a", "x"), judged("b", "x")
    again = (
        dataclasses.replace(judged("a · y", "y"), root=a.root),
        dataclasses.replace(judged("b · y", "y"), root=b.root),
    )
    assert compare([a, again[0]]) == []
    assert [(c.first, c.second) for c in compare([a, again[0], b, again[1]])] == [("a", "b"), ("a · y", "b · y")]
    assert [(c.first, c.second) for c in compare([a, again[1]])] == [("a", "b · y")]  # no other way
    assert unlike([a, again[1]]) == ["judge"]
    assert unlike([a, b]) == []


def test_the_test_finds_a_difference_that_is_not_there_about_as_rarely_as_it_says():
    # 400 samples of 16 sources with no difference: at 0.05 the count of p <= 0.05 has a mean of 20 and a standard
    # deviation of 4.4, so the upper bound is four of them away
    draw = np.random.default_rng(2)
    names = [str(i // 2) for i in range(32)]
    found = 0
    for _ in range(400):
        first = draw.normal(6, 1, 32)
        second = first + np.repeat(draw.normal(0, 1, 16), 2)
        found += mean_difference(first.tolist(), second.tolist(), names).p_value <= 0.05
    assert found <= 38


def test_the_smallest_difference_is_shown_about_as_often_as_it_says():
    # 250 samples of 24 sources with a true difference of (t(0.975) + t(0.8)) × 1 / √24 = 0.60: it should be shown in
    # 0.8 of them, with a standard deviation of 0.025; the bounds are four of them away
    draw = np.random.default_rng(3)
    names = [str(i) for i in range(24)]
    shown = 0
    for _ in range(250):
        first = draw.normal(6, 1, 24)
        found = mean_difference(first.tolist(), (first + draw.normal(0.60, 1, 24)).tolist(), names)
        shown += found.p_value <= 0.05
    assert 0.70 <= shown / 250 <= 0.90


def test_no_p_value_means_not_shown():
    nothing = Difference(
        mean=3.0, num_pairs=1, num_wins=1, num_ties=0, num_losses=0,
        interval=None, interval_note="too few", p_value=None, smallest_p=None, minimum_detectable_difference=None,
    )  # fmt: skip
    assert not nothing.shown


def test_many_tests_at_once_give_what_each_gives_alone():
    rng = np.random.default_rng(2)
    tables = [plain_table(rng.normal(0.3, 1, num), [str(i) for i in range(num)]) for num in (8, 15, 40, 41)]
    assert sign_tests(tables, 3) == [sign_test(table, 3) for table in tables]
