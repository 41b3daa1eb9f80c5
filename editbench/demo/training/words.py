"""The names of things and places in English and Chinese."""

from editbench.demo.training.scenes import NUM_PLACES, Scene, Thing

KIND_EN = {"ball": "ball", "box": "box", "cone": "cone", "person": "person", "candle": "candle", "plant": "plant"}
KIND_ZH = {"ball": "球", "box": "箱子", "cone": "锥体", "person": "人", "candle": "蜡烛", "plant": "植物"}
COLOUR_ZH = {"red": "红", "orange": "橙", "yellow": "黄", "green": "绿", "blue": "蓝", "purple": "紫"}
SIDE_ZH = {"left": "左", "right": "右"}
TIME_EN = {"day": "day", "sunset": "sunset", "night": "night"}
TIME_ZH = {"day": "白天", "sunset": "日落时分", "night": "夜晚"}
WEATHER_EN = {"clear": "clear", "rain": "rainy", "snow": "snowy"}
WEATHER_ZH = {"clear": "晴天", "rain": "雨天", "snow": "雪天"}
GROUND_ZH = {"grass": "草地", "sand": "沙地", "stone": "石地"}
NUMBER_EN = ("first", "second", "third", "fourth")
NUMBER_ZH = ("一", "二", "三", "四")


def name_en(thing: Thing) -> str:
    """The thing with its article: `the red ball`, `the person in blue`."""
    match thing.kind:
        case "person":
            return f"the person in {thing.colour}"
        case "plant":
            return f"the plant in the {thing.colour} pot"
        case "ice":
            return "the block of ice"
        case "glass":
            return f"the glass of {thing.colour} juice" if not thing.changed else "the empty glass"
        case kind:
            return f"the {thing.colour} {KIND_EN[kind]}"


def name_zh(thing: Thing) -> str:
    """The same in Chinese, without article."""
    colour = COLOUR_ZH[thing.colour]
    match thing.kind:
        case "person":
            return f"穿{colour}衣服的人"
        case "plant":
            return f"{colour}色花盆里的植物"
        case "ice":
            return "冰块"
        case "glass":
            return f"装{colour}色果汁的杯子" if not thing.changed else "空杯子"
        case kind:
            return f"{colour}色的{KIND_ZH[kind]}"


def a_en(thing: Thing) -> str:
    """With the indefinite article, its size when it is small."""
    name = name_en(thing).removeprefix("the ")
    name = f"small {name}" if thing.small else name
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def describe_en(scene: Scene) -> str:
    """What the picture shows, in one sentence."""
    parts = [a_en(one) + (f" with {a_en(one.top)} on it" if one.top else "") for one in scene.places if one]
    what = ", ".join(parts) if parts else "nothing"
    return (
        f"From left to right: {what}; on {scene.ground}, {WEATHER_EN[scene.weather]}, "
        f"{TIME_EN[scene.time]}, light from the {scene.sun}."
    )


def describe_zh(scene: Scene) -> str:
    """The same in Chinese."""
    parts = [
        ("小的" if one.small else "") + name_zh(one) + (f"（上面有{name_zh(one.top)}）" if one.top else "")
        for one in scene.places
        if one
    ]
    what = "、".join(parts) if parts else "什么也没有"
    ground, weather, time = GROUND_ZH[scene.ground], WEATHER_ZH[scene.weather], TIME_ZH[scene.time]
    return f"从左到右：{what}；{ground}，{weather}，{time}，光从{SIDE_ZH[scene.sun]}边来。"


def ordinal(scene: Scene, place: int, from_left: bool) -> tuple[str, str]:
    """How a thing is called by its rank among the things that stand: English with article, and Chinese."""
    standing = [i for i in range(NUM_PLACES) if scene.places[i] is not None]
    rank = standing.index(place) if from_left else len(standing) - 1 - standing.index(place)
    side = "left" if from_left else "right"
    if rank == 0:
        return f"the {side}most thing", f"最{SIDE_ZH[side]}边的东西"
    return f"the {NUMBER_EN[rank]} thing from the {side}", f"从{SIDE_ZH[side]}数第{NUMBER_ZH[rank]}个东西"
