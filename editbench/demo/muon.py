"""Muon with one matrix multiplication for all layers of a shape, where torch's own has one for each."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon

WEIGHT_DECAY = 0.01


class BatchedMuon(Muon):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, its small matrices orthogonalised together.

    On an H100 the stock one took 40 ms a step for the editor's hundred matrices, two fifths of the step.
    """

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
                updates = torch.stack(torch._foreach_lerp(grads, buffers, group["momentum"]))
                updates = orthogonal(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                scale = -0.2 * max(shape) ** 0.5 * group["lr"]
                torch._foreach_add_(parameters, [update.to(grads[0].dtype) for update in updates], alpha=scale)


def orthogonal(updates: Any, coefficients: tuple[float, float, float], num_steps: int, eps: float) -> Any:
    """Matrices (count, rows, columns) with their singular values brought near one, in bf16.

    The Newton-Schulz iteration of Keller Jordan's "Muon: An optimizer for hidden layers in neural networks" (2024).
    """
    a, b, c = coefficients
    turned = updates.shape[1] > updates.shape[2]
    x = updates.bfloat16().mT if turned else updates.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(num_steps):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x.mT if turned else x


def optimisers_of(named: Iterable[tuple[str, Any]], *, fused: bool) -> list[Any]:
    """Muon for the layers' matrices, Adam for the rest: embeddings, norms, biases, the first and last layers.

    Muon's updates are scaled to the size of Adam's, so one learning rate serves both.
    """
    learning = list(named)
    inner = [p for name, p in learning if p.ndim == 2 and ("blocks" in name or "layers" in name)]
    chosen = {id(p) for p in inner}
    rest = [p for _, p in learning if id(p) not in chosen]
    return [
        BatchedMuon(inner, lr=1e-3, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        AdamW(rest, lr=1e-3, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=fused),
    ]
