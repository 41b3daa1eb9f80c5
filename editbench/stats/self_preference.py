"""Whether a judge favours one of two editors, compared with a second judge: a sign of self-preference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from editbench.stats.comparison import Difference, corrected, mean_difference, same_asked
from editbench.stats.outcomes import RunRecords, group_of

_FAMILIES = ("qwen", "gemini", "gpt", "grok", "hunyuan", "internvl", "flux", "janus", "bagel")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """Two judges' scores of the edits of two runs."""

    first: str
    """The one run."""
    second: str
    """The other."""
    judge: str
    """Score file of the one judge."""
    other_judge: str
    """Of the other."""
    difference: Difference
    """(judge − other judge) on `first`, minus the same on `second`: over the pairs that all four have a value for."""
    families: tuple[str, ...]
    """Which judge and which run's editor are of one family, a sentence each."""


def shared_family(judged: RunRecords, edited: RunRecords) -> str | None:
    """The family of models that the judge of the first run and the editor of the second have in common."""
    judge = " ".join([judged.settings.get("judge", ""), *sorted(judged.models)]).lower()
    editor = edited.settings.get("editor", "").lower()
    return next((name.capitalize() for name in _FAMILIES if name in judge and name in editor), None)


def preferences(runs: Sequence[RunRecords]) -> list[Preference]:
    """For each two runs that the same two judges scored by one rubric; p-values corrected by Holm; deterministic."""
    fours = list(_fours(runs))
    found = [_preference(*four, num_tests=len(fours)) for four in fours]
    family = corrected([one.difference for one in found])
    return [replace(one, difference=step) for one, step in zip(found, family, strict=True)]


def _fours(runs: Sequence[RunRecords]) -> Iterator[tuple[RunRecords, RunRecords, RunRecords, RunRecords]]:
    """The first run by both judges, then the second by both."""
    by_root: dict[str, dict[tuple[str | None, str | None], RunRecords]] = {}
    for run in runs:
        of_root = by_root.setdefault(str(run.root), {})
        of_root.setdefault((run.settings.get("judge"), run.settings.get("rubric")), run)
    for mine, theirs in combinations(by_root.values(), 2):
        for one, other in combinations([asked for asked in mine if asked in theirs], 2):
            if one[1] == other[1] and one[0] != other[0]:
                yield mine[one], mine[other], theirs[one], theirs[other]


def _preference(
    first: RunRecords, first_other: RunRecords, second: RunRecords, second_other: RunRecords, *, num_tests: int
) -> Preference:
    theirs = {pair.pair_id: pair for pair in second.pairs}
    rows: list[tuple[float, float, str]] = []
    for pair in first.pairs:
        if pair.pair_id not in theirs or not same_asked(pair, theirs[pair.pair_id]):
            continue
        ends = [run.outcomes[pair.pair_id].value for run in (first, first_other, second, second_other)]
        match ends:
            case [float(a), float(b), float(c), float(d)]:
                rows.append((a - b, c - d, group_of(pair)))
            case _:
                continue
    judges = ((first, first.score_file), (first_other, first_other.score_file))
    return Preference(
        first=first.run,
        second=second.run,
        judge=first.score_file or first.name,
        other_judge=first_other.score_file or first_other.name,
        difference=mean_difference(
            [on_second for _, on_second, _ in rows],
            [on_first for on_first, _, _ in rows],
            [group for _, _, group in rows],
            num_tests=num_tests,
        ),
        families=tuple(
            f"{name or judge.name} and the editor of {edited.run} are of one family, {family}"
            for judge, name in judges
            for edited in (first, second)
            if (family := shared_family(judge, edited)) is not None
        ),
    )
