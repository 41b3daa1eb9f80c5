"""A scene becomes a list of flat shapes, and the shapes become pixels, painted one over the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from editbench.demo.training.scenes import NUM_PLACES, Scene, Thing

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[float, ...]
"""form (0 ellipse, 1 box, 2 triangle), centre x y, half width, half height, red green blue in 0 to 1, opacity."""
NUM_NUMBERS = 9
MAX_SHAPES = 96
ELLIPSE, BOX, TRIANGLE = 0.0, 1.0, 2.0
BASELINE = 0.84
"""Where things stand, 0 to 1 from the top."""

Colour = tuple[float, float, float]


def _rgb(red: int, green: int, blue: int) -> Colour:
    return red / 255, green / 255, blue / 255


PAINT = {
    "red": _rgb(215, 40, 40),
    "orange": _rgb(245, 140, 20),
    "yellow": _rgb(250, 222, 50),
    "green": _rgb(25, 130, 60),
    "blue": _rgb(40, 90, 215),
    "purple": _rgb(140, 55, 165),
}
SKY = {"day": _rgb(150, 205, 245), "sunset": _rgb(250, 165, 115), "night": _rgb(40, 50, 100)}
GROUND = {"grass": _rgb(140, 190, 110), "sand": _rgb(228, 206, 158), "stone": _rgb(168, 168, 174)}
SKIN = (_rgb(244, 205, 170), _rgb(200, 145, 100), _rgb(125, 80, 55))
WHITE, BLACK, DARK = _rgb(250, 250, 250), _rgb(10, 10, 15), _rgb(45, 35, 40)
GREY, LEAF, PETAL = _rgb(135, 140, 150), _rgb(50, 150, 60), _rgb(250, 130, 180)
ICE, PANE, WATER, FLAME = _rgb(205, 238, 250), _rgb(190, 205, 220), _rgb(90, 170, 230), _rgb(255, 190, 40)


def _solid(thing: Thing, x: float, base: float, light: float) -> list[Shape]:
    size = 0.62 if thing.small else 1.0
    paint, half = PAINT[thing.colour], 0.078 * size
    y = base - half
    if thing.kind == "ball":
        body = [(ELLIPSE, x, y, half, half, *paint, 1.0)]
        shine = [(ELLIPSE, x + light * half * 0.4, y - half * 0.4, half * 0.25, half * 0.25, *WHITE, 0.75)]
    elif thing.kind == "box":
        body = [(BOX, x, y, half, half, *paint, 1.0)]
        shine = [(BOX, x - light * half * 0.75, y, half * 0.25, half, *BLACK, 0.28)]
    else:
        body = [(TRIANGLE, x, base - half * 1.15, half * 1.1, half * 1.15, *paint, 1.0)]
        shine = [(TRIANGLE, x + light * half * 0.2, base - half * 0.75, half * 0.25, half * 0.6, *WHITE, 0.4)]
    return body + shine


def _person(thing: Thing, x: float, base: float) -> list[Shape]:
    skin, shirt = SKIN[thing.skin], PAINT[thing.colour]
    head, radius = base - 0.255, 0.062
    arm = base - 0.235 if thing.arms_up else base - 0.12
    shapes: list[Shape] = [(BOX, x + side * 0.02, base - 0.035, 0.014, 0.035, *DARK, 1.0) for side in (-1, 1)]
    shapes += [(BOX, x + side * 0.076, arm, 0.014, 0.062, *skin, 1.0) for side in (-1, 1)]
    shapes += [(BOX, x, base - 0.13, 0.064, 0.064, *shirt, 1.0)]
    shapes += [(ELLIPSE, x, head, radius, radius, *skin, 1.0)]
    shapes += [(ELLIPSE, x + side * 0.022, head - 0.012, 0.008, 0.008, *BLACK, 1.0) for side in (-1, 1)]
    # a mouth is a dark ellipse with skin over its upper or its lower part
    mouth, cover = (head + 0.022, -0.013) if thing.changed else (head + 0.034, 0.013)
    shapes += [(ELLIPSE, x, mouth, 0.031, 0.02, *BLACK, 1.0), (ELLIPSE, x, mouth + cover, 0.035, 0.02, *skin, 1.0)]
    if thing.hat:
        shapes += [(BOX, x, head - 0.045, 0.075, 0.01, *PAINT[thing.hat], 1.0)]
        shapes += [(BOX, x, head - 0.075, 0.042, 0.03, *PAINT[thing.hat], 1.0)]
    return shapes


def _flower(thing: Thing, x: float, base: float) -> list[Shape]:
    top = base - (0.22 if thing.changed else 0.12)
    shapes: list[Shape] = [(BOX, x, (top + base - 0.07) / 2, 0.008, (base - 0.07 - top) / 2, *LEAF, 1.0)]
    shapes += [(ELLIPSE, x + side * 0.03, base - 0.115, 0.028, 0.013, *LEAF, 1.0) for side in (-1, 1)]
    if thing.changed:
        shapes += [(ELLIPSE, x + a * 0.032, top + b * 0.032, 0.03, 0.03, *PETAL, 1.0) for a in (-1, 1) for b in (-1, 1)]
        shapes += [(ELLIPSE, x, top, 0.022, 0.022, *PAINT["yellow"], 1.0)]
    return [*shapes, (BOX, x, base - 0.036, 0.055, 0.036, *PAINT[thing.colour], 1.0)]


def _still(thing: Thing, x: float, base: float) -> list[Shape]:
    if thing.kind == "candle":
        body: list[Shape] = [(BOX, x, base - 0.07, 0.032, 0.07, *PAINT[thing.colour], 1.0)]
        return [*body, (BOX, x, base - 0.15, 0.005, 0.012, *DARK, 1.0)]
    if thing.kind == "ice":
        if thing.changed:
            return [(ELLIPSE, x, base - 0.004, 0.1, 0.022, *WATER, 1.0)]
        block: list[Shape] = [(BOX, x, base - 0.07, 0.07, 0.07, *ICE, 0.95)]
        return [*block, (BOX, x - 0.035, base - 0.1, 0.012, 0.025, *WHITE, 0.9)]
    juice: list[Shape] = [] if thing.changed else [(BOX, x, base - 0.066, 0.044, 0.058, *PAINT[thing.colour], 1.0)]
    wall: list[Shape] = [(BOX, x + side * 0.05, base - 0.085, 0.006, 0.085, *PANE, 0.9) for side in (-1, 1)]
    return [
        (BOX, x, base - 0.085, 0.05, 0.085, *WHITE, 0.3),
        *juice,
        *wall,
        (BOX, x, base - 0.005, 0.056, 0.005, *WHITE, 0.9),
    ]


def _thing(thing: Thing, x: float, base: float, light: float) -> list[Shape]:
    if thing.floating:
        base -= 0.156
    if thing.kind in ("ball", "box", "cone"):
        shapes = _solid(thing, x, base, light)
    elif thing.kind == "person":
        shapes = _person(thing, x, base)
    elif thing.kind == "plant":
        shapes = _flower(thing, x, base)
    else:
        shapes = _still(thing, x, base)
    if thing.top is not None:
        height = 0.156 * (0.62 if thing.small else 1.0)
        shapes += _thing(replace(thing.top, top=None), x, base - height, light)
    return shapes


def shapes_of(scene: Scene) -> list[Shape]:
    """The scene's shapes from back to front."""
    light = -1.0 if scene.sun == "left" else 1.0
    cast = -light if scene.shadows_from in (None, scene.sun) else light
    snow = scene.weather == "snow"
    sky = (
        SKY[scene.time]
        if scene.weather == "clear"
        else tuple(0.45 * a + 0.55 * b for a, b in zip(SKY[scene.time], GREY, strict=True))
    )
    ground = WHITE if snow else GROUND[scene.ground]
    hill = tuple(0.75 * channel + 0.1 for channel in ground)
    disc = WHITE if scene.time == "night" else _rgb(255, 236, 130)
    sun: Shape = (ELLIPSE, 0.5 + light * 0.38, 0.13, 0.07, 0.07, *disc, 1.0)
    shapes: list[Shape] = [(BOX, 0.5, 0.5, 1.0, 1.0, *sky, 1.0), sun]
    cloud = WHITE if scene.weather == "clear" else tuple(0.8 * channel for channel in GREY)
    for at, height in zip(scene.clouds, (0.27, 0.2), strict=True):
        shapes += [
            (ELLIPSE, at, height, 0.1, 0.035, *cloud, 0.9),
            (ELLIPSE, at + 0.03, height - 0.025, 0.05, 0.035, *cloud, 0.9),
        ]
    shapes += [(ELLIPSE, scene.hill, 0.68, 0.3, 0.14, *hill, 1.0), (BOX, 0.5, 0.84, 1.0, 0.16, *ground, 1.0)]
    centres = [(place + 0.5) / NUM_PLACES for place in range(NUM_PLACES)]
    shadow = 0.22 if scene.time == "night" else 0.38
    for x, thing in zip(centres, scene.places, strict=True):
        if thing is not None and not (thing.kind == "ice" and thing.changed):
            length = 0.6 if thing.small or thing.kind in ("candle", "glass", "plant") else 1.0
            shapes.append((ELLIPSE, x + cast * 0.075 * length, BASELINE + 0.004, 0.1 * length, 0.02, *BLACK, shadow))
    for x, thing in zip(centres, scene.places, strict=True):
        if thing is not None:
            shapes += _thing(thing, x, BASELINE, light)
    if scene.weather == "rain":
        shapes += [(BOX, (i * 0.618 + 0.05) % 1, 0.05 + 0.066 * i, 0.005, 0.035, *WATER, 0.9) for i in range(14)]
    if snow:
        shapes += [(ELLIPSE, (i * 0.618 + 0.05) % 1, 0.04 + 0.066 * i, 0.014, 0.014, *WHITE, 0.95) for i in range(14)]
    if scene.time == "night":
        shapes += [(BOX, 0.5, 0.5, 1.0, 1.0, *_rgb(5, 10, 50), 0.42), sun]
    elif scene.time == "sunset":
        shapes.append((BOX, 0.5, 0.5, 1.0, 1.0, *_rgb(255, 120, 40), 0.16))
    for x, thing in zip(centres, scene.places, strict=True):
        if (
            thing is not None and thing.kind == "candle" and thing.changed
        ):  # a light of its own: the night does not dim it
            shapes += [
                (ELLIPSE, x, BASELINE - 0.185, 0.06, 0.07, *FLAME, 0.3),
                (ELLIPSE, x, BASELINE - 0.178, 0.02, 0.035, *FLAME, 1.0),
            ]
            shapes.append((ELLIPSE, x, BASELINE - 0.168, 0.01, 0.018, *WHITE, 1.0))
    assert len(shapes) <= MAX_SHAPES, len(shapes)
    return shapes


def table_of(scenes: list[Scene]) -> Tensor:
    """The scenes' shapes as one table.

    Returns:
        Tensor: float32, (scenes, MAX_SHAPES, NUM_NUMBERS); rows behind a scene's last shape have no opacity.
    """
    import torch

    table = torch.zeros(len(scenes), MAX_SHAPES, NUM_NUMBERS)
    table[:, :, 3:5] = 1e-3
    for row, scene in zip(table, scenes, strict=True):
        shapes = shapes_of(scene)
        row[: len(shapes)] = torch.tensor(shapes)
    return table


def paint(table: Tensor, size: int) -> Tensor:
    """Paint tables of shapes, on the table's device.

    Args:
        table: what `table_of` gives.
        size: of the square picture, pixels a side.

    Returns:
        Tensor: float32 in 0 to 1, (scenes, 3, size, size); edges are one pixel soft.
    """
    import torch

    if not table.is_cuda:
        return torch.stack([torch.from_numpy(_paint_boxes(rows, size)) for rows in table.numpy()])
    at = (torch.arange(size, device=table.device) + 0.5) / size
    picture = table.new_zeros(len(table), 3, size, size)
    for i in range(int((table[:, :, 8] > 0).any(0).sum())):
        form, x, y, half_x, half_y, *paint_of, opacity = (table[:, i, k, None, None] for k in range(NUM_NUMBERS))
        across, down = at[None, None, :] - x, at[None, :, None] - y
        far = across.abs()
        ellipse = (((across / half_x) ** 2 + (down / half_y) ** 2).sqrt() - 1) * torch.minimum(half_x, half_y)
        box = torch.maximum(far - half_x, down.abs() - half_y)
        slope = (2 * half_y * far - half_x * (down + half_y)) / (4 * half_y**2 + half_x**2).sqrt()
        triangle = torch.maximum(down - half_y, slope)
        distance = torch.where(form == ELLIPSE, ellipse, torch.where(form == BOX, box, triangle))
        cover = (0.5 - distance * size).clamp(0, 1) * opacity
        colour = torch.stack(paint_of, 1)
        picture = picture + cover[:, None] * (colour - picture)
    return picture


def _paint_boxes(rows: Any, size: int) -> Any:
    import numpy as np

    # the same sums as `paint`, each shape in its own box only: ten times faster on a CPU
    at = ((np.arange(size) + 0.5) / size).astype(np.float32)
    picture = np.zeros((3, size, size), np.float32)
    for form, x, y, half_x, half_y, red, green, blue, opacity in rows:
        if opacity <= 0:
            continue
        # an ellipse's soft edge is wider along its longer half
        soft = 0.5 / size * max(half_x, half_y) / min(half_x, half_y) + 1 / size
        columns = slice(*np.searchsorted(at, (x - half_x - soft, x + half_x + soft)))
        lines = slice(*np.searchsorted(at, (y - half_y - soft, y + half_y + soft)))
        far, down = np.abs(at[None, columns] - x), at[lines, None] - y
        if form == ELLIPSE:
            distance = (np.sqrt((far / half_x) ** 2 + (down / half_y) ** 2) - 1) * min(half_x, half_y)
        elif form == BOX:
            distance = np.maximum(far - half_x, np.abs(down) - half_y)
        else:
            slope = (2 * half_y * far - half_x * (down + half_y)) / np.sqrt(4 * half_y**2 + half_x**2)
            distance = np.maximum(down - half_y, slope)
        cover = np.clip(0.5 - distance * size, 0, 1) * opacity
        part = picture[:, lines, columns]
        part += cover * (np.array([red, green, blue], np.float32)[:, None, None] - part)
    return picture


def draw(scenes: list[Scene], size: int = 512) -> Tensor:
    """The scenes as pictures: uint8, (scenes, size, size, 3)."""
    import torch

    with torch.no_grad():
        pictures = [paint(table_of([scene]), size) for scene in scenes]
        return (torch.cat(pictures) * 255).round().byte().permute(0, 2, 3, 1)
