"""Keys and passwords kept out of everything that a run writes down."""

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

# `key`, `pat` and `pwd` only as a word of their own: not `monkey`, and not PWD, which is where the process works
_SECRET = re.compile(
    r"(api_?key|token|secret|password|passwd|passphrase|authorization|(^|[_\W])key|[_\W]pat|[_\W]pwd)$", re.IGNORECASE
)
_IN_TEXT = (
    (re.compile(r"(://)[^/\s@]+@"), r"\1[user]@"),
    (re.compile(r"([?&][\w.-]*(?:key|token|secret|password|sig|signature)=)[^\[&\s\"'#][^&\s\"'#]*", re.I), r"\1[key]"),
    (
        re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token) +)?)[^\[\s\"',}][^\s\"',}]*", re.I),
        r"\1[key]",
    ),
)
"""A URL's user and password, a key in its query, and what a header names its bearer by."""
_SHORTEST = 8
"""Characters; a shorter value of such a variable is hardly a key, and would be found in innocent text."""


def redacted(text: str) -> str:
    """The text without keys: those of this process's environment, and those that URLs and headers hold."""
    held = {value: name for name, value in os.environ.items() if _SECRET.search(name) and len(value) >= _SHORTEST}
    for value in sorted(held, key=len, reverse=True):  # one key may begin as another does
        for spelling in (value, quote(value, safe="")):
            text = text.replace(spelling, f"[{held[value]}]")
    for pattern, instead in _IN_TEXT:
        text = pattern.sub(instead, text)
    return text


def secret_settings(settings: Mapping[str, object]) -> Iterable[str]:
    """Names of settings that hold a key, at any depth, which would stand in the run's `config.yaml`."""
    for name, value in settings.items():
        yield from _secret(name, value)


def _secret(name: str, value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _secret(f"{name}.{inner}", one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secret(name, one)
    elif isinstance(value, str) and value and (_SECRET.search(name) or redacted(value) != value):
        yield name
