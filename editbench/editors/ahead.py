"""Text and pictures of the next edit, encoded while the device works on the edit before."""

import hashlib
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image

_KEPT = 4  # the edit at work, those read ahead of it, and one of a pair that is edited several times


class TextAhead:
    """Does a Qwen-Image pipeline's encoding beforehand, in another thread and, on CUDA, on a stream of its own.

    The text encoder spends most of its time in Python and the pictures are prepared on the CPU: done in line, the GPU
    waits for both. What was encoded is found by the pictures and the prompt themselves, so several tries of one pair
    are encoded once, and a prompt or picture that nobody prepared is never mistaken for another.
    """

    def __init__(self, pipeline: Any):
        """Work for a loaded pipeline, all of whose parts stay on its device."""
        import torch

        self._pipeline = pipeline
        self._encoded: dict[bytes, dict[str, Any]] = {}
        device = pipeline.text_encoder.device
        # of high priority: its kernels are small, and the denoiser's fill the device
        self._stream = torch.cuda.Stream(device, priority=-1) if device.type == "cuda" else None

    def encode(self, sources: Sequence[Image], prompt: str, negative_prompt: str | None) -> None:
        """Encode for an edit of these pictures with these prompts, and keep the last few results."""
        import torch

        key = _key(sources, prompt, negative_prompt)
        if key in self._encoded:
            return
        shown = self._as_the_encoder_sees(sources)
        arguments: dict[str, Any] = {"prompt": None, "negative_prompt": None}
        if not isinstance(shown, list) and self._as_the_encoder_sees([shown]).size == shown.size:
            arguments["image"] = shown  # the pipeline would scale the source to just this, and leaves this as it is
        with torch.no_grad(), torch.cuda.stream(self._stream):
            for prefix, text in (("", prompt), ("negative_", negative_prompt)):
                if text is not None:
                    embeds, _ = self._pipeline.encode_prompt(prompt=text, image=shown)
                    arguments[f"{prefix}prompt_embeds"] = embeds
                    # of ones: the pipeline warns without a mask and drops one that masks nothing
                    arguments[f"{prefix}prompt_embeds_mask"] = embeds.new_ones(embeds.shape[:2]).long()
        if self._stream is not None:
            self._stream.synchronize()
        self._encoded[key] = arguments
        for old in list(self._encoded)[:-_KEPT]:
            self._encoded.pop(old, None)

    def take(self, sources: Sequence[Image], prompt: str, negative_prompt: str | None) -> dict[str, Any]:
        """What stands for pictures, prompt and negative prompt in the pipeline's call; empty if not encoded."""
        import torch

        arguments = self._encoded.get(_key(sources, prompt, negative_prompt), {})
        if self._stream is not None:
            for value in arguments.values():
                # or the side stream could be given its memory while the denoiser still reads
                if isinstance(value, torch.Tensor):
                    value.record_stream(torch.cuda.current_stream())
        return arguments

    def _as_the_encoder_sees(self, sources: Sequence[Image]) -> Any:
        """The pictures in the sizes that the pipeline itself gives its text encoder; a list where it takes several."""
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus

        is_plus = isinstance(self._pipeline, plus.QwenImageEditPlusPipeline)
        area = plus.CONDITION_IMAGE_SIZE if is_plus else 1024 * 1024
        resized: list[Any] = []
        for source in sources:
            width, height = edit.calculate_dimensions(area, source.width / source.height)[:2]
            resized.append(self._pipeline.image_processor.resize(source, height, width))
        return resized if is_plus else resized[0]


def _key(sources: Sequence[Image], *prompts: str | None) -> bytes:
    hashed = hashlib.sha256(repr((*prompts, *(source.size for source in sources))).encode("utf-8", "replace"))
    for source in sources:
        hashed.update(source.tobytes())
    return hashed.digest()
