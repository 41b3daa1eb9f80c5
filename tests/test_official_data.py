"""Public benchmarks in their official layouts, read by the shipped configurations."""

from pathlib import Path

import pytest

from editbench.benchmark import load_pairs
from editbench.cli.options import parse
from editbench.config import Config, settings
from editbench.records import Pair
from editbench.rubrics import GEdit, ImgEdit, Kris, RedEdit
from editbench.stages.export import official_name
from tests import official_data


def read(name: str, benchmark: Path, prompts: Path, *more: str) -> tuple[Config, dict[str, Pair]]:
    arguments = ["--config", name, "--benchmark", str(benchmark), "--rubric.init_args.prompts", str(prompts), *more]
    config = parse("", arguments)
    pairs = list(load_pairs(config.data))
    config.rubric.check(pairs)
    return config, {pair.pair_id: pair for pair in pairs}


def categories_of(kind: type[GEdit | ImgEdit | Kris | RedEdit]) -> list[str]:
    return [category for each in kind.groups.values() for category in each]


def test_an_official_rubric_is_named_by_the_package_that_exports_it():
    assert settings(ImgEdit(prompts="a"))["class_path"] == "editbench.rubrics.ImgEdit"


def test_gedit_is_parquet_whose_keys_stand_in_both_languages(tmp_path):
    benchmark, prompts = official_data.gedit(tmp_path, categories_of(GEdit))
    _, pairs = read("gedit", benchmark, prompts)
    assert len(pairs) == 22
    pair = pairs["ps_human_k4.zh"]
    assert (pair.instruction, pair.language, pair.category) == ("做4。", "zh", "ps_human")
    assert pair.fields["Intersection_exist"] is True
    assert pairs["ps_human_k4.en"].sources == pair.sources
    assert len(read("gedit", benchmark, prompts, "--language", "en")[1]) == 11


def test_imgedit_is_a_json_object_whose_keys_are_the_ids(tmp_path):
    _, pairs = read("imgedit", *official_data.imgedit(tmp_path, categories_of(ImgEdit)))
    assert len(pairs) == 18
    assert (pairs["23"].category, pairs["23"].instruction) == ("adjust", "Do 1.")
    assert pairs["23"].sources[0].path


def test_kris_is_a_file_a_category_with_frames_elements_and_ground_truths(tmp_path):
    config, pairs = read("kris", *official_data.kris(tmp_path, categories_of(Kris)))
    assert len(pairs) == 20
    frames = pairs["temporal_prediction/1"]
    assert [Path(source.path or "").name for source in frames.sources] == ["1-1.jpg", "1-2.jpg", "1-3.jpg"]
    labels = [part for part in config.rubric.calls(frames)[0].parts if isinstance(part, str)]
    assert labels[-1] == "Frame 4 (Generated):"
    assert pairs["viewpoint_change/1"].references
    assert pairs["biology/1"].rationale == "Since it melts."
    assert len(pairs["multi-element_composition/1"].sources) == 2


@pytest.mark.parametrize(("language", "instruction"), [("zh", "做0。"), ("en", "Do 0.")])
def test_rededit_is_one_file_in_two_languages(tmp_path, language, instruction):
    more = [] if language == "zh" else ["--language", "en"]
    _, pairs = read("rededit", *official_data.rededit(tmp_path, categories_of(RedEdit)), *more)
    assert len(pairs) == 15
    assert (pairs["add-1"].instruction, pairs["add-1"].category) == (instruction, "add")


def test_wiseedit_is_a_table_a_subset_in_both_languages(tmp_path):
    config, pairs = read("wiseedit", *official_data.wiseedit(tmp_path))
    assert len(pairs) == 10
    five = pairs["Imagination_5/1.zh"]
    assert (len(five.sources), five.instruction, five.fields["prompt"]) == (5, "做2。", "Do 2.")
    two = pairs["WiseEdit_Complex_2/1.en"]
    assert two.references
    assert [question.name for question in config.rubric.calls(two)] == ["DP", "IF", "VQ", "KF", "CF"]
    assert two.fields["hint"] == "It melts."


def test_counts_that_are_not_the_official_ones_are_said_and_not_refused(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        config, _ = read("imgedit", *official_data.imgedit(tmp_path, categories_of(ImgEdit)))
    assert "add: 2 of 95 (en), adjust: 2 of 94 (en)" in caplog.text
    assert "and 3 more" in caplog.text
    assert config.rubric.other_counts([]) == []
    assert sum(ImgEdit.counts.values()) == 737
    assert sum(Kris.counts.values()) == 1267
    assert sum(RedEdit.counts.values()) == 1542
    assert sum(GEdit.counts.values()) == 606
    assert set(Kris.counts) == set(categories_of(Kris))


@pytest.mark.parametrize(
    ("name", "pair_id", "path"),
    [
        ("gedit", "ps_human_k4.zh", "ps_human/cn/k4.png"),
        ("imgedit", "22", "22.png"),
        ("kris", "biology/1", "biology/1.jpg"),
        ("rededit", "add-1", "add/add-1.png"),
        ("wiseedit", "Imagination_5/1.zh", "Imagination_5/cn/1.png"),
    ],
)
def test_the_official_name_of_an_edit_is_made_from_the_pair(tmp_path, name, pair_id, path):
    make = {
        "gedit": lambda: official_data.gedit(tmp_path, categories_of(GEdit)),
        "imgedit": lambda: official_data.imgedit(tmp_path, categories_of(ImgEdit)),
        "kris": lambda: official_data.kris(tmp_path, categories_of(Kris)),
        "rededit": lambda: official_data.rededit(tmp_path, categories_of(RedEdit)),
        "wiseedit": lambda: official_data.wiseedit(tmp_path),
    }
    config, pairs = read(name, *make[name]())
    assert str(official_name(config.rubric.layout["edit"], pairs[pair_id], config.rubric)) == path
