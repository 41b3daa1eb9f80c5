"""Productions of the environmental category: time, light, weather, ground."""

from dataclasses import replace
from random import Random

from editbench.demo.training.edits import DrawnEdit, made, production
from editbench.demo.training.scenes import GROUNDS, TIMES, WEATHERS, random_scene, random_thing
from editbench.demo.training.words import GROUND_ZH, SIDE_ZH, TIME_EN, TIME_ZH, WEATHER_EN, WEATHER_ZH


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
