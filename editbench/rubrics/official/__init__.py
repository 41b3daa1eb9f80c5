"""Public benchmarks by their official questions and formulas, a file each; prompts come from the user's own copy."""
