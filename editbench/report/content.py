"""What a report says, computed once and shown by all of its forms."""

from collections.abc import Sequence
from dataclasses import dataclass

from editbench.errors import UsageError
from editbench.installation import command
from editbench.run.run_dir import sha256
from editbench.stats.comparison import Comparison, compare, unlike
from editbench.stats.correlation import TwoJudges, two_judges
from editbench.stats.judge_health import Health, examine
from editbench.stats.outcomes import RunRecords
from editbench.stats.self_preference import Preference, preferences
from editbench.stats.summary import Summary, summarize

_MOST_SHOWN = 5000  # pairs of a page, and
_MOST_PICTURES = 60_000  # its pictures: a browser takes seconds for the addresses of so many


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What a page says of runs that are still going."""

    again_s: int
    """Seconds until it is written, and loaded, again."""
    line: str
    """Rates and what is left, in a sentence."""
    newest: tuple[str, ...]
    """Ids of the pairs that were edited or scored last, the newest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """One run with what is derived from it."""

    run: RunRecords
    summary: Summary
    health: Health
    """Of the judge, on this run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Everything that stands in a report."""

    runs: tuple[Reported, ...]
    comparisons: tuple[Comparison, ...]
    """Of each run with each later one."""
    differ: tuple[str, ...]
    """Settings that make the runs' numbers of different things."""
    judges: tuple[TwoJudges, ...]
    """Each two score files of one run."""
    preferences: tuple[Preference, ...]
    """Each two runs that the same two judges scored."""
    shown: tuple[str, ...]
    """Ids of the pairs that the page shows: all, or 5,000 of more, drawn by their ids and so the same for every run."""
    live: Live | None = None
    """How fast the runs go, for a page that is written again while they do; None: written once."""

    @property
    def summaries(self) -> list[Summary]:
        """Of the runs, in their order."""
        return [item.summary for item in self.runs]

    @property
    def several(self) -> bool:
        """Whether there is more than one run."""
        return len(self.runs) > 1

    @property
    def leader(self) -> str | None:
        """The run with the highest first headline; None where no run has one."""
        values = [
            (summary.headlines[0].value, summary.name)
            for summary in self.summaries
            if summary.headlines and summary.headlines[0].value is not None
        ]
        return max(values, key=lambda entry: entry[0])[1] if values else None

    @property
    def ranked(self) -> list[Comparison]:
        """The comparisons: the leader's first, then by the size of the deciding difference."""
        leader = self.leader
        return sorted(self.comparisons, key=lambda one: (leader not in (one.first, one.second), -_size(one)))

    @property
    def num_of_leader(self) -> int:
        """How many of the comparisons are the leader's."""
        leader = self.leader
        return sum(leader in (one.first, one.second) for one in self.comparisons)


def _size(entry: Comparison) -> float:
    return abs(entry.deciding.mean) if entry.deciding.mean is not None else -1.0


def tell(runs: Sequence[RunRecords], live: Live | None = None) -> Content:
    """Compute everything; the same records give the same content.

    Args:
        runs: with their records.
        live: how fast they go, for a page that is written again.

    Raises:
        UsageError: there is no run.
    """
    if not runs:
        raise UsageError(f"no run to report on; give at least one: {command('report', '--run_dir', 'runs/NAME')}")
    return Content(
        runs=tuple(Reported(run=run, summary=summarize(run), health=examine(run)) for run in runs),
        comparisons=tuple(compare(runs)),
        differ=tuple(unlike(runs)),
        judges=tuple(two_judges(runs)),
        preferences=tuple(preferences(runs)),
        shown=_drawn(list(dict.fromkeys(pair.pair_id for run in runs for pair in run.pairs)), len(runs)),
        live=live,
    )


def _drawn(pair_ids: Sequence[str], num_runs: int) -> tuple[str, ...]:
    most = min(_MOST_SHOWN, _MOST_PICTURES // num_runs)
    if len(pair_ids) <= most:
        return tuple(pair_ids)
    drawn = set(sorted(pair_ids, key=lambda pair_id: sha256(pair_id.encode("utf-8", "backslashreplace")))[:most])
    return tuple(pair_id for pair_id in pair_ids if pair_id in drawn)
