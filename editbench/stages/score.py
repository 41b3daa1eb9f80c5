"""The score stage: from a run's edited images to one judge's scores of them."""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import msgspec

from editbench.config import Config
from editbench.errors import UsageError
from editbench.judges import Message, Reply
from editbench.process.console import Tally, start_logging
from editbench.process.faults import empty_cache, is_fatal, is_out_of_memory, reason
from editbench.process.watchdog import Watchdog
from editbench.process.world import World
from editbench.records import Answer, Edit, Failure, Pair, Score
from editbench.rubrics.rubric import Question, Shown
from editbench.rubrics.scoring import GIVEN, settle
from editbench.run.durable import Part
from editbench.run.run_dir import RunDir, seed_for
from editbench.stages.answers import answer_of, summary, thinks_aloud
from editbench.stages.controls import make_controls
from editbench.stages.protocol import protocol, questions, score_key
from editbench.stages.score_plan import make_plan, standing
from editbench.stages.shown import MissingEdit, Pictures

log = logging.getLogger(__name__)

_BATCH_BY_GIB = ((24, 2), (48, 4), (80, 8))
_LARGEST_BATCH = 16
_MOST_READERS = 8


@dataclass(kw_only=True, slots=True)
class _Task:
    """A pair and its edit, about to be judged."""

    pair: Pair
    edit: Edit
    key: str
    questions: Sequence[Question]
    pictures: Pictures
    num_open: int
    """Calls that are not answered yet."""
    answers: list[Answer]
    """Those of an earlier launch that stand, then those of this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """A question about one edit, and which of its replies are wanted."""

    task: _Task
    question: Question
    repeats: tuple[int, ...]

    @property
    def batch_key(self) -> tuple[int | None, tuple[str, ...]]:
        """What the calls of one batch have in common."""
        return self.question.max_new_tokens, self.question.digits


@dataclass(kw_only=True, slots=True)
class _Pending:
    """Calls that wait until there are enough of a kind for a batch."""

    size: int
    calls: dict[tuple[int | None, tuple[str, ...]], list[_Call]] = field(
        default_factory=dict[tuple[int | None, tuple[str, ...]], list[_Call]]
    )

    def batches(self, tasks: Iterable[Sequence[_Call]]) -> Iterator[list[_Call]]:
        """Full batches as soon as there are any, so that a pair's calls follow one another closely; then the rest."""
        for calls in tasks:
            for call in calls:
                waiting = self.calls.setdefault(call.batch_key, [])
                waiting.append(call)
                if len(waiting) >= self.size:
                    yield self.calls.pop(call.batch_key)
        yield from self.calls.values()


def score(config: Config, world: World) -> int:
    """Score the edits that have no score yet, each rank its share; with `config.controls`, then the controls.

    Returns:
        The exit code: 0, or 1 when more edits have no score than `config.max_failures`, or none has one.

    Raises:
        UsageError: the configuration or the run can't be worked with.
    """
    code = _score(config, world)
    if config.controls and not config.check:
        apart = world.apart("controls")
        made = apart.from_rank_0("made", lambda: str(make_controls(RunDir(config.the_run), config.controls).root))
        # one at a time, so that the control "again" shows what a batch does to a score
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
                share.score([(pair_id, try_) for pair_id, try_ in plan["todo"][world.rank :: world.size]])
        if world.rank != 0:
            return 0
        found = run.merge(Score, stage, merged)
        scores = list(found.values())
        num_missing = sum((pair_id, try_) not in found for pair_id, try_ in plan["todo"])
        if num_missing:
            raise OSError(f"the scores of {num_missing} of {len(plan['todo'])} edits cannot be read")
        log.info("%s: %s", summary(scores), merged)
        failed = sum(score.failure is not None for score in scores)
        if failed == len(scores):
            return 1
        return int(config.max_failures is not None and failed > config.max_failures)


class _Share:
    """One rank's edits: while the judge answers one batch, the next is read, scaled and turned into tensors."""

    def __init__(self, config: Config, world: World, run: RunDir, part: Part, tally: Tally, watchdog: Watchdog):
        self._config, self._world, self._run, self._part, self._tally = config, world, run, part, tally
        self._watchdog = watchdog
        self._how = protocol(config)
        self._rubric = config.rubric
        self._device, self._num_gpus = "", 1
        self._pending = _Pending(size=1)
        self._is_first = True

    def score(self, todo: Sequence[tuple[str, int]]) -> None:
        """Score these edits in batches of calls of like length; each edit gets one record."""
        wanted = {pair_id for pair_id, _ in todo}
        pairs = {pair.pair_id: pair for pair in self._run.read_pairs() if pair.pair_id in wanted}
        edits = self._run.edits(pairs.values())
        name = self._config.the_scores
        earlier = self._run.latest(Score, f"score-{name}", self._run.scores(name))
        usable: list[tuple[str, int]] = []
        for identity in todo:
            edit = edits[identity]
            if edit.image is None:
                self._fail(self._blank(pairs[identity[0]], edit), "missing edit", edit.error or "no image")
            else:
                usable.append(identity)
        if not usable:
            return
        usable.sort(key=lambda identity: _length(pairs[identity[0]], edits[identity]))
        self._pending.size = self._load()
        tasks = (self._calls(pairs[identity[0]], edits[identity], earlier.get(identity)) for identity in usable)
        with ThreadPoolExecutor(_num_readers(self._world), "reader") as readers:
            prepared: tuple[list[_Call], list[Future[Message | Exception]]] | None = None
            for batch in self._pending.batches(tasks):
                following = (batch, [readers.submit(self._message, call) for call in batch])
                if prepared is not None:
                    self._answer(*prepared)
                prepared = following
            if prepared is not None:
                self._answer(*prepared)

    def _calls(self, pair: Pair, edit: Edit, earlier: Score | None) -> list[_Call]:
        """What is to be asked about an edit; where that fails, its record is written here."""
        try:
            asked = questions(self._rubric, pair, self._how)
            if not asked:
                raise ValueError(f"the rubric {self._rubric.version} has no question for this pair")
        except UsageError:
            raise
        except Exception as error:
            log.warning("%s: no questions: %s", pair.pair_id, reason(error), exc_info=True)
            self._fail(self._blank(pair, edit), "error", f"no questions: {reason(error)}")
            return []
        key = score_key(pair, edit, self._rubric, self._how)
        answers = standing(earlier.answers) if earlier is not None and earlier.key == key else []
        done = {(answer.call, answer.repeat) for answer in answers}
        task = _Task(
            pair=pair,
            edit=edit,
            key=key,
            questions=asked,
            pictures=Pictures(self._run, pair, edit),
            num_open=0,
            answers=answers,
        )
        calls: list[_Call] = []
        for question in asked:
            repeats = tuple(n for n in range(self._config.repeats) if (question.name, n) not in done)
            if repeats:
                calls.append(_Call(task=task, question=question, repeats=repeats))
        task.num_open = len(calls)
        if not calls:
            self._finish(task)
        return calls

    def _load(self) -> int:
        """Load the judge, and return the number of questions that it answers at once."""
        turn = f"loaded on node {self._world.node}"
        if self._config.load_in_turns:
            self._world.wait_for(turn, self._world.local_rank)
        # a judge without weights needs no device, and must not wait for torch
        free = _free_gib(self._world) if self._config.judge.weight_bytes() != 0 else None
        self._watchdog.begin(f"rank {self._world.rank}: loading {self._config.judge.name}")
        start = time.monotonic()
        self._device = self._config.judge.ready(self._world)
        self._num_gpus = self._config.judge.num_gpus(self._world)
        self._world.count(turn, 1)
        by_table = next((size for limit, size in _BATCH_BY_GIB if free is not None and free < limit), _LARGEST_BATCH)
        room = self._config.judge.num_at_once()
        by_room = by_table if room is None else max(1, room // self._config.repeats)
        size = self._config.batch_size or by_room
        seconds = time.monotonic() - start
        log.info("%s is ready on %s after %.1f s.", self._config.judge.name, self._device, seconds)
        why = "as the judge needs no memory" if free is None else f"for {free:.0f} GiB of free memory"
        why = "as asked" if self._config.batch_size else why
        log.info("Questions answered at once: %d, %s.", size, why)
        return size

    def _message(self, call: _Call) -> Message | Exception:
        """The call as the judge wants it, or what went wrong: in a thread, whose exceptions must not end the launch."""
        try:
            parts = call.question.parts
            message = Message(
                content=tuple(part if isinstance(part, str) else call.task.pictures.load(part) for part in parts),
                system=call.question.system,
                max_pixels=tuple(part.max_pixels for part in parts if isinstance(part, Shown)),
                max_new_tokens=call.question.max_new_tokens,
                digits=call.question.digits,
                pair_id=call.task.pair.pair_id,
                try_=call.task.edit.try_,
                call=call.question.name,
                gives=self._ranges(call.question),
                repeats=call.repeats,
            )
            return self._config.judge.prepare(message)
        except Exception as error:
            return error

    def _ranges(self, question: Question) -> dict[str, tuple[float, float]]:
        if question.name == GIVEN and self._how.get("given"):
            return {GIVEN: self._rubric.scale}
        return {name: self._rubric.dimensions[name] for name in question.gives}

    def _answer(self, batch: Sequence[_Call], prepared: Sequence["Future[Message | Exception]"]) -> None:
        """Ask what could be prepared; write the record of each edit all of whose calls are answered now."""
        calls: list[_Call] = []
        messages: list[Message] = []
        for call, future in zip(batch, prepared, strict=True):
            message = future.result()
            if isinstance(message, Message):
                calls.append(call)
                messages.append(message)
            else:
                self._refuse(call, message)
        if calls:
            for call, answers in zip(calls, self._ask(calls, messages), strict=True):
                self._take(call, answers)

    def _refuse(self, call: _Call, error: Exception) -> None:
        """Record a call that could not be prepared; the machine's and the user's faults end the launch."""
        if isinstance(error, UsageError) or is_fatal(error):
            raise error
        log.warning("%s, %s: not asked: %s", call.task.pair.pair_id, call.question.name, reason(error), exc_info=error)
        if isinstance(error, MissingEdit):
            self._take(call, _failed(call, "missing edit", str(error)))
        else:
            kind = "out of memory" if is_out_of_memory(error) else "error"
            self._take(call, _failed(call, kind, reason(error)))

    def _take(self, call: _Call, answers: Sequence[Answer]) -> None:
        task = call.task
        task.answers += answers
        task.num_open -= 1
        if not task.num_open:
            self._finish(task)

    def _finish(self, task: _Task) -> None:
        """Write the record of an edit all of whose calls are answered."""
        blank = self._blank(task.pair, task.edit, task.key)
        missing = next((answer for answer in task.answers if answer.failure == "missing edit"), None)
        if missing is not None:
            self._fail(blank, "missing edit", missing.detail or "")
            return
        place = {question.name: number for number, question in enumerate(task.questions)}
        answered = tuple(sorted(task.answers, key=lambda answer: (place[answer.call], answer.repeat)))
        try:
            settled = settle(self._rubric, task.pair, answered)
        except Exception as error:
            log.warning("%s: the formula failed: %s", task.pair.pair_id, reason(error), exc_info=True)
            blank = msgspec.structs.replace(blank, answers=answered)
            self._fail(blank, "error", f"the formula of the rubric {self._rubric.version} failed: {reason(error)}")
            return
        self._append(
            msgspec.structs.replace(
                blank,
                value=settled.value,
                failure=settled.failure,
                detail=settled.detail,
                dimensions=settled.dimensions,
                values=settled.values,
                spread=settled.spread,
                answers=answered,
            )
        )

    def _ask(self, calls: Sequence[_Call], messages: Sequence[Message]) -> list[Sequence[Answer]]:
        """The answers to each call; a batch that fails is asked again in halves, so that only the culprit has none."""
        first = calls[0].task.pair.pair_id
        self._watchdog.begin(f"rank {self._world.rank}: a batch of {len(calls)} from {first}")
        start = time.monotonic()
        try:
            replies, expected = self._replies(calls, messages)
        except UsageError:
            raise  # a judge that can't be asked at all: no pair's failure
        except Exception as error:
            if is_fatal(error):
                raise
            no_room = is_out_of_memory(error)
            log.warning("a batch of %d failed: %s", len(calls), reason(error), exc_info=True)
            if len(calls) == 1:
                return [_failed(calls[0], "out of memory" if no_room else "error", reason(error))]
        else:
            timed = {
                "batch_size": len(calls),
                "duration_s": round((time.monotonic() - start) / len(calls), 3),
            }
            if self._is_first and (said := thinks_aloud(chain.from_iterable(replies))):
                log.warning("%s", said)
            self._is_first = False
            return [
                self._read(call, of_one, timed, expected=expected) for call, of_one in zip(calls, replies, strict=True)
            ]
        empty_cache()  # outside the handler: its traceback still held the failed batch's tensors
        half = len(calls) // 2
        if no_room:
            self._pending.size = min(self._pending.size, half)  # the next batches would have no room either
        return self._ask(calls[:half], messages[:half]) + self._ask(calls[half:], messages[half:])

    def _replies(self, calls: Sequence[_Call], messages: Sequence[Message]) -> tuple[list[list[Reply]], bool]:
        """The replies to each call, one a wanted repeat; and whether they hold probabilities."""
        judge = self._config.judge
        if self._config.expected and messages[0].digits:
            return self._checked([[reply] for reply in judge.probabilities(messages)], calls), True
        if self._config.repeats > 1:
            seeds = [[repeat_seed(call.task.pair, n, call.task.edit.try_) for n in call.repeats] for call in calls]
            return self._checked(judge.samples(messages, seeds), calls), False
        return self._checked([[reply] for reply in judge.ask(messages)], calls), False

    def _checked(self, replies: list[list[Reply]], calls: Sequence[_Call]) -> list[list[Reply]]:
        """The replies, if each call has as many as were wanted: anyone may write a judge.

        Raises:
            UsageError: they are something else.
        """
        fits = len(replies) == len(calls) and all(
            len(of_one) == len(call.repeats) and all(isinstance(reply, Reply) for reply in of_one)  # pyright: ignore[reportUnnecessaryIsInstance]
            for of_one, call in zip(replies, calls, strict=True)
        )
        if not fits:
            kind = type(self._config.judge).__qualname__
            raise UsageError(
                f"the judge {kind} must answer {len(calls)} messages with a Reply each, not {replies!r:.200}"
            )
        return replies

    def _read(
        self, call: _Call, replies: Sequence[Reply], timed: Mapping[str, float], *, expected: bool
    ) -> list[Answer]:
        task = call.task
        return [
            msgspec.structs.replace(
                answer_of(self._rubric, task.pair, call.question, repeat, reply, expected=expected), **timed
            )
            for repeat, reply in zip(call.repeats, replies, strict=True)
        ]

    def _blank(self, pair: Pair, edit: Edit, key: str | None = None) -> Score:
        return Score(
            pair_id=pair.pair_id,
            try_=edit.try_,
            value=None,
            key=key or score_key(pair, edit, self._rubric, self._how),
            edit_sha256=edit.sha256,
            rubric=self._rubric.version,
            device=self._device,
            num_gpus=self._num_gpus,
        )

    def _fail(self, blank: Score, failure: Failure, detail: str) -> None:
        self._append(msgspec.structs.replace(blank, failure=failure, detail=detail))

    def _append(self, record: Score) -> None:
        self._part.append(record)
        self._tally.add(failed=record.value is None)


def repeat_seed(pair: Pair, repeat: int, try_: int = 0) -> int:
    """The seed of one sampled reply; `repeat` counts from 0."""
    return seed_for(repeat, pair.pair_id, try_)


def _failed(call: _Call, failure: Failure, detail: str) -> list[Answer]:
    return [Answer(call=call.question.name, repeat=repeat, failure=failure, detail=detail) for repeat in call.repeats]


def _num_readers(world: World) -> int:
    """How many threads prepare questions: one is slower than a large GPU, and all ranks share the cores."""
    return max(1, min(_MOST_READERS, (os.cpu_count() or 1) // world.local_size - 1))


def _length(pair: Pair, edit: Edit) -> tuple[int, int]:
    """Sort key, about the length of a pair's questions: first its pictures, then the characters of its texts."""
    texts = len(pair.instruction) + len(pair.rationale or "")
    return (edit.width or 0) * (edit.height or 0) * len(pair.sources), texts


def _free_gib(world: World) -> float:
    """Free memory of this process's share before anything is loaded: of its GPUs, or of the host."""
    if world.gpus:
        import torch

        return sum(torch.cuda.mem_get_info(gpu)[0] for gpu in world.gpus) / 2**30
    import psutil

    return psutil.virtual_memory().available / 2**30 / world.local_size
