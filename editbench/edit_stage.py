"""The edit stage: from a benchmark to edited images and their manifest."""

import json
import logging
import time
from collections.abc import Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import yaml
from PIL.Image import Image

from editbench.benchmark import load_pairs, read_sources, select
from editbench.config import Config, deciding, differences, to_yaml
from editbench.console import Tally, start_logging
from editbench.durable import Part, read_records, write_atomic
from editbench.editors import EditFailed, Editor, EditRefused
from editbench.errors import UsageError
from editbench.faults import empty_cache, is_fatal, is_out_of_memory, reason
from editbench.images import decode, encode_png
from editbench.lease import Lease
from editbench.records import Edit, Pair, to_lines
from editbench.redaction import redacted
from editbench.run_dir import RunDir, environment, key, seed_for, sha256
from editbench.watchdog import Watchdog
from editbench.world import World

log = logging.getLogger(__name__)
STAGE = "edit"
_ASKED = ("instruction", "source_sha256", "category", "rationale")


def edit(config: Config, world: World) -> int:
    """Edit what is left to do of a run, this rank its share.

    Returns:
        The exit code: 0, or 1 when more pairs failed than `config.max_failures` (or all did).

    Raises:
        UsageError: the benchmark, the configuration or the run directory can't be worked with.
    """
    run = RunDir(config.the_run)
    start_logging(None if config.check else run.logs, STAGE, world)
    with run.lease(STAGE) as lease:
        plan = json.loads(world.from_rank_0("plan", lambda: json.dumps(_plan(config, run, lease))))
        if config.check:
            return 0
        pairs = {pair.pair_id: pair for pair in run.read_pairs()}
        todo = [pairs[pair_id] for pair_id in plan["todo"]]
        if todo:
            with (
                Tally(world, len(todo), "edit") as tally,
                run.part(STAGE, plan["launch"], world.rank) as part,
                Watchdog(config.hang_after_s) as watchdog,
            ):
                _Share(config, world, run, part, tally, watchdog).edit(todo[world.rank :: world.size])
        if world.rank != 0:
            return 0
        edits = run.latest(Edit, STAGE, run.manifest)
        run.merge(edits, pairs, STAGE, run.manifest)
        return _conclude(config, run, [edits[pair_id] for pair_id in plan["selected"]])


def edit_key(pair: Pair, editor: Editor, seed: int) -> str:
    """What an edit of the pair depends on, hashed; the seed is the pair's own."""
    return key(source=pair.source_sha256, instruction=pair.instruction, editor=deciding(editor), seed=seed)


def _plan(config: Config, run: RunDir, lease: Lease) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down what the run is about, and list what is left to do."""
    path = config.the_benchmark
    if config.benchmark is None and not config.check:
        log.info("No --benchmark: the embedded demo's pairs are used.")
    config.editor.check()
    if not config.check:
        lease.take()
    _refuse_another_editor(config, run)
    before = {pair.pair_id: pair for pair in read_records(run.pairs, Pair)}
    known = {pair.source_sha256 for pair in before.values()}
    everything = load_pairs(path, language=config.language, images=config.images, known=known)
    selected = select(everything, limit=config.limit, categories=config.categories or None)
    if not selected:
        raise UsageError(f"--categories {','.join(config.categories)}: {path} has no pair of these")
    pairs = _with_earlier(run, before.keys(), everything, selected)

    seeds = {pair.pair_id: seed_for(config.seed, pair.pair_id) for pair in pairs}
    keys = {pair.pair_id: edit_key(pair, config.editor, seeds[pair.pair_id]) for pair in pairs}
    made = {name: edit for name, edit in run.latest(Edit, STAGE, run.manifest).items() if edit.error is None}
    done = {name for name, edit in made.items() if edit.key == keys.get(name) and run.has_image(edit)}
    todo = [pair.pair_id for pair in selected if pair.pair_id not in done]
    changed = {name for name in made if name in keys and made[name].key != keys[name]}
    changed |= {pair.pair_id for pair in pairs if pair.pair_id in made and _changed(before.get(pair.pair_id), pair)}
    if changed and not config.accept_changes:
        raise UsageError(
            f"{path} has changed since {run.root} was edited from it: {len(changed)} of {len(made)} finished pairs "
            f"({', '.join(sorted(changed)[:3])}, …) have another instruction, source, category or rationale now. Give "
            "it a run of its own (--run), or --accept_changes to make these anew in place of what is there."
        )
    if config.check:  # launch.sh checks first, and then edit.py says the rest
        log.info("%s: checked, %d pairs.", path, len(selected))
        return {}
    log.info("%s: %d pairs, %d already edited, %d to do.", path, len(selected), len(selected) - len(todo), len(todo))
    for pair_id in [name for name in todo if name in made]:
        why = "the benchmark changed it" if pair_id in changed else "its image is not as recorded"
        log.info("%s is redone: %s.", pair_id, why)
    orphans = sum(run.image(name).exists() for name in todo if name not in made)
    if orphans:
        log.info("%d images have no record that vouches for them and are made again.", orphans)
    run.remove_torn()
    write_atomic(run.config, to_yaml(config).encode())
    write_atomic(run.pairs, "".join(to_lines(pairs)).encode())
    lost = run.without_source(done)
    for pair_id, source in read_sources(path, lost, images=config.images) if lost else ():
        write_atomic(run.source(pair_id), encode_png(source))
    return {"launch": run.next_launch(STAGE), "todo": todo, "selected": [pair.pair_id for pair in selected]}


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


def _conclude(config: Config, run: RunDir, edits: Sequence[Edit]) -> int:
    failed = [edit for edit in edits if edit.error is not None]
    log.info("%d of %d edited, %d failed: %s", len(edits) - len(failed), len(edits), len(failed), run.manifest)
    if failed:
        log.info("The same command again tries the failed ones again.")
    allowed = len(edits) - 1 if config.max_failures is None else config.max_failures
    return int(len(failed) > allowed)


class _Share:
    """One rank's pairs: while the editor works on one, the next source is read and the last image written."""

    def __init__(self, config: Config, world: World, run: RunDir, part: Part, tally: Tally, watchdog: Watchdog):
        self._config, self._world, self._run, self._part, self._tally = config, world, run, part, tally
        self._watchdog = watchdog
        self._device = ""

    def edit(self, pairs: Sequence[Pair]) -> None:
        """Edit them in order; a pair that can't be edited is a record, a process that can't go on an exception."""
        if not pairs:
            return
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            sources = reader.submit(self._write_sources, pairs)
            self._load()
            sources.result()
            written: Future[None] | None = None
            ahead = reader.submit(self._read, pairs[0])
            for pair, following in zip(pairs, [*pairs[1:], None], strict=True):
                source = ahead.result()
                if following is not None:
                    ahead = reader.submit(self._read, following)
                edit, image = self._one(pair, source)
                if written is not None:
                    written.result()  # one image waits to be written at the most, and a full disk is heard of at once
                written = writer.submit(self._write, edit, image, source)
            if written is not None:
                written.result()

    def _load(self) -> None:
        turn = f"loaded on node {self._world.node}"
        if self._config.load_in_turns:
            self._world.wait_for(turn, self._world.local_rank)
        start = time.monotonic()
        self._device = self._config.editor.load(self._world)
        self._world.count(turn, 1)
        log.info("%s is ready on %s after %.1f s.", self._config.editor.name, self._device, time.monotonic() - start)
        if self._world.rank == 0:
            self._run.write_environment(environment([self._device]))

    def _write_sources(self, pairs: Sequence[Pair]) -> None:
        wanted = {pair.pair_id for pair in pairs}
        path = self._config.the_benchmark
        for pair_id, source in read_sources(path, wanted, images=self._config.images):
            write_atomic(self._run.source(pair_id), encode_png(source))

    def _read(self, pair: Pair) -> Image:
        source = decode(self._run.source(pair.pair_id).read_bytes())
        try:
            self._config.editor.prepare(pair, source)
        except Exception as error:
            if is_fatal(error):
                raise
            log.warning("%s was not prepared: %s; its edit takes longer.", pair.pair_id, reason(error), exc_info=True)
        return source

    def _one(self, pair: Pair, source: Image) -> tuple[Edit, Image | None]:
        seed = seed_for(self._config.seed, pair.pair_id)
        editor = self._config.editor
        edit = Edit(
            pair_id=pair.pair_id, seed=seed, key=edit_key(pair, editor, seed), device=self._device, modes=editor.modes
        )
        self._watchdog.begin(f"rank {self._world.rank}: {pair.pair_id}")
        start = time.monotonic()
        try:
            image = editor.edit(pair, source, seed)
        except EditRefused as error:
            return replace(edit, error=redacted(str(error)), flags=("refused",)), None
        except EditFailed as error:
            return replace(edit, error=redacted(str(error))), None
        except Exception as error:
            if is_fatal(error):
                raise
            log.warning("%s failed: %s", pair.pair_id, reason(error), exc_info=True)
            if is_out_of_memory(error):
                empty_cache()
                return replace(edit, error=f"out of memory: {reason(error)}"), None
            return replace(edit, error=reason(error)), None
        if not isinstance(image, Image):  # pyright: ignore[reportUnnecessaryIsInstance]  (anyone may write an editor)
            return replace(edit, error=f"the editor gave {type(image).__name__} and no picture"), None
        return replace(edit, duration_s=round(time.monotonic() - start, 3)), image

    def _write(self, edit: Edit, image: Image | None, source: Image) -> None:
        """The picture first, then the row that vouches for it."""
        if image is not None:
            path, data = self._run.image(edit.pair_id), encode_png(image)
            write_atomic(path, data)
            edit = replace(
                edit,
                image=path.relative_to(self._run.root).as_posix(),
                sha256=sha256(data),
                width=image.width,
                height=image.height,
                flags=_flags(image, source),
            )
        else:  # one that an earlier launch left is none of this record's
            self._run.image(edit.pair_id).unlink(missing_ok=True)
        self._part.append(edit)
        self._tally.add(failed=edit.error is not None)


def _flags(image: Image, source: Image) -> tuple[str, ...]:
    found = {
        "unchanged": image.size == source.size and image.tobytes() == source.tobytes(),
        "constant": all(low == high for low, high in _extrema(image)),
        "resized": image.size != source.size,
    }
    return tuple(name for name, holds in found.items() if holds)


def _extrema(image: Image) -> Any:
    return image.getextrema()  # three pairs for RGB, which Pillow's types can't tell
