"""Measure the demo's models on pairs that training never saw: `python -m editbench.demo.evaluate out.json`.

The stages of an evaluation edit and score them. Edits are compared with the drawn truth. Each figure has its 95 %
interval: Wilson's for shares, a bootstrap over pairs where several replies to one pair make the figure.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from editbench.config import Config
from editbench.demo.training import bank
from editbench.demo.training.bank import RESULTS, TRUTH
from editbench.demo.training.drawing import draw
from editbench.demo.training.models import EDITOR, JUDGE
from editbench.demo.training.pairs import EVALUATION_SEEDS, PICTURE_SIZE, evaluation_edits, item
from editbench.demo.training.truth import SIDE, Check, looks, reads
from editbench.editors import Editor, QwenImageEdit, Saved
from editbench.judges import Judge, QwenVL
from editbench.process.world import World
from editbench.records import Language, Score
from editbench.rubrics import Brief
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.score import score

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


class Runs:
    """Runs of the stages over one benchmark, below a folder."""

    def __init__(self, edits: list[Any], folder: Path) -> None:
        """Write the benchmark of these drawn edits."""
        folder.mkdir()
        self._folder = folder
        self.ids = [f"{number:05d}" for number in range(len(edits))]
        self._benchmark = folder / "pairs.json"
        rows = [item(number, edit) | {"id": self.ids[number]} for number, edit in enumerate(edits)]
        self._benchmark.write_text(json.dumps(rows), encoding="utf-8")

    def edit(self, name: str, language: Language, editor: Editor) -> RunDir:
        """The run of this name, edited."""
        run = RunDir(self._folder / name)
        edit(self._config(run, language, editor=editor), World())
        return run

    def score(self, run: RunDir, language: Language, judge: Judge) -> dict[str, float | None]:
        """By pair id, the value by the brief rubric."""
        score(self._config(run, language, judge=judge, scores="judge", rubric=Brief()), World())
        return {record.pair_id: record.value for record in read_records(run.scores("judge"), Score)}

    def images(self, run: RunDir) -> list[Any]:
        """The edited images in the order of the pairs."""
        from PIL import Image

        return [Image.open(run.image(pair_id)) for pair_id in self.ids]

    def _config(self, run: RunDir, language: Language, **other: Any) -> Config:
        return Config(benchmark=self._benchmark, run_dir=(run.root,), language=language, **other)


def check(pictures: Any, drawn: list[Any], edits: list[Any]) -> Check:
    """Both ways of looking at edited pictures must agree that the change is done, and that the rest is kept."""
    first, second = looks(pictures, *drawn), reads(pictures, edits)
    return Check(done=first.done & second.done, kept=first.kept & second.kept)


def evaluate_editor(edits: list[Any], model: Path, num_steps: int, folder: Path, sheet: Path | None) -> dict[str, Any]:
    """How often the edited picture shows the asked change, and only it, by language, category and production."""
    import torch

    runs = Runs(edits, folder)
    editor = QwenImageEdit(model=str(model), dtype="float32", num_inference_steps=num_steps, true_cfg_scale=1.0)
    drawn = [small(images_of([getattr(one, name) for one in edits])) for name in ("source", "right", "half")]
    figures: dict[str, Any] = {}
    for language in LANGUAGES:
        began = time.monotonic()
        made = runs.images(runs.edit(f"edits-{language}", language, editor))
        seconds = (time.monotonic() - began) / len(edits)
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


def evaluate_judge(edits: list[Any], model: Path, folder: Path) -> dict[str, Any]:
    """How well the judge's numbers order results whose worth is known; every second pair is asked in Chinese."""
    import numpy as np
    from scipy import stats

    judge = QwenVL(model=str(model), dtype="float32", max_new_tokens=8)
    shown = [bank.results_of(one, Random(~(EVALUATION_SEEDS + i))) for i, one in enumerate(edits)]
    values = np.full((len(edits), len(RESULTS)), math.nan)  # an unreadable reply orders nothing: a lost comparison
    for first, language in enumerate(LANGUAGES):
        rows = range(first, len(edits), len(LANGUAGES))
        runs = Runs([edits[row] for row in rows], folder / language)
        for k, name in enumerate(RESULTS):
            pictures = folder / f"{name}-{language}"
            pictures.mkdir()
            for pair_id, image in zip(runs.ids, images_of([shown[row][k] for row in rows]), strict=True):
                image.save(pictures / f"{pair_id}.png")
            found = runs.score(runs.edit(name, language, Saved(folder=str(pictures))), language, judge)
            for pair_id, row in zip(runs.ids, rows, strict=True):
                value = found[pair_id]
                values[row, k] = math.nan if value is None else value
    readable = (~np.isnan(values)).ravel().tolist()
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
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("output", type=Path, help="the JSON file to write")
    parser.add_argument("--num_pairs", type=int, default=300, help="how many pairs of the evaluation side")
    parser.add_argument("--num_inference_steps", type=int, default=8, help="of the editor")
    parser.add_argument("--editor", type=Path, default=EDITOR, help="folder of the editor")
    parser.add_argument("--judge", type=Path, default=JUDGE, help="folder of the judge")
    parser.add_argument("--sheet", type=Path, help="a PNG of thirty edits: source, edit, truth")
    parser.add_argument("--only", choices=["editor", "judge", "check"], help="just that part")
    arguments = parser.parse_args()
    edits = evaluation_edits(arguments.num_pairs)
    figures: dict[str, Any] = {"num_pairs": len(edits), "num_inference_steps": arguments.num_inference_steps}
    if arguments.only in (None, "check"):
        figures["check"] = evaluate_check(edits)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if arguments.only in (None, "editor"):
            steps = arguments.num_inference_steps
            figures["editor"] = evaluate_editor(edits, arguments.editor, steps, work / "editor", arguments.sheet)
        if arguments.only in (None, "judge"):
            figures["judge"] = evaluate_judge(edits, arguments.judge, work)
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
