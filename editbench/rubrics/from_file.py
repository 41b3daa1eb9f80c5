"""A rubric that is a YAML file: its form, and the questions and numbers that come of it."""

import hashlib
import json
import logging
import math
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import CATEGORY_MEAN, ITEM_MEAN, Headline, Level
from editbench.rubrics.readers import Key, read_json, read_lines, read_marker, read_number
from editbench.rubrics.rubric import Question, Reading, Rubric, Shown
from editbench.rubrics.template import FIELD, PAIR_FIELDS, fill

log = logging.getLogger(__name__)

_MAX_BYTES = 2**20
_MAX_PIXELS = 1024 * 1024
_PICTURES = ("source", "sources", "edit", "reference")
_FORMULAS = ("mean", "min", "max", "geometric_mean")
_HEADLINES = {headline.name: headline for headline in (CATEGORY_MEAN, ITEM_MEAN)}
_FILE_KEYS = ("version", "scale", "calls", "value", "headlines", "max_pixels")
_CALL_KEYS = ("shows", "text", "file", "system", "reply", "when", "max_new_tokens")
_REPLIES = ("number", "json", "lines", "marker")
_MAX_LINES = 100


@dataclass(frozen=True, kw_only=True)
class Call:
    """One entry of `calls`."""

    name: str
    shows: tuple[str, ...]
    texts: Mapping[str | None, str]
    """By category; under None the text of all others."""
    system: str
    when: tuple[str, ...]
    """Only in these categories; empty: in all."""
    max_new_tokens: int | None
    kind: str
    """Of the reply: one of `_REPLIES`."""
    keys: Mapping[str, Key]
    """What a JSON object holds, by key; of the other kinds one entry for each number."""
    is_labelled: bool
    """Of lines: whether their names are the keys."""
    marker: str
    dimensions: Mapping[str, str]
    """The dimension of each number that the reader gives."""

    def applies(self, category: str) -> bool:
        """Whether pairs of this category are asked."""
        return not self.when or category in self.when

    @cached_property
    def range(self) -> tuple[float, float]:
        """Of all numbers but those of JSON, whose keys have one each."""
        first = next(iter(self.keys.values()))
        return first.low, first.high

    @cached_property
    def digits(self) -> tuple[str, ...]:
        """The replies where they are single digits."""
        low, high = self.range
        if self.kind == "number" and low.is_integer() and high.is_integer() and 0 <= low <= high <= 9:
            return tuple(str(digit) for digit in range(int(low), int(high) + 1))
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """The whole file, checked."""

    version: str
    scale: tuple[float, float]
    calls: tuple[Call, ...]
    ranges: Mapping[str, tuple[float, float]]
    """Of each dimension."""
    formula: str
    """One of `_FORMULAS`."""
    weights: Mapping[str, float]
    """By dimension; empty: all weigh alike."""
    headlines: tuple[Headline, ...]
    max_pixels: int
    fingerprint: str
    """Hash of what decides questions and readings."""


@dataclass(kw_only=True)
class FromFile(Rubric):
    """A rubric from a YAML file: calls with their texts and replies, a formula, headlines; see `rubrics/README.md`."""

    file: str
    """The YAML file; the text files that it names start from its folder."""

    neutral: ClassVar[frozenset[str]] = frozenset({"file"})  # `files` has what decides

    @property
    def version(self) -> str:
        """As the file says."""
        return self._spec.version

    @property
    def scale(self) -> tuple[float, float]:
        """As the file says; by default the range of all its numbers."""
        return self._spec.scale

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """One for each number of each reply."""
        return self._spec.ranges

    @property
    def headlines(self) -> Sequence[Headline]:
        """As the file says; by default the mean of all pairs."""
        return self._spec.headlines

    def files(self) -> Mapping[str, str]:
        """A hash of the questions and replies in the file and in those that it names, not of formula and headlines."""
        return {"rubric": self._spec.fingerprint}

    def check(self, pairs: Sequence[Pair]) -> None:
        """Find what the pairs lack: texts for their categories, fields, pictures, a dimension with weight.

        Raises:
            UsageError: with every defect, a line each.
        """
        defects = _Defects(Path(self.file))
        numbers = Counter(pair.category for pair in pairs)
        for call in self._spec.calls:
            where = f"calls.{call.name}"
            asked = [pair for pair in pairs if call.applies(pair.category)]
            for category in call.when:
                if category not in numbers:
                    log.warning("%s: %s.when: no pair has the category %r", self.file, where, category)
            if None not in call.texts:
                for category in numbers:
                    if call.applies(category) and category not in call.texts:
                        said = f"no text for the category {category!r} ({numbers[category]} pairs)"
                        defects.add(f"{where}.text", f"{said}; there are {', '.join(map(repr, call.texts))}")
            fields = {name for text in (*call.texts.values(), call.system) for name in FIELD.findall(text)}
            for name in sorted(fields - {*PAIR_FIELDS}):
                if asked and not any(name in pair.fields for pair in asked):
                    known = dict.fromkeys((*PAIR_FIELDS, *(name for pair in asked for name in pair.fields)))
                    defects.add(f"{where}.text", f"{{{name}}} is no field of any pair; there are {', '.join(known)}")
            for picture in call.shows:
                lacking = [pair.pair_id for pair in asked if not _has(pair, picture)]
                if lacking:
                    said = f"{len(lacking)} pairs have no picture {picture!r}, such as {lacking[0]!r}"
                    defects.add(f"{where}.shows", said)
        for category, number in numbers.items():
            if not any(call.applies(category) for call in self._spec.calls):
                defects.add("calls", f"none is for the category {category!r} ({number} pairs)")
            elif not self._part_weights(category):
                defects.add("value", f"no dimension with weight is asked for in the category {category!r}")
        defects.raise_if_any()

    def calls(self, pair: Pair) -> Sequence[Question]:
        """A question for each call that applies: its pictures, then its text."""
        return [
            Question(
                name=call.name,
                parts=(*self._shown(call, pair), fill(call.texts.get(pair.category, call.texts.get(None, "")), pair)),
                gives=tuple(call.dimensions.values()),
                system=fill(call.system, pair),
                max_new_tokens=call.max_new_tokens,
                digits=call.digits,
            )
            for call in self._spec.calls
            if call.applies(pair.category)
        ]

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """By the strict reader of the call's kind of reply."""
        call = next(call for call in self._spec.calls if call.name == question.name)
        names = list(call.dimensions)
        low, high = call.range
        if call.kind == "json":
            reading = read_json(reply, call.keys)
        elif call.kind == "lines":
            reading = read_lines(reply, names, low=low, high=high, labelled=call.is_labelled)
        elif call.kind == "marker":
            reading = read_marker(reply, call.marker, names[0], low=low, high=high)
        else:
            reading = read_number(reply, names[0], low=low, high=high)
        numbers = {call.dimensions[name]: number for name, number in (reading.numbers or {}).items()}
        return Reading(numbers=numbers or None, failure=reading.failure, detail=reading.detail, notes=reading.notes)

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The formula over the dimensions that were asked for; None where one with weight is missing."""
        weights = self._part_weights(pair.category)
        numbers = [readings.get(name) for name in weights]
        found = [number for number in numbers if number is not None]
        if not found or len(found) < len(numbers):
            return {"value": None}
        return {"value": _apply(self._spec.formula, found, list(weights.values()))}

    def _part_weights(self, category: str) -> dict[str, float]:
        """The weights, above 0, of the dimensions that pairs of the category are asked for."""
        return _part_weights(self._spec.calls, self._spec.weights, category)

    def _shown(self, call: Call, pair: Pair) -> list[Shown]:
        names: list[str] = []
        for picture in call.shows:
            if picture == "sources":
                names += ["source", *(f"source_{number}" for number in range(2, len(pair.sources) + 1))]
            else:
                names.append(picture)
        return [Shown(picture=name, max_pixels=self._spec.max_pixels) for name in names]

    @cached_property
    def _spec(self) -> Spec:
        return read_spec(Path(self.file))


def _has(pair: Pair, picture: str) -> bool:
    if picture in ("edit", "source", "sources"):
        return True
    number = picture.removeprefix("source_")
    if number != picture and number.isdecimal():
        return 2 <= int(number) <= len(pair.sources)
    return picture in pair.references


def _part_weights(calls: Sequence[Call], weights: Mapping[str, float], category: str | None) -> dict[str, float]:
    asked = [call for call in calls if not call.when or (category is not None and call.applies(category))]
    names = [name for call in asked for name in call.dimensions.values()]
    found = {name: weights.get(name, 0.0) if weights else 1.0 for name in names}
    return {name: weight for name, weight in found.items() if weight > 0}


def _mean(numbers: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(n * weight for n, weight in zip(numbers, weights, strict=True)) / math.fsum(weights)


def _apply(formula: str, numbers: Sequence[float], weights: Sequence[float]) -> float:
    if formula == "geometric_mean":
        return math.prod(numbers) ** (1 / len(numbers))
    return {"min": min(numbers), "max": max(numbers), "mean": _mean(numbers, weights)}[formula]


class _Defects:
    """What is wrong with the file, a line each: file, key, what to do."""

    def __init__(self, path: Path):
        self._path = path
        self._lines: list[str] = []

    def add(self, where: str, what: str) -> None:
        self._lines.append(f"{self._path}: {where}: {what}" if where else f"{self._path}: {what}")

    def raise_if_any(self) -> None:
        if self._lines:
            more = len(self._lines) - _MAX_LINES
            raise UsageError("\n".join([*self._lines[:_MAX_LINES], *([f"{more} more"] if more > 0 else [])]))

    def __bool__(self) -> bool:
        return bool(self._lines)


def read_spec(path: Path) -> Spec:
    """Read and check the file.

    Raises:
        UsageError: with every mistake, a line each: file, key, what is wrong.
    """
    defects = _Defects(path)
    found = _load(path, defects)
    defects.raise_if_any()
    return _Reader(path, defects).spec(found)


def _load(path: Path, defects: _Defects) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice, which YAML's own loader reads as its last."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in seen:
                    defects.add(f"line {key.start_mark.line + 1}", f"the key {str(key.value)!r} stands here again")
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    try:
        if path.stat().st_size > _MAX_BYTES:
            defects.add("", f"has more than {_MAX_BYTES:,} bytes")
            return None
        return yaml.load(path.read_text(encoding="utf-8"), Loader)  # a subclass of SafeLoader
    except FileNotFoundError:
        defects.add("", "no such file; --rubric.init_args.file names a YAML file")
    except OSError as error:
        defects.add("", f"can't be read: {error.strerror}")
    except UnicodeDecodeError as error:
        defects.add("", f"is not UTF-8: byte {error.start}")
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        defects.add(where, f"not YAML: {getattr(error, 'problem', None) or type(error).__name__}")
    return None


class _Reader:
    """Turns the parsed YAML into a Spec; goes on after a mistake, so that all are found."""

    def __init__(self, path: Path, defects: _Defects):
        self._path, self._defects = path, defects

    def spec(self, found: Any) -> Spec:
        """The checked file.

        Raises:
            UsageError: every mistake in it.
        """
        root = self._mapping(found, "", _FILE_KEYS, needs=("version", "calls"))
        self._defects.raise_if_any()
        version = self._text(root.get("version"), "version")
        entries = self._mapping(root["calls"], "calls")
        calls = [call for name, entry in entries.items() if (call := self._call(name, entry)) is not None]
        if not entries:
            self._defects.add("calls", "there is no call; give one or more")
        self._defects.raise_if_any()
        calls = self._named(calls)
        ranges = {
            dimension: (call.keys[key].low, call.keys[key].high)
            for call in calls
            for key, dimension in ((_key_of(call, name), dim) for name, dim in call.dimensions.items())
        }
        formula, weights = self._formula(root.get("value", "mean"), ranges)
        scale = self._scale(root.get("scale"), ranges)
        max_pixels = self._whole(root.get("max_pixels", _MAX_PIXELS), "max_pixels")
        self._defects.raise_if_any()
        self._check_ranges(calls, ranges, formula, weights, scale, given="scale" in root)
        headlines = self._headlines(root.get("headlines", [ITEM_MEAN.name]), scale, ranges)
        self._defects.raise_if_any()
        return Spec(
            version=version,
            scale=scale,
            calls=tuple(calls),
            ranges=ranges,
            formula=formula,
            weights=weights,
            headlines=headlines,
            max_pixels=max_pixels,
            fingerprint=_fingerprint(calls, max_pixels),
        )

    def _call(self, name: str, entry: Any) -> Call | None:
        where = f"calls.{name}"
        if not name.isidentifier():
            self._defects.add(where, "a call's name is letters, digits and _, and begins with no digit")
        found = self._mapping(entry, where, _CALL_KEYS, needs=("reply",))
        if not found:
            return None
        shows = tuple(self._texts(found.get("shows", ["source", "edit"]), f"{where}.shows"))
        for picture in shows:
            if not picture.isidentifier():
                known = ", ".join(_PICTURES)
                self._defects.add(f"{where}.shows", f"{picture!r} is no picture; give some of {known}")
        kind, keys, is_labelled, marker = self._reply(found.get("reply"), f"{where}.reply", name)
        texts = self._call_texts(found, where)
        system = self._text(found["system"], f"{where}.system") if "system" in found else ""
        limit = found.get("max_new_tokens")
        names = [one for key, what in keys.items() for one in what.dimensions(key)]
        return Call(
            name=name,
            shows=shows,
            texts=texts,
            system=system,
            when=tuple(self._texts(found.get("when", []), f"{where}.when")),
            max_new_tokens=None if limit is None else self._whole(limit, f"{where}.max_new_tokens"),
            kind=kind,
            keys=keys,
            is_labelled=is_labelled,
            marker=marker,
            dimensions={one: one for one in names},
        )

    def _call_texts(self, found: Mapping[str, Any], where: str) -> dict[str | None, str]:
        if ("text" in found) == ("file" in found):
            self._defects.add(where, "give either `text` or `file`")
            return {None: ""}
        key = "text" if "text" in found else "file"
        place, entry = f"{where}.{key}", found[key]
        if not isinstance(entry, Mapping):
            return {None: self._said(entry, place, is_file=key == "file")}
        texts: dict[str | None, str] = {}
        for category, text in self._mapping(entry, place).items():
            inside: Any = text
            is_file = key == "file"
            if isinstance(text, Mapping):
                inside = self._mapping(text, f"{place}.{category}", ("file",), needs=("file",)).get("file", "")
                is_file = True
            texts[category] = self._said(inside, f"{place}.{category}", is_file=is_file)
        return texts

    def _said(self, value: Any, where: str, *, is_file: bool) -> str:
        text = self._text(value, where)
        if not is_file or not text:
            return text
        path = self._path.parent / text
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
            self._defects.add(where, f"{path} can't be read: {why}")
            return ""

    def _reply(self, value: Any, where: str, name: str) -> tuple[str, dict[str, Key], bool, str]:
        found = self._mapping(value, where, (*_REPLIES, "range"))
        kinds = [kind for kind in _REPLIES if kind in found]
        if len(kinds) != 1:
            said = "one of them" if kinds else "one of " + ", ".join(_REPLIES)
            self._defects.add(where, f"the kind of reply: give {said}")
            return "number", {name: Key()}, False, ""
        (kind,) = kinds
        inside = f"{where}.{kind}"
        if kind in ("json", "number") and "range" in found:
            self._defects.add(f"{where}.range", f"stands with `lines` and `marker`; of `{kind}` it is inside")
        if kind == "json":
            keys = {
                key: self._json_key(entry, f"{inside}.{key}")
                for key, entry in self._mapping(found[kind], inside).items()
            }
            if not keys:
                self._defects.add(inside, "has no key")
            return kind, keys or {name: Key()}, False, ""
        if kind == "number":
            low, high = self._range(found[kind], inside)
            return kind, {name: Key(low=low, high=high)}, False, ""
        low, high = self._range(found.get("range"), f"{where}.range")
        key = Key(low=low, high=high)
        if kind == "marker":
            return kind, {name: key}, False, self._text(found[kind], inside)
        lines = found[kind]
        if isinstance(lines, int) and not isinstance(lines, bool):
            if not 1 <= lines <= 64:
                self._defects.add(inside, f"{lines} lines: give a number from 1 to 64, or their names")
                lines = 1
            return kind, {f"{name}_{number}": key for number in range(1, lines + 1)}, False, ""
        names = self._texts(lines, inside)
        for twice in [one for one, number in Counter(map(str.lower, names)).items() if number > 1]:
            self._defects.add(inside, f"{twice!r} stands twice")
        return kind, dict.fromkeys(names, key), True, ""

    def _json_key(self, entry: Any, where: str) -> Key:
        if isinstance(entry, list):
            low, high = self._range(entry, where)
            return Key(low=low, high=high)
        found = self._mapping(entry, where, ("range", "count", "whole", "quoted", "choices"))
        for name in ("whole", "quoted"):
            if not isinstance(found.get(name, False), bool):
                self._defects.add(f"{where}.{name}", "true or false")
        count = self._whole(found["count"], f"{where}.count") if "count" in found else None
        if "choices" in found:
            choices = {
                word.lower(): self._number(number, f"{where}.choices.{word}")
                for word, number in self._mapping(found["choices"], f"{where}.choices").items()
            }
            if not choices:
                self._defects.add(f"{where}.choices", "has no word")
                choices = {"": 0.0}
            low, high = min(choices.values()), max(choices.values())
            return Key(low=low, high=high, count=count, choices=choices)
        low, high = self._range(found.get("range"), f"{where}.range")
        return Key(low=low, high=high, count=count, whole=bool(found.get("whole")), quoted=bool(found.get("quoted")))

    def _named(self, calls: Sequence[Call]) -> list[Call]:
        """The calls with a name for each dimension: the key, or `call.key` where two calls share it."""
        used = Counter(name for call in calls for name in call.dimensions)
        return [
            replace(
                call, dimensions={name: f"{call.name}.{name}" if used[name] > 1 else name for name in call.dimensions}
            )
            for call in calls
        ]

    def _formula(self, value: Any, ranges: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
        if isinstance(value, str):
            if value not in _FORMULAS:
                self._defects.add("value", f"{value!r}: give one of {', '.join(_FORMULAS)}, or weights by dimension")
            return (value if value in _FORMULAS else "mean"), {}
        weights: dict[str, float] = {}
        for name, weight in self._mapping(value, "value").items():
            if name not in ranges:
                self._defects.add(f"value.{name}", f"no such dimension; there are {', '.join(ranges)}")
            weights[name] = self._number(weight, f"value.{name}")
            if weights[name] < 0:
                self._defects.add(f"value.{name}", f"the weight {weights[name]:g} is below 0")
        if not any(weight > 0 for weight in weights.values()):
            self._defects.add("value", "no weight is above 0")
        return "mean", weights

    def _scale(self, value: Any, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
        if value is not None:
            return self._range(value, "scale")
        if len(set(ranges.values())) == 1:
            return next(iter(ranges.values()))
        self._defects.add("scale", "is needed where the ranges of the numbers differ")
        return 0.0, 1.0

    def _check_ranges(
        self,
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
            self._defects.add("value", f"{formula} needs numbers of one range, and they differ ({said}); give weights")
            return
        if formula == "geometric_mean" and any(low < 0 for low, _ in ranges.values()):
            self._defects.add("value", "geometric_mean needs ranges that begin at 0 or above")
        categories = dict.fromkeys(category for call in calls for category in call.when)
        for category in (None, *categories):
            part = _part_weights(calls, weights, category)
            if not part:
                continue
            total = math.fsum(part.values())
            low, high = (
                math.fsum(weight * ranges[name][end] for name, weight in part.items()) / total for end in (0, 1)
            )
            if given and (low < scale[0] - 1e-9 or high > scale[1] + 1e-9):
                which = f" of the category {category!r}" if category is not None else ""
                self._defects.add(
                    "scale", f"{scale[0]:g} to {scale[1]:g}: the value{which} goes from {low:g} to {high:g}"
                )
                return

    def _headlines(
        self, value: Any, scale: tuple[float, float], ranges: Mapping[str, tuple[float, float]]
    ) -> tuple[Headline, ...]:
        if not isinstance(value, list) or not value:
            self._defects.add("headlines", f"a list of some of {', '.join(_HEADLINES)}")
            return ()
        found: list[Headline] = []
        entries: list[Any] = value
        for number, entry in enumerate(entries):
            where = f"headlines[{number}]"
            if isinstance(entry, str):
                if entry not in _HEADLINES:
                    self._defects.add(where, f"{entry!r}: give one of {', '.join(_HEADLINES)}, or name and values")
                    continue
                found.append(_HEADLINES[entry].on(scale))
                continue
            row = self._mapping(entry, where, ("name", "values", "levels"), needs=("name", "values"))
            values = tuple(self._texts(row.get("values", ["value"]), f"{where}.values"))
            for name in values:
                if name != "value" and name not in ranges:
                    self._defects.add(f"{where}.values", f"{name!r} is no dimension; there are {', '.join(ranges)}")
            spans = [scale if name == "value" else ranges.get(name, scale) for name in values] or [scale]
            found.append(
                Headline(
                    name=self._text(row.get("name"), f"{where}.name"),
                    scale=(min(low for low, _ in spans), max(high for _, high in spans)),
                    values=values,
                    levels=tuple(Level(by=level) for level in self._texts(row.get("levels", []), f"{where}.levels")),
                )
            )
        for twice in [name for name, times in Counter(headline.name for headline in found).items() if times > 1]:
            self._defects.add("headlines", f"{twice!r} stands twice")
        return tuple(found)

    # The plain values

    def _mapping(self, value: Any, where: str, known: Sequence[str] = (), needs: Sequence[str] = ()) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._defects.add(where, f"must be a mapping, not {_kind(value)}")
            return {}
        found: dict[str, Any] = {}
        entries: Mapping[Any, Any] = value
        for key, entry in entries.items():
            if not isinstance(key, str):
                self._defects.add(where, f"the key {key!r} is {_kind(key)}; put it in quotes")
            elif known and key not in known:
                self._defects.add(f"{where}.{key}".lstrip("."), f"unknown key; there are {', '.join(known)}")
            else:
                found[key.strip()] = entry
        for name in needs:
            if name not in found:
                self._defects.add(f"{where}.{name}".lstrip("."), "is missing")
        return found

    def _text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value.strip():
            said = "is empty" if isinstance(value, str) else f"must be text, not {_kind(value)}"
            self._defects.add(where, said)
            return ""
        return value

    def _texts(self, value: Any, where: str) -> list[str]:
        if isinstance(value, str):
            return [value.strip()]
        if not isinstance(value, list):
            self._defects.add(where, f"must be a text or a list of texts, not {_kind(value)}")
            return []
        entries: list[Any] = value
        return [self._text(entry, f"{where}[{number}]").strip() for number, entry in enumerate(entries)]

    def _number(self, value: Any, where: str) -> float:
        if not _is_number(value):
            self._defects.add(where, f"must be a number, not {_kind(value)}")
            return 0.0
        return float(value)

    def _whole(self, value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self._defects.add(where, f"must be a whole number of 1 or more, not {reprlib.repr(value)}")
            return 1
        return value

    def _range(self, value: Any, where: str) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:  # pyright: ignore[reportUnknownArgumentType]
            self._defects.add(where, "must be two numbers, such as [1, 5]")
            return 0.0, 1.0
        entries: list[Any] = value
        low, high = (self._number(entry, where) for entry in entries)
        if not all(_is_number(entry) for entry in entries):
            return 0.0, 1.0
        if low >= high:
            self._defects.add(where, f"[{low:g}, {high:g}]: the lowest comes first, and below the highest")
            return 0.0, 1.0
        return low, high


def _key_of(call: Call, name: str) -> str:
    """The key of a JSON object whose list holds this number; of the other kinds the name itself."""
    return next(key for key, kind in call.keys.items() if name in kind.dimensions(key))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return f"the truth value {value!r} (put it in quotes)"
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(value)) or f"{type(value).__name__} {reprlib.repr(value)}"


def _fingerprint(calls: Sequence[Call], max_pixels: int) -> str:
    rows = [
        [
            call.name,
            call.shows,
            sorted((category or "", text) for category, text in call.texts.items()),
            call.system,
            call.when,
            call.max_new_tokens,
            call.kind,
            [repr(item) for item in call.keys.items()],
            call.is_labelled,
            call.marker,
        ]
        for call in calls
    ]
    return hashlib.sha256(json.dumps([rows, max_pixels]).encode()).hexdigest()
