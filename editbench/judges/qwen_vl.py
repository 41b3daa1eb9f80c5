"""Judges that are vision-language models of transformers."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from shutil import which
from typing import Any, ClassVar

from editbench.judges.judge import Message, Reply
from editbench.judges.local import LocalJudge, chat
from editbench.judges.pictures import scaled
from editbench.models.checkpoints import loading, locate
from editbench.models.qwen3_vl.forward import Prompt, Qwen3VL
from editbench.models.qwen3_vl.sampling import Draws, processor
from editbench.process.faults import empty_cache
from editbench.process.world import World

log = logging.getLogger(__name__)

_MOST_ROWS = 64
_SHARE = 0.6  # of the free memory: the activations of a prefill must fit beside
# two pictures of a megapixel are 2,048 tokens of 32 × 32 pixels, the detailed rubric has some hundreds
_PROMPT_TOKENS = 3072


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked(Message):
    """A message as tensors, for a model that `Qwen3VL` takes."""

    prompt: Prompt


@dataclass(kw_only=True)
class QwenVL(LocalJudge):
    """Qwen3-VL, or any other model that transformers' `AutoModelForImageTextToText` loads and that has a chat template.

    Greedy unless it is asked for samples; a reply ends at the model's own end token or at the limit.
    """

    device_map: str = "auto"
    """How accelerate spreads the weights over this process's GPUs."""
    compiled: bool = True
    """Whether Qwen3-VL's prefill is compiled with Inductor, on a GPU; it changes a reply only as rounding can."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device_map", "compiled"})

    def load(self, world: World) -> str:
        """Read the weights straight to this process's share of the GPUs."""
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        device_name = world.claim_device()
        placement: dict[str, Any] = {}
        if world.gpus:
            # naming only our share keeps "auto" off the GPUs of the other ranks
            free = {gpu: torch.cuda.mem_get_info(gpu)[0] for gpu in world.gpus}
            placement = {"device_map": self.device_map, "max_memory": {gpu: int(0.9 * n) for gpu, n in free.items()}}
        where = locate(self.model)
        with loading(self.model):
            processor: Any = AutoProcessor.from_pretrained(where, revision=self.revision, trust_remote_code=False)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                where,
                revision=self.revision,
                dtype=getattr(torch, self.dtype),
                use_safetensors=True,
                trust_remote_code=False,  # said, or transformers asks on the terminal
                **placement,
            )
        self.adopt(model.eval(), processor)
        return device_name

    def adopt(self, model: Any, processor: Any) -> None:
        """Judge with a model and a processor that are loaded already, and that `load` then leaves alone."""
        self._model = model
        self._take_processor(processor)
        self._fast = Qwen3VL(model, compiled=self._can_compile()) if Qwen3VL.takes(model) else None
        ends = model.generation_config.eos_token_id
        self._ends: set[int] = set(ends) if isinstance(ends, list) else {ends}
        self._runs_on = model.device.type  # `ready` does not load; after `load` it is the device's name

    def _can_compile(self) -> bool:
        found = any(map(which, ("cc", "gcc", "clang")))
        if self.compiled and not found and self._model.device.type == "cuda":
            log.warning("No C compiler, which Inductor needs: the judge takes half as long again (install gcc).")
        return self.compiled and found

    def num_at_once(self) -> int | None:
        """As many as have room for their keys and values in the free memory, 64 at most.

        None where transformers' `generate` keeps them.
        """
        import torch

        if self._fast is None or self._model.device.type != "cuda":
            return None
        free = torch.cuda.mem_get_info(self._model.device)[0]
        room = int(_SHARE * free) - self._fast.prefix_bytes
        return max(1, min(_MOST_ROWS, room // self._fast.row_bytes(_PROMPT_TOKENS + self.max_new_tokens)))

    def prepare(self, message: Message) -> Message:
        """Scale the pictures; then tokens and patches, as the model takes them."""
        message = scaled(message, self._patch())
        if self._fast is None:
            return message
        prompt = self._fast.prompt(self._inputs([message]))
        return _Asked(**{item.name: getattr(message, item.name) for item in fields(message)}, prompt=prompt)

    def replies(self, messages: Sequence[Message]) -> list[Reply]:
        """One greedy generation for all messages together."""
        return self._write(messages, [1] * len(messages), lambda logits, step: logits.argmax(-1), None)

    def samples(self, messages: Sequence[Message], seeds: Sequence[Sequence[int]]) -> list[list[Reply]]:
        """All samples of all messages in one generation; each prompt is prefilled once."""
        draws = Draws([seed for of_one in seeds for seed in of_one], self._limit(messages), self.temperature)
        replies = iter(self._write(messages, [len(of_one) for of_one in seeds], draws.choose, draws))
        return [[next(replies) for _ in of_one] for of_one in seeds]

    def probabilities(self, messages: Sequence[Message]) -> list[Reply]:
        """One forward a message and not a token more."""
        import torch

        tokens = self._digit_tokens(messages[0].digits)
        if self._fast is not None:
            logits = self._fast.logits([_prompt(message) for message in messages])
        else:
            with torch.inference_mode():
                logits = self._model(**self._batch(messages), logits_to_keep=1).logits[:, -1].float()
        shares = logits.softmax(-1)[:, tokens].tolist()
        likeliest = [self._text([token]) for token in logits.argmax(-1).tolist()]
        return [Reply(text=text, probabilities=tuple(row)) for text, row in zip(likeliest, shares, strict=True)]

    def _write(
        self,
        messages: Sequence[Message],
        num_replies: Sequence[int],
        choose: Callable[[Any, int], Any],
        draws: Draws | None,
    ) -> list[Reply]:
        replies = self._write_fast(messages, num_replies, choose)
        if replies is None:
            repeated = [one for one, number in zip(messages, num_replies, strict=True) for _ in range(number)]
            replies = self._generate(repeated, draws)
        return [self._reply(tokens) for tokens in replies]

    def _write_fast(
        self, messages: Sequence[Message], num_replies: Sequence[int], choose: Callable[[Any, int], Any]
    ) -> list[list[int]] | None:
        """By `Qwen3VL`; None where it does not take the model, or has no room for a single long prompt."""
        import torch

        if self._fast is None:
            return None
        prompts = [_prompt(message) for message in messages]
        try:
            return self._fast.write(prompts, num_replies, choose, self._is_whole, self._limit(messages))
        except torch.OutOfMemoryError:
            if len(messages) > 1:
                raise  # the stage asks again in halves
        log.warning("No room beside the caches for a prompt of %d tokens: they are emptied.", len(prompts[0].ids))
        self._fast.free()
        empty_cache()
        return None

    def _generate(self, messages: Sequence[Message], draws: Draws | None) -> list[list[int]]:
        """By transformers' own loop, for models that `Qwen3VL` does not take; padded on the left."""
        import torch

        inputs = self._batch(messages)
        start = inputs["input_ids"].shape[1]
        # the checkpoint's own sampling settings would be warned about, and must not matter
        greedy: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if draws is not None:
            greedy["logits_processor"] = [processor(draws, start)]
        with torch.inference_mode():
            output = self._model.generate(**inputs, max_new_tokens=self._limit(messages), **greedy)
        rows: list[list[int]] = output[:, start:].tolist()
        # a finished row is padded while the others go on
        ends = [next((n for n, token in enumerate(row, 1) if token in self._ends), len(row)) for row in rows]
        return [row[:end] for row, end in zip(rows, ends, strict=True)]

    def _batch(self, messages: Sequence[Message]) -> Any:
        return self._inputs(messages).to(self._model.device)

    def _inputs(self, messages: Sequence[Message]) -> Any:
        return self._own_processor().apply_chat_template(
            [chat(message) for message in messages],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt", "padding": True, "padding_side": "left"},
        )

    def _is_whole(self, tokens: list[int]) -> bool:
        return tokens[-1] in self._ends

    def _reply(self, tokens: list[int]) -> Reply:
        ended = self._is_whole(tokens)
        return Reply(text=self._text(tokens[:-1] if ended else tokens), truncated=not ended)


def _prompt(message: Message) -> Prompt:
    assert isinstance(message, _Asked)  # by `prepare`
    return message.prompt
