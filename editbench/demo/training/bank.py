"""Training material by the ten thousand: drawn edits with their right and wrong results, as tables of shapes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from random import Random
from typing import Any

from editbench.demo.training.drawing import MAX_SHAPES, NUM_NUMBERS, shapes_of
from editbench.demo.training.edits import DrawnEdit
from editbench.demo.training.pairs import EVALUATION_SEEDS, drawn_edit
from editbench.demo.training.scenes import (
    COLOURS,
    GROUNDS,
    KINDS,
    NUM_PLACES,
    SIDES,
    TIMES,
    WEATHERS,
    Scene,
    Thing,
    random_scene,
    random_thing,
)
from editbench.rubrics.five_aspects import CATEGORIES

RESULTS = ("right", "extra", "half", "wrong", "none", "other")
"""What an editor may hand in: right; right with one more change; in part or with a wrong value; a change of something
else; no edit; another scene."""
TRUTH = {"right": 9.5, "extra": 6.5, "half": 4.5, "wrong": 2.5, "none": 1.0, "other": 0.0}
"""What each is worth, 0 to 10."""
PLACE_CLASSES = (len(KINDS) + 1, len(COLOURS) + 1, 2, 2, len(COLOURS) + 1, 2, len(KINDS) + 1, len(COLOURS) + 1, 2)
SCENE_CLASSES = (len(TIMES), len(WEATHERS), len(GROUNDS), len(SIDES))
NUM_LABELS = NUM_PLACES * len(PLACE_CLASSES) + len(SCENE_CLASSES)


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Drawn edits as arrays, one row an edit."""

    tables: Any
    """float32, (edits, 1 + results, MAX_SHAPES, NUM_NUMBERS): the source, then the results in the order of RESULTS."""
    labels: Any
    """int8, (edits, 1 + results, NUM_LABELS): what is where in each picture."""
    en: list[str]
    zh: list[str]
    categories: list[int]
    """Index in CATEGORIES."""


def disturb(rng: Random, scene: Scene, keep: set[int], *, keep_sky: bool) -> Scene:
    """One visible change of something outside the places to keep."""
    before = shapes_of(scene)
    while True:
        place = rng.randrange(NUM_PLACES)
        thing = scene.places[place]
        if rng.random() < 0.12 and not keep_sky:
            changed = replace(scene, sun="left" if scene.sun == "right" else "right")
        elif place in keep:
            # all four are to be kept: then only the sky is left
            changed = replace(scene, hill=(scene.hill + 0.5) % 1) if len(keep) == NUM_PLACES else scene
        elif thing is None:
            changed = scene.put(place, random_thing(rng))
        else:
            colour, kind = rng.choice(COLOURS), rng.choice(KINDS)
            choices: list[Thing | None] = [None, replace(thing, colour=colour), replace(thing, colour=colour)]
            choices += [replace(thing, changed=not thing.changed), replace(thing, kind=kind, top=None)]
            changed = scene.put(place, rng.choice(choices))
        if shapes_of(changed) != before:
            return changed


def results_of(edit: DrawnEdit, rng: Random) -> list[Scene]:
    """One scene for each of RESULTS."""
    pairs = zip(edit.source.places, edit.right.places, strict=True)
    asked = {place for place, (before, after) in enumerate(pairs) if before != after}
    sky = not asked
    # a change of the sky asks for no place, so a change of any thing is a wrong or an extra one
    extra = disturb(rng, edit.right, asked, keep_sky=sky)
    wrong = disturb(rng, edit.source, asked, keep_sky=sky)
    return [edit.right, extra, edit.half, wrong, edit.source, random_scene(rng, [random_thing(rng)])[0]]


def labels_of(scene: Scene) -> list[int]:
    """What is where, as class numbers; what can't be seen is 0."""
    found: list[int] = []
    for thing in scene.places:
        if thing is None:
            found += [0] * len(PLACE_CLASSES)
            continue
        hidden = thing.kind == "ice" or (thing.kind == "glass" and thing.changed)
        top = thing.top
        found += [
            1 + KINDS.index(thing.kind),
            0 if hidden else 1 + COLOURS.index(thing.colour),
            int(thing.changed),
            int(thing.small),
            1 + COLOURS.index(thing.hat) if thing.hat else 0,
            int(thing.arms_up),
            1 + KINDS.index(top.kind) if top else 0,
            1 + COLOURS.index(top.colour) if top else 0,
            int(thing.floating),
        ]
    ground = 0 if scene.weather == "snow" else GROUNDS.index(scene.ground)
    return [*found, TIMES.index(scene.time), WEATHERS.index(scene.weather), ground, SIDES.index(scene.sun)]


def _rows(job: tuple[int, int, int]) -> tuple[Any, Any, list[str], list[str], list[int]]:
    import numpy as np

    first, count, num_pictures = job
    tables = np.zeros((count, num_pictures, MAX_SHAPES, NUM_NUMBERS), np.float32)
    tables[..., 3:5] = 1e-3
    labels = np.zeros((count, num_pictures, NUM_LABELS), np.int8)
    en: list[str] = []
    zh: list[str] = []
    categories: list[int] = []
    for i in range(count):
        edit = drawn_edit(first + i)
        scenes = (
            [edit.source, edit.right] if num_pictures == 2 else [edit.source, *results_of(edit, Random(~(first + i)))]
        )
        for k, scene in enumerate(scenes):
            shapes = shapes_of(scene)
            tables[i, k, : len(shapes)] = shapes
            labels[i, k] = labels_of(scene)
        en.append(edit.en)
        zh.append(edit.zh)
        categories.append(CATEGORIES.index(edit.category))
    return tables, labels, en, zh, categories


def fill(first: int, count: int, *, all_results: bool, num_processes: int | None = None) -> Bank:
    """Draw the edits of these seeds.

    Args:
        first: the first seed, on the training side or, for held-out figures, on the evaluation side.
        count: how many.
        all_results: whether the wrong results come too, or the right one only.
        num_processes: None: one a core.
    """
    import numpy as np

    assert first >= EVALUATION_SEEDS or first + count <= EVALUATION_SEEDS
    chunk = 500
    num_pictures = 1 + len(RESULTS) if all_results else 2
    jobs = [(first + i, min(chunk, count - i), num_pictures) for i in range(0, count, chunk)]
    num_processes = num_processes or os.cpu_count() or 1
    if num_processes == 1 or len(jobs) == 1:
        parts = [_rows(job) for job in jobs]
    else:
        with get_context("fork").Pool(num_processes) as pool:
            parts = pool.map(_rows, jobs)
    return Bank(
        tables=np.concatenate([part[0] for part in parts]),
        labels=np.concatenate([part[1] for part in parts]),
        en=[text for part in parts for text in part[2]],
        zh=[text for part in parts for text in part[3]],
        categories=[category for part in parts for category in part[4]],
    )


def batches(total: int, size: int) -> Iterator[slice]:
    """Slices that cover `total` rows."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
