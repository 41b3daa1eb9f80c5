"""PICABench: yes-or-no questions about the physics of an edit, which the item itself brings.

Source: Andrew0613/PICABench, `PicaEval_gpt.py`, commit 0514acddffcc.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from editbench.errors import UsageError
from editbench.records import Pair
from editbench.rubrics.headlines import Headline
from editbench.rubrics.official.prompts import OfficialRubric, PromptFile, quote_lines
from editbench.rubrics.readers import Key, read_json
from editbench.rubrics.rubric import Question, Reading, Shown

REQUEST = (
    'Answer with one JSON object and nothing else. It has two keys: "answer" is "Yes" or "No", and "explanation" says '
    "why in one or two sentences."
)
"""Ours, of what the official request asks for."""
ANSWERS = {"yes": 1.0, "y": 1.0, "true": 1.0, "no": 0.0, "n": 0.0, "false": 0.0}
CANVAS = 1024
"""The longer side of the edit that the boxes are measured on, pixels."""
MARGIN = 20
"""Added to a box on each side, pixels of that canvas."""
MOST_QUESTIONS = 64
FAILED_CALL = "Error: all attempts failed"
"""What the official code stores in place of a reply."""


@dataclass(frozen=True, kw_only=True)
class Pica(OfficialRubric):
    """PICABench: a call for each question of the field `annotated_qa_pairs`, on the part of the edit in its box.

    The value is the share of right answers; a pair without an edit, or with a reply that cannot be read, has none. The
    official code counts such a reply as a wrong answer: that is the number with all failures at the bottom.

    `prompts` may be empty: the request for JSON is then in our words. A `.txt` file is that request; a folder or a
    `.py` file is the official one.
    """

    official: ClassVar = {
        "judge": "gpt-5",
        "decoding": "the server's own",
        "size of pictures": "1,024 pixels on the longer side",
    }
    layout: ClassVar = {"edit": "{id}.png"}
    prompt_files: ClassVar = (
        PromptFile(
            repository="https://github.com/Andrew0613/PICABench",
            path="PicaEval_gpt.py",
            function="create_structured_prompt",
            sha256="1eb033837cdb",
        ),
    )

    @property
    def version(self) -> str:
        """Its name and version."""
        return "pica-1"

    @property
    def scale(self) -> tuple[float, float]:
        """From no answer right to all right."""
        return 0.0, 1.0

    @property
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """Of each question, in order: 1 where the answer is right, otherwise 0."""
        return {f"q{number}": (0.0, 1.0) for number in range(MOST_QUESTIONS)}

    @property
    def headlines(self) -> Sequence[Headline]:
        """The mean over items, in percent."""
        return (Headline(name="overall_accuracy", scale=(0.0, 100.0), factor=100.0),)

    def files(self) -> Mapping[str, str]:
        """The file with the request for JSON; none where it is ours."""
        return super().files() if self.prompts else {}

    def notes(self) -> Sequence[str]:
        """Whose request for JSON is sent."""
        return super().notes() if self.prompts else ["The request for a JSON reply is in editbench's words."]

    def calls(self, pair: Pair) -> Sequence[Question]:
        """The question with the request, then the edit: its longer side scaled to 1,024, cut to the box, scaled again.

        Raises:
            UsageError: there are no questions, or one lacks its text, its answer or its box.
        """
        request = f"\n\n{REQUEST}"
        if self.prompts:
            prompts = self.texts()
            request = f"\n\n{own.strip()}" if (own := prompts.texts.get("")) else prompts.raw("json_instruction")
        return [
            Question(
                name=f"q{number}",
                parts=(
                    quote_lines(entry["question"]) + request,
                    Shown(picture="edit", box=_box(pair, number, entry), scale_to=CANVAS, jpeg_quality=90),
                ),
                gives=(f"q{number}",),
                max_new_tokens=1024,
            )
            for number, entry in enumerate(_entries(pair))
        ]

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """A call for each of the item's questions."""
        return {f"q{number}": (f"q{number}",) for number in range(len(_entries(pair)))}

    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """A JSON object whose `answer` is yes or no: 1 where the item's own answer is the same, otherwise 0."""
        if reply.strip() == FAILED_CALL:
            return Reading(failure="error", detail="the reply is what the official code stores for a failed call")
        reading = read_json(reply, {"answer": Key(choices=ANSWERS)})
        if reading.numbers is None:
            return reading
        entry = _entries(pair)[int(question.name.removeprefix("q"))]
        right = reading.numbers["answer"] == ANSWERS[_word(entry["answer"])]
        return Reading(numbers={question.name: float(right)}, notes=reading.notes)

    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The share of right answers, of all questions."""
        right = [readings.get(f"q{number}") for number in range(len(_entries(pair)))]
        known = [number for number in right if number is not None]
        return {"value": math.fsum(known) / len(known) if known and len(known) == len(right) else None}


def _entries(pair: Pair) -> list[dict[str, Any]]:
    """The item's questions with text and answer; in the file a list, lists by kind, or either as JSON text."""
    found = pair.fields.get("annotated_qa_pairs")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise UsageError(f"{pair.pair_id}: `annotated_qa_pairs` is no JSON: {error}") from error
    if isinstance(found, dict):
        found = [entry for entries in cast("dict[str, list[Any]]", found).values() for entry in entries]
    entries = [
        cast("dict[str, Any]", entry)
        for entry in cast("list[Any]", found if isinstance(found, list) else [])
        if isinstance(entry, dict) and entry.get("question") and entry.get("answer")
    ]
    if not 0 < len(entries) <= MOST_QUESTIONS:
        raise UsageError(
            f"{pair.pair_id}: `annotated_qa_pairs` holds {len(entries)} questions with an answer; 1 to "
            f"{MOST_QUESTIONS} are needed"
        )
    for number, entry in enumerate(entries):
        if not isinstance(entry["question"], str) or _word(entry["answer"]) not in ANSWERS:
            raise UsageError(
                f"{pair.pair_id}: question {number} of `annotated_qa_pairs` must be a text with the answer Yes or No, "
                f"not {entry['answer']!r}"
            )
    return entries


def _word(answer: object) -> str:
    return str(answer).strip().rstrip(".").lower()


def _box(pair: Pair, number: int, entry: Mapping[str, Any]) -> tuple[float, float, float, float]:
    box: Any = entry.get("box")
    try:
        left, top, width, height = (float(box[name]) for name in ("x", "y", "width", "height"))
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(
            f"{pair.pair_id}: question {number} of `annotated_qa_pairs` has no box of x, y, width and height: {box!r}"
        ) from error
    return left - MARGIN, top - MARGIN, left + width + MARGIN, top + height + MARGIN
