"""Judges that are vision-language models of transformers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from editbench.checkpoints import check_checkpoint, locate, model_name
from editbench.errors import UsageError
from editbench.judges.judge import Judge, Reply
from editbench.rubric import Question
from editbench.world import World


@dataclass(kw_only=True)
class QwenVL(Judge):
    """Qwen3-VL, or any other model that transformers' `AutoModelForImageTextToText` loads and that has a chat template.

    Greedy, in true batches, padded on the left.
    """

    model: str = "Qwen/Qwen3-VL-30B-A3B-Instruct"
    """A hub id, a local directory, or `editbench:<folder>` for what the package ships."""
    revision: str | None = None
    """A commit of the hub's repository: pin it for numbers that you publish."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the weights."""
    max_new_tokens: int = 128
    """A reply that gets so far is cut off, and counted as such."""
    device_map: str = "auto"
    """How accelerate spreads the weights over this process's GPUs."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device_map"})

    def __post_init__(self) -> None:
        """Refuse settings that can't give a reply.

        Raises:
            UsageError: no room for a token.
        """
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more")

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    def check(self) -> None:
        """The checkpoint is there, as far as can be seen without reading weights."""
        check_checkpoint(self.model, "config.json", option="--judge.init_args.model")

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
        self._processor: Any = AutoProcessor.from_pretrained(where, revision=self.revision)
        self._model: Any = AutoModelForImageTextToText.from_pretrained(
            where, revision=self.revision, dtype=getattr(torch, self.dtype), use_safetensors=True, **placement
        ).eval()
        return device_name

    def prepare(self, question: Question, max_pixels: int) -> Question:
        """Scale as Qwen's own recipe does: once, to whole patches, so that the processor has nothing left to scale."""
        from qwen_vl_utils import fetch_image

        scale: Any = fetch_image  # its annotation knows no numbers, its code does
        patch = getattr(self._processor.image_processor, "patch_size", 14)
        scaled = [
            part if isinstance(part, str) else scale({"image": part, "max_pixels": max_pixels}, patch)
            for part in question.content
        ]
        return replace(question, content=tuple(scaled))

    def replies(self, questions: Sequence[Question]) -> list[Reply]:
        """One greedy generation for all the questions together."""
        import torch

        inputs = self._processor.apply_chat_template(
            [_messages(question) for question in questions],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt", "padding": True, "padding_side": "left"},
        ).to(self._model.device)
        # the checkpoint's own sampling settings would be warned about, and must not matter
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode():
            output = self._model.generate(**inputs, max_new_tokens=self.max_new_tokens, **greedy)
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._reply(tokens) for tokens in new]

    def _reply(self, tokens: list[int]) -> Reply:
        ends = self._model.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        text = self._processor.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        return Reply(text=text, truncated=end is None)


def _messages(question: Question) -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part}
        for part in question.content
    ]
    return [
        {"role": "system", "content": [{"type": "text", "text": question.system}]},
        {"role": "user", "content": parts},
    ]
