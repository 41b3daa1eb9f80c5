import numpy as np
import pytest

from editbench.stats.headlines import plain_table
from editbench.stats.intervals import MIN_GROUPS, bootstrap_interval, mean_interval, standard_error


def error(values, names):
    return standard_error(plain_table(values, names))


def test_values_of_one_source_are_added_up():
    table = plain_table([1.0, 2.0, 4.0], ["a", "b", "a"])
    assert table.sums.tolist() == [[5.0], [2.0]]
    assert table.sizes.tolist() == [[2.0], [1.0]]
    assert table.value(np.ones((1, 2))) == pytest.approx([7 / 3])


def test_the_interval_of_efron_s_law_school_means():
    # the 15 LSAT scores of Efron & Tibshirani (1993), table 3.1: mean 600.27, standard error of the mean
    # (plug-in) 10.43, so a 95 % interval is about 600.27 ± 1.96 × 10.43 = 579.8 to 620.7
    lsat = [576.0, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594]
    names = [str(i) for i in range(15)]
    found = mean_interval(lsat, names)
    assert found.method == "BCa"
    assert found.low == pytest.approx(579.8, abs=2.5)
    assert found.high == pytest.approx(620.7, abs=2.5)
    assert found == mean_interval(lsat, names)  # seeded
    # s / √n with the divisor n - 1: 41.795 / √15
    assert error(lsat, names) == pytest.approx(10.791, abs=0.001)


def test_copies_of_a_source_do_not_narrow_the_interval():
    values = [float(v) for v in (1, 9, 4, 6, 3, 8, 2, 7, 5, 6)]
    names = [str(i) for i in range(10)]
    once, thrice = mean_interval(values, names), mean_interval(values * 3, names * 3)
    assert thrice.low == pytest.approx(once.low)
    assert thrice.high == pytest.approx(once.high)
    assert error(values * 3, names * 3) == pytest.approx(error(values, names))


def test_a_skewed_sample_has_a_skewed_interval():
    values = [0.0] * 24 + [9.0, 10.0, 10.0]
    found = mean_interval(values, [str(i) for i in range(27)])
    mean = sum(values) / 27
    assert found.high - mean > 1.2 * (mean - found.low)


def test_very_many_sources_are_drawn_in_blocks_of_the_same_spread():
    # 95 % of a normal mean is ± 1.96 standard errors; 2,000 blocks tell the width to 1.6 %, 9,999 draws to 1.5 %
    draw = np.random.default_rng(2)
    sources = draw.normal(6, 1, 20_000)
    values = (np.repeat(sources, 2) + draw.normal(0, 1, 40_000)).tolist()
    names = [str(i // 2) for i in range(40_000)]
    found = mean_interval(values, names)
    se = error(values, names)
    assert found.num_groups == 20_000
    assert (found.low + found.high) / 2 == pytest.approx(np.mean(values), abs=0.2 * se)
    assert found.high - found.low == pytest.approx(2 * 1.96 * se, rel=0.08)


def test_blocks_keep_the_sums_and_few_rows_stay_as_they_are():
    table = plain_table(np.arange(5_001.0), [str(i) for i in range(5_001)])
    blocks = table.in_blocks(2_000)
    assert blocks.sums.shape == blocks.sizes.shape == (2_000, 1)
    assert (blocks.sums.sum(), blocks.sizes.sum()) == (table.sums.sum(), 5_001)
    assert set(blocks.sizes.ravel()) == {2, 3}
    assert table.in_blocks(5_001) is table


def test_too_few_sources_or_equal_values_give_none():
    names = [str(i) for i in range(MIN_GROUPS)]
    assert mean_interval([1.0, 2.0] * 3, names[:6]) is None
    assert mean_interval([5.0] * MIN_GROUPS, names) is None
    assert mean_interval([], []) is None
    assert error([1.0, 2.0], ["a", "a"]) is None


def test_a_statistic_that_some_draws_leave_undefined_has_no_interval():
    def undefined(x, axis=-1):
        return np.where(x.min(axis=axis) > 0, np.nan, x.mean(axis=axis))

    assert bootstrap_interval((np.arange(10.0),), undefined, num_resamples=200) is None


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    # 300 samples of 20 sources with 3 correlated scores each. At a true coverage of 0.93 the count has a standard
    # deviation of 0.015, so the bounds are four and three of them away: a false alarm in about 1,000 code changes.
    draw = np.random.default_rng(1)
    names = [str(i // 3) for i in range(60)]
    hits = 0
    for _ in range(300):
        values = 6 + np.repeat(draw.normal(0, 1, 20), 3) + draw.normal(0, 1, 60)
        found = mean_interval(values.tolist(), names)
        hits += found.low <= 6 <= found.high
    assert 0.87 <= hits / 300 <= 0.975
