"""Text and picture of the next edit, encoded while the device works on the one before."""

from typing import Any

from PIL.Image import Image


class TextAhead:
    """Does a Qwen-Image pipeline's encoding beforehand, in another thread and, on CUDA, on a stream of its own.

    The text encoder spends most of its time in Python and the picture's preparation on the CPU: in line, the GPU waits.
    """

    def __init__(self, pipeline: Any):
        """Work for a loaded pipeline, all of whose parts stay on its device."""
        import torch

        self._pipeline = pipeline
        self._encoded: dict[str, dict[str, Any]] = {}
        device = pipeline.text_encoder.device
        # of high priority, for its kernels are small and the denoiser's fill the device
        self._stream = torch.cuda.Stream(device, priority=-1) if device.type == "cuda" else None

    def encode(self, name: str, source: Image, prompt: str, negative_prompt: str | None) -> None:
        """Encode for the edit of this name and keep it until it is taken."""
        import torch

        shown = self._as_the_encoder_sees(source)
        arguments: dict[str, Any] = {"prompt": None, "negative_prompt": None}
        if not isinstance(shown, list) and self._as_the_encoder_sees(shown).size == shown.size:
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
        self._encoded[name] = arguments

    def take(self, name: str) -> dict[str, Any]:
        """What stands for picture, prompt and negative prompt in the pipeline's call; empty if not encoded."""
        import torch

        arguments = self._encoded.pop(name, {})
        if self._stream is not None:
            for value in arguments.values():
                # or the side stream could be given its memory while the denoiser still reads
                if isinstance(value, torch.Tensor):
                    value.record_stream(torch.cuda.current_stream())
        return arguments

    def _as_the_encoder_sees(self, source: Image) -> Any:
        """The picture in the size that the pipeline itself gives its text encoder."""
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus

        is_plus = isinstance(self._pipeline, plus.QwenImageEditPlusPipeline)
        area = plus.CONDITION_IMAGE_SIZE if is_plus else 1024 * 1024
        width, height = edit.calculate_dimensions(area, source.width / source.height)[:2]
        resized = self._pipeline.image_processor.resize(source, height, width)
        return [resized] if is_plus else resized
