import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editbench.records import Answer, Edit, Pair, Picture, Score
from editbench.rubrics.headlines import CATEGORY_MEAN, ITEM_MEAN, Headline, Level, compute
from editbench.rubrics.rubric import Question, Reading, Rubric
from editbench.stats.headlines import tabulate
from editbench.stats.intervals import MIN_GROUPS
from editbench.stats.outcomes import FAILED, RunRecords
from editbench.stats.summary import Spent, headline_value, summarize


@dataclass(frozen=True)
class OneNumber(Rubric):
    """One call, one dimension, which is the value."""

    low: float = 0.0
    high: float = 10.0
    version = "one-1"

    @property
    def scale(self):
        return self.low, self.high

    @property
    def dimensions(self):
        return {"score": self.scale}

    @property
    def headlines(self):
        return CATEGORY_MEAN.on(self.scale), ITEM_MEAN.on(self.scale)

    def calls(self, pair):
        return (Question(name="score", parts=(pair.instruction, pair.rationale or ""), gives=("score",)),)

    def read(self, pair, question, reply):
        return Reading(numbers={"score": float(reply)})

    def values(self, pair, readings):
        return {"value": readings.get("score")}


@dataclass(frozen=True)
class TwoCalls(OneNumber):
    """`done` of every pair, `real` of those that ask for light; the value is the least; 1 to 5."""

    low: float = 1.0
    high: float = 5.0
    version = "two-1"

    @property
    def dimensions(self):
        return {"done": self.scale, "real": self.scale}

    def calls(self, pair):
        done = Question(name="done", parts=("?",), gives=("done",))
        real = Question(name="real", parts=("?",), gives=("real",))
        return (done, real) if pair.category == "light" else (done,)

    def values(self, pair, readings):
        numbers = list(readings.values())
        return {"value": None if None in numbers else min(numbers)}


def answer(call, number, repeat=0, **changes):
    """A reply that was read as a number, or failed in the way that is named."""
    if isinstance(number, str):
        return Answer(call=call, repeat=repeat, reply="?", failure=number, detail=f"{call} is {number}", **changes)
    return Answer(call=call, repeat=repeat, reply=str(number), readings={call: number}, **changes)


def score(name, *answers, try_=0):
    """What is stored beside the answers is wrong, so that a number made of it shows."""
    return Score(pair_id=name, try_=try_, value=7.77, answers=answers, key="k", edit_sha256="e")


def an_edit(name, try_=0, **changes):
    return Edit(**({"pair_id": name, "try_": try_, "seed": 0, "key": "k", "image": "x.png", "sha256": "e"} | changes))


def a_run(values, *, groups=None, categories=None, rubric=OneNumber(), **changes) -> RunRecords:
    """A run with one pair for each value: a number, a kind of `FAILED`, `not scored` or `pending`."""
    pairs, edits, scores = [], {}, {}
    for index, value in enumerate(values):
        name = f"p{index}"
        pairs.append(
            Pair(
                pair_id=name,
                category=categories[index] if categories else "physical",
                instruction="i",
                sources=(Picture(sha256=f"s{index}"),),
                source_group=groups[index] if groups else None,
            )
        )
        if value == "pending":
            continue
        edits[name, 0] = an_edit(name)
        if value in ("edit failed", "edit refused"):
            flags = ("refused",) if value == "edit refused" else ()
            edits[name, 0] = an_edit(name, image=None, sha256=None, error="OOM", flags=flags)
        elif value == "missing edit":
            scores[name, 0] = Score(pair_id=name, value=None, failure=value, key="k")
        elif value != "not scored":
            scores[name, 0] = score(name, answer("score", value))
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
        rubric=rubric,
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
    assert summarize(a_run([3.0, "empty"], rubric=OneNumber(1, 5))).overall.mean_failures_as_low == 2.0  # (3 + 1) / 2


def test_no_score_gives_none_and_never_zero_or_nan():
    summary = summarize(a_run(["unreadable"] * 12))
    assert summary.overall.mean is None
    assert [entry.value for entry in summary.headlines] == [None, None]
    assert [entry.value_failures_as_low for entry in summary.headlines] == [0.0, 0.0]
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
    assert run.outcomes["p0"].status in ("out of range", "error")
    assert summarize(run).overall.mean == 5.0


def test_a_score_of_an_earlier_image_waits_to_be_made_again():
    run = a_run([5.0])
    stale = {key: msgspec.structs.replace(one, edit_sha256="another") for key, one in run.scores.items()}
    assert replace(run, scores=stale).outcomes["p0"].status == "not scored"


def test_numbers_come_from_the_answers_and_without_the_rubric_from_the_file():
    assert a_run([5.0]).outcomes["p0"].value == 5.0
    stored = a_run([5.0, "pending", "missing edit"], rubric=None, stored_scale=(1.0, 10.0))
    summary = summarize(stored)
    assert [(entry.name, entry.value) for entry in summary.headlines] == [("category_mean", 7.77), ("item_mean", 7.77)]
    assert summary.overall.mean_failures_as_low == pytest.approx((7.77 + 1) / 2)
    assert summarize(replace(stored, stored_scale=None)).overall.mean_failures_as_low is None


def test_the_category_mean_weighs_categories_alike():
    categories = ["physical"] * 3 + ["causal", "social"]
    summary = summarize(a_run([2.0, 2.0, 2.0, 8.0, "refused"], categories=categories))
    by_category, by_item = summary.headlines
    assert summary.overall.mean == by_item.value == 3.5  # 14 / 4
    assert (by_category.value, by_category.num_scored, by_category.num_pairs) == (5.0, 4, 5)  # (2 + 8) / 2
    assert by_category.value_failures_as_low == pytest.approx((2 + 8 + 0) / 3)
    assert list(summary.categories) == ["physical", "causal", "social"]  # as they appear


def test_categories_stand_in_the_rubric_s_order_with_those_that_have_no_pair():
    class Grouped(OneNumber):
        groups = {"facts": ("social", "physical"), "": ("causal",)}  # noqa: RUF012

    summary = summarize(a_run([2.0, 3.0], categories=["other", "physical"], rubric=Grouped()))
    assert list(summary.categories) == ["social", "physical", "causal", "other"]
    assert summary.category_groups == {"facts": ("social", "physical"), "": ("causal", "other")}
    assert (summary.categories["social"].num_pairs, summary.categories["social"].mean) == (0, None)


def test_a_dimension_is_over_the_pairs_that_were_asked_for_it():
    run = a_run([1.0] * 4, categories=["light", "light", "word", "light"], rubric=TwoCalls())
    scores = {
        ("p0", 0): score("p0", answer("done", 4.0), answer("real", 2.0)),
        ("p1", 0): score("p1", answer("done", 5.0), answer("real", "refused")),
        ("p2", 0): score("p2", answer("done", 3.0)),
    }
    run = replace(run, scores=scores)
    summary = summarize(run)
    done, real = summary.dimensions["done"], summary.dimensions["real"]
    assert (done.mean, done.num_scored, done.num_pairs, done.num_not_scored) == (4.0, 3, 4, 1)  # (4 + 5 + 3) / 3
    assert (real.mean, real.num_scored, real.num_pairs) == (2.0, 1, 3)
    assert real.num_failed["refused"] == 1
    assert real.mean_failures_as_low == 1.5  # (2 + 1) / 2
    assert [run.outcomes[f"p{i}"].value for i in range(4)] == [2.0, None, 3.0, None]  # the least of both
    assert summary.overall.mean_failures_as_low == 2.0  # (2 + 1 + 3) / 3
    assert summary.failures == {"done": {}, "real": {"refused": 1}}
    assert summary.num_replies == {"done": 3, "real": 2}


def test_a_judge_that_says_nine_once_and_refuses_four_times_has_no_mean_of_nine():
    refused = [answer("score", "refused", repeat) for repeat in range(1, 5)]
    run = replace(a_run([1.0]), scores={("p0", 0): score("p0", answer("score", 9.0), *refused)})
    mean = summarize(run).overall
    assert (mean.mean, mean.num_failed["refused"]) == (None, 1)  # 1 of 5 is below half
    assert mean.mean_failures_as_low == pytest.approx(9 / 5)
    half = [
        answer("score", 8.0, 0),
        answer("score", "refused", 1),
        answer("score", 6.0, 2),
        answer("score", "empty", 3),
    ]
    run = replace(a_run([1.0]), scores={("p0", 0): score("p0", *half)})
    mean = summarize(run).overall
    assert (mean.mean, mean.num_partial) == (7.0, 1)
    assert mean.mean_failures_as_low == 3.5  # (8 + 0 + 6 + 0) / 4
    assert summarize(run).dimensions["score"].mean_failures_as_low == 3.5


def test_tries_are_no_further_pairs():
    run = a_run([1.0, 1.0], num_tries=2)
    edits = {(f"p{i}", t): an_edit(f"p{i}", t) for i in range(2) for t in range(2)}
    scores = {
        ("p0", 0): score("p0", answer("score", 4.0)),
        ("p0", 1): score("p0", answer("score", 8.0), try_=1),
        ("p1", 0): score("p1", answer("score", 3.0)),
        ("p1", 1): score("p1", answer("score", "refused"), try_=1),
    }
    summary = summarize(replace(run, edits=edits, scores=scores))
    assert (summary.overall.mean, summary.overall.num_scored, summary.overall.num_pairs) == (4.5, 2, 2)  # (6 + 3) / 2
    assert summary.overall.mean_failures_as_low == 3.75  # (6 + (3 + 0) / 2) / 2
    assert summary.overall.num_partial == 1
    assert summary.tries.spread == pytest.approx(8**0.5)  # of 4 and 8: ((4 - 6)² + (8 - 6)²) / 1 = 8
    assert (summary.tries.best_mean, summary.tries.num_pairs_best, summary.tries.num_pairs_spread) == (5.5, 2, 1)
    assert summary.complete
    del edits["p1", 1], scores["p1", 1]
    assert not summarize(replace(run, edits=edits, scores=scores)).complete


def test_part_of_a_run_is_called_so():
    values = [5.0] * 400 + ["not scored"] * 12 + ["pending"] * 194
    summary = summarize(a_run(values))
    assert summary.state == "part of a run: 412 of 606 edited, 400 scored"
    assert not summary.complete
    assert summarize(a_run([5.0, "refused", "edit failed"])).state == "complete"


def test_fewer_than_twenty_sources_are_too_few_however_many_scores():
    values = [float(v % 10) for v in range(30)]
    mean = summarize(a_run(values, groups=[f"g{i % (MIN_GROUPS - 1)}" for i in range(30)])).overall
    assert (mean.interval, mean.interval_note) == (None, "too few")
    assert (mean.range.low, mean.range.high) == (0.0, 9.0)  # what there is to say of few
    assert summarize(a_run(values[:19])).overall.interval_note == "too few"
    assert summarize(a_run(values)).overall.interval.num_groups == 30


def test_equal_scores_do_not_claim_certainty():
    mean = summarize(a_run([5.0] * 20)).overall
    assert mean.interval is None
    assert mean.interval_note == "all are equal"


def test_the_category_mean_has_an_interval_and_a_lower_bound_of_its_own():
    draw = np.random.default_rng(4)
    categories = ["physical"] * 60 + ["causal"] * 20
    values = [*draw.normal(6, 1, 60).clip(0, 10).tolist(), *draw.normal(3, 1, 19).clip(0, 10).tolist(), "refused"]
    summary = summarize(a_run(values, categories=categories))
    found = summary.headlines[0]
    assert found.interval.low < found.value < found.interval.high
    # the two means are independent, so the variances of their halves add up
    halves = [np.std(values[:60], ddof=1) / 60**0.5 / 2, np.std(values[60:79], ddof=1) / 19**0.5 / 2]
    width = found.interval.high - found.interval.low
    assert width == pytest.approx(2 * 1.96 * (halves[0] ** 2 + halves[1] ** 2) ** 0.5, rel=0.15)
    low = [summary.categories[name].mean_failures_as_low for name in ("physical", "causal")]
    assert found.value_failures_as_low == pytest.approx(sum(low) / 2)


VALUES = st.floats(0, 10).map(lambda value: round(value, 2))
LEVELS = st.lists(
    st.builds(Level, by=st.sampled_from(["category", "language", "kind"]), digits=st.sampled_from([None, 1])),
    max_size=3,
    unique_by=lambda level: level.by,
).map(tuple)


@given(st.lists(st.tuples(VALUES, *[st.sampled_from("abc")] * 4), min_size=1, max_size=20), LEVELS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_draw_of_the_table_is_the_headline_of_the_pairs_that_were_drawn(cells, levels, data):
    rows = [
        (
            Pair(
                pair_id=str(place),
                category=category,
                language=language,
                fields={"kind": kind},
                instruction="i",
                sources=(Picture(sha256=source),),
            ),
            {"value": value},
        )
        for place, (value, category, language, kind, source) in enumerate(cells)
    ]
    headline = Headline(name="h", scale=(0, 10), levels=levels, factor=0.5, offset=-1)
    table = tabulate(headline, rows)
    sources = list(dict.fromkeys(pair.sources_sha256 for pair, _ in rows))
    drawn = [data.draw(st.integers(0, 2)) for _ in sources]
    drawn[0] = max(1, drawn[0])
    again = [row for row in rows for _ in range(drawn[sources.index(row[0].sources_sha256)])]
    # a mean that is half-way between two decimals may be rounded either way
    abs_error = 1e-9 if all(level.digits is None for level in levels) else 0.051
    assert table.value(np.array([drawn]))[0] == pytest.approx(compute(headline, again), abs=abs_error)
    if all(level.digits is None for level in levels):
        assert -0.5 + table.weights() @ table.numbers == pytest.approx(compute(headline, rows))


def test_the_weights_of_a_category_mean_are_one_over_categories_times_pairs():
    run = a_run([1.0, 2.0, 3.0, 4.0], categories=["a", "a", "a", "b"])
    rows = [(pair, run.outcomes[pair.pair_id].row) for pair in run.pairs]
    assert tabulate(CATEGORY_MEAN, rows).weights().tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_a_headline_counts_the_missing_edits_that_the_official_formula_counts():
    class CountsMissing(OneNumber):
        def values_without_edit(self, pair):
            return {"value": 0.0}

    found = headline_value(a_run([6.0, "edit failed", "refused"], rubric=CountsMissing()), ITEM_MEAN)
    assert (found.value, found.num_scored, found.num_pairs, found.num_without_edit) == (3.0, 2, 3, 1)


def test_failures_that_differ_by_category_or_length_of_instruction_are_said():
    categories = ["light"] * 20 + ["word"] * 20
    run = a_run([5.0] * 20 + ["refused"] * 8 + [5.0] * 12, categories=categories)
    (by_category,) = summarize(run).remarks
    assert by_category.startswith("Failures differ by category (word 8 of 20, light 0 of 20)")
    even = a_run(([5.0] * 16 + ["refused"] * 4) * 2, categories=categories)
    assert summarize(even).remarks == ()
    long = tuple(
        msgspec.structs.replace(pair, instruction="i" * (100 if place % 20 >= 16 else 10 + place))
        for place, pair in enumerate(even.pairs)
    )
    (by_length,) = summarize(replace(even, pairs=long)).remarks
    assert "longer instructions" in by_length
    assert "median 100 against 28 characters" in by_length  # of 10 … 25 and 30 … 45: (25 + 30) / 2 = 27.5


def test_a_category_with_one_pair_or_none_is_said():
    class Grouped(OneNumber):
        groups = {"": ("light", "word", "object")}  # noqa: RUF012

    said = summarize(a_run([5.0, 6.0, 7.0], categories=["light", "light", "word"], rubric=Grouped())).remarks
    assert said == ("object has no pair; word has one pair, so the mean is that pair's value.",)


def test_a_judge_and_an_editor_of_one_family_are_said():
    run = a_run([5.0], settings={"editor": "QwenImageEdit (model 'a')", "judge": "QwenVL (model 'b')"})
    assert summarize(run).remarks[0].startswith("Judge and editor are of one family, Qwen: ")
    assert summarize(replace(run, settings={"editor": "Saved ()", "judge": "QwenVL ()"})).remarks == ()


def test_two_models_in_one_file_are_said_on_top():
    run = a_run([5.0, 6.0, 7.0])
    models = ["big", "small", "big"]
    scores = {
        key: score(key[0], answer("score", 5.0, model=model)) for key, model in zip(run.scores, models, strict=True)
    }
    summary = summarize(replace(run, scores=scores))
    assert summary.models == {"big": 2, "small": 1}
    assert summary.remarks[0] == (
        "2 models answered in this file of scores (big 2 times, small 1 times): its mean is of none of them."
    )


def test_time_is_summed_over_all_that_took_time_and_names_its_device():
    run = a_run([5.0, "edit failed", 5.0])
    took = {"p0": 10.0, "p1": 40.0, "p2": 13.0}
    edits = {
        k: msgspec.structs.replace(e, duration_s=took[k[0]], device="cpu", flags=("resized",))
        for k, e in run.edits.items()
    }
    twice = [answer("score", 5.0, repeat, duration_s=0.25) for repeat in range(2)]
    scores = {k: msgspec.structs.replace(score(k[0], *twice), device="NVIDIA H200") for k in run.scores}
    summary = summarize(replace(run, edits=edits, scores=scores))
    assert (summary.editing.median_s, summary.editing.mean_s, summary.editing.unit) == (13.0, 21.0, "CPU-s")
    assert (summary.scoring.mean_s, summary.scoring.unit, summary.scoring.num_timed) == (0.5, "GPU-s", 2)
    spread = {k: msgspec.structs.replace(one, num_gpus=4) for k, one in scores.items()}
    assert summarize(replace(run, scores=spread)).scoring.mean_s == 2.0
    assert summary.flags == {"unchanged": 0, "constant": 0, "resized": 2}  # a failed edit has no image to flag


def test_the_summary_leaves_torch_and_scipy_unimported():
    code = (
        "import sys, editbench.stats.summary, editbench.stats.judge_health; "
        "print([m for m in ('torch', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_category_mean_s_interval_covers_the_true_mean_about_as_often_as_it_says():
    # 120 runs of three categories of 9, 15 and 36 sources with means 2, 5 and 8, two pairs a source. At a true
    # coverage of 0.95 the count has a standard deviation of 0.02: the bounds are four and two of them away
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
        interval = headline_value(run, CATEGORY_MEAN).interval
        hits += interval.low <= 5.0 <= interval.high
    assert 0.87 <= hits / 120 <= 0.99


def test_price_and_usage_of_all_edits_are_added_up_and_what_is_not_known_is_counted():
    counted = {"input_tokens": 10, "details": {"image_tokens": 7}}
    details = [
        {"price": 0.25, "currency": "USD", "usage": counted},
        {"price": None, "currency": "USD"},
        {
            "turns": [{"price": 1.0, "currency": "USD", "usage": counted}, {"price": 0.5, "currency": "USD"}],
            "price": 1.5,
        },
        {},
    ]
    run = a_run([5.0, 6.0, 7.0, 8.0])
    edits = {
        key: msgspec.structs.replace(edit, details=found)
        for (key, edit), found in zip(run.edits.items(), details, strict=True)
    }
    assert summarize(run).spent is None
    assert summarize(replace(run, edits=edits)).spent == Spent(
        prices={"USD": 1.75},
        num_priced=2,
        num_unpriced=1,
        usage={"input_tokens": 20, "details.image_tokens": 14},
        num_used=2,
    )
