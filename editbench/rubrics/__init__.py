"""Rubrics: what a judge is asked about an edit, how its replies are read, and the numbers made of them."""

from editbench.rubrics.brief import Brief
from editbench.rubrics.five_aspects import FiveAspects
from editbench.rubrics.headlines import Headline, Level
from editbench.rubrics.rubric import Question, Reading, Rubric, Shown, quote

__all__ = ["Brief", "FiveAspects", "Headline", "Level", "Question", "Reading", "Rubric", "Shown", "quote"]
