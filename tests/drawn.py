"""Runs made from nothing, with drawn pictures, hostile texts and every kind of failure, for tests of the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace as changed
from PIL import Image, ImageDraw

from editbench.records import FAILURES, Answer, Edit, Pair, Picture, Score
from editbench.rubrics import FiveAspects, Headline, Level, Question, Reading, Rubric
from editbench.stats.outcomes import RunRecords

HOSTILE = (
    """<script>alert(1)</script>"><img src=x onerror=alert(2)> | `x` ![y](http://z) \u202egnp.\u202c \x1b[31m @all"""
)
LONG = (
    "Make the tall ceramic vase on the left side of the table fall over so that the water inside runs out towards "
    "the viewer, wets the open book and drips from the table's edge; keep the light and all else as it is."
)
CHINESE = "把桌子左边的高花瓶推倒，让里面的水流向观者，浸湿翻开的书并从桌沿滴下；窗外的光线、阴影以及其他一切保持不变。"
PLAIN = (
    "Turn the afternoon into dusk with the street lamps lit.",
    "Remove the second chair from the left.",
    "Let the ball roll one metre to the right.",
    "Give the woman in the red coat an umbrella.",
    "The ice has melted: show it.",
)
ASPECTS = ("physical", "environmental", "social", "causal", "referential")


@dataclass(kw_only=True)
class Photos(Rubric):
    """Two calls, three dimensions from 1 to 5, categories in two groups."""

    version: ClassVar[str] = "photos-1"
    scale: ClassVar[tuple[float, float]] = (1.0, 5.0)
    dimensions: ClassVar[Mapping[str, tuple[float, float]]] = dict.fromkeys(("done", "kept", "quality"), (1.0, 5.0))
    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "subject": ("subject_add", "subject_remove", "subject_replace"),
        "scene": ("background_change", "tone_transfer", f"style <b>&_{HOSTILE[:8]}"),
    }
    official: ClassVar[Mapping[str, str]] = {"judge": "gpt-4.1", "decoding": "temperature 0"}

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean of the categories' means, and the quality alone."""
        levels = (Level(by="category"),)
        return (
            Headline(name="P_overall", scale=self.scale, levels=levels),
            Headline(name="P_quality", scale=self.scale, levels=levels, values=("quality",)),
        )

    def calls(self, pair: Pair) -> Sequence[Question]:
        """`following` and `quality`."""
        return (
            Question(name="following", parts=("?",), gives=("done", "kept")),
            Question(name="quality", parts=("?",), gives=("quality",)),
        )

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """Never asked here."""
        raise NotImplementedError

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The least of the three."""
        found = [readings.get(name) for name in self.dimensions]
        return {"value": None if None in found else min(value for value in found if value is not None)}


def draw(path: Path, index: int, edited: bool, size=(368, 276)) -> None:
    """A picture of a ball on a table, which the edit has moved."""
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
    """A run by the mission's rubric; the last `pending` pairs are not edited, the one before is not scored."""
    pairs, edits, scores, sources = [], {}, {}, {}
    for index in range(num):
        category = ASPECTS[index % 5]
        pair_id = f"{index:05d}_物理_{category}" if index != 3 else f"00003 {HOSTILE}"
        instruction = (LONG, CHINESE, HOSTILE, *PLAIN)[index % 8]
        pairs.append(
            Pair(
                pair_id=pair_id,
                category=category,
                instruction=instruction,
                sources=(Picture(sha256=f"{index // 2:064d}"),),
                rationale="The vase lies, the water runs.",
                description="A table by a window.",
                difficulty=("easy", "medium", "hard")[index % 3],
                tags=("table", "光线", HOSTILE[:25])[: index % 4],
            )
        )
        sources[pair_id] = (f"sources/{index:05d}_物理.png",)
        draw(root / sources[pair_id][0], index, edited=False)
        if index >= num - pending:
            continue
        if index == 5:
            edits[pair_id, 0] = Edit(
                pair_id=pair_id,
                seed=index,
                error=f"out of memory: {HOSTILE}",
                key="k",
                duration_s=3.0,
                device="NVIDIA H200",
            )
            scores[pair_id, 0] = Score(pair_id=pair_id, value=None, failure="missing edit", key="k")
            continue
        path = f"images/{index:05d}_物理.png"
        draw(root / path, index, edited=True, size=(368, 276) if index != 6 else (300, 300))
        flags = {6: ("resized",), 7: ("unchanged",), 8: ("constant",)}.get(index, ())
        edits[pair_id, 0] = Edit(
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
        answer = Answer(call="score", reply=f"{value:.3f}", readings={"score": value}, duration_s=0.46)
        if index in range(10, 10 + len(FAILURES)):
            failure = FAILURES[index - 10]
            answer = Answer(
                call="score",
                failure=failure,
                detail=f"{failure}: what stood there was not one number",
                reply="" if failure == "empty" else f"I would say 7, or perhaps 8. {HOSTILE}",
                duration_s=0.46,
            )
        if index == num - pending - 1 and pending:
            continue
        scores[pair_id, 0] = Score(
            pair_id=pair_id,
            value=answer.readings.get("score"),
            failure=answer.failure,
            detail=answer.detail,
            key="k",
            answers=(answer,),
            edit_sha256=edits[pair_id, 0].sha256,
            rubric="aspects-1",
            device="NVIDIA H200",
        )
    return RunRecords(
        name=root.name,
        run=root.name,
        score_file="judge",
        root=root,
        pairs=tuple(pairs),
        sources=sources,
        edits=edits,
        scores=scores,
        rubric=FiveAspects(),
        settings={
            "benchmark": "bench.json",
            "editor": "QwenImageEdit (Qwen/Qwen-Image-Edit-2511)",
            "judge": "QwenVL",
            "rubric": "aspects-1",
            "language": "en",
            "seed": "0",
            "note": HOSTILE,
        },
    )


def rescored(run: RunRecords, change, **fields) -> RunRecords:
    """The run with each reading changed by a function of the number; other fields as given."""

    def other(answer: Answer) -> Answer:
        return changed(answer, readings={name: change(value) for name, value in answer.readings.items()})

    scores = {
        key: changed(
            score,
            value=None if score.value is None else change(score.value),
            answers=tuple(other(answer) for answer in score.answers),
        )
        for key, score in run.scores.items()
    }
    return replace(run, scores=scores, **fields)


def make_photos(root: Path, num: int = 24, shift: float = 0.0, tries: int = 1, num_sources: int = 1) -> RunRecords:
    """A run by `Photos`: some calls of some pairs failed; with several tries, sources and a reference."""
    categories = [name for group in Photos.groups.values() for name in group]
    pairs, edits, scores, sources, references = [], {}, {}, {}, {}
    for index in range(num):
        pair_id = f"photo-{index:04d}"
        pairs.append(
            Pair(
                pair_id=pair_id,
                category=categories[index % len(categories)],
                instruction=(*PLAIN, CHINESE, LONG)[index % 7],
                language="zh" if index % 7 == 5 else "en",
                sources=tuple(Picture(sha256=f"{index:032d}{place:032d}") for place in range(num_sources)),
                references={"reference": Picture(sha256=f"{index:063d}r")} if num_sources > 1 else {},
            )
        )
        sources[pair_id] = tuple(
            f"sources/{index:04d}{'' if not place else f'.{place + 1}'}.png" for place in range(num_sources)
        )
        for place, path in enumerate(sources[pair_id]):
            draw(root / path, index + 3 * place, edited=False)
        if num_sources > 1:
            references[pair_id] = {"reference": f"references/{index:04d}.reference.png"}
            draw(root / references[pair_id]["reference"], index, edited=True)
        for number in range(tries):
            path = f"images/{index:04d}{'' if not number else f'.try{number}'}.png"
            draw(root / path, index + number, edited=True)
            edits[pair_id, number] = Edit(
                pair_id=pair_id, try_=number, image=path, sha256=f"{index:060x}{number:04x}", seed=index, key="k"
            )
            readings = [
                min(5.0, max(1.0, float(round(3 + shift + 2 * math.sin(index * 1.3 + number + place)))))
                for place in range(3)
            ]
            answers = [
                Answer(
                    call="following",
                    reply=f'```json\n{{"done": {readings[0]:.0f}, "kept": {readings[1]:.0f}}}\n```',
                    readings={"done": readings[0], "kept": readings[1]},
                    notes=("a Markdown fence was taken off",),
                    model="judge-2026",
                ),
                Answer(
                    call="quality",
                    reply=f"It looks natural. {readings[2]:.0f}",
                    readings={"quality": readings[2]},
                    model="judge-2026",
                ),
            ]
            if index % 9 == 4:
                answers[1] = Answer(
                    call="quality", reply=f"7-8 {HOSTILE}", failure="unreadable", detail="two candidates: 7, 8"
                )
            failure = next((answer for answer in answers if answer.failure), None)
            scores[pair_id, number] = Score(
                pair_id=pair_id,
                try_=number,
                value=None if failure else min(readings),
                failure=failure and failure.failure,
                detail=failure and failure.detail,
                key="k",
                answers=tuple(answers),
                edit_sha256=edits[pair_id, number].sha256,
                rubric="photos-1",
            )
    return RunRecords(
        name=root.name,
        run=root.name,
        score_file="judge",
        root=root,
        pairs=tuple(pairs),
        sources=sources,
        references=references,
        edits=edits,
        scores=scores,
        num_tries=tries,
        rubric=Photos(),
        settings={
            "benchmark": "photos.jsonl",
            "editor": root.name,
            "judge": "Server (judge-2026)",
            "rubric": "photos-1",
        },
    )
