"""One process of a launch: its rank and device, signals, hangs, fatal faults, terminal and redaction."""
