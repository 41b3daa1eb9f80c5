from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editbench.report import text
from editbench.report.versus import swapped
from editbench.stats.comparison import compare
from tests.test_summary import a_run, answer, score


def repeated(name, values):
    """A run whose pairs were asked as often as they have values."""
    run = a_run([1.0] * len(values), name=name, root=Path(name))
    answers = [[answer("score", value, repeat) for repeat, value in enumerate(of_pair)] for of_pair in values]
    scores = {(f"p{index}", 0): score(f"p{index}", *of_pair) for index, of_pair in enumerate(answers)}
    return replace(run, scores=scores)


def test_without_repeats_nothing_is_redrawn():
    (found,) = compare([repeated("a", [(5.0,)] * 4), repeated("b", [(6.0,)] * 4)])
    assert found.redrawn is None
    assert "drawn" not in text.verdict(found)


def test_an_order_that_every_reply_gives_never_flips():
    (found,) = compare([repeated("a", [(4.0, 5.0)] * 12), repeated("b", [(6.0, 7.0, 8.0)] * 12)])
    assert (found.redrawn.num_edits, found.redrawn.share_flipped) == (24, 0.0)


def test_the_share_of_draws_with_the_other_sign_in_worked_numbers():
    # one pair; 5 against 2 or 9, mean 5.5: b is ahead, and behind in the half of the draws that give 2
    (found,) = compare([repeated("a", [(5.0,)]), repeated("b", [(2.0, 9.0)])])
    assert found.deciding.mean == 0.5
    assert found.redrawn.num_edits == 1
    assert found.redrawn.share_flipped == pytest.approx(0.5, abs=0.05)
    # 5 against 5 or 9: half of the draws are ties, of which half count
    (tied,) = compare([repeated("a", [(5.0,)]), repeated("b", [(5.0, 9.0)])])
    assert tied.redrawn.share_flipped == pytest.approx(0.25, abs=0.05)
    assert f"the other way in {100 * tied.redrawn.share_flipped:.1f} % of the draws" in text.verdict(tied)
    assert swapped(tied).redrawn == tied.redrawn


def test_a_repeat_that_failed_is_not_drawn():
    (found,) = compare([repeated("a", [(5.0, 5.0)]), repeated("b", [("refused", 6.0, 7.0)])])
    assert (found.redrawn.num_edits, found.redrawn.share_flipped) == (2, 0.0)


@given(st.lists(st.lists(st.integers(0, 10), min_size=1, max_size=3), min_size=1, max_size=6))
@settings(deadline=None, max_examples=30)
def test_the_share_is_a_share_and_the_same_whichever_run_comes_first(values):
    a, b = repeated("a", [(5.0, 7.0)] * len(values)), repeated("b", values)
    (one,), (other,) = compare([a, b]), compare([b, a])
    assert (one.redrawn is None) == (other.redrawn is None)
    if one.redrawn is not None:
        assert 0 <= one.redrawn.share_flipped <= 1
        assert one.redrawn.share_flipped == pytest.approx(other.redrawn.share_flipped)
