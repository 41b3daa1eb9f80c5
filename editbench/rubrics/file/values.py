"""The YAML of a rubric's file, its plain values, and what is wrong with them."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from editbench.errors import UsageError

_MAX_BYTES = 2**20
_MAX_LINES = 100


class Defects:
    """What is wrong with the file, a line each: file, key, what to do."""

    def __init__(self, path: Path):
        self.path = path
        self._lines: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Note a defect; `where` is a dotted key or a line of the file, empty: the whole file."""
        self._lines.append(f"{self.path}: {where}: {what}" if where else f"{self.path}: {what}")

    def raise_if_any(self) -> None:
        """End the reading where there are defects.

        Raises:
            UsageError: with all of them, a line each.
        """
        if self._lines:
            more = len(self._lines) - _MAX_LINES
            raise UsageError("\n".join([*self._lines[:_MAX_LINES], *([f"{more} more"] if more > 0 else [])]))


class Values(Defects):
    """Reads the plain values of a file.

    A wrong value is noted as a defect, and a valid one stands in its place, so that all mistakes are found at once. In
    all methods `where` is the dotted key of the value.
    """

    def mapping(self, value: Any, where: str, known: Sequence[str] = (), needs: Sequence[str] = ()) -> dict[str, Any]:
        """A mapping with the keys that are known (none: any) and those that it needs."""
        if not isinstance(value, Mapping):
            self.add(where, f"must be a mapping, not {_kind(value)}")
            return {}
        found: dict[str, Any] = {}
        entries: Mapping[Any, Any] = value
        for key, entry in entries.items():
            if not isinstance(key, str):
                self.add(where, f"the key {key!r} is {_kind(key)}; put it in quotes")
            elif known and key not in known:
                self.add(f"{where}.{key}".lstrip("."), f"unknown key; there are {', '.join(known)}")
            else:
                found[key.strip()] = entry
        for name in needs:
            if name not in found:
                self.add(f"{where}.{name}".lstrip("."), "is missing")
        return found

    def text(self, value: Any, where: str) -> str:
        """A text that is not blank."""
        if not isinstance(value, str) or not value.strip():
            said = "is empty" if isinstance(value, str) else f"must be text, not {_kind(value)}"
            self.add(where, said)
            return ""
        return value

    def texts(self, value: Any, where: str) -> list[str]:
        """A list of texts; one text stands for a list of one."""
        if isinstance(value, str):
            return [value.strip()]
        if not isinstance(value, list):
            self.add(where, f"must be a text or a list of texts, not {_kind(value)}")
            return []
        entries: list[Any] = value
        return [self.text(entry, f"{where}[{number}]").strip() for number, entry in enumerate(entries)]

    def number(self, value: Any, where: str) -> float:
        """A finite number."""
        if not _is_number(value):
            self.add(where, f"must be a number, not {_kind(value)}")
            return 0.0
        return float(value)

    def whole(self, value: Any, where: str) -> int:
        """A whole number of 1 or more."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.add(where, f"must be a whole number of 1 or more, not {reprlib.repr(value)}")
            return 1
        return value

    def range(self, value: Any, where: str) -> tuple[float, float]:
        """Two numbers, the lowest first."""
        if not isinstance(value, list) or len(value) != 2:  # pyright: ignore[reportUnknownArgumentType]
            self.add(where, "must be two numbers, such as [1, 5]")
            return 0.0, 1.0
        entries: list[Any] = value
        low, high = (self.number(entry, where) for entry in entries)
        if not all(_is_number(entry) for entry in entries):
            return 0.0, 1.0
        if low >= high:
            self.add(where, f"[{low:g}, {high:g}]: the lowest comes first, and below the highest")
            return 0.0, 1.0
        return low, high


def load(defects: Defects) -> Any:
    """The parsed file; None, and a defect, where it cannot be read or is no YAML."""
    import yaml

    path = defects.path

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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return f"the truth value {value!r} (put it in quotes)"
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(value)) or f"{type(value).__name__} {reprlib.repr(value)}"
