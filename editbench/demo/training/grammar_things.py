"""Productions of the physical and the referential category: solids are moved, stacked, named and counted."""

from dataclasses import replace
from random import Random

from editbench.demo.training.edits import DrawnEdit, made, other, production, solid, two_solids
from editbench.demo.training.scenes import COLOURS, NUM_PLACES, SOLIDS, random_scene, random_thing
from editbench.demo.training.words import COLOUR_ZH, KIND_EN, KIND_ZH, SIDE_ZH, a_en, name_en, name_zh, ordinal


@production("physical")
def put_on(rng: Random) -> DrawnEdit:
    """Stack a small solid on a box."""
    top, base = two_solids(rng, base_box=True)
    source, (at, to) = random_scene(rng, [top, base])
    stacked = source.change(to, top=top)
    texts = [
        (f"put {name_en(top)} on top of {name_en(base)}.", f"把{name_zh(top)}放到{name_zh(base)}上面。"),
        (f"stack {name_en(top)} onto {name_en(base)}.", f"将{name_zh(top)}叠在{name_zh(base)}上。"),
    ]
    why = (
        f"{name_en(top)} stands on {name_en(base)} and its old place is empty.",
        f"{name_zh(top)}在{name_zh(base)}上面，原处空了。",
    )
    return made(rng, "put_on", source, stacked.put(at, None), stacked, texts, why)


@production("physical")
def take_support(rng: Random) -> DrawnEdit:
    """Remove a box from under a solid, which falls."""
    top, base = two_solids(rng, base_box=True)
    source, (at,) = random_scene(rng, [replace(base, top=top)])
    texts = [
        (
            f"take {name_en(base)} away from under {name_en(top)} and let it drop.",
            f"把{name_zh(top)}下面的{name_zh(base)}拿走，让它落下来。",
        ),
        (f"remove {name_en(base)}; what stood on it falls down.", f"移走{name_zh(base)}，上面的东西会掉下来。"),
    ]
    why = (
        f"{name_en(base)} is gone and {name_en(top)} lies on the ground.",
        f"{name_zh(base)}不见了，{name_zh(top)}落在地上。",
    )
    return made(
        rng, "take_support", source, source.put(at, top), source.put(at, replace(top, floating=True)), texts, why
    )


@production("physical")
def resize(rng: Random) -> DrawnEdit:
    """Make a solid bigger or smaller; it stays on the ground."""
    thing = solid(rng)
    source, (at,) = random_scene(rng, [thing])
    en, zh = ("bigger", "大") if thing.small else ("smaller", "小")
    right = source.change(at, small=not thing.small)
    texts = [
        (f"make {name_en(thing)} {en}.", f"把{name_zh(thing)}变{zh}。"),
        (f"{name_en(thing)} should be {en}.", f"让{name_zh(thing)}变{zh}一些。"),
    ]
    why = (f"{name_en(thing)} is {en} and still stands on the ground.", f"{name_zh(thing)}变{zh}了，仍在地上。")
    return made(rng, "resize", source, right, right.change(at, floating=True), texts, why)


@production("referential")
def recolour(rng: Random) -> DrawnEdit:
    """Paint a solid that is called by its name."""
    thing = solid(rng)
    source, (at,) = random_scene(rng, [thing])
    colour = other(rng, thing.colour)
    texts = [
        (f"paint {name_en(thing)} {colour}.", f"把{name_zh(thing)}涂成{COLOUR_ZH[colour]}色。"),
        (f"change the colour of {name_en(thing)} to {colour}.", f"将{name_zh(thing)}改为{COLOUR_ZH[colour]}色。"),
    ]
    why = (f"{name_en(thing)} is {colour} now.", f"{name_zh(thing)}现在是{COLOUR_ZH[colour]}色。")
    half = source.change(at, colour=next(one for one in COLOURS if one not in (colour, thing.colour)))
    return made(rng, "recolour", source, source.change(at, colour=colour), half, texts, why)


@production("referential")
def remove_ranked(rng: Random) -> DrawnEdit:
    """Remove a thing that is called by its rank in the row."""
    source, (at, _) = random_scene(rng, [random_thing(rng), solid(rng)])
    called_en, called_zh = ordinal(source, at, rng.random() < 0.5)
    thing = source.places[at]
    assert thing is not None
    texts = [(f"remove {called_en}.", f"去掉{called_zh}。"), (f"take away {called_en}.", f"把{called_zh}拿走。")]
    why = (f"{name_en(thing)} is gone.", f"{name_zh(thing)}不见了。")
    half = source.put(at, replace(thing, colour=other(rng, thing.colour), small=not thing.small))
    if thing.kind in ("ice", "person", "candle", "plant", "glass"):
        half = source.put(at, replace(thing, changed=not thing.changed))
    return made(rng, "remove_ranked", source, source.put(at, None), half, texts, why)


@production("referential")
def add_beside(rng: Random) -> DrawnEdit:
    """Add a solid in the free place beside a thing."""
    while True:
        anchor, new = random_thing(rng), solid(rng, small=False)
        source, (at,) = random_scene(rng, [anchor], num_free=1)
        sides = [s for s, to in (("left", at - 1), ("right", at + 1)) if 0 <= to < NUM_PLACES and not source.places[to]]
        if sides:
            break
    side = rng.choice(sides)
    to = at - 1 if side == "left" else at + 1
    where_en, where_zh = f"directly {side} of {name_en(anchor)}", f"{name_zh(anchor)}的紧{SIDE_ZH[side]}边"
    thing_en, thing_zh = a_en(new), f"{COLOUR_ZH[new.colour]}色的{KIND_ZH[new.kind]}"
    texts = [
        (f"add {thing_en} {where_en}.", f"在{where_zh}加一个{thing_zh}。"),
        (f"put {thing_en} {where_en}.", f"在{where_zh}放一个{thing_zh}。"),
    ]
    why = (f"{thing_en} stands {where_en}.", f"{where_zh}有一个{thing_zh}。")
    half = source.put(to, replace(new, colour=other(rng, new.colour)))
    return made(rng, "add_beside", source, source.put(to, new), half, texts, why)


@production("referential")
def reshape(rng: Random) -> DrawnEdit:
    """Turn the left or the right one of two like solids into another shape."""
    thing = solid(rng, small=False)
    source, places = random_scene(rng, [thing, thing])
    side = rng.choice(("left", "right"))
    at = min(places) if side == "left" else max(places)
    kind = rng.choice([one for one in SOLIDS if one != thing.kind])
    third = next(one for one in SOLIDS if one not in (kind, thing.kind))
    one_en, one_zh = (
        f"the {side} one of the two {thing.colour} {KIND_EN[thing.kind]}s",
        f"两个{name_zh(thing)}中{SIDE_ZH[side]}边的那个",
    )
    one_en = one_en.replace("boxs", "boxes")
    texts = [
        (f"turn {one_en} into a {KIND_EN[kind]}.", f"把{one_zh}变成{KIND_ZH[kind]}。"),
        (f"replace {one_en} by a {KIND_EN[kind]} of the same colour.", f"用同色的{KIND_ZH[kind]}替换{one_zh}。"),
    ]
    why = (f"{one_en} is a {KIND_EN[kind]} now.", f"{one_zh}现在是{KIND_ZH[kind]}。")
    return made(rng, "reshape", source, source.change(at, kind=kind), source.change(at, kind=third), texts, why)
