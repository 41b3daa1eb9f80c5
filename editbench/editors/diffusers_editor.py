"""Editors that are diffusers pipelines."""

import inspect
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL.Image import Image

from editbench.editors import lossy
from editbench.editors.ahead import TextAhead
from editbench.editors.editor import Edited, EditFailed, Editor, EditRefused
from editbench.editors.offload import Offload, choose, component_bytes, told
from editbench.editors.prompt import plain, special_tokens
from editbench.errors import UsageError
from editbench.models.checkpoints import check_checkpoint, loading, locate, model_name, small_file
from editbench.models.one_frame import one_frame
from editbench.process.world import World
from editbench.records import Pair

Dtype = Literal["bfloat16", "float16", "float32"]
log = logging.getLogger(__name__)


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
    lora: str | None = None
    """A LoRA to add to the weights: a file, or `owner/name/file.safetensors` of the hub. Another model: lossy."""
    scheduler: dict[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the scheduler to change, as a LoRA of few steps may ask for."""
    first_block_cache: float | None = None
    """Skip a step's other blocks when its first changed less than this, 0 to 1; diffusers' own. Lossy."""
    fp8_weights: bool = False
    """Hold the denoiser's weights in 8 bits, for half the memory; diffusers' layerwise casting. Lossy."""
    offload: Offload = "auto"
    """What waits in host memory: `none`, all but one `model`, all but a `group` of layers; auto: by free memory."""

    neutral: ClassVar[frozenset[str]] = frozenset({"offload"})
    _special_tokens: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def max_sources(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]  (the checkpoint decides)
        """One, or any number where the pipeline's call takes a list of pictures for one prompt."""
        cls = self._pipeline_class()
        return None if cls is None or _takes_several(cls) else 1

    def _pipeline_class(self) -> Any:
        """The diffusers class; None where only the hub knows it yet.

        Raises:
            UsageError: diffusers has no such class.
        """
        name = self.pipeline
        if name is None:
            index = small_file(self.model, self.revision, "model_index.json", ask_hub=False)
            if index is None:
                return None
            name = json.loads(index.read_text(encoding="utf-8")).get("_class_name", "DiffusionPipeline")
        cls = getattr(import_module("diffusers"), str(name), None)
        if cls is None:
            where = f"--editor.init_args.pipeline {name}" if self.pipeline else f"{self.model}, model_index.json"
            raise UsageError(f"{where}: diffusers has no class {name}")
        return cls

    def __post_init__(self) -> None:
        """Refuse settings that no pipeline takes.

        Raises:
            UsageError: fewer steps than one.
        """
        if self.num_inference_steps < 1:
            raise UsageError(f"num_inference_steps is {self.num_inference_steps}; it must be 1 or more")
        if self.first_block_cache is not None and not 0 < self.first_block_cache < 1:
            raise UsageError(f"first_block_cache is {self.first_block_cache}; it must lie between 0 and 1")

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    def check(self) -> None:
        """The checkpoint is there, as far as can be seen without reading weights."""
        check_checkpoint(self.model, "model_index.json", option="--editor.init_args.model")
        if self.lora is not None:
            lossy.check_lora(self.lora)

    @property
    def modes(self) -> tuple[str, ...]:
        """The lossy settings, in words."""
        words = {
            f"LoRA {Path(self.lora or '').name}, {self.num_inference_steps} steps": self.lora,
            f"first-block cache at {self.first_block_cache:g}"
            if self.first_block_cache
            else "": self.first_block_cache,
            "FP8 weights": self.fp8_weights,
        }
        return tuple(text for text, given in words.items() if given)

    def load(self, world: World) -> str:
        """Read the weights straight to the device: safetensors are mapped, so ranks share one copy in host memory."""
        import torch
        from diffusers.utils.logging import disable_progress_bar
        from transformers.utils.logging import disable_progress_bar as disable_text_encoders_bar

        device_name = world.claim_device()
        disable_progress_bar()
        disable_text_encoders_bar()
        cls: Any = self._pipeline_class() if self.pipeline else import_module("diffusers").DiffusionPipeline
        checkpoint = locate(self.model)
        dtype: Any = getattr(torch, self.dtype)
        offload: Offload = "none"
        with loading(self.model):
            if world.gpus:
                if not Path(checkpoint).is_dir():
                    checkpoint = cls.download(checkpoint, revision=self.revision, use_safetensors=True)
                sizes = component_bytes(Path(checkpoint), dtype.itemsize)
                free, _ = torch.cuda.mem_get_info()
                offload = choose(sizes, free) if self.offload == "auto" else self.offload
                log.info("%s", told(offload, sizes, free))
            self._pipeline: Any = cls.from_pretrained(
                checkpoint,
                revision=self.revision,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                # "cuda" is the process's current device, and there the weights are read without a stop on the host
                device_map="cuda" if world.gpus and offload == "none" else None,
            )
        self._pipeline.set_progress_bar_config(disable=True)
        self._special_tokens = special_tokens(self._pipeline)
        if self.scheduler:
            lossy.reschedule(self._pipeline, self.scheduler)
        if self.lora is not None:
            lossy.fuse_lora(self._pipeline, self.lora)
        self._speed_up(world, offload)
        if self.fp8_weights:
            lossy.hold_in_fp8(self._pipeline)
        if self.first_block_cache is not None:
            lossy.cache_first_block(self._pipeline, self.first_block_cache)
        if offload == "model":
            self._pipeline.enable_model_cpu_offload(device=world.device)
        elif offload == "group":
            self._pipeline.enable_group_offload(torch.device(world.device), offload_type="leaf_level", use_stream=True)
        return device_name

    def _prepared(self, sources: Sequence[Image], prompt: str) -> dict[str, Any]:
        """Arguments of the call that `prepare` made, in place of the plain ones."""
        return {}

    def _refuse(self, sources: Sequence[Image]) -> None:
        """Raise `EditFailed` for sources that this editor can't take."""

    def _speed_up(self, world: World, offload: Offload) -> None:
        """Do what makes this pipeline faster without changing what it computes, between its weights and its hooks."""

    def call_arguments(self) -> dict[str, Any]:
        """What the pipeline's call gets beside image, prompt and generator."""
        return {"num_inference_steps": self.num_inference_steps, **self.call}

    def prompt(self, instruction: str) -> str:
        """The instruction without the special tokens of the pipeline's tokenizers."""
        return plain(instruction, self._special_tokens)

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Edited:
        """One call of the pipeline, its noise drawn on the CPU so that it is the same on every GPU."""
        import torch

        self._refuse(sources)
        prompt = self.prompt(pair.instruction)
        shown = sources[0] if len(sources) == 1 else list(sources)
        output = self._pipeline(
            generator=torch.Generator("cpu").manual_seed(seed),
            **{"image": shown, "prompt": prompt} | self.call_arguments() | self._prepared(sources, prompt),
        )
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            raise EditRefused("refused: the pipeline's safety checker blanked the image")
        if len(output.images) != 1:
            raise EditFailed(f"the pipeline gave {len(output.images)} images for {len(sources)} sources, not one")
        return Edited(image=self._picture(output.images), prompt=None if prompt == pair.instruction else prompt)

    def _picture(self, images: Any) -> Image:
        """Of what the pipeline's call gave for one prompt."""
        return images[0].convert("RGB")


def _takes_several(cls: Any) -> bool:
    """Whether a pipeline's call takes several pictures for one prompt, by the type of its `image`.

    A type of PIL pictures and lists of them alone means that (FLUX.2, GLM-Image); where tensors are allowed too, or
    diffusers' `PipelineImageInput`, a list is a batch.
    """
    if cls.__name__ == "QwenImageEditPlusPipeline":  # declares the batch's type all the same
        return True
    image = inspect.signature(cls.__call__).parameters.get("image")
    said = "" if image is None else str(image.annotation)
    return "list[PIL" in said and "Tensor" not in said and "ndarray" not in said


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
    fast: bool = True
    """On CUDA, the package's own denoiser (`editbench.models.qwen_image`): the same edits up to rounding."""
    _is_fast: bool = field(default=False, init=False)
    _ahead: TextAhead | None = field(default=None, init=False)

    @property
    def max_sources(self) -> int:
        """One."""
        return 1

    @property
    def _negative_prompt(self) -> str | None:
        return self.negative_prompt if self.true_cfg_scale > 1 else None

    def call_arguments(self) -> dict[str, Any]:
        """With guidance exactly when the scale asks for it."""
        guidance = {"true_cfg_scale": self.true_cfg_scale, "negative_prompt": self._negative_prompt}
        # the fast path makes the picture of the tensor itself
        return super().call_arguments() | guidance | ({"output_type": "pt"} if self._is_fast else {})

    @property
    def modes(self) -> tuple[str, ...]:
        """The lossy settings, and whether the denoiser is the fast one."""
        return (*super().modes, *(("fast",) if self._is_fast else ()))

    def _speed_up(self, world: World, offload: Offload) -> None:
        """The fast denoiser where it can serve, and the autoencoder without its video convolutions everywhere."""
        one_frame(self._pipeline.vae)
        if not (self.fast and world.gpus):
            return
        from editbench.models import qwen_image as fast

        blocks_are_hooked = self.fp8_weights or self.first_block_cache is not None or offload == "group"
        reason = "diffusers works on its blocks one by one" if blocks_are_hooked else fast.why_not(self._pipeline)
        if reason is not None:
            log.info("The stock denoiser is used, not the fast one: %s.", reason)
            return
        if offload == "model":
            self._pipeline.transformer.to(world.device)  # the table is made, and stays, where the denoiser runs
        fast.speed_up(self._pipeline, self.num_inference_steps, self.call)
        self._is_fast = True
        if offload == "none":
            self._ahead = TextAhead(self._pipeline)

    def _refuse(self, sources: Sequence[Image]) -> None:
        from editbench.models.qwen_image import WIDEST

        shape = sources[-1].size  # the pipelines give the edit the shape of the last source
        if self._is_fast and max(shape) > WIDEST * min(shape):
            raise EditFailed(f"the source is longer than {WIDEST} to 1; `fast: false` edits it, in more time")

    def _picture(self, images: Any) -> Image:
        """Rounded to 8 bits on the device, as diffusers does it on the host while the device has nothing to do."""
        if not self._is_fast:
            return super()._picture(images)
        from PIL.Image import fromarray

        levels = (images[0].float().nan_to_num() * 255).round().byte().permute(1, 2, 0)
        return fromarray(levels.cpu().numpy())

    def prepare(self, pair: Pair, sources: Sequence[Image]) -> None:
        """Encode text and pictures, where the GPU would wait for it."""
        if self._ahead is not None:
            self._ahead.encode(sources, self.prompt(pair.instruction), self._negative_prompt)

    def _prepared(self, sources: Sequence[Image], prompt: str) -> dict[str, Any]:
        return {} if self._ahead is None else self._ahead.take(sources, prompt, self._negative_prompt)


@dataclass(kw_only=True)
class QwenImageEditPlus(QwenImageEdit):
    """Qwen-Image-Edit-2509 and -2511, which take one to three sources; the edit has the shape of the last."""

    model: str = "Qwen/Qwen-Image-Edit-2511"
    """A hub id, a local directory, or `editbench:<folder>` for what the package ships."""
    pipeline: str | None = "QwenImageEditPlusPipeline"
    """The diffusers class."""
    num_inference_steps: int = 40
    """Denoising steps, 1 or more."""

    @property
    def max_sources(self) -> int:
        """Three, as its authors trained it."""
        return 3
