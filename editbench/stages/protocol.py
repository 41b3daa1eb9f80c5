"""How scores come about: what is asked of a judge, and what must not be mixed in one file."""

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from editbench.config import Config, deciding, differences, settings
from editbench.errors import UsageError
from editbench.process.faults import reason
from editbench.records import Edit, Pair, Picture
from editbench.rubrics.rubric import Question, Rubric, Shown
from editbench.rubrics.scoring import GIVEN
from editbench.run.run_dir import RunDir, key
from editbench.run.yaml_file import read_settings

_PACKAGE = "editbench."


def protocol(config: Config) -> dict[str, Any]:
    """How a score comes about: all but the pair and its edit. It stands beside the scores as YAML.

    `files` and `judge_files` hold hashes of the files that rubric and judge read; they, `repeats`, `expected` and
    `given` (the judge gives values and is asked no question) are absent where they are not in use. `judge_weights`
    says what the judge's weights are by content.
    """
    files, judge_files = dict(config.rubric.files()), dict(config.judge.files())
    weights = dict(config.judge.identity())
    return {
        "judge": deciding(config.judge),
        "rubric": settings(config.rubric),
        "version": config.rubric.version,
        "language": config.language,
        **({"files": files} if files else {}),
        **({"judge_files": judge_files} if judge_files else {}),
        **({"judge_weights": weights} if weights else {}),
        **({"repeats": config.repeats} if config.repeats > 1 else {}),
        **({"expected": True} if config.expected else {}),
        **({"given": True} if config.judge.gives_values else {}),
    }


def questions(rubric: Rubric, pair: Pair, how: Mapping[str, Any]) -> Sequence[Question]:
    """What the judge is asked about an edit of the pair.

    Args:
        rubric: whose questions they are.
        pair: whose edit is judged.
        how: as `protocol` gives it.

    Raises:
        UsageError: a question shows a picture that the pair does not have.
    """
    if how.get("given"):
        return (Question(name=GIVEN, parts=(), gives=(GIVEN,)),)
    asked = rubric.calls(pair)
    for question in asked:
        for part in question.parts:
            if isinstance(part, Shown):
                for name in filter(None, (part.picture, part.size_of)):
                    _picture(pair, name, question)
    return asked


def _picture(pair: Pair, name: str, question: Question) -> Picture | None:
    """The pair's picture of this name; None: the edited image."""
    index = source_index(name)
    if name == "edit":
        return None
    if index is not None and index < len(pair.sources):
        return pair.sources[index]
    if name in pair.references:
        return pair.references[name]
    known = ["edit", *(f"source_{n}" if n > 1 else "source" for n in range(1, len(pair.sources) + 1)), *pair.references]
    raise UsageError(
        f"the question {question.name!r} of the rubric shows the picture {name!r}, which {pair.pair_id!r} lacks; "
        f"it has {', '.join(known)}"
    )


def source_index(name: str) -> int | None:
    """The place from 0 of the source that `source`, `source_2`, … names; None: another picture's name."""
    if name == "source":
        return 0
    number = name.removeprefix("source_")
    return int(number) - 1 if number != name and number.isdecimal() and int(number) > 1 else None


def score_key(pair: Pair, edit: Edit, rubric: Rubric, how: Mapping[str, Any]) -> str:
    """What a pair's answers depend on, hashed: the questions as sent, the pictures shown, the judge, the decoding.

    The rubric's formula is not in it, nor what reads the replies: numbers are derived again from saved answers.

    Args:
        pair: as the rubric goes by it.
        edit: whose image is judged.
        rubric: whose questions are asked.
        how: as `protocol` gives it.
    """
    try:
        asked: Any = [_sent(pair, question) for question in questions(rubric, pair, how)]
    except UsageError:
        raise
    except Exception as error:  # recorded as the pair's failure when it is asked
        asked = reason(error)
    decoding = {name: how[name] for name in ("repeats", "expected", "judge_files", "judge_weights") if name in how}
    return key(questions=asked, edit=edit.sha256, judge=how["judge"], **decoding)


def _sent(pair: Pair, question: Question) -> list[Any]:
    parts: list[Any] = []
    for part in question.parts:
        if isinstance(part, str):
            parts.append(part)
            continue
        rules = _rules(part)
        pictures = [_picture(pair, name, question) for name in filter(None, (part.picture, part.size_of))]
        parts.append([rules, [picture.sha256 if picture else None for picture in pictures]])
    return [question.name, question.system, parts, question.max_new_tokens, question.digits]


@functools.lru_cache(maxsize=1024)
def _rules(shown: Shown) -> Mapping[str, Any]:
    """The fields that are set; cached, since all pairs of a run share a few."""
    return {name: value for name, value in asdict(shown).items() if value is not None}


def recorded_rubric(how: Mapping[str, Any], given: Rubric) -> Rubric:
    """The rubric that a score file was made with.

    Args:
        how: of the score file, as `protocol` gives it.
        given: this launch's; it is used where it is of the same class and has the same settings.

    Raises:
        UsageError: the class is not there, is neither the launch's nor shipped, or takes other settings now.
    """
    recorded = how["rubric"]
    if recorded == settings(given):
        return given
    path = str(recorded["class_path"])
    module, _, name = path.rpartition(".")
    kind: Any = type(given) if settings(given)["class_path"] == path else None
    try:
        if kind is None:
            if not path.startswith(_PACKAGE):  # a run directory is data: what it names is not imported
                raise UsageError(f"the scores were made with the rubric {path}; give it: --rubric {path}")
            kind = getattr(importlib.import_module(module), name)
        return kind(**recorded["init_args"])
    except (ImportError, AttributeError, TypeError) as error:
        raise UsageError(f"the rubric {path} of the scores can't be made again: {reason(error)}") from error


def refuse_unjudgeable(config: Config, pairs: Sequence[Pair]) -> None:
    """See that the rubric has questions about these pairs, and that the judge can answer them as configured.

    Raises:
        UsageError: the judge gives no samples or probabilities that are needed, no question has an expected score, or
            the rubric or the judge lists what it lacks.
    """
    for option, asked, way in (
        ("--repeats", config.repeats > 1, "samples"),
        ("--expected", config.expected, "probabilities"),
    ):
        if asked and way not in config.judge.offers:
            raise UsageError(f"{option}: {config.judge.name} gives no {way}; leave it out, or choose another --judge")
    config.rubric.check(pairs)
    asked_of = {pair.pair_id: _questions_or_none(config, pair) for pair in pairs}
    if config.expected and not any(question.digits for asked in asked_of.values() for question in asked):
        raise UsageError(
            f"--expected: no question of the rubric {config.rubric.version} has one digit as its reply; "
            "FiveAspects and Brief ask so with --rubric.init_args.digits true"
        )
    config.judge.check_calls(
        {pair_id: frozenset(question.name for question in asked) for pair_id, asked in asked_of.items()}
    )


def _questions_or_none(config: Config, pair: Pair) -> Sequence[Question]:
    """The pair's questions; none where the rubric fails at this pair, which is recorded when the pair is asked."""
    try:
        return questions(config.rubric, pair, {"given": config.judge.gives_values})
    except UsageError:
        raise
    except Exception:
        return ()


def refuse_another_protocol(config: Config, run: RunDir, name: str) -> None:
    """One file holds the scores of one judge asked in one way, or its mean would be of nothing in particular.

    Raises:
        UsageError: the file holds others.
    """
    path = run.protocol(name)
    if not path.exists():
        return
    before = read_settings(path)
    neutral = config.rubric.neutral
    found = differences(_without(before, neutral), _without(protocol(config), neutral))
    if found:
        raise UsageError(
            f"{run.scores(name)} holds scores made otherwise:\n" + "\n".join(f"  {line}" for line in found) + "\n"
            "Give another file name (--scores NAME), or the same settings to continue that file."
        )


def _without(how: Mapping[str, Any], neutral: frozenset[str]) -> dict[str, Any]:
    """Without what may differ within one file: neutral settings, and the judge's files, whose change asks all again."""
    how = {name: value for name, value in how.items() if name != "judge_files"}
    rubric = how.get("rubric")
    if not isinstance(rubric, Mapping):  # an older version's
        return how
    init_args = {name: value for name, value in rubric.get("init_args", {}).items() if name not in neutral}
    return {**how, "rubric": {**rubric, "init_args": init_args}}
