import contextlib
import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from editbench.errors import UsageError
from editbench.stages.agreement import main, with_preferences, with_scores
from editbench.stats.correlation import agree, in_order, two_judges
from editbench.stats.human_ratings import Rating, read_ratings
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
    from editbench.stats.correlation import estimate, spearman

    return estimate(lambda at: spearman(a[at], b[at]), names).interval


def rating(pair_id, value=None, rater="", winner=None):
    return Rating(pair_id=pair_id, rater=rater, value=value, winner=winner)


def test_a_judge_is_held_against_the_mean_and_a_person_against_the_others():
    run = named("a", [float(i) for i in range(10)])
    ratings = [rating(f"p{i}", float(i + (i % 2)), rater) for rater in ("ann", "bo") for i in range(10)]
    found = with_scores(run, [*ratings, rating("p99", 3.0, "ann")])
    assert (found.num_rated, found.num_raters, found.num_left_out) == (10, 2, 1)
    spearman, _, pairs = found.measures
    assert spearman.people.value == pytest.approx(1.0)  # the two say the same
    # people's values 0 2 2 4 4 6 6 8 8 10 tie four of the 45 pairs; the judge has all others right
    assert pairs.judge.value == 1.0
    assert found.num_ties == 4
    assert spearman.judge.value < 1
    alone = with_scores(run, [rating(f"p{i}", float(i)) for i in range(10)])
    assert alone.measures[0].people is None


def test_preferences_in_worked_numbers():
    first, second = named("a", [5.0] * 8), named("b", [6.0, 6.0, 6.0, 6.0, 6.0, 4.0, 4.0, 5.0])
    # right on p0 to p4 (5), wrong on p5 (people say b), right on p6, a tie on p7 that counts half: 6.5 of 8
    said = ["b", "b", "b", "b", "b", "b", "a", "a"]
    ratings = [rating(f"p{i}", winner=name) for i, name in enumerate(said)]
    found = with_preferences(first, second, [*ratings, rating("p0", winner="tie"), rating("p99", winner="a")])
    assert found.measures[0].judge.value == pytest.approx(6.5 / 8)
    assert (found.num_rated, found.num_left_out, found.num_ties) == (8, 1, 1)
    three = [rating("p0", winner=name, rater=name + who) for name, who in (("a", "1"), ("b", "1"), ("b", "2"))]
    # for a, the others both say b: wrong; for each b, the others are split: half; (0 + 0.5 + 0.5) / 3
    assert with_preferences(first, second, three).measures[0].people.value == pytest.approx(1 / 3)


def test_preferences_between_runs_of_two_judges_are_said_to_be_of_different_things(capsys):
    from editbench.process.console import console
    from editbench.stages.agreement import _table

    first, second = (replace(named(name, [5.0] * 8), settings={"judge": name}) for name in "ab")
    found = with_preferences(first, second, [rating(f"p{i}", winner="a") for i in range(8)])
    assert found.differ == ("judge",)
    console.print(_table(found))
    assert "The runs differ in judge: their scores are of different things." in capsys.readouterr().err
    assert with_preferences(first, replace(second, settings=first.settings), [rating("p0", winner="a")]).differ == ()


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
    assert [(r.pair_id, r.value) for r in read_ratings(path, [])] == [(row["pair_id"], row["value"]) for row in rows]


@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".jsonl", ".txt"]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_in_the_file_only_a_usage_error_comes_of_it(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("people") / f"people{suffix}"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        assert read_ratings(path, ["a"])


def test_everything_wrong_is_told_at_once_with_its_row(tmp_path):
    path = tmp_path / "people.jsonl"
    rows = [
        {"pair_id": "p0", "value": 3},
        {"value": 3},
        {"pair_id": "p1", "value": "high"},
        {"pair_id": "p1", "value": True},
        {"pair_id": "p1", "winner": "c"},
        {"pair_id": "p1"},
        {"pair_id": "p2", "value": 1, "rater": "ann"},
        {"pair_id": "p2", "value": 2, "rater": "ann"},
        {"pair_id": "p3", "value": "nan"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "[1]\n")
    with pytest.raises(UsageError) as error:
        read_ratings(path, ["a", "b"])
    told = str(error.value)
    for row in (2, 3, 4, 5, 6, 8, 9, 10):
        assert f"row {row}:" in told
    assert "one of a, b or tie" in told
    assert "row 1:" not in told


def test_the_command_prints_a_table_and_writes_the_same(tmp_path, capsys):
    from editbench.config import Config
    from editbench.process.world import World
    from editbench.stages.edit import edit
    from editbench.stages.score import score
    from tests.test_controls import Darker, Looks, draw_pairs

    config = Config(
        benchmark=draw_pairs(tmp_path), run_dir=(tmp_path / "run",), editor=Darker(), judge=Looks(), rubric="brief-1"
    )
    edit(config, World())
    score(config, World())
    people = tmp_path / "people.csv"
    people.write_text("pair_id,value,rater\n" + "".join(f"p{i},{i},{who}\n" for i in range(10) for who in "ab"))
    assert main(["--run_dir", str(tmp_path / "run"), "--human", str(people)]) == 0
    assert "pairs in order" in capsys.readouterr().err
    told = json.loads((tmp_path / "run" / "agreement.json").read_text())
    assert (told["schema"], told["num_rated"], told["num_raters"]) == (1, 10, 2)
    assert told["measures"][2]["judge"]["value"] == 0.5  # this judge gives every right edit an 8
    (tmp_path / "run" / "agreement.json").unlink()
    (tmp_path / "run" / "agreement.json").mkdir()  # as good as a disk that is read-only, which root would write to
    people.write_text("pair_id,value\np1,1\nelsewhere,2\n")
    assert main(["--run_dir", str(tmp_path / "run"), "--human", str(people)]) == 3
    told = capsys.readouterr().err
    assert "1 pair rated and scored, 1 rating left out" in " ".join(told.split())
    assert "agreement.json was not written: " in told
    assert "Traceback" not in told
    people.write_text("pair_id,value\nelsewhere,1\n")
    assert main(["--run_dir", str(tmp_path / "run"), "--human", str(people)]) == 2
    assert "no pair_id of it is one of" in capsys.readouterr().err
    assert main(["--run_dir", str(tmp_path / "run"), "--human", str(tmp_path / "none.csv")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_very_many_sources_are_drawn_in_blocks_and_all_of_them_are_counted():
    draw = np.random.default_rng(3)
    people = draw.normal(size=2_500)
    found = agree((people + draw.normal(size=2_500)).tolist(), people.tolist(), [str(i) for i in range(2_500)]).spearman
    # Fisher's interval of a Spearman correlation r of n pairs: atanh r ± 1.96 √(1.06 / (n - 3))
    low, high = np.tanh(np.arctanh(found.value) + np.array([-1.96, 1.96]) * (1.06 / 2_497) ** 0.5)
    assert found.interval.num_groups == 2_500
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.006)
