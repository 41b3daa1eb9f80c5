"""Keys and passwords kept out of everything that a run writes down."""

import os
import re
from collections.abc import Iterable, Mapping

_SECRET = re.compile(r"(^|_)(key|token|secret|password)$", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(://)[^/\s@]+@")
_SHORTEST = 8
"""Characters; a shorter value of such a variable is hardly a key, and would be found in innocent text."""


def redacted(text: str) -> str:
    """The text without the values of this process's environment variables that are named as keys, nor URLs' users."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, f"[{name}]")
    return _USER_IN_URL.sub(r"\1[user]@", text)


def secret_settings(settings: Mapping[str, object], within: str = "") -> Iterable[str]:
    """Names of settings that hold a key or a URL with a user in it, which would stand in the run's `config.yaml`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from secret_settings(value, f"{within}{name}.")
        elif isinstance(value, str) and ((_SECRET.search(name) and value) or redacted(value) != value):
            yield f"{within}{name}"
