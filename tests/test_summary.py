import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editbench.records import CATEGORIES, FAILURES, Edit, Pair, Score
from editbench.stats.intervals import MIN_GROUPS
from editbench.stats.summary import FAILED, RunRecords, outcome, summarize


def a_run(values, *, groups=None, categories=None, **changes) -> RunRecords:
    """A run with one pair for each value: a number, a kind of `FAILED`, `not scored` or `pending`."""
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
        broken = value in ("edit failed", "edit refused")
        edits[name] = Edit(
            pair_id=name,
            seed=0,
            key="k",
            image=None if broken else "x.png",
            sha256="e",
            error="OOM" if broken else None,
            flags=("refused",) if value == "edit refused" else (),
        )
        if isinstance(value, float):
            scores[name] = Score(pair_id=name, value=value, key="k", edit_sha256="e")
        elif value in FAILURES:
            scores[name] = Score(pair_id=name, value=None, failure=value, key="k", edit_sha256="e")
    run = RunRecords(
        name="r",
        run="r",
        score_file="judge",
        root=Path("r"),
        pairs=tuple(pairs),
        sources={},
        edits=edits,
        scores=scores,
        settings={},
    )
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


def test_the_category_mean_has_an_interval_and_a_lower_bound_of_its_own():
    draw = np.random.default_rng(4)
    categories = ["physical"] * 30 + ["causal"] * 10
    values = [*draw.normal(6, 1, 30).clip(0, 10).tolist(), *draw.normal(3, 1, 9).clip(0, 10).tolist(), "refused"]
    summary = summarize(a_run(values, categories=categories))
    assert summary.category_interval.low < summary.category_mean < summary.category_interval.high
    # the two means are independent, so the variances of their halves add up: close to BCa at such sizes
    halves = [np.std(values[:30], ddof=1) / 30**0.5 / 2, np.std(values[30:39], ddof=1) / 9**0.5 / 2]
    width = summary.category_interval.high - summary.category_interval.low
    assert width == pytest.approx(2 * 1.96 * (halves[0] ** 2 + halves[1] ** 2) ** 0.5, rel=0.15)
    low = [summary.categories[name].mean_failures_as_low for name in ("physical", "causal")]
    assert summary.category_mean_failures_as_low == pytest.approx(sum(low) / 2)
    few = summarize(a_run(values[:34], categories=categories[:34]))
    assert (few.category_interval, few.category_interval_note) == (None, "too few")


def test_time_is_summed_over_all_that_took_time_and_names_its_device():
    run = a_run([5.0, "edit failed", 5.0])
    took = {"p0": 10.0, "p1": 40.0, "p2": 13.0}
    edits = {k: replace(e, duration_s=took[k], device="cpu", flags=("resized",)) for k, e in run.edits.items()}
    scores = {k: replace(s, duration_s=0.5, device="NVIDIA H200") for k, s in run.scores.items()}
    summary = summarize(replace(run, edits=edits, scores=scores))
    assert (summary.editing.median_s, summary.editing.mean_s, summary.editing.unit) == (13.0, 21.0, "CPU-s")
    assert (summary.scoring.mean_s, summary.scoring.unit, summary.scoring.num_timed) == (0.5, "GPU-s", 2)
    assert summary.flags == {"unchanged": 0, "constant": 0, "resized": 2}  # a failed edit has no image to flag


def test_the_summary_leaves_torch_unimported():
    code = (
        "import sys, editbench.report; print([m for m in ('torch', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_category_mean_s_interval_covers_the_true_mean_about_as_often_as_it_says():
    # 120 runs of three categories of 9, 15 and 36 sources with means 2, 5 and 8, two pairs a source. At a true
    # coverage of 0.92 the count has a standard deviation of 0.025: the bounds are four and two of them away
    draw = np.random.default_rng(4)
    sizes = {"physical": 9, "social": 15, "causal": 36}
    names = [name for name, num in sizes.items() for _ in range(2 * num)]
    groups = [f"s{index // 2}" for index in range(len(names))]
    true = {"physical": 2.0, "social": 5.0, "causal": 8.0}
    hits = 0
    for _ in range(120):
        of_source = np.repeat(draw.normal(0, 0.6, len(names) // 2), 2)
        values = [true[name] + shift + draw.normal(0, 0.4) for name, shift in zip(names, of_source, strict=True)]
        run = a_run(np.clip(values, 0, 10).tolist(), groups=groups, categories=names)
        interval = summarize(run).category_interval
        hits += interval.low <= 5.0 <= interval.high
    assert 0.82 <= hits / 120 <= 0.975
