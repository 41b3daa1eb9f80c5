"""How far a judge agrees with people: editbench agreement --run_dir runs/qwen --human people.csv

    editbench agreement --run_dir runs/qwen --human scores.csv           # pair_id, value
    editbench agreement --run_dir runs/a runs/b --human scores.csv       # pair_id, run, value
    editbench agreement --run_dir runs/a runs/b --human wins.jsonl       # pair_id, winner
    editbench agreement --run_dir runs/a runs/b runs/c --human wins.csv  # pair_id, winner, loser
    editbench agreement --run_dir runs/a runs/b runs/c --human order.csv # pair_id, ranking: a > b = c

A run is called by its directory's name, or by its path where two have the same name. Where several people rated
(`rater`), the table also says how far one person agrees with the others, and the judge with the same others: no judge
need do better. With `--human_scale 1 5` it also says whether the judge's numbers mean to people what they say.
Everything is written to `agreement.json` in the first run too; editbench/stats/README.md says what each number is.
Exit code 2: something to mend in the call or the file; 3: `agreement.json` could not be written.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from editbench.errors import UsageError
from editbench.process.console import console, printable
from editbench.report import text
from editbench.run.durable import write_atomic
from editbench.run.run_dir import RunDir
from editbench.stages.run_records import read_run
from editbench.stats.agreement import Agreement, Part, with_preferences, with_scores
from editbench.stats.comparison import unlike
from editbench.stats.correlation import Estimate
from editbench.stats.human_ratings import Preference, Rating, read_ratings
from editbench.stats.outcomes import RunRecords, numbered

SCHEMA = 2
_NOT_WRITTEN = 3


def measure(
    runs: Sequence[Path], human: Path, scores: str | None = None, scale: tuple[float, float] | None = None
) -> Agreement:
    """Read the files and compute.

    Args:
        runs: run directories.
        human: what people said.
        scores: name of the score file, where a run has several.
        scale: lowest and highest score that people could give.

    Raises:
        UsageError: a file is not as it should be, or no rating is of an edit that has a value.
    """
    if scale is not None and not scale[0] < scale[1]:
        raise UsageError(f"--human_scale {scale[0]:g} {scale[1]:g}: give the lowest score first")
    records = {name: _one(path, name, scores) for name, path in _named(runs).items()}
    ratings = read_ratings(human, _calls(records, runs))
    said = [one for one in ratings if isinstance(one, Rating)]
    preferences = [one for one in ratings if isinstance(one, Preference)]
    off = [one for one in said if scale is not None and not scale[0] <= one.value <= scale[1]]
    if off and scale is not None:
        raise UsageError(
            f"{human}: {off[0].value:g} of {off[0].pair_id!r} is not on --human_scale {scale[0]:g} {scale[1]:g}"
        )
    if preferences and len(records) < 2:
        raise UsageError("--run_dir: preferences are between runs; name two or more")
    differ = unlike(list(records.values()))
    if preferences:
        found = with_preferences(records, preferences, differ=differ)
    else:
        found = with_scores(records, said, scale=scale, differ=differ)
    if not found.num_rated:
        _refuse(human, records, ratings)
    return found


def _named(runs: Sequence[Path]) -> dict[str, Path]:
    """The runs by name: the directory's, or the path where two directories have the same name."""
    paths = list({path.resolve(): path for path in runs}.values())
    alike = Counter(RunDir(path).name for path in paths)
    return {RunDir(path).name if alike[RunDir(path).name] == 1 else path.as_posix(): path for path in paths}


def _calls(records: Mapping[str, RunRecords], runs: Sequence[Path]) -> dict[str, str]:
    """Each name that a file may call a run by, with the run's own."""
    by_path = {path.resolve(): name for name, path in _named(runs).items()}
    return {name: name for name in records} | {path.as_posix(): by_path[path.resolve()] for path in runs}


def _one(path: Path, name: str, scores: str | None) -> RunRecords:
    found = list(read_run(RunDir(path), scores, name))
    if len(found) > 1:
        names = ", ".join(RunDir(path).score_names())
        raise UsageError(f"{path} was scored by several judges; name one: --scores {{{names}}}")
    if found[0].score_file is None:
        raise UsageError(f"{path} has no scores; make them: python score.py --run_dir {path}")
    return found[0]


def _refuse(human: Path, records: Mapping[str, RunRecords], ratings: Sequence[Rating | Preference]) -> None:
    known = [pair.pair_id for run in records.values() for pair in run.pairs]
    if not {one.pair_id for one in ratings} & set(known):
        raise UsageError(
            f"{human}: no pair_id of it is one of {', '.join(records)}; those are as {min(known)!r}, its first is "
            f"{ratings[0].pair_id!r}"
        )
    raise UsageError(
        f"{human}: none of its {numbered(len(ratings), 'rating')} is of edits that have a value in {', '.join(records)}"
    )


def tables(found: Agreement) -> list[Table]:
    """What is printed."""
    shown = [_pooled(found)]
    if parts := (*found.by_run, *found.by_category):
        shown.append(_parts(parts))
    if found.system is not None:
        shown.append(_system(found))
    if found.calibration is not None:
        shown.append(_calibration(found))
    if found.corrected:
        shown.append(_corrected(found))
    return shown


def _pooled(found: Agreement) -> Table:
    rated, out = numbered(found.num_rated, "edit"), numbered(found.num_left_out, "rating")
    title = f"{', '.join(found.runs)}: {rated} rated and scored, {out} left out (no such edit, or no score)"
    if found.differ:
        title += f"\nThe runs differ in {', '.join(found.differ)}: their scores are of different things."
    table = _table(
        title,
        ("", "judge", "95 % interval", "judge with others", "person with others"),
        caption=f"Pairs: {found.rule}, {found.num_ties:,} here. With others: with the mean, or the majority, of all "
        "people but one, over the same edits.",
    )
    for part in (found.pooled, *([found.within] if found.within else [])):
        for one in part.measures:
            people = [_value(one.judge_with_others), _value(one.person_with_others)]
            table.add_row(one.name, *_cells(one.judge), *people)
    return table


def _parts(parts: Sequence[Part]) -> Table:
    names = [one.name for one in parts[0].measures]
    table = _table("By run and category", ("", "items", *names, f"95 % interval of {names[0]}"))
    for part in parts:
        values = [_value(one.judge) for one in part.measures]
        table.add_row(printable(part.name), str(part.num_items), *values, _cells(part.measures[0].judge)[1])
    return table


def _system(found: Agreement) -> Table:
    assert found.system is not None
    said = [f"{one.name} {_value(one.judge)} ({_cells(one.judge)[1]})" for one in found.system.measures]
    means = [
        f"{one.name} averaged over {one.num_runs} runs is {text.number(one.mean, 3)}, by Fisher's z "
        f"{text.number(one.fisher, 3)}"
        for one in found.averages
    ]
    order = f"The runs' order: {', '.join(said)}" if said else "Two runs are too few for a correlation of their order"
    table = _table(
        "Runs by people and by the judge", ("", "people", "judge", "edits"), caption=". ".join([order, *means]) + "."
    )
    for one in found.system.standings:
        table.add_row(printable(one.run), text.number(one.people), text.number(one.judge), str(one.num_items))
    return table


def _calibration(found: Agreement) -> Table:
    assert found.calibration is not None
    bias = found.calibration.bias
    table = _table(
        "The judge's values and people's means on the judge's scale",
        ("judge gave", "edits", "judge", "people"),
        caption=f"Judge less people: {text.signed(bias.value)} ({_cells(bias)[1]}). Where the judge sees one point, "
        f"people see {text.number(found.calibration.slope)}.",
    )
    for one in found.calibration.bins:
        ends = f"{one.low:.2f} to {one.high:.2f}"
        table.add_row(ends, str(one.num_items), text.number(one.judge), text.number(one.people))
    return table


def _corrected(found: Agreement) -> Table:
    table = _table(
        "Means with the judge's bias taken off",
        ("", "judge's mean", "corrected", "95 % interval", "scored", "rated"),
        caption="Right where the rated edits are a random draw of the scored ones.",
    )
    for one in found.corrected:
        between = text.between(one.interval, one.interval_note)
        numbers = (text.number(one.mean), text.number(one.corrected), between)
        table.add_row(printable(one.run), *numbers, str(one.num_scored), str(one.num_rated))
    return table


def _table(title: str, columns: Sequence[str], caption: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=100)
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    table.title, table.caption = Text(printable(title)), Text(printable(caption))  # a str would be read as markup
    table.title_justify = table.caption_justify = "left"
    return table


def _value(found: Estimate | None) -> str:
    return "–" if found is None or found.value is None else f"{found.value:.3f}".replace("-", "−")


def _cells(found: Estimate) -> tuple[str, str]:
    if found.value is None:
        return "–", found.interval_note or ""
    return _value(found), text.between(found.interval, found.interval_note)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="editbench agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_dir", type=Path, nargs="+", required=True, help="one run or several")
    parser.add_argument("--human", type=Path, required=True, help="a .csv or .jsonl of what people said")
    parser.add_argument("--scores", help="which file under scores/, where there are several")
    parser.add_argument(
        "--human_scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help="lowest and highest score of people's"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables and write `agreement.json`; returns the exit code."""
    args = _parse(argv)
    try:
        found = measure(args.run_dir, args.human, args.scores, tuple(args.human_scale) if args.human_scale else None)
    except UsageError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return 2
    for table in tables(found):
        console.print(table)
    document = json.dumps({"schema": SCHEMA, **asdict(found)}, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    out = args.run_dir[0] / "agreement.json"
    try:
        write_atomic(out, document.encode("utf-8", "backslashreplace"))
    except OSError as error:
        sys.stderr.write(
            f"{printable(str(out))} was not written: {error.strerror}. The tables above are all there is.\n"
        )
        return _NOT_WRITTEN
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
