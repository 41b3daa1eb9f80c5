"""A rubric's YAML file: its plain values, its calls, its formula, and the whole of it."""
