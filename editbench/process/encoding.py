"""File names of any script, whatever the locale."""

import os
import sys


def use_utf8() -> None:
    """Start this process again in Python's UTF-8 mode where the locale has no Chinese: pair ids become file names.

    The terminal keeps the locale's encoding; what it lacks is shown as an escape.
    """
    try:
        "物".encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.getfilesystemencoding()}:backslashreplace")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
