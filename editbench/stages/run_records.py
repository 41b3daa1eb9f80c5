"""From a run directory's files to the records that a report is reckoned from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from editbench.errors import UsageError
from editbench.records import Edit, Pair, Score
from editbench.run.run_dir import RunDir
from editbench.run.yaml_file import read_settings
from editbench.stages.controls import FOLDER
from editbench.stages.protocol import score_key
from editbench.stats.summary import RunRecords


def read_run(run: RunDir, only: str | None = None, called: str | None = None) -> Iterator[RunRecords]:
    """A run with each of its score files, or with the one named; without scores once.

    Args:
        run: the directory.
        only: name of a score file.
        called: what the report calls the run; None: its directory's name.

    Raises:
        UsageError: nothing was edited there, or there is no such score file.
    """
    called = called or run.name
    pairs = tuple(run.read_pairs())
    edits = run.latest(Edit, "edit", run.manifest)
    names = run.score_names()
    if only is not None:
        if only not in names:
            raise UsageError(f"--scores {only}: {run.root} has {', '.join(names) or 'no scores'}")
        names = [only]
    settings = read_settings(run.config)
    shown = {
        "benchmark": (settings["benchmark"] or "embedded demo") + _part(settings, pairs),
        "editor": _line(settings["editor"]),
        "language": settings["language"],
        "seed": str(settings["seed"]),
    }
    if mixture := _mixture(run.made_on(), edits.values()):
        shown["made on several"] = mixture
    if lossy := {mode for edit in edits.values() for mode in edit.modes} - {"fast"}:
        shown["lossy mode"] = ", ".join(sorted(lossy))
    for name in names or [None]:
        scores: dict[str, Score] = {}
        if name is not None:
            found = run.latest(Score, f"score-{name}", run.scores(name))
            protocol = read_settings(run.protocol(name))
            scores = _current(found, pairs, edits, protocol)
            shown |= {
                "judge": _line(protocol["judge"]),
                "rubric": _way(protocol),
            }
        yield RunRecords(
            name=called if len(names) < 2 else f"{called} · {name}",
            run=called,
            score_file=name,
            root=run.root,
            pairs=pairs,
            sources={pair.pair_id: run.source(pair.pair_id).relative_to(run.root).as_posix() for pair in pairs},
            edits=edits,
            scores=scores,
            settings=dict(shown),
            controls=None if name is None else _controls(RunDir(run.root / FOLDER), name),
        )


def _controls(made: RunDir, name: str) -> RunRecords | None:
    """What the judge of one score file said of the run's controls; None when it was not asked."""
    if name not in made.score_names():
        return None
    edits = made.latest(Edit, "edit", made.manifest)
    found = made.latest(Score, f"score-{name}", made.scores(name))
    pairs, protocol = tuple(made.read_pairs()), read_settings(made.protocol(name))
    return RunRecords(
        name=FOLDER,
        run=FOLDER,
        score_file=name,
        root=made.root,
        pairs=pairs,
        sources={},
        edits=edits,
        scores=_current(found, pairs, edits, protocol),
        settings={},
    )


def _current(
    scores: Mapping[str, Score], pairs: Sequence[Pair], edits: Mapping[str, Edit], protocol: Mapping[str, Any]
) -> dict[str, Score]:
    """Without those of an image, an instruction or a rationale that has been changed since."""
    keys = {pair.pair_id: score_key(pair, edits[pair.pair_id], protocol) for pair in pairs if pair.pair_id in edits}
    return {pair_id: score for pair_id, score in scores.items() if score.key == keys.get(pair_id)}


def _mixture(made_on: Sequence[Mapping[str, Any]], edits: Iterable[Edit]) -> str:
    """Kinds of device, and versions, of which the run's edits were made on more than one; empty: on one of each."""
    versions = [
        {"commit": (one["commit"] or "unknown")[:12], "Python": one["python"], **one["packages"]} for one in made_on
    ]
    found = {"device": {edit.device for edit in edits if edit.device}}
    for name in dict.fromkeys(name for one in versions for name in one):
        found[name] = {str(one.get(name)) for one in versions}
    return "; ".join(f"{name} {' and '.join(sorted(values))}" for name, values in found.items() if len(values) > 1)


def _part(settings: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """How the run's pairs were chosen from the benchmark; empty where they are all, or were once."""
    numbers = Counter(pair.category for pair in pairs)
    said: list[str] = []
    if (limit := settings.get("limit")) is not None and max(numbers.values()) <= limit:
        said.append(f"the first {limit} of each category")
    if (chosen := settings.get("categories")) and numbers.keys() <= set(chosen):
        said.append(f"only {', '.join(chosen)}")
    return "".join(f", {part}" for part in said)


def _way(protocol: dict[str, object]) -> str:
    """How the judge was asked, in a line: two ways are two measures."""
    parts = [str(protocol["rubric"]), f"judge sees {protocol['judge_sees']}"]
    if "repeats" in protocol:
        parts.append(f"mean of {protocol['repeats']} replies")
    if "expected" in protocol:
        parts.append("expected score")
    return ", ".join(parts)


def _line(plugin: dict[str, object]) -> str:
    settings = plugin["init_args"]
    assert isinstance(settings, dict)
    given = ", ".join(f"{name} {value!r}" for name, value in settings.items() if value not in (None, {}, ""))
    return f"{str(plugin['class_path']).rpartition('.')[2]} ({given})"
