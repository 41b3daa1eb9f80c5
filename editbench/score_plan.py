"""What a score launch has to do: the run's edits and what a judge has said of them, held against each other."""

import logging
from typing import Any

import yaml

from editbench.benchmark import select
from editbench.config import Config
from editbench.durable import write_atomic
from editbench.errors import UsageError
from editbench.lease import Lease
from editbench.protocol import protocol, refuse_another_protocol, refuse_what_the_judge_lacks, score_key
from editbench.records import Edit, Failure, Score
from editbench.run_dir import RunDir

log = logging.getLogger(__name__)
_TRY_AGAIN: tuple[Failure, ...] = ("out of memory", "error")  # the machine's failures; the judge's own words stand


def make_plan(config: Config, run: RunDir, name: str, lease: Lease) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down how the scores come about, and list what is left to do.

    Returns:
        `launch`, its number, and `todo`, the ids of the pairs whose edits are to be judged.

    Raises:
        UsageError: the judge, the configuration or the run can't be worked with.
    """
    config.judge.check()
    refuse_what_the_judge_lacks(config)
    _refuse_another_benchmark(config, run)
    refuse_another_protocol(config, run, name)
    if not config.check:
        lease.take()
    how, pairs = protocol(config), run.read_pairs()
    selected = {pair.pair_id: pair for pair in select(pairs, limit=config.limit, categories=config.categories or None)}
    if not selected:
        raise UsageError(f"--categories {','.join(config.categories)}: {run.root} has no pair of these")
    keys = {
        edit.pair_id: score_key(selected[edit.pair_id], edit, how)
        for edit in run.records(Edit, "edit", run.manifest)
        if edit.pair_id in selected
    }
    if not keys:
        raise UsageError(f"{run.root} has no edits yet; make them: torchrun --nproc_per_node=gpu -- edit.py …")
    if len(keys) < len(selected):
        log.warning("Only %d of %d pairs have been edited; the others can be scored later.", len(keys), len(selected))
    before = run.records(Score, f"score-{name}", run.scores(name))
    standing = {score.pair_id: score.key == keys.get(score.pair_id) and _is_last_word(score) for score in before}
    todo = [name for name in selected if name in keys and not standing.get(name)]
    log.info("%s, judge %s: %d edits, %d to score.", run.root, config.judge.name, len(keys), len(todo))
    if not config.check:
        write_atomic(run.protocol(name), yaml.safe_dump(how, sort_keys=False, allow_unicode=True).encode())
    return {"launch": run.next_launch(f"score-{name}"), "todo": todo}


def _is_last_word(score: Score) -> bool:
    return score.failure not in _TRY_AGAIN


def _refuse_another_benchmark(config: Config, run: RunDir) -> None:
    recorded = yaml.safe_load(run.config.read_text())["benchmark"]
    if config.benchmark is not None and str(config.benchmark) != recorded:
        raise UsageError(
            f"{run.root} was edited from {recorded or 'the demo'}; leave --benchmark out, or name that one"
        )
