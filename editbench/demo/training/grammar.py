"""The whole grammar: importing this enters every production."""

from editbench.demo.training import grammar_lives, grammar_sky, grammar_things
from editbench.demo.training.edits import PRODUCTIONS

__all__ = ["PRODUCTIONS", "grammar_lives", "grammar_sky", "grammar_things"]
