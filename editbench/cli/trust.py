"""A run's config.yaml may come from a stranger: what it names is used only where this user has named it once.

Servers, variables that hold keys, classes and checkpoints other than the shipped ones are remembered on this machine,
under the user's own state folder, when the user gives them in a call of his own.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from editbench.config import Config, settings
from editbench.errors import UsageError
from editbench.run.yaml_file import read_settings

_CONFIGS = Path(__file__).parents[1] / "configs"
_READERS = tuple(item.name for item in dataclasses.fields(Config) if hasattr(item.default_factory, "neutral"))
"""The plug-in options: `editor`, `judge`, …."""


def accept_recorded(
    recorded: dict[str, Any], path: Path, *, flags: Sequence[str], files: Sequence[Mapping[str, Any]]
) -> None:
    """Take from a run's recorded settings what a later stage must not use, and refuse what the user never named.

    An editor that is not shipped is taken out, since no later stage uses it; so is a plug-in in whose place the user
    names a class.

    Args:
        recorded: the content of the run's config.yaml; changed in place.
        path: of that file.
        flags: the user's own arguments.
        files: the contents of the user's own `--config` files.

    Raises:
        UsageError: the settings name a server, a key variable, a class or a checkpoint that is not shipped, that the
            user has not named in this call nor before, and `--trust_run` is not given.
    """
    recorded.pop("trust_run", None)
    own = _names(flags, files)
    trusts = "--trust_run=true" in flags
    for plugin in _READERS:
        if plugin not in recorded:
            continue
        strange = {name: value for name, value in foreign(plugin, recorded[plugin]).items() if name not in own}
        if f"{plugin}.class_path" in own or (plugin == "editor" and "editor.class_path" in strange):
            del recorded[plugin]
            continue
        if (
            plugin == "editor"
            or not strange
            or trusts
            or any(strange.items() <= known.items() for known in _remembered())
        ):
            continue
        named = "\n".join(f"  {name}: {value!r}" for name, value in strange.items())
        raise UsageError(
            f"{path} names what no shipped configuration has and what you have not used on this machine:\n{named}\n"
            f"If you trust it, add --trust_run (once: it is remembered); or name your own --{plugin}."
        )


def remember(config: Config) -> None:
    """Note the servers, key variables, classes and checkpoints of this call, which the user has named.

    Where the state folder cannot be written, the next stage asks for `--trust_run`.
    """
    known = _remembered()
    for plugin in _READERS:
        used = foreign(plugin, settings(getattr(config, plugin)))
        if plugin == "editor" or not used or any(used.items() <= old.items() for old in known):
            continue
        try:
            _path().parent.mkdir(parents=True, exist_ok=True)
            with _path().open("a", encoding="utf-8") as file:
                file.write(json.dumps(used) + "\n")
        except OSError:
            return


def foreign(plugin: str, recorded: object) -> dict[str, str]:
    """By dotted name, the texts among a plug-in's settings that are neither defaults nor in a shipped configuration.

    Args:
        plugin: the option, such as `judge`.
        recorded: a class name, or `{"class_path": …, "init_args": {…}}`.
    """
    row: Mapping[str, Any] = recorded if isinstance(recorded, Mapping) else {"class_path": str(recorded)}
    class_path = str(row.get("class_path", ""))
    kind = _shipped_class(class_path)
    found = {} if kind is not None else {f"{plugin}.class_path": class_path}
    given = row.get("init_args") or {}
    for name, value in _texts(f"{plugin}.init_args", given):
        if kind is None or not _is_known(plugin, kind, name, value):
            found[name] = value
    return found


def _shipped_class(class_path: str) -> type | None:
    """The class, if this package exports it; nothing of another package is imported."""
    from editbench import editors, judges, rubrics

    package, _, name = class_path.rpartition(".")
    for module in (editors, judges, rubrics):
        if package in ("", module.__name__) and name in module.__all__:
            return getattr(module, name)
    return None


def _is_known(plugin: str, kind: Any, name: str, value: str) -> bool:
    setting = name.removeprefix(f"{plugin}.init_args.").partition(".")[0]
    if get_origin(get_type_hints(kind).get(setting)) is Literal:  # the parser allows no other value
        return True
    defaults = {item.name: item.default for item in dataclasses.fields(kind)}
    return value == defaults.get(setting) or (name, value) in _shipped_texts(plugin)


def _shipped_texts(plugin: str) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for path in _CONFIGS.glob("*.yaml"):
        row = read_settings(path).get(plugin)
        if isinstance(row, dict):
            found |= set(_texts(f"{plugin}.init_args", row.get("init_args") or {}))
    return found


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _texts(f"{name}.{inner}", one)
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _texts(f"{name}.{number}", one)
    elif isinstance(value, str):
        yield name, value


def _names(flags: Sequence[str], files: Sequence[Mapping[str, Any]]) -> set[str]:
    """The dotted names of the settings that the user gives in this call."""
    found = {flag.removeprefix("--").partition("=")[0] for flag in flags if flag.startswith("--")}
    found |= {f"{name}.class_path" for name in _READERS if name in found}
    for row in files:
        for plugin in _READERS:
            value = row.get(plugin)
            if isinstance(value, str) or (isinstance(value, dict) and "class_path" in value):
                found.add(f"{plugin}.class_path")
            if isinstance(value, dict):
                found |= {name for name, _ in _texts(f"{plugin}.init_args", value.get("init_args") or {})}
    return found


def _path() -> Path:
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder) / "editbench" / "trusted.jsonl"


def _remembered() -> list[dict[str, str]]:
    try:
        lines = _path().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [row for line in lines if isinstance(row := _row(line), dict)]


def _row(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:  # torn by a crash
        return None
