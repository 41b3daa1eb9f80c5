"""Public benchmarks in their official layouts, small and drawn: each function writes data and prompts of our own."""

import csv
import json
import re
from pathlib import Path

from PIL import Image

RISE_FORMATTED = [
    *("prompt_consist", "prompt_reasoning", "prompt_reasoning_w_input", "prompt_spatial_ref", "prompt_spatial_ref_img"),
    *("prompt_spatial_ref_w_input", "prompt_spatial_cons", "prompt_logical_cons_ans", "prompt_logical_cons"),
    *("prompt_logical_txt", "prompt_logical_img"),
]
RISE_RAW = ["prompt_generation", "prompt_spatial_qual", "prompt_logical_img_wo_q"]
PP_FORMATTED = [
    f"prompt_{kind}_{name}"
    for kind, names in {
        "general": ("cons", "ref_txt", "ref_txt_w_input", "ref_img"),
        "spatial": ("cons", "ref_txt", "ref_txt_w_input", "ref_img"),
        "logical": ("cons", "cons_ans", "ref_img", "ref_txt", "ref_txt_w_input"),
    }.items()
    for name in names
]
PP_RAW = ["prompt_general_qual", "prompt_spatial_qual", "prompt_counterfactual_qual"]


def picture(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> str:
    """Draw a picture that no other number has, and say its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 128))
    image.putpixel((number % size[0], number // size[0] % size[1]), (255, 255, 255))
    image.save(path)
    return path.name


def write(path: Path, text: str) -> None:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def gedit(root: Path, categories: list[str]) -> tuple[Path, Path]:
    """GEdit-Bench as parquet: one item a category in both languages under the same key, and its repository."""
    import pyarrow as pa
    from pyarrow import parquet

    rows: list[dict[str, object]] = []
    for number, category in enumerate(categories):
        name = picture(root / "drawn" / f"{number}.png", number)
        image = {"bytes": (root / "drawn" / name).read_bytes(), "path": name}
        for language, instruction in (("en", f"Do {number}."), ("cn", f"做{number}。")):
            row = {"task_type": category, "key": f"k{number}", "instruction": instruction}
            row |= {"instruction_language": language, "input_image": image, "input_image_raw": image}
            rows.append(row | {"Intersection_exist": number % 2 == 0})
    (root / "GEdit-Bench/data").mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), root / "GEdit-Bench/data/train-00000-of-00001.parquet")
    names = ("_context_no_delimit", "_prompts_0shot_two_image_edit_rule", "_prompts_0shot_rule_PQ")
    texts = (
        "".join(f'{name} = "{name}"\n' for name in names) + '_prompts_0shot_tie_rule_SC = "Was <instruction> done?"\n'
    )
    write(root / "Step1X-Edit/GEdit-Bench/viescore/vie_prompts.py", texts)
    return root / "GEdit-Bench", root / "Step1X-Edit"


def imgedit(root: Path, categories: list[str], each: int = 2) -> tuple[Path, Path]:
    """ImgEdit's `Benchmark` with two pairs (or `each`) a category, keys from 22, and its repository."""
    rows: dict[str, dict[str, str]] = {}
    for number in range(each * len(categories)):
        category = categories[number % len(categories)]
        name = picture(root / "Benchmark/singleturn/animal" / f"{number:06}.jpg", number)
        rows[str(22 + number)] = {"id": f"animal/{name}", "prompt": f"Do {number}.", "edit_type": category}
    write(root / "Benchmark/singleturn/singleturn.json", json.dumps(rows))
    write(root / "Benchmark/singleturn/judge_prompt.json", json.dumps({"add": "another file"}))
    texts = {category: f"{category}: <edit_prompt>" for category in categories}
    write(root / "ImgEdit/Benchmark/Basic/prompts.json", json.dumps(texts))
    return root / "Benchmark", root / "ImgEdit"


def kris(root: Path, categories: list[str], second: int = 0) -> tuple[Path, Path]:
    """KRIS-Bench with one pair a category, a second one of the first `second` categories, and its repository."""
    for number, category in enumerate(categories):
        folder = root / "KRIS_Bench" / category
        sources: str | list[str] = picture(folder / "1.jpg", 4 * number)
        if category == "temporal_prediction":
            sources = [picture(folder / f"1-{frame}.jpg", 4 * number + frame) for frame in (1, 2, 3)]
        if category == "multi-element_composition":
            sources = [picture(folder / f"1-{place}.jpg", 4 * number + place) for place in (1, 2)]
        row = {"ori_img": sources, "gt_img": "", "ins_en": f"Do {number}.", "explain_en": "Since it melts."}
        if category == "viewpoint_change":
            row["gt_img"] = picture(folder / "1_gt.jpg", 4 * number + 3)
        rows = {"1": row}
        if number < second:
            rows["2"] = row | {"ins_en": f"Do {number} again."}
        write(folder / "annotation.json", json.dumps(rows))
    names = ("consist", "instruction_following", "view_instruction_following", "consist_temporal")
    names += ("instruction_temporal", "consist_multi", "instruction_multi")
    texts = "".join(f'prompt_{name} = """{name} {{instruct}}"""\n' for name in names)
    texts += 'prompt_dual_evaluation = "dual {instruct} {explanation}"\nprompt_quality = "quality"\n'
    write(root / "Kris_Bench/utils/prompts.py", texts)
    return root / "KRIS_Bench", root / "Kris_Bench"


def rededit(root: Path, categories: list[str]) -> tuple[Path, Path]:
    """REDEdit-Bench with one pair a category, all of id 1, and its repository."""
    rows: list[str] = []
    for number, category in enumerate(categories):
        name = picture(root / "RED/redbench" / category / f"{category}-1.png", number)
        row = {"id": "1", "source": f"redbench/{category}/{name}", "task": category}
        row |= {"a_to_b_instructions": f"做{number}。", "a_to_b_instructions_eng": f"Do {number}."}
        rows.append(json.dumps(row, ensure_ascii=False))
    write(root / "RED/redbench.jsonl", "\n".join(rows) + "\n")
    texts = {category: f"{category}: <edit_prompt>" for category in categories}
    write(root / "FireRed/rededit_bench/prompts.json", json.dumps(texts))
    return root / "RED", root / "FireRed"


def wiseedit(root: Path) -> tuple[Path, Path]:
    """WiseEdit with one item in each of five subsets, and its repository."""
    subsets = {
        "WiseEdit/Awareness/Awareness_1": 1,
        "WiseEdit/Imagination/Imagination_1": 1,
        "WiseEdit/Imagination/Imagination_5": 5,
        "WiseEdit/Interpretation/Interpretation_1": 1,
        "WiseEdit-Complex/WiseEdit_Complex_2": 2,
    }
    number = 0
    for path, num_sources in subsets.items():
        folder = root / "WiseEdit-Benchmark" / path
        row = {"idx": "1", "prompt": f"Do {number}.", "promptcn": f"做{number}。", "hint": "It melts."}
        for place in range(1, num_sources + 1):
            number += 1
            row[f"input_{place}"] = f"{path}/imgs/{picture(folder / 'imgs' / f'1_{place}.png', number)}"
        row["ref"] = f"{path}/img_ref/{picture(folder / 'img_ref/1.png', 90 + number)}" if num_sources == 2 else ""
        with (folder / f"{folder.name}.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerow(row)
        write(folder / "ins.json", json.dumps([row]))
    kinds = ("detail_preserving", "instruction_following", "knowledge_fidelity", "creative_fusion")
    for form in ("single", "multi"):
        texts = "".join(f'prompt_{kind}_{form} = "{kind} {form}"\n' for kind in kinds)
        write(root / f"Wise/Evaluation/prompt_{form}.py", texts + 'prompt_visual_quality = "visual"\n')
    return root / "WiseEdit-Benchmark", root / "Wise"


def rise_prompts(folder: Path) -> str:
    """A file of prompts in the form of RISEBench's."""
    return _prompts(folder / "rise_utils.py", RISE_FORMATTED, RISE_RAW)


def risepp_prompts(folder: Path) -> str:
    """A file of prompts in the form of RISEBench++'s."""
    return _prompts(folder / "risepp_utils.py", PP_FORMATTED, PP_RAW)


def uniredit_prompts(folder: Path) -> str:
    """A file of prompts in the form of UniREditBench's."""
    formatted = ["prompt_consist", "prompt_reasoning_w_ref_image"]
    return _prompts(folder / "uniredit_utils.py", formatted, ["prompt_generation"])


def _prompts(path: Path, formatted: list[str], raw: list[str]) -> str:
    """Each text is its variable's name, then what is filled in."""
    lines = ["import numpy"]
    for name in formatted:
        has_reference = re.search(r"reasoning|ans$|txt|spatial_ref(_w_input)?$", name)
        has_instruction = name not in ("prompt_logical_txt", "prompt_logical_ref_txt")
        fields = " {instruct}" * has_instruction + " {reference}" * bool(has_reference)
        lines.append(f'{name} = """{name}:{fields}"""')
    lines += [f"{name} = '{name}: {{as it is}}'" for name in raw]
    write(path, "\n".join(lines) + "\n")
    return str(path)
