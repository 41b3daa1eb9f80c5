"""The score loop, driven by judges whose failures are planned."""

from dataclasses import dataclass, field

import pytest
from PIL import Image

from editbench.config import Config
from editbench.edit_stage import edit
from editbench.editors import Unchanged
from editbench.judges import Judge, Reply
from editbench.records import Score
from editbench.run_dir import RunDir, read_records
from editbench.score_stage import score
from editbench.world import World


@dataclass(kw_only=True)
class PlannedJudge(Judge):
    """Answers 5.0, has room for so many pairs at once, and never for the instruction that holds `heavy`."""

    room: int = 100
    heavy: str = "no such words"
    answer: str = "5.0"
    asked: list[int] = field(default_factory=list, init=False)

    def replies(self, questions):
        self.asked.append(len(questions))
        if len(questions) > self.room or any(self.heavy in str(question.content) for question in questions):
            raise MemoryError("no room")
        return [Reply(text=self.answer, truncated=False) for _ in questions]


@pytest.fixture
def edited(photos_json, tmp_path):
    """The four photographs, edited by nobody."""
    config = Config(benchmark=photos_json, run=(tmp_path / "run",), editor=Unchanged(), rubric="brief-1")
    assert edit(config, World()) == 0
    return config


def judged(config: Config, judge: Judge, **changes) -> list[Score]:
    from dataclasses import replace

    config = replace(config, judge=judge, **changes)
    score(config, World())
    return read_records(RunDir(config.the_run).scores(judge.name), Score)


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


def test_scores_stand_in_benchmark_order_whatever_their_batch(edited):
    scores = judged(edited, PlannedJudge(), batch_size=3)
    run = RunDir(edited.the_run)
    assert [record.pair_id for record in scores] == [pair.pair_id for pair in run.read_pairs()]


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
