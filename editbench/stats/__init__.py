"""Statistics: intervals, summaries, comparisons, correlation, judge health and human ratings."""
