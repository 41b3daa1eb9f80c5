"""Rubrics: what a judge is asked about an edit, how its replies are read, and the numbers made of them."""

from editbench.rubrics.brief import Brief
from editbench.rubrics.five_aspects import FiveAspects
from editbench.rubrics.from_file import FromFile
from editbench.rubrics.headlines import Headline, Level
from editbench.rubrics.official.complexedit import ComplexEdit
from editbench.rubrics.official.gedit import GEdit
from editbench.rubrics.official.imgedit import ImgEdit
from editbench.rubrics.official.kris import Kris
from editbench.rubrics.official.pica import Pica
from editbench.rubrics.official.rededit import RedEdit
from editbench.rubrics.official.rise import Rise
from editbench.rubrics.official.risepp import RisePP
from editbench.rubrics.official.uniredit import UniREdit
from editbench.rubrics.official.wiseedit import WiseEdit
from editbench.rubrics.rubric import Question, Reading, Rubric, Shown, quote

__all__ = [
    "Brief",
    "ComplexEdit",
    "FiveAspects",
    "FromFile",
    "GEdit",
    "Headline",
    "ImgEdit",
    "Kris",
    "Level",
    "Pica",
    "Question",
    "Reading",
    "RedEdit",
    "Rise",
    "RisePP",
    "Rubric",
    "Shown",
    "UniREdit",
    "WiseEdit",
    "quote",
]
