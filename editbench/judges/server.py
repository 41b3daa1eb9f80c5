"""A judge behind an OpenAI-compatible endpoint: vLLM, SGLang, or a hosted model."""

import base64
import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from editbench.errors import UsageError
from editbench.images import encode_png
from editbench.judges.judge import Judge, Message, Reply, Way
from editbench.judges.pictures import scaled
from editbench.models.checkpoints import model_name
from editbench.models.remote import Endpoint, check_server
from editbench.process.faults import reason
from editbench.process.world import World

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

log = logging.getLogger(__name__)

_PATCH = 16  # Qwen3-VL's; for others a harmless rounding of the pictures' sides
_MAX_BYTES = 4 * 2**20  # a long reply with the probabilities of its tokens has some hundred kilobytes
_PROBE_S = 20.0
_MOST_NAMED = 10
_TOP = 20  # as many of the likeliest tokens as the interface tells


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sent(Message):
    """A message as it is sent."""

    body: Any


@dataclass(kw_only=True)
class Server(Judge):
    """A model that a server runs; needs the packages of the extra `server`.

    Before the first request the server's list of models is asked for. Requests go out side by side. One that the server
    can't serve now (429, 5xx, no connection, no answer in time) is sent again, after the time that the server names or
    a growing one; a wrong key, address or model ends the run.
    """

    model: str
    """As the server calls it."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Where its interface begins."""
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, where one is needed; a key stands nowhere else."""
    max_new_tokens: int = 128
    """Limit of a reply, tokens, where the rubric's question sets none; a reply that reaches it is truncated."""
    temperature: float = 0.7
    """Of the samples that `--repeats` asks for; above 0."""
    num_requests: int = 32
    """So many at once, in each process."""
    timeout_s: float = 120.0
    """The longest time that a request may take, answer and all, seconds."""
    num_attempts: int = 6
    """Of one request, the first with them."""

    neutral: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "key_variable", "num_requests", "timeout_s", "num_attempts"}
    )
    offers: ClassVar[frozenset[Way]] = frozenset({"samples", "probabilities"})

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    def check(self) -> None:
        """The client is there, and the settings hold no secret, for they are written down."""
        check_server(self.base_url, self.key_variable)
        for name in ("max_new_tokens", "temperature", "num_requests", "timeout_s", "num_attempts"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")

    def weight_bytes(self) -> int | None:
        """None of ours: the server has them."""
        return 0

    def load(self, world: World) -> str:
        """Make the client and see that the server is there and has the model.

        Raises:
            UsageError: no server answers, or it refuses the key, the address or the model.
        """
        self._endpoint = Endpoint(
            base_url=self.base_url,
            key_variable=self.key_variable,
            model=self.model,
            timeout_s=self.timeout_s,
            num_requests=self.num_requests,
            num_attempts=self.num_attempts,
            max_bytes=_MAX_BYTES,
        )
        self._pool = ThreadPoolExecutor(self.num_requests, "request")
        self._answers_as: str | None = None
        self._probe()
        return f"server {urlsplit(self.base_url).hostname}"

    def _probe(self) -> None:
        """Ask for the list of models; a model that is not on it, for one token."""
        import stamina
        from openai import APIConnectionError, APIError, APIStatusError

        client = self._endpoint.client.with_options(timeout=min(self.timeout_s, _PROBE_S))
        names: list[str] = []
        try:
            for attempt in stamina.retry_context(on=APIConnectionError, attempts=2, wait_initial=1.0):
                with attempt:
                    names = [str(model.id) for model in client.models.list().data or ()]
        except APIConnectionError as error:
            said = self._endpoint.without_key(reason(error))
            raise UsageError(f"no server answers at {self.base_url}: {said}{_proxies(self.base_url)}") from None
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise UsageError(self._endpoint.why_stop(error)) from None
            if error.status_code == 404 and not urlsplit(self.base_url).path.rstrip("/"):
                said = f"{self.base_url}/models is not there (404)"
                raise UsageError(f"{said}; most servers' interface begins at {self.base_url.rstrip('/')}/v1") from None
            log.info("%s lists no models (%d).", self.base_url, error.status_code)
        except (APIError, ValueError, TypeError, AttributeError) as error:  # a list of another form
            log.info(
                "%s lists no models that can be read: %s", self.base_url, self._endpoint.without_key(reason(error))
            )
        if not names or self.model in names:
            return
        create: Any = client.with_options(timeout=self.timeout_s).chat.completions.create
        try:
            create(model=self.model, messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
        except APIStatusError as error:
            if error.status_code in (400, 404):
                some = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
                raise UsageError(f"{self.base_url} has no model {self.model}; it has {some}") from None
            if why := self._endpoint.why_stop(error):
                raise UsageError(why) from None
        except APIError as error:
            log.warning("%s does not list %s: %s", self.base_url, self.model, self._endpoint.without_key(reason(error)))

    def num_at_once(self) -> int | None:
        """Twice what is under way at once, so that a slow reply does not leave the server idle."""
        return 2 * self.num_requests

    def prepare(self, message: Message) -> Message:
        """Scale the pictures and put them into the request as PNG."""
        message = scaled(message, _PATCH)
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {
                "type": "image_url",
                "image_url": {"url": f"data:image/png;base64,{base64.b64encode(encode_png(part)).decode()}"},
            }
            for part in message.content
        ]
        system = [{"role": "system", "content": message.system}] if message.system else []
        body = [*system, {"role": "user", "content": content}]
        return _Sent(**{item.name: getattr(message, item.name) for item in fields(message)}, body=body)

    def replies(self, messages: Sequence[Message]) -> list[Reply]:
        """One request a message, at temperature 0."""

        def ask(message: Message) -> Reply:
            return self._ask(message, {"temperature": 0.0, "max_tokens": self._limit(message)}, _read)

        return list(self._pool.map(ask, messages))

    def samples(self, messages: Sequence[Message], seeds: Sequence[Sequence[int]]) -> list[list[Reply]]:
        """One request a sample; how far a server follows a seed is its own affair."""

        def ask(message: Message, seed: int) -> Reply:
            wanted = {"temperature": self.temperature, "max_tokens": self._limit(message), "seed": seed % 2**31}
            return self._ask(message, wanted, _read)

        repeated = [message for message, of_one in zip(messages, seeds, strict=True) for _ in of_one]
        replies = self._pool.map(ask, repeated, [seed for of_one in seeds for seed in of_one])
        return [[next(replies) for _ in of_one] for of_one in seeds]

    def probabilities(self, messages: Sequence[Message]) -> list[Reply]:
        """One request a message for one token and the 20 likeliest; a digit that is not among them counts as 0."""
        wanted = {"temperature": 0.0, "max_tokens": 1, "logprobs": True, "top_logprobs": _TOP}

        def ask(message: Message) -> Reply:
            return self._ask(message, wanted, partial(_read_probabilities, digits=message.digits))

        return list(self._pool.map(ask, messages))

    def _limit(self, message: Message) -> int:
        return message.max_new_tokens or self.max_new_tokens

    def _ask(self, message: Message, wanted: dict[str, Any], read: Callable[["ChatCompletion"], Reply]) -> Reply:
        """Send a request until it is answered; what can't be answered is a reply that says why.

        Raises:
            UsageError: the server refuses the key, or does not know the address or the model.
        """
        from openai import APIError

        assert isinstance(message, _Sent)  # by `prepare`
        create: Any = self._endpoint.client.chat.completions.create

        def request() -> Reply:
            return read(create(model=self.model, messages=message.body, **wanted))

        try:
            return self._notice(self._endpoint.ask(request))
        except (APIError, ValueError) as error:  # ValueError: a body that is no JSON, or no answer
            return self._failed(error)

    def _failed(self, error: Exception) -> Reply:
        return Reply(text="", failure="error", detail=self._endpoint.without_key(reason(error)))

    def _notice(self, reply: Reply) -> Reply:
        """Say once when another model answers than was asked for."""
        if reply.model and self._answers_as is None:
            self._answers_as = reply.model
            asked, answers = (name.rpartition("/")[2].lower() for name in (self.model, reply.model))
            if not (asked.startswith(answers) or answers.startswith(asked)):
                log.warning("%s was asked for %s, and %s answers.", self.base_url, self.model, reply.model)
        return reply


class _Lie(ValueError):
    """An answer that is none, although the server calls it a success."""


def _proxies(base_url: str) -> str:
    """The proxy variables that may stand between here and a server of this machine; empty: none do."""
    host = urlsplit(base_url).hostname or ""
    if host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0"):
        return ""
    names = ("http_proxy", "https_proxy", "all_proxy")
    found = [name for one in names for name in (one, one.upper()) if os.environ.get(name)]
    exempt = f"{os.environ.get('no_proxy', '')},{os.environ.get('NO_PROXY', '')}"
    return f"; {', '.join(found)} is set: export NO_PROXY={host}" if found and host not in exempt else ""


def _choice(completion: Any) -> Any:
    choices = getattr(completion, "choices", None)
    # the client builds what the server sends, of whatever types
    if not isinstance(choices, list) or not choices or not hasattr(choices[0], "message") or not choices[0].message:
        said = getattr(completion, "error", None) or completion
        raise _Lie(f"an answer without a choice: {str(said)[:200]}")
    return choices[0]


def _read(completion: "ChatCompletion") -> Reply:
    choice = _choice(completion)
    text, ended, model = choice.message.content, choice.finish_reason, str(completion.model)
    if choice.message.refusal or ended == "content_filter":
        said = str(choice.message.refusal or text or "")
        return Reply(text=said, truncated=False, failure="refused", detail="the server declined", model=model)
    if text is None and ended == "length":  # a model that thinks, up to the limit
        text = ""
    if ended not in ("stop", "length") or not isinstance(text, str):
        raise _Lie(f"finish_reason {ended!r} with {type(text).__name__} as text")
    return Reply(text=text, truncated=ended == "length", model=model)


def _read_probabilities(completion: "ChatCompletion", digits: Sequence[str]) -> Reply:
    choice = _choice(completion)
    told = choice.logprobs.content if choice.logprobs else None
    if not told or not told[0].top_logprobs:
        raise _Lie("no log-probabilities, which an expected score needs")
    found = {one.token: math.exp(one.logprob) for one in told[0].top_logprobs}
    shares = tuple(found.get(digit, 0.0) for digit in digits)
    return Reply(text=told[0].token, truncated=False, probabilities=shares, model=str(completion.model))
