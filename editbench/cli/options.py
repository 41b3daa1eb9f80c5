"""The command line and the YAML files, read into one configuration."""

import argparse
import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from editbench import editors, judges, rubrics
from editbench.config import Config
from editbench.editors import Editor
from editbench.errors import UsageError
from editbench.judges import Judge
from editbench.rubrics import Rubric

_NUM_CONTROLS = "24"  # of as many pairs a difference of about 0.6 standard deviations can be shown
_SHIPPED = Path(__file__).parents[1] / "configs"


def parse(description: str, argv: Sequence[str] | None = None, *, from_run: bool = False) -> Config:
    """The configuration of this call; `--help` and `--print_config` end the process here.

    Flags win over `--config`. What neither says comes, in this order, from the run's own `config.yaml` (when
    `from_run`), from the shipped `demo` when there is no benchmark either, or from the defaults of `Config`.

    Args:
        description: the script's docstring.
        argv: the arguments, without the script's name; None: those of the process.
        from_run: whether the script works on a run that exists, and so need not be told all again.

    Raises:
        UsageError: an option that does not exist or does not parse, or a value that can't be meant.
    """
    import jsonargparse

    args = _spell_out(list(sys.argv[1:] if argv is None else argv))
    # not default_config_files: there, settings of a class that another one replaces would stay and be refused
    base = [f"--config={path}" for path in _base(args, from_run=from_run)]
    # of the last launch: the next one works on all that the run holds, unless it is told otherwise
    args = [*base, *(("--limit=null", "--categories=[]") if base and from_run else ()), *args]
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        description=description,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help=f"a YAML file, or one of: {', '.join(shipped())}")
    parser.add_class_arguments(Config, as_positional=False)
    try:
        parsed = parser.instantiate(parser.parse_args(args))
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}{_hint(str(error))}") from error
    return Config(**{item.name: parsed[item.name] for item in dataclasses.fields(Config)})


def shipped() -> list[str]:
    """Names of the configurations that come with the package, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def _hint(message: str) -> str:
    """What may have been meant by a name that the parser does not know."""
    if "No module named" in message:
        return "\n  A class of your own is looked for beside the scripts and on PYTHONPATH."
    unknown = re.search(r"(?:arguments: --|Option '|path string: )(?:[\w.]+\.)?(\w+)", message)
    kinds = [
        kind
        for package, base in ((editors, Editor), (judges, Judge), (rubrics, Rubric))
        for kind in _shipped_kinds(package, base)
    ]
    names = [item.name for kind in (Config, *kinds) for item in dataclasses.fields(kind)]
    near = difflib.get_close_matches(unknown[1], [*names, *(kind.__name__ for kind in kinds)], n=1) if unknown else []
    return f"\n  Is {near[0]} meant? --help tells all." if near else "\n  --help tells all."


def _shipped_kinds(package: ModuleType, kind: type) -> list[Any]:
    """The editors, judges or rubrics that come with the package."""
    exported = [getattr(package, name) for name in package.__all__]
    return [one for one in exported if isinstance(one, type) and issubclass(one, kind) and one is not kind]


def _base(args: Sequence[str], *, from_run: bool) -> list[Path]:
    """The files whose values hold where no flag and no `--config` says otherwise."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--run_dir", type=json.loads, default=())
    early.add_argument("--benchmark")
    early.add_argument("--config")
    known, _ = early.parse_known_args(args)
    recorded = [Path(run) / "config.yaml" for run in known.run_dir]
    if from_run and len(recorded) == 1 and recorded[0].is_file():
        return recorded
    return [] if known.benchmark or known.config else [_SHIPPED / "demo.yaml"]


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
    """What an option means that stands without a value."""
    return lambda values: values[0] if values else meant


def _named(package: ModuleType, kind: type) -> Callable[[list[str]], str]:
    """The class whose settings are asked for; without one, which there are."""

    def name(values: list[str]) -> str:
        if not values:
            known = ", ".join(one.__name__ for one in _shipped_kinds(package, kind))
            raise UsageError(f"--{kind.__name__.lower()}.help: name one of {known}, or a class of your own")
        return values[0]

    return name


def _config(values: list[str]) -> str:
    name = values[0] if values else ""
    if name in shipped():
        return str(_SHIPPED / f"{name}.yaml")
    if not Path(name).is_file():
        raise UsageError(f"--config {name}: no such file; shipped by name: {', '.join(shipped())}")
    return name


_FLAGS = ("--accept_changes", "--check", "--expected", "--load_in_turns", "--standalone")
_SHORT_OPTIONS: dict[str, Callable[[list[str]], str]] = {
    "--run_dir": json.dumps,
    "--categories": _categories,
    "--columns": _columns,
    "--config": _config,
    "--controls": _alone(_NUM_CONTROLS),
    "--editor.help": _named(editors, Editor),
    "--judge.help": _named(judges, Judge),
    "--rubric.help": _named(rubrics, Rubric),
    **dict.fromkeys(_FLAGS, _alone("true")),
}
_SHORT = re.compile(rf"({'|'.join(map(re.escape, _SHORT_OPTIONS))})=")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """The script's docstring as it stands, its commands unwrapped."""
