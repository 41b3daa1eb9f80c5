"""Several processes by torchrun, as launch.sh starts them: `python -m editbench.cli.processes <torchrun's arguments>`.

Each process has said itself why it ended, and with which code. torchrun would put a traceback of its own below that,
which tells nothing, and end with 1 whatever the code was.
"""

import signal
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import main

from editbench.cli.command import INCOMPLETE, TOO_MANY_FAILED, USAGE


def exit_code(rank: int, first: ProcessFailure) -> int:
    """The first failure's own code, where that is one of ours; of a process that could say nothing, it is said here."""
    if first.exitcode < 0:
        sys.stderr.write(f"rank {rank} was killed by {signal.Signals(-first.exitcode).name}.\n")
    return first.exitcode if first.exitcode in (TOO_MANY_FAILED, USAGE) else INCOMPLETE


if __name__ == "__main__":
    try:
        main()
    except ChildFailedError as error:
        sys.exit(exit_code(*error.get_first_failure()))
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
