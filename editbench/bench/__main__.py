"""Measure speed and growth on this machine: no model hub, no benchmark file.

python -m editbench.bench edit --out edit.json          # the editor at its real size; one GPU of 80 GB
python -m editbench.bench judge --out judge.json        # the judge at its real size; one GPU of 80 GB
python -m editbench.bench engines --model /data/judge    # the judges QwenVL and VLLM side by side; one GPU of 80 GB
python -m editbench.bench edit --small                  # the same steps with a tiny model, also without a GPU
python -m editbench.bench scaling 1 2 --folder /data     # launch.sh on that many GPUs of 80 GB; 120 GB of disk
python -m editbench.bench scale 1000 10000 100000       # every stage by number of pairs; no GPU
python -m editbench.bench resume_score 100000           # the start of a resumed score, three calls a pair; no GPU
python -m editbench.bench page 1200                     # the report's page in Chromium; no GPU
python -m editbench.bench coverage                      # intervals, tests and power by simulation; no GPU
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

_BENCHMARKS = ("coverage", "edit", "engines", "judge", "page", "resume_score", "scale", "scaling")


def main(argv: Sequence[str]) -> None:
    """Run one of the benchmarks; its own `--help` has its options."""
    parser = argparse.ArgumentParser(
        prog="python -m editbench.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=_BENCHMARKS)
    args = parser.parse_args([*argv][:1] or ["--help"])
    import_module(f"editbench.bench.{args.what}").main([*argv][1:])


if __name__ == "__main__":
    main(sys.argv[1:])
