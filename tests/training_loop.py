"""A training job for tests: a small diffusers pipeline that learns on two ranks and is evaluated on the way."""

import io
import json
import logging
import random
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from PIL import Image, ImageStat

import editbench
from editbench.editors import Diffusers
from editbench.judges import Judge, Reply
from editbench.rubrics import Brief

STEPS = (0, 1, 2)


class Painter(torch.nn.Module):
    """Gives each pixel another colour; dropout makes its training mode visible."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.colours = torch.nn.Conv2d(3, 3, 1)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, pixels):
        return self.dropout(self.colours(pixels)).sigmoid()


class PaintPipeline(DiffusionPipeline):
    """Paints a picture, with a little noise from the generator."""

    def __init__(self, painter, scheduler):
        super().__init__()
        self.register_modules(painter=painter, scheduler=scheduler)

    @torch.no_grad()
    def __call__(self, image, prompt, generator=None, num_inference_steps=1):
        self.scheduler.set_timesteps(num_inference_steps)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
        noise = torch.rand(pixels.shape, generator=generator) / 50
        painted = (self.painter(pixels) + noise).clamp(0, 1)[0].permute(1, 2, 0)
        return ImagePipelineOutput(images=[Image.fromarray((painted * 255).round().byte().numpy())])


@dataclass(kw_only=True)
class Brightness(Judge):
    """Says how bright the edit is, from 0.0 to 10.0."""

    def replies(self, messages):
        pictures = [[part for part in message.content if isinstance(part, Image.Image)][-1] for message in messages]
        return [Reply(text=f"{ImageStat.Stat(one.convert('L')).mean[0] / 25.5:.1f}") for one in pictures]


def make_pipeline(weights: Path | None = None) -> PaintPipeline:
    pipe = PaintPipeline(Painter(), FlowMatchEulerDiscreteScheduler())
    if weights is not None:
        pipe.painter.load_state_dict(torch.load(weights, weights_only=True))
    return pipe


def evaluate(pipe: Any, benchmark: str | Path, run: Path, name: str, **more: Any) -> editbench.Result:
    editor = Diffusers(pipeline=pipe, name=name, num_inference_steps=2)
    return editbench.evaluate(benchmark, editor, judge=Brightness(), rubric=Brief(), run_dir=run, **more)


def state(pipe: PaintPipeline) -> dict[str, Any]:
    """What an evaluation must leave as it is."""
    root, ours = logging.getLogger(), logging.getLogger("editbench")
    return {
        "handlers": (list(root.handlers), root.level, list(ours.handlers), ours.level, ours.propagate),
        "threads": torch.get_num_threads(),
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "grad": torch.is_grad_enabled(),
        "training": [layer.training for layer in pipe.painter.modules()],
        "scheduler": (id(pipe.scheduler), pipe.scheduler.timesteps.tolist()),
    }


@contextmanager
def own_log():
    """The host's log: a handler of the root logger, as a training script sets it up."""
    text = io.StringIO()
    root = logging.getLogger()
    before = list(root.handlers), root.level
    root.handlers, root.level = [logging.StreamHandler(text)], logging.INFO
    try:
        yield text
    finally:
        root.handlers, root.level = before


def train(folder: Path, benchmark: Path) -> None:
    """One rank of torchrun: three times a step of real training and an evaluation."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.set_num_threads(2)
    pipe = make_pipeline()
    optimizer = torch.optim.SGD(pipe.painter.parameters(), lr=2.0)
    target = torch.full((1, 3, 4, 4), 0.9)
    found = []
    with own_log() as text:
        for step in STEPS:
            logging.getLogger("host").info("step %d", step)
            pipe.painter.train()
            loss = torch.nn.functional.mse_loss(pipe.painter(torch.rand(1, 3, 4, 4)), target)
            optimizer.zero_grad()
            loss.backward()
            for weight in pipe.painter.parameters():
                dist.all_reduce(weight.grad)
            optimizer.step()
            if rank == 0:
                torch.save(pipe.painter.state_dict(), folder / f"{step}.pt")
            before = state(pipe)
            if rank == 0 and step == 1:  # the other rank makes no such call, and the later ones still meet
                evaluate(pipe, benchmark, folder / "alone", "alone", alone=True, plots=str(folder / "plots"))
            result = evaluate(pipe, benchmark, folder / f"run{step}", f"step-{step}")
            found.append({"value": result.overall.mean, "kept": state(pipe) == before})
        lines = text.getvalue().splitlines()
    (folder / f"rank{rank}.json").write_text(json.dumps({"evaluations": found, "lines": lines}))
    dist.barrier()
    dist.destroy_process_group()


def fail_on_rank_1(rank: int, size: int, folder: Path, benchmark: Path) -> None:
    """Rank 1 gives another benchmark, which is not there; rank 0 must not wait for it for ever."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size)
    said = ""
    try:
        evaluate(make_pipeline() if rank == 0 else Broken(Painter(), None), benchmark, folder / "run", "a")
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    (folder / f"rank{rank}.json").write_text(json.dumps(said))


def training_of(code: str, judge: type[Judge]) -> int:
    """Train for two steps by transformers' Trainer with the callback that the code defines; the number of steps."""
    from transformers import Trainer, TrainingArguments

    class Regression(torch.nn.Module):
        def __init__(self, painter):
            super().__init__()
            self.painter = painter

        def forward(self, pixels, labels):
            return {"loss": torch.nn.functional.mse_loss(self.painter(pixels), labels)}

    names: dict[str, Any] = {judge.__name__: judge}
    exec(code, names)  # a page's own lines
    pipe = make_pipeline()
    (kind,) = [value for value in names.values() if isinstance(value, type) and value.__name__ == "Evaluate"]
    rows = [{"pixels": torch.rand(3, 4, 4), "labels": torch.full((3, 4, 4), 0.9)} for _ in range(4)]
    arguments = TrainingArguments(
        output_dir="trained", max_steps=2, per_device_train_batch_size=2, report_to=[], save_strategy="no", use_cpu=True
    )
    trainer = Trainer(
        model=Regression(pipe.painter), args=arguments, train_dataset=rows, callbacks=[kind(pipe, every=1)]
    )
    return trainer.train().global_step


class Broken(PaintPipeline):
    """Loses its components, as a host with a bug may."""

    @property
    def components(self):
        raise ZeroDivisionError("planned")


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]))
