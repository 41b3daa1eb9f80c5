"""Speed of the judge Qwen3-VL-30B-A3B: transformers' own loop, ours and each of its levers, in one run."""

# pyright: reportPrivateUsage=false
# the pieces of a forward are timed too, and nobody else calls them one by one
import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from editbench.bench import random_judge
from editbench.bench.measure import Figures, distance, matmul_ceiling, seconds, timed
from editbench.models.qwen3_vl.forward import Prompt, Qwen3VL

_NUM_COMPARED = 8  # questions of which the replies alone and in a batch are compared
_PREFIX = 741  # tokens of the detailed English rubric with a rationale, in the mean of the five aspects


def main(argv: Sequence[str]) -> None:
    """Parse the options and go through the parts."""
    parser = argparse.ArgumentParser(prog="python -m editbench.bench judge", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file, written anew after each part")
    parser.add_argument("--small", action="store_true", help="a tiny model: a rehearsal, its times mean nothing")
    parser.add_argument("--layers", type=int, help="of the text model; fewer than 48 where 78 GiB are not there")
    parser.add_argument("--side", type=int, default=1024, help="of both pictures, pixels")
    parser.add_argument("--opening", type=int, default=_PREFIX, help="tokens before the pictures, all pairs'")
    parser.add_argument("--stock", nargs="+", default=["4x6", "4x128"], help="batch x new tokens by transformers")
    parser.add_argument("--ours", nargs="+", default=["1x6", "8x6", "32x6", "32x128"], help="the same by ours")
    parser.add_argument("--calls", type=int, default=3, help="calls that a median is over")
    parser.add_argument("--only", nargs="+", default=[""], help="only the parts whose names hold one of these")
    _Bench(parser.parse_args(argv)).run()


class _Bench:
    def __init__(self, args: argparse.Namespace):
        self._args = args
        self._side: int = 64 if args.small else args.side
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._figures = Figures("machine", args.out)
        self._model: Any = None
        self._inputs: list[dict[str, Any]] = []
        self._prompts: list[Prompt] = []

    def run(self) -> None:
        """All parts, the ones that decide most first."""
        dtype, size = (torch.float32, 256) if self._args.small else (torch.bfloat16, 8192)
        self._part("matmul ceiling", lambda: matmul_ceiling(self._device, dtype, size))
        self._figures.part("build", self._build)
        for batch, new in map(_sizes, self._args.stock):
            self._part(f"stock generate, {batch} pairs, {new} tokens", partial(self._stock, batch, new))
        self._part("stock forward, 1 pair", self._stock_forward)
        self._part("stock, replies that differ by batch", partial(self._differing, self._stock_tokens))
        ours, in_one_piece = Qwen3VL(self._model), Qwen3VL(self._model, prefix_bytes=None)
        for name, way in (("", ours), (", prompts in one piece", in_one_piece)):
            self._part("ours, one forward" + name, partial(self._forwards, way))
            self._part("ours, pieces of a forward" + name, partial(self._pieces, way))
        for batch, new in map(_sizes, self._args.ours):
            self._part(f"ours, {batch} pairs, {new} tokens", partial(self._ours, ours, batch, new))
        self._part("ours, replies that differ by batch", partial(self._differing, partial(self._tokens, ours)))
        if self._device == "cuda":
            self._levers(ours)

    def _levers(self, ours: Qwen3VL) -> None:
        """Each one taken away, on a GPU."""
        ours._cache = None  # its memory is the next ones'
        self._part("kernels of a forward", lambda: self._profile(lambda: ours.logits(self._prompts[:1])))
        self._part("one forward, not compiled", lambda: self._forwards(Qwen3VL(self._model, compiled=False)))
        for experts, graphs in (("grouped_mm", True), ("grouped_mm", False), ("batched_mm", True)):
            name = f"step of 32, {experts}" + ", as a graph" * graphs
            self._part(name, partial(self._step, 32, experts, graphs=graphs))

    def _part(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        if any(piece in name for piece in self._args.only):
            self._figures.part(name, measure)

    def _build(self) -> dict[str, Any]:
        def make() -> None:
            self._model = random_judge.model(self._device, small=self._args.small, num_layers=self._args.layers)

        took_s = seconds(make, self._device)
        ours = Qwen3VL(self._model)
        most = max(batch for batch, _ in map(_sizes, [*self._args.ours, *self._args.stock, f"{_NUM_COMPARED}x1"]))
        shape = {"side": self._side, "num_opening": self._args.opening}
        self._inputs = [random_judge.inputs(self._model, number, **shape) for number in range(most)]
        self._prompts = [ours.prompt(row) for row in self._inputs]
        lengths = [len(prompt.ids) for prompt in self._prompts]
        return {
            "took_s": took_s,
            "parameters": self._model.num_parameters(),
            "layers": self._model.config.text_config.num_hidden_layers,
            "prompt_tokens": f"{min(lengths)} to {max(lengths)}",
            "row_gib": ours.row_bytes(max(lengths) + 128) / 2**30,
        } | self._memory()

    def _generate(self, rows: list[dict[str, Any]], new: int) -> Any:
        inputs = random_judge.batch(self._model, rows)
        with torch.inference_mode():
            output = self._model.generate(**inputs, max_new_tokens=new, min_new_tokens=new, do_sample=False)
        return output[:, inputs["input_ids"].shape[1] :]

    def _stock(self, batch: int, new: int) -> dict[str, Any]:
        """Transformers' generate as it is, its inputs on the device already but for the copy."""
        self._reset_peak()
        rows = self._inputs[:batch]
        self._generate(rows, 2)
        took = [seconds(lambda: self._generate(rows, new), self._device) for _ in range(self._args.calls)]
        return self._a_pair(took, batch) | self._memory()

    def _stock_forward(self) -> dict[str, Any]:
        """What an expected score takes by the stock model, and how far our logits are from its."""
        inputs = random_judge.batch(self._model, self._inputs[:1])

        def forward() -> Any:
            with torch.inference_mode():
                return self._model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]

        figures: dict[str, Any] = timed(forward, self._device, num_calls=self._args.calls)
        figures["ours_from_stock"] = distance(Qwen3VL(self._model).logits(self._prompts[:1]), forward())
        return figures

    def _forwards(self, ours: Qwen3VL) -> dict[str, Any]:
        """One after another without a wait between them, as an expected score of a batch takes them."""
        prompts = self._prompts[:_NUM_COMPARED]
        self._reset_peak()
        first_s = seconds(lambda: ours.logits(prompts[:1]), self._device)
        ours.logits(prompts)
        took = [seconds(lambda: ours.logits(prompts), self._device) for _ in range(self._args.calls)]
        together = ours.logits(prompts)
        alone: list[Any] = []
        for prompt in prompts:
            ours._prefixes.clear()
            alone.append(ours.logits([prompt]))
        same = together.equal(torch.cat(alone))
        return self._a_pair(took, len(prompts)) | {"first_s": first_s, "same_in_any_batch": same} | self._memory()

    @torch.inference_mode()
    def _pieces(self, ours: Qwen3VL) -> dict[str, Any]:
        """The language part with the opening kept, where it is, and what a new opening takes."""
        prompt = self._prompts[0]
        words = Prompt(ids=prompt.ids, positions=prompt.positions, pixels=None, sizes=())
        see = timed(lambda: ours._vision_tower(prompt), self._device, num_calls=self._args.calls)
        read = timed(lambda: ours._prefill(words, None, 0, 0), self._device, num_calls=self._args.calls)
        figures = {"vision_s": see["median_s"], "language_s": read["median_s"]}
        if ours._prefixes:

            def open_anew() -> None:
                ours._prefixes.clear()
                ours._prefill(words, None, 0, 0)

            anew = timed(open_anew, self._device, num_calls=self._args.calls)
            figures["opening_s"] = anew["median_s"] - read["median_s"]
        return figures

    def _tokens(self, ours: Qwen3VL, rows: Sequence[int], new: int) -> list[list[int]]:
        prompts = [self._prompts[row] for row in rows]
        return ours.write(prompts, [1] * len(rows), lambda logits, _: logits.argmax(-1), lambda _: False, new)

    def _stock_tokens(self, rows: Sequence[int], new: int) -> list[list[int]]:
        return self._generate([self._inputs[row] for row in rows], new).tolist()

    def _ours(self, ours: Qwen3VL, batch: int, new: int) -> dict[str, Any]:
        self._reset_peak()
        rows = range(batch)
        first_s = seconds(lambda: self._tokens(ours, rows, new), self._device)
        took = [seconds(lambda: self._tokens(ours, rows, new), self._device) for _ in range(self._args.calls)]
        return self._a_pair(took, batch) | {"first_s": first_s} | self._memory()

    def _differing(self, write: Callable[[Sequence[int], int], list[list[int]]]) -> dict[str, Any]:
        """Of greedy replies alone and together; random weights have more near ties than real ones."""
        rows = range(_NUM_COMPARED)
        together = write(rows, 6)
        alone = [write([row], 6)[0] for row in rows]
        differ = [a != b for a, b in zip(alone, together, strict=True)]
        first = [a[0] != b[0] for a, b in zip(alone, together, strict=True)]
        return {"replies": len(differ), "differ": sum(differ), "differ_in_first_token": sum(first)}

    def _step(self, batch: int, experts: str, *, graphs: bool) -> dict[str, Any]:
        """One token more of each of so many replies."""
        ours = Qwen3VL(self._model, graphs=graphs)
        self._model.set_experts_implementation(experts)
        try:
            with torch.inference_mode():
                slots = ours._kv_cache(batch, self._prompts[0].ids.shape[0] + 128)
                slots.mask.fill_(True)
                slots.at.zero_()
                return timed(lambda: ours._next(slots), self._device, num_calls=20)
        finally:
            self._model.set_experts_implementation("grouped_mm")

    def _profile(self, call: Callable[[], Any]) -> dict[str, Any]:
        """The kernels that take most, milliseconds."""
        call()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            call()
            torch.cuda.synchronize()
        took = [(event.self_device_time_total / 1e3, event.count, event.key) for event in profile.key_averages()]
        most = sorted(took, reverse=True)[:18]
        return {"all_ms": sum(ms for ms, _, _ in took)} | {f"{key[:70]} ×{count}": ms for ms, count, key in most}

    def _a_pair(self, took: list[float], num_pairs: int) -> dict[str, Any]:
        each = [whole / num_pairs for whole in took]
        return {"s_a_pair": statistics.median(each), "fastest_s": min(each), "slowest_s": max(each)}

    def _reset_peak(self) -> None:
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def _memory(self) -> dict[str, float]:
        if self._device == "cpu":
            return {}
        return {"peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def _sizes(text: str) -> tuple[int, int]:
    batch, new = text.split("x")
    return int(batch), int(new)
