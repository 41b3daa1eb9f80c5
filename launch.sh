#!/usr/bin/env bash
# Edit, score and report in one go: bash launch.sh [the arguments of edit.py, score.py and report.py]
#
#   bash launch.sh                                              the embedded demo
#   bash launch.sh --benchmark bench.json --run_dir runs/qwen       the real models
#
# Uses every GPU that this machine shows (CUDA_VISIBLE_DEVICES narrows that), or two processes on the CPU.
# NUM_EDITORS and NUM_JUDGES set the number of processes. Several machines: torchrun's own variables (PET_NNODES,
# PET_RDZV_ENDPOINT, PET_RDZV_BACKEND, PET_NODE_RANK), one launch.sh on each; the README has the Slurm recipe.
#
# Exit codes: 0 complete, 1 more failures than --max_failures, 2 something to mend in the call or the benchmark,
# 3 incomplete: the same command goes on with it, 130 and 143 stopped by SIGINT or SIGTERM: the same command too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Every stage is a process group of its own (set -m), so that it gets each signal once: from here, not from the terminal.
set -m
stopped=0 child=
pass_on() { # pass_on <signal> <exit code>
    stopped=$2
    if [[ -n $child ]]; then kill -"$1" "$child" 2>/dev/null || true; fi
}
trap 'pass_on INT 130' INT
trap 'pass_on TERM 143' TERM
trap 'pass_on USR1 138' USR1
run() { # run <command …>: to its end, also when a signal breaks off the waiting
    local code=0
    "$@" &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
    child=
    if ((stopped)); then exit "$stopped"; fi
    return "$code"
}

# What is only to be told needs one script, and no GPU.
for argument in "$@"; do
    case $argument in -h | --help | --*.help* | --print_config* | --check) exec python "$here/edit.py" "$@" ;; esac
done

# Torch is asked, not nvidia-smi: it knows CUDA_VISIBLE_DEVICES, MIG and ROCm.
gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
editors=${NUM_EDITORS:-$((gpus > 0 ? gpus : 2))}
echo "$gpus GPUs: $editors processes edit." >&2

ended() {
    local code=$?
    case $code in 3 | 130 | 143) echo "launch.sh: stopped with code $code; the same command goes on." >&2 ;; esac
}
trap ended EXIT

# Several nodes each write their own rendezvous; one node needs none that could meet another launch's.
if [[ -z ${PET_RDZV_ENDPOINT:-}${PET_MASTER_ADDR:-} ]]; then standalone=(--standalone); else standalone=(); fi
stage() { # stage <processes> <script> <arguments>
    local processes=$1
    shift
    if ((processes == 1)) && ((${#standalone[@]} == 1)); then
        run python "$@"
        return
    fi
    PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
        run python -m editbench.cli.processes "${standalone[@]}" --nproc_per_node="$processes" -- "$@"
}

run python "$here/edit.py" "$@" --check
stage "$editors" "$here/edit.py" "$@"
# After editing, so that the run's own config.yaml names the judge where the arguments do not.
judges=${NUM_JUDGES:-$(PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} python -m editbench.cli.replicas "$@")}
if ((stopped)); then exit "$stopped"; fi
stage "$judges" "$here/score.py" "$@"
if [[ ${PET_NODE_RANK:-${SLURM_NODEID:-0}} == 0 ]]; then
    run python "$here/report.py" "$@"
fi
