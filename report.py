"""Report a run, or several side by side: report.md, report.json, report.html and plots.

python report.py --run runs/qwen
python report.py --run runs/qwen runs/flux --out runs/qwen-and-flux
"""

from editbench.command import run
from editbench.report_stage import report

if __name__ == "__main__":
    raise SystemExit(run(report, __doc__ or "", from_run=False))
