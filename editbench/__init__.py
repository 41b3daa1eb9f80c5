"""Measures how well a model edits images on instruction: edit, score, report."""

__version__ = "0.1.0"
