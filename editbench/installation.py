"""How editbench is installed here, so that a message names a command which the reader has."""

import shlex
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_SCRIPTS = ("edit", "score", "report")


def clone() -> Path | None:
    """The root of the clone of the repository that this package runs from; None where a wheel is installed."""
    return _ROOT if (_ROOT / "launch.sh").is_file() and (_ROOT / "edit.py").is_file() else None


def command(stage: str, *argv: object) -> str:
    """What to type for a stage (`run`, `edit`, `score`, `report`, …), quoted for a shell."""
    words = shlex.join(map(str, argv))
    if clone() is None:
        start = f"editbench {stage}"
    elif stage == "run":
        start = "bash launch.sh"
    elif stage in _SCRIPTS:
        start = f"python {stage}.py"
    else:
        start = f"python -m editbench {stage}"
    return f"{start} {words}".rstrip()


def install(extra: str) -> str:
    """The pip command for an optional part, such as `server`; a wheel's parts are named package by package."""
    if clone() is not None:
        return f"pip install -e '.[{extra}]'"
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires("editbench") or ()]
    parts = [one for one in wanted if one.marker is not None and one.marker.evaluate({"extra": extra})]
    return "pip install " + " ".join(shlex.quote(f"{one.name}{one.specifier}") for one in parts)
