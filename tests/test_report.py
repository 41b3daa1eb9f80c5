import math
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from editbench.records import CATEGORIES, FAILURES, Edit, Pair, Score
from editbench.report import write_report
from editbench.summary import RunRecords

HOSTILE = (
    """<script>alert(1)</script>"><img src=x onerror=alert(2)> | `x` ![y](http://z) \u202egnp.\u202c \x1b[31m @all"""
)
LONG = (
    "Make the tall ceramic vase on the left side of the table fall over so that the water inside runs out towards "
    "the viewer, wets the open book and drips from the table's edge; keep the window light, its shadows and everything else as it is."
)
CHINESE = "把桌子左边的高花瓶推倒，让里面的水流向观者，浸湿翻开的书并从桌沿滴下；窗外的光线、阴影以及其他一切保持不变。"
PLAIN = (
    "Turn the afternoon into dusk with the street lamps lit.",
    "Remove the second chair from the left.",
    "Let the ball roll one metre to the right.",
    "Give the woman in the red coat an umbrella.",
    "The ice has melted: show it.",
)


def draw(path: Path, index: int, edited: bool, size=(368, 276)) -> None:
    hue = (index * 47) % 360
    image = Image.new("RGB", size, f"hsl({hue}, 32%, 84%)")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, size[1] * 0.66, size[0], size[1]), fill=f"hsl({(hue + 30) % 360}, 24%, 56%)")
    x = 70 + (index * 53) % 200 + (40 if edited else 0)
    pen.ellipse((x, 110, x + 80, 190), fill=f"hsl({(hue + 180) % 360}, 55%, {45 if edited else 58}%)")
    pen.rectangle((30, 130, 80, 200), fill=f"hsl({(hue + 90) % 360}, 40%, 42%)")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def make_run(root: Path, num: int = 30, shift: float = 0.0, pending: int = 2) -> RunRecords:
    pairs, edits, scores, sources = [], {}, {}, {}
    for index in range(num):
        category = CATEGORIES[index % 5]
        pair_id = f"{index:05d}_物理_{category}" if index != 3 else f"00003 {HOSTILE}"
        instruction = (LONG, CHINESE, HOSTILE, *PLAIN)[index % 8]
        pair = Pair(
            pair_id=pair_id,
            category=category,
            instruction=instruction,
            source_sha256=f"{index // 2:064d}",
            rationale="The vase lies, the water runs.",
            description="A table by a window.",
            difficulty=("easy", "medium", "hard")[index % 3],
            tags=("table", "光线", HOSTILE[:25])[: index % 4],
        )
        pairs.append(pair)
        sources[pair_id] = f"sources/{index:05d}_物理.png"
        draw(root / sources[pair_id], index, edited=False)
        if index >= num - pending:
            continue
        if index == 5:
            edits[pair_id] = Edit(
                pair_id=pair_id,
                seed=index,
                error=f"out of memory: {HOSTILE}",
                key="k",
                duration_s=3.0,
                device="NVIDIA H200",
            )
            scores[pair_id] = Score(pair_id=pair_id, value=None, failure="missing edit", key="k")
            continue
        path = f"images/{index:05d}_物理.png"
        draw(root / path, index, edited=True, size=(368, 276) if index != 6 else (300, 300))
        flags = {6: ("resized",), 7: ("unchanged",), 8: ("constant",)}.get(index, ())
        edits[pair_id] = Edit(
            pair_id=pair_id,
            image=path,
            sha256=f"{index:064x}",
            seed=index,
            key="k",
            width=368,
            height=276,
            flags=flags,
            device="NVIDIA H200",
            duration_s=17.0 + index / 10,
        )
        value = min(10.0, max(0.0, round(6.2 + 3 * math.sin(index * 1.7) + shift * math.cos(index), 3)))
        score = Score(
            pair_id=pair_id,
            value=value,
            key="k",
            reply=f"{value:.3f}",
            edit_sha256=edits[pair_id].sha256,
            rubric="aspects-1",
            device="NVIDIA H200",
            duration_s=0.46,
        )
        if index in range(10, 10 + len(FAILURES)):
            failure = FAILURES[index - 10]
            score = replace(
                score,
                value=None,
                failure=failure,
                detail=f"{failure}: what stood there was not one number",
                reply="" if failure == "empty" else f"I would say 7, or perhaps 8. {HOSTILE}",
            )
        if index == num - pending - 1 and pending:
            continue
        scores[pair_id] = score
    settings = {
        "benchmark": "bench.json",
        "editor": "QwenImageEdit (Qwen/Qwen-Image-Edit-2511)",
        "judge": "QwenVL",
        "rubric": "aspects-1",
        "language": "en",
        "seed": "0",
        "note": HOSTILE,
    }
    return RunRecords(
        name=root.name, root=root, pairs=tuple(pairs), sources=sources, edits=edits, scores=scores, settings=settings
    )
