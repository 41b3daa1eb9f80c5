"""Edit the pairs of a benchmark, each process its share on its own GPU.

    torchrun --nproc_per_node=6 edit.py --benchmark bench.json --run_dir runs/qwen
    torchrun --nproc_per_node=2 edit.py                       # the embedded demo, also without a GPU

Started again with the same arguments it goes on where it stopped.
"""

from editbench.cli.command import run
from editbench.stages.edit import edit

if __name__ == "__main__":
    raise SystemExit(run(edit, __doc__ or "", from_run=False))
