"""How a pair's value is made of its dimensions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from editbench.rubrics.file.spec import Call
from editbench.rubrics.file.values import Values

FORMULAS = ("mean", "min", "max", "geometric_mean")


def part_weights(calls: Sequence[Call], weights: Mapping[str, float], category: str | None) -> dict[str, float]:
    """The weights, above 0, of the dimensions that pairs of the category are asked for; None: of no named category."""
    asked = [call for call in calls if not call.when or (category is not None and call.applies(category))]
    names = [name for call in asked for name in call.dimensions.values()]
    found = {name: weights.get(name, 0.0) if weights else 1.0 for name in names}
    return {name: weight for name, weight in found.items() if weight > 0}


def apply(formula: str, numbers: Sequence[float], weights: Sequence[float]) -> float:
    """The value of one or more numbers, each with its weight."""
    if formula == "geometric_mean":
        return math.prod(numbers) ** (1 / len(numbers))
    return {"min": min(numbers), "max": max(numbers), "mean": _mean(numbers, weights)}[formula]


def _mean(numbers: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(n * weight for n, weight in zip(numbers, weights, strict=True)) / math.fsum(weights)


def read_formula(values: Values, value: Any, ranges: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """The formula and its weights by dimension; none: all weigh alike."""
    if isinstance(value, str):
        if value not in FORMULAS:
            values.add("value", f"{value!r}: give one of {', '.join(FORMULAS)}, or weights by dimension")
        return (value if value in FORMULAS else "mean"), {}
    weights: dict[str, float] = {}
    for name, weight in values.mapping(value, "value").items():
        if name not in ranges:
            values.add(f"value.{name}", f"no such dimension; there are {', '.join(ranges)}")
        weights[name] = values.number(weight, f"value.{name}")
        if weights[name] < 0:
            values.add(f"value.{name}", f"the weight {weights[name]:g} is below 0")
    if not any(weight > 0 for weight in weights.values()):
        values.add("value", "no weight is above 0")
    return "mean", weights


def check_ranges(
    values: Values,
    calls: Sequence[Call],
    ranges: Mapping[str, tuple[float, float]],
    formula: str,
    weights: Mapping[str, float],
    scale: tuple[float, float],
    *,
    given: bool,
) -> None:
    """See that the value is on the scale, whichever calls apply."""
    if len(set(ranges.values())) > 1 and not weights:
        said = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in ranges.items())
        values.add("value", f"{formula} needs numbers of one range, and they differ ({said}); give weights")
        return
    if formula == "geometric_mean" and any(low < 0 for low, _ in ranges.values()):
        values.add("value", "geometric_mean needs ranges that begin at 0 or above")
    categories = dict.fromkeys(category for call in calls for category in call.when)
    for category in (None, *categories):
        part = part_weights(calls, weights, category)
        if not part:
            continue
        total = math.fsum(part.values())
        low, high = (math.fsum(weight * ranges[name][end] for name, weight in part.items()) / total for end in (0, 1))
        if given and (low < scale[0] - 1e-9 or high > scale[1] + 1e-9):
            which = f" of the category {category!r}" if category is not None else ""
            values.add("scale", f"{scale[0]:g} to {scale[1]:g}: the value{which} goes from {low:g} to {high:g}")
            return
