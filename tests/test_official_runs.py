"""RISEBench, RISEBench++, PICABench and Complex-Edit in their official layouts, scored by recorded replies."""

import json

import pytest

from editbench.cli.options import parse
from editbench.process.world import World
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.run_records import read_run
from editbench.stages.score import score
from editbench.stats.summary import summarize
from tests import official_data
from tests.official_data import picture, write
from tests.test_official_configs import embedded, parquet, rise
from tests.test_official_rise import C, L, T


def headlines(name, benchmark, folder, replies, *more):
    """By name: value, number of pairs with a score, number of pairs."""
    write(folder / "replies.jsonl", "".join(json.dumps(row) + "\n" for row in replies))
    arguments = ["--config", name, "--benchmark", str(benchmark), "--run_dir", str(folder / "run"), *more]
    arguments += [] if "--editor" in more else ["--editor", "Unchanged"]
    arguments += ["--judge", "Recorded", "--judge.init_args.replies", str(folder / "replies.jsonl")]
    config = parse("", arguments)
    edit(config, World())
    score(config, World())
    (records,) = read_run(RunDir(folder / "run"))
    found = summarize(records).headlines
    return {
        one.name: (None if one.value is None else round(one.value, 6), one.num_scored, one.num_pairs) for one in found
    }


def final(pair_id, **numbers):
    """A reply to each call, in the asked form; of None the row of a call that failed."""
    return [
        {"pair_id": pair_id, "call": call, "error": "500"}
        if number is None
        else {"pair_id": pair_id, "call": call, "reply": f"Looked.\n\n**Final Score:** **{number}**"}
        for call, number in numbers.items()
    ]


def test_rise_counts_a_failed_call_in_the_accuracy_alone(tmp_path):
    rows = [
        {"category": T, "reference": "R"},
        {"category": C, "reference": "R"},
        {"category": T, "reference": "R"},
        {"category": L, "reference_txt": "R"},
    ]
    replies = [
        *final(f"{T}_0", consistency=5, reasoning=5, quality=5),
        *final(f"{C}_1", consistency=4, reasoning=1, quality=2),
        *final(f"{T}_2", consistency=5, reasoning=None, quality=5),
        *final(f"{L}_3", consistency=1, reasoning=0),
    ]
    benchmark, prompts = rise(tmp_path / "data", *rows), official_data.rise_prompts(tmp_path)
    found = headlines("rise", benchmark, tmp_path, replies, "--rubric.init_args.prompts", prompts)
    assert found == {
        "accuracy": (25, 4, 4),
        "accuracy_before_2026_04": (25, 4, 4),
        "accuracy: temporal_reasoning": (50, 2, 2),
        "accuracy: causal_reasoning": (0, 1, 1),
        "accuracy: spatial_reasoning": (None, 0, 0),
        "accuracy: logical_reasoning": (0, 1, 1),
        "score": (round(25 * ((5 + 1.05 + 1.1) / 3 - 1), 6), 3, 4),
        "Overall_ApprConsistency": (round(25 * (14 / 3 - 1), 6), 3, 4),
        "Overall_Reasoning": (round(25 * (7 / 3 - 1), 6), 3, 4),
        "Overall_VisualPlausibility": (62.5, 2, 3),
    }


def test_risepp_finds_saved_edits_of_several_turns_and_counts_a_missing_one_as_the_lowest(tmp_path):
    table, replies = [], []
    for number, category in enumerate((T, [C, L], T)):
        name = picture(tmp_path / f"data/{number}.png", number)
        table.append({"index": f"i{number}", "category": category, "reference_txt": "R", "image": [name]})
        table[-1] |= {"instruction": ["a", "b"], "multi_turn": "True"} if number == 1 else {"instruction": "a"}
        calls = {"consistency": 1, "reasoning": 1} if number == 1 else dict.fromkeys(("consistency", "reasoning"), 5)
        replies += final(f"i{number}", **calls, **({} if number == 1 else {"quality": 5}))
    write(tmp_path / "data/overall_data.json", json.dumps(table))
    for number, folder in ((0, T), (1, "hybrid_reasoning")):
        picture(tmp_path / f"saved/images/{folder}/i{number}.png", 50 + number)
    found = headlines(
        "risepp",
        tmp_path / "data",
        tmp_path,
        replies,
        *("--rubric.init_args.prompts", official_data.risepp_prompts(tmp_path)),
        *("--editor", "Saved", "--editor.init_args.folder", str(tmp_path / "saved")),
    )
    assert found["accuracy"] == (round(200 / 3, 6), 3, 3)
    assert found["score"] == (round(200 / 3, 6), 3, 3)
    assert found["accuracy: hybrid_reasoning"] == (100, 1, 1)
    assert found["Overall_VisualPlausibility"] == (50, 2, 2)


def test_pica_is_the_mean_over_pairs_of_right_answers(tmp_path):
    answers = (["Yes", "No", "Yes", "Yes"], ["Yes"], ["No", "No"], ["Yes"])
    box = {"x": 10, "y": 10, "width": 20, "height": 20}
    rows = [
        {
            "input_image": embedded(tmp_path, number),
            "edit_instruction": "a",
            "physics_category": "Optics",
            "annotated_qa_pairs": [{"question": "q", "answer": answer, "box": box} for answer in wanted],
        }
        for number, wanted in enumerate(answers)
    ]
    parquet(tmp_path / "data/picabench.parquet", rows)
    said = (["Yes", "No", "Yes", "No"], ["No"], ["No", "No"], ["well, yes"])
    replies = [
        {"pair_id": f"{number:05d}", "call": f"q{place}", "reply": json.dumps({"answer": answer})}
        for number, of_pair in enumerate(said)
        for place, answer in enumerate(of_pair)
    ]
    assert headlines("pica", tmp_path / "data", tmp_path, replies) == {"overall_accuracy": (58.333333, 3, 4)}


def test_complexedit_is_the_mean_of_twenty_replies(tmp_path):
    folder = tmp_path / "complex_edit/eval"
    write(folder / "prompt_alignment.py", "ALIGNMENT_PROMPT_W_RUBRIC = 'a'\nPROMPT_TEMPLATE = '{instruction}'\n")
    write(folder / "prompt_quality.py", "PERCEPTUAL_QUALITY_PROMPT_W_RUBRIC_WO_INST = 'b'\n")
    compound = [{"compound_instruction": f"Do {number}."} for number in range(8)]
    rows = [{"image": embedded(tmp_path, number), "edit": {"compound": compound}} for number in range(2)]
    parquet(tmp_path / "data/test_real-0.parquet", rows)
    replies = []
    for repeat in range(20):
        for number in range(2):
            row = {"pair_id": f"{number:05d}", "repeat": repeat}
            scores = {"instruction_following": str(8 + repeat % 2), "identity_preservation": 3 * number}
            replies.append(row | {"call": "alignment", "reply": json.dumps({"reasoning": "a"} | scores)})
            replies.append(row | {"call": "quality", "reply": json.dumps({"perceptual_quality": str(repeat // 10)})})
    found = headlines("complexedit", tmp_path / "data", tmp_path, replies, "--rubric.init_args.prompts", str(tmp_path))
    assert found == {
        "overall": (pytest.approx((8.5 + 1.5 + 0.5) / 3), 2, 2),
        "IF": (8.5, 2, 2),
        "IP": (1.5, 2, 2),
        "PQ": (0.5, 2, 2),
    }
