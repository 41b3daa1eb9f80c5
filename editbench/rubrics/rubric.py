"""What a rubric is to the harness: questions about an edit, the reading of each reply, and the numbers made of them."""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from editbench.records import Failure, Pair
from editbench.rubrics.headlines import ITEM_MEAN, Headline

# Qwen, Llama and Phi write <|…|>, DeepSeek the same with full-width bars
MARKER = re.compile(r"<[|｜][^<>]{0,64}[|｜]>")
# A list of every family's <image>, </s>, <tool_call>, [INST] would never be complete: no bracket, no marker.
# The wide and small forms go too, for tokenizers that normalise by NFKC.
BRACKETS = str.maketrans("<＜﹤>＞﹥[［]］", "‹‹‹›››(())")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A picture at its place in a question: named, not loaded. The rules apply in the order of the fields."""

    picture: str
    """`edit`, `source` (the first), `source_2`, …, or the name of one of the pair's references."""
    size_of: str | None = None
    """Resized (bicubic) to the exact size of this other picture."""
    max_side: int | None = None
    """Scaled down with its aspect ratio until no side is longer, as PIL's `thumbnail` does."""
    box: tuple[float, float, float, float] | None = None
    """Cut out: left, top, right, bottom, pixels of the picture as scaled by then, clipped to it; where nothing would be
    left, the whole picture stays."""
    scale_to: int | None = None
    """Scaled up or down (Lanczos) with its aspect ratio until the longer side has this many pixels, the other one
    rounded down: the picture before the box is cut out, and then what was cut out."""
    jpeg_quality: int | None = None
    """Encoded as JPEG of this quality and decoded again."""
    max_pixels: int | None = None
    """The most pixels that the judge's processor may keep, with the aspect ratio, rounded to its patches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One call of the judge: texts and pictures of one user turn, in their order."""

    name: str
    """Of the call, unique within the pair; stands in each Answer."""
    parts: tuple[str | Shown, ...]
    """A text of a pair that enters here has passed `quote`."""
    gives: tuple[str, ...]
    """The dimensions that a reply gives when it can be read."""
    system: str = ""
    """A system text; empty: none."""
    max_new_tokens: int | None = None
    """Limit of the reply; None: the judge's own setting."""
    digits: tuple[str, ...] = ()
    """Where the reply is one of these digits, of one token each: an expected score can be made of their
    probabilities. Then `gives` has one dimension."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a reply says: a number for each dimension of its question, or the kind of failure with a sentence on it.

    Raises:
        ValueError: neither of `numbers` and `failure` is set.
    """

    numbers: Mapping[str, float] | None = None
    """By dimension; None when the reply could not be read. Beside a failure: those that could be read."""
    failure: Failure | None = None
    """Why there are no numbers, or not all of them; None when they are all there."""
    detail: str | None = None
    """The failure in a sentence; what it quotes of the reply is escaped, so it may be printed."""
    notes: tuple[str, ...] = ()
    """What was set aside before reading."""

    def __post_init__(self) -> None:
        if self.numbers is None and self.failure is None:
            raise ValueError("a reading without numbers names its failure")


class Rubric(ABC):
    """How edits are judged.

    A subclass is a dataclass whose fields are its settings: they are options on the command line and stand beside the
    scores; each decides whether a score already made still counts, unless `neutral` names it. What it has beside its
    settings (`version`, `scale`, `dimensions`, `headlines`, …) is a ClassVar or a property.
    All methods are pure, but for reading the files that the settings name.
    """

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Settings that change neither a question nor a number."""
    groups: ClassVar[Mapping[str, Sequence[str]]] = {}
    """The benchmark's categories in its own order, by the name of their group ("" where there are no groups); empty:
    in order of appearance."""
    least_mass: ClassVar[float] = 0.5
    """An expected score needs this probability on the digits together: below it the judge meant to say else."""
    official: ClassVar[Mapping[str, str]] = {}
    """The official protocol of a public benchmark, such as {"judge": "gpt-4.1", "decoding": "temperature 0"}."""
    layout: ClassVar[Mapping[str, str]] = {}
    """Where the official scripts look for the picture `edit` and, where they do, for `source`: templates of a path with
    its ending over the pair's `id`, `category`, `language`, `language_cn` (`cn` or `en`) and fields. Empty: nowhere."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Its name and version, which changes with every wording; stands in each Score."""

    @property
    @abstractmethod
    def scale(self) -> tuple[float, float]:
        """Lowest and highest of a pair's value."""

    @property
    @abstractmethod
    def dimensions(self) -> Mapping[str, tuple[float, float]]:
        """Each with its lowest and highest reading; a failure counts at the lowest in the lower bound."""

    @property
    def headlines(self) -> Sequence[Headline]:
        """Named numbers over many pairs; the first decides verdicts."""
        return (ITEM_MEAN.on(self.scale),)

    def files(self) -> Mapping[str, str]:
        """Of the files that it reads: sha256 by name, or of the part of them that decides questions and readings."""
        return {}

    def notes(self) -> Sequence[str]:
        """What a reader should know of this rubric's settings, a sentence each: a prompt file that is not the known
        one, routes other than shipped.
        """
        return ()

    def check(self, pairs: Sequence[Pair]) -> None:  # noqa: B027  (a rubric that can judge anything need not say so)
        """Find what it can't judge before anything is loaded.

        Raises:
            UsageError: with every defect, a line each: a category, a field or a picture that it needs.
        """

    def category(self, text: str) -> str:
        """The name that the report gives a benchmark's category: its own, unless the rubric knows it as an alias."""
        return text

    @abstractmethod
    def calls(self, pair: Pair) -> Sequence[Question]:
        """What is asked about an edit of the pair, a call each; none that does not apply."""

    def asked(self, pair: Pair) -> Mapping[str, tuple[str, ...]]:
        """The names of the pair's calls and the dimensions that each gives: what its numbers are derived from.

        A rubric whose texts stand in files overrides this, so that a report needs no such file.
        """
        return {question.name: question.gives for question in self.calls(pair)}

    @abstractmethod
    def read(self, pair: Pair, question: Question, reply: str) -> Reading:
        """Read a reply that was not cut off: a number for each of `question.gives`, or a failure; never raises."""

    @abstractmethod
    def values(self, pair: Pair, readings: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """The pair's named values: "value", on `scale`, and any others that a headline needs.

        Args:
            pair: of its fields the formula may depend.
            readings: by dimension, those that were asked for; None where a call failed.
        """

    def values_without_edit(self, pair: Pair) -> Mapping[str, float | None]:
        """The values of a pair whose edit is missing, where the official formula counts it; empty: left out."""
        return {}


def quote(text: str) -> str:
    """Make hostile text into one line of data that cannot change the shape of a prompt.

    Chat markers `<|…|>` become a space and every other angle or square bracket a look-alike, so the text can neither
    close the tags round it nor stand for a special token or a picture; all white space becomes single spaces, so it
    cannot begin a line; controls, format characters (bidi, zero-width, tags, U+E0000 and up) and lone surrogates go.

    Source: markers of the judge's own template inside the judged text flip two thirds of otherwise right verdicts
    (Escaped Markup, analemma.ai); shape can be defended here, a judge's obedience cannot.
    """
    line = " ".join(text.split())
    if not line.isprintable():  # which holds for most texts, and for none with a character of these
        line = "".join(char for char in line if unicodedata.category(char) not in {"Cc", "Cf", "Cs"})
    return " ".join(MARKER.sub(" ", line).translate(BRACKETS).split())
