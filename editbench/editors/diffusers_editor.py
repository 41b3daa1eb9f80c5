"""Editors that are diffusers pipelines."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from PIL.Image import Image

from editbench.checkpoints import check_checkpoint, locate, model_name
from editbench.editors.editor import Editor, EditRefused
from editbench.errors import UsageError
from editbench.one_frame import one_frame
from editbench.records import Pair
from editbench.world import World

Dtype = Literal["bfloat16", "float16", "float32"]


@dataclass(kw_only=True)
class Diffusers(Editor):
    """Any diffusers pipeline that takes `image` and `prompt` and returns images."""

    model: str
    """A hub id, a local directory, or `editbench:<folder>` for what the package ships."""
    revision: str | None = None
    """A commit of the hub's repository: pin it for numbers that you publish."""
    pipeline: str | None = None
    """The diffusers class, such as `FluxKontextPipeline`; None: the checkpoint's own."""
    dtype: Dtype = "bfloat16"
    """Of the weights."""
    num_inference_steps: int = 50
    """Denoising steps, 1 or more."""
    call: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further arguments of the pipeline's call, such as `guidance_scale: 2.5`."""

    def __post_init__(self) -> None:
        """Refuse settings that no pipeline takes.

        Raises:
            UsageError: fewer steps than one.
        """
        if self.num_inference_steps < 1:
            raise UsageError(f"num_inference_steps is {self.num_inference_steps}; it must be 1 or more")

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    def check(self) -> None:
        """The checkpoint is there, as far as can be seen without reading weights."""
        check_checkpoint(self.model, "model_index.json", option="--editor.init_args.model")

    def load(self, world: World) -> str:
        """Read the weights straight to the device: safetensors are mapped, so ranks share one copy in host memory."""
        import torch
        from diffusers.utils.logging import disable_progress_bar
        from transformers.utils.logging import disable_progress_bar as disable_text_encoders_bar

        device_name = world.claim_device()
        disable_progress_bar()
        disable_text_encoders_bar()
        cls: Any = getattr(import_module("diffusers"), self.pipeline or "DiffusionPipeline", None)
        if cls is None:
            raise UsageError(f"--editor.init_args.pipeline {self.pipeline}: diffusers has no such class")
        self._pipeline: Any = cls.from_pretrained(
            locate(self.model),
            revision=self.revision,
            dtype=getattr(torch, self.dtype),
            use_safetensors=True,
            # "cuda" is the process's current device, and there the weights are read without a stop on the host
            device_map="cuda" if world.gpus else None,
        )
        self._pipeline.set_progress_bar_config(disable=True)
        return device_name

    def call_arguments(self) -> dict[str, Any]:
        """What the pipeline's call gets beside image, prompt and generator."""
        return {"num_inference_steps": self.num_inference_steps, **self.call}

    def edit(self, pair: Pair, source: Image, seed: int) -> Image:
        """One call of the pipeline, its noise drawn on the CPU so that it is the same on every GPU."""
        import torch

        output = self._pipeline(
            image=source,
            prompt=pair.instruction,
            generator=torch.Generator("cpu").manual_seed(seed),
            **self.call_arguments(),
        )
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            raise EditRefused("refused: the pipeline's safety checker blanked the image")
        return output.images[0].convert("RGB")


@dataclass(kw_only=True)
class QwenImageEdit(Diffusers):
    """Qwen-Image-Edit, also -2509 and -2511: the checkpoint says which of its two pipelines it needs.

    The defaults are the model card's. True CFG needs a negative prompt, or diffusers leaves it out with no more than
    a warning; here it gets one whenever `true_cfg_scale` is above 1.
    """

    model: str = "Qwen/Qwen-Image-Edit"
    """A hub id, a local directory, or `editbench:<folder>` for what the package ships."""
    true_cfg_scale: float = 4.0
    """Strength of classifier-free guidance; at 1 or below there is none, and half the work."""
    negative_prompt: str = " "
    """What guidance leads away from."""

    def call_arguments(self) -> dict[str, Any]:
        """With guidance exactly when the scale asks for it."""
        guided = self.true_cfg_scale > 1
        guidance = {
            "true_cfg_scale": self.true_cfg_scale,
            "negative_prompt": self.negative_prompt if guided else None,
        }
        return super().call_arguments() | guidance

    def load(self, world: World) -> str:
        """As any pipeline; on the CPU, where its video convolutions take most of a small model's time, without them."""
        device_name = super().load(world)
        if not world.gpus:
            one_frame(self._pipeline.vae)
        return device_name
