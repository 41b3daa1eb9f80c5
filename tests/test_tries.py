"""Edits as people make them: several sources, tries, turns, languages, rewritten prompts, images made elsewhere."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from editbench.config import Config
from editbench.editors import EditFailed, Editor, Saved, Unchanged
from editbench.errors import UsageError
from editbench.images import decode
from editbench.process.world import World
from editbench.records import Edit
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir, seed_for
from editbench.stages.edit import edit
from tests.conftest import same, start, tree


@dataclass(kw_only=True)
class MixingEditor(Editor):
    """Adds its sources to a colour that follows from instruction and seed, and remembers what it was asked."""

    fails_at: str = ""
    seen: list[tuple[str, str, int, int]] = field(default_factory=list[tuple[str, str, int, int]], init=False)
    neutral = frozenset({"fails_at"})
    max_sources: ClassVar[int | None] = 2

    def edit(self, pair, sources, seed):
        self.seen.append((pair.pair_id, pair.instruction, len(sources), seed))
        if self.fails_at and self.fails_at in pair.instruction:
            raise EditFailed("planned")
        level = sum(source.getpixel((0, 0))[0] for source in sources) + len(pair.instruction)
        return Image.new("RGB", sources[0].size, (level % 256, seed % 256, seed // 256 % 256))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        Image.new("RGB", (4, 4), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "bench.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def configured(benchmark: Path, **options: Any) -> Config:
    editor = options.pop("editor", None) or MixingEditor()
    return Config(benchmark=benchmark, run_dir=(benchmark.parent / "run",), editor=editor, **options)


def edits(config: Config) -> list[Edit]:
    return list(read_records(RunDir(config.the_run).manifest, Edit))


TWO = {"id": "two", "source": ["1.png", "2.png"], "instruction": "Swap.", "reference": "3.png"}
ONE = {"id": "one", "source": "1.png", "instruction": "Turn."}


def test_an_editor_gets_all_sources_and_the_run_keeps_them_and_the_judge_s_pictures(folder):
    config = configured(write(folder, TWO, ONE))
    assert edit(config, World()) == 0
    assert [seen[::2] for seen in config.editor.seen] == [("two", 2), ("one", 1)]
    assert set(tree(config.the_run, "sources")) == {"two.png", "two.2.png", "one.png"}
    run = RunDir(config.the_run)
    assert decode(run.source("two", 1).read_bytes()).getpixel((0, 0)) == (80, 0, 0)
    assert decode(run.reference("two", "reference").read_bytes()).getpixel((0, 0)) == (120, 0, 0)
    run.source("two", 1).unlink()
    run.reference("two", "reference").unlink()
    assert edit(config, World()) == 0
    assert len(config.editor.seen) == 2
    assert run.source("two", 1).exists()
    assert run.reference("two", "reference").exists()


def test_an_editor_that_takes_fewer_pictures_refuses_the_pair_before_it_loads(folder):
    three = {"id": "three", "source": ["1.png", "2.png", "3.png"], "instruction": "x", "category": "mix"}
    config = configured(write(folder, ONE, three), categories=("mix",))
    with pytest.raises(UsageError, match=r"MixingEditor takes 2 pictures a pair; 1 of 1 pairs have more: three \(3\)"):
        edit(config, World())
    assert not config.the_run.exists()
    assert edit(replace(config, categories=("all",)), World()) == 0
    assert edit(replace(config, editor=Unchanged(), run_dir=(folder / "other",)), World()) == 0


def test_each_try_has_a_seed_and_an_image_of_its_own_and_the_first_is_the_one_without_tries(folder):
    config = configured(write(folder, TWO, ONE))
    edit(config, World())
    before = tree(config.the_run, "images")
    assert edit(replace(config, edits=3), World()) == 0
    found = edits(config)
    assert [(one.pair_id, one.try_) for one in found] == [(name, try_) for name in ("two", "one") for try_ in range(3)]
    assert [one.seed for one in found[:3]] == [seed_for(0, "two"), seed_for(0, "two", 1), seed_for(0, "two", 2)]
    after = tree(config.the_run, "images")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"{name}.try{try_}.png" for name in ("one", "two") for try_ in (1, 2)}
    assert len(set(after.values())) == 6
    assert len(config.editor.seen) == 6, "the first try of each was made twice"
    edit(config, World())  # fewer tries drop none
    assert len(edits(config)) == 6
    (config.the_run / "images" / "one.try2.png").unlink()
    assert edit(replace(config, edits=3), World()) == 0
    assert tree(config.the_run, "images") == after
    assert len(config.editor.seen) == 7


def test_turns_go_on_from_each_result_and_every_step_is_kept(folder):
    config = configured(write(folder, {"id": "a", "source": ["1.png", "2.png"], "turns": ["Red.", "Blue it.", "Go."]}))
    assert edit(config, World()) == 0
    instructions = [seen[1] for seen in config.editor.seen]
    assert instructions == ["Red.", "Blue it.", "Go."]
    assert len({seen[3] for seen in config.editor.seen}) == 3, "a turn has the seed that its source was made with"
    [made] = edits(config)
    assert made.steps == ("images/a.turn1.png", "images/a.turn2.png")
    steps = [decode((config.the_run / step).read_bytes()).getpixel((0, 0)) for step in (*made.steps, made.image)]
    first = 40 + 80 + len("Red.")
    second = first + 80 + len("Blue it.")
    assert [level for level, _, _ in steps] == [first, second % 256, (second % 256 + 80 + len("Go.")) % 256]
    (config.the_run / made.steps[0]).unlink()
    assert edit(config, World()) == 0
    assert len(config.editor.seen) == 6


def test_a_turn_that_fails_is_named_and_leaves_no_image(folder):
    config = configured(write(folder, {"id": "a", "source": "1.png", "turns": ["Red.", "Blue."]}))
    assert edit(replace(config, editor=MixingEditor(fails_at="Blue")), World()) == 1
    [made] = edits(config)
    assert (made.image, made.error, made.steps) == (None, "turn 2 of 2: planned", ())
    assert tree(config.the_run, "sources").keys() == {"a.png"}
    assert edit(config, World()) == 0


def test_both_languages_are_edited_as_pairs_of_their_own(folder):
    row = {"id": "a", "source": "1.png", "instruction": "Red.", "instruction_zh": "红"}
    config = configured(write(folder, row), language="all")
    assert edit(config, World()) == 0
    assert [seen[:2] for seen in config.editor.seen] == [("a.en", "Red."), ("a.zh", "红")]
    with pytest.raises(UsageError, match=r"language: 'all' there, 'en' now"):
        edit(replace(config, language="en"), World())


def test_a_rewritten_prompt_reaches_the_editor_and_stands_in_the_record(folder):
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"pair_id": "two", "prompt": "Swap both."}\n{"pair_id": "one", "prompt": "Turn it round."}\n')
    config = configured(write(folder, TWO, ONE), rewrite=prompts)
    assert edit(config, World()) == 0
    assert [seen[1] for seen in config.editor.seen] == ["Swap both.", "Turn it round."]
    assert [one.prompt for one in edits(config)] == ["Swap both.", "Turn it round."]
    assert RunDir(config.the_run).read_pairs()[0].instruction == "Swap."
    assert edit(config, World()) == 0
    assert len(config.editor.seen) == 2
    with pytest.raises(UsageError, match=r"prompts: 'rewritten' there, 'the instructions' now"):
        edit(replace(config, rewrite=None), World())
    prompts.write_text(prompts.read_text().replace("Turn it round.", "Turn it over."))
    with pytest.raises(UsageError, match="1 of 2 finished pairs"):
        edit(config, World())
    assert edit(replace(config, accept_changes=True), World()) == 0
    assert [seen[1] for seen in config.editor.seen[2:]] == ["Turn it over."]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"pair_id": "two", "prompt": "x"}', r"no prompt for 1 of 2 pairs \('one'"),
        ('{"pair_id": "two"}', "row 1, prompt: is null; give text"),
        ('{"pair_id": "two", "prompt": " "}', "row 1, prompt: is empty; give text"),
        ('{"pair_id": "two", "prompt": "x"}\n{"pair_id": "two", "prompt": "y"}', "has a prompt already; keep one"),
        ("", "holds no prompt"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(folder, text, wrong):
    (folder / "prompts.jsonl").write_text(text)
    with pytest.raises(UsageError, match=wrong):
        edit(configured(write(folder, TWO, ONE), rewrite=folder / "prompts.jsonl"), World())


def test_two_ranks_make_what_one_makes_of_sources_tries_and_turns(folder):
    rows = [TWO, ONE, {"id": "turns", "source": "4.png", "turns": ["Red.", "Blue."]}, {**TWO, "id": "more"}]
    path = write(folder, *rows)
    options = ("--benchmark", path, "--editor", "tests.test_tries.MixingEditor", "--edits", "2")
    for ranks in (1, 2):
        start("edit.py", *options, "--run_dir", folder / f"ranks{ranks}", ranks=ranks)
    assert same(folder / "ranks2", folder / "ranks1")
    for name in ("sources", "references", "images"):
        assert tree(folder / "ranks2", name) == tree(folder / "ranks1", name)
    assert len(tree(folder / "ranks1", "images")) == 10


def test_edits_of_a_changed_pair_count_no_more_once_the_change_is_accepted(folder):
    config = configured(write(folder, TWO, ONE))
    edit(config, World())
    write(folder, {**TWO, "instruction": "Swap them."}, {**ONE, "instruction": "Turn it."})
    assert edit(replace(config, accept_changes=True, limit=1), World()) == 0
    run = RunDir(config.the_run)
    assert set(run.edits(run.read_pairs())) == {("two", 0)}
    assert edit(replace(config, accept_changes=True), World()) == 0
    assert set(run.edits(run.read_pairs())) == {("two", 0), ("one", 0)}


# ---- images made elsewhere


@pytest.fixture
def saved(folder: Path) -> Path:
    place = folder / "saved"
    for number, name in enumerate(("tone/en/k1.PNG", "tone/en/k2.jpg", "flat/a.png")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if name.endswith("jpg") else "PNG"
        Image.new("RGB", (4, 4), (0, 100 * number, 0)).save(place / name, kind)
    return place


KEYS = [
    {"id": f"x/{key}", "key": key, "category": "tone", "source": "1.png", "instruction": "Warm."}
    for key in ("k1", "k2")
]


def test_saved_images_are_found_by_a_template_in_any_case_of_the_ending(folder, saved):
    editor = Saved(folder=str(saved), template="{category}/{language}/{key}.png")
    config = configured(write(folder, *KEYS), editor=editor)
    assert edit(config, World()) == 0
    assert [one.error for one in edits(config)] == [None, None]
    image = RunDir(config.the_run).image("x/k1")
    assert decode(image.read_bytes()).getpixel((0, 0)) == (0, 0, 0)
    shutil.copy(saved / "flat" / "a.png", saved / "tone" / "en" / "k1.PNG")
    with pytest.raises(UsageError, match=r"1 of 2 finished pairs \(x/k1, …\) have another .* saved image now"):
        edit(config, World())


def test_saved_images_are_found_by_a_table(folder, saved):
    (folder / "paths.csv").write_text("pair_id,path\nx/k1,flat/a.png\nx/k2,../1.png\n")
    config = configured(write(folder, *KEYS), editor=Saved(folder=str(saved), table=str(folder / "paths.csv")))
    assert edit(config, World()) == 0
    first, second = edits(config)
    assert first.error is None
    assert second.error == f"no ../1.png (or .jpg, .webp, …) in {saved}"


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"folder": "nowhere"}, "no such folder"),
        ({"template": "{nope", "folder": "saved"}, "does not work as a template"),
        ({"template": "a.png", "folder": "saved"}, "names no field"),
        ({"template": "{key}.png", "table": "x.csv", "folder": "saved"}, "give template or table, not both"),
        ({"table": "x.csv", "folder": "saved"}, "there is no such file"),
        ({"folder": "empty"}, "no image there"),
    ],
)
def test_settings_that_find_nothing_are_refused(folder, saved, monkeypatch, settings, wrong):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=wrong):
        Saved(**settings).check()


def test_a_template_s_field_that_a_pair_lacks_is_that_pair_s_error(folder, saved):
    config = configured(write(folder, *KEYS), editor=Saved(folder=str(saved), template="{nope}/{key}.png"))
    assert edit(config, World()) == 1
    assert "needs the field nope, which the pair does not have" in edits(config)[0].error


def test_a_run_s_own_images_and_a_folder_of_other_files_are_refused(folder, saved):
    config = configured(
        write(folder, *KEYS), editor=Saved(folder=str(saved), template="{category}/{language}/{key}.png")
    )
    edit(config, World())
    before = tree(config.the_run, "images")
    with pytest.raises(UsageError, match=r"lies in the run .* itself"):
        edit(replace(config, editor=Saved(folder=str(config.the_run / "images"))), World())
    with pytest.raises(UsageError, match="holds files and is no run"):
        edit(replace(config, run_dir=(folder,), editor=MixingEditor()), World())
    with pytest.raises(UsageError, match="Saved has one image a pair"):
        edit(replace(config, edits=2), World())
    assert tree(config.the_run, "images") == before
    assert not (folder / "logs").exists()


def test_a_refused_start_leaves_no_run_behind(folder):
    for refused in ({"id": "a", "source": "none.png", "instruction": "x"}, {"id": "a", "source": "1.png"}):
        config = configured(write(folder, refused))
        with pytest.raises(UsageError):
            edit(config, World())
        assert not config.the_run.exists()


def test_an_image_that_cannot_be_written_is_that_pair_s_error(folder):
    @dataclass(kw_only=True)
    class OddEditor(Editor):
        def edit(self, pair, sources, seed):
            return Image.new("F", (4, 4)) if pair.pair_id == "one" else Image.new("RGB", (9000, 9000))

    config = configured(write(folder, ONE, {**ONE, "id": "large"}, {**ONE, "id": "fine"}), editor=MixingEditor())
    config = replace(config, editor=OddEditor())
    assert edit(config, World()) == 1
    assert "mode F" in edits(config)[0].error
    assert "9000 × 9000 pixels" in edits(config)[1].error
