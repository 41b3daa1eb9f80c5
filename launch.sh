#!/usr/bin/env bash
# Edit, score and report in one go: bash launch.sh [the arguments of edit.py, score.py and report.py]
#
#   bash launch.sh                                              the embedded demo
#   bash launch.sh --benchmark bench.json --run_dir runs/qwen   the real models
#
# Uses every GPU that this machine shows (CUDA_VISIBLE_DEVICES narrows that), or two processes on the CPU.
# NUM_EDITORS and NUM_JUDGES set the number of processes. Several machines: torchrun's own variables (PET_NNODES,
# PET_RDZV_ENDPOINT, PET_RDZV_BACKEND, PET_NODE_RANK), one launch.sh on each; the README has the Slurm recipe.
#
# Exit codes: 0 complete, 1 more failures than --max_failures, 2 a mistake in the call or the benchmark,
# 3 incomplete, 129, 130, 138 and 143 stopped by SIGHUP, SIGINT, SIGUSR1 or SIGTERM: the same command continues.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} PYTHONSAFEPATH=1 exec python -m editbench run "$@"
