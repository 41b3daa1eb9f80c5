"""Editors that are diffusers pipelines."""

import inspect
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, overload

from PIL.Image import Image

from editbench.editors import lossy
from editbench.editors.ahead import TextAhead
from editbench.editors.editor import Edited, EditFailed, Editor, EditRefused
from editbench.editors.lora import add_loras, check_keys, check_lora, find
from editbench.editors.offload import Offload, choose, component_bytes, in_a_line
from editbench.editors.prompt import plain, special_tokens
from editbench.editors.quantization import (
    check_quantization,
    found_in,
    in_words,
    loading_arguments,
    refuse_unquantized,
    scaled,
)
from editbench.errors import UsageError
from editbench.models.checkpoints import (
    check_checkpoint,
    file_sha256,
    identity,
    layer_shapes,
    loading,
    locate,
    model_folder,
    model_name,
    read_json,
    small_file,
)
from editbench.models.one_frame import one_frame
from editbench.process.world import World
from editbench.records import Pair

if TYPE_CHECKING:
    from editbench.editors.live import LivePipeline

Dtype = Literal["bfloat16", "float16", "float32"]
log = logging.getLogger(__name__)
_OPTION = "--editor.init_args.model"
_INDEX = "model_index.json"


class _LiveOrLoaded(Editor):
    """Apart from `Diffusers`, since jsonargparse reads the settings of a class off a `__new__` of its own."""

    @overload
    def __new__(
        cls, *, pipeline: object, name: str, num_inference_steps: int = 50, call: dict[str, Any] | None = None
    ) -> "LivePipeline": ...
    @overload
    def __new__(cls, **settings: Any) -> Self: ...
    def __new__(cls, **settings: Any) -> Any:
        """An editor of this class, or a `LivePipeline` where `pipeline` is no name.

        Raises:
            UsageError: a live pipeline is given to a subclass, whose settings it would not have.
        """
        if isinstance(settings.get("pipeline"), str | None) or cls.__name__ == "LivePipeline":
            return super().__new__(cls)
        if cls is not Diffusers:
            raise UsageError(f"{cls.__name__}: give the live pipeline to Diffusers(pipeline=…, name=…, call=…)")
        from editbench.editors.live import LivePipeline

        return object.__new__(LivePipeline)  # whose __init__ Python calls then


@dataclass(kw_only=True)
class Diffusers(_LiveOrLoaded):
    """Any diffusers pipeline that takes `image` and `prompt` and returns images.

    From Python `Diffusers(pipeline=pipe, name="my-step-100")` edits with a pipeline that is loaded: `LivePipeline`.
    """

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
    lora: list[str] | str | None = None
    """LoRAs to add to the weights, each a file or `owner/name/file.safetensors` of the hub. Another model: lossy."""
    lora_weights: list[float] | None = None
    """What each LoRA is multiplied by, one number a file, not 0; None: 1."""
    scheduler: dict[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the scheduler to change, as a LoRA of few steps may ask for."""
    first_block_cache: float | None = None
    """Skip a step's other blocks when its first changed less than this, 0 to 1; diffusers' own. Lossy."""
    fp8_weights: bool = False
    """Hold the denoiser's weights in 8 bits, for half the memory; diffusers' layerwise casting. Lossy."""
    quantization_config: dict[str, Any] | None = None
    """diffusers' quantization: `quant_backend` (bitsandbytes_4bit, bitsandbytes_8bit, torchao, gguf), `quant_kwargs`,
    `components_to_quantize`, and for gguf the `file`. Lossy."""
    offload: Offload = "auto"
    """What waits in host memory: `none`, all but one `model`, all but a `group` of layers; auto: by free memory."""

    neutral: ClassVar[frozenset[str]] = frozenset({"offload"})
    _reserved: ClassVar[frozenset[str]] = frozenset(
        {"image", "prompt", "generator", "num_inference_steps", "output_type", "return_dict", "num_images_per_prompt"}
    )
    _special_tokens: frozenset[str] = field(default=frozenset(), init=False)
    _found_quantized: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Refuse settings that can't work, or that would be accepted and not used.

        Raises:
            UsageError: a number out of range, or two settings that contradict each other.
        """
        if self.num_inference_steps < 1:
            raise UsageError(f"num_inference_steps is {self.num_inference_steps}; it must be 1 or more")
        if self.first_block_cache is not None and not 0 < self.first_block_cache < 1:
            raise UsageError(f"first_block_cache is {self.first_block_cache}; it must lie between 0 and 1")
        if taken := sorted(self._reserved & set(self.call)):
            raise UsageError(f"call: {', '.join(taken)} is set by the editor; use its own setting, or leave it out")
        for name in ("sigmas", "timesteps"):
            given = self.call.get(name)
            if isinstance(given, list) and len(cast(list[Any], given)) != self.num_inference_steps:
                number = len(cast(list[Any], given))
                raise UsageError(f"call.{name} has {number} steps, num_inference_steps is {self.num_inference_steps}")
        weights = [] if self.lora_weights is None else self.lora_weights
        if self.lora_weights is not None and len(weights) != len(self.loras):
            raise UsageError(f"lora_weights has {len(weights)} numbers for {len(self.loras)} LoRAs")
        if any(weight == 0 or not math.isfinite(weight) for weight in weights):
            raise UsageError(f"lora_weights {weights}: a LoRA at 0 does nothing; leave its file out")
        if self.quantization_config is not None and self.fp8_weights:
            raise UsageError("fp8_weights and quantization_config: use one of them")

    @property
    def name(self) -> str:
        """The model's own name."""
        return model_name(self.model)

    @property
    def loras(self) -> list[str]:
        """The LoRAs, none or more."""
        return [] if self.lora is None else [self.lora] if isinstance(self.lora, str) else self.lora

    @property
    def max_sources(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]  (by the checkpoint)
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
            index = small_file(self.model, self.revision, _INDEX, ask_hub=False)
            if index is None:
                return None
            name = read_json(index, f"{_OPTION} {self.model}").get("_class_name", "DiffusionPipeline")
        cls = getattr(import_module("diffusers"), str(name), None)
        if cls is None:
            where = "--editor.init_args.pipeline" if self.pipeline else f"{self.model}, {_INDEX}"
            raise UsageError(f"{where}: diffusers has no class {name}")
        return cls

    def check(self) -> None:
        """The checkpoint, LoRAs and packages are there, as far as can be seen without reading weights."""
        check_checkpoint(self.model, _INDEX, option=_OPTION, revision=self.revision)
        if self.quantization_config is not None:
            check_quantization(self.quantization_config)
        for one in self.loras:
            check_lora(one)
        if self.call or self.loras or self.pipeline != type(self).pipeline:
            cls = self._pipeline_class()
            if cls is not None:
                self._refuse_unused_arguments(cls)
                self._check_lora_keys(cls)

    def _check_lora_keys(self, cls: Any) -> None:
        folder = model_folder(self.model, self.revision, _INDEX)
        if folder is None or not self.loras:
            return
        shapes: dict[str, Sequence[int]] = {}
        for part in {"transformer", "unet"} & set(getattr(cls, "_lora_loadable_modules", ())):
            of_part = layer_shapes(folder / part)
            if of_part is None:
                return  # not all of it is here yet
            shapes |= {f"{part}.{layer}": shape for layer, shape in of_part.items()}
        for one in self.loras:
            check_keys(one, cls, shapes)

    def identity(self) -> dict[str, str]:
        """The checkpoint, each LoRA and a GGUF file by their content."""
        held = identity(self.model, self.revision, _INDEX, option=_OPTION)
        files = {f"lora {number}": find(one) for number, one in enumerate(self.loras, 1)}
        config = self.quantization_config or {}
        if "file" in config:
            files["gguf"] = find(config["file"])
        return held | {name: file_sha256(path) for name, path in files.items() if path is not None}

    @property
    def modes(self) -> tuple[str, ...]:
        """The lossy settings, in words."""
        config = self.quantization_config
        words = {
            f"LoRA {self._loras_in_words()}, {self.num_inference_steps} steps": self.loras,
            f"first-block cache at {self.first_block_cache:g}"
            if self.first_block_cache
            else "": self.first_block_cache,
            "FP8 weights": self.fp8_weights,
            in_words(config) if config else "": config,
        }
        return (*(text for text, given in words.items() if given), *self._found_quantized)

    def _loras_in_words(self) -> str:
        weights = self.lora_weights or [1.0] * len(self.loras)
        return " and ".join(
            Path(one).name + ("" if weight == 1 else f" at {weight:g}")
            for one, weight in zip(self.loras, weights, strict=True)
        )

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
        config = self.quantization_config
        offload: Offload = "none"
        with loading(self.model):
            if world.gpus:
                if not Path(checkpoint).is_dir():
                    checkpoint = cls.download(checkpoint, revision=self.revision, use_safetensors=True)
                sizes = component_bytes(Path(checkpoint), dtype.itemsize)
                sizes = scaled(sizes, config, dtype.itemsize) if config else sizes
                free, _ = torch.cuda.mem_get_info()
                offload = choose(sizes, free) if self.offload == "auto" else self.offload
                log.info("%s", in_a_line(offload, sizes, free))
            quantized = loading_arguments(config, self.model, checkpoint, self.revision, dtype) if config else {}
            self._pipeline: Any = cls.from_pretrained(
                checkpoint,
                revision=self.revision,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                # "cuda" is the process's current device, and there the weights are read without a stop on the host
                device_map="cuda" if world.gpus and offload == "none" else None,
                **quantized,
            )
        self._pipeline.set_progress_bar_config(disable=True)
        self._special_tokens = special_tokens(self._pipeline)
        self._refuse_unused_arguments(type(self._pipeline))
        denoiser: Any = self._pipeline.components.get("transformer")
        if "guidance_scale" in self.call and getattr(denoiser, "config", {}).get("guidance_embeds") is False:
            raise UsageError("call.guidance_scale is left out: this model's guidance is not distilled into it")
        if config:
            refuse_unquantized(self._pipeline, config)
            if world.gpus and offload == "none":
                for part in quantized.keys() & self._pipeline.components:
                    self._pipeline.components[part].to(world.device)
        else:  # a checkpoint may be quantized itself
            held = found_in(self._pipeline)
            self._found_quantized = tuple(
                f"{kind} weights of {part}, as the checkpoint has them" for part, kind in held.items()
            )
        if self.scheduler:
            lossy.reschedule(self._pipeline, self.scheduler)
        if self.loras:
            weights = self.lora_weights or [1.0] * len(self.loras)
            add_loras(self._pipeline, self.loras, weights, fuse=not found_in(self._pipeline))
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

    def _refuse_unused_arguments(self, cls: Any) -> None:
        """Refuse what the pipeline's call would not take, or would take and leave out with no more than a warning.

        Raises:
            UsageError: names the argument.
        """
        given = {name for name, value in self.call_arguments().items() if value is not None}
        known = inspect.signature(cls.__call__).parameters
        takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in known.values())
        if (unknown := sorted(given - set(known))) and not takes_any:
            takes = ", ".join(sorted(set(known) - {"self"}))
            raise UsageError(f"call: {cls.__name__} takes no {', '.join(unknown)}; it takes {takes}")
        if "true_cfg_scale" in known and isinstance(scale := self._call_argument("true_cfg_scale", known), int | float):
            has_negative = bool(given & {"negative_prompt", "negative_prompt_embeds"})
            if scale > 1 and not has_negative and "true_cfg_scale" in given:
                raise UsageError(f"call.true_cfg_scale {scale} is left out by {cls.__name__} without a negative_prompt")
            if scale <= 1 and has_negative:
                raise UsageError(f"call.negative_prompt is left out by {cls.__name__} at a true_cfg_scale of {scale}")

    def _call_argument(self, name: str, known: Mapping[str, inspect.Parameter]) -> Any:
        return self.call_arguments().get(name, known[name].default)

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
        if self.first_block_cache is not None:
            self._pipeline.transformer._reset_stateful_cache()  # an edit that failed leaves its own behind
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
    _reserved: ClassVar[frozenset[str]] = Diffusers._reserved | {"true_cfg_scale", "negative_prompt"}
    _is_fast: bool = field(default=False, init=False)
    _fast_modes: tuple[str, ...] = field(default=(), init=False)
    _ahead: TextAhead | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """As every diffusers editor, and a negative prompt that guidance would not use."""
        super().__post_init__()
        if self.true_cfg_scale <= 1 and self.negative_prompt != " ":
            raise UsageError(f"negative_prompt is not used at a true_cfg_scale of {self.true_cfg_scale}; leave it out")

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
        """The lossy settings, whether the denoiser is the fast one, and its attention where that is not torch's."""
        return (*super().modes, *self._fast_modes)

    def _speed_up(self, world: World, offload: Offload) -> None:
        """The fast denoiser where it can serve, and the autoencoder without its video convolutions everywhere."""
        one_frame(self._pipeline.vae)
        if not (self.fast and world.gpus):
            return
        from editbench.models import qwen_image as fast

        reason = fast.why_not(self._pipeline)
        if self.fp8_weights or self.first_block_cache is not None or offload == "group":
            reason = "diffusers works on its blocks one by one"
        elif "transformer" in found_in(self._pipeline):
            reason = "its weights are quantized"
        if reason is not None:
            log.info("The stock denoiser is used, not the fast one: %s.", reason)
            return
        if offload == "model":
            self._pipeline.transformer.to(world.device)  # the table is made, and stays, where the denoiser runs
        attention = fast.speed_up(self._pipeline, self.num_inference_steps, self.call)
        self._is_fast = True
        if attention.reason is None:
            self._fast_modes = ("fast", f"fast: {attention.name}")
            log.info("The denoiser's attention is by %s.", attention.name)
        else:
            self._fast_modes = ("fast",)
            log.info("The denoiser's attention is torch's, not FlashAttention 4's: %s.", attention.reason)
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
