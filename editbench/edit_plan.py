"""What an edit launch has to do: the benchmark and the run read, checked and held against each other."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from editbench import __version__
from editbench.benchmark import load_pairs, read_sources, select
from editbench.config import Config, deciding, differences, to_yaml
from editbench.durable import is_file, read_records, write_atomic, write_records
from editbench.editors import Editor
from editbench.errors import UsageError
from editbench.images import encode_png
from editbench.lease import Lease
from editbench.records import Edit, Pair
from editbench.run_dir import RunDir, key, seed_for

log = logging.getLogger(__name__)
STAGE = "edit"
_ASKED = ("instruction", "source_sha256", "category", "rationale")


def make_plan(config: Config, run: RunDir, lease: Lease) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down what the run is about, and list what is left to do.

    Returns:
        `launch`, its number; `todo` and `selected`, lines of pairs.jsonl counted from 0: what is left to do of what
        this launch is about. Empty where `config.check`.

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
    found = _read(config, run)
    pairs, selected = found.pairs, found.selected
    by_id = {pair.pair_id: pair for pair in pairs}
    edit_key_of = edit_key(config.editor)
    standing = {
        edit.pair_id: _standing(edit, by_id.get(edit.pair_id), run, config, edit_key_of)
        for edit in run.records(Edit, STAGE, run.manifest)
    }
    made = {name for name, how in standing.items() if how != "failed"}
    done = {name for name in made if standing[name] == "done"}
    todo = [line for line, pair in enumerate(pairs) if pair.pair_id in selected and pair.pair_id not in done]
    changed = made & (found.changed | {name for name in made if standing[name] == "changed"})
    if changed and not config.accept_changes:
        raise UsageError(
            f"What {run.root} was edited from has changed since ({path}): {len(changed)} of {len(made)} finished pairs "
            f"({', '.join(sorted(changed)[:3])}, …) have another instruction, source, category, rationale or saved "
            "image now. Give it a run of its own (--run), or --accept_changes to make these anew in place of what is "
            "there."
        )
    if config.check:  # launch.sh checks first, and then edit.py says the rest
        log.info("%s: checked, %d pairs.", path, len(selected))
        return {}
    log.info("%s: %d pairs, %d already edited, %d to do.", path, len(selected), len(selected) - len(todo), len(todo))
    anew = [pairs[line].pair_id for line in todo]
    for pair_id in [name for name in anew if name in made]:
        why = "what it is made from has changed" if pair_id in changed else "its image is not as recorded"
        log.info("%s is redone: %s.", pair_id, why)
    orphans = sum(run.image(name).exists() for name in anew if name not in made)
    if orphans:
        log.info("%d images have no record that vouches for them and are made again.", orphans)
    run.remove_torn()
    write_atomic(run.config, to_yaml(config).encode())
    if not found.is_as_checked:
        write_records(run.pairs, pairs)
        if found.is_whole:
            write_atomic(run.checked, _as_checked(config, run).encode())
    lost = run.without_source(done)
    for pair_id, source in read_sources(path, lost, images=config.images) if lost else ():
        write_atomic(run.source(pair_id), encode_png(source))
    chosen = [line for line, pair in enumerate(pairs) if pair.pair_id in selected]
    return {"launch": run.next_launch(STAGE), "todo": todo, "selected": chosen}


@dataclass(frozen=True, kw_only=True)
class _Benchmark:
    """What a launch finds in it."""

    pairs: list[Pair]
    """What the run holds from now on, in benchmark order."""
    is_whole: bool
    """Whether these are all that the benchmark has."""
    is_as_checked: bool
    """Whether neither it nor what the run holds of it has changed since."""
    selected: set[str]
    """Ids of those that this launch is about."""
    changed: set[str]
    """Ids of those that the run held before and that ask for something else now."""


def _read(config: Config, run: RunDir) -> _Benchmark:
    path = config.the_benchmark
    before = {pair.pair_id: pair for pair in read_records(run.pairs, Pair)}
    as_checked = _is_as_checked(config, run, before.values())
    if as_checked:
        everything = list(before.values())
    else:
        everything = load_pairs(path, language=config.language, images=config.images, earlier=before)
    selected = select(everything, limit=config.limit, categories=config.categories or None)
    if not selected:
        raise UsageError(f"--categories {','.join(config.categories)}: {path} has no pair of these")
    pairs = _with_earlier(run, before.keys(), everything, selected)
    return _Benchmark(
        pairs=pairs,
        is_whole=len(pairs) == len(everything),
        is_as_checked=as_checked,
        selected={pair.pair_id for pair in selected},
        changed={pair.pair_id for pair in pairs if _changed(before.get(pair.pair_id), pair)},
    )


def _is_as_checked(config: Config, run: RunDir, pairs: Iterable[Pair]) -> bool:
    """Whether the benchmark is byte for byte what an earlier launch found sound and read these pairs from.

    Then each row would be found sound again and give the same pair, which takes most of the time that a run of 100,000
    needs to start. Neither time nor size of a file is believed: the benchmark's bytes are hashed, every source's, and
    those of pairs.jsonl, which might be damaged.
    """
    if not run.checked.exists() or run.checked.read_text() != _as_checked(config, run):
        return False
    folder = config.images or config.the_benchmark.parent
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
    edit: Edit, pair: Pair | None, run: RunDir, config: Config, edit_key_of: Callable[[Pair, int], str]
) -> Literal["failed", "changed", "spoilt", "done"]:
    """What the newest record of a pair is worth now."""
    if edit.error is not None:
        return "failed"
    if pair is None:  # of the benchmark, but not of this run: its record in pairs.jsonl was damaged
        return "spoilt"
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


def _with_earlier(run: RunDir, before: Set[str], everything: Sequence[Pair], selected: Sequence[Pair]) -> list[Pair]:
    """The selection and what the run held before, in benchmark order: a smaller `--limit` drops nothing."""
    gone = sorted(before - {pair.pair_id for pair in everything})
    if gone:
        raise UsageError(
            f"{run.root} holds {len(gone)} pairs that this benchmark does not have ({', '.join(gone[:3])}, …): "
            "it is of another benchmark; give this one a run of its own (--run)"
        )
    chosen = before | {pair.pair_id for pair in selected}
    return [pair for pair in everything if pair.pair_id in chosen]


def _changed(before: Pair | None, now: Pair) -> bool:
    """Whether the editor or the judge would be asked something else than before."""
    return before is not None and any(getattr(before, name) != getattr(now, name) for name in _ASKED)


def edit_key(editor: Editor) -> Callable[[Pair, int], str]:
    """What an edit of a pair depends on, hashed, as a function of the pair and its own seed."""
    settings = deciding(editor)

    def of(pair: Pair, seed: int) -> str:
        parts = {"source": pair.source_sha256, "instruction": pair.instruction, "editor": settings, "seed": seed}
        also = editor.also_decides(pair)
        return key(**parts) if also is None else key(**parts, also=also)

    return of
