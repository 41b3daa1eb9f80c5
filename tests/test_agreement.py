import contextlib
import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Recorded
from editbench.process.console import console
from editbench.process.world import World
from editbench.rubrics import Brief
from editbench.stages.agreement import main, measure, tables
from editbench.stages.edit import edit
from editbench.stages.score import score
from editbench.stats import agreement
from editbench.stats.agreement import with_preferences, with_scores
from editbench.stats.comparison import unlike
from editbench.stats.correlation import agree, estimate, in_order, spearman, two_judges
from editbench.stats.human_ratings import Preference, Rating, _read, read_ratings
from tests.test_comparison import named

NAMES = [str(i) for i in range(10)]


def test_ranks_in_worked_numbers():
    # 2 and 3 are swapped, 4 and 5 too: d² = 4 × 1, so rho = 1 - 6 × 4 / (5 × 24) = 0.8; 8 of 10 pairs in order
    found = agree([1, 3, 2, 5, 4], [1, 2, 3, 4, 5], NAMES[:5])
    assert found.spearman.value == pytest.approx(0.8)
    assert found.kendall.value == pytest.approx(0.6)  # (8 - 2) / 10
    assert found.pairwise.value == pytest.approx(0.8)
    assert (found.num_items, found.num_ordered) == (5, 10)
    assert found.spearman.interval_note == "too few"


def test_the_tie_rule_in_worked_numbers():
    # people: 1 1 2 3, so 5 pairs in an order; the judge: 4 5 5 6 has 0-2 0-3 1-3 2-3 right and ties 1-2: 4.5 of 5
    assert in_order(np.array([4.0, 5, 5, 6]), np.array([1.0, 1, 2, 3])) == pytest.approx(0.9)
    found = agree([5.0] * 4, [1.0, 1, 2, 3], NAMES[:4])
    assert found.pairwise.value == 0.5  # who gives everything one number is at chance, not above
    assert (found.spearman.value, found.spearman.interval_note) == (None, "not defined")


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
@settings(max_examples=50, deadline=None)
def test_pairs_in_order_are_somers_d(rows):
    values, people = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = in_order(values, people)
    if len(set(people)) == 1:
        assert np.isnan(found)
    elif len(set(values)) > 1:  # scipy's D is NaN there
        assert found == pytest.approx((1 + stats.somersd(people, values).statistic) / 2)


def test_the_interval_of_a_rank_correlation_covers_the_truth():
    # 30 samples of 40 pairs from a normal with correlation 0.6, whose Spearman is 6 / π × asin(0.3) = 0.582: at a true
    # coverage of 0.92 the count has a standard deviation of 0.05; the bound is four of them away
    draw = np.random.default_rng(5)
    names = [str(i) for i in range(40)]
    hits = 0
    for _ in range(30):
        a, b = draw.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 40).T
        interval = agree_spearman(a, b, names)
        hits += interval.low <= 0.582 <= interval.high
    assert hits / 30 >= 0.72


def agree_spearman(a, b, names):
    return estimate(lambda at: spearman(a[at], b[at]), names).interval


def rating(pair_id, value, rater="", run="a"):
    return Rating(pair_id=pair_id, run=run, rater=rater, value=value)


def preference(pair_id, winner, loser, rater="", sign=1):
    """`winner` is better than `loser`; with `sign` 0 neither is."""
    return Preference(pair_id=pair_id, first=loser, second=winner, rater=rater, sign=sign)


def values(part):
    return {one.name: (one.judge.value, one.judge_with_others, one.person_with_others) for one in part.measures}


def test_a_judge_and_a_person_are_compared_with_the_same_others():
    run = named("a", [float(i) for i in range(10)])
    ratings = [rating(f"p{i}", float(i + (i % 2)), rater) for rater in ("ann", "bo") for i in range(10)]
    found = with_scores({"a": run}, [*ratings, rating("p99", 3.0, "ann")])
    assert (found.num_rated, found.num_raters, found.num_left_out) == (10, 2, 1)
    ranks, _, pairs = found.pooled.measures
    assert ranks.person_with_others.value == pytest.approx(1.0)  # the two say the same
    # people's values 0 2 2 4 4 6 6 8 8 10 tie four of the 45 pairs; the judge has all others right
    assert pairs.judge.value == pairs.judge_with_others.value == 1.0
    assert found.num_ties == 4
    assert ranks.judge.value == ranks.judge_with_others.value < 1
    alone = with_scores({"a": run}, [rating(f"p{i}", float(i)) for i in range(10)])
    assert (alone.pooled.measures[0].person_with_others, alone.system, alone.by_run) == (None, None, ())


def test_a_noisy_person_is_no_ceiling_for_a_judge_that_is_compared_with_a_mean():
    # each person is truth + noise of the same spread; the judge is the truth. Compared with the mean of all three the
    # judge looks better than a person compared with two: with the same others both face the same noise
    draw = np.random.default_rng(0)
    truth = np.round(draw.uniform(0, 10, 60), 3)
    run = named("a", truth)
    ratings = [
        rating(f"p{i}", float(truth[i] + draw.normal(0, 4)), rater) for rater in ("ann", "bo", "cy") for i in range(60)
    ]
    ranks = with_scores({"a": run}, ratings).pooled.measures[0]
    assert ranks.person_with_others.value < ranks.judge_with_others.value < ranks.judge.value


def three_runs():
    """The judge's item order is right within each run, its order of the runs is not."""
    runs = {
        "a": named("a", [1.0, 2, 3, 4, 5, 6]),
        "b": named("b", [2.0, 3, 4, 5, 6, 7]),
        "c": named("c", [3.0, 4, 5, 6, 7, 8]),
    }
    level = {"a": 20, "b": 10, "c": 0}
    return runs, [rating(f"p{i}", float(i + level[run]), run=run) for run in runs for i in range(6)]


def test_a_judge_that_is_right_within_each_run_can_rank_the_runs_the_wrong_way():
    runs, ratings = three_runs()
    found = with_scores(runs, ratings)
    assert [part.measures[0].judge.value for part in found.by_run] == pytest.approx([1, 1, 1])
    assert [one.run for one in found.system.standings] == ["a", "b", "c"]
    assert [(one.judge, one.people) for one in found.system.standings] == [(3.5, 22.5), (4.5, 12.5), (5.5, 2.5)]
    assert values(found.system)["Spearman"][0] == -1
    assert (found.within.num_items, found.within.measures[0].judge.value) == (18, 0.0)  # 6 pairs × 3 pairs of runs
    assert found.pooled.measures[0].judge.value < 0


def test_the_average_over_runs_is_of_fisher_s_z():
    runs = {"a": named("a", [1.0, 3, 2, 5, 4]), "b": named("b", [1.0, 2, 3, 5, 4])}
    found = with_scores(runs, [rating(f"p{i}", float(i), run=run) for run in runs for i in range(5)])
    # ρ = 0.8 and 0.9: their mean is 0.85, tanh((1.0986 + 1.4722) / 2) = tanh(1.2854) = 0.8580
    spearman_average = found.averages[0]
    assert (spearman_average.name, spearman_average.num_runs) == ("Spearman", 2)
    assert spearman_average.mean == pytest.approx(0.85)
    assert spearman_average.fisher == pytest.approx(0.8580, abs=1e-4)


def test_calibration_and_the_corrected_mean_in_worked_numbers():
    # people say half of what the judge says, plus 1, on a scale of 1 to 5: (x / 2 - 1 ... ) mapped to 0 to 10
    judge = [2.0, 4, 6, 8] * 10
    run = named("a", judge)
    ratings = [rating(f"p{i}", 1 + 4 * (1 + judge[i] / 2) / 10) for i in range(24)]
    found = with_scores({"a": run}, ratings, scale=(1.0, 5.0))
    # judge less people: x - (1 + x / 2) = x / 2 - 1: 0 1 2 3, mean 1.5; people's units a point: 1 / 2
    assert found.calibration.bias.value == pytest.approx(1.5)
    assert found.calibration.slope == pytest.approx(0.5)
    assert [(one.judge, one.people, one.num_items) for one in found.calibration.bins] == [
        (pytest.approx(x), pytest.approx(1 + x / 2), 6) for x in (2, 4, 6, 8)
    ]
    (corrected,) = found.corrected
    assert (corrected.mean, corrected.corrected) == (pytest.approx(5.0), pytest.approx(3.5))
    # s² of 2 4 6 8 ten times is 5 × 40 / 39, over 40; of 0 1 2 3 six times 1.25 × 24 / 23, over 24
    se = (5 / 39 + 1.25 / 23) ** 0.5
    freedom = se**4 / ((5 / 39) ** 2 / 39 + (1.25 / 23) ** 2 / 23)
    assert corrected.interval.high - 3.5 == pytest.approx(stats.t.ppf(0.975, freedom) * se)
    assert with_scores({"a": run}, ratings).corrected == ()  # people's scale is not known


def test_the_corrected_interval_covers_the_truth_and_the_judge_s_own_mean_does_not():
    # 100 samples of 100 edits, 30 of them rated; the judge is 1 too high. At 0.95 the share strays by 0.022
    draw = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        truth = draw.normal(5, 1, 100).clip(0, 9)
        judge = (truth + 1 + draw.normal(0, 0.7, 100)).clip(0, 10)
        run = named("a", judge)
        ratings = [rating(f"p{i}", float(truth[i])) for i in range(30)]
        items, _ = agreement._items({"a": run}, ratings)
        people = agreement._mapped(items, (0, 10), (0, 10))
        interval = agreement._corrected(run, "a", items, people).interval
        hits += interval.low <= 5 <= interval.high
    assert hits / 100 >= 0.87


def test_preferences_in_worked_numbers():
    runs = {"a": named("a", [5.0] * 8), "b": named("b", [6.0, 6.0, 6.0, 6.0, 6.0, 4.0, 4.0, 5.0])}
    # right on p0 to p4 (5), wrong on p5 (people say b), right on p6, a tie on p7 that counts half: 6.5 of 8
    said = ["b", "b", "b", "b", "b", "b", "a", "a"]
    ratings = [preference(f"p{i}", name, "ab".replace(name, "")) for i, name in enumerate(said)]
    found = with_preferences(runs, [*ratings, preference("p0", "b", "a", sign=0), preference("p99", "a", "b")])
    assert found.pooled.measures[0].judge.value == pytest.approx(6.5 / 8)
    assert (found.num_rated, found.num_left_out, found.num_ties) == (8, 1, 1)
    # of 9 comparisons b wins 6, a 2, one is a tie: 6.5 / 9
    assert [(one.run, one.people) for one in found.system.standings] == [
        ("b", pytest.approx(6.5 / 9)),
        ("a", pytest.approx(2.5 / 9)),
    ]
    three = [preference("p0", "a", "b", "x"), preference("p0", "b", "a", "y"), preference("p0", "b", "a", "z")]
    # for a, the others both say b: wrong; for each b, the others are split: half; (0 + 0.5 + 0.5) / 3
    measure = with_preferences(runs, three).pooled.measures[0]
    assert measure.person_with_others.value == pytest.approx(1 / 3)
    # the judge says b: against x's others right, against the two splits half: (1 + 0.5 + 0.5) / 3
    assert measure.judge_with_others.value == pytest.approx(2 / 3)


def test_a_ranking_is_its_preferences():
    runs = {"a": named("a", [5.0]), "b": named("b", [6.0]), "c": named("c", [7.0])}
    names = {name: name for name in runs}

    def ranked(text):
        return [(one.first, one.second, one.sign) for one in _read({"pair_id": "p0", "ranking": text}, names)]

    assert ranked("c > a = b") == [("c", "a", -1), ("c", "b", -1), ("a", "b", 0)]
    assert ranked(["c", ["a", "b"]]) == ranked("c > a = b")
    found = with_preferences(runs, _read({"pair_id": "p0", "ranking": "c > a = b"}, names))
    assert (found.pooled.measures[0].judge.value, found.num_ties) == (1.0, 1)
    assert [(one.name, one.num_items) for one in found.by_run] == [("a, c", 1), ("b, c", 1)]
    for wrong in ("c", "c > c", "c > d", 3):
        with pytest.raises(ValueError, match="ranking"):
            ranked(wrong)


def test_preferences_between_runs_of_two_judges_are_said_to_be_of_different_things(capsys):
    runs = {name: named(name, [5.0] * 8, settings={"judge": name}) for name in "ab"}
    ratings = [preference(f"p{i}", "a", "b") for i in range(8)]
    for table in tables(with_preferences(runs, ratings, differ=unlike(list(runs.values())))):
        console.print(table)
    said = " ".join(capsys.readouterr().err.split())
    assert "The runs differ in judge: their scores are of different things." in said


def test_many_ratings_take_as_long_as_they_are_many():
    # each of 40,000 preferences is compared with the others of its pair: quadratic code takes minutes
    run = named("a", [5.0] * 20)
    runs = {"a": run, "b": named("b", [6.0] * 20)}
    ratings = [preference(f"p{i % 20}", "b", "a", f"r{i // 20}") for i in range(40_000)]
    assert with_preferences(runs, ratings).pooled.measures[0].person_with_others.value == 1.0


def test_two_judges_of_one_run_are_told_where_they_differ_most():
    one, other = named("r · x", [float(i) for i in range(9)]), named("r · y", [float(i) for i in range(8)] + [0.0])
    assert two_judges([one, other]) == []
    (found,) = two_judges([one, replace(other, root=one.root)])
    assert [asdict(apart) for apart in found.furthest] == [{"pair_id": "p8", "first": 8.0, "second": 0.0}]
    assert found.agreement.num_items == 9
    assert found.mean_difference.value == pytest.approx(-8 / 9)


GOOD = st.builds(
    lambda pair_id, value, rater: {"pair_id": pair_id, "value": value, "rater": rater},
    st.text(min_size=1).filter(lambda text: "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just(""),
)


@given(rows=st.lists(GOOD, min_size=1, max_size=6), suffix=st.sampled_from([".csv", ".jsonl"]))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, rows, suffix):
    path = tmp_path_factory.mktemp("people") / f"people{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["pair_id", "value", "rater"])
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = read_ratings(path, {"a": "a"})
    assert [(r.pair_id, r.value, r.run) for r in found] == [(row["pair_id"], row["value"], "a") for row in rows]


@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".jsonl", ".txt"]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_in_the_file_only_a_usage_error_comes_of_it(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("people") / f"people{suffix}"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        assert read_ratings(path, {"a": "a"})


def test_everything_wrong_is_told_at_once_with_its_row(tmp_path):
    path = tmp_path / "people.jsonl"
    rows = [
        {"pair_id": "p0", "run": "a", "value": 3},
        {"run": "a", "value": 3},
        {"pair_id": "p1", "run": "a", "value": "high"},
        {"pair_id": "p1", "value": 3},
        {"pair_id": "p1", "winner": "c"},
        {"pair_id": "p1"},
        {"pair_id": "p2", "run": "a", "value": 1, "rater": "ann"},
        {"pair_id": "p2", "run": "a", "value": 2, "rater": "ann"},
        {"pair_id": "p3", "run": "a", "value": "nan"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "[1]\n")
    with pytest.raises(UsageError) as error:
        read_ratings(path, {"a": "a", "b": "b"})
    told = str(error.value)
    for row in (2, 3, 4, 5, 6, 8, 9, 10):
        assert f"row {row}:" in told
    assert "one of a, b or tie" in told
    assert "row 1:" not in told


@pytest.fixture
def two_runs(dots, tmp_path):
    """Two directories of one name: `a/run`, whose judge gives 0 to 9 in order, and `b/run`, which gives 5."""
    for name in "ab":
        numbers = tmp_path / f"{name}.csv"
        rows = (f"dot{i:02d},{i % 10 if name == 'a' else 5}\n" for i in range(12))
        numbers.write_text("pair_id,value\n" + "".join(rows))
        config = Config(
            benchmark=dots,
            run_dir=(tmp_path / name / "run",),
            editor=Unchanged(),
            judge=Recorded(values=str(numbers)),
            rubric=Brief(),
        )
        assert edit(config, World()) == 0
        assert score(config, World()) == 0
    return [str(tmp_path / name / "run") for name in "ab"]


def test_the_command_prints_tables_and_writes_the_same(two_runs, tmp_path, capsys):
    run, people = two_runs[0], tmp_path / "people.csv"
    people.write_text("pair_id,value,rater\n" + "".join(f"dot{i:02d},{i},{who}\n" for i in range(10) for who in "xy"))
    assert main(["--run_dir", run, "--human", str(people), "--human_scale", "0", "10"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "pairs in order" in said
    assert "Judge less people: 0.00" in said
    written = json.loads((tmp_path / "a" / "run" / "agreement.json").read_text())
    assert (written["schema"], written["num_rated"], written["num_raters"]) == (2, 10, 2)
    assert written["pooled"]["measures"][0]["judge"]["value"] == pytest.approx(1)
    assert [(one["mean"], one["num_scored"], one["num_rated"]) for one in written["corrected"]] == [(46 / 12, 12, 10)]
    (tmp_path / "a" / "run" / "agreement.json").unlink()
    (
        tmp_path / "a" / "run" / "agreement.json"
    ).mkdir()  # as good as a disk that is read-only, which root would write to
    people.write_text("pair_id,value\ndot01,1\nelsewhere,2\n")
    assert main(["--run_dir", run, "--human", str(people)]) == 3
    said = capsys.readouterr().err
    assert "1 edit rated and scored, 1 rating left out" in " ".join(said.split())
    assert "agreement.json was not written: " in said
    assert "Traceback" not in said


def test_runs_of_one_directory_name_are_told_apart_by_their_paths_in_any_order(two_runs, tmp_path, capsys):
    a, b = two_runs
    people = tmp_path / "wins.jsonl"
    rows = [{"pair_id": f"dot{i:02d}", "winner": a if i > 5 else b} for i in range(10)]
    people.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [measure([Path(x) for x in order], people).pooled.measures[0].judge.value for order in ((a, b), (b, a))]
    assert found == [0.95, 0.95]  # the judge agrees but for dot05, a tie
    people.write_text('{"pair_id": "dot01", "winner": "run"}\n')
    assert main(["--run_dir", a, b, "--human", str(people)]) == 2
    assert f"winner is 'run'; give one of {a}, {b} or tie" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("elsewhere,1\n", "no pair_id of it is one of"),
        ("dot01,6\n", "is not on --human_scale 1 5"),
        ("dot01,high\n", "row 2: value is 'high'; give a number"),
    ],
)
def test_nothing_to_compare_is_a_mistake_to_mend(two_runs, tmp_path, capsys, rows, said):
    people = tmp_path / "people.csv"
    people.write_text("pair_id,value\n" + rows)
    assert main(["--run_dir", two_runs[0], "--human", str(people), "--human_scale", "1", "5"]) == 2
    assert said in capsys.readouterr().err


def test_ratings_of_edits_without_a_value_are_a_mistake_to_mend(two_runs, tmp_path, capsys):
    Path(two_runs[0], "images", "dot01.png").unlink()
    people = tmp_path / "people.csv"
    people.write_text("pair_id,value\ndot01,1\n")
    assert main(["--run_dir", two_runs[0], "--human", str(people)]) == 2
    assert "none of its 1 rating is of edits that have a value in run" in capsys.readouterr().err
    assert main(["--run_dir", two_runs[0], "--human", str(tmp_path / "none.csv")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_very_many_sources_are_drawn_in_blocks_and_all_of_them_are_counted():
    draw = np.random.default_rng(3)
    people = draw.normal(size=2_500)
    found = agree((people + draw.normal(size=2_500)).tolist(), people.tolist(), [str(i) for i in range(2_500)]).spearman
    # Fisher's interval of a Spearman correlation r of n pairs: atanh r ± 1.96 √(1.06 / (n - 3))
    low, high = np.tanh(np.arctanh(found.value) + np.array([-1.96, 1.96]) * (1.06 / 2_497) ** 0.5)
    assert found.interval.num_groups == 2_500
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.006)
