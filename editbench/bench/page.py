"""How long the report's page takes to be written, to open and to scroll, by number of pairs.

python -m editbench.bench page 1200 --out page.json      # needs Chromium, and playwright: pip install -e '.[test]'

Pictures of 1024 × 1024, as noisy as photographs; a headless Chromium without a GPU opens the page from the disk.
`open_s` is until it is painted and answers; `frame_ms` is how long nineteen of twenty frames take at most while it
scrolls by 100 pixels a frame, and `floor_ms` the same of stripes without any content, as high as the page: what drawing
without a GPU takes by itself. Medians of five, in turns.
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
from editbench.records import CATEGORIES, Edit, Pair, Score
from editbench.report import tell, write_report
from editbench.stats.summary import RunRecords

_SIDE = 1024
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


def measure(num_pairs: int, folder: Path, chromium: str, figures: Figures) -> None:
    """Each form of the page once on that many pairs, the linked one again with its thumbnails made."""
    content = tell([_draw_run(num_pairs, folder / "run")])
    for name, standalone in (("first", False), ("again", False), ("standalone", True)):
        start = time.monotonic()
        page = write_report(content, folder / "run", standalone=standalone)
        written = {"write_s": time.monotonic() - start, "page_mb": page.stat().st_size / 1e6}
        figures.add(f"{num_pairs} pairs, {name}", written | _look(page, chromium))


def _draw_run(num_pairs: int, root: Path) -> RunRecords:
    rng = np.random.default_rng(0)
    for folder in ("sources", "images"):
        (root / folder).mkdir(parents=True)
    for number in range(_PICTURES):
        rough = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((_SIDE, _SIDE))
        grain = rng.normal(0, 6, (_SIDE, _SIDE, 3))
        picture = np.clip(np.asarray(rough) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / f"{number}.png", compress_level=1)
    pairs: list[Pair] = []
    for number in range(num_pairs):
        name = f"{number:06d}"
        os.link(root / f"{number % _PICTURES}.png", root / "sources" / f"{name}.png")
        os.link(root / f"{(number + 1) % _PICTURES}.png", root / "images" / f"{name}.png")
        told = f"Turn the afternoon of picture {name} into dusk with the street lamps lit; keep all else as it is."
        category = CATEGORIES[number % len(CATEGORIES)]
        pairs.append(Pair(pair_id=name, category=category, instruction=told, source_sha256=name))
    return RunRecords(
        name="drawn",
        run="drawn",
        score_file="drawn",
        root=root,
        pairs=tuple(pairs),
        sources={pair.pair_id: f"sources/{pair.pair_id}.png" for pair in pairs},
        edits={
            pair.pair_id: Edit(
                pair_id=pair.pair_id, image=f"images/{pair.pair_id}.png", sha256=pair.pair_id, seed=0, key=""
            )
            for pair in pairs
        },
        scores={
            pair.pair_id: Score(pair_id=pair.pair_id, value=round(float(rng.uniform(2, 8)), 3), key="", reply="5.000")
            for pair in pairs
        },
        settings={},
    )


def _look(page: Path, chromium: str) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    opened: list[float] = []
    frames: list[float] = []
    floor: list[float] = []
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
            stripes.write_text(
                _STRIPES.format(height=tab.evaluate("document.documentElement.scrollHeight")), encoding="utf-8"
            )
            tab.goto(stripes.as_uri())
            tab.evaluate(_PAINTED)
            floor.append(_most(tab.evaluate(_SCROLL)))
            tab.close()
        browser.close()
    found = {"open_s": opened, "frame_ms": frames, "floor_ms": floor}
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
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    args = parser.parse_args(argv)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("there is no chromium or google-chrome on the path")
    figures = Figures("page", args.out)
    for num_pairs in args.num_pairs:
        with tempfile.TemporaryDirectory() as folder:
            measure(num_pairs, Path(folder), chromium, figures)
