"""The edit stage: from a benchmark to edited images and their manifest."""

import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import compress
from typing import Any

from PIL.Image import Image

from editbench.benchmark import read_sources
from editbench.config import Config
from editbench.editors import EditFailed, EditRefused
from editbench.images import decode, encode_png
from editbench.process.console import Tally, start_logging
from editbench.process.faults import empty_cache, is_fatal, is_out_of_memory, reason
from editbench.process.redaction import redacted
from editbench.process.watchdog import Watchdog
from editbench.process.world import World
from editbench.records import Edit, Pair
from editbench.run.durable import Part, read_records, write_atomic
from editbench.run.run_dir import RunDir, environment, seed_for, sha256
from editbench.stages.edit_plan import STAGE, edit_key, make_plan

log = logging.getLogger(__name__)


def edit(config: Config, world: World) -> int:
    """Edit what is left to do of a run, this rank its share.

    Returns:
        The exit code: 0, or 1 when more pairs failed than `config.max_failures` (or all did).

    Raises:
        UsageError: the benchmark, the configuration or the run directory can't be worked with.
    """
    run = RunDir(config.the_run)
    run.refuse_unwritable()
    start_logging(None if config.check else run.logs, STAGE, world)
    with run.lease(STAGE) as lease:
        plan = json.loads(world.from_rank_0("plan", lambda: json.dumps(make_plan(config, run, lease))))
        if config.check:
            return 0
        todo = bytes.fromhex(plan["todo"])
        if any(todo):
            with (
                Tally(world, sum(todo), "edit") as tally,
                run.part(STAGE, plan["launch"], world.rank) as part,
                Watchdog(config.hang_after_s) as watchdog,
            ):
                share = _Share(config, world, run, part, tally, watchdog)
                share.edit(world.share(todo))
        if world.rank != 0:
            return 0
        selected, edited = bytes.fromhex(plan["selected"]), run.merge(Edit, STAGE, run.manifest)
        if missing := sum(selected) - sum(compress(edited, selected)):
            raise OSError(f"the records of {missing} of {sum(selected)} pairs cannot be read")
        return _conclude(config, run, compress(read_records(run.manifest, Edit), compress(selected, edited)))


def _conclude(config: Config, run: RunDir, edits: Iterable[Edit]) -> int:
    number, failed, devices = 0, 0, set[str]()
    for edit in edits:
        number += 1
        failed += edit.error is not None
        devices.add(edit.device)
    log.info("%d of %d edited, %d failed: %s", number - failed, number, failed, run.manifest)
    if len(devices := devices - {""}) > 1:
        log.warning("Edited on %s: the last bits of a picture may differ between them.", " and ".join(sorted(devices)))
    if failed:
        log.info("The same command again tries the failed ones again.")
    allowed = number - 1 if config.max_failures is None else config.max_failures
    return int(failed > allowed)


class _Share:
    """One rank's pairs: while the editor works on one, the next source is read and the last image written."""

    def __init__(self, config: Config, world: World, run: RunDir, part: Part, tally: Tally, watchdog: Watchdog):
        self._config, self._world, self._run, self._part, self._tally = config, world, run, part, tally
        self._watchdog = watchdog
        self._key = edit_key(config.editor)
        self._device = ""

    def edit(self, marks: bytes) -> None:
        """Edit the pairs marked; one that can't be edited is a record, a process that can't go on an exception."""
        if not any(marks):
            return
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            sources = reader.submit(self._write_sources, marks)
            self._load()
            sources.result()
            written: Future[None] | None = None
            for pair, source in self._read_ahead(reader, marks):
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
        self._watchdog.begin(f"rank {self._world.rank}: loading {self._config.editor.name}")
        start = time.monotonic()
        self._device = self._config.editor.load(self._world)
        self._world.count(turn, 1)
        log.info("%s is ready on %s after %.1f s.", self._config.editor.name, self._device, time.monotonic() - start)
        if self._world.rank == 0:
            self._run.write_environment(environment([self._device]))

    def _write_sources(self, marks: bytes) -> None:
        wanted = (pair.pair_id for pair in self._run.pairs_marked(marks))
        for pair_id, source in read_sources(self._config.the_benchmark, wanted, images=self._config.images):
            write_atomic(self._run.source(pair_id), encode_png(source))

    def _read_ahead(self, reader: ThreadPoolExecutor, marks: bytes) -> Iterator[tuple[Pair, Image]]:
        """The pairs with their sources; while a caller works on one, the next one's is read."""
        ahead: deque[tuple[Pair, Future[Image]]] = deque()
        for pair in self._run.pairs_marked(marks):
            ahead.append((pair, reader.submit(self._read, pair)))
            if len(ahead) > 1:
                first, source = ahead.popleft()
                yield first, source.result()
        for last, source in ahead:
            yield last, source.result()

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
        edit = Edit(pair_id=pair.pair_id, seed=seed, key=self._key(pair, seed), device=self._device, modes=editor.modes)
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
