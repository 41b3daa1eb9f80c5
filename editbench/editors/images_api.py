"""An editor behind an OpenAI-compatible endpoint: OpenAI, vLLM-Omni, SGLang-Diffusion, or a gateway to others."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from PIL.Image import Image

from editbench.editors.editor import Edited, EditFailed, Editor, EditRefused
from editbench.editors.prompt import plain
from editbench.errors import UsageError
from editbench.images import MAX_BYTES, decode, encode_png
from editbench.models.checkpoints import model_name
from editbench.models.remote import Endpoint, check_server
from editbench.process.faults import reason
from editbench.process.world import World
from editbench.records import Pair

_REFUSED = ("moderation_blocked", "content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation")
_OURS = {"image", "mask", "prompt", "model", "n", "size", "quality", "seed", "stream", "partial_images"}
_SAID = ("quality", "size", "output_format", "background")


@dataclass(kw_only=True)
class ImagesAPI(Editor):
    """A model behind `images/edits`; needs `pip install -e '.[server]'`.

    `num_requests` edits are under way at once from each process, so one process is enough. A request that the server
    can't serve now (408, 429, 5xx, no connection, no answer in time) is sent again, after the time that the server
    names or a growing one; a wrong key, address or model ends the run. A refusal by moderation is a refused edit.
    """

    model: str
    """As the server calls it."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Where the interface begins, such as https://api.openai.com/v1."""
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, where one is needed; the key stands nowhere else."""
    size: str | None = None
    """Of the edited image, such as `1024x1536` or `auto`; None: the server's own choice."""
    quality: str | None = None
    """As the server names it, such as `high`; None: the server's own choice."""
    call: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the request, such as `num_inference_steps: 40` or `input_fidelity: high`."""
    sends_seed: bool = False
    """Send the edit's seed as `seed`: vLLM-Omni and SGLang-Diffusion take it, OpenAI refuses the field."""
    num_requests: int = 16
    """Requests at once, in each process."""
    timeout_s: float = 600.0
    """Longest time of one request, its answer included, seconds."""
    num_attempts: int = 6
    """Of one request, the first included."""
    prices: dict[str, float] = field(default_factory=dict[str, float])
    """What a unit costs: `image`, or a field of the server's usage such as `output_tokens` or
    `input_tokens_details.image_tokens`; the sum over them is an edit's price."""
    currency: str = "USD"
    """Of the prices."""

    neutral: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "key_variable", "num_requests", "timeout_s", "num_attempts", "prices", "currency"}
    )
    max_sources: ClassVar[int | None] = 16

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    @property
    def num_at_once(self) -> int:
        """As many as requests."""
        return self.num_requests

    def check(self) -> None:
        """The client is there, the settings are in range and hold no secret, for they are written down."""
        check_server(self.base_url, self.key_variable)
        for name in ("num_requests", "timeout_s", "num_attempts"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        if taken := sorted(_OURS & set(self.call)):
            raise UsageError(f"call: {', '.join(taken)} is set by the editor; use its own setting, or leave it out")
        if below := [unit for unit, price in self.prices.items() if not price >= 0]:
            raise UsageError(f"prices: {', '.join(below)} must be 0 or more")
        if self.currency != type(self).currency and not self.prices:
            raise UsageError(f"currency {self.currency}: there are no prices; give them, or leave it out")

    def load(self, world: World) -> str:
        """Make the client; no request yet."""
        self._endpoint = Endpoint(
            base_url=self.base_url,
            key_variable=self.key_variable,
            model=self.model,
            timeout_s=self.timeout_s,
            num_requests=self.num_requests,
            num_attempts=self.num_attempts,
            max_bytes=2 * MAX_BYTES,  # base64 takes 4/3, and a server may add its own words
        )
        return f"server {urlsplit(self.base_url).hostname}"

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Edited:
        """One request, sent again as long as that may help."""
        from openai import APIError, APIStatusError

        prompt = plain(pair.instruction)
        files = [(f"source_{number}.png", encode_png(source), "image/png") for number, source in enumerate(sources, 1)]
        wanted: dict[str, Any] = {"size": self.size, "quality": self.quality}
        extra = {**self.call, **({"seed": seed % 2**31} if self.sends_seed else {})}

        def request() -> Any:
            return self._endpoint.client.images.edit(
                model=self.model,
                prompt=prompt,
                image=files[0] if len(files) == 1 else files,
                extra_body=extra or None,
                **{name: value for name, value in wanted.items() if value is not None},
            )

        try:
            answer = self._endpoint.ask(request)
        except APIStatusError as error:
            said = self._endpoint.without_key(reason(error))
            if error.code in _REFUSED or any(word in str(error.body) for word in _REFUSED):
                raise EditRefused(f"refused: {said}") from None  # the server's words may hold the key
            raise EditFailed(said) from None
        except (APIError, ValueError) as error:  # ValueError: a body that is no JSON, or over the limits
            raise EditFailed(self._endpoint.without_key(reason(error))) from None
        details = self._details(answer) | ({"seed": extra["seed"]} if self.sends_seed else {})
        try:
            image = _picture(answer)
        except ValueError as error:
            raise EditFailed(self._endpoint.without_key(str(error))[:500], details) from None
        return Edited(image=image, prompt=None if prompt == pair.instruction else prompt, details=details)

    def _details(self, answer: Any) -> dict[str, Any]:
        """What the server says of the answer, and its price."""
        usage = _usage(answer)
        said: dict[str, Any] = {name: getattr(answer, name, None) for name in ("model", *_SAID)}
        found: dict[str, Any] = {"model": self.model}
        texts = {name: value for name, value in said.items() if isinstance(value, str)}
        found |= {name: self._endpoint.without_key(text)[:200] for name, text in texts.items()}
        first: Any = next(iter(_data(answer)), None)
        revised = getattr(first, "revised_prompt", None)
        if isinstance(revised, str):
            found["revised_prompt"] = self._endpoint.without_key(revised)[:10_000]
        if usage:
            found["usage"] = usage
        if self.prices:
            found |= {"price": self._price(usage), "currency": self.currency}
        return found

    def _price(self, usage: Mapping[str, Any]) -> float | None:
        """The sum over the priced units; None where the server does not say how many of one it used."""
        total = 0.0
        for unit, price in self.prices.items():
            number: Any = 1 if unit == "image" else usage
            for part in [] if unit == "image" else unit.split("."):
                number = cast(Mapping[str, Any], number).get(part) if isinstance(number, Mapping) else None
            if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
                return None
            total += price * number
        return round(total, 9)


def _data(answer: Any) -> list[Any]:
    data: Any = getattr(answer, "data", None)  # the client builds what the server sends, of whatever types
    return cast(list[Any], data) if isinstance(data, list) else []


def _usage(answer: Any) -> dict[str, Any]:
    """The numbers of the server's usage, whatever their names, one level deep in a group."""
    usage: Any = getattr(answer, "usage", None)
    row: Any = usage.to_dict() if hasattr(usage, "to_dict") else usage
    if not isinstance(row, dict):
        return {}
    return _numbers(cast(dict[str, Any], row), 2)


def _numbers(row: Mapping[str, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in list(row.items())[:20]:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[str(name)[:60]] = value
        elif isinstance(value, dict) and depth > 1:
            found[str(name)[:60]] = _numbers(cast(dict[str, Any], value), depth - 1)
    return found


def _picture(answer: Any) -> Image:
    """The one picture of an answer.

    Raises:
        ValueError: there is none, there are several, or it can't be read.
    """
    data = _data(answer)
    if len(data) != 1:
        said = getattr(answer, "error", None) or f"{len(data)} pictures"
        raise ValueError(f"an answer without its one picture: {str(said)[:200]}")
    text, url = getattr(data[0], "b64_json", None), getattr(data[0], "url", None)
    if not isinstance(text, str) and isinstance(url, str) and url.startswith("data:"):
        text = url.partition("base64,")[2]
    if not isinstance(text, str):
        raise ValueError(
            "the server answers with an address, which is not followed; ask for the picture itself: "
            "--editor.init_args.call.response_format b64_json"
            if isinstance(url, str)
            else f"an answer whose picture is {type(text).__name__}"
        )
    try:
        return decode(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the answer's picture {error}") from error
