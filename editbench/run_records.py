"""From a run directory's files to the records that a report is reckoned from."""

from collections.abc import Iterator

import yaml

from editbench.controls import FOLDER
from editbench.errors import UsageError
from editbench.records import Edit, Score
from editbench.run_dir import RunDir
from editbench.summary import RunRecords


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
    settings = yaml.safe_load(run.config.read_text())
    shown = {
        "benchmark": settings["benchmark"] or "embedded demo",
        "editor": _line(settings["editor"]),
        "language": settings["language"],
        "seed": str(settings["seed"]),
    }
    if lossy := {mode for edit in edits.values() for mode in edit.modes} - {"fast"}:
        shown["lossy mode"] = ", ".join(sorted(lossy))
    for name in names or [None]:
        scores: dict[str, Score] = {}
        if name is not None:
            found = run.latest(Score, f"score-{name}", run.scores(name))
            # a score of an image that has been made anew since is not a score of what the page shows
            scores = {key: score for key, score in found.items() if _current(score, edits.get(key))}
            protocol = yaml.safe_load(run.protocol(name).read_text())
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
    return RunRecords(
        name=FOLDER,
        run=FOLDER,
        score_file=name,
        root=made.root,
        pairs=tuple(made.read_pairs()),
        sources={},
        edits=edits,
        scores={key: score for key, score in found.items() if _current(score, edits.get(key))},
        settings={},
    )


def _current(score: Score, edit: Edit | None) -> bool:
    return edit is not None and score.edit_sha256 == edit.sha256


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
