"""A checkpoint that is broken is said in a sentence before weights load; other weights under one name are noticed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from editbench.editors import QwenImageEdit
from editbench.errors import UsageError
from editbench.judges import QwenVL
from editbench.models.checkpoints import identity, locate, safetensors_header
from tests.conftest import start

EDITOR, JUDGE = (Path(locate(f"editbench:demo/{name}")) for name in ("editor", "judge"))
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 40000000000\n"


def pointer(folder: Path, name: str) -> None:
    (folder / name).write_text(POINTER)


def gone(folder: Path, name: str) -> None:
    (folder / name).unlink()


def pickled(folder: Path, name: str) -> None:
    (folder / name).rename(folder / (name.removesuffix(".safetensors") + ".bin"))


def cut_off(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1000])


def empty(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")


def a_shard_missing(folder: Path, name: str) -> None:
    stem = name.removesuffix(".safetensors")
    parts = [f"{stem}-{number:05d}-of-00002.safetensors" for number in (1, 2)]
    (folder / name).rename(folder / parts[0])
    index = {"metadata": {}, "weight_map": {"a": parts[0], "b": parts[1]}}
    (folder / f"{name}.index.json").write_text(json.dumps(index))


def only_a_variant(folder: Path, name: str) -> None:
    (folder / name).rename(folder / name.replace(".safetensors", ".fp16.safetensors"))


BROKEN = [
    (pointer, "is a git-lfs pointer and not the file itself; run `git lfs pull`"),
    (gone, "holds no model.safetensors"),
    (pickled, "only pickled weights"),
    (cut_off, "is cut off"),
    (empty, "is cut off"),
    (a_shard_missing, "1 of the 2 files of weights .* are missing, such as .*-00002-of-00002"),
    (only_a_variant, "fp16.safetensors"),
]


@pytest.mark.parametrize(("breaks", "said"), BROKEN)
def test_a_broken_editor_is_found_by_check(tmp_path, breaks, said):
    shutil.copytree(EDITOR, tmp_path / "editor")
    breaks(tmp_path / "editor" / "transformer", "diffusion_pytorch_model.safetensors")
    with pytest.raises(UsageError, match=said) as error:
        QwenImageEdit(model=str(tmp_path / "editor")).check()
    assert str(tmp_path / "editor") in str(error.value)


@pytest.mark.parametrize(("breaks", "said"), BROKEN)
def test_a_broken_judge_is_found_by_check(tmp_path, breaks, said):
    shutil.copytree(JUDGE, tmp_path / "judge")
    breaks(tmp_path / "judge", "model.safetensors")
    with pytest.raises(UsageError, match=said):
        QwenVL(model=str(tmp_path / "judge")).check()


def test_whole_checkpoints_pass_and_so_do_shards(tmp_path):
    QwenImageEdit(model="editbench:demo/editor").check()
    QwenVL(model="editbench:demo/judge").check()
    shutil.copytree(JUDGE, tmp_path / "judge")
    weights = load_file(tmp_path / "judge" / "model.safetensors")
    names = sorted(weights)
    (tmp_path / "judge" / "model.safetensors").unlink()
    where = {}
    for number, part in enumerate((names[:10], names[10:]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, tmp_path / "judge" / file)
        where |= dict.fromkeys(part, file)
    (tmp_path / "judge" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    QwenVL(model=str(tmp_path / "judge")).check()


@pytest.mark.parametrize("text", [POINTER, "{", "[]"])
def test_an_index_that_cannot_be_read_is_said(tmp_path, text):
    shutil.copytree(EDITOR, tmp_path / "editor")
    (tmp_path / "editor" / "model_index.json").write_text(text)
    with pytest.raises(UsageError, match=r"git-lfs pointer|is not JSON|is not a JSON object"):
        QwenImageEdit(model=str(tmp_path / "editor")).check()


def test_a_part_that_the_index_names_must_be_there(tmp_path):
    shutil.copytree(EDITOR, tmp_path / "editor")
    shutil.rmtree(tmp_path / "editor" / "vae")
    with pytest.raises(UsageError, match="names the part vae, and there is no such folder"):
        QwenImageEdit(model=str(tmp_path / "editor")).check()


@pytest.mark.parametrize("part", ["editor", "judge"])
def test_check_ends_with_code_2_and_one_sentence_before_anything_is_made(dots, tmp_path, part):
    shutil.copytree(EDITOR if part == "editor" else JUDGE, tmp_path / "model")
    folder = tmp_path / "model" / ("transformer" if part == "editor" else "")
    pointer(folder, "diffusion_pytorch_model.safetensors" if part == "editor" else "model.safetensors")
    argv = ("--config", "demo", f"--{part}.init_args.model", tmp_path / "model", "--benchmark", dots)
    for more in (("--check",), ()):
        done = start("edit.py", *argv, "--run_dir", tmp_path / "run", *more, code=2)
        assert "git-lfs pointer" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_header_is_read_or_refused_whatever_the_file_holds(tmp_path_factory, data):
    whole = (EDITOR / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
    file = tmp_path_factory.mktemp("file") / "a.safetensors"
    length = 8 + int.from_bytes(whole[:8], "little")
    place = data.draw(st.integers(0, length - 1))
    file.write_bytes(whole[:place] + data.draw(st.binary(min_size=0, max_size=20)) + whole[place:][: len(whole) // 2])
    with pytest.raises(ValueError, match=r"safetensors|cut off|more bytes"):
        safetensors_header(file)


def of(folder: Path) -> dict[str, str]:
    return identity(str(folder), None, "model_index.json", option="--editor.init_args.model")


def test_other_weights_under_the_same_name_have_another_identity_and_the_same_weights_elsewhere_the_same(tmp_path):
    shutil.copytree(EDITOR, tmp_path / "a")
    shutil.copytree(EDITOR, tmp_path / "b")
    before = of(tmp_path / "a")
    assert before == of(tmp_path / "b") == of(EDITOR)
    file = tmp_path / "a" / "transformer" / "diffusion_pytorch_model.safetensors"
    header = safetensors_header(file)
    weights = load_file(file)
    name = "transformer_blocks.3.attn.to_q.weight"
    save_file({**weights, name: weights[name] * 1.01}, file, header.metadata)  # one layer, trained on
    assert safetensors_header(file).sha256 == header.sha256
    after = of(tmp_path / "a")
    assert after != before
    save_file(weights, file, header.metadata)
    assert of(tmp_path / "a") == before
    scheduler = tmp_path / "a" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"shift": 2.0}))
    assert of(tmp_path / "a") != before


def test_a_checkpoint_overwritten_under_the_same_path_is_refused_and_then_all_edits_are_made_again(dots, tmp_path):
    shutil.copytree(EDITOR, tmp_path / "editor")
    argv = ("--config", "demo", "--editor.init_args.model", tmp_path / "editor", "--benchmark", dots, "--limit", "1")
    argv = (*argv, "--run_dir", tmp_path / "run", "--editor.init_args.num_inference_steps", "1")
    start("edit.py", *argv)
    file = tmp_path / "editor" / "transformer" / "diffusion_pytorch_model.safetensors"
    metadata = safetensors_header(file).metadata
    save_file({name: weight * 1.01 for name, weight in load_file(file).items()}, file, metadata)
    refused = start("edit.py", *argv, code=2).stderr
    assert "2 of 2 finished pairs" in refused
    assert "weights of the editor (weights: '" in refused
    again = start("edit.py", *argv, "--accept_changes").stderr
    assert "0 already edited, 2 to do" in again
    assert "2 already edited, 0 to do" in start("edit.py", *argv).stderr


def test_a_judge_overwritten_under_the_same_path_does_not_add_to_the_scores_of_the_one_before(dots, tmp_path):
    shutil.copytree(JUDGE, tmp_path / "judge")
    argv = ("--config", "demo", "--judge.init_args.model", tmp_path / "judge", "--benchmark", dots, "--limit", "1")
    argv = (*argv, "--run_dir", tmp_path / "run", "--editor", "Unchanged")
    start("edit.py", *argv)
    start("score.py", *argv, code=None)
    held = yaml.safe_load((tmp_path / "run" / "scores" / "judge.yaml").read_text())["judge_weights"]
    assert held == identity(str(JUDGE), None, "config.json", option="")
    file = tmp_path / "judge" / "model.safetensors"
    metadata = safetensors_header(file).metadata
    save_file({name: weight * 1.01 for name, weight in load_file(file).items()}, file, metadata)
    refused = start("score.py", *argv, code=2).stderr
    assert "judge_weights.weights: '" in refused
