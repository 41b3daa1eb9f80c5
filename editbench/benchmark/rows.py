"""One row of a benchmark: which fields it may have, and what is wrong with them."""

import base64
import codecs
import difflib
import functools
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL.Image import Image

from editbench.benchmark.files import Defects, Fields, csv_lines, json_items, json_lines, kind, shown
from editbench.errors import UsageError
from editbench.images import MAX_BYTES, decode
from editbench.records import CATEGORIES, Category, Language, Pair

_CHINESE = dict(zip(CATEGORIES, ("物理", "环境", "社会", "因果", "指代"), strict=True))

# In order of preference: the names of the JSON list with images inside, then a table's. Bare names are Chinese in the
# one, English in the other.
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
_ID = ("id", "original_image_path")
_CATEGORY = ("category", "subset")
_SOURCE = ("src_img_b64", "source")
_TEXTS = frozenset(
    (
        *(*_ID, *_CATEGORY, *_SOURCE, "reference", "source_group", "difficulty"),
        *(name for languages in _IN_LANGUAGE.values() for names in languages.values() for name in names),
    )
)

_KNOWN = {*_TEXTS, "tags"}

_MAX_ID_BYTES = 512
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)


class Row:
    """One row, read field by field; what is wrong with it goes to the defects."""

    def __init__(self, number: int, fields: Fields, path: Path, folder: Path, defects: Defects) -> None:
        self.number = number
        self._fields = fields
        self._with_images = path.suffix.lower() == ".json"
        self._folder = folder
        self._defects = defects
        self._bad: set[str] = set()
        self._sound: dict[str, str] = {}
        doubtful: list[str] = []
        for name, value in fields.items():
            if name in _TEXTS and value is not None:
                if not isinstance(value, str) or (name != "src_img_b64" and _NOT_TEXT.search(value)):
                    doubtful.append(name)
                if isinstance(value, str) and value.strip():
                    self._sound[name] = value
        self._source_field = next((name for name in _SOURCE if name in self._sound), None)
        self.pair_id = self._text("id") or _stem(self._text("original_image_path") or "")
        for name in doubtful:
            self._no_text(name, fields[name])
        for name in sorted(fields.repeated):
            if name in _TEXTS or name == "tags":
                self._wrong(name, "stands twice in this row; keep one")

    def check_id(self, seen: "Seen") -> None:
        """The row has an id, and no row before it has one that some file system takes for the same name."""
        if not self.pair_id:
            return self._missing(_ID, _ID[self._with_images], "give the row an id of its own")
        field = next(name for name in _ID if self._fields.get(name))
        if len(self.pair_id.encode(errors="surrogatepass")) > _MAX_ID_BYTES:
            self._wrong(field, f"makes an id of over {_MAX_ID_BYTES} bytes; shorten it")
        number, other = seen.first(self.pair_id, self.number)
        if number != self.number:
            same = "is also the id" if other == self.pair_id else f"would be one file name with {shown(other)}, the id"
            self._wrong(field, f"{same} of row {number}; give each row its own")

    def pair(self, language: Language, known: str | None) -> Pair | None:
        """The row as a pair, or None and its defects; a source with the hash `known` has been seen to decode."""
        category = self._category()
        instruction = self._instruction(language)
        source = self._source_sha256(known)
        reference = self._text("reference")
        if reference is not None:
            self._picture("reference", self._file("reference", reference))
        tags = self._tags()
        if category is None or instruction is None or source is None:
            return None
        return Pair(
            pair_id=self.pair_id,
            category=category,
            instruction=instruction,
            source_sha256=source,
            source=self._text("source") if self._source_field == "source" else None,
            rationale=self._text(*_IN_LANGUAGE["rationale"][language]),
            description=self._text(*_IN_LANGUAGE["description"][language]),
            difficulty=self._text("difficulty"),
            tags=tags,
            source_group=self._text("source_group"),
            reference=reference,
        )

    def misspelt(self) -> Iterator[tuple[str, str]]:
        """Fields that are ignored, each with the known one that it nearly is and that the row lacks."""
        for name in self._fields:
            near = _nearest(name)
            if near is not None and near not in self._fields:
                yield name, near

    def source(self) -> Image | None:
        """The source's pixels; can be asked once, for the base64 text is let go."""
        name, data = self._source_bytes()
        return self._picture(name, data)

    def _source_sha256(self, known: str | None) -> str | None:
        """The hash of the source's encoded bytes, if they decode."""
        name, data = self._source_bytes()
        if data is None:
            return None
        digest = hashlib.sha256(data).hexdigest()
        return digest if digest == known or self._picture(name, data) is not None else None

    def _source_bytes(self) -> tuple[str, bytes | None]:
        name = self._source_field
        if name is None:
            return "", self._missing(_SOURCE, _SOURCE[not self._with_images], "give the source image")
        return name, self._base64(name) if name == "src_img_b64" else self._file(name, self._fields[name])

    def _wrong(self, field: str, message: str) -> None:
        self._bad.add(field)
        self._sound.pop(field, None)
        self._defects.add(message, self.number, self.pair_id, field)

    def _no_text(self, field: str, value: object) -> None:
        if not isinstance(value, str):
            self._wrong(field, f"is {kind(value)}; give text")
        elif found := _NOT_TEXT.search(value):
            self._wrong(field, f"has {found[0]!a} at character {found.start() + 1}, which is no text; take it out")

    def _missing(self, names: Sequence[str], default: str, remedy: str) -> None:
        if self._bad.isdisjoint(names):
            given = next((name for name in names if name in self._fields), None)
            self._wrong(given or default, f"is {'empty' if given else 'missing'}; {remedy}")

    def _text(self, *names: str) -> str | None:
        """The first of these fields that is sound and more than blank."""
        for name in names:
            if name in self._sound:
                return self._sound[name]
        return None

    def _category(self) -> Category | None:
        text = self._text(*_CATEGORY)
        if text is None:
            return self._missing(_CATEGORY, _CATEGORY[self._with_images], f"give one of {', '.join(CATEGORIES)}")
        try:
            return parse_category(text)
        except ValueError as error:
            return self._wrong(next(name for name in _CATEGORY if self._text(name)), f"{error}; correct it")

    def _instruction(self, language: Language) -> str | None:
        languages = _IN_LANGUAGE["instruction"]
        text = self._text(*languages[language])
        if text is None:
            other: Language = "zh" if language == "en" else "en"
            exists = f"it exists in {other}: add it, or use --language {other}" if self._text(*languages[other]) else ""
            default = languages[language][0 if self._with_images else -1]
            self._missing(languages[language], default, exists or f"give the instruction (language {language})")
        return text

    def _tags(self) -> tuple[str, ...]:
        tags = self._fields.get("tags")
        if tags is None:
            return ()
        if not isinstance(tags, list) or not all(isinstance(tag, str) and not _NOT_TEXT.search(tag) for tag in tags):
            self._wrong("tags", 'is not a list of texts; give one, such as ["indoor", "night"]')
            return ()
        return tuple(tags)

    def _base64(self, name: str) -> bytes | None:
        try:
            del self._sound[name]
            return base64.b64decode("".join(self._fields.pop(name).split()), validate=True)
        except ValueError as error:
            return self._wrong(name, f"is not base64 ({error}); encode the image file's bytes again")

    def _file(self, name: str, path: str) -> bytes | None:
        if _URL.match(path):
            return self._wrong(name, f"{shown(path)} is a URL; download the image and give its path")
        root = _real(str(self._folder))
        folder, name_there = os.path.split(path)
        full = _real(root, folder) + name_there
        there = _stat(full)
        if (there is not None and stat.S_ISLNK(there.st_mode)) or name_there in (os.curdir, os.pardir):
            full = os.path.realpath(full)
            there = _stat(full)
        if os.path.isabs(path) or not full.startswith(root):
            return self._wrong(name, f"{shown(path)} leaves the folder {self._folder}; give a path below it")
        if there is None or not stat.S_ISREG(there.st_mode):
            return self._wrong(name, f"there is no file {shown(path)} in {self._folder}; add it or correct the path")
        try:
            with open(full, "rb", buffering=0) as file:  # a buffer takes longer to make than a small file to read
                return file.read(-1 if there.st_size <= MAX_BYTES else MAX_BYTES + 1)
        except OSError as error:
            return self._wrong(name, f"{shown(path)} cannot be read ({error.strerror}); make it readable")

    def _picture(self, name: str, data: bytes | None) -> Image | None:
        try:
            return None if data is None else decode(data)
        except ValueError as error:
            return self._wrong(name, f"the image {error}; replace it")


class Seen:
    """The ids of the rows so far, by the name that some file system takes them for."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._spelt: dict[str, str] = {}  # of those that are spelt otherwise than their name

    def first(self, pair_id: str, number: int) -> tuple[int, str]:
        """Take in a row's id; the number and the id of the first row with that name."""
        name = _normal(_normal(pair_id).casefold())
        known = self._numbers.setdefault(name, number)
        if known == number and name != pair_id:
            self._spelt[name] = pair_id
        return known, self._spelt.get(name, name)


def parse_category(text: str) -> Category:
    """The category of an English (any case) or a Chinese name.

    Raises:
        ValueError: there is no such category; the message lists the five.
    """
    wanted = text.strip().casefold()
    for category, chinese in _CHINESE.items():
        if wanted in (category, chinese):
            return category
    known = ", ".join(f"{category} ({chinese})" for category, chinese in _CHINESE.items())
    raise ValueError(f"{shown(text)} is no category; there are {known}")


def rows(path: Path, images: Path | None, defects: Defects) -> Iterator[Row]:
    """The file's rows in order, whatever its format; a row that is no object goes to the defects at once.

    Raises:
        UsageError: there is no such file, folder of images, or format.
    """
    readers = {".json": json_items, ".jsonl": json_lines, ".csv": csv_lines}
    reader = readers.get(path.suffix.lower())
    folder = path.parent if images is None else images
    if reader is None:
        raise UsageError(f"{path}: unknown kind of file; give one of {', '.join(readers)}")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; give the benchmark's path")
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; give the one that the image paths start from")
    try:
        with path.open("rb") as file:
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            for number, fields in reader(file, defects):
                if isinstance(fields, Fields):
                    yield Row(number, fields, path, folder, defects)
                else:
                    defects.add(f"is {kind(fields)}; give an object with the fields of a pair", number)
    except OSError as error:
        defects.add(f"cannot be read ({error.strerror}); make it readable")


@functools.lru_cache(1024)
def _nearest(name: str) -> str | None:
    """The known field that an unknown one is a letter or two from."""
    if name in _KNOWN or len(name) > 60:  # comparing takes the square of the length
        return None
    return next(iter(difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.8)), None)


def _stem(path: str) -> str:
    return os.path.splitext(re.split(r"[/\\]", path)[-1])[0]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@functools.lru_cache(1024)
def _real(folder: str, below: str = "") -> str:
    """The folder itself, whatever links lead to it, with a slash at its end."""
    return os.path.join(os.path.realpath(os.path.join(folder, below)), "")


def _stat(path: str) -> os.stat_result | None:
    """What stands there, a link as itself; None: nothing that could be looked at."""
    try:
        return os.lstat(path)
    except OSError:
        return None
