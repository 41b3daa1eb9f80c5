"""How a script ends: a stage's exit code, or 2 with a line for a mistake of the user's."""

import sys
from collections.abc import Callable

from editbench.config import Config, parse
from editbench.console import printable
from editbench.errors import UsageError
from editbench.world import World


def run(stage: Callable[[Config, World], int], description: str, *, from_run: bool) -> int:
    """Parse the command line, run a stage, and tell the user's mistakes from ours.

    Args:
        stage: takes the configuration and this process's place, returns an exit code.
        description: the script's docstring, shown by `--help`.
        from_run: whether the run's own `config.yaml` speaks for what the command line leaves out.

    Returns:
        The stage's exit code, or 2 for a mistake of the user's, told in a few words on rank 0.
    """
    world = World.from_env()
    try:
        return stage(parse(description, from_run=from_run), world)
    except UsageError as error:
        if world.rank == 0:
            sys.stderr.write(f"{printable(str(error))}\n")
        return 2
