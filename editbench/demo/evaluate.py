"""Measure the demo's models on pairs that training never saw: `python -m editbench.demo.evaluate out.json`.

Edits are made by the real pipeline and compared with the drawn truth; scores are given by the real judge. Each figure
has its 95 % interval: Wilson's for shares, a bootstrap over pairs for what is computed from several
replies to one pair.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from editbench.demo.training import bank
from editbench.demo.training.bank import RESULTS, TRUTH
from editbench.demo.training.drawing import draw
from editbench.demo.training.models import EDITOR, JUDGE
from editbench.demo.training.pairs import EVALUATION_SEEDS, PICTURE_SIZE, evaluation_edits
from editbench.demo.training.truth import SIDE, Check, looks, reads
from editbench.models.one_frame import one_frame
from editbench.records import Language, Pair
from editbench.rubrics.rubric import RUBRICS

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def share(good: Any) -> dict[str, float]:
    """A share with Wilson's 95 % interval."""
    n, k, z = len(good), float(sum(good)), 1.959964
    centre, half = (k + z * z / 2) / (n + z * z), z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return {"value": k / n, "low": centre - half, "high": centre + half, "n": n}


def images_of(scenes: list[Any]) -> list[Any]:
    """The scenes as a benchmark's sources: PIL images."""
    from PIL import Image

    return [Image.fromarray(pixels.numpy()) for pixels in draw(scenes, PICTURE_SIZE)]


def small(images: list[Any]) -> Any:
    """PIL images as float pictures at the size at which they are compared."""
    import numpy as np
    import torch
    from PIL import Image

    arrays = [np.array(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255


def edit(sources: list[Any], texts: list[str], folder: Path, on: str, num_steps: int) -> tuple[list[Any], float]:
    """Edits by the real pipeline in float32, and how long one took, seconds."""
    import torch
    from diffusers import QwenImageEditPipeline

    pipeline: Any = QwenImageEditPipeline.from_pretrained(str(folder), torch_dtype=torch.float32).to(on)
    pipeline.set_progress_bar_config(disable=True)
    one_frame(pipeline.vae)
    made: list[Any] = []
    began = time.monotonic()
    for row, (source, text) in enumerate(zip(sources, texts, strict=True)):
        seed = torch.Generator("cpu").manual_seed(row)
        call = {"num_inference_steps": num_steps, "true_cfg_scale": 1.0, "generator": seed}
        made.append(pipeline(image=source, prompt=text, **call).images[0])
    return made, (time.monotonic() - began) / len(sources)


def ask(items: list[tuple[Pair, Any, Any, Language]], folder: Path, on: str, batch: int = 60) -> list[str]:
    """The judge's replies to the brief rubric, greedy."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor: Any = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).to(on).eval()
    replies: list[str] = []
    for rows in bank.batches(len(items), batch):
        messages: list[Any] = []
        for pair, source, edited, language in items[rows]:
            asked = RUBRICS["brief-1"].question(pair, source, edited, language=language, judge_sees="all")
            parts = [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image", "image": part.resize((SIDE, SIDE))}
                for part in asked.content
            ]
            system = {"role": "system", "content": [{"type": "text", "text": asked.system}]}
            messages.append([system, {"role": "user", "content": parts}])
        padding = {"return_tensors": "pt", "padding": True, "padding_side": "left"}
        inputs = processor.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=True, processor_kwargs=padding
        ).to(on)
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        new = out[:, inputs["input_ids"].shape[1] :]
        replies += processor.batch_decode(new, skip_special_tokens=True)
    return replies


def check(pictures: Any, drawn: list[Any], edits: list[Any]) -> Check:
    """Both ways of looking at edited pictures must agree that the change is done, and that the rest is kept."""
    first, second = looks(pictures, *drawn), reads(pictures, edits)
    return Check(done=first.done & second.done, kept=first.kept & second.kept)


def evaluate_editor(edits: list[Any], folder: Path, on: str, num_steps: int, sheet: Path | None) -> dict[str, Any]:
    """How often the edited picture shows the asked change, and only it, by language, category and production."""
    import torch

    sources = images_of([one.source for one in edits])
    drawn = [small(images_of([getattr(one, name) for one in edits])) for name in ("source", "right", "half")]
    figures: dict[str, Any] = {}
    for language in LANGUAGES:
        made, seconds = edit(sources, [getattr(one, language) for one in edits], folder, on, num_steps)
        found = check(small(made), drawn, edits)
        of: dict[str, Any] = {name: share(getattr(found, name).tolist()) for name in ("right", "done", "kept")}
        for name in ("category", "production"):
            keys = sorted({getattr(one, name) for one in edits})
            rows = {key: [i for i, one in enumerate(edits) if getattr(one, name) == key] for key in keys}
            of[f"right_by_{name}"] = {key: share(found.right[torch.tensor(r)].tolist()) for key, r in rows.items()}
        of["seconds_an_edit"] = seconds
        figures[language] = of
        if sheet is not None and language == "en":
            from PIL import Image

            columns = [torch.cat(rows, 1) for rows in zip(drawn[0][:30], small(made[:30]), drawn[1][:30], strict=True)]
            across = min(10, len(columns))
            starts = range(0, len(columns) - across + 1, across)
            lines = torch.cat([torch.cat(columns[i : i + across], 2) for i in starts], 1)
            pixels = (lines * 255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).resize((1600, pixels.shape[0] * 1600 // pixels.shape[1])).save(sheet)
    return figures


def evaluate_judge(edits: list[Any], folder: Path, on: str) -> dict[str, Any]:
    """How well the judge's numbers order results whose worth is known."""
    import numpy as np
    from scipy import stats

    shown = [bank.results_of(one, Random(~(EVALUATION_SEEDS + i))) for i, one in enumerate(edits)]
    sources = images_of([one.source for one in edits])
    results = [images_of([scenes[k] for scenes in shown]) for k in range(len(RESULTS))]
    items: list[tuple[Pair, Any, Any, Language]] = []
    for i, one in enumerate(edits):
        language = LANGUAGES[i % 2]
        text = one.en if language == "en" else one.zh
        pair = Pair(pair_id=str(i), category=one.category, instruction=text, source_sha256="")
        items += [(pair, sources[i], results[k][i], language) for k in range(len(RESULTS))]
    readings = [RUBRICS["brief-1"].read(reply) for reply in ask(items, folder, on)]
    readable = [reading.value is not None for reading in readings]
    # an unreadable reply orders nothing: it counts as a lost comparison
    values = np.array([math.nan if reading.value is None else reading.value for reading in readings])
    values = values.reshape(len(edits), len(RESULTS))
    figures: dict[str, Any] = {"readable": share(readable)}
    for k, name in enumerate(RESULTS[1:], start=1):
        figures[f"right_above_{name}"] = share((values[:, 0] > values[:, k]).tolist())
    figures["mean_value"] = {name: float(np.nanmean(values[:, k])) for k, name in enumerate(RESULTS)}
    worth = np.array([TRUTH[name] for name in RESULTS])

    def correlation(rows: Any) -> float:
        chosen = values[rows].ravel()
        known = ~np.isnan(chosen)
        return float(stats.spearmanr(chosen[known], np.tile(worth, len(rows))[known])[0])

    def pairwise(rows: Any) -> float:
        return float(np.mean(values[rows][:, :1] > values[rows][:, 1:]))

    rng = np.random.default_rng(0)
    samples = [rng.integers(len(edits), size=len(edits)) for _ in range(1000)]
    for name, statistic in (("pairwise", pairwise), ("spearman", correlation)):
        low, high = np.percentile([statistic(rows) for rows in samples], [2.5, 97.5])
        value = statistic(np.arange(len(edits)))
        figures[name] = {"value": value, "low": float(low), "high": float(high), "n": len(edits)}
    return figures


def evaluate_check(edits: list[Any]) -> dict[str, Any]:
    """How often the check itself calls drawn results right: the first should be 1, the others 0."""
    shown = [bank.results_of(one, Random(~(EVALUATION_SEEDS + i))) for i, one in enumerate(edits)]
    drawn = [small(images_of([getattr(one, name) for one in edits])) for name in ("source", "right", "half")]
    return {
        name: share(check(small(images_of([scenes[k] for scenes in shown])), drawn, edits).right.tolist())
        for k, name in enumerate(RESULTS)
    }


def main() -> None:
    """Evaluate both models and write the figures."""
    import torch

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("output", type=Path, help="the JSON file to write")
    parser.add_argument("--num_pairs", type=int, default=300, help="how many pairs of the evaluation side")
    parser.add_argument("--num_inference_steps", type=int, default=8, help="of the editor")
    parser.add_argument("--editor", type=Path, default=EDITOR, help="folder of the editor")
    parser.add_argument("--judge", type=Path, default=JUDGE, help="folder of the judge")
    parser.add_argument("--sheet", type=Path, help="a PNG of thirty edits: source, edit, truth")
    parser.add_argument("--only", choices=["editor", "judge", "check"], help="just that part")
    arguments = parser.parse_args()
    on = "cuda" if torch.cuda.is_available() else "cpu"
    edits = evaluation_edits(arguments.num_pairs)
    figures: dict[str, Any] = {"num_pairs": len(edits), "num_inference_steps": arguments.num_inference_steps}
    if arguments.only in (None, "check"):
        figures["check"] = evaluate_check(edits)
    if arguments.only in (None, "editor"):
        steps = arguments.num_inference_steps
        figures["editor"] = evaluate_editor(edits, arguments.editor, on, steps, arguments.sheet)
    if arguments.only in (None, "judge"):
        figures["judge"] = evaluate_judge(edits, arguments.judge, on)
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
