"""How far a judge agrees with people: python -m editbench.stages.agreement --run_dir runs/qwen --human people.csv

    python -m editbench.stages.agreement --run_dir runs/qwen --human scores.csv           # pair_id, value (and rater)
    python -m editbench.stages.agreement --run_dir runs/qwen runs/flux --human wins.jsonl # pair_id, winner (and rater)

Where several people rated (`rater`), the table also says how far one person agrees with the others: no judge need do
better. Everything is written to `agreement.json` in the first run too. Exit code 2: something to mend in the call or
the file; 3: `agreement.json` could not be written.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from editbench.errors import UsageError
from editbench.process.console import console, printable
from editbench.records import Pair
from editbench.report import text
from editbench.run.durable import write_atomic
from editbench.run.run_dir import RunDir
from editbench.stages.run_records import read_run
from editbench.stats.comparison import unlike
from editbench.stats.correlation import TIE_RULE, Estimate, agree, estimate, in_order, kendall, spearman
from editbench.stats.human_ratings import TIE, Rating, read_ratings
from editbench.stats.summary import RunRecords, group_of, numbered, outcome

_NOT_WRITTEN = 3
Statistic = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One way to say how far the judge and people agree."""

    name: str
    judge: Estimate
    people: Estimate | None
    """The same of one person with the others; None where nobody's rating can be held against another's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Everything that is told."""

    run: str
    num_rated: int
    """Pairs of the run that people rated and the judge scored."""
    num_raters: int
    """People who gave their name; 0: the file does not say."""
    num_left_out: int
    """Ratings of pairs that are not in the run or have no score there."""
    num_ties: int
    """What people leave without an order, and the tie rule leaves out: ratings that say `tie`, or pairs of edits with
    one mean."""
    differ: tuple[str, ...]
    """Settings, of benchmark, language, judge, rubric and lossy mode, in which two runs' scores are of different
    things."""
    measures: tuple[Measure, ...]
    tie_rule: str


def with_scores(run: RunRecords, ratings: Sequence[Rating]) -> Found:
    """The judge's scores against the mean of people's, pair by pair.

    The ceiling is one person against the mean of the others, averaged over people: the lower bound of the noise
    ceiling of Nili et al., A Toolbox for Representational Similarity Analysis, PLoS Comput. Biol. 10 (2014).
    """
    pairs, values = _scored(run)
    people = sorted({rating.rater for rating in ratings if rating.rater})
    given: dict[str, dict[str, list[float]]] = {}
    for rating in ratings:
        if rating.value is not None:
            given.setdefault(rating.pair_id, {}).setdefault(rating.rater, []).append(rating.value)
    rated = [pair for pair in pairs if pair.pair_id in given]
    means = [statistics.fmean(chain.from_iterable(given[pair.pair_id].values())) for pair in rated]
    groups = [group_of(pair) for pair in rated]
    judged = agree([values[pair.pair_id] for pair in rated], means, groups)
    table = np.full((len(rated), len(people)), np.nan)
    for row, pair in enumerate(rated):
        for column, person in enumerate(people):
            table[row, column] = statistics.fmean(given[pair.pair_id].get(person, [math.nan]))
    ways: dict[str, Statistic] = {"Spearman": spearman, "Kendall tau-b": kendall, "pairs in order": in_order}
    estimates = (judged.spearman, judged.kendall, judged.pairwise)
    return Found(
        run=run.name,
        num_rated=len(rated),
        num_raters=len(people),
        num_left_out=sum(rating.pair_id not in {pair.pair_id for pair in rated} for rating in ratings),
        num_ties=math.comb(len(rated), 2) - judged.num_ordered,
        differ=(),
        measures=tuple(
            Measure(name=name, judge=found, people=_ceiling(table, statistic, groups))
            for (name, statistic), found in zip(ways.items(), estimates, strict=True)
        ),
        tie_rule=TIE_RULE,
    )


def with_preferences(first: RunRecords, second: RunRecords, ratings: Sequence[Rating]) -> Found:
    """The judge's order of two runs' edits against people's preferences, rating by rating.

    The ceiling is the majority of the other people against each, an even split counting half.
    """
    pairs, ours = _scored(first)
    _, theirs = _scored(second)
    known = {pair.pair_id: pair for pair in pairs if pair.pair_id in theirs}
    usable = [rating for rating in ratings if rating.pair_id in known]
    firm = [rating for rating in usable if rating.winner != TIE]
    groups = [group_of(known[rating.pair_id]) for rating in firm]
    said = np.array([1 if rating.winner == second.name else -1 for rating in firm])
    judged = np.array([np.sign(theirs[rating.pair_id] - ours[rating.pair_id]) for rating in firm])
    others = np.array([np.sign(_others(rating, usable, second.name)) for rating in firm])
    compared = np.array([_is_rated_by_others(rating, usable) for rating in firm], dtype=bool)

    def share(signs: np.ndarray, at: np.ndarray) -> float:
        return float((1 + (signs[at] * said[at]).mean()) / 2) if len(at) else float("nan")

    ceiling = None
    if compared.any():
        kept = np.flatnonzero(compared)
        ceiling = estimate(lambda at: share(others, kept[at]), [groups[place] for place in kept.tolist()])
    return Found(
        run=f"{first.name}, {second.name}",
        num_rated=len({rating.pair_id for rating in usable}),
        num_raters=len({rating.rater for rating in ratings if rating.rater}),
        num_left_out=len(ratings) - len(usable),
        num_ties=len(usable) - len(firm),
        differ=tuple(unlike([first, second])),
        measures=(
            Measure(name="preferences shared", judge=estimate(lambda at: share(judged, at), groups), people=ceiling),
        ),
        tie_rule="a tie of the judge, or an even split of the others, counts half; people's ties are left out",
    )


def _scored(run: RunRecords) -> tuple[list[Pair], dict[str, float]]:
    ends = {pair.pair_id: outcome(run, pair.pair_id).value for pair in run.pairs}
    values = {pair_id: value for pair_id, value in ends.items() if value is not None}
    return [pair for pair in run.pairs if pair.pair_id in values], values


def _ceiling(table: np.ndarray, statistic: Statistic, groups: Sequence[str]) -> Estimate | None:
    several = (~np.isnan(table)).sum(axis=1) >= 2
    if not several.any():
        return None
    kept = np.flatnonzero(several)

    def mean_over_people(at: np.ndarray) -> float:
        found: list[float] = []
        for person in range(table.shape[1]):
            rows = kept[at]
            rows = rows[~np.isnan(table[rows, person])]
            if len(rows) < 2:
                continue
            others = np.nanmean(np.delete(table[rows], person, axis=1), axis=1)
            found.append(statistic(table[rows, person], others))
        defined = [value for value in found if not np.isnan(value)]
        return float(np.mean(defined)) if defined else float("nan")

    return estimate(mean_over_people, [groups[place] for place in kept.tolist()])


def _others(rating: Rating, ratings: Sequence[Rating], second: str) -> int:
    """How many more of the other people prefer the second run's edit of this pair."""
    rest = [other for other in ratings if other.pair_id == rating.pair_id and other is not rating]
    return sum((other.winner == second) - (other.winner not in (second, TIE)) for other in rest)


def _is_rated_by_others(rating: Rating, ratings: Sequence[Rating]) -> bool:
    return any(other.pair_id == rating.pair_id and other is not rating for other in ratings)


def _table(found: Found) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=80)
    for name in ("", "judge", "95 % interval", "one person", "95 % interval"):
        words = name.endswith("interval")  # or why there is none, which may take two lines
        table.add_column(name, justify="right" if name else "left", no_wrap=not words)
    for measure in found.measures:
        table.add_row(measure.name, *_cells(measure.judge), *(_cells(measure.people) if measure.people else ("–", "")))
    rated, out = numbered(found.num_rated, "pair"), numbered(found.num_left_out, "rating")
    title = f"{found.run}: {rated} rated and scored, {out} left out (no such pair, or no score)"
    if found.differ:
        title += f"\nThe runs differ in {', '.join(found.differ)}: their scores are of different things."
    table.title = Text(printable(title))  # Text, not str: rich reads [red] in a string as markup
    table.caption = Text(f"Pairs: {found.tie_rule}, {found.num_ties:,} here.")
    table.title_justify = table.caption_justify = "left"
    return table


def _cells(found: Estimate) -> tuple[str, str]:
    if found.value is None:
        return "–", found.interval_note or ""
    return f"{found.value:.3f}".replace("-", "−"), text.between(found.interval, found.interval_note)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m editbench.stages.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_dir", type=Path, nargs="+", required=True, help="one run, or two for preferences")
    parser.add_argument("--human", type=Path, required=True, help="a .csv or .jsonl of what people said")
    parser.add_argument("--scores", help="which file under scores/, where there are several")
    return parser.parse_args(argv)


def measure(runs: Sequence[Path], human: Path, scores: str | None) -> Found:
    """Read the files and reckon.

    Raises:
        UsageError: a file is not as it should be, or the runs are not as many as the file is about.
    """
    records: list[RunRecords] = []
    for path in runs:
        found = list(read_run(RunDir(path), scores))
        if len(found) > 1:
            names = ", ".join(RunDir(path).score_names())
            raise UsageError(f"{path} was scored by several judges; name one: --scores {{{names}}}")
        records += found
    ratings = read_ratings(human, [run.name for run in records])
    known = {pair.pair_id for pair in records[0].pairs}
    if not any(rating.pair_id in known for rating in ratings):
        raise UsageError(
            f"{human}: no pair_id of it is one of {runs[0]}'s; those are as {sorted(known)[0]!r}, its first is "
            f"{ratings[0].pair_id!r}"
        )
    preferences = ratings[0].winner is not None
    if len(records) != (2 if preferences else 1):
        what = "preferences are between two runs" if preferences else "scores are of one run"
        raise UsageError(f"--run_dir: {what}, not {len(records)}")
    return with_preferences(records[0], records[1], ratings) if preferences else with_scores(records[0], ratings)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and write `agreement.json`; returns the exit code."""
    args = _parse(argv)
    try:
        found = measure(args.run_dir, args.human, args.scores)
    except UsageError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return 2
    console.print(_table(found))
    document = json.dumps({"schema": 1, **asdict(found)}, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    out = args.run_dir[0] / "agreement.json"
    try:
        write_atomic(out, document.encode())
    except OSError as error:
        sys.stderr.write(f"{printable(str(out))} was not written: {error.strerror}. The table above is all there is.\n")
        return _NOT_WRITTEN
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
