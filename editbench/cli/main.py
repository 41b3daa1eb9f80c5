"""The command `editbench`, also `python -m editbench`: one subcommand for each stage, and a few for looking around."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from editbench import __version__

COMMANDS = {
    "run": "edit, score and report in one go, on all GPUs",
    "edit": "edit the pairs of a benchmark",
    "score": "score the edits of a run with a judge",
    "report": "report a run, or several side by side",
    "agreement": "say how far a judge agrees with people",
    "export": "write edits under the names that a benchmark's own scripts look for",
    "push": "put a run on the Hugging Face hub: a dataset with pictures, and results",
    "ls": "list configurations, editors, judges and rubrics",
    "bench": "measure speed and growth on this machine",
}
_USAGE = "\n".join(
    [
        "usage: editbench COMMAND [options], editbench COMMAND --help, editbench --version",
        "",
        "Measures how well a model edits images on instruction.",
        "",
        "    editbench run                                                   the embedded demo",
        "    editbench run --benchmark bench.json --run_dir runs/qwen        the real models",
        "",
        *(f"  {name:<10} {what}" for name, what in COMMANDS.items()),
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    first, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    rest = rest[:-1]
    if first in ("", "-h", "--help"):
        print(_USAGE)  # noqa: T201
        return 0 if first else 2
    if first == "--version":
        print(f"editbench {__version__}")  # noqa: T201
        return 0
    if first not in COMMANDS:
        sys.stderr.write(f"{_USAGE}\n\nNo such command: {first}\n")
        return 2
    return _START[first](rest)


def edit(argv: Sequence[str], *, is_judged: bool = False) -> int:
    """Edit the pairs of a benchmark, this process its share.

    Args:
        argv: the arguments after `edit`.
        is_judged: whether pairs that the configured judge and rubric cannot judge are refused.
    """
    description = """Edit the pairs of a benchmark, each process its share on its own GPU.

    editbench edit --benchmark bench.json --run_dir runs/qwen
    torchrun --nproc_per_node=6 -m editbench edit --benchmark bench.json --run_dir runs/qwen

Started again with the same arguments it continues where it stopped."""
    return _stage("edit", description, argv, from_run=False, is_judged=is_judged)


def score(argv: Sequence[str]) -> int:
    """Score the edits of a run with a judge, this process its share."""
    description = """Score the edits of a run with a vision-language judge.

    editbench score --run_dir runs/qwen                                     one judge over all GPUs
    torchrun --nproc_per_node=6 -m editbench score --run_dir runs/qwen      one judge a process

What is not given is taken from the run's own config.yaml."""
    return _stage("score", description, argv, from_run=True)


def report(argv: Sequence[str]) -> int:
    """Report a run, or several."""
    description = """Report a run, or several side by side: report.md, report.json, report.html and plots.

    editbench report --run_dir runs/qwen
    editbench report --run_dir runs/qwen runs/flux --out runs/qwen-and-flux"""
    return _stage("report", description, argv, from_run=False)


def run(argv: Sequence[str]) -> int:
    """All stages in one go; `--help`, `--print_config` and `--check` need only the first.

    The launcher begins with `--check`.
    """
    if any(
        word in ("-h", "--help") or word.startswith(("--check", "--print_config")) or ".help" in word for word in argv
    ):
        os.environ.pop("SLURM_PROCID", None)  # as for the children of the launcher
        return edit(argv, is_judged=True)
    from editbench.cli.launcher import run

    return run(argv)


def _stage(name: str, description: str, argv: Sequence[str], *, from_run: bool, **more: Any) -> int:
    from editbench.cli.command import run

    stage = partial(getattr(import_module(f"editbench.stages.{name}"), name), **more)
    return run(stage, description, from_run=from_run, argv=argv, prog=f"editbench {name}")


def _agreement(argv: Sequence[str]) -> int:
    from editbench.cli.command import ended, start_process
    from editbench.stages.agreement import main

    start_process()
    return ended(lambda: main(argv))


def export(argv: Sequence[str]) -> int:
    """Write a run's edits under official names."""
    import argparse

    description = """Write a run's edits under the names that a benchmark's own scripts look for.

    editbench export --layout official --run_dir runs/rise --out outputs/mine

What is not given is taken from the run's own config.yaml."""
    layout = argparse.ArgumentParser(prog="editbench export", add_help=False, allow_abbrev=False)
    layout.add_argument("--layout", choices=["official"], default="official")
    _, rest = layout.parse_known_args(argv)
    return _stage("export", description, rest, from_run=True)


def push(argv: Sequence[str]) -> int:
    """Put a run on the hub."""
    import argparse

    description = """Put a run on the Hugging Face hub, or write what would be put there.

    editbench push hf:owner/name --run_dir runs/qwen --dry_run                   writes runs/qwen/hub, no more
    editbench push hf:owner/name --run_dir runs/qwen                             a private dataset
    editbench push hf:owner/name --run_dir runs/qwen --public --model hf:owner/model

The dataset holds each pair with its pictures, scores and the judge's replies; its card is the report. --model proposes
the headlines to the page of the model that made the edits."""
    own = argparse.ArgumentParser(prog="editbench push", add_help=False, allow_abbrev=False)
    own.add_argument("--dry_run", action="store_true")
    own.add_argument("--public", action="store_true")
    own.add_argument("--model")
    given, rest = own.parse_known_args(argv)
    repository, *options = rest or [""]
    if repository in ("-h", "--help"):
        repository, options = "", ["--help"]
    elif not repository.startswith("hf:"):
        sys.stderr.write("editbench push: name the dataset first: editbench push hf:owner/name --run_dir runs/NAME\n")
        return 2
    return _stage("push", description, options, from_run=False, repository=repository, **vars(given))


def _bench(argv: Sequence[str]) -> int:
    from editbench.bench.__main__ import main

    main(argv)
    return 0


def _ls(argv: Sequence[str]) -> int:
    from editbench.cli.listing import listing

    print(listing())  # noqa: T201
    return 0


_START: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "edit": edit,
    "score": score,
    "report": report,
    "agreement": _agreement,
    "export": export,
    "push": push,
    "ls": _ls,
    "bench": _bench,
}
