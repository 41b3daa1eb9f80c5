"""Draw demo pairs in the benchmark's format: `python -m editbench.demo.training.pairs --num_pairs 300 out.json`.

Seeds below EVALUATION_SEEDS are for training, the others for evaluation, so the two never meet.
"""

import argparse
import base64
import io
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

from editbench.demo.training.drawing import draw
from editbench.demo.training.edits import DrawnEdit
from editbench.demo.training.grammar import PRODUCTIONS
from editbench.demo.training.words import describe_en, describe_zh

EVALUATION_SEEDS = 2**32
"""The first seed of the evaluation side; training draws from 0 to one below."""
PICTURE_SIZE = 512
"""Of a shipped source, pixels a side."""
SUBSETS: dict[str, str] = {
    "physical": "物理",
    "environmental": "环境",
    "social": "社会",
    "causal": "因果",
    "referential": "指代",
}
HARD = ("take_support", "move_light", "put_on", "remove_ranked", "reshape", "add_beside")


def drawn_edit(seed: int) -> DrawnEdit:
    """The one edit of this seed; the categories take turns, so that any run of seeds is balanced."""
    rng = Random(seed)
    category = list(SUBSETS)[seed % len(SUBSETS)]
    productions = [function for of, function in PRODUCTIONS.values() if of == category]
    return rng.choice(productions)(rng)


def evaluation_edits(num_pairs: int) -> list[DrawnEdit]:
    """The first edits of the evaluation side."""
    return [drawn_edit(EVALUATION_SEEDS + i) for i in range(num_pairs)]


def png(pixels: Any) -> bytes:
    """A (height, width, 3) uint8 tensor as PNG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def item(index: int, edit: DrawnEdit) -> dict[str, Any]:
    """One item of the benchmark's file."""
    difficulty = "hard" if edit.production in HARD else "easy"
    return {
        "subset": SUBSETS[edit.category],
        "original_description": describe_zh(edit.source),
        "original_description_en": describe_en(edit.source),
        "edit_instruction": edit.zh,
        "edit_instruction_en": edit.en,
        "rationale_short": edit.rationale_zh,
        "rationale_short_en": edit.rationale_en,
        "tags": ["demo", edit.production],
        "difficulty": difficulty,
        "seed": EVALUATION_SEEDS + index,
        "original_image_path": f"demo/{index:05d}_{SUBSETS[edit.category]}_{difficulty}.png",
        "src_img_b64": base64.b64encode(png(draw([edit.source], PICTURE_SIZE)[0])).decode(),
    }


def items(num_pairs: int) -> list[dict[str, Any]]:
    """The benchmark's list of the first pairs of the evaluation side."""
    return [item(i, edit) for i, edit in enumerate(evaluation_edits(num_pairs))]


def main() -> None:
    """Write a benchmark file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--num_pairs", type=int, default=12, help="how many pairs to draw")
    parser.add_argument("output", type=Path, help="the JSON file to write")
    arguments = parser.parse_args()
    text = json.dumps(items(arguments.num_pairs), ensure_ascii=False, indent=1)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{arguments.num_pairs} pairs in {arguments.output}\n")


if __name__ == "__main__":
    main()
