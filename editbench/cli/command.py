"""How a script ends: with the exit code that says whether to mend something, to wait, or to give the command again."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from editbench.cli.options import parse
from editbench.config import Config
from editbench.errors import UsageError
from editbench.process.console import printable
from editbench.process.redaction import redacted
from editbench.process.signals import Stopped, stop_on_signals
from editbench.process.world import World

log = logging.getLogger(__name__)

TOO_MANY_FAILED = 1
USAGE = 2
INCOMPLETE = 3


def run(stage: Callable[[Config, World], int], description: str, *, from_run: bool) -> int:
    """Parse the command line, run a stage, and tell the user's mistakes, the machine's and ours apart.

    Args:
        stage: takes the configuration and this process's place, returns an exit code.
        description: the script's docstring, shown by `--help`.
        from_run: whether the run's own `config.yaml` speaks for what the command line leaves out.

    Returns:
        The stage's exit code (0 or 1), 2 for a mistake of the user's, told once a machine in a few words, or 3 when the
        stage could not end and the same command will go on with it. A signal ends the process here, with 128 and its
        number.
    """
    world = World.from_env()
    stop_on_signals()
    try:
        code = stage(parse(description, from_run=from_run), world)
    except UsageError as error:
        if world.local_rank == 0:
            _say(str(error))
        code = USAGE
    except Stopped as stopped:
        logging.shutdown()
        os._exit(stopped.code)  # the interpreter would wait for threads that have work left
    except OSError as error:
        log.error(_told(error), exc_info=True)
        if world.rank != 0:  # which has no terminal of its own
            _say(f"rank {world.rank}: {_told(error)}")
        code = INCOMPLETE
    except Exception:
        log.exception("rank %d broke off", world.rank)
        _say(traceback.format_exc())
        code = INCOMPLETE
    return code


def _say(text: str) -> None:
    """To the terminal, or to whatever keeps what it would show: no key, and nothing that moves a cursor."""
    sys.stderr.write(f"{printable(redacted(text))}\n")


def _told(error: OSError) -> str:
    """A failure of the disk or the system in a line, with what to do."""
    if error.filename is None:
        return f"{type(error).__name__}: {error}. What is finished is kept; give the same command again."
    # os.path's, since Path.is_dir raises where a name is too long
    path = Path(error.filename).absolute()
    disk = os.statvfs(next(folder for folder in (path, *path.parents) if os.path.isdir(folder)))
    free = f"{disk.f_bavail * disk.f_frsize / 2**20:,.0f} MiB"
    if disk.f_files:  # some file systems do not count them
        free += f" and {disk.f_favail:,} files"
    return (
        f"{error.strerror}: {error.filename} ({free} free there). What is finished is kept; mend that and give the "
        "same command again."
    )
