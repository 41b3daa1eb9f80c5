"""What a launcher and the processes that it starts know of each other's end."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

from editbench.process.terminal import say
from editbench.process.watchdog import CODE

PARENT = "EDITBENCH_PARENT"
"""The variable by which our launcher gives its process id to the processes that it starts."""
FINISHED = "EDITBENCH_FINISHED"
"""The variable by which our launcher names a folder: each process leaves a file there when its work is done."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when the launcher that started it ends; Linux only.

    A process that nobody launched (started in a shell, perhaps with nohup) outlives its shell as ever.
    """
    expected = os.environ.pop(PARENT, None)
    if (expected is None and "TORCHELASTIC_RUN_ID" not in os.environ) or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if expected is not None and os.getppid() != int(expected):  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def whole_work() -> Generator[None]:
    """Within the context `os._exit(0)` ends this process with 3 and a line; a process forked from it may end so.

    That call passes every exception handler, so that a plug-in could end a stage with 0 in the middle. An exit that
    Python does not see is noticed by the launcher, in whose folder this process leaves a file after the context.
    """
    folder, pid, end = os.environ.pop(FINISHED, None), os.getpid(), os._exit

    def refuse(code: int) -> None:
        if code == 0 and os.getpid() == pid:
            say("A plug-in or a library called os._exit(0). The same command continues.")
            code = CODE
        end(code)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = end
    if folder is not None:
        (Path(folder) / str(pid)).touch()
