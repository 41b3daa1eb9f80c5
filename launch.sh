#!/usr/bin/env bash
# Edit, score and report in one go: bash launch.sh [the arguments of edit.py, score.py and report.py]
#
#   bash launch.sh                                              the embedded demo
#   bash launch.sh --benchmark bench.json --run runs/qwen       the real models
#
# Uses every GPU that this machine shows (CUDA_VISIBLE_DEVICES narrows that), or two processes on the CPU.
# NUM_EDITORS and NUM_JUDGES set the number of processes. Several machines: torchrun's own variables (PET_NNODES,
# PET_RDZV_ENDPOINT, PET_RDZV_BACKEND, PET_NODE_RANK), one launch.sh on each; the README has the Slurm recipe.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Torch is asked, not nvidia-smi: it knows CUDA_VISIBLE_DEVICES, MIG and ROCm.
read -r gpus gib < <(python - <<'PYTHON'
import torch
sizes = [torch.cuda.get_device_properties(gpu).total_memory for gpu in range(torch.cuda.device_count())]
print(len(sizes), min(sizes, default=0) // 2**30)
PYTHON
)
editors=${NUM_EDITORS:-$((gpus > 0 ? gpus : 2))}
# The default judge has 58 GiB of weights: one a GPU where that fits, else one over all of them.
judges=${NUM_JUDGES:-$((gpus == 0 ? 2 : gib >= 70 ? gpus : 1))}
echo "$gpus GPUs: $editors processes edit, then $judges judge." >&2

# Several nodes each write their own rendezvous; one node needs none that could meet another launch's.
if [[ -z ${PET_RDZV_ENDPOINT:-}${PET_MASTER_ADDR:-} ]]; then standalone=(--standalone); else standalone=(); fi
stage() { # stage <processes> <script> <arguments>
    local processes=$1
    shift
    if ((processes == 1)) && ((${#standalone[@]} == 1)); then
        python "$@"
    else
        OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} torchrun "${standalone[@]}" --nproc_per_node="$processes" -- "$@"
    fi
}

python "$here/edit.py" "$@" --check
stage "$editors" "$here/edit.py" "$@"
stage "$judges" "$here/score.py" "$@"
if [[ ${PET_NODE_RANK:-${SLURM_NODEID:-0}} == 0 ]]; then
    python "$here/report.py" "$@"
fi
