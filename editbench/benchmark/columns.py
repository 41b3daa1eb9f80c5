"""Which column of a benchmark holds what: by `--columns`, by this package's names, or by names that others use."""

import difflib
import functools
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from editbench.benchmark.texts import KEY
from editbench.errors import UsageError
from editbench.records import Language

Spec = str | list[str]
"""A column, a path into it (`edit.0.text`), a template (`{task}_{key}`), or a list of these; with a `?` at its end the
file need not have the column."""

# In order of preference. Of the JSON list with images inside the bare name is Chinese, of a table English.
# The list's `seed` is ignored on purpose: it made the source, and an edit seeded like its source tends to copy it.
_IN_LANGUAGE: dict[str, dict[Language, tuple[str, ...]]] = {
    "instruction": {
        "en": ("edit_instruction_en", "instruction_en", "instruction"),
        "zh": ("edit_instruction", "instruction_zh"),
    },
    "rationale": {
        "en": ("rationale_short_en", "rationale_en", "rationale"),
        "zh": ("rationale_short", "rationale_zh"),
    },
    "description": {
        "en": ("original_description_en", "description_en", "description"),
        "zh": ("original_description", "description_zh"),
    },
}
_OWN: dict[str, tuple[str, ...]] = {
    "id": ("id", "original_image_path"),
    "category": ("category", "subset"),
    "language": ("language",),
    "source": ("src_img_b64", "source"),
    "turns": ("turns",),
    "reference": ("reference",),
    "source_group": ("source_group",),
    "difficulty": ("difficulty",),
    "tags": ("tags",),
}
_OTHERS: dict[str, tuple[str, ...]] = {
    "id": ("pair_id", "key", "index", "idx", "uid", "image_id", "sample_id", KEY),
    "category": ("task_type", "edit_type", "task"),
    "language": ("instruction_language", "lang"),
    "source": (
        "input_image",
        "source_image",
        "image",
        "src_image",
        "src_img",
        "original_image",
        "input",
        "file_name",
        "source_file_name",
        "input_file_name",
        "original_file_name",
    ),
    "instruction": ("edit_prompt", "editing_prompt", "edit_instruction", "editing_instruction", "prompt", "caption"),
}
MAX_SOURCES = 16
_NUMBERED = re.compile(r"(source|turn)_([1-9]\d?)")
_NAMED = re.compile(r"reference_(\w+)")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]")
LANGUAGES = {
    "en": "en",
    "eng": "en",
    "english": "en",
    "en-us": "en",
    "en-gb": "en",
    "zh": "zh",
    "cn": "zh",
    "chinese": "zh",
    "zh-cn": "zh",
    "zh-hans": "zh",
    "中文": "zh",
    "英文": "en",
}
OWN_NAMES = frozenset(
    (
        *(name for names in _OWN.values() for name in names),
        *(name for languages in _IN_LANGUAGE.values() for names in languages.values() for name in names),
    )
)
"""The names that this package gives columns itself."""
_OTHER_NAMES = frozenset(name for names in _OTHERS.values() for name in names)


class Columns:
    """How the columns of one benchmark are read; remembers which of others' names it recognised."""

    def __init__(self, given: Mapping[str, Spec], *, several_languages: bool) -> None:
        """Take the columns that the user gave, by what they hold.

        Args:
            given: by target (`source`, `instruction_zh`, `reference_mask`, a field's own name, …).
            several_languages: whether a bare `instruction` cannot stand for any language that is asked for.

        Raises:
            UsageError: a name or a template that cannot be meant.
        """
        self.given = {target: _without_mark(spec) for target, spec in given.items()}
        self.recognised: dict[str, str] = {}
        """By column, what it was read as."""
        self.unseen = {root for spec in given.values() for root in _roots(spec)}
        """Columns that were given, must be there, and that no row had yet."""
        self._named = frozenset(self.unseen)
        self._several_languages = several_languages
        for target in given:
            if not target.replace("_", "a").isalnum():
                raise UsageError(
                    f"--columns {target}=…: what a column holds is one word, such as source or instruction"
                )

    def is_field(self, name: str) -> bool:
        """Whether a row's column of this name would be read, by whatever rule."""
        return name in OWN_NAMES or name in _OTHER_NAMES or name in self._named or bool(_NUMBERED.fullmatch(name))

    def see(self, fields: Mapping[str, Any]) -> None:
        """Take note of the columns that this row has."""
        if self.unseen:
            self.unseen.difference_update(fields)

    def find(self, fields: Mapping[str, Any], target: str) -> tuple[str, Any]:
        """The column that holds this in a row, and its value; `("", None)` where there is none."""
        if target in self.given:
            return self._given(fields, target)
        for name in _OWN.get(target, (target,)):
            if not is_blank(fields.get(name)):
                return name, fields[name]
        for name in _OTHERS.get(target, ()):
            if not is_blank(fields.get(name)):
                return self._recognise(name, target), fields[name]
        return "", None

    def find_text(self, fields: Mapping[str, Any], target: str, language: Language, *, alone: bool) -> tuple[str, Any]:
        """The same for a text in a language; `alone`: the row itself is in this language, so a bare name is too."""
        if f"{target}_{language}" in self.given:
            return self._given(fields, f"{target}_{language}")
        if target in self.given:
            if alone or not self._several_languages or language == "en":
                return self._given(fields, target)
            return "", None
        names = dict.fromkeys(_IN_LANGUAGE[target][language])
        if alone:
            names |= dict.fromkeys((target, *(name for known in _IN_LANGUAGE[target].values() for name in known)))
        for name in names:
            if is_blank(value := fields.get(name)):
                continue
            if self._several_languages and name == "edit_instruction" and not _HAN.search(str(value)):
                continue  # others write English under this name, and it is no second pair
            return name, value
        for name in _OTHERS.get(target, ()):
            value = fields.get(name)
            if not is_blank(value) and (alone or bool(_HAN.search(str(value))) == (language == "zh")):
                return self._recognise(name, target), value
        return "", None

    def numbered(self, fields: Mapping[str, Any], target: str) -> Iterator[tuple[str, Any]]:
        """What the columns `source_2`, `source_3`, … hold, or `turn_1`, `turn_2`, …; blank ones are left out."""
        for number in range(1 if target == "turn" else 2, MAX_SOURCES + 1):
            name, value = self.find(fields, f"{target}_{number}")
            if not is_blank(value):
                yield name, value

    def references(self) -> Iterator[tuple[str, str]]:
        """The targets of pictures for the judge, each with the name that the picture gets."""
        yield "reference", "reference"
        for target in self.given:
            if found := _NAMED.fullmatch(target):
                yield target, found[1]

    def further(self, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Fields that were given a name of their own."""
        for target in self.given:
            if not is_target(target):
                yield target, self._given(fields, target)[1]

    def _given(self, fields: Mapping[str, Any], target: str) -> tuple[str, Any]:
        spec = self.given[target]
        if isinstance(spec, str):
            return spec, look_up(fields, spec)
        found = [look_up(fields, one) for one in spec]
        return ", ".join(spec), [value for value in found if not is_blank(value)] or None

    def _recognise(self, name: str, target: str) -> str:
        self.recognised.setdefault(name, target)
        return name


def is_target(name: str) -> bool:
    """Whether this is what a column can hold, and not the name of a further field."""
    bare = name.removesuffix("_en").removesuffix("_zh")
    return name in _OWN or bare in _IN_LANGUAGE or bool(_NUMBERED.fullmatch(name) or _NAMED.fullmatch(name))


def look_up(fields: Mapping[str, Any], spec: str) -> Any:
    """What a column, a path or a template gives for a row; None where a part is missing.

    Raises:
        UsageError: the template does not parse, or its format does not fit the value.
    """
    if "{" not in spec:
        return _at(fields, spec)
    text = ""
    try:
        for literal, name, form, _ in string.Formatter().parse(spec):
            text += literal
            if name is not None:
                value = _at(fields, name)
                if is_blank(value):
                    return None
                text += format(value, form or "")
    except (ValueError, TypeError) as error:
        raise UsageError(f"{spec}: does not work as a template ({error})") from error
    return text


def _at(fields: Mapping[str, Any], path: str) -> Any:
    if path in fields or "." not in path:
        return fields.get(path)
    value: Any = fields
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)  # pyright: ignore[reportUnknownMemberType]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):  # pyright: ignore[reportUnknownArgumentType]
            value = value[int(name)]
        else:
            return None
    return value


def _without_mark(spec: Spec) -> Spec:
    return spec.removesuffix("?") if isinstance(spec, str) else [one.removesuffix("?") for one in spec]


def _roots(spec: Spec) -> Iterator[str]:
    """The columns that a spec begins at and that the file must have."""
    for one in [spec] if isinstance(spec, str) else spec:
        if one.endswith("?"):
            continue
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(one) if name] if "{" in one else [one]
        except ValueError as error:
            raise UsageError(f"--columns …={one}: does not work as a template ({error})") from error
        yield from (name for name in names if "." not in name and not name.startswith("__"))


def is_blank(value: object) -> bool:
    """Whether a cell holds nothing: null, blank text, an empty list, or the NaN that pandas writes for null."""
    return value is None or value == [] or value != value or (isinstance(value, str) and not value.strip())


@functools.lru_cache(1024)
def nearest(name: str) -> str | None:
    """The name of this package's that an unknown one is a letter or two from."""
    if name in OWN_NAMES or name in _OTHER_NAMES or _NUMBERED.fullmatch(name) or len(name) > 60:
        return None  # comparing takes the square of the length
    return next(iter(difflib.get_close_matches(name, OWN_NAMES, n=1, cutoff=0.8)), None)
