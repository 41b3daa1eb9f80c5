"""The grammar: productions that make a scene, an instruction in two languages, and the scene that is right.

Each production also knows what an almost right editor makes: the asked thing half done, and it done to another thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from editbench.demo.training.scenes import COLOURS, SOLIDS, Kind, Scene, Thing, name_key, random_thing


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnEdit:
    """One question to an editor, with its answer."""

    production: str
    """Name of the production."""
    category: str
    source: Scene
    right: Scene
    """The only right result."""
    half: Scene
    """What the instruction asks done in part, or with a wrong value."""
    en: str
    """The instruction."""
    zh: str
    rationale_en: str
    """What a right result shows."""
    rationale_zh: str


Production = Callable[[Random], DrawnEdit]
PRODUCTIONS: dict[str, tuple[str, Production]] = {}


def production(category: str) -> Callable[[Production], Production]:
    """Enter a production into the grammar; `editbench.demo.training.grammar` holds them all."""

    def enter(function: Production) -> Production:
        PRODUCTIONS[function.__name__] = (category, function)
        return function

    return enter


def made(
    rng: Random, name: str, source: Scene, right: Scene, half: Scene, texts: list[tuple[str, str]], why: tuple[str, str]
) -> DrawnEdit:
    """Put a production's parts together, with one of its wordings."""
    en, zh = rng.choice(texts)
    return DrawnEdit(
        production=name,
        category=PRODUCTIONS[name][0],
        source=source,
        right=right,
        half=half,
        en=en[0].upper() + en[1:],
        zh=zh,
        rationale_en=why[0][0].upper() + why[0][1:] + " Nothing else changes.",
        rationale_zh=why[1] + "其他都不变。",
    )


def other(rng: Random, value: str, values: tuple[str, ...] = COLOURS) -> str:
    """Another one of the values."""
    return rng.choice([one for one in values if one != value])


def solid(rng: Random, *, small: bool | None = None, kind: Kind | None = None) -> Thing:
    """A ball, box or cone."""
    thing = random_thing(rng, SOLIDS if kind is None else (kind,))
    return thing if small is None else replace(thing, small=small)


def two_solids(rng: Random, *, base_box: bool) -> tuple[Thing, Thing]:
    """A small solid and a full-size one, told apart by their names."""
    while True:
        first, second = solid(rng, small=True), solid(rng, small=False, kind="box" if base_box else None)
        if name_key(first) != name_key(second):
            return first, second
