"""One row of a benchmark: the pairs that it makes, and what is wrong with it."""

import contextlib
import datetime
import decimal
import hashlib
import math
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image

from editbench.benchmark.columns import KEY, LANGUAGES, OWN_NAMES, Columns, is_blank, nearest
from editbench.benchmark.defects import Defects, kind, shown
from editbench.benchmark.files import Item
from editbench.benchmark.pictures import Found, PictureError, looks_like_picture, read_picture, values_of
from editbench.images import decode, is_animated
from editbench.records import ALL, Language, Pair, Picture

_MAX_ID_BYTES = 512
_MAX_DEPTH = 32  # of a field that nothing names
_MAX_FIELD = 100_000  # characters of a field that nothing names
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_SOURCE_NAMES = ("src_img_b64", "source")
_ID_NAMES = ("id", "original_image_path")
_Texts = tuple[str, tuple[str, ...], str | None, str | None]


class Row:
    """One row, read column by column; what is wrong with it goes to the defects."""

    def __init__(self, item: Item, columns: Columns, defects: Defects) -> None:
        """Read the row's id; what else it holds when it is asked for."""
        self.number = item.number
        self.file = item.file
        self._fields, self._places, self._columns, self._defects = item.fields, item.places, columns, defects
        self._with_images = item.file.suffix.lower() == ".json"
        self.several_frames = ""
        """The column of a picture of several frames; empty: each has one."""
        self._bad: set[str] = set()
        self._taken: set[str] = set()
        columns.see(item.fields)
        self.name = ""
        """The id, without the language."""
        field, value = columns.find(item.fields, "id")
        if not is_blank(value):
            text = self._plain(field, value)
            self.name = _stem(text) if text and field == "original_image_path" else text or ""
        elif "id" not in columns.given:
            self.name = self._file_name()
        self._id_field = field
        for name in sorted(item.fields.repeated):
            if columns.is_field(name):
                self._wrong(name, "stands twice in this row; keep one")

    @property
    def language(self) -> Language | None:
        """What the row's language column says; None where it has none."""
        field, value = self._columns.find(self._fields, "language")
        if is_blank(value):
            return None
        found = LANGUAGES.get(str(value).strip().casefold().replace("_", "-"))
        if found is None and "language" in self._columns.given:
            self._wrong(field, f"{shown(str(value))} is no language; give en or zh")
        return found  # pyright: ignore[reportReturnType]

    def languages(self, wanted: Collection[Language]) -> list[Language]:
        """In which of the wanted languages the row makes a pair; the first of them where it is clear in none."""
        own = self.language
        if own is not None:
            return [own] if own in wanted else []
        there: list[Language] = [
            language for language in wanted if not is_blank(self._in_language("instruction", language)[1])
        ]
        return there or list(wanted)[:1]

    def pair_id(self, language: Language, *, marked: bool) -> str:
        """The id of the pair in a language; `marked`: it ends with the language."""
        return f"{self.name}.{language}" if marked and self.name else self.name

    def check_id(self, pair_id: str, seen: "Seen") -> None:
        """See that the row has an id, and no row before it one that some file system takes for the same name."""
        if not pair_id:
            what = "give each row an id of its own, or name the columns that make one: --columns id={a}_{b}"
            return self._missing(_ID_NAMES, _ID_NAMES[self._with_images], what)
        field = self._id_field or "id"
        if len(pair_id.encode(errors="surrogatepass")) > _MAX_ID_BYTES:
            self._wrong(field, f"makes an id of over {_MAX_ID_BYTES} bytes; shorten it")
        first = seen.first(pair_id, self.number, self.file)
        if first is not None:
            number, file, other = first
            same = "is also the id" if other == pair_id else f"would be one file name with {shown(other)}, the id"
            place = f"row {number}" if file == self.file else f"row {number} in {file}"
            self._wrong(field, f"{same} of {place}; give each row its own")

    def pairs(self, languages: Collection[Language], *, marked: bool, known: Collection[str]) -> list[Pair]:
        """The row as a pair in each of these languages; none where it has a defect.

        Args:
            languages: as `languages` gives them.
            marked: whether ids end with the language.
            known: hashes of pictures that are known to decode.
        """
        category = self._category()
        sources = self._hashes(self._sources(), known)
        references = {name: self._hashes([found], known) for name, found in self._references()}
        tags, difficulty, group = self._tags(), self._text("difficulty"), self._text("source_group")
        texts: dict[Language, _Texts | None] = {language: self._texts(language) for language in languages}
        if self._bad or not sources or any(text is None for text in texts.values()):
            return []
        fields = self._further()
        made: list[Pair] = []
        for language, text in texts.items():
            assert text is not None
            instruction, turns, rationale, description = text
            made.append(
                Pair(
                    pair_id=self.pair_id(language, marked=marked),
                    category=category,
                    instruction=instruction,
                    sources=tuple(sources),
                    language=language,
                    turns=turns,
                    rationale=rationale,
                    description=description,
                    references={name: found[0] for name, found in references.items() if found},
                    fields=fields,
                    difficulty=difficulty,
                    tags=tags,
                    source_group=group,
                )
            )
        return made

    def pictures(self) -> tuple[list[Image], dict[str, Image]]:
        """The decoded sources in order, and the decoded references by name."""
        sources = [self._decoded(field, found) for field, found in self._sources()]
        references = {name: self._decoded(*found) for name, found in self._references()}
        return [image for image in sources if image], {name: image for name, image in references.items() if image}

    def misspelt(self) -> Iterator[tuple[str, str]]:
        """Columns that are ignored, each with the known one that it nearly is and that the row lacks."""
        for name in self._fields:
            if not self._columns.is_field(name):
                near = nearest(name)
                if near is not None and near not in self._fields and near not in self._columns.given:
                    yield name, near

    # ---- texts

    def _texts(self, language: Language) -> _Texts | None:
        """Instruction, turns, rationale and description."""
        turns = self._turns()
        field, value = self._in_language("instruction", language)
        if turns is None:
            if isinstance(value, list):
                turns = self._text_list(field, value)
            elif is_blank(value):
                return self._no_instruction(language)
        if turns and len(turns) == 1:
            value, turns = turns[0], ()
        instruction = (
            "\n".join(f"{n}. {turn}" for n, turn in enumerate(turns, 1)) if turns else self._plain(field, value)
        )
        rationale, description = (
            self._plain(*self._in_language(name, language)) for name in ("rationale", "description")
        )
        return None if instruction is None else (instruction, tuple(turns or ()), rationale, description)

    def _no_instruction(self, language: Language) -> None:
        names = _NAMES_OF_INSTRUCTION[language]
        other: Language = "zh" if language == "en" else "en"
        exists = not is_blank(self._in_language("instruction", other)[1])
        remedy = f"it exists in {other}: add it, or use --language {other}" if exists else ""
        given = self._columns.given
        names = tuple(str(given[name]) for name in (f"instruction_{language}", "instruction") if name in given) or names
        default = names[0 if self._with_images or given else -1]
        self._missing(names, default, remedy or f"give the instruction (language {language})")

    def _turns(self) -> list[str] | None:
        field, value = self._columns.find(self._fields, "turns")
        texts = (
            values_of(value)
            if not is_blank(value)
            else [text for _, text in self._columns.numbered(self._fields, "turn")]
        )
        return self._text_list(field or "turn_1", texts) if texts else None

    def _text_list(self, field: str, values: list[Any]) -> list[str] | None:
        texts = [self._plain(field, value) for value in values if not is_blank(value)]
        return [text for text in texts if text is not None] or None

    def _in_language(self, target: str, language: Language) -> tuple[str, Any]:
        field, value = self._columns.find_text(self._fields, target, language, alone=self.language == language)
        self._taken.add(field)
        return field, value

    def _category(self) -> str:
        field, value = self._columns.find(self._fields, "category")
        if isinstance(value, list) and "category" in self._columns.given:  # of a pair that belongs to several
            value = ", ".join(self._text_list(field, value) or ())
        return ALL if is_blank(value) else (self._plain(field, value) or "").strip()

    def _text(self, target: str) -> str | None:
        return self._plain(*self._columns.find(self._fields, target))

    def _plain(self, field: str, value: object) -> str | None:
        """A cell as text; numbers count as text, blank ones as none."""
        if is_blank(value):
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)  # as pandas writes whole numbers of a column with gaps
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            return self._wrong(field, f"is {kind(value)}; give text")
        if found := _NOT_TEXT.search(value):
            return self._wrong(
                field, f"has {found[0]!a} at character {found.start() + 1}, which is no text; take it out"
            )
        return value

    def _tags(self) -> tuple[str, ...]:
        field, tags = self._columns.find(self._fields, "tags")
        if is_blank(tags):
            return ()
        if isinstance(tags, str) and self.file.suffix.lower() in (".csv", ".tsv"):
            return tuple(tag.strip() for tag in tags.split(";") if tag.strip())
        if not isinstance(tags, list) or not all(isinstance(tag, str) and not _NOT_TEXT.search(tag) for tag in tags):  # pyright: ignore[reportUnknownVariableType]
            self._wrong(field, 'is not a list of texts; give one, such as ["indoor", "night"]')
            return ()
        return tuple(tags)  # pyright: ignore[reportUnknownArgumentType]

    def _further(self) -> dict[str, Any]:
        """What the row says beside what a pair has a place for, without pictures and without very long texts.

        A column that the row leaves blank is None: some benchmarks' own code goes by whether there is the column.
        """
        found: dict[str, Any] = {}
        for name, value in self._fields.items():
            if name in OWN_NAMES or name in self._taken or (name.startswith("__") and name != KEY):
                continue
            if is_blank(value):
                found[name] = None
                continue
            with contextlib.suppress(ValueError):
                plain = _json(value, _MAX_DEPTH)
                if not looks_like_picture(plain):
                    found[name] = plain
        return found | {name: value for name, value in self._columns.further(self._fields) if value is not None}

    # ---- pictures

    def _file_name(self) -> str:
        """An id from the source's path, without its ending, where it is a file of an imagefolder."""
        value = self._fields.get("file_name")
        return os.path.splitext(value)[0] if isinstance(value, str) and not _NOT_TEXT.search(value) else ""

    def _sources(self) -> list[tuple[str, Found]]:
        field, value = self._columns.find(self._fields, "source")
        if is_blank(value):
            default = _SOURCE_NAMES[not self._with_images]
            given = str(self._columns.given.get("source", ""))
            self._missing((given, *_SOURCE_NAMES), given or default, "give the source image")
            return []
        cells = [(field, one) for one in values_of(value)]
        cells += [
            (name, one) for name, cell in self._columns.numbered(self._fields, "source") for one in values_of(cell)
        ]
        return [found for field, cell in cells if (found := self._read(field, cell)) is not None]

    def _references(self) -> Iterator[tuple[str, tuple[str, Found]]]:
        for target, name in self._columns.references():
            field, value = self._columns.find(self._fields, target)
            if is_blank(value):
                continue
            for number, one in enumerate(values_of(value), 1):
                if (found := self._read(field, one)) is not None:
                    yield (name if number == 1 else f"{name}_{number}"), found

    def _read(self, field: str, cell: object) -> tuple[str, Found] | None:
        self._taken.add(field)
        if isinstance(cell, str) and (found := _NOT_TEXT.search(cell)):
            return self._wrong(field, f"has {found[0]!a}, which is no text; take it out")
        try:
            return field, read_picture(cell, self._places, is_base64=field == "src_img_b64")
        except PictureError as error:
            return self._wrong(field, str(error))

    def _hashes(self, found: list[tuple[str, Found]], known: Collection[str]) -> list[Picture]:
        pictures: list[Picture] = []
        for field, one in found:
            digest = hashlib.sha256(one.data).hexdigest()
            if digest in known:
                pictures.append(Picture(sha256=digest, path=one.path))
            elif self._decoded(field, one) is not None:
                if is_animated(one.data):
                    self.several_frames = field
                pictures.append(Picture(sha256=digest, path=one.path))
        return pictures

    def _decoded(self, field: str, found: Found) -> Image | None:
        try:
            return decode(found.data)
        except ValueError as error:
            return self._wrong(field, f"the image {error}; replace it")

    # ---- defects

    def _wrong(self, field: str, message: str) -> None:
        if field not in self._bad:
            self._bad.add(field)
            self._defects.add(message, self.number, self.name, field, self.file)

    def _missing(self, names: Collection[str], default: str, remedy: str) -> None:
        if self._bad.isdisjoint(names):
            given = next((name for name in names if name in self._fields), None)
            self._wrong(given or default, f"is {'empty' if given else 'missing'}; {remedy}")


_NAMES_OF_INSTRUCTION: dict[Language, tuple[str, ...]] = {
    "en": ("edit_instruction_en", "instruction_en", "instruction"),
    "zh": ("edit_instruction", "instruction_zh"),
}


class Seen:
    """The ids so far, by the name that some file system takes them for."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[int, Path, str]] = {}

    def first(self, pair_id: str, number: int, file: Path) -> tuple[int, Path, str] | None:
        """Take in an id; number, file and id of an earlier row with this name, if there is one."""
        name = _normal(_normal(pair_id).casefold())
        if name in self._names:
            return self._names[name]
        self._names[name] = (number, file, pair_id)
        return None


def _stem(path: str) -> str:
    return os.path.splitext(re.split(r"[/\\]", path)[-1])[0]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _json(value: Any, depth: int) -> Any:
    """A value as JSON can hold it, nested no deeper than that.

    Raises:
        ValueError: it is too long or too deep, or holds what JSON cannot.
    """
    if not depth:
        raise ValueError("too deep")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        if len(value) > _MAX_FIELD:
            raise ValueError("too long")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("no number")
        return value
    if isinstance(value, Mapping):
        return {str(name): _json(one, depth - 1) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_json(one, depth - 1) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(value)
    raise ValueError("no JSON")
