"""The score loop, driven by judges whose failures are planned."""

import statistics
from dataclasses import dataclass, field, replace

import pytest
from PIL import Image

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Judge, Reply
from editbench.process.world import World
from editbench.records import Score
from editbench.rubrics.rubric import RUBRICS
from editbench.run.durable import read_records, write_records
from editbench.run.run_dir import RunDir, seed_for
from editbench.stages import score as score_stage
from editbench.stages.edit import edit
from editbench.stages.report import report
from editbench.stages.run_records import read_run
from editbench.stages.score import score
from editbench.stages.verdict import verdict
from tests.conftest import those_that_change


@dataclass(kw_only=True)
class PlannedJudge(Judge):
    """Answers 5.0, has room for so many pairs at once, and never for the instruction that holds `heavy`."""

    room: int = 100
    heavy: str = "no such words"
    answer: str = "5.0"
    offers = frozenset({"samples", "probabilities"})
    asked: list[int] = field(default_factory=list, init=False)

    def replies(self, questions):
        self.asked.append(len(questions))
        if len(questions) > self.room or any(self.heavy in str(question.content) for question in questions):
            raise MemoryError("no room")
        return [Reply(text=self.answer, truncated=False) for _ in questions]

    def samples(self, questions, seeds):
        """Each seed's reply is made of the seed itself; one in three has no number."""
        return [
            [Reply(text="no" if seed % 3 == 0 else f"{seed % 10}.0", truncated=False) for seed in of_one]
            for of_one in seeds
        ]

    def probabilities(self, questions, digits):
        shares = (0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0)
        return [Reply(text="6", truncated=False, probabilities=shares) for _ in questions]


@dataclass(kw_only=True)
class PlainJudge(PlannedJudge):
    offers = frozenset()


@pytest.fixture
def edited(photos_json, tmp_path):
    """The four photographs, edited by nobody."""
    config = Config(benchmark=photos_json, run_dir=(tmp_path / "run",), editor=Unchanged(), rubric="brief-1")
    assert edit(config, World()) == 0
    return config


def judged(config: Config, judge: Judge, **changes) -> list[Score]:
    config = replace(config, judge=judge, **changes)
    score(config, World())
    return list(read_records(RunDir(config.the_run).scores(config.the_scores), Score))


def test_a_batch_without_room_is_halved_and_stays_halved(edited):
    judge = PlannedJudge(room=2)
    scores = judged(edited, judge, batch_size=4)
    assert judge.asked == [4, 2, 2]
    assert [record.batch_size for record in scores] == [2, 2, 2, 2]
    assert all(record.value == 5.0 for record in scores)


def test_only_the_culprit_of_a_batch_fails_and_with_its_reason(edited):
    scores = judged(edited, PlannedJudge(heavy="hat"), batch_size=4)
    assert [record.failure for record in scores] == [None, "out of memory", None, None]
    assert scores[1].value is None
    assert "no room" in scores[1].detail


def test_the_machines_failures_are_tried_again_and_the_judges_words_stand(edited):
    judged(edited, PlannedJudge(heavy="hat"), batch_size=4)
    again = PlannedJudge(heavy="hat")
    scores = judged(edited, again, batch_size=4)
    assert again.asked == [1]
    assert scores[1].failure == "out of memory"


def test_an_unreadable_reply_is_kept_and_not_asked_again(edited):
    scores = judged(edited, PlannedJudge(answer="Lovely! 9 out of 10"))
    assert {record.failure for record in scores} == {"unreadable"}
    assert {record.reply for record in scores} == {"Lovely! 9 out of 10"}
    again = PlannedJudge(answer="Lovely! 9 out of 10")
    judged(edited, again)
    assert again.asked == []


def test_what_is_to_be_scored_stays_that_when_an_edit_launch_adds_pairs_before_it(dots, tmp_path, monkeypatch):
    config = Config(benchmark=dots, run_dir=(tmp_path / "run",), editor=Unchanged(), rubric="brief-1")
    edit(replace(config, limit=2, categories=("causal",)), World())
    make_plan = score_stage.make_plan

    def and_meanwhile(*args):
        plan = make_plan(*args)
        edit(config, World())
        return plan

    monkeypatch.setattr(score_stage, "make_plan", and_meanwhile)
    assert [score.pair_id for score in judged(config, PlannedJudge())] == ["dot01", "dot03"]


def test_scores_stand_in_benchmark_order_whatever_their_batch(edited):
    scores = judged(edited, PlannedJudge(), batch_size=3)
    run = RunDir(edited.the_run)
    assert [record.pair_id for record in scores] == [pair.pair_id for pair in run.read_pairs()]


def test_repeats_keep_every_reply_and_the_value_is_the_mean_of_those_that_could_be_read(edited):
    scores = judged(edited, PlannedJudge(), repeats=6)
    for record in scores:
        seeds = [seed_for(repeat, record.pair_id) for repeat in range(6)]
        values = [None if seed % 3 == 0 else float(seed % 10) for seed in seeds]
        read = [value for value in values if value is not None]
        assert record.values == tuple(values)
        assert record.replies == tuple("no" if value is None else f"{value:.1f}" for value in values)
        assert record.reply == record.replies[0]
        assert record.value == pytest.approx(sum(read) / len(read), abs=1e-4)
        assert record.spread == (pytest.approx(statistics.stdev(read), abs=1e-4) if len(read) > 1 else None)
    assert len({record.values for record in scores}) == 4


def test_repeats_none_of_which_can_be_read_are_a_failure():
    replies = [Reply(text="I can't.", truncated=False), Reply(text="7", truncated=True)]
    blank = Score(pair_id="p", value=None, key="k")
    record = verdict(blank, RUBRICS["aspects-1"], replies, expected=False)
    assert (record.value, record.failure, record.values) == (None, "refused", (None, None))
    assert "none of 2" in record.detail


def test_an_expected_score_keeps_its_probabilities_and_fails_without_the_mass(edited):
    scores = judged(edited, PlannedJudge(), rubric="brief-digit-1", expected=True)
    assert {(record.value, record.failure, record.mass) for record in scores} == {(None, "unreadable", 0.4)}
    assert all(len(record.probabilities) == 10 and record.reply == "6" for record in scores)


def test_expected_scores_stand_beside_the_others_under_a_name_of_their_own(edited):
    judged(edited, PlannedJudge())
    judged(edited, PlannedJudge(), rubric="brief-digit-1", expected=True)
    assert RunDir(edited.the_run).score_names() == ["PlannedJudge", "PlannedJudge-expected"]


@pytest.mark.parametrize(
    ("judge", "changes", "says"),
    [
        (PlainJudge(), {"repeats": 2}, "gives no samples"),
        (PlainJudge(), {"expected": True, "rubric": "digit-1"}, "gives no probabilities"),
        (PlannedJudge(), {"expected": True}, "digit-1, brief-digit-1"),
        (PlannedJudge(), {"expected": True, "rubric": "digit-1", "repeats": 2}, "no draws"),
    ],
)
def test_what_can_not_be_answered_is_refused_before_anything_is_loaded(edited, judge, changes, says):
    with pytest.raises(UsageError, match=says):
        judged(edited, judge, **changes)
    assert judge.asked == []


def test_a_score_of_an_image_made_anew_is_not_kept(edited):
    first = judged(edited, PlannedJudge())
    run = RunDir(edited.the_run)
    path = run.image(first[0].pair_id)
    with Image.open(path) as image:
        image.convert("L").convert("RGB").save(path)
    again = PlannedJudge()
    scores = judged(edited, again)
    assert again.asked == []  # the record still vouches for the first image, so its score stands …
    assert scores == first
    assert not run.has_image(run.latest(type_of_edit(), "edit", run.manifest)[first[0].pair_id])  # … until it is redone


def type_of_edit():
    from editbench.records import Edit

    return Edit


def test_every_setting_that_changes_scores_is_noticed_by_the_next_launch(edited):
    judged(edited, PlannedJudge())
    others = {
        "language": "zh",
        "judge": PlannedJudge(answer="6.0"),
        "rubric": "brief-digit-1",
        "judge_sees": "edit",
        "repeats": 2,
        "expected": True,
    }
    assert those_that_change("scores") == set(others), "a field of Config that changes scores has no value here to try"
    for name, value in others.items():
        # an expected score needs a rubric of one digit, and has a file of its own unless it is told another
        more = {"rubric": "brief-digit-1", "scores": "PlannedJudge"} if name == "expected" else {}
        with pytest.raises(UsageError, match=f"(?s)holds scores made otherwise.*{name}"):
            judged(edited, **{"judge": PlannedJudge(), name: value} | more)


class Numbers(PlannedJudge):
    def replies(self, questions):
        return [5.0 for _ in questions]


class Silent(PlannedJudge):
    def replies(self, questions):
        return []


@pytest.mark.parametrize("judge", [Numbers(), Silent()])
def test_a_judge_that_answers_otherwise_than_asked_is_told_so(edited, judge):
    with pytest.raises(UsageError, match=f"{type(judge).__name__} must answer 4 questions with a Reply each"):
        judged(edited, judge, batch_size=4)


def test_only_what_is_asked_for_is_judged_and_the_rest_another_time(edited):
    some = PlannedJudge()
    assert [record.pair_id for record in judged(edited, some, categories=("causal",))] == ["00002_因果_easy"]
    rest = PlannedJudge()
    assert len(judged(edited, rest, batch_size=9)) == 4
    assert (some.asked, rest.asked) == ([1], [3])


@pytest.mark.parametrize("changed", [{"rationale": "It fell."}, {"instruction": "Mend it."}, {"category": "social"}])
def test_a_score_is_of_what_the_judge_was_asked_and_of_nothing_else(edited, changed):
    judged(edited, PlannedJudge())
    run = RunDir(edited.the_run)
    (before,) = read_run(run)
    assert len(before.scores) == 4
    pairs = run.read_pairs()
    pairs[2] = replace(pairs[2], **changed)
    write_records(run.pairs, pairs)
    (after,) = read_run(run)
    assert before.scores.keys() - after.scores.keys() == {pairs[2].pair_id}


def test_how_the_pairs_were_chosen_is_said_in_the_report(photos_json, tmp_path):
    config = Config(
        benchmark=photos_json, run_dir=(tmp_path / "run",), editor=Unchanged(), categories=("causal",), limit=1
    )
    edit(config, World())
    (part,) = read_run(RunDir(config.the_run))
    assert part.settings["benchmark"] == f"{photos_json}, the first 1 of each category, only causal"
    edit(replace(config, limit=None, categories=()), World())
    edit(replace(config, limit=None), World())  # the last launch's choice is not the run's
    (whole,) = read_run(RunDir(config.the_run))
    assert whole.settings["benchmark"] == str(photos_json)


def test_a_report_is_never_written_over_another_run_s(edited, tmp_path):
    other = replace(edited, run_dir=(tmp_path / "other",))
    edit(other, World())
    with pytest.raises(UsageError, match="is another run"):
        report(replace(edited, out=tmp_path / "other"), World())
