"""Report a run, or several side by side: report.md, report.json, report.html and plots.

python report.py --run_dir runs/qwen
python report.py --run_dir runs/qwen runs/flux --out runs/qwen-and-flux
"""

from editbench.cli.command import run
from editbench.stages.report import report

if __name__ == "__main__":
    raise SystemExit(run(report, __doc__ or "", from_run=False))
