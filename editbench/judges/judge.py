"""What a judge is to the harness."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from editbench.process.world import World
from editbench.records import Failure
from editbench.rubrics.rubric import Question

Way = Literal["samples", "probabilities"]
"""Ways to answer beside the one reply, named by the method."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a judge answered."""

    text: str
    """Verbatim, without the end-of-turn token."""
    truncated: bool
    """Whether it was cut off by the limit on new tokens."""
    failure: Failure | None = None
    """What went wrong where the text can't tell; None: the text is read."""
    detail: str | None = None
    """The failure in a sentence."""
    probabilities: tuple[float, ...] = ()
    """Of each digit that it was asked for, as the reply's first token."""
    model: str = ""
    """Which model answered, where a server says so."""


class Judge(ABC):
    """Answers questions that hold pictures.

    A subclass is a dataclass whose fields are its settings: they are options on the command line, they stand beside
    the scores, and each of them decides whether a score already made still counts, unless `neutral` names it.
    Keep its module cheap to import: torch and the like belong inside the methods.
    """

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Settings that do not change a reply."""
    offers: ClassVar[frozenset[Way]] = frozenset()
    """What it can do beside `replies`: `samples`, for `--repeats`; `probabilities`, for `--expected`."""
    _runs_on = None  # no annotation: it is no setting

    @property
    def name(self) -> str:
        """How a report and the file of its scores call it."""
        return type(self).__name__

    def check(self) -> None:  # noqa: B027  (a judge with nothing to check need not say so)
        """Find what is wrong before anything is loaded, in milliseconds.

        Raises:
            UsageError: a setting can't work; says what to do.
        """

    def weight_bytes(self) -> int | None:
        """What `load` will need for weights, told without loading; 0: nothing, None: not known."""
        return None

    def load(self, world: World) -> str:
        """Get ready on this process's share of the GPUs, or on the CPU, once a process.

        Returns:
            What it runs on, such as `NVIDIA H200` or `cpu`.
        """
        return "cpu"

    def num_at_once(self) -> int | None:
        """How many questions it can answer at once, once loaded; None: the harness goes by the free memory."""
        return None

    def ready(self, world: World) -> str:
        """`load` where that was not done yet; what it runs on either way."""
        if self._runs_on is None:
            self._runs_on = self.load(world)
        return self._runs_on

    def prepare(self, question: Question, max_pixels: int) -> Question:
        """The question as the judge wants it, its pictures scaled down to `max_pixels` each; called from a thread."""
        return question

    @abstractmethod
    def replies(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply a question, the judge's likeliest, in their order.

        Raises:
            Exception: whatever went wrong; the stage asks again in halves, down to one question.
        """

    def samples(self, questions: Sequence[Question], seeds: Sequence[Sequence[int]]) -> list[list[Reply]]:
        """Replies drawn at random, for each question one a seed; a seed's reply does not depend on the others."""
        raise NotImplementedError

    def probabilities(self, questions: Sequence[Question], digits: Sequence[str]) -> list[Reply]:
        """For each question how likely each digit is as the first token, and as text the likeliest token of all."""
        raise NotImplementedError
