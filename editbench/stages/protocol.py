"""How scores come about: what is asked of a judge, and what must not be mixed in one file."""

from collections.abc import Mapping
from typing import Any

from editbench.config import Config, deciding, differences
from editbench.errors import UsageError
from editbench.records import Edit, Pair
from editbench.run.run_dir import RunDir, key
from editbench.run.yaml_file import read_settings


def protocol(config: Config) -> dict[str, Any]:
    """How a score comes about: everything but the pair and its edit."""
    return {
        "judge": deciding(config.judge),
        "rubric": config.rubric,
        "language": config.language,
        "judge_sees": config.judge_sees,
        **({"repeats": config.repeats} if config.repeats > 1 else {}),
        **({"expected": True} if config.expected else {}),
    }


def score_key(pair: Pair, edit: Edit, how: Mapping[str, Any]) -> str:
    """What a score depends on, hashed.

    Args:
        pair: as the judge is shown it.
        edit: whose image is judged.
        how: as `protocol` gives it.
    """
    asked = {
        "category": pair.category,
        "instruction": pair.instruction,
        "rationale": pair.rationale,
        "source": pair.source_sha256,
        "edit": edit.sha256,
    }
    return key(**asked, **how)


def refuse_what_the_judge_lacks(config: Config) -> None:
    """See that the judge can answer as it is asked to.

    Raises:
        UsageError: it can't.
    """
    for option, asked, way in (
        ("--repeats", config.repeats > 1, "samples"),
        ("--expected", config.expected, "probabilities"),
    ):
        if asked and way not in config.judge.offers:
            raise UsageError(f"{option}: {config.judge.name} gives no {way}; leave it out, or choose another --judge")


def refuse_another_protocol(config: Config, run: RunDir, name: str) -> None:
    """One file holds the scores of one judge asked in one way, or its mean would be of nothing in particular.

    Raises:
        UsageError: the file holds others.
    """
    path = run.protocol(name)
    if not path.exists():
        return
    found = differences(read_settings(path), protocol(config))
    if found:
        raise UsageError(
            f"{run.scores(name)} holds scores made otherwise:\n" + "\n".join(f"  {line}" for line in found) + "\n"
            "Give these a name of their own (--scores NAME), or the same settings to go on with those."
        )
