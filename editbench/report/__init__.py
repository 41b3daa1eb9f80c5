"""The report of one run or several: pages, tables and plots out of plain records."""

from editbench.report.content import tell
from editbench.report.export import write_export
from editbench.report.plots import write_plots
from editbench.report.terminal import render_table
from editbench.report.write import write_report

__all__ = ["render_table", "tell", "write_export", "write_plots", "write_report"]
