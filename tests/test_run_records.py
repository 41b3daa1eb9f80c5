"""What of a run directory counts, and what the reader is told of the rest."""

from dataclasses import dataclass, replace

import msgspec
import pytest
import yaml

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Judge, Reply
from editbench.process.world import World
from editbench.records import Edit, Pair
from editbench.rubrics import Brief
from editbench.run.durable import read_records, write_records
from editbench.run.run_dir import RunDir, sha256
from editbench.stages.edit import edit
from editbench.stages.run_records import read_run
from editbench.stages.score import score
from editbench.stats.judge_health import examine
from editbench.stats.summary import summarize


@dataclass(kw_only=True)
class Says(Judge):
    """The same to everything."""

    answer: str = "5.0"

    def replies(self, messages):
        return [Reply(text=self.answer) for _ in messages]


@dataclass(kw_only=True)
class Foreign(Brief):
    """A rubric of somebody else's module, whose formula halves."""

    def values(self, pair, readings):
        number = readings.get("score")
        return {"value": None if number is None else number / 2}


@pytest.fixture
def scored(dots, tmp_path):
    config = Config(benchmark=dots, run_dir=(tmp_path / "run",), editor=Unchanged(), judge=Says(), rubric=Brief())
    assert edit(config, World()) == 0
    assert score(config, World()) == 0
    return config


def the_run(config, **given):
    (found,) = read_run(RunDir(config.the_run), **given)
    return found


def test_a_run_is_read_whole_with_its_rubric(scored):
    found = the_run(scored)
    summary = summarize(found)
    assert (summary.overall.mean, summary.overall.num_scored, summary.overall.num_pairs) == (5.0, 12, 12)
    assert (found.rubric, found.scale, found.notes) == (Brief(), (0.0, 10.0), ())
    assert summary.remarks == ("environmental, social, referential have no pair.",)
    assert set(found.dimensions) == {"score"}
    assert found.sources["dot00"] == ("sources/dot00.png",)


def test_an_edit_counts_only_while_its_image_is_there_as_recorded(scored):
    run = RunDir(scored.the_run)
    run.image("dot03").write_bytes(run.image("dot04").read_bytes())
    run.image("dot05").unlink()
    found = the_run(scored)
    assert [name for name, end in found.outcomes.items() if end.status == "pending"] == ["dot03", "dot05"]
    assert summarize(found).overall.num_scored == 10
    assert found.notes == (
        "2 edits are not counted: the image is gone or is not as recorded; edit.py makes them again.",
    )


def change(config, pair_id, **changes):
    run = RunDir(config.the_run)
    pairs = [
        msgspec.structs.replace(pair, **changes) if pair.pair_id == pair_id else pair
        for pair in read_records(run.pairs, Pair)
    ]
    write_records(run.pairs, pairs)


def test_an_edit_of_another_instruction_and_a_score_of_another_question_do_not_count(scored):
    change(scored, "dot01", instruction="Turn it the other way.")
    found = the_run(scored)
    assert found.outcomes["dot01"].status == "pending"
    assert found.notes[0].startswith("1 edit is not counted: the pair has another instruction or source now")
    change(scored, "dot01", instruction="Turn it.", category="social")  # the judge is asked about another aspect
    found = the_run(scored)
    assert found.outcomes["dot01"].status == "not scored"
    assert found.notes[0].startswith("1 score is not counted: the image, or what the judge is asked, has changed since")


def test_a_damaged_line_of_the_pairs_is_refused_and_does_not_make_them_fewer(scored):
    path = RunDir(scored.the_run).pairs
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0][:20] + b"\n", *lines[1:]]))
    with pytest.raises(UsageError, match="1 of 12 lines can't be read"):
        the_run(scored)


def test_a_rubric_from_outside_is_not_imported_unless_the_user_names_it(scored):
    path = RunDir(scored.the_run).protocol(scored.the_scores)
    how = yaml.safe_load(path.read_text())
    how["rubric"]["class_path"] = f"{Foreign.__module__}.Foreign"
    path.write_text(yaml.safe_dump(how))
    stored = the_run(scored)
    assert (stored.rubric, stored.outcomes["dot00"].value, stored.scale) == (None, 5.0, None)
    assert "give it: --rubric tests.test_run_records.Foreign" in stored.notes[0]
    derived = the_run(scored, rubric=Foreign())
    assert (derived.rubric, derived.outcomes["dot00"].value) == (Foreign(), 2.5)


def test_controls_of_earlier_pictures_are_not_held_against_new_edits(photos_json, tmp_path):
    config = Config(
        benchmark=photos_json, run_dir=(tmp_path / "run",), editor=Unchanged(), judge=Says(), rubric=Brief()
    )
    edit(config, World())
    score(replace(config, controls=3), World())
    found = the_run(config)
    assert (examine(found).num_sampled, found.notes) == (3, ())
    name = min(pair.pair_id.rpartition(" (")[0] for pair in found.controls.pairs)
    run = RunDir(config.the_run)
    new = run.image("another")
    new.write_bytes(run.source(name).read_bytes() + b"0")
    edits = [
        msgspec.structs.replace(one, sha256=sha256(new.read_bytes()), image="images/another.png")
        if one.pair_id == name
        else one
        for one in read_records(run.manifest, Edit)
    ]
    write_records(run.manifest, edits)
    found = the_run(config)
    assert examine(found).num_sampled == 2
    assert found.notes[-1] == (
        "Controls of 1 pair are of earlier pictures and not used; score.py --controls 3 makes them again."
    )


def test_several_score_files_are_several_records_of_one_run(scored):
    score(replace(scored, judge=Says(answer="7.0"), scores="other"), World())
    found = list(read_run(RunDir(scored.the_run)))
    assert [one.name for one in found] == [f"run · {name}" for name in RunDir(scored.the_run).score_names()]
    assert {summarize(one).overall.mean for one in found} == {5.0, 7.0}
    with pytest.raises(UsageError, match="--scores none"):
        list(read_run(RunDir(scored.the_run), "none"))
