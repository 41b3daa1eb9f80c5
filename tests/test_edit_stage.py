"""The edit loop, driven by editors whose failures are planned."""

import json
import shutil
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields, replace
from pathlib import Path

import msgspec
import pytest
import torch
from PIL import Image

from editbench.benchmark import load_pairs
from editbench.config import Config, deciding
from editbench.editors import Diffusers, EditFailed, Editor, QwenImageEdit, Saved, Unchanged
from editbench.errors import UsageError
from editbench.judges import QwenVL, Server
from editbench.process.world import World
from editbench.records import Edit, Pair, Picture
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.edit_plan import edit_key_of
from tests.conftest import those_that_change, tree


@dataclass(kw_only=True)
class PlannedEditor(Editor):
    """Inverts the source, but raises for the category that it is told to fail at."""

    fails: str = ""
    how: str = "EditFailed"
    made: int = 0
    neutral = frozenset({"fails", "how", "made"})

    def edit(self, pair, sources, seed):
        self.made += 1
        if pair.category == self.fails:
            raise {
                "EditFailed": EditFailed("refused: the safety checker blanked it"),
                "OutOfMemory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
                "Bug": ZeroDivisionError("division by zero"),
                "Poisoned": torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
                "DiskFull": OSError(28, "No space left on device"),
            }[self.how]
        return Image.eval(sources[0], lambda value: 255 - value)


def test_checking_says_so_in_one_line_and_writes_nothing(photos_json, tmp_path, caplog):
    config = replace(configured(photos_json, tmp_path, Unchanged()), check=True)
    assert edit(config, World()) == 0
    assert caplog.messages == [f"{photos_json}: checked, 4 pairs."]
    assert not config.the_run.exists()


def configured(photos_json, tmp_path, editor: Editor) -> Config:
    return Config(benchmark=photos_json, run_dir=(tmp_path / "run",), editor=editor)


@pytest.mark.parametrize(
    ("how", "words"), [("EditFailed", "refused"), ("OutOfMemory", "out of memory"), ("Bug", "ZeroDivisionError")]
)
def test_a_pair_that_fails_is_recorded_with_its_reason_and_tried_again(photos_json, tmp_path, how, words):
    config = configured(photos_json, tmp_path, PlannedEditor(fails="因果", how=how))
    assert edit(config, World()) == 0
    rows = list(read_records(RunDir(config.the_run).manifest, Edit))
    assert [row.image is None for row in rows] == [False, False, True, False]
    assert words in rows[2].error

    mended = PlannedEditor()
    edit(replace(config, editor=mended), World())
    assert mended.made == 1
    assert all(row.error is None for row in read_records(RunDir(config.the_run).manifest, Edit))


@pytest.mark.parametrize("how", ["Poisoned", "DiskFull"])
def test_a_process_that_cannot_go_on_stops_and_blames_no_later_pair(photos_json, tmp_path, how):
    config = configured(photos_json, tmp_path, PlannedEditor(fails="物理", how=how))
    with pytest.raises((RuntimeError, OSError)):
        edit(config, World())
    run = RunDir(config.the_run)
    found = run.latest(Edit, "edit", run.manifest)
    assert [row.error for row in found.values()] == [None]
    edit(replace(config, editor=PlannedEditor()), World())
    assert len(list(read_records(run.manifest, Edit))) == 4


def test_a_run_in_which_everything_failed_says_so_by_its_exit_code(photos_json, tmp_path):
    config = configured(photos_json, tmp_path, PlannedEditor(fails="因果"))
    assert edit(replace(config, categories=("causal",)), World()) == 1
    assert edit(replace(config, max_failures=0), World()) == 1
    assert edit(replace(config, max_failures=1), World()) == 0


def test_checking_writes_nothing(photos_json, tmp_path):
    config = configured(photos_json, tmp_path, Unchanged())
    assert edit(replace(config, check=True), World()) == 0
    assert not config.the_run.exists()


def test_whatever_changes_pixels_changes_the_key():
    first, second = Picture(sha256="s"), Picture(sha256="t")
    pair = Pair(pair_id="a", category="causal", instruction="x", sources=(first,))
    changed = msgspec.structs.replace
    editor = QwenImageEdit(lora="a/b/c.safetensors")
    key_of = edit_key_of(editor, {})
    keys = {
        key_of(pair, 1),
        key_of(pair, 2),
        key_of(pair, 1, "a rewritten prompt"),
        edit_key_of(editor, {"weights": "0123"})(pair, 1),
        key_of(changed(pair, instruction="y"), 1),
        key_of(changed(pair, turns=("x", "y")), 1),
        key_of(changed(pair, sources=(second,)), 1),
        key_of(changed(pair, sources=(first, second)), 1),
        key_of(changed(pair, sources=(second, first)), 1),
        *(
            edit_key_of(replace(editor, **{name: value}), {})(pair, 1)
            for name, value in {
                "model": "other/model",
                "revision": "abc",
                "dtype": "float32",
                "num_inference_steps": 8,
                "true_cfg_scale": 1.0,
                "negative_prompt": "blurry",
                "call": {"height": 512},
                "pipeline": "QwenImageEditPlusPipeline",
                "fast": False,
                "lora": "few/steps/a.safetensors",
                "scheduler": {"shift_terminal": None},
                "first_block_cache": 0.1,
                "fp8_weights": True,
                "lora_weights": [0.5],
                "quantization_config": {"quant_backend": "torchao"},
            }.items()
        ),
    }
    assert len(keys) == 24
    assert edit_key_of(replace(editor, offload="model"), {})(pair, 1) == key_of(pair, 1)
    assert key_of(changed(pair, rationale="r", tags=("t",)), 1) == key_of(pair, 1)


def test_guidance_gets_its_negative_prompt_exactly_when_it_is_asked_for():
    assert QwenImageEdit(true_cfg_scale=4.0).call_arguments()["negative_prompt"] == " "
    assert QwenImageEdit(true_cfg_scale=1.0).call_arguments()["negative_prompt"] is None


PLUGINS = (Unchanged(), Saved(folder="x"), Diffusers(model="x"), QwenImageEdit(), QwenVL(), Server(model="x"))
NEUTRAL = {"offload", "device_map", "compiled", "base_url", "key_variable", "num_requests", "timeout_s", "num_attempts"}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: type(plugin).__name__)
def test_every_field_of_an_editor_or_a_judge_decides_unless_it_is_known_to_be_neutral(plugin):
    decides = deciding(plugin)["init_args"]
    for field in fields(plugin):
        if field.init and field.name not in NEUTRAL:
            another = copy(plugin)
            setattr(another, field.name, "another value")
            assert deciding(another)["init_args"] != decides, field.name
    assert plugin.neutral <= NEUTRAL


def ids_of(config: Config) -> list[str]:
    return [pair.pair_id for pair in RunDir(config.the_run).read_pairs()]


def test_every_setting_that_changes_edits_is_noticed_by_the_next_launch(photos_json, tmp_path):
    config = configured(photos_json, tmp_path, Unchanged())
    edit(config, World())
    another = json.loads(photos_json.read_text(encoding="utf-8"))
    another[0]["edit_instruction_en"] = "Something else."
    path = tmp_path / "another.json"
    path.write_text(json.dumps(another), encoding="utf-8")
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("pair_id,prompt\n" + "".join(f"{pair_id},Do it.\n" for pair_id in ids_of(config)))
    others = {
        "benchmark": path,
        "language": "zh",
        "seed": 1,
        "editor": PlannedEditor(),
        "rewrite": prompts,
        "columns": {"instruction": "original_description_en"},
    }
    names = those_that_change("edits") - {"accept_changes"}  # which is the wish to have them made again
    names -= {"files"}  # of a folder; see test_data_forms.py
    assert names == set(others), "a field of Config that changes edits has no value here to try"
    for name, value in others.items():
        with pytest.raises(UsageError, match=f"{name}|class_path|has changed since|prompts:"):
            edit(replace(config, **{name: value}), World())


def test_a_source_that_changed_is_refused_and_then_made_anew_alone(dots, tmp_path):
    folder = tmp_path / "dots"
    shutil.copytree(dots.parent, folder)
    config = configured(folder / dots.name, tmp_path, PlannedEditor())
    edit(config, World())
    before = tree(config.the_run, "images")
    Image.new("RGB", (4, 4), "lime").save(folder / "3.png")
    with pytest.raises(UsageError, match="1 of 12 finished pairs"):
        edit(config, World())
    mended = PlannedEditor()
    assert edit(replace(config, editor=mended, accept_changes=True), World()) == 0
    after = tree(config.the_run, "images")
    assert mended.made == 1
    assert [name for name in before if before[name] != after[name]] == ["dot03.png"]


def test_a_saved_image_that_was_replaced_is_refused_and_then_taken_anew_alone(dots, tmp_path):
    saved = tmp_path / "saved"
    shutil.copytree(dots.parent, saved)
    for number in range(12):
        (saved / f"{number}.png").rename(saved / f"dot{number:02d}.png")
    config = configured(dots, tmp_path, Saved(folder=str(saved)))
    edit(config, World())
    before = tree(config.the_run, "images")
    Image.new("RGB", (4, 4), "lime").save(saved / "dot03.png")
    with pytest.raises(UsageError, match=r"1 of 12 finished pairs \(dot03, …\) have another .* saved image now"):
        edit(config, World())
    assert edit(replace(config, accept_changes=True), World()) == 0
    after = tree(config.the_run, "images")
    assert [name for name in before if before[name] != after[name]] == ["dot03.png"]
    (saved / "dot03.png").unlink()
    assert edit(replace(config, accept_changes=True, max_failures=0), World()) == 1
    assert not RunDir(config.the_run).image("dot03").exists()


def test_an_image_without_a_record_is_counted_and_made_again(dots, tmp_path):
    config = configured(dots, tmp_path, PlannedEditor())
    edit(config, World())
    manifest = RunDir(config.the_run).manifest
    whole = manifest.read_bytes()
    manifest.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
    again = PlannedEditor()
    edit(replace(config, editor=again), World())
    assert again.made == 2
    logged = (config.the_run / "logs" / "edit.rank0.log").read_text()
    assert "2 images have no record that vouches for them and are made again." in logged
    assert len(list(read_records(manifest, Edit))) == 12


@dataclass(kw_only=True)
class NoPicture(Editor):
    """Forgets to return one."""

    def edit(self, pair, sources, seed):
        pass


def test_an_editor_that_gives_no_picture_has_failed(photos_json, tmp_path):
    config = configured(photos_json, tmp_path, NoPicture())
    assert edit(config, World()) == 1
    rows = list(read_records(RunDir(config.the_run).manifest, Edit))
    assert {row.error for row in rows} == {"the editor gave NoneType and no picture"}


def test_a_whole_benchmark_that_is_the_same_byte_for_byte_is_not_read_row_by_row_again(dots, tmp_path, monkeypatch):
    folder = tmp_path / "dots"
    shutil.copytree(dots.parent, folder)
    config = configured(folder / dots.name, tmp_path, PlannedEditor())
    edit(replace(config, limit=2), World())
    edit(config, World())
    read = []
    monkeypatch.setattr(
        "editbench.stages.edit_plan.load_pairs", lambda *args, **how: read.append(1) or load_pairs(*args, **how)
    )
    run = RunDir(config.the_run)

    def num_read_after(path: Path, change: Callable[[bytes], bytes]) -> int:
        was, before = path.read_bytes(), len(read)
        path.write_bytes(change(was))
        assert edit(replace(config, accept_changes=True), World()) == 0
        assert len(list(read_records(run.manifest, Edit))) == 12
        if path != run.checked and path != run.pairs:
            path.write_bytes(was)
            edit(replace(config, accept_changes=True), World())
        return len(read) - before

    assert num_read_after(run.config, lambda text: text) == 0
    Image.new("RGB", (4, 4), "lime").save(folder / "lime.png")
    lime = (folder / "lime.png").read_bytes()
    assert num_read_after(folder / "3.png", lambda _: lime) == 2
    assert num_read_after(config.the_benchmark, lambda text: text.replace(b"Turn it.", b"Turn it!", 1)) == 2
    for file in (run.pairs, run.checked):
        for cut in (0, 10, -10):
            assert num_read_after(file, lambda text, cut=cut: text[:cut]) == 1
            assert num_read_after(run.config, lambda text: text) == 0


def test_a_launch_some_of_whose_records_cannot_be_read_at_its_end_says_so(photos_json, tmp_path, monkeypatch):
    config = configured(photos_json, tmp_path, Unchanged())
    merge = RunDir.merge

    def without_one(run, *args):  # as where a network disk does not show another machine's part yet
        (part,) = run.root.glob("parts/*")
        whole = part.read_bytes()
        part.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
        found = merge(run, *args)
        run.part("edit", 2, 0).append(Edit.from_json(whole.splitlines()[0]))
        monkeypatch.setattr(RunDir, "edits", lambda run, pairs: found)
        return found

    monkeypatch.setattr(RunDir, "merge", without_one)
    with pytest.raises(OSError, match="1 of 4 pairs"):
        edit(config, World())
    monkeypatch.undo()
    assert edit(config, World()) == 0
    assert len(list(read_records(RunDir(config.the_run).manifest, Edit))) == 4


def test_an_edit_whose_pair_is_damaged_in_the_run_outlives_a_launch_of_fewer_pairs(dots, tmp_path):
    config = configured(dots, tmp_path, Unchanged())
    run = RunDir(config.the_run)
    edit(config, World())
    lines = run.pairs.read_bytes().splitlines(keepends=True)
    run.pairs.write_bytes(b"".join([*lines[:6], bytes(100), *lines[7:]]))
    edited = run.manifest.read_bytes()
    edit(replace(config, limit=1), World())
    assert run.manifest.read_bytes() == edited
    assert run.pairs.read_bytes() == b"".join(lines)
