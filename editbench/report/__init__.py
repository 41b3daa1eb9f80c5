"""The report of one run or several: pages, tables and plots out of plain records."""

from editbench.report.terminal import render_table
from editbench.report.write import write_report

__all__ = ["render_table", "write_report"]
