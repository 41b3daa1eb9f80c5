"""An editor whose pipeline is loaded already, in the program that calls editbench from Python."""

import contextlib
import copy
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from PIL.Image import Image

from editbench.editors.diffusers_editor import Diffusers, Dtype
from editbench.editors.editor import Edited
from editbench.editors.offload import Offload
from editbench.editors.prompt import special_tokens
from editbench.editors.quantization import found_in
from editbench.errors import UsageError
from editbench.process.world import World
from editbench.records import Pair


@dataclass(kw_only=True)
class LivePipeline(Diffusers):
    """A pipeline in memory: what `Diffusers(pipeline=pipe, name="my-step-100")` gives in Python.

    The record of it is the name and the pipeline's class. Edits made under one name count as finished, whatever the
    weights are now: give changed weights another name. Each edit is made in eval mode without gradients, on a copy of
    the scheduler; afterwards the pipeline is as it was. A model that DDP or FSDP wraps is given unwrapped.
    """

    pipeline: Any  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
    """The pipeline; its class's name in a record."""
    name: str = ""  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    """What a report calls it, such as `my-step-100`; required."""

    model: str = field(default="", init=False)
    revision: str | None = field(default=None, init=False)
    dtype: Dtype = field(default="bfloat16", init=False)
    lora: list[str] | str | None = field(default=None, init=False)
    lora_weights: list[float] | None = field(default=None, init=False)
    scheduler: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    first_block_cache: float | None = field(default=None, init=False)
    fp8_weights: bool = field(default=False, init=False)
    quantization_config: dict[str, Any] | None = field(default=None, init=False)
    offload: Offload = field(default="auto", init=False)
    _pipeline: Any = field(default=None, init=False, repr=False, compare=False)

    neutral: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Keep the pipeline apart from its record.

        Raises:
            UsageError: there is no name, or as `Diffusers`.
        """
        super().__post_init__()
        if not self.name:
            raise UsageError('a live pipeline needs a name for its records: Diffusers(pipeline=…, name="my-step-100")')
        if not isinstance(self.pipeline, str):
            self._pipeline = self.pipeline
            self.pipeline = type(self._pipeline).__name__

    def _pipeline_class(self) -> Any:
        return None if self._pipeline is None else type(self._pipeline)

    def check(self) -> None:
        """The pipeline is here and takes the arguments.

        Raises:
            UsageError: it lived in another process, or does not take an argument of `call`.
        """
        if self._pipeline is None:
            raise UsageError(
                f"the editor {self.name} is a {self.pipeline} that lived in another process: edit with "
                "editbench.evaluate(…, editor=Diffusers(pipeline=…, name=…)). Its edits can be scored as they are."
            )
        self._refuse_unused_arguments(type(self._pipeline))

    def identity(self) -> dict[str, str]:
        """None: the name stands for the weights."""
        return {}

    def load(self, world: World) -> str:
        """Find out where the pipeline is.

        Returns:
            The device, such as `NVIDIA H200` or `cpu`.
        """
        import torch

        parts: Mapping[str, Any] = getattr(self._pipeline, "components", {})
        self._special_tokens = special_tokens(self._pipeline)
        self._found_quantized = tuple(f"{kind} weights of {part}" for part, kind in found_in(self._pipeline).items())
        weights = [
            weight for part in parts.values() if isinstance(part, torch.nn.Module) for weight in part.parameters()
        ]
        device = next((weight.device for weight in weights if weight.device.type != "cpu"), torch.device("cpu"))
        if device.type == "cuda":
            return torch.cuda.get_device_name(device)
        world.compute_alike()
        return device.type

    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Edited:
        """As `Diffusers`, with the pipeline as it is for inference."""
        import torch

        with _for_inference(self._pipeline), torch.no_grad():
            return super().edit(pair, sources, seed)


@contextlib.contextmanager
def _for_inference(pipeline: Any) -> Generator[None]:
    """The pipeline in eval mode, without a progress bar, with a scheduler that no training uses; then as before."""
    import torch

    parts: Mapping[str, Any] = getattr(pipeline, "components", {})
    models = [part for part in parts.values() if isinstance(part, torch.nn.Module)]
    training = [(layer, layer.training) for model in models for layer in model.modules()]
    scheduler, bar = getattr(pipeline, "scheduler", None), getattr(pipeline, "_progress_bar_config", None)
    try:
        for model in models:
            model.eval()
        if scheduler is not None:
            pipeline.scheduler = copy.deepcopy(scheduler)
        if hasattr(pipeline, "set_progress_bar_config"):
            pipeline.set_progress_bar_config(disable=True)
        yield
    finally:
        for layer, mode in training:
            layer.training = mode
        if scheduler is not None:
            pipeline.scheduler = scheduler
        if bar is not None:
            pipeline._progress_bar_config = bar
        elif hasattr(pipeline, "_progress_bar_config"):
            del pipeline._progress_bar_config
