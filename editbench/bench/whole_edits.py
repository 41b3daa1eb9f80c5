"""What an edit takes around its denoiser, and how much of the edit stage the GPU waits."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from editbench.bench.measure import seconds, timed
from editbench.config import Config
from editbench.editors import Edited, QwenImageEdit
from editbench.editors.ahead import TextAhead
from editbench.models.one_frame import one_frame
from editbench.process.world import World
from editbench.records import Edit, Pair
from editbench.rubrics.five_aspects import CATEGORIES
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit


@torch.inference_mode()
def text_encoder(pipeline: Any, device: str) -> dict[str, Any]:
    """A sentence and a picture of 1024² through the text encoder; an edit with guidance does it twice."""
    picture = Image.effect_noise((1024, 1024), 60).convert("RGB")

    def encode() -> Any:
        return pipeline.encode_prompt(prompt="Turn the evening into bright noon.", image=picture, device=device)

    return {"tokens": encode()[0].shape[1], **timed(encode, device, num_calls=5)}


@torch.inference_mode()
def autoencoder(vae: Any, device: str, *, small: bool) -> dict[str, Any]:
    """A picture of 1024² there and back, by the stock autoencoder and then by its single-picture form, which stays."""
    side = 256 if small else 1024
    picture = torch.rand(1, 3, 1, side, side, device=device, dtype=vae.dtype) * 2 - 1
    figures: dict[str, Any] = {}
    before: Any = None
    for name in ("stock", "one_frame"):
        if name == "one_frame":
            one_frame(vae)
        latents = vae.encode(picture).latent_dist.mode()
        figures[f"{name}_encode_s"] = timed(lambda: vae.encode(picture), device, num_calls=5)["median_s"]
        figures[f"{name}_decode_s"] = timed(lambda z=latents: vae.decode(z), device, num_calls=5)["median_s"]
        after = vae.decode(latents if before is None else before[0]).sample
        before = before or (latents, after)
        figures[f"{name}_largest_difference"] = (after - before[1]).abs().max().item()
    return figures


@dataclass(kw_only=True)
class _Loaded(QwenImageEdit):
    """An editor around a pipeline that is there already."""

    first_done_ns: int = 0

    def take(self, pipeline: Any, *, fast: bool) -> None:
        self._pipeline = pipeline
        self._is_fast, self._ahead = fast, TextAhead(pipeline) if fast else None

    def load(self, world: World) -> str:
        return world.claim_device()

    def edit(self, pair: Pair, sources: Sequence[Image.Image], seed: int) -> Edited:
        image = super().edit(pair, sources, seed)
        self.first_done_ns = self.first_done_ns or time.time_ns()
        return image


def stage(pipeline: Any, device: str, steps: int, num_images: int, *, fast: bool = False) -> dict[str, Any]:
    """Run the edit stage on some of the demo's pairs, 1024² and with guidance, and see how long the GPU had no work.

    `fast` does all that an editor does with the fast denoiser, which the pipeline has already. What `idle` means says
    `_idle`.
    """
    editor = _Loaded(num_inference_steps=steps)
    editor.take(pipeline, fast=fast)
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            run_dir=(Path(folder),), editor=editor, limit=-(-num_images // 5), categories=CATEGORIES[:num_images]
        )
        if device == "cpu":
            return {"image_s": seconds(lambda: edit(config, World()), device) / num_images}
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            edit(config, World())
            torch.cuda.synchronize()
        rows = list(read_records(RunDir(config.the_run).manifest, Edit))
    return {
        **_idle(profile, num_images, editor.first_done_ns),
        "call_s": [row.duration_s for row in rows],
        "errors": [row.error for row in rows if row.error],
    }


def _idle(profile: Any, num_images: int, first_done_ns: int) -> dict[str, float]:
    """What a profiler saw of the GPU's time between its first and its last kernel.

    `image_s` is an image's share of it, `idle` the share in which no kernel ran: microseconds between two kernels of a
    forward count. `idle_later` is the same from the first image's end on, and `waiting_later` of that only pauses of
    more than 50 microseconds, in which the GPU had nothing to do rather than was changing over.
    """
    events = profile.profiler.kineto_results.events()  # raw: the public list takes minutes to build for long runs
    spans = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in events
        if event.device_type() == torch.profiler.DeviceType.CUDA
    )
    pauses: list[tuple[int, int]] = []
    end = spans[0][0]
    for start, stop in spans:
        if start > end:
            pauses.append((end, start - end))
        end = max(end, stop)
    begin, all_ns = spans[0][0], end - spans[0][0]
    assert begin < first_done_ns, "the profiler's clock is another"
    later = [length for at, length in pauses if at >= first_done_ns]
    figures = {"image_s": all_ns / 1e9 / num_images, "idle": sum(length for _, length in pauses) / all_ns}
    if first_done_ns < end:
        figures["idle_later"] = sum(later) / (end - first_done_ns)
        figures["waiting_later"] = sum(length for length in later if length > 50_000) / (end - first_done_ns)
    return figures
