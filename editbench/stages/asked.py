"""What a judge will be asked, in a form to read: for `--check`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from editbench.errors import UsageError
from editbench.process.console import printable
from editbench.process.faults import reason
from editbench.records import Pair
from editbench.rubrics.rubric import Question, Rubric, Shown


def print_questions(rubric: Rubric, pair: Pair) -> None:
    """Print the questions about an edit of this pair as they will be sent, the pictures by name and rule."""
    sys.stdout.write(printable(as_text(rubric, pair)))


def as_text(rubric: Rubric, pair: Pair) -> str:
    """The same as text, a blank line between two questions."""
    try:
        asked = rubric.calls(pair)
    except UsageError as error:
        return f"{pair.pair_id}: no questions by {type(rubric).__name__}: {error}\n"
    except Exception as error:
        return f"{pair.pair_id}: no questions by {type(rubric).__name__}: {reason(error)}\n"
    number = f"{len(asked)} question{'s' * (len(asked) != 1)}"
    head = f"{pair.pair_id} is asked {number} by the rubric {rubric.version}:\n"
    return head + "".join(f"\n{_one(rubric, question)}" for question in asked)


def _one(rubric: Rubric, question: Question) -> str:
    lines = [f"--- {question.name} → {_gives(rubric, question.gives)}{_limits(question)}"]
    if question.system:
        lines += ["[system]", question.system]
    lines.append("[user]")
    lines += [part if isinstance(part, str) else _picture(part) for part in question.parts]
    return "\n".join(line.strip("\n") for line in lines) + "\n"


def _gives(rubric: Rubric, names: Sequence[str]) -> str:
    ranges = rubric.dimensions
    return ", ".join(f"{name} ({ranges[name][0]:g} to {ranges[name][1]:g})" for name in names)


def _limits(question: Question) -> str:
    return f", at most {question.max_new_tokens} new tokens" if question.max_new_tokens else ""


def _picture(shown: Shown) -> str:
    rules = [f"{name} {value}" for name, value in asdict(shown).items() if value is not None and name != "picture"]
    return f"[picture: {', '.join([shown.picture, *rules])}]"
