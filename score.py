"""Score the edits of a run with a vision-language judge; edits and other judges' scores stay as they are.

    python score.py --run_dir runs/qwen                                 # one judge over all GPUs
    torchrun --nproc_per_node=6 score.py --run_dir runs/qwen            # one judge a process: six times faster
    python score.py --run_dir runs/qwen --rubric Brief --scores brief   # asked another way, under another name

What is not given is taken from the run's own config.yaml.
"""

from editbench.cli.command import run
from editbench.stages.score import score

if __name__ == "__main__":
    raise SystemExit(run(score, __doc__ or "", from_run=True))
