"""The score loop, driven by judges whose failures are planned."""

import statistics
from dataclasses import dataclass, field, replace
from typing import ClassVar

import msgspec
import pytest
from PIL import Image

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Judge, Reply
from editbench.process.world import World
from editbench.records import Answer, Pair, Picture, Score
from editbench.rubrics import Brief, FiveAspects, Question, Reading, Rubric, Shown
from editbench.rubrics.headlines import Headline
from editbench.rubrics.scoring import lowest, settle
from editbench.run.durable import read_records, write_records
from editbench.run.run_dir import RunDir, seed_for
from editbench.stages import score as score_stage
from editbench.stages.edit import edit
from editbench.stages.score import score
from tests.conftest import those_that_change


@dataclass(kw_only=True)
class PlannedJudge(Judge):
    """Answers 5.0, has room for so many pairs at once, and never for the instruction that holds `heavy`."""

    room: int = 100
    heavy: str = "no such words"
    answer: str = "5.0"
    offers = frozenset({"samples", "probabilities"})
    asked: list[int] = field(default_factory=list, init=False)

    def replies(self, messages):
        self.asked.append(len(messages))
        if len(messages) > self.room or any(self.heavy in str(message.content) for message in messages):
            raise MemoryError("no room")
        return [Reply(text=self.answer) for _ in messages]

    def samples(self, messages, seeds):
        """Each seed's reply is made of the seed itself; one in three has no number."""
        return [
            [Reply(text="no" if seed % 3 == 0 else f"{seed % 10}.0", truncated=False) for seed in of_one]
            for of_one in seeds
        ]

    def probabilities(self, messages):
        shares = (0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0)
        return [Reply(text="6", probabilities=shares) for _ in messages]


@dataclass(kw_only=True)
class PlainJudge(PlannedJudge):
    offers = frozenset()


@pytest.fixture
def edited(photos_json, tmp_path):
    """The four photographs, edited by nobody."""
    config = Config(benchmark=photos_json, run_dir=(tmp_path / "run",), editor=Unchanged(), rubric=Brief())
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
    assert [answer.batch_size for record in scores for answer in record.answers] == [2, 2, 2, 2]
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
    assert {record.answers[0].reply for record in scores} == {"Lovely! 9 out of 10"}
    again = PlannedJudge(answer="Lovely! 9 out of 10")
    judged(edited, again)
    assert again.asked == []


def test_what_is_to_be_scored_stays_that_when_an_edit_launch_adds_pairs_before_it(dots, tmp_path, monkeypatch):
    config = Config(benchmark=dots, run_dir=(tmp_path / "run",), editor=Unchanged(), rubric=Brief())
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


def test_repeats_keep_every_reply_and_half_of_them_make_a_value(edited):
    scores = judged(edited, PlannedJudge(), repeats=6)
    for record in scores:
        seeds = [seed_for(repeat, record.pair_id) for repeat in range(6)]
        values = [None if seed % 3 == 0 else float(seed % 10) for seed in seeds]
        read = [value for value in values if value is not None]
        assert [answer.readings.get("score") for answer in record.answers] == values
        assert [answer.reply for answer in record.answers] == ["no" if v is None else f"{v:.1f}" for v in values]
        assert [answer.repeat for answer in record.answers] == list(range(6))
        if len(read) >= 3:
            assert record.value == pytest.approx(sum(read) / len(read), abs=1e-4)
        else:
            assert (record.value, record.failure) == (None, "unreadable")
        assert record.spread == (pytest.approx(statistics.stdev(read), abs=1e-4) if len(read) > 1 else None)
        if len(read) < 6:
            assert f"{len(read)} of 6 repeats are complete" in record.detail
    assert len({tuple(answer.reply for answer in record.answers) for record in scores}) == 4


def test_an_expected_score_keeps_its_probabilities_and_fails_without_the_mass(edited):
    scores = judged(edited, PlannedJudge(), rubric=Brief(digits=True), expected=True)
    assert {(record.value, record.failure, record.answers[0].mass) for record in scores} == {(None, "unreadable", 0.4)}
    assert all(len(record.answers[0].probabilities) == 10 and record.answers[0].reply == "6" for record in scores)


@pytest.mark.parametrize(
    ("shares", "value", "failure"),
    [
        ([0, 0, 0, 0.2, 0, 0, 0, 0.6, 0, 0], 6.0, None),  # (3 · 0.2 + 7 · 0.6) / 0.8
        ([0, 0, 0, 0.2, 0, 0, 0, 0.25, 0, 0], None, "unreadable"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None, "error"),
        ([-0.1, 0, 0, 0, 0, 0, 0, 0, 0, 1.0], None, "error"),
        ([float("nan")] * 10, None, "error"),
        ([0.5] * 10, None, "error"),
        ([1.0], None, "error"),
    ],
)
def test_probabilities_outside_0_to_1_are_an_error_and_too_little_mass_is_unreadable(edited, shares, value, failure):
    @dataclass(kw_only=True)
    class Given(PlannedJudge):
        def probabilities(self, messages):
            return [Reply(text="9", probabilities=tuple(shares)) for _ in messages]

    scores = judged(edited, Given(), rubric=Brief(digits=True), expected=True)
    assert {(record.value, record.failure) for record in scores} == {(value, failure)}


def test_expected_scores_stand_beside_the_others_under_a_name_of_their_own(edited):
    judged(edited, PlannedJudge())
    judged(edited, PlannedJudge(), rubric=Brief(digits=True), expected=True)
    assert RunDir(edited.the_run).score_names() == ["PlannedJudge", "PlannedJudge-expected"]


@pytest.mark.parametrize(
    ("judge", "changes", "says"),
    [
        (PlainJudge(), {"repeats": 2}, "gives no samples"),
        (PlainJudge(), {"expected": True, "rubric": FiveAspects(digits=True)}, "gives no probabilities"),
        (PlannedJudge(), {"expected": True}, "digits true"),
        (PlannedJudge(), {"expected": True, "rubric": FiveAspects(digits=True), "repeats": 2}, "no draws"),
    ],
)
def test_what_can_not_be_answered_is_refused_before_anything_is_loaded(edited, judge, changes, says):
    with pytest.raises(UsageError, match=says):
        judged(edited, judge, **changes)
    assert judge.asked == []


def test_a_score_stands_while_the_edit_s_record_is_the_same(edited):
    first = judged(edited, PlannedJudge())
    run = RunDir(edited.the_run)
    path = run.image(first[0].pair_id)
    with Image.open(path) as image:
        image.convert("L").convert("RGB").save(path)
    again = PlannedJudge()
    scores = judged(edited, again)
    assert again.asked == []  # the record still vouches for the first image, so its score stands until it is redone
    assert scores == first


def test_an_image_that_was_changed_before_it_is_judged_is_a_missing_edit_until_it_is_back(edited):
    run = RunDir(edited.the_run)
    path = run.image(run.read_pairs()[1].pair_id)
    before = path.read_bytes()
    path.write_bytes(b"torn")
    judge = PlannedJudge()
    scores = judged(edited, judge, batch_size=4)
    assert [record.failure for record in scores] == [None, "missing edit", None, None]
    assert "run edit.py again" in scores[1].detail
    path.write_bytes(before)
    again = PlannedJudge()
    assert [record.value for record in judged(edited, again, batch_size=4)] == [5.0] * 4
    assert again.asked == [1]


def test_every_setting_that_changes_scores_is_noticed_by_the_next_launch(edited):
    judged(edited, PlannedJudge())
    others = {
        "judge": PlannedJudge(answer="6.0"),
        "rubric": Brief(digits=True),
        "repeats": 2,
        "expected": True,
    }
    changing = those_that_change("scores") - {"language"}  # refused with the run's own, below
    assert changing == set(others), "a field of Config that changes scores has no value here to try"
    for name, value in others.items():
        # an expected score needs a rubric of one digit, and has a file of its own unless another is named
        more = {"rubric": Brief(digits=True), "scores": "PlannedJudge"} if name == "expected" else {}
        with pytest.raises(UsageError, match=f"(?s)holds scores made otherwise.*{name}"):
            judged(edited, **{"judge": PlannedJudge(), name: value} | more)
    with pytest.raises(UsageError, match=r"--language zh: .* was edited in en"):
        judged(edited, PlannedJudge(), language="zh")


class Numbers(PlannedJudge):
    def replies(self, messages):
        return [5.0 for _ in messages]


class Silent(PlannedJudge):
    def replies(self, messages):
        return []


@pytest.mark.parametrize("judge", [Numbers(), Silent()])
def test_a_judge_that_answers_otherwise_than_asked_is_told_so(edited, judge):
    with pytest.raises(UsageError, match=f"{type(judge).__name__} must answer 4 messages with a Reply each"):
        judged(edited, judge, batch_size=4)


def test_only_what_is_asked_for_is_judged_and_the_rest_another_time(edited):
    some = PlannedJudge()
    assert [record.pair_id for record in judged(edited, some, categories=("causal",))] == ["00002_因果_easy"]
    rest = PlannedJudge()
    assert len(judged(edited, rest, batch_size=9)) == 4
    assert (some.asked, rest.asked) == ([1], [3])


@pytest.mark.parametrize(
    ("changed", "rubric", "counts"),
    [
        ({"rationale": "It fell."}, FiveAspects(), False),
        ({"rationale": "It fell."}, Brief(), True),  # which never shows it
        ({"instruction": "Mend it."}, Brief(), False),
        ({"category": "social"}, Brief(), False),
        ({"tags": ("other",)}, FiveAspects(), True),
    ],
)
def test_a_score_is_of_what_the_judge_was_asked_and_of_nothing_else(edited, changed, rubric, counts):
    from editbench.stages.run_records import read_run

    config = replace(edited, rubric=rubric)
    judged(config, PlannedJudge())
    run = RunDir(config.the_run)
    (before,) = read_run(run)
    assert len(before.scores) == 4
    pairs = run.read_pairs()
    pairs[2] = msgspec.structs.replace(pairs[2], **changed)
    write_records(run.pairs, pairs)
    (after,) = read_run(run)
    assert before.scores.keys() - after.scores.keys() == (set() if counts else {(pairs[2].pair_id, 0)})


def test_how_the_pairs_were_chosen_is_said_in_the_report(photos_json, tmp_path):
    from editbench.stages.run_records import read_run

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
    from editbench.stages.report import report

    other = replace(edited, run_dir=(tmp_path / "other",))
    edit(other, World())
    with pytest.raises(UsageError, match="is another run"):
        report(replace(edited, out=tmp_path / "other"), World())


@dataclass(kw_only=True)
class TwoQuestions(Rubric):
    """A rubric of a user's own: whether it was done (0 or 1), and how well (1 to 5) where that is asked for."""

    factor: float = 1.0
    version = "two-1"
    scale = (0.0, 5.0)
    dimensions: ClassVar = {"done": (0.0, 1.0), "quality": (1.0, 5.0)}
    headlines = (Headline(name="product", scale=(0.0, 5.0)), Headline(name="done", scale=(0, 1), values=("done",)))
    neutral = frozenset({"factor"})

    def calls(self, pair):
        if "cat" in pair.instruction:
            raise ZeroDivisionError("no cats")
        ask = Question(name="ask", parts=(Shown(picture="edit"), "Done?"), gives=("done",), digits=("0", "1"))
        how = Question(
            name="how",
            parts=(Shown(picture="source"), Shown(picture="edit", size_of="source"), "How well?"),
            gives=("quality",),
            max_new_tokens=7,
        )
        return (ask,) if "noon" in pair.instruction else (ask, how)

    def read(self, pair, question, reply):
        if not reply.isdecimal():
            return Reading(failure="unreadable", detail="no number")
        return Reading(numbers={question.gives[0]: float(reply)})

    def values(self, pair, readings):
        if None in readings.values():
            return {"value": None}
        return {"value": self.factor * readings["done"] * readings.get("quality", 5.0)}


@dataclass(kw_only=True)
class Answering(Judge):
    """Answers each call by its name; raises where that is an exception."""

    says: dict = field(default_factory=dict)
    neutral = frozenset({"says"})
    offers = frozenset({"samples"})
    asked: list = field(default_factory=list, init=False)

    def replies(self, messages):
        self.asked.append(sorted(message.call for message in messages))
        assert len({(message.max_new_tokens, message.digits) for message in messages}) == 1
        for message in messages:
            if isinstance(said := self.says.get((message.pair_id, message.call)), Exception):
                raise said
        return [Reply(text={"ask": "1", "how": "4"}[message.call]) for message in messages]

    def samples(self, messages, seeds):
        self.asked += [(message.call, message.repeats) for message in messages]
        found = []
        for message in messages:
            said = [self.says.get((message.pair_id, message.call, n), "1") for n in message.repeats]
            found.append([one if isinstance(one, Reply) else Reply(text=one) for one in said])
        return found


def test_a_rubric_of_one_s_own_asks_several_questions_and_gives_several_numbers(edited):
    judge = Answering()
    scores = judged(edited, judge, rubric=TwoQuestions(), batch_size=4)
    assert sorted(judge.asked) == [["ask"] * 3, ["how"] * 2]  # none of the cat, and one of the evening made noon
    by_value = [(record.value, record.failure, record.dimensions) for record in scores]
    assert by_value[0] == (4.0, None, {"done": 1.0, "quality": 4.0})
    assert by_value[1] == (None, "error", {})
    assert "no cats" in scores[1].detail
    assert by_value[3] == (5.0, None, {"done": 1.0})
    assert {record.rubric for record in scores} == {"two-1"}


def test_a_resume_asks_only_the_call_that_the_machine_failed_at(edited):
    second = RunDir(edited.the_run).read_pairs()[2].pair_id
    judge = Answering(says={(second, "how"): RuntimeError("planned")})
    scores = judged(edited, judge, rubric=TwoQuestions(), batch_size=4)
    assert [(answer.call, answer.failure) for answer in scores[2].answers] == [("ask", None), ("how", "error")]
    assert (scores[2].value, scores[2].failure, scores[2].detail) == (None, "error", "how: RuntimeError: planned")
    again = Answering()
    scores = judged(edited, again, rubric=TwoQuestions(), batch_size=4)
    assert again.asked == [["how"]]
    assert [record.value for record in scores] == [4.0, None, 4.0, 5.0]
    assert [answer.call for answer in scores[2].answers] == ["ask", "how"]


def test_a_resume_asks_only_the_repeat_that_failed_by_the_machine(edited):
    first = RunDir(edited.the_run).read_pairs()[0].pair_id
    says = {
        (first, "ask", 1): Reply(text="", failure="error", detail="lost"),
        (first, "how", 0): "no",
        (first, "how", 2): "3",
    }
    scores = judged(edited, Answering(says=says), rubric=TwoQuestions(), repeats=3)
    assert scores[0].value is None  # of three repeats one is complete: 1 · 3
    assert scores[0].detail == "1 of 3 repeats are complete; the first failure: ask: lost"
    again = Answering(says=says | {(first, "ask", 1): "1"})
    scores = judged(edited, again, rubric=TwoQuestions(), repeats=3)
    assert again.asked == [("ask", (1,))]
    assert scores[0].value == 2.0  # 1 · 1 and 1 · 3; the unreadable one stands
    assert scores[0].spread == pytest.approx(statistics.stdev([1.0, 3.0]), abs=1e-4)
    assert scores[0].dimensions == {"done": 1.0, "quality": 2.0}


def test_a_formula_that_changes_needs_no_judge(edited):
    scores = judged(edited, Answering(), rubric=TwoQuestions())
    pair = RunDir(edited.the_run).read_pairs()[0]
    settled = settle(TwoQuestions(factor=0.5), pair, scores[0].answers)
    assert (settled.value, settled.failure, settled.num_repeats, settled.num_complete) == (2.0, None, 1, 1)
    again = Answering()
    judged(edited, again, rubric=TwoQuestions(factor=0.5))
    assert again.asked == []


def test_failures_count_at_their_dimension_s_lowest_in_the_lower_bound():
    pair = Pair(pair_id="p", instruction="Turn it.", sources=(Picture(sha256="0" * 64),))
    answers = [
        Answer(call="ask", readings={"done": 1.0}),
        Answer(call="how", failure="unreadable", detail="x"),
        Answer(call="ask", repeat=1, readings={"done": 1.0}),
        Answer(call="how", repeat=1, readings={"quality": 4.0}),
    ]
    assert lowest(TwoQuestions(), pair, answers) == {"value": 2.5}  # 1 · 1 and 1 · 4
    assert lowest(TwoQuestions(), pair, None) == {"value": 0.0}
    settled = settle(TwoQuestions(), pair, answers)
    assert (settled.value, settled.num_complete, settled.num_repeats) == (4.0, 1, 2)  # half is enough
    assert settle(TwoQuestions(), pair, answers[:2]).value is None


def test_a_picture_that_no_judge_can_take_is_its_pair_s_failure(edited):
    run = RunDir(edited.the_run)
    pair = run.read_pairs()[0]
    run.source(pair.pair_id).write_bytes(b"no picture")
    scores = judged(edited, PlannedJudge(), batch_size=4)
    assert [record.failure for record in scores] == ["error", None, None, None]
    assert "is not a readable" in scores[0].detail


@dataclass(kw_only=True)
class Shows(TwoQuestions):
    """Shows a picture that no pair has."""

    def calls(self, pair):
        return (Question(name="ask", parts=(Shown(picture="mask"),), gives=("done",)),)


def test_a_picture_that_the_pairs_lack_is_refused_before_anything_is_loaded(edited):
    judge = Answering()
    with pytest.raises(UsageError, match=r"shows the picture 'mask', which .* lacks; it has edit, source"):
        judged(edited, judge, rubric=Shows())
    assert judge.asked == []


def test_without_any_score_the_exit_code_is_1(edited):
    config = replace(edited, judge=PlannedJudge(answer="Lovely!"))
    assert score(config, World()) == 1
    assert score(replace(edited, judge=PlannedJudge(), scores="other"), World()) == 0
    assert score(replace(edited, judge=PlannedJudge(heavy="hat"), scores="third", max_failures=1), World()) == 0
    assert score(replace(edited, judge=PlannedJudge(heavy="hat"), scores="third", max_failures=0), World()) == 1


def test_a_reply_that_holds_no_text_is_its_call_s_failure(edited):
    @dataclass(kw_only=True)
    class Nothing(PlannedJudge):
        def replies(self, messages):
            return [Reply(text=None) for _ in messages]

    scores = judged(edited, Nothing())
    assert {(record.failure, record.detail) for record in scores} == {
        ("error", "the judge gave NoneType as the reply's text")
    }


def test_a_judge_that_thinks_aloud_is_said_once(edited):
    scores = judged(edited, PlannedJudge(answer="<think>Well"), batch_size=2)
    assert {record.failure for record in scores} == {"unreadable"}
    logged = (edited.the_run / "logs" / "score-PlannedJudge.rank0.log").read_text()
    assert logged.count("thinks aloud in 2 of its first 2 replies") == 1
