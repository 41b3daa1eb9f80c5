"""How long the report's page takes to be written, to open and to scroll, by number of pairs and of runs.

python -m editbench.bench page 1200 --out page.json      # needs Chromium, and playwright: pip install -e '.[test]'
python -m editbench.bench page 1200 --runs 20 --side 256

Pictures of 1024 × 1024, as noisy as photographs; a headless Chromium without a GPU opens the page from the disk.
`tell_s` is what the numbers take, `write_s` the files. `open_s` is until the page is painted and answers; `frame_ms` is
how long nineteen of twenty frames take at most while it scrolls by 100 pixels a frame, and `floor_ms` the same of
stripes without any content, as high as the page: what drawing without a GPU takes by itself. `filter_s` is until a
search for words in a reply is shown. Medians of five, in turns.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from editbench.bench.measure import Figures
from editbench.records import Answer, Edit, Pair, Picture, Score
from editbench.report import tell, write_report
from editbench.rubrics import FiveAspects
from editbench.rubrics.five_aspects import CATEGORIES
from editbench.stats.outcomes import RunRecords

_PICTURES = 16
"""Different ones on the disk, which all pairs share: their files are links, their thumbnails are not."""
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
_STRIPES = """
<!doctype html><meta name="color-scheme" content="light dark">
<body style="margin:0;height:{height}px;background:repeating-linear-gradient(#fff 0 50px,#ddd 50px 100px)">
<section id="cards"></section>
"""
_SCROLL = """async () => {
  const frames = [];
  document.getElementById("cards").scrollIntoView();
  let before = performance.now();
  for (let step = 1; step <= 200; step++) {
    scrollBy(0, 100);
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - before);
    before = performance.now();
  }
  return frames;
}"""


def measure(num_pairs: int, num_runs: int, side: int, folder: Path, chromium: str, figures: Figures) -> None:
    """Each form of the page once on that many pairs, the linked one again with its thumbnails made."""
    runs = [_draw_run(num_pairs, side, folder / f"run {number}", seed=number) for number in range(num_runs)]
    start = time.monotonic()
    content = tell(runs)
    tell_s = time.monotonic() - start
    for name, standalone in (("first", False), ("again", False), ("standalone", True)):
        if standalone and num_runs > 1:  # a page of hundreds of megabytes, which nobody moves
            continue
        start = time.monotonic()
        page = write_report(content, folder / "report", standalone=standalone)
        written = {"tell_s": tell_s, "write_s": time.monotonic() - start, "page_mb": page.stat().st_size / 1e6}
        which = f"{num_pairs} pairs" + (f" of {num_runs} runs" if num_runs > 1 else "")
        figures.add(f"{which}, {name}", written | _look(page, chromium))


def _draw_run(num_pairs: int, side: int, root: Path, seed: int) -> RunRecords:
    rng = np.random.default_rng(seed)
    for folder in ("sources", "images"):
        (root / folder).mkdir(parents=True)
    for number in range(_PICTURES):
        rough = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((side, side))
        grain = rng.normal(0, 6, (side, side, 3))
        picture = np.clip(np.asarray(rough) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / f"{number}.png", compress_level=1)
    pairs: list[Pair] = []
    for number in range(num_pairs):
        name = f"{number:06d}"
        os.link(root / f"{number % _PICTURES}.png", root / "sources" / f"{name}.png")
        os.link(root / f"{(number + 1) % _PICTURES}.png", root / "images" / f"{name}.png")
        words = f"Turn the afternoon of picture {name} into dusk with the street lamps lit; keep all else as it is."
        category = CATEGORIES[number % len(CATEGORIES)]
        pairs.append(Pair(pair_id=name, category=category, instruction=words, sources=(Picture(sha256=name),)))
    return RunRecords(
        name=root.name,
        run=root.name,
        score_file="drawn",
        root=root,
        pairs=tuple(pairs),
        sources={pair.pair_id: (f"sources/{pair.pair_id}.png",) for pair in pairs},
        edits={(pair.pair_id, 0): _edit(pair.pair_id, seed) for pair in pairs},
        scores={(pair.pair_id, 0): _score(pair.pair_id, round(float(rng.uniform(2, 8)), 3), seed) for pair in pairs},
        rubric=FiveAspects(),
        settings={},
    )


def _edit(name: str, seed: int) -> Edit:
    return Edit(pair_id=name, image=f"images/{name}.png", sha256=f"{seed} {name}", seed=0, key="")


def _score(name: str, value: float, seed: int) -> Score:
    answer = Answer(call="score", reply=f"{value:.3f}", readings={"score": value})
    return Score(pair_id=name, value=value, key="", answers=(answer,), edit_sha256=f"{seed} {name}")


def _look(page: Path, chromium: str) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    opened: list[float] = []
    frames: list[float] = []
    floor: list[float] = []
    filtered: list[float] = []
    stripes = page.with_name("stripes.html")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(5):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.monotonic()
            tab.goto(page.as_uri())
            tab.evaluate(_PAINTED)
            opened.append(time.monotonic() - start)
            frames.append(_most(tab.evaluate(_SCROLL)))
            start = time.monotonic()
            tab.fill("#search", "7.1")
            tab.evaluate(_PAINTED)
            filtered.append(time.monotonic() - start)
            tab.fill("#search", "")
            height = tab.evaluate("document.documentElement.scrollHeight")
            stripes.write_text(_STRIPES.format(height=height), encoding="utf-8")
            tab.goto(stripes.as_uri())
            tab.evaluate(_PAINTED)
            floor.append(_most(tab.evaluate(_SCROLL)))
            tab.close()
        browser.close()
    found = {"open_s": opened, "frame_ms": frames, "floor_ms": floor, "filter_s": filtered}
    return {name: statistics.median(values) for name, values in found.items()}


def _most(frames: Sequence[float]) -> float:
    """What nineteen of twenty take at most."""
    return statistics.quantiles(frames, n=20)[-1]


def main(argv: Sequence[str]) -> None:
    """Measure, print and write the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m editbench.bench page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("num_pairs", type=int, nargs="+", help="how many pairs, one size after another")
    parser.add_argument("--runs", type=int, default=1, help="how many runs stand side by side")
    parser.add_argument("--side", type=int, default=1024, help="of the pictures, pixels")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    args = parser.parse_args(argv)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("there is no chromium or google-chrome on the path")
    figures = Figures("page", args.out)
    for num_pairs in args.num_pairs:
        with tempfile.TemporaryDirectory() as folder:
            measure(num_pairs, args.runs, args.side, Path(folder), chromium, figures)
