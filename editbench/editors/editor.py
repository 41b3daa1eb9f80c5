"""What an editor is to the harness."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from PIL.Image import Image

from editbench.process.world import World
from editbench.records import Pair


class EditFailed(Exception):
    """This pair has no edit, for the reason given; the other pairs go on."""

    def __init__(self, reason: str, details: Mapping[str, Any] | None = None):
        """Keep the reason, and what else is to stand in `Edit.details`, such as the price of a refused request."""
        super().__init__(reason)
        self.details = dict(details or {})


class EditRefused(EditFailed):
    """The model declined this pair, such as by a safety checker; counted apart from other failures."""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """An edited image and what the editor records of it."""

    image: Image
    """RGB, of any size."""
    prompt: str | None = None
    """What the model was given in place of `pair.instruction`; None: the instruction as it stands."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """For `Edit.details`: plain data, such as a server's model, usage and price."""


class Editor(ABC):
    """Edits one image, or several together, on instruction.

    A subclass is a dataclass whose fields are its settings: they are options on the command line, they stand in the
    run's `config.yaml`, and each of them decides whether a finished edit still counts, unless `neutral` names it.
    Keep its module cheap to import: import torch and the like inside the methods.
    """

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Settings that do not change a pixel."""
    max_sources: ClassVar[int | None] = 1
    """How many source pictures a pair may have; None: any number. A pair with more is refused before `load`."""

    @property
    def name(self) -> str:
        """How a report calls it."""
        return type(self).__name__

    @property
    def modes(self) -> tuple[str, ...]:
        """In words, what it does otherwise than the plain model, known once it is loaded; goes into every Edit.

        A mode that begins with `fast` changes a picture by no more than rounding; every other one counts as lossy.
        """
        return ()

    @property
    def num_at_once(self) -> int:
        """How many edits may be under way at once in one process; above 1, `edit` is called from several threads."""
        return 1

    def check(self) -> None:  # noqa: B027  (an editor with nothing to check need not define it)
        """Find what is wrong before anything is loaded, in milliseconds.

        Raises:
            UsageError: a setting can't work; says what to do.
        """

    def also_decides(self, pair: Pair) -> str | None:
        """What beside the settings decides this pair's edit, such as the hash of a file; None: nothing."""
        return None

    def identity(self) -> Mapping[str, str]:
        """What the editor's weights are by content, such as the commit of the hub's repository; empty: it has none.

        It is recorded and decides, as a setting does, whether a finished edit still counts. It is called once a
        launch, before `load`, and reads little more than the headers of files.
        """
        return {}

    def load(self, world: World) -> str:
        """Get ready on this process's device, once a process; read weights straight to the device.

        Returns:
            What it runs on, such as `NVIDIA H200` or `cpu`.
        """
        return "cpu"

    def prepare(self, pair: Pair, sources: Sequence[Image]) -> None:  # noqa: B027  (optional)
        """Do the part of an edit that can run while the device works on the edit before; called in another thread.

        `edit` must not depend on it: where it was not called, or raised, `edit` does all of the work.
        """

    @abstractmethod
    def edit(self, pair: Pair, sources: Sequence[Image], seed: int) -> Image | Edited:
        """The edited image, RGB, of any size; the same for the same arguments on the same hardware.

        Args:
            pair: what to do is `pair.instruction`; `rationale` and `references` are for the judge only.
            sources: the pair's pictures in order, RGB, 8 bits a channel, at most `max_sources`; do not change them.
            seed: 0 to 2**63 - 1, the only source of randomness.

        Returns:
            The image, or an `Edited` where the editor has more to record.

        Raises:
            EditFailed: no edit of this pair; the reason is recorded and the run goes on.
            EditRefused: the same, counted apart.
        """
