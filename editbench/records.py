"""The three records that stand in files, one JSON line each, joined by `pair_id`: Pair, Edit, Score."""

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

Category = Literal["physical", "environmental", "social", "causal", "referential"]
Language = Literal["en", "zh"]
Failure = Literal[
    "missing edit",  # the edit failed, or its file no longer matches its record
    "empty",  # the reply holds no text
    "refused",  # the judge declined to answer
    "unreadable",  # the reply is not one number
    "out of range",  # one number, outside the rubric's range
    "truncated",  # the reply reached the token limit, whatever stands in it
    "out of memory",  # also alone, in a batch of one
    "error",  # the judge raised; the detail holds what
]

CATEGORIES: tuple[Category, ...] = get_args(Category)
FAILURES: tuple[Failure, ...] = get_args(Failure)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What the three share: a line of JSON, keys in the order of the fields."""

    pair_id: str

    def to_json(self) -> str:
        """One line, no line break inside, characters as they are."""
        # not asdict: it copies deeply, and takes most of the time that a run of 100,000 pairs needs to start
        return _to_text({name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read one line back, leaving out keys that this version does not know.

        Raises:
            ValueError: the line is not a JSON object, a field without default is missing, or one is of another type.
        """
        try:
            row: Any = _from_text(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")
        # not by its own __init__, which of a frozen class takes longer than all the rest here
        record = cls.__new__(cls)
        for name, types, default, put in _fields_of(cls):
            value = row.get(name, default)
            if type(value) is list:
                value = tuple(value)
            if type(value) not in types:
                raise ValueError(f"{name} is missing" if value is MISSING else f"{name} is of another type")
            put(record, value)
        return record


# made once: json.dumps and json.loads take a third of a short line's time to look at their arguments
_to_text = json.JSONEncoder(ensure_ascii=False).encode
_from_text = json.JSONDecoder().decode


@cache
def _fields_of(kind: type[Record]) -> list[tuple[str, frozenset[type], Any, Callable[[Record, Any], None]]]:
    """Each field's name, the types of its value once a list has become a tuple, its default, and what sets it."""

    def types(hint: Any) -> set[type]:
        if get_origin(hint) is Literal:
            return {type(value) for value in get_args(hint)}
        if get_origin(hint) in (Union, UnionType):
            return set().union(*map(types, get_args(hint)))
        return {float, int} if hint is float else {get_origin(hint) or hint}

    hints = get_type_hints(kind)
    return [
        (field.name, frozenset(types(hints[field.name])), field.default, getattr(kind, field.name).__set__)
        for field in fields(kind)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair(Record):
    """One question to an editor: a source image and an instruction."""

    category: Category
    """The aspect that the edit is judged on."""
    instruction: str
    """What to do with the source, in the run's language."""
    source_sha256: str
    """Of the source's encoded bytes, as they stand in the benchmark."""
    source: str | None = None
    """Path of the source below the folder of images; None: it stands in the benchmark's own file."""
    rationale: str | None = None
    """What a right edit must show, in the run's language; the judge sees it, the editor never."""
    description: str | None = None
    """What the source shows, in the run's language."""
    difficulty: str | None = None
    """As the benchmark says it: easy, medium, hard."""
    tags: tuple[str, ...] = ()
    """As the benchmark says them."""
    source_group: str | None = None
    """Pairs of one group share a source, so they are one draw for an interval; None: the source's hash."""
    reference: str | None = None
    """An image of a right edit: its path as the benchmark has it, below the benchmark's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit(Record):
    """What an editor made of a pair: an image and its proof, or the reason why there is none."""

    image: str | None = None
    """Path of the edited image below the run directory; None when the edit failed."""
    sha256: str | None = None
    """Of that file's bytes."""
    seed: int
    """Of this pair's noise: 0 to 2**63 - 1, from the run's seed and the pair's id."""
    error: str | None = None
    """Why there is no image; None when there is one."""
    key: str
    """Hash of all that decides the pixels: source, instruction, editor, seed."""
    width: int | None = None
    """Of the edited image, pixels."""
    height: int | None = None
    """Of the edited image, pixels."""
    flags: tuple[str, ...] = ()
    """What a reader should know of the image: `unchanged`, `constant`, `resized`; without one: `refused`."""
    device: str = ""
    """What it was made on, such as `NVIDIA H100 80GB HBM3` or `cpu`."""
    modes: tuple[str, ...] = ()
    """What was done otherwise than by the plain model: `fast` (the same up to rounding), or a lossy way in words."""
    duration_s: float | None = None
    """Wall time of the editor's call, seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score(Record):
    """What a judge said of an edit: a value with its reply, or the kind of failure."""

    value: float | None
    """On the rubric's scale; None when there is no score."""
    failure: Failure | None = None
    """Why there is no value; None when there is one."""
    detail: str | None = None
    """The failure in a sentence."""
    reply: str | None = None
    """The judge's words, verbatim; None when it was not asked. Of several, the first; of an expected score, the token
    that the judge would have said."""
    replies: tuple[str, ...] = ()
    """Where each pair was asked several times: all replies, verbatim."""
    values: tuple[float | None, ...] = ()
    """What each of these reads as; `value` is the mean of those that could be read."""
    spread: float | None = None
    """Their sample standard deviation; None below two."""
    probabilities: tuple[float, ...] = ()
    """Of an expected score: the judge's probability of each of the rubric's digits."""
    mass: float | None = None
    """Their sum: what is missing to 1 was meant to be something else."""
    key: str
    """Hash of all that decides the score: pair, edited image, judge, rubric, decoding."""
    edit_sha256: str | None = None
    """Of the edited image that was judged."""
    rubric: str = ""
    """Name and version of the rubric, such as `aspects-1`."""
    batch_size: int | None = None
    """How many pairs the judge answered at once in this call."""
    device: str = ""
    """What the judge ran on."""
    model: str = ""
    """The model that answered, in a server's own words."""
    duration_s: float | None = None
    """The batch's wall time over its number of pairs, seconds."""
