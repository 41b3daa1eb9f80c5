import math

import numpy as np
import pytest
from scipy import stats

from editbench.records import Pair, Picture
from editbench.rubrics.headlines import CATEGORY_MEAN
from editbench.stats.headlines import plain_table, tabulate
from editbench.stats.intervals import (
    MIN_GROUPS,
    degrees_of_freedom,
    mean_interval,
    standard_error,
    table_interval,
)


def error(values, names):
    return standard_error(plain_table(values, names))


def made_pair(source, category):
    return Pair(pair_id=f"{source} {category}", category=category, instruction="", sources=(Picture(sha256=source),))


def test_values_of_one_source_are_added_up():
    table = plain_table([1.0, 2.0, 4.0], ["a", "b", "a"])
    assert table.sums.tolist() == [[5.0], [2.0]]
    assert table.sizes.tolist() == [[2.0], [1.0]]
    assert table.value(np.ones((1, 2))) == pytest.approx([7 / 3])


def interval(values, names, scale=(-math.inf, math.inf)):
    found, note = mean_interval(values, names, scale)
    assert (found is None) != (note is None)
    return found


def test_the_interval_of_even_scores_is_near_student_s():
    # a normal sample by its quantiles: mean 6, and t(0.975, 29) = 2.045 standard errors either way
    values = [6 + stats.norm.ppf((i + 0.5) / 30) for i in range(30)]
    names = [str(i) for i in range(30)]
    found, se = interval(values, names), error(values, names)
    assert found.method == "studentised"
    assert found.low == pytest.approx(6 - 2.045 * se, abs=0.1 * se)
    assert found.high == pytest.approx(6 + 2.045 * se, abs=0.1 * se)
    assert found == interval(values, names)  # seeded
    assert se == pytest.approx(np.std(values, ddof=1) / 30**0.5)  # s / √n


def test_copies_of_a_source_do_not_narrow_the_interval():
    values = [float((7 * v) % 10) for v in range(20)]
    names = [str(i) for i in range(20)]
    once, thrice = interval(values, names), interval(values * 3, names * 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert error(values * 3, names * 3) == pytest.approx(error(values, names))


def test_a_skewed_sample_has_a_skewed_interval_within_the_scale():
    values = [0.0] * 24 + [9.0, 10.0, 10.0]
    found = interval(values, [str(i) for i in range(27)], (0.0, 10.0))
    mean = sum(values) / 27
    assert found.high - mean > 1.2 * (mean - found.low)
    assert found.low >= 0


def test_sources_of_very_unequal_sizes_widen_the_interval_or_have_none():
    names = [str(i) for i in range(20)]
    of_source = {name: 5 + stats.norm.ppf((i + 0.5) / 20) for i, name in enumerate(names)}
    order = ["9", "10", *(name for name in names if name not in ("9", "10"))]
    uneven = [name for place, name in enumerate(order) for _ in range(12 if place < 2 else 3)]
    # sizes 12 12 3 … 3: Kish's (24 + 54)² / (288 + 162) = 13.52, so 12.52 degrees of freedom for 19
    table = plain_table([of_source[name] for name in uneven], uneven)
    assert degrees_of_freedom(table) == pytest.approx((12.52, 19))
    most = ["0"] * 400 + names[1:]
    assert mean_interval([of_source[name] for name in most], most) == (None, "a few sources have nearly all pairs")


def test_very_many_sources_are_drawn_in_blocks_of_the_same_spread():
    # 95 % of a normal mean is ± 1.96 standard errors; 2,000 blocks tell the width to 1.6 %, 9,999 draws to 1.5 %
    draw = np.random.default_rng(2)
    sources = draw.normal(6, 1, 20_000)
    values = (np.repeat(sources, 2) + draw.normal(0, 1, 40_000)).tolist()
    names = [str(i // 2) for i in range(40_000)]
    found = interval(values, names)
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
    assert mean_interval([1.0, 2.0] * 9, names[:18]) == (None, "too few")
    assert mean_interval([5.0] * MIN_GROUPS, names) == (None, "all are equal")
    assert mean_interval([], []) == (None, "too few")
    assert error([1.0, 2.0], ["a", "a"]) is None


@pytest.mark.parametrize(
    ("draw", "true"),
    [
        (lambda rng: 6 + np.repeat(rng.normal(0, 1, 20), 3) + rng.normal(0, 1, 60), 6.0),  # three pairs a source
        (lambda rng: np.repeat(rng.exponential(2, 20), 3), 2.0),  # skewed
        (lambda rng: np.repeat(np.where(rng.random(20) < 0.85, 10.0, rng.integers(0, 10, 20)), 3), 9.175),  # near 10
    ],
)
def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(draw, true):
    # 300 samples of 20 sources. At a true coverage of 0.95 the share has a standard deviation of 0.0126, so the bounds
    # are four and three of them away; bench/coverage.md has more shapes and more samples
    rng = np.random.default_rng(1)
    names = [str(i // 3) for i in range(60)]
    hits = num = 0
    for _ in range(300):
        found, _ = table_interval(plain_table(draw(rng), names), num_resamples=499)
        if found is not None:  # all 20 are 10 now and then
            num += 1
            hits += found.low <= true <= found.high
    assert num > 270
    assert 0.90 <= hits / num <= 0.99


@pytest.mark.parametrize("shared", [False, True])
def test_the_variance_of_a_draw_is_the_sum_of_the_sources_squared_residuals(shared):
    # two categories, each source in one or in both; the residuals are written out source by source
    rng = np.random.default_rng(1)
    rows = [
        (made_pair(f"s{number}", category), {"value": float(7 + rng.normal())})
        for number in range(12)
        for category in (("a", "b") if shared else ("ab"[number % 2],))
    ]
    table = tabulate(CATEGORY_MEAN, rows)
    drawn = rng.integers(0, 4, (5, 12)).astype(np.float32)
    _, variances = table.value_and_variance(drawn)
    for draw, variance in zip(drawn.astype(float), variances, strict=True):
        sizes = draw @ table.sizes
        means = draw @ table.sums / sizes
        residuals = ((table.sums - means * table.sizes) / sizes / 2 * table.spread_factor).sum(axis=1)
        assert variance == pytest.approx((draw * residuals**2).sum(), rel=1e-4)
