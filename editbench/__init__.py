"""Measures how well a model edits images on instruction: edit, score, report."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editbench.api import Result, evaluate, load

__all__ = ["Result", "__version__", "evaluate", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`evaluate`, `load` and `Result`, imported when asked for."""
    if name in ("Result", "evaluate", "load"):
        from editbench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
