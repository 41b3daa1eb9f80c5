"""The score stage: from a run's edited images to one judge's scores of them."""

import json
import logging
import os
import time
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from editbench.config import Config
from editbench.errors import UsageError
from editbench.images import decode
from editbench.judges import Reply
from editbench.process.console import Tally, start_logging
from editbench.process.faults import empty_cache, is_fatal, is_out_of_memory, reason
from editbench.process.watchdog import Watchdog
from editbench.process.world import World
from editbench.records import Edit, Failure, Pair, Score
from editbench.rubrics.rubric import RUBRICS, Question
from editbench.run.durable import Part, RecordFiles, read_records
from editbench.run.run_dir import RunDir, seed_for
from editbench.stages.controls import make_controls
from editbench.stages.protocol import protocol, score_key
from editbench.stages.score_plan import make_plan
from editbench.stages.verdict import told, verdict

log = logging.getLogger(__name__)

_BATCH_BY_GIB = ((24, 2), (48, 4), (80, 8))
_LARGEST_BATCH = 16
_MOST_READERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A pair and its edit, about to be judged."""

    pair: Pair
    edit: Edit
    key: str


def score(config: Config, world: World) -> int:
    """Score what a run's judge has not scored yet, this rank its share; with `config.controls`, then those too.

    Returns:
        The exit code: 0, or 1 when more pairs have no score than `config.max_failures` (or none has one).

    Raises:
        UsageError: the configuration or the run can't be worked with.
    """
    code = _score(config, world)
    if config.controls and not config.check:
        apart = world.apart("controls")
        made = apart.from_rank_0("made", lambda: str(make_controls(RunDir(config.the_run), config.controls).root))
        # alone, so that what is asked again tells what a batch does to a score
        alone = replace(config, run_dir=(Path(made),), benchmark=None, limit=None, categories=(), batch_size=1)
        _score(replace(alone, max_failures=None), apart)
    return code


def _score(config: Config, world: World) -> int:
    """One run's edits, or its controls."""
    run = RunDir(config.the_run)
    name = config.the_scores
    stage, merged = f"score-{name}", run.scores(name)
    if not run.pairs.exists():
        raise run.is_empty()
    run.refuse_unwritable()
    start_logging(None if config.check else run.logs, stage, world)
    with run.lease(stage) as lease:
        plan = json.loads(world.from_rank_0("plan", lambda: json.dumps(make_plan(config, run, name, lease))))
        if config.check:
            return 0
        if plan["todo"]:
            with (
                Tally(world, len(plan["todo"]), "score") as tally,
                run.part(stage, plan["launch"], world.rank) as part,
                Watchdog(config.hang_after_s) as watchdog,
            ):
                share = _Share(config, world, run, part, tally, watchdog)
                share.score(set(plan.pop("todo")[world.rank :: world.size]))
        if world.rank != 0:
            return 0
        run.merge(Score, stage, merged)
        log.info("%s: %s", told(read_records(merged, Score)), merged)
        failed = sum(score.failure is not None for score in read_records(merged, Score))
        return int(config.max_failures is not None and failed > config.max_failures)


class _Share:
    """One rank's edits: while the judge answers one batch, the next is read, scaled and turned into tensors."""

    def __init__(self, config: Config, world: World, run: RunDir, part: Part, tally: Tally, watchdog: Watchdog):
        self._config, self._world, self._run, self._part, self._tally = config, world, run, part, tally
        self._watchdog = watchdog
        self._how = protocol(config)
        self._rubric = RUBRICS[config.rubric]
        self._device = ""
        self._size = 1

    def score(self, todo: set[str]) -> None:
        """Score the pairs with these ids, which it takes out, in batches of like length; each of them gets a record."""
        run = self._run
        with RecordFiles(Pair, (run.pairs,)) as pairs, run.records(Edit, "edit", run.manifest) as edits:
            places = self._places(pairs, edits, todo)
            if not places[0]:
                return
            self._size = self._load()
            tasks = (self._task(pairs.at(pair), edits.at(edit)) for pair, edit in zip(*places, strict=True))
            with ThreadPoolExecutor(_num_readers(self._world), "reader") as readers:
                batch = list(islice(tasks, self._size))
                ahead = readers.map(self._question, batch)
                while batch:
                    questions = list(ahead)
                    following = list(islice(tasks, self._size))
                    ahead = readers.map(self._question, following)
                    for record in self._ask(batch, questions):
                        self._append(record)
                    batch = following

    def _places(self, pairs: RecordFiles[Pair], edits: RecordFiles[Edit], todo: set[str]) -> "list[array[int]]":
        """Where those with an image stand, pairs and edits, shortest question first; the others get their record."""
        newest, places, lengths = edits.newest(), (array("Q"), array("Q")), list[int]()
        for place, pair in pairs:
            if pair.pair_id not in todo:
                continue
            todo.remove(pair.pair_id)  # the judge is loaded next and needs the memory
            task = self._task(pair, edits.at(newest[pair.pair_id]))
            if self._run.has_image(task.edit):
                lengths.append(_length(task))
                places[0].append(place)
                places[1].append(newest[pair.pair_id])
            else:
                detail = task.edit.error or f"{task.edit.image} is not as its record says; run edit.py again"
                self._append(self._failure(task, "missing edit", detail))
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        return [array("Q", (column[line] for line in order)) for column in places]

    def _task(self, pair: Pair, edit: Edit) -> Task:
        return Task(pair=pair, edit=edit, key=score_key(pair, edit, self._how))

    def _load(self) -> int:
        """Load the judge and say how many pairs it is to answer at once."""
        turn = f"loaded on node {self._world.node}"
        if self._config.load_in_turns:
            self._world.wait_for(turn, self._world.local_rank)
        free = _free_gib(self._world)
        self._watchdog.begin(f"rank {self._world.rank}: loading {self._config.judge.name}")
        start = time.monotonic()
        self._device = self._config.judge.ready(self._world)
        self._world.count(turn, 1)
        by_table = next((size for limit, size in _BATCH_BY_GIB if free < limit), _LARGEST_BATCH)
        room = self._config.judge.num_at_once()
        by_room = by_table if room is None else max(1, room // self._config.repeats)
        size = self._config.batch_size or by_room
        seconds = time.monotonic() - start
        log.info("%s is ready on %s after %.1f s.", self._config.judge.name, self._device, seconds)
        why = "as asked" if self._config.batch_size else f"for {free:.0f} GiB of free memory"
        log.info("Pairs judged at once: %d, %s.", size, why)
        return size

    def _question(self, task: Task) -> Question:
        assert task.edit.image is not None
        question = self._rubric.question(
            task.pair,
            decode(self._run.source(task.pair.pair_id).read_bytes()),
            decode((self._run.root / task.edit.image).read_bytes()),
            language=self._config.language,
            judge_sees=self._config.judge_sees,
        )
        return self._config.judge.prepare(question, self._rubric.max_pixels)

    def _ask(self, tasks: Sequence[Task], questions: Sequence[Question]) -> list[Score]:
        """A score for each; a batch that fails is asked again in halves, so that only the culprit has no reply."""
        self._watchdog.begin(f"rank {self._world.rank}: a batch of {len(tasks)} from {tasks[0].pair.pair_id}")
        start = time.monotonic()
        try:
            replies = self._answers(tasks, questions)
        except UsageError:
            raise  # a judge that can't be asked at all: no pair's failure
        except Exception as error:
            if is_fatal(error):
                raise
            no_room = is_out_of_memory(error)
            log.warning("a batch of %d failed: %s", len(tasks), reason(error), exc_info=True)
            if len(tasks) == 1:
                return [self._failure(tasks[0], "out of memory" if no_room else "error", reason(error))]
        else:
            seconds = round((time.monotonic() - start) / len(tasks), 3)
            return [
                self._scored(task, of_one, batch_size=len(tasks), seconds=seconds)
                for task, of_one in zip(tasks, replies, strict=True)
            ]
        empty_cache()  # outside the handler: its traceback still held the failed batch's tensors
        half = len(tasks) // 2
        if no_room:
            self._size = min(self._size, half)  # what had no room once need not be tried with every batch
        return self._ask(tasks[:half], questions[:half]) + self._ask(tasks[half:], questions[half:])

    def _answers(self, tasks: Sequence[Task], questions: Sequence[Question]) -> list[list[Reply]]:
        judge, repeats = self._config.judge, range(self._config.repeats)
        if self._config.expected:
            return self._seen([[reply] for reply in judge.probabilities(questions, self._rubric.digits)], len(tasks))
        if len(repeats) > 1:
            seeds = [[repeat_seed(task.pair, n) for n in repeats] for task in tasks]
            return self._seen(judge.samples(questions, seeds), len(tasks))
        return self._seen([[reply] for reply in judge.replies(questions)], len(tasks))

    def _seen(self, replies: Any, number: int) -> list[list[Reply]]:
        """The replies, if they are some for each question: anyone may write a judge."""
        if len(replies) != number or not all(isinstance(reply, Reply) for of_one in replies for reply in of_one):
            kind = type(self._config.judge).__qualname__
            raise UsageError(f"the judge {kind} must answer {number} questions with a Reply each, not {replies!r:.200}")
        return replies

    def _scored(self, task: Task, replies: Sequence[Reply], *, batch_size: int, seconds: float) -> Score:
        blank = replace(self._blank(task), batch_size=batch_size, duration_s=seconds)
        return verdict(blank, self._rubric, replies, expected=self._config.expected)

    def _failure(self, task: Task, failure: Failure, detail: str) -> Score:
        return replace(self._blank(task), failure=failure, detail=detail)

    def _blank(self, task: Task) -> Score:
        return Score(
            pair_id=task.pair.pair_id,
            value=None,
            key=task.key,
            edit_sha256=task.edit.sha256,
            rubric=self._config.rubric,
            device=self._device,
        )

    def _append(self, record: Score) -> None:
        self._part.append(record)
        self._tally.add(failed=record.value is None)


def repeat_seed(pair: Pair, repeat: int) -> int:
    """The seed of one draw of a pair's replies; `repeat` counts from 0."""
    return seed_for(repeat, pair.pair_id)


def _num_readers(world: World) -> int:
    """Threads that prepare questions: one takes longer for a pair than a large GPU, and the cores are shared."""
    return max(1, min(_MOST_READERS, (os.cpu_count() or 1) // world.local_size - 1))


def _length(task: Task) -> int:
    """Grows with the question, nearly: with the size, since source and edit are mostly of one; then with the texts."""
    texts = len(task.pair.instruction) + len(task.pair.rationale or "")
    return (task.edit.width or 0) * (task.edit.height or 0) << 32 | texts


def _free_gib(world: World) -> float:
    """Free memory of this process's share before anything is loaded: of its GPUs, or of the host."""
    if world.gpus:
        import torch

        return sum(torch.cuda.mem_get_info(gpu)[0] for gpu in world.gpus) / 2**30
    import psutil

    return psutil.virtual_memory().available / 2**30 / world.local_size
