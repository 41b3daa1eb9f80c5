"""The mission's rubric in few words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from editbench.records import Pair
from editbench.rubrics.five_aspects import FiveAspects, wording_of
from editbench.rubrics.rubric import Question, quote


@dataclass(kw_only=True)
class Brief(FiveAspects):
    """The five aspects in a line of text and small pictures, for small judges and quick looks; never the rationale."""

    _versions: ClassVar[tuple[str, str]] = ("brief-1", "brief-digit-1")
    _max_pixels: ClassVar[int] = 256 * 256

    def calls(self, pair: Pair) -> Sequence[Question]:
        """One call, `score`."""
        wording = wording_of(pair)
        system = wording.brief_system_digit if self.digits else wording.brief_system
        sources = self._sources(pair) if self.judge_sees == "all" else []
        text = wording.brief_instruction + quote(pair.instruction)
        short = wording.aspects[self.category(pair.category)].short
        return (self._question(system.format(short=short), (*sources, self._edit(), text)),)
