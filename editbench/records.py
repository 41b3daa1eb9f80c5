"""The records that stand in files, one JSON line each, joined by `pair_id`: Pair, Edit, Score and the Answers in it."""

import json
from typing import Any, Literal, Self, get_args

import msgspec

Language = Literal["en", "zh"]
Failure = Literal[
    "missing edit",  # the edit failed, or its file no longer matches its record
    "empty",  # the reply holds no text
    "refused",  # the judge declined to answer
    "unreadable",  # the reply does not have the form that was asked for
    "out of range",  # a number outside its range
    "truncated",  # the reply reached the token limit, whatever it holds
    "out of memory",  # also alone, in a batch of one
    "error",  # the judge raised; the detail holds what
]
FAILURES: tuple[Failure, ...] = get_args(Failure)

ALL = "all"
"""The category of a benchmark that has none."""


class Record(msgspec.Struct, frozen=True, kw_only=True, rename={"try_": "try"}):
    """A line of JSON, keys in the order of the fields; a changed copy: `msgspec.structs.replace`."""

    pair_id: str

    def to_json(self) -> bytes:
        """One line of UTF-8 without a line break inside; a lone surrogate becomes its JSON escape."""
        try:
            return msgspec.json.encode(self)
        except UnicodeEncodeError:
            text = json.dumps(msgspec.to_builtins(self), ensure_ascii=False)
            return text.encode("utf-8", "backslashreplace")

    @classmethod
    def from_json(cls, line: bytes | str) -> Self:
        """Read one line back, leaving out keys that this version does not know.

        Raises:
            ValueError: the line is not a JSON object, a field without default is missing, or one is of another type.
        """
        try:
            return _decoder(cls).decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as first:
            try:  # msgspec reads no lone surrogate, which a file name in an error may hold
                return msgspec.convert(json.loads(line), cls)
            except RecursionError as error:
                raise ValueError("nested too deeply") from error
            except (msgspec.MsgspecError, ValueError) as error:
                raise ValueError(str(error) or str(first)) from error


_DECODERS: dict[type[Record], Any] = {}


def _decoder(kind: type[Record]) -> Any:
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.json.Decoder(kind)
    return _DECODERS[kind]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the benchmark, by the hash of its encoded bytes."""

    sha256: str
    """Of the bytes as they stand in the benchmark."""
    path: str | None = None
    """Path below the folder of images; None: it stands in the benchmark's own file."""


class Pair(Record, frozen=True, kw_only=True):
    """One question to an editor: one source image or more, and an instruction."""

    category: str = ALL
    """What the benchmark says; `all` where it has no categories."""
    instruction: str
    """What to do with the sources, in the pair's language; of several turns: their numbered lines."""
    sources: tuple[Picture, ...]
    """What the editor is given, in order; one or more."""
    language: str = "en"
    """Of instruction, rationale and description."""
    turns: tuple[str, ...] = ()
    """Instructions to carry out one after another, each on the result of the one before; empty: one instruction."""
    rationale: str | None = None
    """What a right edit must show; the judge sees it, the editor never."""
    description: str | None = None
    """What the source shows."""
    references: dict[str, Picture] = {}
    """Pictures by name that the judge may be shown and the editor never: `reference` (a right edit), `mask`, …"""
    fields: dict[str, Any] = {}
    """What else the benchmark says of the pair, by its own names, without pictures: rubrics may go by them."""
    difficulty: str | None = None
    """As the benchmark says it: easy, medium, hard."""
    tags: tuple[str, ...] = ()
    """As the benchmark says them."""
    source_group: str | None = None
    """Pairs of one group share a source, so they are one draw for an interval; None: the sources' hash."""

    @property
    def sources_sha256(self) -> str:
        """The hash of the only source; of several, all of them joined by `+`."""
        return "+".join(source.sha256 for source in self.sources)


class Edit(Record, frozen=True, kw_only=True):
    """What an editor made of a pair: an image and its proof, or the reason why there is none."""

    try_: int = 0
    """Which of the pair's tries this is, from 0; `try` in the file."""
    image: str | None = None
    """Path of the edited image below the run directory; None when the edit failed."""
    sha256: str | None = None
    """Of that file's bytes."""
    seed: int
    """Of this try's noise: 0 to 2**63 - 1, from the run's seed, the pair's id and the try."""
    error: str | None = None
    """Why there is no image; None when there is one."""
    key: str
    """Hash of all that decides the pixels: sources, instruction, editor, seed."""
    width: int | None = None
    """Of the edited image, pixels."""
    height: int | None = None
    """Of the edited image, pixels."""
    prompt: str | None = None
    """What the editor was given in place of the instruction; None: the instruction."""
    steps: tuple[str, ...] = ()
    """Of a pair of several turns: paths of the images before the last, below the run directory."""
    flags: tuple[str, ...] = ()
    """What a reader should know of the image: `unchanged`, `constant`, `resized`; without one: `refused`."""
    device: str = ""
    """What it was made on, such as `NVIDIA H100 80GB HBM3` or `cpu`."""
    modes: tuple[str, ...] = ()
    """What was done otherwise than by the plain model: `fast` and `fast: <a kernel>` (the same up to rounding), or a
    lossy way in words."""
    details: dict[str, Any] = {}
    """What else the editor records of this edit: a server's model, usage, revised prompt, price."""
    duration_s: float | None = None
    """Wall time of the editor's call, seconds."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One reply of the judge to one call, and what it was read as."""

    call: str
    """Name of the rubric's question."""
    repeat: int = 0
    """Which of several replies to the same question, from 0."""
    reply: str | None = None
    """The judge's words, verbatim; None when there are none. Of an expected score the likeliest token."""
    readings: dict[str, float] = {}
    """By dimension; empty when the reply could not be read."""
    failure: Failure | None = None
    """Why there are no readings; None when there are."""
    detail: str | None = None
    """The failure in a sentence."""
    notes: tuple[str, ...] = ()
    """What was set aside before reading, such as a Markdown fence or a closed `<think>` block."""
    probabilities: tuple[float, ...] = ()
    """Of an expected score: the judge's probability of each of the question's digits."""
    mass: float | None = None
    """Their sum: what is missing to 1 was meant to be something else."""
    model: str = ""
    """The model that answered, in a server's own words."""
    batch_size: int | None = None
    """How many questions the judge answered at once in this call."""
    duration_s: float | None = None
    """The batch's wall time over its number of questions, seconds."""


class Score(Record, frozen=True, kw_only=True):
    """What a judge said of an edit: a value with its answers, or the kind of failure."""

    try_: int = 0
    """Which of the pair's edits this is of; `try` in the file."""
    value: float | None
    """On the rubric's scale; None unless every reading that the formula needs is there. With repeats: the mean of
    those repeats that are complete, when at least half are."""
    failure: Failure | None = None
    """Why there is no value; None when there is one."""
    detail: str | None = None
    """The failure in a sentence."""
    dimensions: dict[str, float | None] = {}
    """By dimension, the mean over the repeats that could be read; None: none could. A dimension that was not asked for
    is absent."""
    values: dict[str, float | None] = {}
    """The rubric's other named values, which its headlines are made of."""
    spread: float | None = None
    """Sample standard deviation of the repeats' values; None below two."""
    answers: tuple[Answer, ...] = ()
    """Every reply, verbatim: numbers can be derived again from them without a judge."""
    key: str
    """Hash of all that decides the answers: the questions as sent, the pictures shown, the judge, the decoding."""
    edit_sha256: str | None = None
    """Of the edited image that was judged."""
    rubric: str = ""
    """The rubric's version, such as `aspects-1`."""
    device: str = ""
    """What the judge ran on."""
    num_gpus: int = 1
    """So many GPUs answered together, each for the whole of a call's time."""
