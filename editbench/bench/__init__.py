"""Benchmarks of this package's own speed: `python -m editbench.bench`."""
