"""From a run directory's files to the records that a report is made of."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from editbench.errors import UsageError
from editbench.records import Edit, Pair, Score
from editbench.rubrics import FiveAspects
from editbench.rubrics.rubric import Rubric
from editbench.run.run_dir import Identity, RunDir
from editbench.run.yaml_file import read_settings
from editbench.stages.controls import FOLDER
from editbench.stages.protocol import questions, recorded_rubric, score_key
from editbench.stats.judge_health import control_id, made_of
from editbench.stats.outcomes import RunRecords, first_edited, group_of, numbered

_NUM_READERS = 8


def read_run(
    run: RunDir, only: str | None = None, called: str | None = None, rubric: Rubric | None = None
) -> Iterator[RunRecords]:
    """A run with each of its score files, or with the one named; without scores once.

    What counts is what belongs together as it stands: edits of the pairs as they are, whose images are as recorded, and
    scores of those edits for the questions that would be asked now.

    Args:
        run: the directory.
        only: name of a score file.
        called: what the report calls the run; None: its directory's name.
        rubric: the user's own; a score file that names a class from outside this package is derived again with it where
            it is of that class. What a run directory names is not imported.

    Raises:
        UsageError: nothing was edited there, a file is damaged, or there is no such score file.
    """
    called = called or run.name
    pairs = tuple(_sound_pairs(run))
    edits, edit_notes = _sound_edits(run, pairs)
    names = run.score_names()
    if only is not None:
        if only not in names:
            raise UsageError(f"--scores {only}: {run.root} has {', '.join(names) or 'no scores'}")
        names = [only]
    settings = read_settings(run.config)
    shown = {
        "benchmark": str(settings.get("benchmark") or "embedded demo")
        + _part(settings, pairs, rubric or FiveAspects()),
        "editor": _line(settings.get("editor", {})),
        "language": str(settings.get("language", "en")),
        "seed": str(settings.get("seed", 0)),
    }
    shown |= _version_and_date(run)
    if settings.get("rewrite"):
        shown["prompts"] = f"rewritten, {settings['rewrite']}"
    if mixture := _mixture(run.made_on(), edits.values()):
        shown["made on several"] = mixture
    if lossy := {mode for edit in edits.values() for mode in edit.modes if not mode.startswith("fast")}:
        shown["lossy mode"] = ", ".join(sorted(lossy))
    unscored = RunRecords(
        name=called,
        run=called,
        score_file=None,
        root=run.root,
        pairs=pairs,
        sources={
            pair.pair_id: tuple(_below(run, run.source(pair.pair_id, index)) for index in range(len(pair.sources)))
            for pair in pairs
        },
        references={
            pair.pair_id: {name: _below(run, run.reference(pair.pair_id, name)) for name in pair.references}
            for pair in pairs
            if pair.references
        },
        edits=edits,
        scores={},
        num_tries=max([int(settings.get("edits") or 1), *(1 + number for _, number in edits)]),
        settings=shown,
        rubric=None,
        notes=edit_notes,
    )
    if not names:
        yield _with_rubric(unscored, {"rubric": settings.get("rubric")}, rubric)
    for name in names:
        one = dataclasses.replace(
            unscored, name=called if len(names) < 2 else f"{called} · {name}", score_file=name, settings=dict(shown)
        )
        yield _scored(one, run, name, rubric)


def _scored(records: RunRecords, run: RunDir, name: str, given: Rubric | None) -> RunRecords:
    """The records with one score file and the controls that its judge scored."""
    how = read_settings(run.protocol(name))
    built = _with_rubric(records, how, given)
    found = run.latest(Score, f"score-{name}", run.scores(name))
    scores, notes = _current(found, records.pairs, records.edits, built.rubric, how)
    shown = {**records.settings, "judge": _line(how.get("judge", {})), "rubric": _way(how)}
    files = {str(path): str(digest) for path, digest in how.get("files", {}).items()}
    built = dataclasses.replace(built, scores=scores, settings=shown, files=files, notes=built.notes + notes)
    return _with_controls(built, run, name, how)


def _with_rubric(records: RunRecords, how: Mapping[str, Any], given: Rubric | None) -> RunRecords:
    """The records with the rubric of their scores, and pairs named as it names their categories."""
    try:
        if not isinstance(how.get("rubric"), Mapping):
            raise UsageError("it is not recorded which rubric it was")
        rubric = recorded_rubric(how, given or FiveAspects())
    except UsageError as error:
        note = f"The stored numbers are shown, not derived again from the replies: {error}."
        return dataclasses.replace(records, notes=(*records.notes, note))
    try:
        notes = list(rubric.notes())
    except UsageError:  # its files are not here; `_current` says so
        notes = []
    if (version := how.get("version", rubric.version)) != rubric.version:
        notes.append(f"The replies are to the rubric {version}; the numbers are derived by {rubric.version}.")
    pairs = tuple(msgspec.structs.replace(pair, category=rubric.category(pair.category)) for pair in records.pairs)
    return dataclasses.replace(records, rubric=rubric, pairs=pairs, notes=(*records.notes, *notes))


def _sound_pairs(run: RunDir) -> list[Pair]:
    """All pairs of the run.

    Raises:
        UsageError: nothing was edited, or a line can't be read: how many pairs there are would not be known.
    """
    pairs = run.read_pairs()
    with run.pairs.open("rb") as file:
        num_lines = sum(bool(line.strip()) for line in file)
    if num_lines != len(pairs):
        raise UsageError(
            f"{run.pairs}: {num_lines - len(pairs)} of {num_lines} lines can't be read, so the numbers would be over "
            "fewer pairs than the run has; the command that edited them writes the file again"
        )
    return pairs


def _sound_edits(run: RunDir, pairs: Sequence[Pair]) -> tuple[dict[Identity, Edit], tuple[str, ...]]:
    """The edits of the pairs as they stand whose images are as recorded, and a sentence on those that are not."""
    recorded = set(run.latest(Edit, "edit", run.manifest))
    edits = run.edits(pairs)
    with ThreadPoolExecutor(_NUM_READERS) as readers:
        sound = readers.map(run.has_image, edits.values())
        stand = {name: edits[name].image is None or found for name, found in zip(edits, sound, strict=True)}
    known = {pair.pair_id for pair in pairs}
    num_other = sum(name not in edits and name[0] in known for name in recorded)
    num_gone = sum(not sound for sound in stand.values())
    notes = [
        f"{numbered(number, 'edit')} {'is' if number == 1 else 'are'} not counted: {why}; edit.py makes "
        f"{'it' if number == 1 else 'them'} again."
        for number, why in (
            (num_other, "the pair has another instruction or source now"),
            (num_gone, "the image is gone or is not as recorded"),
        )
        if number
    ]
    return {name: edit for name, edit in edits.items() if stand[name]}, tuple(notes)


def _current(
    scores: Mapping[Identity, Score],
    pairs: Sequence[Pair],
    edits: Mapping[Identity, Edit],
    rubric: Rubric | None,
    how: Mapping[str, Any],
) -> tuple[dict[Identity, Score], tuple[str, ...]]:
    """Without those of an image or of questions that have been changed since, and a sentence on them.

    Where the questions can't be made again, a score counts by its image alone.
    """
    by_id = {pair.pair_id: pair for pair in pairs}
    ours = {name: score for name, score in scores.items() if name in edits}
    why = _unmade(rubric, pairs, how)
    if rubric is None or why is not None:
        kept = {name: one for name, one in ours.items() if not one.edit_sha256 or one.edit_sha256 == edits[name].sha256}
        return kept, () if why is None else (
            f"The questions can't be made again ({why}): scores count by image alone.",
        )
    kept = {
        name: score for name, score in ours.items() if score.key == score_key(by_id[name[0]], edits[name], rubric, how)
    }
    if len(kept) == len(ours):
        return kept, ()
    number = len(ours) - len(kept)
    return kept, (
        f"{numbered(number, 'score')} {'is' if number == 1 else 'are'} not counted: the image, or what the judge is "
        f"asked, has changed since; score.py makes {'it' if number == 1 else 'them'} again.",
    )


def _unmade(rubric: Rubric | None, pairs: Sequence[Pair], how: Mapping[str, Any]) -> str | None:
    """Why the questions can't be made again, such as a prompt file that is not here; None: they can."""
    if rubric is None:
        return None
    for pair in pairs[:1]:
        try:
            questions(rubric, pair, how)
        except UsageError as error:
            return str(error)
    return None


def _with_controls(records: RunRecords, run: RunDir, name: str, how: Mapping[str, Any]) -> RunRecords:
    """The records with what the judge of one score file said of controls of the pictures as they stand."""
    made = RunDir(run.root / FOLDER)
    if name not in made.score_names():
        return records
    pairs, every = made.read_pairs(), made.latest(Edit, "edit", made.manifest)
    own = {pair.pair_id: pair for pair in records.pairs}
    again = {
        made_of(pair): (pair, every.get((pair.pair_id, 0)))
        for pair in pairs
        if pair.pair_id == control_id(made_of(pair), "again")
    }

    def stands(pair: Pair) -> bool:
        """Whether the edit that is judged again is the pair's own as it stands."""
        base = made_of(pair)
        then, edit = again.get(base, (pair, None))
        now = records.edits.get((base, first_edited(records, base)))
        same = base in own and _asked(own[base]) == _asked(then)
        return same and edit is not None and now is not None and edit.sha256 == now.sha256

    rubric = records.rubric
    kept = tuple(
        pair if rubric is None else msgspec.structs.replace(pair, category=rubric.category(pair.category))
        for pair in pairs
        if stands(pair)
    )
    edits = {(pair.pair_id, 0): every[pair.pair_id, 0] for pair in kept if (pair.pair_id, 0) in every}
    found = made.latest(Score, f"score-{name}", made.scores(name))
    scores, _ = _current(found, kept, edits, rubric, how)
    earlier = len({made_of(pair) for pair in pairs}) - len({made_of(pair) for pair in kept})
    note = (
        f"Controls of {numbered(earlier, 'pair')} are of earlier pictures and not used; score.py --controls "
        f"{len(again)} makes them again."
    )
    controls = RunRecords(
        name=FOLDER,
        run=FOLDER,
        score_file=name,
        root=made.root,
        pairs=kept,
        sources={},
        edits=edits,
        scores=scores,
        settings={},
        rubric=rubric,
    )
    notes = (*records.notes, *([note] if earlier else []))
    return dataclasses.replace(records, controls=controls if kept else None, notes=notes)


def _asked(pair: Pair) -> tuple[str, tuple[str, ...], str, str]:
    return pair.instruction, pair.turns, pair.sources_sha256, group_of(pair)


def _below(run: RunDir, path: Path) -> str:
    return path.relative_to(run.root).as_posix()


def _version_and_date(run: RunDir) -> dict[str, str]:
    """The editbench that the run was made with last, and the day (UTC) on which its records were last written."""
    found: dict[str, str] = {}
    made_on = run.made_on()
    if made_on:
        version, commit = made_on[-1]["packages"].get("editbench"), made_on[-1]["commit"]
        found["editbench"] = " ".join(filter(None, (version, commit and commit[:12]))) or "version not known"
    written = [path.stat().st_mtime for path in (run.manifest, *(run.root / "scores").glob("*.jsonl")) if path.exists()]
    if written:
        found["date"] = datetime.fromtimestamp(max(written), UTC).date().isoformat()
    return found


def _mixture(made_on: Sequence[Mapping[str, Any]], edits: Iterable[Edit]) -> str:
    """Kinds of device, and versions, of which the run's edits were made on more than one; empty: on one of each."""
    versions = [
        {"commit": (one.get("commit") or "unknown")[:12], "Python": one.get("python"), **one.get("packages", {})}
        for one in made_on
    ]
    edits = list(edits)
    found = {"device": {edit.device for edit in edits if edit.device}}
    ways = {mode for edit in edits for mode in edit.modes if mode.startswith("fast")}
    found["denoiser"] = {
        ", ".join(mode for mode in edit.modes if mode in ways) or "stock" for edit in edits if edit.image and ways
    }
    for name in dict.fromkeys(name for one in versions for name in one):
        found[name] = {str(one.get(name)) for one in versions}
    return "; ".join(f"{name} {' and '.join(sorted(values))}" for name, values in found.items() if len(values) > 1)


def _part(settings: Mapping[str, Any], pairs: Sequence[Pair], rubric: Rubric) -> str:
    """How the run's pairs were chosen from the benchmark; empty where they are all, or were once."""
    numbers = Counter(pair.category for pair in pairs)
    said: list[str] = []
    if (limit := settings.get("limit")) is not None and max(numbers.values()) <= limit:
        said.append(f"the first {limit} of each category")
    if (chosen := settings.get("categories")) and {*map(rubric.category, numbers)} <= {*map(rubric.category, chosen)}:
        said.append(f"only {', '.join(chosen)}")
    return "".join(f", {part}" for part in said)


def _way(how: Mapping[str, Any]) -> str:
    """How the judge was asked, in a line: two ways are two measures."""
    parts = [str(how.get("version", "unknown")), _line(how.get("rubric", {}))]
    if "repeats" in how:
        parts.append(f"mean of {how['repeats']} replies")
    if "expected" in how:
        parts.append("expected score")
    if "given" in how:
        parts.append("values made elsewhere")
    return ", ".join(parts)


def _line(plugin: Any) -> str:
    """A plug-in with those of its settings that are set."""
    if not isinstance(plugin, Mapping):
        return str(plugin)
    settings = plugin.get("init_args") or {}
    given = ", ".join(f"{name} {value!r}" for name, value in settings.items() if value not in (None, {}, "", False))
    return str(plugin.get("class_path", "unknown")).rpartition(".")[2] + (f" ({given})" if given else "")
