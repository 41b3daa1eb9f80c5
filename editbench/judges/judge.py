"""What a judge is to the harness."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from editbench.process.world import World
from editbench.records import Failure

if TYPE_CHECKING:
    from PIL.Image import Image

Way = Literal["samples", "probabilities"]
"""Ways to answer beside the one reply, named by the method."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One call of the judge: a system text, then texts and pictures of one user turn in their order."""

    content: "tuple[str | Image, ...]"
    """Pictures are loaded, RGB, with all rules of the rubric applied but `max_pixels`."""
    system: str = ""
    """Empty: no system text."""
    max_pixels: tuple[int | None, ...] = ()
    """One a picture: the most pixels that the judge may keep of it, with its aspect ratio, rounded to its patches;
    None: as the judge takes pictures by itself."""
    max_new_tokens: int | None = None
    """Limit of the reply; None: the judge's own setting."""
    digits: tuple[str, ...] = ()
    """The reply is one of these digits, of one token each; empty: any text."""
    pair_id: str = ""
    """Whose edit is judged: for replies made elsewhere, never for a model."""
    try_: int = 0
    """Which of the pair's edits."""
    call: str = ""
    """Name of the rubric's question."""
    gives: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """The dimensions that the reply is read into, each with its lowest and highest."""
    repeats: tuple[int, ...] = (0,)
    """Which of several replies are asked for; `samples` gets a seed for each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a judge answered."""

    text: str
    """Verbatim, without the end-of-turn token."""
    truncated: bool = False
    """Whether it was cut off by the limit of new tokens."""
    failure: Failure | None = None
    """What went wrong where the text can't tell; None: the text is read."""
    detail: str | None = None
    """The failure in a sentence."""
    probabilities: tuple[float, ...] = ()
    """Of each digit of the message, as the reply's first token."""
    model: str = ""
    """Which model answered, where a server says so."""
    readings: Mapping[str, float] | None = None
    """Numbers by dimension that were made elsewhere, in place of a text that is read; None: the text is read."""


class Judge(ABC):
    """Answers messages that hold pictures.

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

    @property
    def gives_values(self) -> bool:
        """Whether it gives a pair's value itself, so that the rubric's questions are not asked."""
        return False

    def files(self) -> Mapping[str, str]:
        """Of the files that decide its replies and are no model's weights: sha256 by name."""
        return {}

    def identity(self) -> Mapping[str, str]:
        """What the judge's weights are by content, such as the commit of the hub's repository; empty: it has none.

        It stands beside the scores and in each score's key; it reads little more than the headers of files.
        """
        return {}

    def check(self) -> None:  # noqa: B027  (a judge with nothing to check need not say so)
        """Find what is wrong before anything is loaded, in milliseconds.

        Raises:
            UsageError: a setting can't work; says what to do.
        """

    def check_calls(self, calls: Mapping[str, Collection[str]]) -> None:  # noqa: B027  (most judges answer any call)
        """See before a launch what will be asked.

        Args:
            calls: the names of the questions by pair_id, of all pairs that the launch is about.

        Raises:
            UsageError: the judge can answer none of them.
        """

    def weight_bytes(self) -> int | None:
        """Memory that `load` will need for weights, found without loading; 0: nothing, None: not known."""
        return None

    def load(self, world: World) -> str:
        """Get ready on this process's share of the GPUs, or on the CPU, once a process.

        Returns:
            What it runs on, such as `NVIDIA H200` or `cpu`.
        """
        return "cpu"

    def num_gpus(self, world: World) -> int:
        """How many GPUs are taken for one answer, once loaded; what it costs is counted by them. 1 on the CPU."""
        return 1

    def num_at_once(self) -> int | None:
        """How many messages it can answer at once, once loaded; None: the harness goes by the free memory."""
        return None

    def ready(self, world: World) -> str:
        """`load` where that was not done yet; what it runs on either way."""
        if self._runs_on is None:
            self._runs_on = self.load(world)
        return self._runs_on

    def prepare(self, message: Message) -> Message:
        """The message as the judge wants it, its pictures scaled down; called from a thread.

        Raises:
            Exception: the message can't be asked; it is recorded for its pair.
        """
        return message

    @abstractmethod
    def replies(self, messages: Sequence[Message]) -> list[Reply]:
        """One reply a message, the judge's likeliest, in their order.

        Args:
            messages: prepared; all with one limit of new tokens and the same digits.

        Raises:
            Exception: whatever went wrong; the stage asks again in halves, down to one message.
        """

    def ask(self, messages: Sequence[Message]) -> list[Reply]:
        """What the harness calls for `replies`; for a judge that has no method of that name."""
        return self.replies(messages)

    def samples(self, messages: Sequence[Message], seeds: Sequence[Sequence[int]]) -> list[list[Reply]]:
        """Replies drawn at random, for each message one a seed; a seed's reply does not depend on the others."""
        raise NotImplementedError

    def probabilities(self, messages: Sequence[Message]) -> list[Reply]:
        """For each message how likely each of its digits is as the first token; as text the likeliest token of all."""
        raise NotImplementedError
