"""The grammar: productions that make a scene, an instruction in two languages, and the scene that is right.

Each production also knows what an almost right editor makes: the asked thing half done, and it done to another thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from editbench.demo.scenes import (
    COLOURS,
    GROUNDS,
    NUM_PLACES,
    SOLIDS,
    TIMES,
    WEATHERS,
    Scene,
    Thing,
    name_key,
    random_scene,
    random_thing,
)
from editbench.demo.words import (
    COLOUR_ZH,
    GROUND_ZH,
    KIND_EN,
    KIND_ZH,
    SIDE_ZH,
    TIME_EN,
    TIME_ZH,
    WEATHER_EN,
    WEATHER_ZH,
    a_en,
    name_en,
    name_zh,
    ordinal,
)
from editbench.records import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnEdit:
    """One question to an editor, with its answer."""

    production: str
    """Name of the production."""
    category: Category
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
PRODUCTIONS: dict[str, tuple[Category, Production]] = {}


def production(category: Category) -> Callable[[Production], Production]:
    """Enter a production into the grammar, in the order of the file."""

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


def solid(rng: Random, *, small: bool | None = None, kind: str | None = None) -> Thing:
    """A ball, box or cone."""
    kinds = SOLIDS if kind is None else tuple(one for one in SOLIDS if one == kind)
    thing = random_thing(rng, kinds)
    return thing if small is None else replace(thing, small=small)


def two_solids(rng: Random, *, base_box: bool) -> tuple[Thing, Thing]:
    """A small solid and a full-size one, told apart by their names."""
    while True:
        first, second = solid(rng, small=True), solid(rng, small=False, kind="box" if base_box else None)
        if name_key(first) != name_key(second):
            return first, second


def free_place(rng: Random, scene: Scene) -> int:
    """An empty place."""
    return rng.choice([place for place in range(NUM_PLACES) if scene.places[place] is None])


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


@production("environmental")
def change_time(rng: Random) -> DrawnEdit:
    """Another time of the day: sky and light."""
    source, _ = random_scene(rng, [random_thing(rng)])
    time = rng.choice([one for one in TIMES if one != source.time])
    third = next(one for one in TIMES if one not in (time, source.time))
    texts = [
        (f"change the time to {TIME_EN[time]}.", f"把时间改成{TIME_ZH[time]}。"),
        (f"show this scene at {TIME_EN[time]}.", f"展示{TIME_ZH[time]}的这个场景。"),
    ]
    why = (f"sky and light are those of {TIME_EN[time]}.", f"天空和光线是{TIME_ZH[time]}的样子。")
    return made(rng, "change_time", source, replace(source, time=time), replace(source, time=third), texts, why)


@production("environmental")
def move_light(rng: Random) -> DrawnEdit:
    """The sun or moon goes to the other side, and the shadows turn."""
    source, _ = random_scene(rng, [random_thing(rng), random_thing(rng)])
    side = "right" if source.sun == "left" else "left"
    en, zh = ("moon", "月亮") if source.time == "night" else ("sun", "太阳")
    half = replace(source, sun=side, shadows_from=source.sun)
    texts = [
        (f"move the {en} to the {side} and turn the shadows with it.", f"把{zh}移到{SIDE_ZH[side]}边，影子随之转向。"),
        (f"let the light come from the {side}.", f"让光从{SIDE_ZH[side]}边照过来。"),
    ]
    away = "left" if side == "right" else "right"
    why = (
        f"the {en} is on the {side} and all shadows fall to the {away}.",
        f"{zh}在{SIDE_ZH[side]}边，影子都落在{SIDE_ZH[away]}边。",
    )
    return made(rng, "move_light", source, replace(source, sun=side), half, texts, why)


@production("environmental")
def change_weather(rng: Random) -> DrawnEdit:
    """Clear, rain or snow; never from snow, because nobody can say what lies under it."""
    source, _ = random_scene(rng, [random_thing(rng)])
    source = replace(source, weather=rng.choice(("clear", "rain")))
    weather = rng.choice([one for one in WEATHERS if one != source.weather])
    third = next(one for one in WEATHERS if one not in (weather, source.weather))
    texts = [
        (f"make the weather {WEATHER_EN[weather]}.", f"把天气变成{WEATHER_ZH[weather]}。"),
        (f"turn this into a {WEATHER_EN[weather]} scene.", f"把画面改成{WEATHER_ZH[weather]}。"),
    ]
    why = (f"the weather is {WEATHER_EN[weather]}.", f"天气是{WEATHER_ZH[weather]}。")
    return made(
        rng, "change_weather", source, replace(source, weather=weather), replace(source, weather=third), texts, why
    )


@production("environmental")
def change_ground(rng: Random) -> DrawnEdit:
    """Grass, sand or stone; not under snow."""
    source, _ = random_scene(rng, [random_thing(rng)])
    source = replace(source, weather="clear" if source.weather == "snow" else source.weather)
    ground = rng.choice([one for one in GROUNDS if one != source.ground])
    third = next(one for one in GROUNDS if one not in (ground, source.ground))
    texts = [
        (f"turn the {source.ground} into {ground}.", f"把{GROUND_ZH[source.ground]}变成{GROUND_ZH[ground]}。"),
        (f"let the things stand on {ground}.", f"让这些东西站在{GROUND_ZH[ground]}上。"),
    ]
    why = (f"the ground is {ground}.", f"地面是{GROUND_ZH[ground]}。")
    return made(rng, "change_ground", source, replace(source, ground=ground), replace(source, ground=third), texts, why)


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
