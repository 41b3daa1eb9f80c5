"""What a report tells, reckoned once and shown by all of its forms."""

from collections.abc import Sequence
from dataclasses import dataclass

from editbench.comparison import Comparison, compare, unlike
from editbench.correlation import TwoJudges, two_judges
from editbench.errors import UsageError
from editbench.health import Health, examine
from editbench.summary import RunRecords, Summary, summarize


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One run with what is derived from it."""

    run: RunRecords
    summary: Summary
    health: Health
    """Of the judge, on this run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Everything that stands in a report."""

    runs: tuple[Told, ...]
    comparisons: tuple[Comparison, ...]
    """Of each run with each later one."""
    differ: tuple[str, ...]
    """Settings that make the runs' numbers of different things."""
    judges: tuple[TwoJudges, ...]
    """Each two score files of one run."""

    @property
    def summaries(self) -> list[Summary]:
        """Of the runs, in their order."""
        return [told.summary for told in self.runs]

    @property
    def several(self) -> bool:
        """Whether there is more than one run."""
        return len(self.runs) > 1


def tell(runs: Sequence[RunRecords]) -> Content:
    """Reckon everything; the same records give the same content.

    Raises:
        UsageError: there is no run.
    """
    if not runs:
        raise UsageError("no run to report on; give at least one: python report.py --run runs/NAME")
    return Content(
        runs=tuple(Told(run=run, summary=summarize(run), health=examine(run)) for run in runs),
        comparisons=tuple(compare(runs)),
        differ=tuple(unlike(runs)),
        judges=tuple(two_judges(runs)),
    )
