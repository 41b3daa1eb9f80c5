"""Speed of the Qwen-Image editors: the stock denoiser, the fast one and each of its levers, then whole edits."""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from editbench.bench import random_models
from editbench.bench.measure import Figures, distance, matmul_ceiling, seconds, timed
from editbench.bench.whole_edits import autoencoder, stage, text_encoder
from editbench.models.qwen_image import reachable_timesteps, reference
from editbench.models.qwen_image.attention import by_torch
from editbench.models.qwen_image.denoiser import Denoiser
from editbench.models.qwen_image.modulation import Live, Table
from editbench.models.qwen_image.pipeline import attention_for, kernels_for

_ROUNDING = (  # blocks, tokens high and wide of each picture, tokens of text, whether shown pictures count as clean
    (6, 64, 64, 1395, False),
    (6, 90, 44, 37, False),
    (6, 52, 78, 300, True),
)


def main(argv: Sequence[str]) -> None:
    """Parse the options and go through the parts."""
    parser = argparse.ArgumentParser(prog="python -m editbench.bench edit", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file, written anew after each figure")
    parser.add_argument("--small", action="store_true", help="the demo's sizes: a rehearsal, its times mean nothing")
    parser.add_argument("--text", type=int, default=1395, help="tokens of text (1395: a 1 MP picture and a sentence)")
    parser.add_argument("--calls", type=int, default=10, help="forwards that a median is over")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 50], help="denoising steps of the whole edits")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS, help="what to measure")
    args = parser.parse_args(argv)
    bench = _Bench(args)
    for part in _PARTS:
        if part in args.parts:
            getattr(bench, part)()


# what decides most comes first; what changes the model for good comes last
_PARTS = ("denoiser", "attention", "kernels", "rounding", "compiled", "edits")


class _Bench:
    def __init__(self, args: argparse.Namespace):
        self._args, self._small = args, bool(args.small)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._side = 8 if self._small else 64  # tokens; 64 are 1024 pixels
        self._figures = Figures("machine", args.out)
        self._part = self._figures.part
        dtype, size = (torch.float32, 256) if self._small else (torch.bfloat16, 8192)
        self._part("matmul ceiling", lambda: matmul_ceiling(self._device, dtype, size))
        torch.manual_seed(0)
        self._model: Any = None
        self._figures.add("build", self._build())
        self._kernels = kernels_for(self._model.device)
        self._fast = partial(Denoiser, self._model, Live(self._model))
        start = time.monotonic()
        self._attention_4 = attention_for(self._model)
        chosen = {"name": self._attention_4.name, "why not FlashAttention 4": self._attention_4.reason}
        self._figures.add("attention chosen", chosen | _flash_4_packages() | {"took_s": time.monotonic() - start})
        self._expected: torch.Tensor | None = None

    def denoiser(self) -> None:
        """A forward of the stock model, of the fast one, and of the fast one without one optimisation at a time."""
        self._forward("stock", self._model.forward)
        self._forward("fast", self._fast(self._kernels))
        if self._attention_4.reason is None:
            self._forward("fast, FlashAttention 4", self._fast(self._kernels, attend=self._attention_4.attend))
            self._forward("fast, a second time", self._fast(self._kernels))  # whether the clock fell meanwhile
        if self._device == "cuda":
            self._forward("fast, GELU on its own", self._fast(self._kernels, gelu_epilogue=False))
            self._forward("fast, kernels by Inductor", self._fast(_by_inductor()))
        self._forward("fast, kernels in plain torch", self._fast(reference))

    def attention(self) -> None:
        """The attention of one block by itself."""
        if self._device == "cuda":
            self._part("attention alone", self._attention)

    def kernels(self) -> None:
        """What a forward's time goes into."""
        if self._device == "cuda":
            self._part("kernels of fast", partial(self._profile, self._fast(self._kernels)))
            self._part("kernels of stock", partial(self._profile, self._model.forward))

    def rounding(self) -> None:
        """How far both are from float32, over shapes and lengths of text."""
        for blocks, height, width, num_text, zero in _ROUNDING:
            name = f"rounding, {blocks} blocks, {height}×{width} tokens, text {num_text}" + ", zero_cond_t" * zero
            self._part(name, partial(self._rounding, blocks, height, width, num_text, zero))

    def compiled(self) -> None:
        """The stock model as torch.compile makes it."""
        if self._device == "cuda":
            self._model.compile_repeated_blocks(fullgraph=True)
            self._forward("stock, blocks compiled", self._model.forward)
            for block in self._model.transformer_blocks:
                block._compiled_call_impl = None

    def edits(self) -> None:
        """What stands around the denoiser, and the edit stage as a run drives it."""
        pipeline = random_models.pipeline(self._model, small=self._small)
        self._part("text encoder", partial(text_encoder, pipeline, self._device))
        self._part("autoencoder", partial(autoencoder, pipeline.vae, self._device, small=self._small))
        few, *more = self._args.steps
        self._part("stock, first edit", partial(stage, pipeline, self._device, few, 1))
        for steps, num_images in ((few, 5), *((steps, 1) for steps in more)):
            self._part(f"stock, {steps} steps", partial(stage, pipeline, self._device, steps, num_images))
        self._part("table", partial(self._table, pipeline))
        self._forward("fast with table", self._model.forward)
        self._part("fast, first edit", partial(stage, pipeline, self._device, few, 1))
        self._part(f"fast denoiser alone, {few} steps", partial(stage, pipeline, self._device, few, 5))
        for steps, num_images in ((few, 10), *((steps, 2) for steps in more)):
            self._part(f"fast, {steps} steps", partial(stage, pipeline, self._device, steps, num_images, fast=True))

    def _forward(self, name: str, forward: Callable[..., Any]) -> None:
        self._part(name, partial(self._measure, forward))

    def _build(self) -> dict[str, Any]:
        def make() -> None:
            self._model = random_models.transformer(self._device, small=self._small)

        return {"took_s": seconds(make, self._device), "parameters": self._model.num_parameters()} | self._memory()

    @torch.inference_mode()
    def _measure(self, forward: Callable[..., Any]) -> dict[str, Any]:
        """A forward at the asked length of text, and the first at a length that was not met before."""
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        inputs = self._inputs(self._model, self._side, self._side, self._args.text)
        other = self._inputs(self._model, self._side, self._side, self._args.text - 13)
        first_s = seconds(lambda: forward(**inputs), self._device)
        figures: dict[str, Any] = timed(lambda: forward(**inputs), self._device, num_calls=self._args.calls)
        output = forward(**inputs)[0][:, : self._side**2]  # what the pipelines read of it
        expected = self._expected = output if self._expected is None else self._expected
        return {
            **figures,
            "TFLOP/s": self._flops() / figures["median_s"] / 1e12,
            "first_s": first_s,
            "new_length_s": seconds(lambda: forward(**other), self._device),
            "known_length_s": seconds(lambda: forward(**other), self._device),
            "from_stock": distance(output, expected),
        } | self._memory()

    def _memory(self) -> dict[str, float]:
        if self._device == "cpu":
            return {}
        return {
            "held_gib": torch.cuda.memory_allocated() / 2**30,
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        }

    def _flops(self) -> float:
        """Of one forward's linear layers and attention; all else is far below a percent."""
        config = self._model.config
        width, tokens = config.num_attention_heads * config.attention_head_dim, 2 * self._side**2 + self._args.text
        return config.num_layers * (2 * 12 * width**2 * tokens + 4 * tokens**2 * width)

    def _inputs(self, model: Any, height: int, width: int, num_text: int) -> dict[str, Any]:
        draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
        place = {"device": model.device, "dtype": model.dtype}
        return {
            "hidden_states": draw(1, 2 * height * width, model.config.in_channels).to(**place),
            "encoder_hidden_states": draw(1, num_text, model.config.joint_attention_dim).to(**place),
            "timestep": torch.full((1,), 0.5, **place),
            "img_shapes": [[(1, height, width)] * 2],
            "return_dict": False,
        }

    @torch.inference_mode()
    def _attention(self) -> dict[str, Any]:
        """Of one block, by each backend, and the first at a number of tokens that was not met before."""
        tokens = 2 * self._side**2 + self._args.text
        q, k, v = torch.randn(3, 1, tokens, 24, 128, device="cuda", dtype=torch.bfloat16).transpose(2, 3)
        figures: dict[str, Any] = {}
        for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
            with sdpa_kernel(backend):
                attend = partial(F.scaled_dot_product_attention, q, k, v)
                fewer = partial(F.scaled_dot_product_attention, q[:, :, 7:], k[:, :, 7:], v[:, :, 7:])
                figures[f"{name}_s"] = timed(attend, "cuda", num_calls=20)["median_s"]
                figures[f"{name}_new_length_s"] = seconds(fewer, "cuda")
        if self._attention_4.reason is None:
            q, k, v = (heads[0].transpose(0, 1) for heads in (q, k, v))
            attend = partial(self._attention_4.attend, q, k, v)
            figures["flash_4_s"] = timed(attend, "cuda", num_calls=20)["median_s"]
            figures["flash_4_new_length_s"] = seconds(lambda: self._attention_4.attend(q[7:], k[7:], v[7:]), "cuda")
            exact = by_torch(q.float(), k.float(), v.float())
            figures["flash_4_from_float32"] = distance(attend(), exact)
            figures["torch_from_float32"] = distance(by_torch(q, k, v), exact)
            figures["flash_4_same_again"] = bool(torch.equal(attend(), attend()))
        return figures

    @torch.inference_mode()
    def _profile(self, forward: Callable[..., Any]) -> dict[str, Any]:
        """The kernels that take most of a forward, milliseconds."""
        inputs = self._inputs(self._model, self._side, self._side, self._args.text)
        forward(**inputs)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            forward(**inputs)
            torch.cuda.synchronize()
        took = [(event.self_device_time_total / 1e3, event.count, event.key) for event in profile.key_averages()]
        most = sorted(took, reverse=True)[:14]
        return {"all_ms": sum(ms for ms, _, _ in took)} | {f"{key[:70]} ×{count}": ms for ms, count, key in most}

    @torch.inference_mode()
    def _rounding(self, blocks: int, height: int, width: int, num_text: int, zero: bool) -> dict[str, Any]:
        """How far the stock and the fast forward are from the same weights in float32."""
        if self._small:
            height, width, num_text = height // 8, width // 8, num_text // 8
        model = random_models.transformer(self._device, small=self._small, num_layers=blocks, zero_cond_t=zero)
        model.to(torch.bfloat16)
        inputs = self._inputs(model, height, width, num_text)
        new = slice(height * width)  # what the pipelines read of it
        stock = model(**inputs)[0][:, new]
        kernels = kernels_for(model.device)
        fast = Denoiser(model, Live(model), kernels)(**inputs)[0]
        by_4 = attention_for(model)
        fast_4 = Denoiser(model, Live(model), kernels, attend=by_4.attend)(**inputs)[0] if by_4.reason is None else None
        exact = {name: value.float() if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}
        expected = model.float()(**exact)[0][:, new]
        return {
            "stock_from_float32": distance(stock, expected),
            "fast_from_float32": distance(fast, expected),
            "fast_from_stock": distance(fast, stock),
        } | ({} if fast_4 is None else {"flash_4_from_float32": distance(fast_4, expected)})

    def _table(self, pipeline: Any) -> dict[str, Any]:
        """Give the pipeline the fast denoiser, as an editor does, for all the numbers of steps that are asked for."""
        model = self._model
        before = self._memory()
        timesteps = torch.cat([reachable_timesteps(pipeline, steps, {}) for steps in self._args.steps])
        inputs = self._inputs(model, self._side, self._side, self._args.text)
        timesteps = torch.cat((timesteps, inputs["timestep"]))
        made: list[Table] = []
        with torch.inference_mode():
            took_s = seconds(lambda: made.append(Table(model, timesteps)), self._device)
        attend = self._attention_4.attend
        model.forward = Denoiser(model, made[0], kernels_for(model.device), attend=attend)
        return {"took_s": took_s, "table_gib": made[0].num_bytes / 2**30, "timesteps": len(torch.unique(timesteps))} | {
            f"{name}_{when}": value
            for when, row in (("before", before), ("after", self._memory()))
            for name, value in row.items()
        }


def _flash_4_packages() -> dict[str, str]:
    """Versions of what FlashAttention 4 is made of, as far as it is installed."""
    names = ("flash-attn-4", "vllm", "nvidia-cutlass-dsl", "quack-kernels", "apache-tvm-ffi")
    found = {one.name: one.version for one in metadata.distributions() if one.name in names}
    return {name: found[name] for name in names if name in found}


def _by_inductor() -> Any:
    return SimpleNamespace(
        modulate=torch.compile(reference.modulate, dynamic=True),
        gate_modulate=torch.compile(reference.gate_modulate, dynamic=True),
        rotate=torch.compile(reference.rotate, dynamic=True),
    )
