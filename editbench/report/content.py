"""What a report tells, reckoned once and shown by all of its forms."""

from collections.abc import Sequence
from dataclasses import dataclass

from editbench.errors import UsageError
from editbench.run.run_dir import sha256
from editbench.stats.comparison import Comparison, compare, unlike
from editbench.stats.correlation import TwoJudges, two_judges
from editbench.stats.judge_health import Health, examine
from editbench.stats.summary import RunRecords, Summary, summarize

_MOST_SHOWN = 5000  # cards of a page: a browser takes seconds for them already, and 100,000 it does not take


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
    shown: tuple[str, ...]
    """Ids of the pairs that the page shows: all, or 5,000 of more, drawn by their ids and so the same for every run."""

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
        raise UsageError("no run to report on; give at least one: python report.py --run_dir runs/NAME")
    return Content(
        runs=tuple(Told(run=run, summary=summarize(run), health=examine(run)) for run in runs),
        comparisons=tuple(compare(runs)),
        differ=tuple(unlike(runs)),
        judges=tuple(two_judges(runs)),
        shown=_drawn(list(dict.fromkeys(pair.pair_id for run in runs for pair in run.pairs))),
    )


def _drawn(pair_ids: Sequence[str]) -> tuple[str, ...]:
    if len(pair_ids) <= _MOST_SHOWN:
        return tuple(pair_ids)
    drawn = set(sorted(pair_ids, key=lambda pair_id: sha256(pair_id.encode()))[:_MOST_SHOWN])
    return tuple(pair_id for pair_id in pair_ids if pair_id in drawn)
