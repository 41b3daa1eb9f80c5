"""What a score launch has to do: the run's edits and what a judge has said of them, held against each other."""

import logging
from typing import Any

import yaml

from editbench.benchmark import selector
from editbench.config import Config
from editbench.errors import UsageError
from editbench.records import Edit, Failure, Pair, Score
from editbench.run.durable import read_records, write_atomic
from editbench.run.lease import Lease
from editbench.run.run_dir import RunDir
from editbench.run.yaml_file import read_settings
from editbench.stages.protocol import protocol, refuse_another_protocol, refuse_what_the_judge_lacks, score_key

log = logging.getLogger(__name__)
_TRY_AGAIN: tuple[Failure, ...] = ("out of memory", "error")  # the machine's failures; the judge's own words stand


def make_plan(config: Config, run: RunDir, name: str, lease: Lease) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down how the scores come about, and list what is left to do.

    Returns:
        `launch`, its number, and `todo`, the ids of the pairs whose edits are to be judged: by their lines they would
        be others when an edit launch adds pairs meanwhile.

    Raises:
        UsageError: the judge, the configuration or the run can't be worked with.
    """
    config.judge.check()
    refuse_what_the_judge_lacks(config)
    _refuse_another_benchmark(config, run)
    refuse_another_protocol(config, run, name)
    if not config.check:
        lease.take()
    how, chooses = protocol(config), selector(limit=config.limit, categories=config.categories)
    todo, num_pairs, num_selected, num_edited = list[str](), 0, 0, 0
    with (
        run.records(Edit, "edit", run.manifest) as edits,
        run.records(Score, f"score-{name}", run.scores(name)) as scores,
    ):
        newest_edit, newest_score = edits.newest(), scores.newest()
        for pair in read_records(run.pairs, Pair):
            is_selected = chooses(pair)
            is_edited = is_selected and pair.pair_id in newest_edit
            stands = False
            if is_edited and pair.pair_id in newest_score:
                edit, score = edits.at(newest_edit[pair.pair_id]), scores.at(newest_score[pair.pair_id])
                stands = score.failure not in _TRY_AGAIN and score.key == score_key(pair, edit, how)
            if is_edited and not stands:
                todo.append(pair.pair_id)
            num_pairs += 1
            num_selected += is_selected
            num_edited += is_edited
    if not num_pairs:
        raise run.is_empty()
    if not num_selected:
        raise UsageError(f"--categories {','.join(config.categories)}: {run.root} has no pair of these")
    if not num_edited:
        raise UsageError(f"{run.root} has no edits yet; make them: torchrun --nproc_per_node=gpu edit.py …")
    if num_edited < num_selected:
        log.warning("Only %d of %d pairs have been edited; the others can be scored later.", num_edited, num_selected)
    log.info("%s, judge %s: %d edits, %d to score.", run.root, config.judge.name, num_edited, len(todo))
    if not config.check:
        write_atomic(run.protocol(name), yaml.safe_dump(how, sort_keys=False, allow_unicode=True).encode())
    # each once, whatever pairs.jsonl holds twice: what is counted must become done
    return {"launch": run.next_launch(f"score-{name}"), "todo": list(dict.fromkeys(todo))}


def _refuse_another_benchmark(config: Config, run: RunDir) -> None:
    recorded = read_settings(run.config)["benchmark"]
    if config.benchmark is not None and str(config.benchmark) != recorded:
        raise UsageError(
            f"{run.root} was edited from {recorded or 'the demo'}; leave --benchmark out, or name that one"
        )
