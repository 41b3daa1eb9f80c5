"""A run directory: its paths, files that survive a crash, and the lease that keeps two launches apart."""
