"""Whether an edited picture shows the asked change and only it, by comparison with drawn scenes; no judge is asked.

Two ways. `looks` compares pixels with the right picture; it is quick, and used while training. `reads` also asks what
the picture shows: each place, and the sky and ground, must be nearer to the right scene than to every alternative drawn
in its stead, so that a soft picture may pass and a wrong colour may not.
"""

from dataclasses import dataclass, replace
from typing import Any

from editbench.demo.training.drawing import paint, table_of
from editbench.demo.training.edits import DrawnEdit
from editbench.demo.training.scenes import (
    COLOURS,
    GROUNDS,
    KINDS,
    NUM_PLACES,
    SIDES,
    SOLIDS,
    TIMES,
    WEATHERS,
    Scene,
    Thing,
)

SIDE = 256
"""Pictures are compared at this size, pixels."""
READING_SIDE = 96
"""And read at this."""
BLOCK = 16
"""The side of the squares in which differences are averaged, pixels."""
VISIBLE = 0.04
"""A pixel changes when its colour's mean difference is above this, on 0 to 1."""
DONE = 0.25
"""The asked change is done when, where truth and source differ, the error is below this share of their difference."""
KEPT = 0.02
"""The rest is kept when no square's mean squared error is above this: 0.14 of the range, root mean square."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One value a picture, bool tensors."""

    done: Any
    """The asked change is there."""
    kept: Any
    """All else is as it was."""

    @property
    def right(self) -> Any:
        """Both."""
        return self.done & self.kept


def looks(edited: Any, source: Any, right: Any, half: Any) -> Check:
    """Compare pictures with the drawn ones.

    Args:
        edited: float in 0 to 1, (pictures, 3, SIDE, SIDE).
        source: as drawn, the same shape.
        right: the right result as drawn.
        half: the result of an editor that misses a part or a value.
    """
    import torch.nn.functional as F

    error = (edited - right).square().mean(1)
    asked = (right - source).abs().mean(1) > VISIBLE
    unlike_half = (right - half).abs().mean(1) > VISIBLE

    def over(values: Any, where: Any) -> Any:
        return (values * where).sum((1, 2)) / where.sum((1, 2)).clamp_min(1)

    done = over(error, asked) < DONE * over((right - source).square().mean(1), asked)
    done &= over(error, unlike_half) < 0.5 * over((edited - half).square().mean(1), unlike_half)
    # a soft edge of the asked change is neither done nor kept: two pixels round it count for neither
    near = F.max_pool2d(asked.float()[:, None], 5, 1, 2)[:, 0] > 0
    squares = F.avg_pool2d((error * ~near)[:, None], BLOCK)[:, 0]
    return Check(done=done, kept=squares.flatten(1).amax(1) < KEPT)


def instead_of(thing: Thing | None) -> list[Thing | None]:
    """What else could stand in a place: nothing, any kind in any colour, the thing with one trait changed."""
    found: list[Thing | None] = [None]
    found += [Thing(kind=kind, colour=colour) for kind in KINDS for colour in COLOURS]
    found += [Thing(kind=kind, colour="red", changed=True) for kind in KINDS if kind not in SOLIDS]
    if thing is not None:
        found += [replace(thing, kind=kind) for kind in (SOLIDS if thing.kind in SOLIDS else KINDS[len(SOLIDS) :])]
        found += [replace(thing, colour=colour) for colour in COLOURS]
        found += [replace(thing, changed=not thing.changed), replace(thing, small=not thing.small)]
        found += [replace(thing, floating=True)]
        if thing.kind == "person":
            found += [replace(thing, hat=hat) for hat in (None, *COLOURS)]
            found += [replace(thing, arms_up=not thing.arms_up), *(replace(thing, skin=skin) for skin in range(3))]
        if thing.top is not None:
            found += [replace(thing, top=None), thing.top, *(replace(thing, top=top) for top in instead_of(thing.top))]
    return found


def other_skies(scene: Scene) -> list[Scene]:
    """Every other time, weather, ground and side of the light, and shadows from the wrong side."""
    found = [
        replace(scene, time=time, weather=weather, ground=ground, sun=sun, shadows_from=shadows)
        for time in TIMES
        for weather in WEATHERS
        for ground in GROUNDS
        for sun in SIDES
        for shadows in (None, scene.sun)
    ]
    return [one for one in found if one != scene]


def reads(edited: Any, edits: list[DrawnEdit]) -> Check:
    """Read what edited pictures show, place by place.

    Args:
        edited: float in 0 to 1, (pictures, 3, SIDE, SIDE).
        edits: what was asked of each.
    """
    import torch
    import torch.nn.functional as F

    done: list[bool] = []
    kept: list[bool] = []
    for picture, edit in zip(edited, edits, strict=True):
        seen = F.interpolate(picture[None], size=READING_SIDE, mode="bicubic", antialias=True)
        right = edit.right
        groups = [[right.put(p, thing) for thing in instead_of(right.places[p])] for p in range(NUM_PLACES)]
        for place, group in enumerate(groups):
            group += [right.put(place, scene.places[place]) for scene in (edit.source, edit.half)]
        groups.append(other_skies(right))
        drawn = paint(
            table_of([right, *(scene for group in groups for scene in group)]).to(picture.device), READING_SIDE
        )
        # an alternative that draws the same picture is none
        same = (drawn - drawn[:1]).abs().amax((1, 2, 3)) < 1e-3
        error = (drawn - seen).square().mean((1, 2, 3)).masked_fill(same, float("inf"))
        mine, others = (drawn[0] - seen[0]).square().mean(), error[1:].split([len(group) for group in groups])
        fine = [bool((of_group > mine).all()) for of_group in others]
        pairs = zip(edit.source.places, right.places, strict=True)
        asked = [before != after for before, after in pairs]
        asked.append(not any(asked))
        done.append(all(good for good, wanted in zip(fine, asked, strict=True) if wanted))
        kept.append(all(good for good, wanted in zip(fine, asked, strict=True) if not wanted))
    return Check(done=torch.tensor(done), kept=torch.tensor(kept))
