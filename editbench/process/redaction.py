"""Keys and passwords kept out of everything that a run writes."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from urllib.parse import quote

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SECRET_WORDS = {
    *("key", "keys", "pat", "pass", "pw", "pwd", "auth", "cred", "creds", "credential", "credentials", "bearer"),
    *("cookie", "jwt", "sig", "signature", "dsn", "webhook"),
}
_SECRET_ENDS = ("apikey", "token", "tokens", "secret", "secrets", "password", "passwd", "passphrase", "authorization")
_PLACES = frozenset({"PWD", "OLDPWD"})  # where a shell works
_SETTINGS = {
    *("api_key", "apikey", "x_api_key", "access_key", "secret_key", "private_key", "token", "api_token"),
    *("access_token", "auth_token", "hf_token", "secret", "client_secret", "password", "passwd", "passphrase"),
    "authorization",
}
"""A setting of such a name holds a key, unless its class says otherwise."""
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[\w-]{16,}|hf_\w{16,}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[A-Z0-9]{16}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,})"
)
"""Keys as well-known services issue them."""
_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_CLASSES = (str.isdigit, str.isupper, str.islower)
_CHANGES = 0.42
"""Of the neighbours in a random text of letters and digits 0.62 differ in class (digit, upper, lower); in names of
words joined as in CamelCase 0.36 or fewer."""
_IN_TEXT = (
    (re.compile(r"(://)[^/\s@]+@"), r"\1[user]@"),
    (re.compile(r"([?&][\w.-]*(?:key|token|secret|password|sig|signature)=)[^\[&\s\"'#][^&\s\"'#]*", re.I), r"\1[key]"),
    (
        re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token) +)?)[^\[\s\"',}][^\s\"',}]*", re.I),
        r"\1[key]",
    ),
    (_ISSUED, "[key]"),
)
"""A URL's user and password, a key in its query, the value of an authorization header, and issued keys."""
_SHORTEST = 8
"""Characters; a shorter value is hardly a key, and would be found in innocent text."""


def redacted(text: str) -> str:
    """The text without keys: those of this process's environment, and those that can be seen to be keys."""
    held = {value: name for name, value in os.environ.items() if _is_secret(name, value)}
    for value in sorted(held, key=len, reverse=True):  # one key may begin as another does
        for spelling in (value, quote(value, safe="")):
            text = text.replace(spelling, f"[{held[value]}]")
    for pattern, instead in _IN_TEXT:
        text = pattern.sub(instead, text)
    return text


def secret_settings(settings: Mapping[str, object], declared: Collection[str] | None = None) -> Iterable[str]:
    """Names of settings, at any depth, whose value would put a key into the run's `config.yaml`.

    Args:
        settings: names and values.
        declared: names of the settings that hold keys, as their class says; None: it does not say, and a list of common
            names counts. A value that can be seen to be a key counts under any name.
    """
    names = _SETTINGS if declared is None else set(declared)
    for name, value in settings.items():
        yield from _secret(name, value, names)


def _secret(name: str, value: object, names: set[str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _secret(f"{name}.{inner}", one, names)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secret(name, one, names)
    elif isinstance(value, str) and value:
        is_named = name.rpartition(".")[2].lower().replace("-", "_") in names
        if is_named or _is_random(value) or redacted(value) != value:
            yield name


def _is_secret(name: str, value: str) -> bool:
    """Whether the value of an environment variable is a key, by the variable's name or by the value itself."""
    if len(value) < _SHORTEST or name in _PLACES or os.path.exists(value):
        return False
    words = [word.lower() for word in _WORDS.findall(name)]
    is_named = any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in words)
    return is_named or name.lower().endswith(_SECRET_ENDS) or _ISSUED.search(value) is not None or _is_random(value)


def _is_random(text: str) -> bool:
    """Whether it holds a run of letters and digits as random as a key: 20 or more, of all three classes, mixed."""
    for run in _RUN.findall(text):
        classes = [next(n for n, holds in enumerate(_CLASSES) if holds(character)) for character in run]
        changes = sum(left != right for left, right in pairwise(classes))
        if len(set(classes)) == 3 and classes.count(0) >= 2 and changes >= _CHANGES * (len(run) - 1):
            return True
    return False
