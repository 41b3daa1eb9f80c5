"""A judge whose engine is vLLM, in this process."""

import itertools
import math
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from editbench.errors import UsageError
from editbench.installation import install
from editbench.judges.judge import Message, Reply
from editbench.judges.local import LocalJudge, chat
from editbench.judges.pictures import scaled
from editbench.models.checkpoints import loading, locate
from editbench.process.world import World

_AT_ONCE = 64
_RENDERERS = 8  # threads that may prepare prompts side by side: vLLM keeps a tokenizer for each
_MOST_PICTURES = 32  # of a prompt; room is taken for what comes, not for the limit
_SHARE = 0.9  # of the memory that is free on the fullest of this process's GPUs
# what a run's recorded settings may set too: nothing that reads code, files or addresses
_TUNABLE = frozenset(
    {
        *("async_scheduling", "enable_prefix_caching", "enforce_eager", "gpu_memory_utilization", "kv_cache_dtype"),
        *("max_model_len", "max_num_batched_tokens", "max_num_seqs", "mm_encoder_tp_mode", "tensor_parallel_size"),
    }
)
_OF_A_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked(Message):
    """A message as the engine takes it: tokens, and patches of the pictures."""

    prompt: Any


@dataclass(kw_only=True)
class VLLM(LocalJudge):
    """A model by vLLM, in this process: the tokens that `QwenVL` reads, in less time; needs the extra `vllm`.

    An engine a rank, over this rank's GPUs. Greedy unless it is asked for samples. Its arithmetic is another than
    `QwenVL`'s and depends on what is read together, so its scores are kept apart.
    """

    engine: dict[str, Any] = field(default_factory=dict[str, Any])
    """Arguments of `vllm.LLM` in place of ours, such as `{max_model_len: 8192}`; those of speed and memory only."""

    def __post_init__(self) -> None:
        """Refuse settings that can't give a reply, and arguments that are not for tuning.

        Raises:
            UsageError: names the setting.
        """
        super().__post_init__()
        if other := sorted(self.engine.keys() - _TUNABLE):
            raise UsageError(f"engine: {', '.join(other)} is not for tuning; it takes {', '.join(sorted(_TUNABLE))}")

    @property
    def name(self) -> str:
        """The model's own name, and the engine's."""
        return f"{super().name}-vllm"

    def check(self) -> None:
        """The checkpoint and vLLM are there, as far as can be seen without loading either."""
        super().check()
        if find_spec("vllm") is None:
            raise UsageError(f"--judge VLLM: vLLM is not installed: {install('vllm')}; or --judge QwenVL, without it")

    def identity(self) -> dict[str, str]:
        """The checkpoint by its content, and vLLM's version, which decides the last bits of a reply's numbers."""
        return super().identity() | {"vllm": _version()}

    def load(self, world: World) -> str:
        """Build the engine on this process's share of the GPUs."""
        from transformers import AutoProcessor

        device_name = world.claim_device()
        where = locate(self.model)
        with loading(self.model):
            processor: Any = AutoProcessor.from_pretrained(where, revision=self.revision, trust_remote_code=False)
            with _environment():
                llm: Any = import_module("vllm").LLM(**self._arguments(where, world))
        self._take_processor(processor)
        self._renderer, self._engine = llm.renderer, llm.llm_engine
        self._numbers = itertools.count()
        return device_name

    def _arguments(self, where: str, world: World) -> dict[str, Any]:
        """Of `vllm.LLM`."""
        placement: dict[str, Any] = {}
        if world.gpus:
            import torch

            free = [torch.cuda.mem_get_info(gpu) for gpu in world.gpus]
            placement = {
                "device_ids": [*world.gpus],
                "tensor_parallel_size": len(world.gpus),
                "gpu_memory_utilization": _SHARE * min(left / total for left, total in free),
            }
        return {
            "model": where,
            "revision": self.revision,
            "dtype": self.dtype,
            "trust_remote_code": False,
            "max_model_len": -1,  # the longest that fits
            "max_num_seqs": _AT_ONCE,
            "limit_mm_per_prompt": {"image": _MOST_PICTURES, "video": 0},
            "enable_prefix_caching": True,
            # its cache of prepared pictures is not made for several threads
            "mm_processor_cache_gb": 0,
            "renderer_num_workers": _RENDERERS,
            "hf_overrides": completed,
            **placement,
            **self.engine,
        }

    def num_at_once(self) -> int | None:
        """As many as the engine takes; what has no room for its keys and values waits within it."""
        return _AT_ONCE

    def tokens(self, message: Message) -> list[int]:
        """The prompt by the checkpoint's own chat template, a single token for each picture."""
        mine = self._own_processor()
        text: str = mine.apply_chat_template([chat(message)], tokenize=False, add_generation_prompt=True)[0]
        begin = mine.tokenizer.bos_token
        return mine.tokenizer(text, add_special_tokens=begin is None or not text.startswith(begin))["input_ids"]

    def prepare(self, message: Message) -> Message:
        """Scale the pictures; then tokens and patches, as the engine takes them."""
        message = scaled(message, self._patch())
        prompt: dict[str, Any] = {"prompt_token_ids": self.tokens(message)}
        if pictures := [part for part in message.content if not isinstance(part, str)]:
            prompt["multi_modal_data"] = {"image": pictures}
        (rendered,) = self._renderer.render_cmpl([prompt])
        return _Asked(**{item.name: getattr(message, item.name) for item in fields(message)}, prompt=rendered)

    def replies(self, messages: Sequence[Message]) -> list[Reply]:
        """All messages in one run of the engine."""
        wanted = _sampling(temperature=0.0, max_tokens=self._limit(messages))
        return [self._reply(output) for output in self._run(messages, [wanted] * len(messages))]

    def samples(self, messages: Sequence[Message], seeds: Sequence[Sequence[int]]) -> list[list[Reply]]:
        """All samples of all messages in one run; what the samples of a message share is read once."""
        repeated = [message for message, of_one in zip(messages, seeds, strict=True) for _ in of_one]
        drawn = {"temperature": self.temperature, "max_tokens": self._limit(messages)}
        wanted = [_sampling(seed=seed, **drawn) for of_one in seeds for seed in of_one]
        replies = iter([self._reply(output) for output in self._run(repeated, wanted)])
        return [[next(replies) for _ in of_one] for of_one in seeds]

    def probabilities(self, messages: Sequence[Message]) -> list[Reply]:
        """One token a message, with the log-probabilities of the digits' tokens before any temperature."""
        tokens = self._digit_tokens(messages[0].digits)
        wanted = _sampling(temperature=0.0, max_tokens=1, logprob_token_ids=tokens)
        replies: list[Reply] = []
        for output in self._run(messages, [wanted] * len(messages)):
            found = output.logprobs[0]
            shares = tuple(math.exp(found[token].logprob) for token in tokens)
            replies.append(Reply(text=self._text(list(output.token_ids)), probabilities=shares))
        return replies

    def _run(self, messages: Sequence[Message], wanted: Sequence[Any]) -> list[Any]:
        """One output a message, in their order.

        Raises:
            Exception: whatever the engine raised; it then forgets these requests, and can be asked again.
        """
        names: list[str] = []
        added: list[str] = []
        found: dict[str, Any] = {}
        try:
            for message, how in zip(messages, wanted, strict=True):
                assert isinstance(message, _Asked)  # by `prepare`
                names.append(str(next(self._numbers)))
                added.append(self._engine.add_request(names[-1], message.prompt, how))
            while self._engine.has_unfinished_requests():
                found |= {output.request_id: output.outputs[0] for output in self._engine.step() if output.finished}
        except Exception:
            self._engine.abort_request(added, internal=True)
            raise
        return [found[name] for name in names]

    def _reply(self, output: Any) -> Reply:
        tokens = list(output.token_ids)
        if output.finish_reason not in ("stop", "length"):
            detail = f"vLLM ended the reply by {output.finish_reason}"
            return Reply(text=self._text(tokens), failure="error", detail=detail)
        ended = output.finish_reason == "stop"  # by the end token, which is the last
        return Reply(text=self._text(tokens[:-1] if ended else tokens), truncated=not ended)


def _sampling(**wanted: Any) -> Any:
    """How a reply is made; it comes in one piece, and as tokens."""
    module: Any = import_module("vllm.sampling_params")
    return module.SamplingParams(detokenize=False, output_kind=module.RequestOutputKind.FINAL_ONLY, **wanted)


def completed(config: Any) -> Any:
    """A checkpoint's config with what transformers takes for granted of Qwen3-VL, and vLLM reads from the file."""
    if str(config.model_type).startswith("qwen3_vl"):
        text = config.get_text_config()
        if text is not config:
            text.tie_word_embeddings = bool(config.tie_word_embeddings)
        if getattr(text, "num_experts", 0) and not hasattr(text, "norm_topk_prob"):
            text.norm_topk_prob = True
    return config


def _version() -> str:
    """Of the package that brings the module `vllm`, with that package's name where it is another."""
    packages = metadata.packages_distributions().get("vllm", [])
    return ", ".join(
        metadata.version(name) if name == "vllm" else f"{metadata.version(name)} ({name})"
        for name in dict.fromkeys(packages)
    )


@contextmanager
def _environment() -> Generator[None]:
    """What vLLM reads from the environment: for good what it goes by while it works, the launcher's for now hidden.

    Under torchrun, torch would look for this engine's own store at the launcher's.
    """
    settings = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process: 10 ms a pair less
        "VLLM_HOST_IP": "127.0.0.1",  # no port of this engine is for other machines
        "VLLM_NO_USAGE_STATS": "1",  # by itself it reports its use to its authors
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    if find_spec("flashinfer") is None:
        settings["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if _is_of_a_launcher(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _is_of_a_launcher(name: str) -> bool:
    return name in _OF_A_LAUNCHER or name.startswith("TORCHELASTIC_")
