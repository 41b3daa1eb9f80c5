"""A process that a launcher started ends with it, also where the launcher is killed without a word."""

import ctypes
import os
import signal
import sys

PARENT = "EDITBENCH_PARENT"
"""The variable by which our launcher gives its process id to the processes that it starts."""
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
