"""The files that a benchmark consists of: one, or those of a folder; and their rows, whatever the format."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from editbench.benchmark.columns import Columns, Spec
from editbench.benchmark.defects import Defects, Fields, kind
from editbench.benchmark.pictures import Places
from editbench.benchmark.tables import HUB, hub_name, hub_rows, table_rows
from editbench.benchmark.texts import csv_rows, json_rows, open_text
from editbench.errors import UsageError
from editbench.records import Language

log = logging.getLogger(__name__)
TEXTS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
TABLES = (".parquet", ".arrow")
ENDINGS = (*TEXTS, *TABLES)
_MAX_TABLE = 2**26  # bytes
_METADATA = tuple(f"metadata{ending}" for ending in (".jsonl", ".csv", ".parquet"))


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where a benchmark stands and how it is to be read."""

    path: Path
    """A file, a folder, or `hf:owner/name[@revision][:config/split]`."""
    images: Path | None = None
    """The folder that paths of pictures start from; None: the file's own, then the benchmark's."""
    files: str | None = None
    """Of a folder: which files hold the rows, as a pattern such as `*/annotation.json`; None: found by their names. It
    is not looked at where the path is a file: a configuration brings it."""
    columns: Mapping[str, Spec] = field(default_factory=dict[str, Spec])
    """What stands in which column."""
    language: Language | Literal["all"] = "en"
    """Of the texts; all: every pair in every language that it has."""
    offline: bool = False
    """Whether the hub must not be asked."""

    @property
    def is_on_hub(self) -> bool:
        """Whether it is a data set of the Hugging Face hub."""
        return str(self.path).startswith(HUB)

    @property
    def name(self) -> str:
        """What a run of it is called, where it has no name of its own."""
        return hub_name(str(self.path)) if self.is_on_hub else self.path.stem

    @property
    def root(self) -> Path:
        """The folder that `Picture.path` starts from."""
        return self.images or (self.path if self.path.is_dir() else self.path.parent)

    @property
    def languages(self) -> tuple[Language, ...]:
        """Those that are asked for."""
        return ("en", "zh") if self.language == "all" else (self.language,)

    @cached_property
    def parts(self) -> tuple[Path, ...]:
        """The files that hold the rows, in order of their names; none of a data set on the hub.

        Raises:
            UsageError: there is no such file or folder, or it is not clear which files of the folder hold the rows.
        """
        if self.images is not None and not self.images.is_dir():
            raise UsageError(f"{self.images}: there is no such folder; give the one that the image paths start from")
        if self.is_on_hub:
            return ()
        if not self.path.is_dir():
            if not self.path.is_file():
                raise UsageError(f"{self.path}: there is no such file or folder; give the benchmark's path")
            if self.path.suffix.lower() not in ENDINGS:
                known = ", ".join(ENDINGS)
                raise UsageError(f"{self.path}: unknown kind of file; give a folder or one of {known}")
            return (self.path,)
        return tuple(_matching(self.path, self.files) if self.files else _found(self.path))


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"--files {pattern}: is no pattern below {folder} ({error})") from error
    if not found:
        raise UsageError(f"--files {pattern}: no such file below {folder}; there are {_some(_files(folder))}")
    if unknown := [path for path in found if path.suffix.lower() not in ENDINGS]:
        raise UsageError(f"--files {pattern}: {unknown[0]} is none of {', '.join(ENDINGS)}")
    return found


def _found(folder: Path) -> list[Path]:
    """A folder's files of rows: metadata of an imagefolder, shards, one file, or files of one name in subfolders."""
    files = [path for path in _files(folder) if path.suffix.lower() in ENDINGS]
    if metadata := [path for path in files if path.name in _METADATA]:
        return metadata
    shards = [path for path in files if path.suffix.lower() in TABLES and not path.name.startswith("cache-")]
    splits = {found[2] for path in shards if (found := _SPLIT.search(path.relative_to(folder).as_posix()))}
    if len(splits) > 1:
        some = f"the splits {', '.join(sorted(splits))}"
        raise UsageError(f"{folder} holds {some}; choose one with --files, such as --files '**/{min(splits)}*'")
    texts = [path for path in files if path.suffix.lower() in TEXTS and path.name not in _ABOUT]
    at_the_top = [path for path in texts if path.parent == folder]
    for candidates in (shards, at_the_top, texts):
        if len(candidates) == 1 or (candidates and candidates is shards):
            return candidates
        if len({path.name for path in candidates}) == 1:
            return candidates
        if candidates:
            break
    what = _some(candidates) if (candidates := shards or at_the_top or texts) else f"none of {', '.join(ENDINGS)}"
    raise UsageError(f"{folder}: it is not clear which files hold the pairs; say it with --files; there are {what}")


_SPLIT = re.compile(r"(^|[/_.-])(train|test|validation|valid|val|dev)(?=[/_.-])", re.IGNORECASE)
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json")


def _files(folder: Path) -> list[Path]:
    """All files below the folder, but for hidden ones and those of runs, sorted."""
    found = sorted(folder.rglob("*"))
    runs = {path.parent for path in found if path.name == "pairs.jsonl" and (path.parent / "config.yaml").exists()}
    return [
        path
        for path in found
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and runs.isdisjoint(path.parents)
    ]


def _some(paths: list[Path]) -> str:
    names = [path.name if len(path.parts) < 2 else "/".join(path.parts[-2:]) for path in paths[:8]]
    return ", ".join(names) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "") if names else "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One row as it stands in its file."""

    number: int
    """An item's from 1; of JSON lines and CSV the line's."""
    fields: Fields
    file: Path
    places: Places
    """Where its paths lead."""


def read_items(data: Data, columns: Columns, defects: Defects, say: Callable[[str], None]) -> Iterator[Item]:
    """All rows in order; what is no row goes to the defects.

    Each gets the fields `__index__` (from 0), `__file__` (the path below the folder, without ending) and `__folder__`
    (the name of the file's folder), for templates.
    """
    index = 0
    for path in data.parts or (data.path,):
        below = path.relative_to(data.path) if data.path.is_dir() else Path(path.name)
        places = Places(data.root, data.images or path.parent)
        try:
            others = _unnamed_columns(path, columns)
            for number, fields in _rows(data, path, columns, defects, say):
                if not isinstance(fields, Fields):
                    what = f"is {kind(fields)}; give an object with the fields of a pair"
                    defects.add(what, number, file=path)
                    continue
                fields["__index__"] = index
                fields["__file__"] = below.with_suffix("").as_posix()
                fields["__folder__"] = path.absolute().parent.name
                index += 1
                for name in others:
                    fields.setdefault(name, None)
                yield Item(number=number, fields=fields, file=path, places=places)
        except OSError as error:
            defects.add(f"cannot be read ({error.strerror}); make it readable", file=path)


def _unnamed_columns(path: Path, columns: Columns) -> list[str]:
    """The columns of a JSON table that nothing names: each row has them, as pandas would read it, though it may leave
    them out; none of a file that is large because of pictures in it.
    """
    if path.suffix.lower() != ".json" or path.stat().st_size > _MAX_TABLE:
        return []
    rows = text_rows(path, columns.is_field, Defects(path), lambda text: None)
    names = {name: None for _, fields in rows if isinstance(fields, Fields) for name in fields}
    return [name for name in names if not columns.is_field(name)]


def _rows(
    data: Data, path: Path, columns: Columns, defects: Defects, say: Callable[[str], None]
) -> Iterator[tuple[int, Any]]:
    if data.is_on_hub:
        return hub_rows(str(path), offline=data.offline)
    if path.suffix.lower() in TABLES:
        return table_rows(path, defects)
    return text_rows(path, columns.is_field, defects, say)


def text_rows(
    path: Path, is_field: Callable[[str], bool], defects: Defects, say: Callable[[str], None]
) -> Iterator[tuple[int, Any]]:
    """The rows of one text file, by its ending a table or JSON, with their numbers."""
    with open_text(path, say) as file:
        if link := _link_as_text(path):
            wrong = f"holds only the path {link}: a link that was copied as text; copy the data set with its links"
            defects.add(wrong, file=path)
        elif path.suffix.lower() in (".csv", ".tsv"):
            yield from csv_rows(file, defects, path, is_field)
        else:
            yield from json_rows(file, defects, path, is_field)


def _link_as_text(path: Path) -> str:
    """Where a file leads that is a symbolic link written out as text, as a checkout without links leaves it."""
    if path.stat().st_size > 4096:
        return ""
    text = path.read_bytes().decode(errors="replace").strip()
    is_path = "\n" not in text and text.startswith("..") and "\0" not in text
    return text if is_path and (path.parent / text).is_file() else ""
