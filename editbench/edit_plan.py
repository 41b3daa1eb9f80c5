"""What an edit launch has to do: the benchmark and the run read, checked and held against each other."""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from editbench import __version__
from editbench.benchmark import load_pairs, read_sources, selector
from editbench.config import Config, deciding, differences, to_yaml
from editbench.durable import RecordFiles, is_file, read_records, to_line, write_atomic, write_lines
from editbench.editors import Editor
from editbench.errors import UsageError
from editbench.images import encode_png
from editbench.lease import Lease
from editbench.records import Edit, Pair
from editbench.run_dir import RunDir, key, seed_for

log = logging.getLogger(__name__)
STAGE = "edit"
_IN_MEMORY = 2**22  # bytes of pairs that are not written to the run yet
_ASKED = ("instruction", "source_sha256", "category", "rationale")


def make_plan(config: Config, run: RunDir, lease: Lease) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down what the run is about, and list what is left to do.

    Returns:
        `launch`, its number; `selected`, what this launch is about, and `todo`, what of that is left to do: a byte a
        pair of pairs.jsonl, 0 or 1, in hexadecimal. Empty where `config.check`.

    Raises:
        UsageError: the benchmark, the configuration or the run directory can't be worked with.
    """
    path = config.the_benchmark
    if config.benchmark is None and not config.check:
        log.info("No --benchmark: the embedded demo's pairs are used.")
    config.editor.check()
    if not config.check:
        lease.take()
    _refuse_another_editor(config, run)
    with ExitStack() as files:
        found = _read(config, run, files)
        state = _compare(found, config, run)
        if not any(state.selected):
            raise UsageError(f"--categories {','.join(config.categories)}: {path} has no pair of these")
        if state.changed and not config.accept_changes:
            raise UsageError(
                f"What {run.root} was edited from has changed since ({path}): {len(state.changed)} of {state.num_made} "
                f"finished pairs ({', '.join(sorted(state.changed)[:3])}, …) have another instruction, source, "
                "category, rationale or saved image now. Give it a run of its own (--run), or --accept_changes to make "
                "these anew in place of what is there."
            )
        num_selected, num_todo = sum(state.selected), sum(state.todo)
        if config.check:  # launch.sh checks first, and then edit.py says the rest
            log.info("%s: checked, %d pairs.", path, num_selected)
            return {}
        log.info("%s: %d pairs, %d already edited, %d to do.", path, num_selected, num_selected - num_todo, num_todo)
        for pair_id, why in state.redone.items():
            log.info("%s is redone: %s.", pair_id, why)
        if state.num_orphans:
            log.info("%d images have no record that vouches for them and are made again.", state.num_orphans)
        run.remove_torn()
        write_atomic(run.config, to_yaml(config).encode())
        if not found.is_as_checked:
            write_lines(run.pairs, found.lines)
            if found.is_whole:
                write_atomic(run.checked, _as_checked(config, run).encode())
    for pair_id, source in read_sources(path, state.without_source, images=config.images):
        write_atomic(run.source(pair_id), encode_png(source))
    return {"launch": run.next_launch(STAGE), "todo": state.todo.hex(), "selected": state.selected.hex()}


@dataclass(frozen=True, kw_only=True)
class _Benchmark:
    """What a launch finds in it."""

    file: IO[bytes]
    """What the run holds from now on, in benchmark order, as it stands or is to stand in pairs.jsonl."""
    is_whole: bool = True
    """Whether these are all pairs that the benchmark has."""
    is_as_checked: bool = True
    """Whether neither it nor what the run holds of it has changed since."""
    changed: frozenset[str] = frozenset()
    """Ids of those that the run held before and that ask for something else now."""

    def lines(self) -> Iterator[bytes]:
        """The file's, from its start."""
        self.file.seek(0)
        return iter(self.file)  # not `yield from`: a generator that is let go would close the file


def _read(config: Config, run: RunDir, files: ExitStack) -> _Benchmark:
    """The selection and what the run held before, in benchmark order: a smaller `--limit` drops nothing."""
    if _is_as_checked(config, run):
        return _Benchmark(file=files.enter_context(run.pairs.open("rb")))
    # what may yet be refused stands outside the run, and if it is much not in memory
    file = files.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115  (`files` closes it)
    before = files.enter_context(RecordFiles(Pair, (run.pairs,)))
    places = before.newest()  # those left at the end are gone

    def earlier(pair_id: str) -> Pair | None:
        return before.at(places[pair_id]) if pair_id in places else None

    chooses, is_whole, changed = selector(limit=config.limit, categories=config.categories), True, set[str]()
    for pair in load_pairs(config.the_benchmark, language=config.language, images=config.images, earlier=earlier):
        was = earlier(pair.pair_id)
        if chooses(pair) or was is not None:
            file.write(to_line(pair))
        else:
            is_whole = False
        if was is not None:
            del places[pair.pair_id]
            if any(getattr(was, name) != getattr(pair, name) for name in _ASKED):
                changed.add(pair.pair_id)
    if places:
        raise UsageError(
            f"{run.root} holds {len(places)} pairs that this benchmark does not have ({', '.join(sorted(places)[:3])}, "
            "…): it is of another benchmark; give this one a run of its own (--run)"
        )
    return _Benchmark(file=file, is_whole=is_whole, is_as_checked=False, changed=frozenset(changed))


@dataclass(kw_only=True)
class _State:
    """What the run has made of the benchmark's pairs."""

    selected: bytearray = field(default_factory=bytearray)
    """By pair, in benchmark order: 1 where this launch is about the pair, else 0."""
    todo: bytearray = field(default_factory=bytearray)
    """Likewise where the pair is to be edited."""
    num_made: int = 0
    """How many have an image by their records."""
    changed: list[str] = field(default_factory=list[str])
    """Ids of those whose image is of something else."""
    redone: dict[str, str] = field(default_factory=dict[str, str])
    """By id, why an image is to be made again."""
    num_orphans: int = 0
    """Images to be made of which no record says that they were."""
    without_source: list[str] = field(default_factory=list[str])
    """Ids of those that are done and whose decoded source image is gone."""


def _compare(found: _Benchmark, config: Config, run: RunDir) -> _State:
    state, edit_key_of = _State(), edit_key(config.editor)
    chooses = selector(limit=config.limit, categories=config.categories)  # of these the same as of all
    with run.records(Edit, STAGE, run.manifest) as edits:
        newest = edits.newest()
        for line in found.lines():
            pair = Pair.from_json(line.decode())
            place = newest.get(pair.pair_id)
            standing = "failed" if place is None else _standing(edits.at(place), pair, run, config, edit_key_of)
            selected, made = chooses(pair), standing != "failed"
            todo = selected and standing != "done"
            changed = made and (standing == "changed" or pair.pair_id in found.changed)
            state.selected.append(selected)
            state.todo.append(todo)
            state.num_made += made
            if changed:
                state.changed.append(pair.pair_id)
            if todo and made:
                why = "what it is made from has changed" if changed else "its image is not as recorded"
                state.redone[pair.pair_id] = why
            if todo and not made:
                state.num_orphans += run.image(pair.pair_id).exists()
            if standing == "done" and not run.has_source(pair.pair_id):
                state.without_source.append(pair.pair_id)
    return state


def _is_as_checked(config: Config, run: RunDir) -> bool:
    """Whether the benchmark is byte for byte what an earlier launch found sound and wrote pairs.jsonl from.

    Then each row would be found sound again and give the same pair, which takes most of the time that a run of 100,000
    needs to start. Neither time nor size of a file is believed: the benchmark's bytes are hashed, every source's, and
    those of pairs.jsonl, which might be damaged.
    """
    if not run.checked.exists() or run.checked.read_text() != _as_checked(config, run):
        return False
    folder, pairs = config.images or config.the_benchmark.parent, read_records(run.pairs, Pair)
    try:
        return all(is_file(f"{folder}/{pair.source}", pair.source_sha256) for pair in pairs if pair.source is not None)
    except OSError:  # reading it row by row tells which file that is
        return False


def _as_checked(config: Config, run: RunDir) -> str:
    """A hash of all that a run's pairs follow from, but for the sources in files; empty when a file is missing."""
    try:
        digests = {"benchmark": _digest(config.the_benchmark), "pairs": _digest(run.pairs)}
    except FileNotFoundError:
        return ""
    return key(**digests, language=config.language, images=str(config.images), editbench=__version__)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _standing(
    edit: Edit, pair: Pair, run: RunDir, config: Config, edit_key_of: Callable[[Pair, int], str]
) -> Literal["failed", "changed", "spoilt", "done"]:
    """What the newest record of a pair is worth now."""
    if edit.error is not None:
        return "failed"
    if edit.key != edit_key_of(pair, seed_for(config.seed, pair.pair_id)):
        return "changed"
    return "done" if run.has_image(edit) else "spoilt"


def _refuse_another_editor(config: Config, run: RunDir) -> None:
    """One run holds the edits of one editor, seed and language, or its mean would be of nothing in particular."""
    if not run.config.exists():
        return
    recorded = yaml.safe_load(run.config.read_text())
    now = {"editor": deciding(config.editor), "seed": config.seed, "language": config.language}
    before = {name: recorded[name] for name in now}
    for name in config.editor.neutral:
        before["editor"]["init_args"].pop(name, None)
    if found := differences(before, now):
        raise UsageError(
            f"{run.root} holds the edits of other settings:\n" + "\n".join(f"  {line}" for line in found) + "\n"
            "Give these a run of their own (--run), or the same settings to go on with that one."
        )


def edit_key(editor: Editor) -> Callable[[Pair, int], str]:
    """What an edit of a pair depends on, hashed, as a function of the pair and its own seed."""
    settings = deciding(editor)

    def of(pair: Pair, seed: int) -> str:
        parts = {"source": pair.source_sha256, "instruction": pair.instruction, "editor": settings, "seed": seed}
        also = editor.also_decides(pair)
        return key(**parts) if also is None else key(**parts, also=also)

    return of
