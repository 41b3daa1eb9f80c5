"""What a score launch has to do: the run's edits that have no score of this judge yet."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from editbench.benchmark import selector
from editbench.config import Config
from editbench.errors import UsageError
from editbench.installation import command
from editbench.records import Answer, Edit, Failure, Pair, Score
from editbench.rubrics.rubric import Rubric
from editbench.run.durable import write_atomic
from editbench.run.lease import Lease
from editbench.run.run_dir import RunDir
from editbench.run.yaml_file import read_settings
from editbench.stages.asked import print_questions
from editbench.stages.protocol import (
    protocol,
    refuse_another_protocol,
    refuse_unjudgeable,
    score_key,
)

log = logging.getLogger(__name__)
_TRY_AGAIN: tuple[Failure, ...] = ("out of memory", "error")
"""Failures of the machine. The judge's own are final: to ask until one succeeds would select among its replies."""


def make_plan(config: Config, run: RunDir, name: str, lease: Lease) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down how the scores come about, and list what is left to do.

    Returns:
        `launch`, its number, and `todo`, a list of [pair_id, try]: the edits that are to be judged.

    Raises:
        UsageError: the judge, the rubric, the configuration or the run can't be worked with.
    """
    config.judge.check()
    _refuse_another_benchmark(config, run)
    refuse_another_protocol(config, run, name)
    if not config.check:
        lease.take()
    how = protocol(config)
    chooses = selector(limit=config.limit, categories=config.categories, name=config.rubric.category)
    pairs = {pair.pair_id: pair for pair in run.read_pairs() if chooses(pair)}
    if not pairs:
        raise UsageError(f"no pair of {run.root} is among those asked for; leave out --categories or --limit")
    refuse_unjudgeable(config, tuple(pairs.values()))
    edits = run.edits(pairs.values())
    if not edits:
        raise UsageError(f"{run.root} has no edits yet; make them: {command('edit', '--run_dir', run.root)} …")
    scores = run.latest(Score, f"score-{name}", run.scores(name))
    order = {pair_id: place for place, pair_id in enumerate(pairs)}
    todo = [
        identity
        for identity, edit in sorted(edits.items(), key=lambda item: (order[item[0][0]], item[0][1]))
        if not _stands(config.rubric, run, pairs[identity[0]], edit, scores.get(identity), how)
    ]
    num_edited = len({pair_id for pair_id, _ in edits})
    if num_edited < len(pairs):
        log.warning("Only %d of %d pairs have been edited; the others can be scored later.", num_edited, len(pairs))
    log.info("%s, judge %s: %d edits, %d to score.", run.root, config.judge.name, len(edits), len(todo))
    if config.check:
        print_questions(config.rubric, next(iter(pairs.values())))
    else:
        write_atomic(run.protocol(name), yaml.safe_dump(how, sort_keys=False, allow_unicode=True).encode())
    return {"launch": run.next_launch(f"score-{name}"), "todo": todo}


def standing(answers: Sequence[Answer]) -> list[Answer]:
    """Those answers that are not asked for again."""
    return [answer for answer in answers if answer.failure not in _TRY_AGAIN]


def _stands(rubric: Rubric, run: RunDir, pair: Pair, edit: Edit, score: Score | None, how: Mapping[str, Any]) -> bool:
    if score is None or score.key != score_key(pair, edit, rubric, how):
        return False
    if score.failure == "missing edit":
        return edit.image is None or not run.has_image(edit)
    return bool(score.answers) and len(standing(score.answers)) == len(score.answers)


def _refuse_another_benchmark(config: Config, run: RunDir) -> None:
    recorded = read_settings(run.config)
    benchmark = recorded.get("benchmark")
    if config.benchmark is not None and str(config.benchmark) != benchmark:
        raise UsageError(
            f"{run.root} was edited from {benchmark or 'the demo'}; leave --benchmark out, or name that one"
        )
    if config.language != recorded.get("language", config.language):
        raise UsageError(
            f"--language {config.language}: {run.root} was edited in {recorded['language']}; leave it out, or edit "
            "again in another --run_dir"
        )
