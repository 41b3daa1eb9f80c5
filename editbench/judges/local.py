"""What judges have in common whose checkpoint is read by this process."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from threading import current_thread, local, main_thread
from typing import Any, ClassVar, Literal

from editbench.errors import UsageError
from editbench.judges.judge import Judge, Message, Way
from editbench.models.checkpoints import check_checkpoint, identity, model_name, weight_bytes
from editbench.process.world import World


@dataclass(kw_only=True)
class LocalJudge(Judge):
    """A vision-language model with a chat template; an engine reads its weights here and answers."""

    model: str = "Qwen/Qwen3-VL-30B-A3B-Instruct"
    """A hub id, a local directory, or `editbench:<folder>` for what the package ships."""
    revision: str | None = None
    """A commit of the hub's repository: pin it for numbers that you publish."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the weights."""
    max_new_tokens: int = 128
    """Limit of a reply, tokens, where the rubric's question sets none; a reply that reaches it is truncated."""
    temperature: float = 0.7
    """Of the samples that `--repeats` asks for; above 0."""

    offers: ClassVar[frozenset[Way]] = frozenset({"samples", "probabilities"})

    def __post_init__(self) -> None:
        """Refuse settings that can't give a reply.

        Raises:
            UsageError: no room for a token, or a temperature that nothing can be drawn at.
        """
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more")
        if not self.temperature > 0:
            raise UsageError(f"temperature is {self.temperature}; it must be above 0")

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    def check(self) -> None:
        """The checkpoint is there, as far as can be seen without reading weights."""
        check_checkpoint(self.model, "config.json", option="--judge.init_args.model", revision=self.revision)

    def identity(self) -> dict[str, str]:
        """The checkpoint by its content."""
        return identity(self.model, self.revision, "config.json", option="--judge.init_args.model")

    def weight_bytes(self) -> int | None:
        """By the checkpoint's index."""
        return weight_bytes(self.model, self.revision, 4 if self.dtype == "float32" else 2)

    def num_gpus(self, world: World) -> int:
        """All of this process's: the weights are spread over them."""
        return max(1, len(world.gpus))

    def _take_processor(self, processor: Any) -> None:
        self._processor = processor
        self._of_thread = local()

    def _own_processor(self) -> Any:
        """This thread's: no two may use a fast tokenizer while it sets its padding."""
        import torch

        if not hasattr(self._of_thread, "processor"):
            self._of_thread.processor = deepcopy(self._processor)
            if current_thread() is not main_thread():
                torch.set_num_threads(1)  # of this thread: the others are what runs beside it
        return self._of_thread.processor

    def _patch(self) -> int:
        """The side of the model's patches, pixels."""
        return getattr(self._processor.image_processor, "patch_size", 14)

    def _limit(self, messages: Sequence[Message]) -> int:
        """The limit of new tokens, which the messages of a batch share."""
        return messages[0].max_new_tokens or self.max_new_tokens

    def _digit_tokens(self, digits: Sequence[str]) -> list[int]:
        """The token of each digit.

        Raises:
            UsageError: the tokenizer does not write each as one token.
        """
        tokens: list[Any] = self._processor.tokenizer.convert_tokens_to_ids(list(digits))
        if None in tokens or len(set(tokens)) < len(digits):
            raise UsageError(
                f"{self.name} does not write each of {' '.join(digits)} as one token, which --expected needs"
            )
        return tokens

    def _text(self, tokens: list[int]) -> str:
        return self._processor.tokenizer.decode(tokens, skip_special_tokens=True)


def chat(message: Message) -> list[dict[str, Any]]:
    """The message as a chat template takes it."""
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part}
        for part in message.content
    ]
    system = [{"role": "system", "content": [{"type": "text", "text": message.system}]}] if message.system else []
    return [*system, {"role": "user", "content": parts}]
