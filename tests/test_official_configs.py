"""RISEBench, RISEBench++, UniREditBench and PICABench in their official layouts, read by the configurations."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from editbench.benchmark import load_pairs
from editbench.cli.options import parse
from editbench.errors import UsageError
from tests import official_data
from tests.official_data import picture, write
from tests.test_official_rise import C, L, S, T, asked


@pytest.fixture
def rise_prompts(tmp_path):
    return official_data.rise_prompts(tmp_path)


@pytest.fixture
def pp_prompts(tmp_path):
    return official_data.risepp_prompts(tmp_path)


@pytest.fixture
def uniredit_prompts(tmp_path):
    return official_data.uniredit_prompts(tmp_path)


def read(name, benchmark: Path, *more):
    """The rubric, and the pairs by id."""
    config = parse("", ["--config", name, "--benchmark", str(benchmark), *more])
    return config.rubric, {pair.pair_id: pair for pair in load_pairs(config.data)}


def rise(root: Path, *rows):
    """RISEBench with these rows, each with a picture, some with one to compare with."""
    table = []
    for number, row in enumerate(rows):
        category = row["category"]
        name = picture(root / f"{category}_images/{number}.png", number)
        table.append({"index": f"{category}_{number}", "instruction": f"Do {number}.", **row})
        table[-1]["image"] = f"{category}_images/{name}"
        if "reference_img" in row:
            picture(root / row["reference_img"], 50 + number)
    write(root / "datav2_total_w_subtask.json", json.dumps(table))
    return root


def test_rise_reads_texts_flags_and_the_picture_to_compare_with(tmp_path, rise_prompts):
    rows = [
        {"category": T, "reference": "R", "reasoning_img": True},
        {"category": S, "reference_img": "spatial_reasoning_images/1_ref.png"},
        {"category": L, "reference_txt": "RT"},
        {"category": L, "reference_img": "logical_reasoning_images/3_ref.png"},
        {"category": C, "reference": "R", "consistency_free": True},
    ]
    rubric, pairs = read("rise", rise(tmp_path / "data", *rows), "--rubric.init_args.prompts", rise_prompts)
    rubric.check(list(pairs.values()))
    assert pairs[f"{T}_0"].rationale == "R"
    assert asked(rubric, pairs[f"{T}_0"])["reasoning"] == ("prompt_reasoning_w_input", "source", "edit")
    assert asked(rubric, pairs[f"{S}_1"])["consistency"] == ("prompt_spatial_cons", "reference", "edit")
    assert asked(rubric, pairs[f"{L}_2"])["reasoning"] == ("prompt_logical_txt", "edit")
    assert asked(rubric, pairs[f"{L}_3"])["reasoning"] == ("prompt_logical_img", "reference", "edit")
    assert list(asked(rubric, pairs[f"{C}_4"])) == ["reasoning", "quality"]
    # the column exists since one row has it, and then the official code weighs every row alike
    scores = {"consistency": 5.0, "reasoning": 4.0, "quality": 5.0}
    assert rubric.values(pairs[f"{T}_0"], scores)["value"] == pytest.approx(4.2)


def test_a_benchmark_may_be_named_by_its_file_and_that_by_any_name(tmp_path, rise_prompts):
    path = rise(tmp_path / "data", {"category": T, "reference": "R"}) / "datav2_total_w_subtask.json"
    other = path.rename(path.with_name("data_total.json"))
    _, pairs = read("rise", other, "--rubric.init_args.prompts", rise_prompts)
    assert list(pairs) == [f"{T}_0"]


def test_rise_goes_by_columns_that_only_other_rows_have(tmp_path, rise_prompts):
    rows = [
        {"category": L, "reference_img": "a.png", "reasoning_wo_ins": True},
        {"category": L, "reference_img": "b.png"},
    ]
    rubric, pairs = read("rise", rise(tmp_path / "data", *rows), "--rubric.init_args.prompts", rise_prompts)
    assert {asked(rubric, pair)["reasoning"][0] for pair in pairs.values()} == {"prompt_logical_img_wo_q"}


def test_risepp_reads_several_sources_turns_and_both_languages(tmp_path, pp_prompts):
    folder = tmp_path / "data"
    for number, name in enumerate(("1.png", "2.png", "cons.png", "ref.png", "h.png")):
        picture(folder / "images" / name, number)
    table = [
        {
            "index": f"{T}_1",
            "category": T,
            "instruction": "Do it.",
            "instruction_chinese": "做。",
            "image": ["images/1.png", "images/2.png"],
            "multi_img": "True",
            "consistency_img": "images/cons.png",
            "reference_img": "images/ref.png",
        },
        {
            "index": "hybrid_reasoning_1",
            "category": [T, L],
            "instruction": ["Add a cat.", "Wait."],
            "instruction_chinese": ["加只猫。", "等。"],
            "image": ["images/h.png"],
            "reference_txt": "R",
            "reference_txt_chinese": "参",
            "multi_turn": "True",
        },
    ]
    write(folder / "overall_data.json", json.dumps(table))
    rubric, pairs = read("risepp", folder, "--rubric.init_args.prompts", pp_prompts)
    rubric.check(list(pairs.values()))
    one, hybrid = pairs.values()
    assert len(one.sources) == 2
    assert asked(rubric, one)["quality"] == ("prompt_general_qual", "consistency", "edit")
    assert asked(rubric, one)["reasoning"] == ("prompt_general_ref_img", "reference", "edit")
    assert hybrid.turns == ("Add a cat.", "Wait.")
    assert hybrid.instruction == "1. Add a cat.\n2. Wait."
    assert rubric.category(hybrid.category) == "hybrid_reasoning"
    assert asked(rubric, hybrid) == {
        "consistency": ("prompt_logical_cons_ans", "source", "edit"),
        "reasoning": ("prompt_logical_ref_txt", "edit"),
    }
    renamed = replace(hybrid, category="hybrid_reasoning")  # as a report names it
    assert asked(rubric, renamed) == asked(rubric, hybrid)
    assert rubric.values(renamed, {"consistency": 5.0, "reasoning": 5.0})["value"] == 5
    rubric, pairs = read("risepp", folder, "--language", "zh", "--rubric.init_args.prompts", pp_prompts)
    texts = [question.parts[0] for question in rubric.calls(pairs["hybrid_reasoning_1"])]
    assert texts == ["prompt_logical_cons_ans: 1. 加只猫。\n2. 等。 参", "prompt_logical_ref_txt: 参"]


def test_uniredit_reads_rules_effects_and_the_right_edit(tmp_path, uniredit_prompts):
    folder = tmp_path / "data"
    table = []
    for number, name in enumerate(("maze", "maze", "viewpoint")):
        original = picture(folder / "original_image" / name / f"{number}.png", number)
        reference = picture(folder / "reference_image" / name / f"{number}.png", 50 + number)
        table.append(
            {
                "original_image_path": f"original_image/{name}/{original}",
                "reference_image_path": f"reference_image/{name}/{reference}",
                "instruction": "Do it.",
                "name": name,
                "idx": number,
                "reference_effect": "R",
                **({"rules": "Walk."} if name == "maze" else {}),
            }
        )
    write(folder / "data.json", json.dumps(table))
    rubric, pairs = read("uniredit", folder, "--rubric.init_args.prompts", uniredit_prompts)
    rubric.check(list(pairs.values()))
    assert [(pair.pair_id, pair.category) for pair in pairs.values()][2] == ("viewpoint_2", "viewpoint")
    assert [rubric.calls(pairs[name])[1].parts[0] for name in ("maze_1", "viewpoint_2")] == [
        "prompt_reasoning_w_ref_image: Walk.\nDo it. R",
        "prompt_reasoning_w_ref_image: Do it. R",
    ]


def test_a_column_may_be_optional_and_the_others_must_be_there(tmp_path, photos_csv):
    _, pairs = read("unchanged", photos_csv, "--columns", "rationale=why?,source=source")
    assert len(pairs) == 4
    with pytest.raises(UsageError, match="no row has a column 'why'"):
        read("unchanged", photos_csv, "--columns", "rationale=why")


def parquet(path: Path, rows):
    """Rows with pictures as the hub's data sets hold them."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def embedded(folder: Path, number: int):
    return {"bytes": (folder / picture(folder / f"{number}.png", number)).read_bytes(), "path": f"{number}.png"}


def test_pica_is_a_table_whose_questions_stand_in_a_column(tmp_path):
    box = {"x": 1, "y": 2, "width": 3.5, "height": 4}
    rows = [
        {
            "input_image": embedded(tmp_path, number),
            "edit_instruction": f"Do {number}.",
            "physics_category": ("Optics", "Mechanics")[number],
            "physics_law": "Reflection",
            "annotated_qa_pairs": [{"question": f"Is it {n}?", "answer": "Yes", "box": box} for n in range(1 + number)],
        }
        for number in range(2)
    ]
    parquet(tmp_path / "hub/data/picabench-00000-of-00001.parquet", rows)
    rubric, pairs = read("pica", tmp_path / "hub")
    rubric.check(list(pairs.values()))
    assert list(pairs) == ["00000", "00001"]
    assert pairs["00001"].category == "Mechanics"
    assert [question.name for question in rubric.calls(pairs["00001"])] == ["q0", "q1"]
    assert rubric.calls(pairs["00000"])[0].parts[1].box == (-19, -18, 24.5, 26)


def test_complexedit_reads_the_instruction_of_one_complexity(tmp_path):
    compound = [{"compound_instruction": f"Do {number}.", "other": 1} for number in range(1, 9)]
    for split in ("real", "syn"):
        rows = [{"image": embedded(tmp_path, 1), "edit": {"sequence": ["a"], "compound": compound}}]
        parquet(tmp_path / f"hub/data/test_{split}-00000-of-00001.parquet", rows)
    config = parse("", ["--config", "complexedit", "--benchmark", str(tmp_path / "hub")])
    (pair,) = load_pairs(config.data)
    assert (pair.pair_id, pair.instruction, config.repeats) == ("00000", "Do 8.", 20)
    _, pairs = read(
        "complexedit",
        tmp_path / "hub",
        "--columns",
        "id={__index__:05d},source=image,instruction=edit.compound.0.compound_instruction",
    )
    assert pairs["00000"].instruction == "Do 1."
