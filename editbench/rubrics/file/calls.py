"""The calls of a rubric's file: what is shown and asked, and the form of the reply."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from editbench.rubrics.file.spec import Call
from editbench.rubrics.file.values import Values
from editbench.rubrics.readers import Key

PICTURES = ("source", "sources", "edit", "reference")
CALL_KEYS = ("shows", "text", "file", "system", "reply", "when", "max_new_tokens")
REPLIES = ("number", "json", "lines", "marker")


def read_call(values: Values, name: str, entry: Any) -> Call | None:
    """One entry of `calls`; None where it is no mapping."""
    where = f"calls.{name}"
    if not name.isidentifier():
        values.add(where, "a call's name is letters, digits and _, and begins with no digit")
    found = values.mapping(entry, where, CALL_KEYS, needs=("reply",))
    if not found:
        return None
    shows = tuple(values.texts(found.get("shows", ["source", "edit"]), f"{where}.shows"))
    for picture in shows:
        if not picture.isidentifier():
            known = ", ".join(PICTURES)
            values.add(f"{where}.shows", f"{picture!r} is no picture; give some of {known}")
    kind, keys, is_labelled, marker = _reply(values, found.get("reply"), f"{where}.reply", name)
    texts = _texts(values, found, where)
    system = values.text(found["system"], f"{where}.system") if "system" in found else ""
    limit = found.get("max_new_tokens")
    names = [one for key, what in keys.items() for one in what.dimensions(key)]
    return Call(
        name=name,
        shows=shows,
        texts=texts,
        system=system,
        when=tuple(values.texts(found.get("when", []), f"{where}.when")),
        max_new_tokens=None if limit is None else values.whole(limit, f"{where}.max_new_tokens"),
        kind=kind,
        keys=keys,
        is_labelled=is_labelled,
        marker=marker,
        dimensions={one: one for one in names},
    )


def named(calls: Sequence[Call]) -> list[Call]:
    """The calls with a name for each dimension: the key, or `call.key` where two calls share it."""
    used = Counter(name for call in calls for name in call.dimensions)
    return [
        replace(call, dimensions={name: f"{call.name}.{name}" if used[name] > 1 else name for name in call.dimensions})
        for call in calls
    ]


def _texts(values: Values, found: Mapping[str, Any], where: str) -> dict[str | None, str]:
    if ("text" in found) == ("file" in found):
        values.add(where, "give either `text` or `file`")
        return {None: ""}
    key = "text" if "text" in found else "file"
    place, entry = f"{where}.{key}", found[key]
    if not isinstance(entry, Mapping):
        return {None: _text(values, entry, place, is_file=key == "file")}
    texts: dict[str | None, str] = {}
    for category, text in values.mapping(entry, place).items():
        inside: Any = text
        is_file = key == "file"
        if isinstance(text, Mapping):
            inside = values.mapping(text, f"{place}.{category}", ("file",), needs=("file",)).get("file", "")
            is_file = True
        texts[category] = _text(values, inside, f"{place}.{category}", is_file=is_file)
    return texts


def _text(values: Values, value: Any, where: str, *, is_file: bool) -> str:
    text = values.text(value, where)
    if not is_file or not text:
        return text
    path = values.path.parent / text
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        values.add(where, f"{path} can't be read: {why}")
        return ""


def _reply(values: Values, value: Any, where: str, name: str) -> tuple[str, dict[str, Key], bool, str]:
    found = values.mapping(value, where, (*REPLIES, "range"))
    kinds = [kind for kind in REPLIES if kind in found]
    if len(kinds) != 1:
        said = "one of them" if kinds else "one of " + ", ".join(REPLIES)
        values.add(where, f"the kind of reply: give {said}")
        return "number", {name: Key()}, False, ""
    (kind,) = kinds
    inside = f"{where}.{kind}"
    if kind in ("json", "number") and "range" in found:
        values.add(f"{where}.range", f"stands with `lines` and `marker`; of `{kind}` it is inside")
    if kind == "json":
        keys = {
            key: _json_key(values, entry, f"{inside}.{key}")
            for key, entry in values.mapping(found[kind], inside).items()
        }
        if not keys:
            values.add(inside, "has no key")
        return kind, keys or {name: Key()}, False, ""
    if kind == "number":
        low, high = values.range(found[kind], inside)
        return kind, {name: Key(low=low, high=high)}, False, ""
    low, high = values.range(found.get("range"), f"{where}.range")
    key = Key(low=low, high=high)
    if kind == "marker":
        return kind, {name: key}, False, values.text(found[kind], inside)
    lines = found[kind]
    if isinstance(lines, int) and not isinstance(lines, bool):
        if not 1 <= lines <= 64:
            values.add(inside, f"{lines} lines: give a number from 1 to 64, or their names")
            lines = 1
        return kind, {f"{name}_{number}": key for number in range(1, lines + 1)}, False, ""
    names = values.texts(lines, inside)
    for twice in [one for one, number in Counter(map(str.lower, names)).items() if number > 1]:
        values.add(inside, f"{twice!r} stands twice")
    return kind, dict.fromkeys(names, key), True, ""


def _json_key(values: Values, entry: Any, where: str) -> Key:
    if isinstance(entry, list):
        low, high = values.range(entry, where)
        return Key(low=low, high=high)
    found = values.mapping(entry, where, ("range", "count", "whole", "quoted", "choices"))
    for name in ("whole", "quoted"):
        if not isinstance(found.get(name, False), bool):
            values.add(f"{where}.{name}", "true or false")
    count = values.whole(found["count"], f"{where}.count") if "count" in found else None
    if "choices" in found:
        choices = {
            word.lower(): values.number(number, f"{where}.choices.{word}")
            for word, number in values.mapping(found["choices"], f"{where}.choices").items()
        }
        if not choices:
            values.add(f"{where}.choices", "has no word")
            choices = {"": 0.0}
        low, high = min(choices.values()), max(choices.values())
        return Key(low=low, high=high, count=count, choices=choices)
    low, high = values.range(found.get("range"), f"{where}.range")
    return Key(low=low, high=high, count=count, whole=bool(found.get("whole")), quoted=bool(found.get("quoted")))
