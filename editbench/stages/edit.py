"""The edit stage: from a benchmark to edited images and their manifest."""

import json
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from PIL.Image import Image

from editbench.benchmark import selector
from editbench.config import Config
from editbench.editors import Edited, EditFailed, EditRefused
from editbench.errors import UsageError
from editbench.images import MAX_BYTES, MAX_PIXELS, decode, encode_png
from editbench.process.console import Tally, start_logging
from editbench.process.faults import empty_cache, is_fatal, is_out_of_memory, reason
from editbench.process.redaction import redacted
from editbench.process.watchdog import Watchdog
from editbench.process.world import World
from editbench.records import Edit, Pair
from editbench.run.durable import Part, write_atomic
from editbench.run.lease import Lease
from editbench.run.run_dir import Identity, RunDir, environment, seed_for, sha256
from editbench.stages.edit_plan import STAGE, edit_key_of, make_plan, prompts_of, write_pictures

log = logging.getLogger(__name__)

_ASPECT = 0.04  # an editor rounds sides to multiples of 32: at a megapixel that changes the ratio by 4 % at most


def edit(config: Config, world: World, *, is_judged: bool = False) -> int:
    """Make the edits that a run still lacks, this rank its share.

    Args:
        config: what is edited and how.
        world: this process's place.
        is_judged: whether the configuration's judge and rubric score the edits next, so that pairs which they cannot
            judge are refused and not only warned of.

    Returns:
        The exit code: 0, or 1 when more edits failed than `config.max_failures` (or all did).

    Raises:
        UsageError: the benchmark, the configuration or the run directory cannot be worked with.
    """
    run = RunDir(config.the_run)
    run.refuse_unwritable()
    start_logging(None, STAGE, world)

    def start_log() -> None:
        start_logging(run.logs, STAGE, world)

    def planned(lease: Lease) -> dict[str, Any]:
        return make_plan(config, run, lease, start_log, is_judged=is_judged)

    with run.lease(STAGE) as lease:
        plan = json.loads(world.from_rank_0("plan", lambda: json.dumps(planned(lease))))
        if config.check:
            return 0
        todo = [(pair_id, try_) for pair_id, try_ in plan["todo"]]
        if world.rank != 0:
            start_log()
        if todo:
            with (
                Tally(world, len(todo), "edit") as tally,
                run.part(STAGE, plan["launch"], world.rank) as part,
                Watchdog(config.hang_after_s) as watchdog,
            ):
                share = _Share(config, world, run, part, tally, watchdog, plan["identity"])
                # all tries of a pair on one rank, which writes its pictures
                mine = set(list(dict.fromkeys(pair_id for pair_id, _ in todo))[world.rank :: world.size])
                share.edit([name for name in todo if name[0] in mine])
        if world.rank != 0:
            return 0
        run.merge(Edit, STAGE, run.manifest)
        pairs = run.read_pairs()
        chooses = selector(limit=config.limit, categories=config.categories, name=config.rubric.category)
        wanted = [(pair.pair_id, try_) for pair in filter(chooses, pairs) for try_ in range(config.edits)]
        edits = run.edits(pairs)
        if missing := [name for name in wanted if name not in edits]:
            raise OSError(f"the records of {len(missing)} of {len(wanted)} pairs cannot be read")
        return _conclude(config, run, [edits[name] for name in wanted])


def _conclude(config: Config, run: RunDir, edits: Sequence[Edit]) -> int:
    number, failed = len(edits), sum(edit.error is not None for edit in edits)
    log.info("%d of %d edited, %d failed: %s", number - failed, number, failed, run.manifest)
    if len(devices := {edit.device for edit in edits} - {""}) > 1:
        log.warning("Edited on %s: the last bits of a picture may differ between them.", " and ".join(sorted(devices)))
    if failed:
        log.info("The same command again retries the failed ones.")
    allowed = number - 1 if config.max_failures is None else config.max_failures
    return int(failed > allowed)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One try of a pair, with the pictures that the editor gets."""

    pair: Pair
    try_: int
    prompt: str | None
    sources: list[Image] = field(repr=False)

    @property
    def given(self) -> Pair:
        """The pair as the editor sees it first: with the rewritten prompt, or the first of several turns."""
        return self.turns[0]

    @property
    def turns(self) -> list[Pair]:
        """The pair as the editor sees it, turn by turn; one where there are no turns."""
        texts = self.pair.turns or (self.pair.instruction if self.prompt is None else self.prompt,)
        return [replace(self.pair, instruction=text, turns=()) for text in texts]


class _Share:
    """One rank's edits: while the editor works on one, the next sources are read and the last image written."""

    def __init__(
        self,
        config: Config,
        world: World,
        run: RunDir,
        part: Part,
        tally: Tally,
        watchdog: Watchdog,
        identity: dict[str, str],
    ):
        self._config, self._world, self._run, self._part, self._tally = config, world, run, part, tally
        self._watchdog = watchdog
        self._identity = identity
        self._key = edit_key_of(config.editor, identity)
        self._prompts = prompts_of(config)
        self._device = ""

    def edit(self, todo: Sequence[Identity]) -> None:
        """Make these edits; one that cannot be made is a record, a process that cannot go on an exception."""
        if not todo:
            return
        wanted = {pair_id for pair_id, _ in todo}
        pairs = {pair.pair_id: pair for pair in self._run.read_pairs() if pair.pair_id in wanted}
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            pictures = reader.submit(write_pictures, self._config, self._run, pairs.values(), set())
            self._load()
            pictures.result()
            if self._config.editor.num_at_once > 1:
                self._several_at_once(self._read_ahead(reader, pairs, todo), writer)
                return
            written: Future[None] | None = None
            for task in self._read_ahead(reader, pairs, todo):
                edit, images = self._one(task)
                if written is not None:
                    written.result()  # at most one image waits to be written, so a full disk is noticed at once
                written = writer.submit(self._write, edit, images, task.sources[0])
            if written is not None:
                written.result()

    def _several_at_once(self, tasks: Iterator[_Task], writer: ThreadPoolExecutor) -> None:
        """Edit in as many threads as the editor takes; each starts the next edit when its record is on disk.

        So a kill loses no more edits than are under way.
        """
        most = self._config.editor.num_at_once

        def one(task: _Task) -> None:
            writer.submit(self._write, *self._one(task), task.sources[0]).result()

        with ThreadPoolExecutor(most, "editor") as pool:
            under_way = set[Future[None]]()
            for task in tasks:
                while len(under_way) >= most:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for ended in done:
                        ended.result()
                under_way.add(pool.submit(one, task))
            for ended in as_completed(under_way):
                ended.result()

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
            self._run.write_environment(environment([self._device]) | {"editor": self._identity})

    def _read_ahead(
        self, reader: ThreadPoolExecutor, pairs: dict[str, Pair], todo: Sequence[Identity]
    ) -> Iterator[_Task]:
        """The edits to make with their sources; while a caller works on one, the next one's are read."""
        ahead: deque[Future[_Task]] = deque()
        for pair_id, try_ in todo:
            ahead.append(reader.submit(self._read, pairs[pair_id], try_))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        for last in ahead:
            yield last.result()

    def _read(self, pair: Pair, try_: int) -> _Task:
        sources = [decode(self._run.source(pair.pair_id, index).read_bytes()) for index in range(len(pair.sources))]
        task = _Task(pair=pair, try_=try_, prompt=self._prompts.get(pair.pair_id), sources=sources)
        try:
            self._config.editor.prepare(task.given, sources)
        except Exception as error:
            if is_fatal(error):
                raise
            log.warning("%s was not prepared: %s; its edit takes longer.", pair.pair_id, reason(error), exc_info=True)
        return task

    def _one(self, task: _Task) -> tuple[Edit, list[Image]]:
        """The record and the images of all turns; no image where one of the turns failed."""
        seed = seed_for(self._config.seed, task.pair.pair_id, task.try_)
        edit = Edit(
            pair_id=task.pair.pair_id,
            try_=task.try_,
            seed=seed,
            key=self._key(task.pair, seed, task.prompt),
            prompt=task.prompt,
            device=self._device,
            modes=self._config.editor.modes,
        )
        try_ = f", try {task.try_}" if task.try_ else ""
        start = time.monotonic()
        images, details = list[Image](), list[dict[str, Any]]()
        for number, given in enumerate(task.turns):
            self._watchdog.begin(f"rank {self._world.rank}: {task.pair.pair_id}{try_}")
            # a turn with the seed that its source was made with would tend to copy it
            turn_seed = seed_for(seed, f"turn {number}") if number else seed
            sources = [*images[-1:], *task.sources[1:]] if images else task.sources
            edit, image = self._turn(edit, given, sources, turn_seed)
            details.append(edit.details)
            edit = replace(edit, details=_of_all_turns(details))
            if image is None:
                where = f"turn {number + 1} of {len(task.turns)}: " if len(task.turns) > 1 else ""
                return replace(edit, error=f"{where}{edit.error}"), []
            images.append(image)
        return replace(edit, duration_s=round(time.monotonic() - start, 3)), images

    def _turn(self, edit: Edit, pair: Pair, sources: Sequence[Image], seed: int) -> tuple[Edit, Image | None]:
        try:
            made = self._config.editor.edit(pair, sources, seed)
            if isinstance(made, Edited):
                edit = replace(edit, prompt=made.prompt or edit.prompt, details=dict(made.details))
                made = made.image
            if not isinstance(made, Image):  # pyright: ignore[reportUnnecessaryIsInstance]  (anyone may write one)
                return replace(edit, error=f"the editor gave {type(made).__name__} and no picture"), None
            return edit, made
        except EditFailed as error:
            flags = ("refused",) if isinstance(error, EditRefused) else ()
            return replace(edit, error=redacted(str(error)), flags=flags, details=error.details), None
        except UsageError:
            raise  # no other pair would fare better
        except Exception as error:
            if is_fatal(error):
                raise
            log.warning("%s failed: %s", pair.pair_id, reason(error), exc_info=True)
            if is_out_of_memory(error):
                empty_cache()
                return replace(edit, error=f"out of memory: {reason(error)}"), None
            return replace(edit, error=reason(error)), None

    def _write(self, edit: Edit, images: Sequence[Image], source: Image) -> None:
        """The pictures first, then the row that vouches for them."""
        path = self._run.image(edit.pair_id, edit.try_)
        steps = [self._run.step(edit.pair_id, edit.try_, turn) for turn in range(1, len(images))]
        encoded: list[bytes] = []
        try:
            encoded = [_encoded(image) for image in images]
            flags = _flags(images[-1], source) if images else edit.flags
        except Exception as error:
            if is_fatal(error):
                raise
            log.warning("%s: its image cannot be written: %s", edit.pair_id, reason(error), exc_info=True)
            edit, encoded, flags = replace(edit, error=reason(error), duration_s=None), [], ()
        if encoded:
            for place, data in zip((*steps, path), encoded, strict=True):
                write_atomic(place, data)
            edit = replace(
                edit,
                image=path.relative_to(self._run.root).as_posix(),
                sha256=sha256(encoded[-1]),
                width=images[-1].width,
                height=images[-1].height,
                steps=tuple(step.relative_to(self._run.root).as_posix() for step in steps),
                flags=flags,
            )
        else:  # an image that an earlier launch left does not belong to this record
            path.unlink(missing_ok=True)
        self._part.append(edit)
        self._tally.add(failed=edit.error is not None)


def _of_all_turns(details: list[dict[str, Any]]) -> dict[str, Any]:
    if len(details) == 1:
        return details[0]
    prices = [of_turn.get("price") for of_turn in details]
    total = {"price": sum(price or 0 for price in prices) if None not in prices else None}
    return {"turns": list(details), **(total if any("price" in of_turn for of_turn in details) else {})}


def _encoded(image: Image) -> bytes:
    """The image as PNG, which it must be possible to read again.

    Raises:
        ValueError: it cannot be written, or the PNG is over the limits that every reader keeps.
    """
    data = encode_png(image)
    if len(data) > MAX_BYTES or image.width * image.height > MAX_PIXELS:
        size = f"{image.width} × {image.height} pixels and {len(data):,} bytes as PNG"
        raise ValueError(f"the edited image has {size}, over the limits of {MAX_PIXELS:,} and {MAX_BYTES:,}")
    return data


def _flags(image: Image, source: Image) -> tuple[str, ...]:
    found = {
        "unchanged": image.size == source.size and image.tobytes() == source.tobytes(),
        "constant": all(low == high for low, high in _extrema(image)),
        "resized": _is_resized(image.size, source.size),
    }
    return tuple(name for name, holds in found.items() if holds)


def _is_resized(size: tuple[int, int], asked: tuple[int, int]) -> bool:
    """Whether a side is smaller than the source's, or the aspect ratio another than rounding sides makes it."""
    aspect = (size[0] * asked[1]) / (size[1] * asked[0])
    return size[0] < asked[0] or size[1] < asked[1] or abs(math.log(aspect)) > _ASPECT


def _extrema(image: Image) -> Any:
    return image.getextrema()  # three pairs for RGB, which Pillow's types do not say
