"""How a command ends: with the exit code that says whether to change the call, to wait, or to repeat the command."""

import logging
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from editbench.cli.options import parse
from editbench.cli.trust import remember
from editbench.config import Config
from editbench.errors import UsageError
from editbench.process.encoding import use_utf8
from editbench.process.parent import end_with_parent, whole_work
from editbench.process.signals import Stopped, stop_on_signals
from editbench.process.terminal import keep_standard_streams, say
from editbench.process.world import RefusedByRank0, World

TOO_MANY_FAILED = 1
USAGE = 2
INCOMPLETE = 3


def run(
    stage: Callable[[Config, World], int],
    description: str,
    *,
    from_run: bool,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
) -> int:
    """Parse the command line and run a stage; `ended` says what the exit code means.

    Args:
        stage: takes the configuration and this process's place, returns an exit code.
        description: what `--help` begins with.
        from_run: whether the run's own `config.yaml` gives what the command line leaves out.
        argv: the arguments, without the command's name; None: those of the process.
        prog: the command's name in `--help`; None: the script's.
    """
    start_process()
    world = World.from_torchrun() or World()  # until the configuration names the launcher

    @whole_work()
    def work() -> int:
        nonlocal world
        config = parse(description, argv, from_run=from_run, prog=prog)
        world = World.from_env(config.launcher)
        if world.rank == 0 and not config.check:
            remember(config)
        try:
            code = stage(config, world)
        except SystemExit as left:
            raise RuntimeError(f"a plug-in or a library called sys.exit({left.code!r})") from left
        world.leave()
        return code

    return ended(work, lambda: world)


def start_process() -> None:
    """What every command does first: signals, its parent's end, and a terminal that may go away."""
    use_utf8()
    keep_standard_streams()
    stop_on_signals()
    end_with_parent()


def ended(work: Callable[[], int], world: Callable[[], World] = World) -> int:
    """Run a command's work; errors go to the terminal, with the rank where there are several.

    Args:
        work: returns the exit code.
        world: this process's place, as far as it is known when something goes wrong.

    Returns:
        The work's exit code (0 or 1), 2 for what the user must change, or 3 where the command could not finish and the
        same one will continue. A signal ends the process here, with 128 and its number. SystemExit passes: `--help`
        ends so.
    """
    try:
        return work()
    except RefusedByRank0 as refused:
        here = world()
        if here.local_rank == 0 and here.num_nodes > 1:  # rank 0's terminal is another machine's
            say(f"rank {here.rank}: {refused}")
        return USAGE
    except UsageError as error:
        here = world()
        if here.is_first_to_say(str(error)):
            say(_by(here, str(error)))
        return USAGE
    except Stopped as stopped:
        logging.shutdown()
        os._exit(stopped.code)  # the interpreter would wait for threads that have work left
    except OSError as error:
        here, line = world(), _line(error)
        _to_log_file(line)
        if here.is_first_to_say(line):
            say(_by(here, line))
        return INCOMPLETE
    except Exception:
        _to_log_file("unexpected error")
        say(_by(world(), traceback.format_exc()))
        return INCOMPLETE


def _to_log_file(line: str) -> None:
    """With the traceback; the terminal gets what its reader needs."""
    root = logging.getLogger()  # whose only handler is the file
    if root.handlers:
        root.error("%s", line, exc_info=True)


def _by(world: World, text: str) -> str:
    return text if world.size == 1 else f"rank {world.rank}: {text}"


def _line(error: OSError) -> str:
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
        f"{error.strerror}: {error.filename} ({free} free there). What is finished is kept; make room or repair "
        "that, and give the same command again."
    )
