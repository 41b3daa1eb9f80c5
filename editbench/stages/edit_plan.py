"""What an edit launch has to do: the benchmark and the run read, checked and held against each other."""

import contextlib
import errno
import hashlib
import logging
import tempfile
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from editbench import __version__
from editbench.benchmark import load_pairs, read_sources, selector
from editbench.config import Config, deciding, differences, to_yaml
from editbench.editors import Editor
from editbench.errors import UsageError
from editbench.images import encode_png
from editbench.records import Edit, Pair
from editbench.run.durable import RecordFiles, is_file, read_records, to_line, write_atomic, write_lines
from editbench.run.lease import Lease
from editbench.run.run_dir import RunDir, key, seed_for
from editbench.run.yaml_file import read_settings

log = logging.getLogger(__name__)
STAGE = "edit"
_IN_MEMORY = 2**20  # bytes of pairs that are not written to the run yet
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
    keys, spoilt = _recorded(run)
    with _scratch() as file:
        try:
            anew, state = None, _compare(_as_checked(config, run), keys, spoilt, set(), config, run)
        except _NotAsCheckedError:
            anew = _read_anew(config, run, keys, file)
            pairs = (Pair.from_json(line.decode()) for line in _lines(file))
            state = _compare(pairs, keys, spoilt, anew.changed, config, run)
        if not any(state.selected):
            raise UsageError(f"--categories {','.join(config.categories)}: {path} has no pair of these")
        if state.changed and not config.accept_changes:
            raise UsageError(
                f"What {run.root} was edited from has changed since ({path}): {len(state.changed)} of {state.num_made} "
                f"finished pairs ({', '.join(sorted(state.changed)[:3])}, …) have another instruction, source, "
                "category, rationale or saved image now. Give it a run of its own (--run_dir), or --accept_changes to "
                "make these anew in place of what is there."
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
        if anew is not None:
            write_lines(run.pairs, lambda: _lines(file))
            if anew.is_whole:
                write_atomic(run.checked, _digests(config, run).encode())
    for pair_id, source in read_sources(path, state.without_source, images=config.images):
        write_atomic(run.source(pair_id), encode_png(source))
    return {"launch": run.next_launch(STAGE), "todo": state.todo.hex(), "selected": state.selected.hex()}


@contextlib.contextmanager
def _scratch() -> Generator[IO[bytes]]:
    """A file that is nobody's, of which what is large is on a disk; a disk that is full is named all the same."""
    try:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            yield file
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            error.filename = tempfile.gettempdir()
        raise


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(file)


@dataclass(frozen=True, kw_only=True)
class _Anew:
    """What is found in a benchmark that was read row by row."""

    is_whole: bool
    """Whether the run holds all of its pairs from now on."""
    changed: set[str]
    """Ids of those that the run held before and that ask for something else now."""


def _read_anew(config: Config, run: RunDir, made: Container[str], file: IO[bytes]) -> _Anew:
    """Row by row, and with every defect.

    Args:
        config: names the benchmark.
        run: as an earlier launch left it.
        made: ids of those that have an image.
        file: gets what pairs.jsonl is to hold: the selection, what stood there before and what has an image, for a
            smaller `--limit` drops nothing, nor does a line there that was damaged. It is not the run's, since the
            launch may yet be refused.
    """
    with RecordFiles(Pair, (run.pairs,)) as before:
        places = before.newest()  # those left at the end are gone

        def earlier(pair_id: str) -> Pair | None:
            return before.at(places[pair_id]) if pair_id in places else None

        chooses, is_whole, changed = selector(limit=config.limit, categories=config.categories), True, set[str]()
        for pair in load_pairs(config.the_benchmark, language=config.language, images=config.images, earlier=earlier):
            was = earlier(pair.pair_id)
            if chooses(pair) or was is not None or pair.pair_id in made:
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
            "…): it is of another benchmark; give this one a run of its own (--run_dir)"
        )
    return _Anew(is_whole=is_whole, changed=changed)


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


def _recorded(run: RunDir) -> tuple[dict[str, str], set[str]]:
    """By id, the keys of the images that the newest records tell of; and the ids of those that are not as recorded."""
    keys, spoilt = dict[str, str](), set[str]()
    with run.records(Edit, STAGE, run.manifest) as edits:
        for _, edit in edits:  # a newer one of a pair takes an older one's place
            keys.pop(edit.pair_id, None)
            spoilt.discard(edit.pair_id)
            if edit.error is None:
                keys[edit.pair_id] = edit.key
                if not run.has_image(edit):
                    spoilt.add(edit.pair_id)
    return keys, spoilt


def _compare(
    pairs: Iterable[Pair], keys: Mapping[str, str], spoilt: Set[str], changed: Set[str], config: Config, run: RunDir
) -> _State:
    state, edit_key_of = _State(), edit_key(config.editor)
    chooses = selector(limit=config.limit, categories=config.categories)  # of these the same as of all
    for pair in pairs:
        name, selected = pair.pair_id, chooses(pair)
        made = name in keys
        current = made and keys[name] == edit_key_of(pair, seed_for(config.seed, name))
        done = current and name not in spoilt
        of_another = made and (not current or name in changed)
        todo = selected and not done
        state.selected.append(selected)
        state.todo.append(todo)
        state.num_made += made
        if of_another:
            state.changed.append(name)
        if todo and made:
            state.redone[name] = "what it is made from has changed" if of_another else "its image is not as recorded"
        if todo and not made:
            state.num_orphans += run.image(name).exists()
        if done and not run.has_source(name):
            state.without_source.append(name)
    return state


class _NotAsCheckedError(Exception):
    """The benchmark is not, byte for byte, what an earlier launch found sound."""


def _as_checked(config: Config, run: RunDir) -> Iterator[Pair]:
    """The run's pairs, when the benchmark is byte for byte what an earlier launch found sound and wrote them from.

    Then each row would be found sound again and give the same pair, which takes most of the time that a run of 100,000
    needs to start. Neither time nor size of a file is believed: the benchmark's bytes are hashed, every source's, and
    those of pairs.jsonl, which might be damaged.

    Raises:
        _NotAsCheckedError: at the start, or at the first pair whose source is another.
    """
    if not run.checked.exists() or run.checked.read_text(encoding="utf-8") != _digests(config, run):
        raise _NotAsCheckedError
    folder = config.images or config.the_benchmark.parent
    for pair in read_records(run.pairs, Pair):
        try:
            stands = pair.source is None or is_file(f"{folder}/{pair.source}", pair.source_sha256)
        except OSError as error:  # reading it row by row tells which file that is
            raise _NotAsCheckedError from error
        if not stands:
            raise _NotAsCheckedError
        yield pair


def _digests(config: Config, run: RunDir) -> str:
    """A hash of all that a run's pairs follow from, but for the sources in files; empty when a file is missing."""
    try:
        digests = {"benchmark": _digest(config.the_benchmark), "pairs": _digest(run.pairs)}
    except FileNotFoundError:
        return ""
    return key(**digests, language=config.language, images=str(config.images), editbench=__version__)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_another_editor(config: Config, run: RunDir) -> None:
    """One run holds the edits of one editor, seed and language, or its mean would be of nothing in particular."""
    if not run.config.exists():
        return
    recorded = read_settings(run.config)
    now = {"editor": deciding(config.editor), "seed": config.seed, "language": config.language}
    before = {name: recorded[name] for name in now}
    for name in config.editor.neutral:
        before["editor"]["init_args"].pop(name, None)
    if found := differences(before, now):
        raise UsageError(
            f"{run.root} holds the edits of other settings:\n" + "\n".join(f"  {line}" for line in found) + "\n"
            "Give these a run of their own (--run_dir), or the same settings to go on with that one."
        )


def edit_key(editor: Editor) -> Callable[[Pair, int], str]:
    """What an edit of a pair depends on, hashed, as a function of the pair and its own seed."""
    settings = deciding(editor)

    def of(pair: Pair, seed: int) -> str:
        parts = {"source": pair.source_sha256, "instruction": pair.instruction, "editor": settings, "seed": seed}
        also = editor.also_decides(pair)
        return key(**parts) if also is None else key(**parts, also=also)

    return of
