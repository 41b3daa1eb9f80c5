"""What can be named on the command line, a line each."""

from pathlib import Path

from editbench.cli.options import PLUGINS, shipped, shipped_kinds

_CONFIGS = Path(__file__).parents[1] / "configs"


def listing() -> str:
    """The shipped configurations, editors, judges and rubrics, each with its first sentence."""
    configs = {name: _first_comment(_CONFIGS / f"{name}.yaml") for name in shipped()}
    parts = [_section("configurations (--config)", configs)]
    for plugin in PLUGINS:
        kinds = {kind.__name__: _first_line(kind.__doc__) for kind in shipped_kinds(plugin)}
        parts.append(_section(f"{plugin}s (--{plugin}), or a class of your own by its import path", kinds))
    return "\n\n".join(parts)


def _section(title: str, lines: dict[str, str]) -> str:
    width = max(map(len, lines))
    return "\n".join([title, *(f"  {name:<{width}}  {line}" for name, line in lines.items())])


def _first_comment(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]
