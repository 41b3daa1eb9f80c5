"""Productions of the social and the causal category: people, and what happens to things."""

from dataclasses import replace
from random import Random

from editbench.demo.training.edits import DrawnEdit, made, other, production
from editbench.demo.training.scenes import COLOURS, random_scene, random_thing
from editbench.demo.training.words import COLOUR_ZH, name_en, name_zh


@production("social")
def mood(rng: Random) -> DrawnEdit:
    """A person's mouth."""
    person = random_thing(rng, ("person",))
    source, (at,) = random_scene(rng, [person])
    right = source.change(at, changed=not person.changed)
    if person.changed:
        texts = [
            (f"{name_en(person)} has had sad news: let them look sad.", f"{name_zh(person)}听到坏消息，让其显得难过。"),
            (f"make {name_en(person)} look sad.", f"让{name_zh(person)}显得难过。"),
        ]
        why = (f"{name_en(person)} looks sad.", f"{name_zh(person)}显得难过。")
    else:
        texts = [
            (f"let {name_en(person)} smile.", f"让{name_zh(person)}微笑。"),
            (f"make {name_en(person)} look happy.", f"让{name_zh(person)}显得高兴。"),
        ]
        why = (f"{name_en(person)} smiles.", f"{name_zh(person)}在微笑。")
    half = source.change(at, arms_up=not person.arms_up)
    return made(rng, "mood", source, right, half, texts, why)


@production("social")
def hat(rng: Random) -> DrawnEdit:
    """Put a hat on a person, or take it off."""
    person = random_thing(rng, ("person",))
    source, (at,) = random_scene(rng, [person])
    name, name_chinese = name_en(person), name_zh(person)
    if person.hat:
        texts = [(f"let {name} take off the hat.", f"让{name_chinese}脱帽。")]
        texts += [(f"take the hat off {name}, who greets politely.", f"{name_chinese}礼貌地脱帽致意。")]
        why = (f"{name} wears no hat.", f"{name_chinese}没有戴帽子。")
        return made(
            rng, "hat", source, source.change(at, hat=None), source.change(at, hat=other(rng, person.hat)), texts, why
        )
    colour = rng.choice(COLOURS)
    texts = [
        (f"give {name} a {colour} hat.", f"给{name_chinese}戴上{COLOUR_ZH[colour]}色的帽子。"),
        (f"put a {colour} hat on {name}.", f"让{name_chinese}戴一顶{COLOUR_ZH[colour]}色帽子。"),
    ]
    why = (f"{name} wears a {colour} hat.", f"{name_chinese}戴着{COLOUR_ZH[colour]}色的帽子。")
    half = source.change(at, hat=other(rng, colour))
    return made(rng, "hat", source, source.change(at, hat=colour), half, texts, why)


@production("social")
def greet(rng: Random) -> DrawnEdit:
    """A person's arms go up or down."""
    person = random_thing(rng, ("person",))
    source, (at,) = random_scene(rng, [person])
    name, name_chinese = name_en(person), name_zh(person)
    if person.arms_up:
        texts = [(f"let {name} lower both arms.", f"让{name_chinese}放下双臂。")]
        why = (f"both arms of {name} hang down.", f"{name_chinese}双臂下垂。")
    else:
        texts = [
            (f"let {name} raise both arms in greeting.", f"让{name_chinese}举起双臂打招呼。"),
            (f"{name} waves with both arms up.", f"{name_chinese}高举双臂致意。"),
        ]
        why = (f"both arms of {name} are raised.", f"{name_chinese}举着双臂。")
    right = source.change(at, arms_up=not person.arms_up)
    return made(rng, "greet", source, right, source.change(at, changed=not person.changed), texts, why)


@production("social")
def dress(rng: Random) -> DrawnEdit:
    """A shirt of another colour."""
    person = random_thing(rng, ("person",))
    source, (at,) = random_scene(rng, [person])
    colour = other(rng, person.colour)
    texts = [
        (f"dress {name_en(person)} in {colour} instead.", f"让{name_zh(person)}改穿{COLOUR_ZH[colour]}色衣服。"),
        (
            f"change the shirt of {name_en(person)} to {colour}.",
            f"把{name_zh(person)}的衣服换成{COLOUR_ZH[colour]}色。",
        ),
    ]
    why = (f"the shirt is {colour}, face and skin stay the same.", f"衣服是{COLOUR_ZH[colour]}色，面容和肤色不变。")
    half = source.change(at, colour=next(one for one in COLOURS if one not in (colour, person.colour)))
    return made(rng, "dress", source, source.change(at, colour=colour), half, texts, why)


@production("causal")
def flame(rng: Random) -> DrawnEdit:
    """Light a candle or blow it out."""
    candle = random_thing(rng, ("candle",))
    source, (at,) = random_scene(rng, [candle])
    name, name_chinese = name_en(candle), name_zh(candle)
    if candle.changed:
        texts = [
            (f"somebody has blown out {name}.", f"有人吹灭了{name_chinese}。"),
            (f"show {name} after a gust of wind.", f"展示一阵风吹过后的{name_chinese}。"),
        ]
        why = (f"{name} no longer burns.", f"{name_chinese}不再燃烧。")
    else:
        texts = [
            (f"light {name}.", f"点燃{name_chinese}。"),
            (f"somebody has put a match to {name}.", f"有人用火柴点了{name_chinese}。"),
        ]
        why = (f"{name} burns.", f"{name_chinese}在燃烧。")
    half = source.change(at, colour=other(rng, candle.colour))
    return made(rng, "flame", source, source.change(at, changed=not candle.changed), half, texts, why)


@production("causal")
def grow(rng: Random) -> DrawnEdit:
    """A sprout comes into flower."""
    plant = replace(random_thing(rng, ("plant",)), changed=False)
    source, (at,) = random_scene(rng, [plant])
    texts = [
        (f"show {name_en(plant)} a few weeks later, in flower.", f"展示几周后{name_zh(plant)}开花的样子。"),
        (f"{name_en(plant)} has been watered every day and now blooms.", f"{name_zh(plant)}天天浇水，现在开花了。"),
    ]
    why = (f"{name_en(plant)} is tall and in flower, in the same pot.", f"{name_zh(plant)}长高并开花，花盆不变。")
    half = source.change(at, colour=other(rng, plant.colour))
    return made(rng, "grow", source, source.change(at, changed=True), half, texts, why)


@production("causal")
def melt(rng: Random) -> DrawnEdit:
    """Ice becomes a puddle."""
    ice = replace(random_thing(rng, ("ice",)), changed=False)
    source, (at,) = random_scene(rng, [ice])
    texts = [
        ("show the block of ice after it has melted.", "展示冰块融化以后的样子。"),
        ("an hour in the warmth has passed for the block of ice.", "冰块在温暖处放了一个小时。"),
    ]
    why = ("where the ice was there is a puddle of water.", "原来冰块的地方是一滩水。")
    return made(rng, "melt", source, source.change(at, changed=True), source.put(at, None), texts, why)


@production("causal")
def drink(rng: Random) -> DrawnEdit:
    """A glass is emptied."""
    glass = replace(random_thing(rng, ("glass",)), changed=False)
    source, (at,) = random_scene(rng, [glass])
    texts = [
        (f"somebody drank from {name_en(glass)}: show it empty.", f"有人喝完了{name_zh(glass)}，展示空杯子。"),
        (f"empty {name_en(glass)}.", f"把{name_zh(glass)}倒空。"),
    ]
    why = ("the glass stands in its place and is empty.", "杯子还在原处，是空的。")
    half = source.change(at, colour=other(rng, glass.colour))
    return made(rng, "drink", source, source.change(at, changed=True), half, texts, why)
