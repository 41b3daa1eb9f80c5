import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editbench.records import CATEGORIES, FAILURES, Edit, Pair, Score
from editbench.summary import FAILED, MIN_GROUPS, RunRecords, mean_interval, outcome, summarize


def a_run(values, *, groups=None, categories=None, **changes) -> RunRecords:
    """A run with one pair for each value: a number, a kind of failure, `edit failed`, `not scored` or `pending`."""
    pairs, edits, scores = [], {}, {}
    for index, value in enumerate(values):
        name = f"p{index}"
        category = categories[index] if categories else "physical"
        group = groups[index] if groups else None
        pairs.append(
            Pair(pair_id=name, category=category, instruction="i", source_sha256=f"s{index}", source_group=group)
        )
        if value == "pending":
            continue
        broken = value == "edit failed"
        edits[name] = Edit(
            pair_id=name,
            seed=0,
            key="k",
            image=None if broken else "x.png",
            sha256="e",
            error="OOM" if broken else None,
        )
        if isinstance(value, float):
            scores[name] = Score(pair_id=name, value=value, key="k", edit_sha256="e")
        elif value in FAILURES:
            scores[name] = Score(pair_id=name, value=None, failure=value, key="k", edit_sha256="e")
    run = RunRecords(name="r", root=Path("r"), pairs=tuple(pairs), sources={}, edits=edits, scores=scores, settings={})
    return replace(run, **changes)


ENDS = st.one_of(st.floats(0, 10), st.sampled_from([*FAILED, "not scored", "pending"]))


def test_a_mean_is_over_the_scored_and_the_lower_bound_over_the_failed_too():
    mean = summarize(a_run([4.0, 8.0, "refused", "edit failed", "pending", "not scored"])).overall
    assert mean.mean == 6.0  # (4 + 8) / 2
    assert mean.mean_failures_as_low == 3.0  # (4 + 8 + 0 + 0) / 4: who waits is in neither
    assert (mean.num_scored, mean.num_pairs, mean.num_edited, mean.total_failed) == (2, 6, 4, 2)
    assert (mean.num_not_scored, mean.num_pending) == (1, 1)
    assert mean.num_failed["refused"] == mean.num_failed["edit failed"] == 1


def test_the_lower_bound_counts_failures_at_the_bottom_of_the_run_s_own_scale():
    assert summarize(a_run([3.0, "empty"], scale=(1.0, 5.0))).overall.mean_failures_as_low == 2.0  # (3 + 1) / 2


def test_no_score_gives_none_and_never_zero_or_nan():
    summary = summarize(a_run(["unreadable"] * 12))
    assert summary.overall.mean is None
    assert summary.category_mean is None
    assert summary.overall.mean_failures_as_low == 0.0
    assert summarize(a_run([])).overall.mean_failures_as_low is None


@given(st.lists(ENDS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_pair_is_counted_once(values):
    mean = summarize(a_run(values)).overall
    counted = mean.num_scored + mean.total_failed + mean.num_not_scored + mean.num_pending
    assert counted == mean.num_pairs == len(values)
    assert set(mean.num_failed) == set(FAILED)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=12), st.sampled_from(FAILED), st.data())
@settings(max_examples=60, deadline=None)
def test_refusing_cannot_raise_the_lower_bound(values, kind, data):
    before = summarize(a_run(values)).overall.mean_failures_as_low
    values[data.draw(st.integers(0, len(values) - 1))] = kind
    after = summarize(a_run(values)).overall
    assert after.mean_failures_as_low <= before + 1e-12
    assert after.num_scored == len(values) - 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.001, 10.001])
def test_a_value_off_the_scale_is_no_score(value):
    run = a_run([value, 5.0])
    assert outcome(run, "p0").status == "out of range"
    assert summarize(run).overall.mean == 5.0


def test_a_score_of_an_earlier_image_waits_to_be_made_again():
    run = a_run([5.0])
    stale = {"p0": replace(run.scores["p0"], edit_sha256="another")}
    assert outcome(replace(run, scores=stale), "p0").status == "not scored"


def test_the_category_mean_weighs_categories_alike():
    categories = ["physical"] * 3 + ["causal", "social"]
    summary = summarize(a_run([2.0, 2.0, 2.0, 8.0, "refused"], categories=categories))
    assert summary.overall.mean == 3.5  # 14 / 4
    assert summary.category_mean == 5.0  # (2 + 8) / 2
    assert (summary.num_categories_scored, summary.num_categories) == (2, 3)
    assert list(summary.categories) == list(CATEGORIES)
    assert summary.categories["referential"].num_pairs == 0


def test_part_of_a_run_is_called_so():
    values = [5.0] * 400 + ["not scored"] * 12 + ["pending"] * 194
    summary = summarize(a_run(values))
    assert summary.state == "part of a run: 412 of 606 edited, 400 scored"
    assert not summary.complete
    assert summarize(a_run([5.0, "refused", "edit failed"])).state == "complete"


def test_fewer_than_eight_sources_are_too_few_however_many_scores():
    values = [float(v) for v in range(10)]
    mean = summarize(a_run(values, groups=[f"g{i % (MIN_GROUPS - 1)}" for i in range(10)])).overall
    assert mean.interval is None
    assert mean.interval_note == "too few"
    assert summarize(a_run(values[:7])).overall.interval_note == "too few"
    assert summarize(a_run(values)).overall.interval.num_groups == 10


def test_equal_scores_do_not_claim_certainty():
    mean = summarize(a_run([5.0] * 20)).overall
    assert mean.interval is None
    assert mean.interval_note == "all scores are equal"


def test_the_interval_of_efron_s_law_school_means():
    # the 15 LSAT scores of Efron & Tibshirani (1993), table 3.1: mean 600.27, standard error of the mean
    # (plug-in) 10.43, so a 95 % interval is about 600.27 ± 1.96 × 10.43 = 579.8 to 620.7
    lsat = [576.0, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594]
    found = mean_interval(lsat, [str(i) for i in range(15)])
    assert found.method == "BCa"
    assert found.low == pytest.approx(579.8, abs=2.5)
    assert found.high == pytest.approx(620.7, abs=2.5)
    assert found == mean_interval(lsat, [str(i) for i in range(15)])  # seeded


def test_copies_of_a_source_do_not_narrow_the_interval():
    values = [float(v) for v in (1, 9, 4, 6, 3, 8, 2, 7, 5, 6)]
    names = [str(i) for i in range(10)]
    once, thrice = mean_interval(values, names), mean_interval(values * 3, names * 3)
    assert thrice.low == pytest.approx(once.low)
    assert thrice.high == pytest.approx(once.high)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    # 300 samples of 20 sources with 3 correlated scores each. At a true coverage of 0.93 the count has a standard
    # deviation of 0.015, so the bounds are four and three of them away: a false alarm in about 1,000 code changes.
    draw = np.random.default_rng(1)
    names = [str(i // 3) for i in range(60)]
    hits = 0
    for _ in range(300):
        values = 6 + np.repeat(draw.normal(0, 1, 20), 3) + draw.normal(0, 1, 60)
        found = mean_interval(values.tolist(), names, num_resamples=999)
        hits += found.low <= 6 <= found.high
    assert 0.87 <= hits / 300 <= 0.975


def test_time_is_summed_over_all_that_took_time_and_names_its_device():
    run = a_run([5.0, "edit failed", 5.0])
    took = {"p0": 10.0, "p1": 40.0, "p2": 13.0}
    edits = {k: replace(e, duration_s=took[k], device="cpu", flags=("resized",)) for k, e in run.edits.items()}
    scores = {k: replace(s, duration_s=0.5, device="NVIDIA H200") for k, s in run.scores.items()}
    summary = summarize(replace(run, edits=edits, scores=scores))
    assert (summary.editing.median_s, summary.editing.mean_s, summary.editing.unit) == (13.0, 21.0, "CPU-s")
    assert (summary.scoring.mean_s, summary.scoring.unit, summary.scoring.num_timed) == (0.5, "GPU-s", 2)
    assert summary.flags == {"unchanged": 0, "constant": 0, "resized": 3}


def test_the_summary_leaves_torch_unimported():
    code = (
        "import sys, editbench.report; print([m for m in ('torch', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
