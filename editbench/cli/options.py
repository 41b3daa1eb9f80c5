"""The command line and the YAML files, read into one configuration."""

import argparse
import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from editbench import editors, judges, rubrics
from editbench.cli.trust import accept_recorded
from editbench.config import Config
from editbench.editors import Editor
from editbench.errors import UsageError
from editbench.installation import command
from editbench.judges import Judge
from editbench.rubrics import Rubric
from editbench.run.yaml_file import read_settings

PLUGINS: dict[str, tuple[ModuleType, type]] = {
    "editor": (editors, Editor),
    "judge": (judges, Judge),
    "rubric": (rubrics, Rubric),
}
"""The settings that are classes: by option, the package that ships some and the class that all of them extend."""

_NUM_CONTROLS = "24"  # with as many pairs, a difference of about 0.6 standard deviations can be detected
_SHIPPED = Path(__file__).parents[1] / "configs"


def parse(
    description: str, argv: Sequence[str] | None = None, *, from_run: bool = False, prog: str | None = None
) -> Config:
    """The configuration of this call; `--help` and `--print_config` end the process here.

    Flags win over `--config`, wherever either stands. What neither gives comes, in this order, from the run's own
    `config.yaml` (when `from_run`), from the shipped `demo` when there is no benchmark either, or from the defaults of
    `Config`.

    Args:
        description: what `--help` begins with.
        argv: the arguments, without the script's name; None: those of the process.
        from_run: whether the script works on a run that exists, whose settings then need not be repeated.
        prog: the name of the command in `--help`; None: the script's.

    Raises:
        UsageError: an option that does not exist or does not parse, a value out of range, or a run directory that asks
            for a server, a key variable, a class or a checkpoint that this user has not named.
    """
    flags, files = _separate(_spell_out(list(sys.argv[1:] if argv is None else argv)))
    own = {path: _normalised(path) for path in files}
    base = _base(flags, from_run=from_run, has_config=bool(files))
    args: list[str] = []
    if base is not None:
        settings = _normalised(base)
        if from_run and base.parent != _SHIPPED:
            accept_recorded(settings, base, flags=flags, files=list(own.values()))
        # not default_config_files: those keep settings of a class that another one replaces, and then refuse them
        args.append(_as_option(settings))
        if from_run:  # the last launch's selection: this one works on the whole run
            args += ["--limit=null", "--categories=[]"]
    args += [*map(_as_option, own.values()), *flags]
    parser = make_parser(description, prog)
    _find_own_classes(flags, list(own.values()))
    try:
        parsed = parser.instantiate(parser.parse_args(args))
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}{_hint(str(error))}") from error
    return Config(**{item.name: parsed[item.name] for item in dataclasses.fields(Config)})


def make_parser(description: str, prog: str | None = None) -> Any:
    """The parser of every command: `--config`, and an option for each field of `Config` and of its plug-ins."""
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=prog, description=description, formatter_class=_HelpFormatter, exit_on_error=False
    )
    parser.add_argument("--config", action="config", help=f"a YAML file, or one of: {', '.join(shipped())}")
    parser.add_class_arguments(Config, as_positional=False)
    return parser


def shipped() -> list[str]:
    """Names of the configurations that come with the package, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def shipped_kinds(plugin: str) -> list[type]:
    """The classes for a plug-in option (`editor`, `judge`, …) that come with the package."""
    package, base = PLUGINS[plugin]
    exported = [getattr(package, name) for name in package.__all__]
    return [kind for kind in exported if isinstance(kind, type) and issubclass(kind, base) and kind is not base]


def _hint(message: str) -> str:
    """The nearest name to one that the parser does not know."""
    if "No module named" in message:
        return "\n  A class of your own is looked for in the current folder, beside the scripts and on PYTHONPATH."
    unknown = re.search(r"(?:arguments: --|Option '|path string: )(?:[\w.]+\.)?(\w+)", message)
    kinds: list[Any] = [Config, *(kind for plugin in PLUGINS for kind in shipped_kinds(plugin))]
    names = [item.name for kind in kinds if dataclasses.is_dataclass(kind) for item in dataclasses.fields(kind)]
    names += [kind.__name__ for kind in kinds[1:]]
    near = difflib.get_close_matches(unknown[1], names, n=1) if unknown else []
    lists = f"{command('ls')} lists the classes." if "import path string" in message else "--help lists all options."
    return f"\n  Is {near[0]} meant? {lists}" if near else f"\n  {lists}"


def _base(flags: Sequence[str], *, from_run: bool, has_config: bool) -> Path | None:
    """The file whose values hold where no flag and no `--config` gives another; None: the defaults of `Config`."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--run_dir", type=json.loads, default=())
    early.add_argument("--benchmark")
    known, _ = early.parse_known_args(flags)
    recorded = [Path(run) / "config.yaml" for run in known.run_dir]
    if from_run and len(recorded) == 1 and recorded[0].is_file():
        return recorded[0]
    return None if known.benchmark or has_config else _SHIPPED / "demo.yaml"


def _separate(args: Sequence[str]) -> tuple[list[str], list[Path]]:
    """All other arguments, and the files of `--config`, in order."""
    flags = [arg for arg in args if not arg.startswith("--config=")]
    return flags, [Path(arg.removeprefix("--config=")) for arg in args if arg.startswith("--config=")]


def _normalised(path: Path) -> dict[str, Any]:
    """The settings of a YAML file, with the short spellings that the command line takes too."""
    settings = read_settings(path)
    if isinstance(settings.get("run_dir"), str):
        settings["run_dir"] = [settings["run_dir"]]
    if categories := settings.get("categories"):
        entries = categories if isinstance(categories, list) else [categories]
        settings["categories"] = json.loads(_categories([str(entry) for entry in entries]))
    return settings


def _as_option(settings: Mapping[str, Any]) -> str:
    return f"--config={json.dumps(settings, ensure_ascii=False, default=str)}"


def _find_own_classes(flags: Sequence[str], files: Sequence[Mapping[str, Any]]) -> None:
    """Let a class that the user names be found in the current folder, after every other place.

    Only then: a folder that the user happens to stand in could otherwise give modules to libraries that look for them.
    """
    named: list[str] = []
    for plugin in PLUGINS:
        option = f"--{plugin}"
        named += [flag.removeprefix(f"{option}=") for flag in flags if flag.startswith(f"{option}=")]
        named += [value for flag, value in pairwise(flags) if flag == option]
        values = [settings.get(plugin) for settings in files]
        named += [str(value.get("class_path") if isinstance(value, dict) else value) for value in values]
    folder = Path.cwd()
    for module in {name.partition(".")[0] for name in named if "." in name}:
        is_here = (folder / f"{module}.py").is_file() or (folder / module).is_dir()
        if is_here and str(folder) not in sys.path:
            sys.path.append(str(folder))


def _spell_out(args: Sequence[str]) -> list[str]:
    """The short spellings that people type, as the parser takes them.

    `--run_dir a b` and `--categories physical,因果` become lists, `--columns source=image` becomes a mapping,
    `--check` becomes `--check=true`, and a shipped configuration's name becomes its path.

    Raises:
        UsageError: a configuration that does not exist.
    """
    rest = [piece for arg in args for piece in (arg.split("=", 1) if _SHORT.match(arg) else (arg,))]
    spelt: list[str] = []
    while rest:
        option = rest.pop(0)
        if option not in _SHORT_OPTIONS:
            spelt.append(option)
            continue
        values: list[str] = []
        while rest and not rest[0].startswith("-") and (option == "--run_dir" or not values):
            values.append(rest.pop(0))
        spelt.append(f"{option}={_SHORT_OPTIONS[option](values)}")
    return spelt


def _runs(values: list[str]) -> str:
    return json.dumps(values, ensure_ascii=False)  # YAML, which reads it, knows no pairs of surrogates


def _categories(values: list[str]) -> str:
    return json.dumps([name.strip(" '\"[]") for value in values for name in value.split(",")], ensure_ascii=False)


def _columns(values: list[str]) -> str:
    """`source=input_image,id={task}_{key}` as JSON."""
    text = ",".join(values)
    if text.lstrip().startswith("{") and ":" in text and "=" not in text.split("{")[0]:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    if wrong := [name for name, mark, column in pairs if not (mark and name.strip() and column.strip())]:
        raise UsageError(f"--columns {text}: {wrong[0]!r} has no column; write what=column, such as source=input_image")
    return json.dumps({name.strip(): column.strip() for name, _, column in pairs}, ensure_ascii=False)


def _alone(meant: str) -> Callable[[list[str]], str]:
    """The value of an option that may stand without one."""
    return lambda values: values[0] if values else meant


def _named(plugin: str) -> Callable[[list[str]], str]:
    """The class whose settings are asked for; without one, an error that lists the shipped ones."""

    def name(values: list[str]) -> str:
        if not values:
            known = ", ".join(kind.__name__ for kind in shipped_kinds(plugin))
            raise UsageError(f"--{plugin}.help: name one of {known}, or a class of your own")
        return values[0]

    return name


def _config(values: list[str]) -> str:
    name = values[0] if values else ""
    if name in shipped():
        return str(_SHIPPED / f"{name}.yaml")
    if not Path(name).is_file():
        raise UsageError(f"--config {name}: no such file; shipped by name: {', '.join(shipped())}")
    return name


_FLAGS = ("--accept_changes", "--check", "--expected", "--load_in_turns", "--standalone", "--trust_run", "--watch")
_SHORT_OPTIONS: dict[str, Callable[[list[str]], str]] = {
    "--run_dir": _runs,
    "--categories": _categories,
    "--columns": _columns,
    "--config": _config,
    "--controls": _alone(_NUM_CONTROLS),
    **{f"--{plugin}.help": _named(plugin) for plugin in PLUGINS},
    **dict.fromkeys(_FLAGS, _alone("true")),
}
_SHORT = re.compile(rf"({'|'.join(map(re.escape, _SHORT_OPTIONS))})=")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """The script's docstring as it stands, its commands unwrapped."""
