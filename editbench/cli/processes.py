"""Several processes by torchrun, as the launcher starts them: `python -m editbench.cli.processes <its arguments>`.

Each process reports why it ended. torchrun would add a traceback without more information, and end with code 1
whatever the code was.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import psutil

from editbench.cli.command import INCOMPLETE, TOO_MANY_FAILED, USAGE
from editbench.process.parent import PARENT, end_with_parent
from editbench.process.terminal import keep_standard_streams, say
from editbench.process.world import SAY_EVERY_S

_NUM_TRIES = 3
"""Of a rendezvous whose store goes away: it may be that of the stage before, which is about to end."""
_AGAIN_AFTER_S = 2.0
_LOOK_EVERY_S = 0.2


def launch(argv: Sequence[str]) -> int:
    """Start the processes and wait for them.

    Args:
        argv: torchrun's arguments.

    Returns:
        The exit code of the process that failed first where it is 1 or 2, else 3; 0 when all ended with 0. 3 as well
        where the machines do not find each other.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError, RendezvousError
    from torch.distributed.run import get_args_parser, run

    _silence()
    args = get_args_parser().parse_args(argv)
    for left in reversed(range(_NUM_TRIES)):
        done, started = threading.Event(), threading.Event()
        threading.Thread(target=_say_waiting, args=(args, done, started), name="waiting", daemon=True).start()
        try:
            run(args)
            return 0
        except ChildFailedError as error:
            return _exit_code(*error.get_first_failure())
        except SignalException as stopped:
            return 128 + stopped.sigval
        except RendezvousConnectionError as error:
            if left == 0 or started.is_set():
                return _no_rendezvous(args, error)
            time.sleep(_AGAIN_AFTER_S)
        except RendezvousError as error:
            return _no_rendezvous(args, error)
        finally:
            done.set()
    raise AssertionError("the last try returns")


def _exit_code(rank: int, first: Any) -> int:
    """The first failure's own code, where that is one of ours; reports the signal of a process that was killed."""
    if first.exitcode < 0:
        say(f"rank {rank} was killed by {signal.Signals(-first.exitcode).name}.")
    return first.exitcode if first.exitcode in (TOO_MANY_FAILED, USAGE) else INCOMPLETE


def _no_rendezvous(args: Any, error: Exception) -> int:
    say(
        f"The {args.nnodes} machines are no longer, or not yet, connected at {_meeting_place(args)} "
        f"({type(error).__name__}): another one is not started, has ended, or cannot be reached. Give the same command "
        "on all of them again."
    )
    return INCOMPLETE


def _meeting_place(args: Any) -> str:
    return args.rdzv_endpoint or f"{args.master_addr}:{args.master_port}"


def _say_waiting(args: Any, done: threading.Event, started: threading.Event) -> None:
    """Until a process is started, which is when the machines have found each other, a line every minute."""
    start = said = time.monotonic()
    while not done.wait(_LOOK_EVERY_S):
        if psutil.Process().children():
            started.set()
            return
        now = time.monotonic()
        if now - said > SAY_EVERY_S:
            said = now
            minutes = (now - start) / 60
            say(
                f"Waiting for the others of {args.nnodes} machines at {_meeting_place(args)}, {minutes:.0f} min so far."
            )


def _silence() -> None:
    """No line of torch's own loggers, each of which has its own handler."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith(("torch.distributed.elastic", "torch.distributed.launcher", "torch.distributed.run")):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def main() -> int:
    """Run torchrun in this process; a signal before it listens ends it at once."""
    keep_standard_streams()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(128 + number))
    end_with_parent()
    os.environ[PARENT] = str(os.getpid())
    return launch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
