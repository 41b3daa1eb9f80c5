"""Requests to an OpenAI-compatible server: a client that trusts no answer's size or time, and when to ask again."""

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from editbench.errors import UsageError
from editbench.installation import install

if TYPE_CHECKING:
    from openai import APIStatusError

T = TypeVar("T")
_FIRST_WAIT_S = 1.0  # it doubles from there
_LONGEST_WAIT_S = 60.0
_STOP = (401, 403, 404)  # no other request would fare better
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")


def check_server(base_url: str, key_variable: str) -> None:
    """See that the client's packages are there and that the address is one and holds no secret.

    Raises:
        UsageError: it says which.
    """
    if find_spec("openai") is None or find_spec("stamina") is None:
        raise UsageError(f"a model behind a server needs two packages more: {install('server')}")
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise UsageError(f"base_url {base_url}: not an address; such as http://127.0.0.1:8000/v1")
    if url.username or url.password or url.query:
        more = f"base_url of {url.hostname} holds more than an address"
        raise UsageError(f"{more}; a key goes into the environment, as {key_variable}")


class Endpoint:
    """A client, and what its errors mean."""

    def __init__(
        self,
        *,
        base_url: str,
        key_variable: str,
        model: str,
        timeout_s: float,
        num_requests: int,
        num_attempts: int,
        max_bytes: int,
    ):
        """Make the client; no request yet.

        Args:
            base_url: where the interface begins.
            key_variable: of the environment; a server without a key takes any.
            model: as the server calls it, for messages.
            timeout_s: longest time that a request may take, answer and all.
            num_requests: most connections at once.
            num_attempts: of one request, the first included.
            max_bytes: largest answer that is read.

        Raises:
            UsageError: a SOCKS proxy is set, and the package that it needs is missing.
        """
        from openai import DefaultHttpxClient, OpenAI

        def limit(response: Any) -> None:
            if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise ValueError("the server sent a compressed answer, which was not asked for")
            response.stream = _limited(response.stream, max_bytes, time.monotonic() + timeout_s)

        self._base_url, self._key_variable, self._model = base_url, key_variable, model
        self._num_attempts = num_attempts
        self._key = os.environ.get(key_variable, "")
        try:
            http: Any = DefaultHttpxClient(
                timeout=timeout_s,
                follow_redirects=False,  # the key goes to the host that the user named
                event_hooks={"response": [limit]},
            )
        except ImportError as error:  # a SOCKS proxy is set and its package is missing
            raise UsageError(f"{error} (pip install socksio, or unset ALL_PROXY and HTTPS_PROXY)") from error
        self.client = OpenAI(
            api_key=self._key or "none",
            base_url=base_url,
            max_retries=0,
            timeout=timeout_s,
            default_headers={"Accept-Encoding": "identity"},
            http_client=http,
        )

    def ask(self, request: Callable[[], T]) -> T:
        """The answer to a request, sent again while the server can't serve it now: 408, 429, 5xx, no connection.

        Raises:
            UsageError: the server refuses the key, has no such model or address, or the account has no money left.
            openai.APIError: another error, or the same after all attempts.
            ValueError: a body that is no answer.
        """
        import stamina
        from openai import APIStatusError

        waits = {"wait_initial": _FIRST_WAIT_S, "wait_max": _LONGEST_WAIT_S, "wait_jitter": _FIRST_WAIT_S}
        try:
            for attempt in stamina.retry_context(on=_wait, attempts=self._num_attempts, timeout=None, **waits):
                with attempt:
                    return request()
        except APIStatusError as error:
            if why := self.why_stop(error):
                raise UsageError(why) from None  # the server's words may hold the key
            raise
        raise AssertionError("an attempt returns or raises")

    def without_key(self, text: str) -> str:
        """The text without this server's key, which a server may repeat."""
        return text.replace(self._key, "…") if self._key else text

    def why_stop(self, error: "APIStatusError") -> str | None:
        """Why no other request would fare better either; None where one may."""
        if error.code in _NO_MONEY:
            return f"{self._base_url}: the account's quota is used up ({error.code}); nothing more can be asked"
        if error.status_code not in _STOP:
            return None
        if error.status_code == 404:
            return (
                f"{self._base_url} has no model {self._model}, or no such interface (404); "
                f"see the names: curl {self._base_url}/models"
            )
        state = "is set, and refused" if self._key else "is not set"
        return f"{self._base_url} wants another key ({error.status_code}): {self._key_variable} {state}"


def _limited(stream: Any, max_bytes: int, end: float) -> Any:
    """The body of an answer, cut off with an error at a number of bytes or a time."""
    import httpx2

    class Limited(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            read = 0
            for part in stream:
                read += len(part)
                if read > max_bytes:
                    raise ValueError(f"the server's answer is over {max_bytes:,} bytes")
                if time.monotonic() > end:
                    raise httpx2.ReadTimeout("the answer took too long")
                yield part

        def close(self) -> None:
            stream.close()

    return Limited()


def _wait(error: Exception) -> bool | float:
    """Whether to send again, or after how many seconds."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIConnectionError):
        return True
    if not isinstance(error, APIStatusError) or error.code in _NO_MONEY:
        return False
    if not (error.status_code in (408, 429) or error.status_code >= 500):
        return False
    named = seconds(error.response.headers.get("retry-after", ""))
    # many requests were answered so at once: not all may come back at the same moment
    return True if named is None else min(named, _LONGEST_WAIT_S) + random.random()


def seconds(retry_after: str) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from now; None: none that can be read."""
    try:
        value = float(retry_after)
    except ValueError:
        try:
            value = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(value, 0.0) if math.isfinite(value) else None
