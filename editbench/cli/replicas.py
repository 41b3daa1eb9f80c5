"""How many judges a machine is to run, by its files alone: `python -m editbench.cli.replicas <score.py's arguments>`.

Prints the number for the launcher, and says in a line why. Nothing is loaded.
"""

from importlib.util import find_spec

from editbench.cli.command import ended, start_process
from editbench.cli.options import parse
from editbench.judges import QwenVL
from editbench.process.terminal import say

_SHARE = 0.9  # of a GPU, as `QwenVL.load` allows itself
_BESIDE = 4 * 2**30  # a prompt's activations and a few replies, bytes
_ON_CPU = 2


def num_judges(gpus: list[int], weights: int | None) -> tuple[int, str]:
    """The number of processes that share a machine's GPUs evenly, and the reason.

    Args:
        gpus: the memory of each, bytes.
        weights: what one judge loads, bytes; 0: nothing, for its model is elsewhere; None: not known.

    """
    if weights == 0:
        return 1, "its model runs elsewhere"
    if not gpus:
        return _ON_CPU, "no GPU"
    if weights is None:
        return 1, f"the checkpoint's size is not known: over all {len(gpus)} GPUs"
    need, room = weights + _BESIDE, int(_SHARE * min(gpus))
    each = min(-(-need // room), len(gpus))
    size, memory = f"{weights / 2**30:.1f} GiB of weights", f"{min(gpus) / 2**30:.0f} GiB a GPU"
    short = ", which is not enough: the rest goes to the host's memory" if need > room * each else ""
    return len(gpus) // each, f"{size}, {memory}: {each} GPU{'s' * (each > 1)} a judge{short}"


def main() -> int:
    """Parse the options as `score.py` does and print the number; returns the exit code."""
    start_process()
    return ended(_print_number)


def _print_number() -> int:
    judge = parse(__doc__ or "", from_run=True).judge
    weights = judge.weight_bytes()
    gpus = [] if weights == 0 else _gpus()
    number, why = num_judges(gpus, weights)
    say(f"{number} of the judge {judge.name} ({why}).")
    if gpus and type(judge) is QwenVL and find_spec("vllm") is not None:
        say("vLLM is installed: --judge VLLM asks the same model in less time.")
    print(number)  # noqa: T201
    return 0


def _gpus() -> list[int]:
    """The memory of each GPU of this machine, bytes."""
    import torch

    return [torch.cuda.get_device_properties(gpu).total_memory for gpu in range(torch.cuda.device_count())]


if __name__ == "__main__":
    raise SystemExit(main())
