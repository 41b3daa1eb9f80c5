"""The drawn world: four places on the ground under a sky, each empty or with one thing."""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

Kind = Literal["ball", "box", "cone", "person", "candle", "plant", "ice", "glass"]
Side = Literal["left", "right"]
Time = Literal["day", "sunset", "night"]
Weather = Literal["clear", "rain", "snow"]
Ground = Literal["grass", "sand", "stone"]

NUM_PLACES = 4
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SOLIDS: tuple[Kind, ...] = ("ball", "box", "cone")
"""What can be stacked, resized and turned into one another."""
KINDS: tuple[Kind, ...] = (*SOLIDS, "person", "candle", "plant", "ice", "glass")
SIDES: tuple[Side, ...] = ("left", "right")
TIMES: tuple[Time, ...] = ("day", "sunset", "night")
WEATHERS: tuple[Weather, ...] = ("clear", "rain", "snow")
GROUNDS: tuple[Ground, ...] = ("grass", "sand", "stone")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One thing in its place; what a field means for another kind is nothing."""

    kind: Kind
    colour: str
    """Of the thing, the shirt, the pot or the juice; ice has none to see."""
    small: bool = False
    """Solids only."""
    changed: bool = False
    """The second state: a person smiles, a candle burns, a plant is in flower, ice is water, a glass is empty."""
    hat: str | None = None
    """A person's: its colour."""
    arms_up: bool = False
    """A person's."""
    skin: int = 0
    """A person's: 0 to 2."""
    top: "Thing | None" = None
    """What stands on a box."""
    floating: bool = False
    """Hangs in the air: never in a right picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All that decides a picture."""

    places: tuple[Thing | None, ...]
    """Four, from left to right."""
    time: Time = "day"
    weather: Weather = "clear"
    ground: Ground = "grass"
    sun: Side = "left"
    shadows_from: Side | None = None
    """Where the shadows say that the light is; None: where it is. Another side is never right."""
    hill: float = 0.5
    """Where the hill's top is, 0 to 1 from the left."""
    clouds: tuple[float, float] = (0.3, 0.7)
    """Where the two clouds are, 0 to 1 from the left."""

    def put(self, place: int, thing: Thing | None) -> "Scene":
        """The same scene with that thing, or nothing, in that place."""
        return replace(self, places=(*self.places[:place], thing, *self.places[place + 1 :]))

    def change(self, place: int, **fields: object) -> "Scene":
        """The same scene with fields of the thing in that place changed."""
        thing = self.places[place]
        assert thing is not None
        return self.put(place, replace(thing, **fields))  # pyright: ignore[reportArgumentType]


def random_thing(rng: Random, kinds: tuple[Kind, ...] = KINDS) -> Thing:
    """A thing of one of these kinds, all its fields drawn."""
    kind = rng.choice(kinds)
    person = kind == "person"
    return Thing(
        kind=kind,
        colour=rng.choice(COLOURS),
        small=kind in SOLIDS and rng.random() < 0.3,
        changed=rng.random() < 0.5 and kind not in SOLIDS,
        hat=rng.choice(COLOURS) if person and rng.random() < 0.3 else None,
        arms_up=person and rng.random() < 0.3,
        skin=rng.randrange(3),
    )


def name_key(thing: Thing) -> tuple[str, str]:
    """What a description can tell apart: ice has no colour, and size is never said."""
    return (thing.kind, "" if thing.kind == "ice" else thing.colour)


def random_scene(rng: Random, needed: list[Thing], num_free: int = 0) -> tuple[Scene, list[int]]:
    """A scene that holds the needed things, and where each came to stand.

    Every other thing can be told apart from the needed ones by kind and colour; `num_free` places at least are empty.
    """
    places: list[Thing | None] = [None] * NUM_PLACES
    order = rng.sample(range(NUM_PLACES), NUM_PLACES)
    where, rest = order[: len(needed)], order[len(needed) :]
    for place, thing in zip(where, needed, strict=True):
        places[place] = thing
    taken = {name_key(thing) for thing in needed} | {name_key(thing.top) for thing in needed if thing.top is not None}
    for place in rest[: len(rest) - num_free]:
        if rng.random() < 0.25:
            continue
        thing = random_thing(rng)
        if thing.kind == "box" and not thing.small and rng.random() < 0.25:
            thing = replace(thing, top=Thing(kind=rng.choice(SOLIDS), colour=rng.choice(COLOURS), small=True))
        names = {name_key(one) for one in (thing, thing.top) if one is not None}
        if names & taken or (thing.top is not None and len(names) < 2):
            continue
        taken |= names
        places[place] = thing
    scene = Scene(
        places=tuple(places),
        time=rng.choice(("day", "day", "sunset", "night")),
        weather=rng.choice(("clear", "clear", "rain", "snow")),
        ground=rng.choice(GROUNDS),
        sun=rng.choice(SIDES),
        hill=round(rng.random(), 2),
        clouds=(round(rng.random() * 0.45, 2), round(0.55 + rng.random() * 0.45, 2)),
    )
    return scene, where
