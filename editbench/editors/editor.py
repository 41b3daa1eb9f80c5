"""What an editor is to the harness."""

from abc import ABC, abstractmethod
from typing import ClassVar

from PIL.Image import Image

from editbench.process.world import World
from editbench.records import Pair


class EditFailed(Exception):
    """This pair has no edit, for the reason given; the others are not concerned."""


class EditRefused(EditFailed):
    """The model declined this pair, by a safety checker say: counted apart from what broke."""


class Editor(ABC):
    """Edits one image on instruction.

    A subclass is a dataclass whose fields are its settings: they are options on the command line, they stand in the
    run's `config.yaml`, and each of them decides whether an edit already made still counts, unless `neutral` names it.
    Keep its module cheap to import: torch and the like belong inside the methods.
    """

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Settings that do not change a pixel."""

    @property
    def name(self) -> str:
        """How a report calls it."""
        return type(self).__name__

    @property
    def modes(self) -> tuple[str, ...]:
        """In words, what it does otherwise than the plain model, known once it is loaded; goes into every Edit.

        `fast` is the one that changes a picture by no more than rounding; every other is taken for lossy.
        """
        return ()

    def check(self) -> None:  # noqa: B027  (an editor with nothing to check need not say so)
        """Find what is wrong before anything is loaded, in milliseconds.

        Raises:
            UsageError: a setting can't work; says what to do.
        """

    def also_decides(self, pair: Pair) -> str | None:
        """What beside the settings decides this pair's edit, such as the hash of a file; None: nothing."""
        return None

    def load(self, world: World) -> str:
        """Get ready on this process's device, once a process; weights go straight there.

        Returns:
            What it runs on, such as `NVIDIA H200` or `cpu`.
        """
        return "cpu"

    def prepare(self, pair: Pair, source: Image) -> None:  # noqa: B027  (nothing to do is a way to do it)
        """Do what of an edit can be done while the device works on the one before; another thread calls it.

        Nothing may depend on it: if it was not called or raised, `edit` does all of the work.
        """

    @abstractmethod
    def edit(self, pair: Pair, source: Image, seed: int) -> Image:
        """The edited image, RGB, of any size; the same for the same arguments on the same hardware.

        Args:
            pair: what to do; `pair.rationale` is not for the editor.
            source: RGB, 8 bits a channel; must not be changed in place.
            seed: 0 to 2**63 - 1, the only source of randomness.

        Raises:
            EditFailed: no edit of this pair; recorded with its reason, the run goes on.
            EditRefused: the same, counted apart.
        """
