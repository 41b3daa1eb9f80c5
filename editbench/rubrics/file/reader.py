"""The whole of a rubric's file, read and checked."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editbench.rubrics.file.calls import named, read_call
from editbench.rubrics.file.formula import check_ranges, read_formula
from editbench.rubrics.file.spec import Spec, fingerprint
from editbench.rubrics.file.values import Values, load
from editbench.rubrics.headlines import CATEGORY_MEAN, ITEM_MEAN, Headline, Level

FILE_KEYS = ("version", "scale", "calls", "value", "headlines", "max_pixels")
_HEADLINES = {headline.name: headline for headline in (CATEGORY_MEAN, ITEM_MEAN)}
_MAX_PIXELS = 1024 * 1024


def read_spec(path: Path) -> Spec:
    """Read and check the file.

    Raises:
        UsageError: with every mistake, a line each: file, key, what is wrong.
    """
    values = Values(path)
    found = load(values)
    values.raise_if_any()
    root = values.mapping(found, "", FILE_KEYS, needs=("version", "calls"))
    values.raise_if_any()
    version = values.text(root.get("version"), "version")
    entries = values.mapping(root["calls"], "calls")
    calls = [call for name, entry in entries.items() if (call := read_call(values, name, entry)) is not None]
    if not entries:
        values.add("calls", "there is no call; give one or more")
    values.raise_if_any()
    calls = named(calls)
    ranges = {dimension: call.range_of(name) for call in calls for name, dimension in call.dimensions.items()}
    formula, weights = read_formula(values, root.get("value", "mean"), ranges)
    scale = _scale(values, root.get("scale"), ranges)
    max_pixels = values.whole(root.get("max_pixels", _MAX_PIXELS), "max_pixels")
    values.raise_if_any()
    check_ranges(values, calls, ranges, formula, weights, scale, given="scale" in root)
    headlines = _headlines(values, root.get("headlines", [ITEM_MEAN.name]), scale, ranges)
    values.raise_if_any()
    return Spec(
        version=version,
        scale=scale,
        calls=tuple(calls),
        ranges=ranges,
        formula=formula,
        weights=weights,
        headlines=headlines,
        max_pixels=max_pixels,
        fingerprint=fingerprint(calls, max_pixels),
    )


def _scale(values: Values, value: Any, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    if value is not None:
        return values.range(value, "scale")
    if len(set(ranges.values())) == 1:
        return next(iter(ranges.values()))
    values.add("scale", "is needed where the ranges of the numbers differ")
    return 0.0, 1.0


def _headlines(
    values: Values, value: Any, scale: tuple[float, float], ranges: Mapping[str, tuple[float, float]]
) -> tuple[Headline, ...]:
    if not isinstance(value, list) or not value:
        values.add("headlines", f"a list of some of {', '.join(_HEADLINES)}")
        return ()
    found: list[Headline] = []
    entries: list[Any] = value
    for number, entry in enumerate(entries):
        where = f"headlines[{number}]"
        if isinstance(entry, str):
            if entry not in _HEADLINES:
                values.add(where, f"{entry!r}: give one of {', '.join(_HEADLINES)}, or name and values")
                continue
            found.append(_HEADLINES[entry].on(scale))
            continue
        row = values.mapping(entry, where, ("name", "values", "levels"), needs=("name", "values"))
        names = tuple(values.texts(row.get("values", ["value"]), f"{where}.values"))
        for name in names:
            if name != "value" and name not in ranges:
                values.add(f"{where}.values", f"{name!r} is no dimension; there are {', '.join(ranges)}")
        spans = [scale if name == "value" else ranges.get(name, scale) for name in names] or [scale]
        found.append(
            Headline(
                name=values.text(row.get("name"), f"{where}.name"),
                scale=(min(low for low, _ in spans), max(high for _, high in spans)),
                values=names,
                levels=tuple(Level(by=level) for level in values.texts(row.get("levels", []), f"{where}.levels")),
            )
        )
    for twice in [name for name, times in Counter(headline.name for headline in found).items() if times > 1]:
        values.add("headlines", f"{twice!r} stands twice")
    return tuple(found)
