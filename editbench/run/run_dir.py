"""A run directory: its paths, the parts that its ranks append to, and what in them still counts."""

import hashlib
import json
import logging
import os
import re
import subprocess
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import Any

from editbench.errors import UsageError
from editbench.records import Edit, Pair
from editbench.run.durable import (
    Part,
    R,
    RecordFiles,
    is_file,
    read_records,
    refuse_unwritable,
    write_atomic,
    write_lines,
)
from editbench.run.lease import Lease

log = logging.getLogger(__name__)

_STEM_BYTES = 120  # a file name may have 255 bytes; ".png", a temporary name and a hash need some of them
_UNSAFE = re.compile(r"[^\w.()+,=@ -]")
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def file_stem(pair_id: str) -> str:
    """The pair's file name without extension: its id where any file system takes that, else a slug with a hash.

    The result has 1 to 129 bytes in UTF-8, no separator, no leading dot and no control character.
    """
    stem = unicodedata.normalize("NFC", pair_id)
    slug = _UNSAFE.sub("_", stem).strip(". ") or "_"
    slug = slug.encode()[:_STEM_BYTES].decode(errors="ignore")
    if slug == stem and not _DEVICE_NAME.fullmatch(slug):
        return slug
    return f"{slug}-{hashlib.sha256(pair_id.encode()).hexdigest()[:8]}"


def sha256(data: bytes) -> str:
    """The bytes' hash, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def key(**parts: Any) -> str:
    """A hash of everything that a result depends on, 32 hexadecimal digits, whatever the order of the names."""
    return sha256(_to_text(parts).encode())[:32]


_to_text = json.JSONEncoder(sort_keys=True, ensure_ascii=True).encode


def seed_for(run_seed: int, pair_id: str) -> int:
    """A pair's own seed, 0 to 2**63 - 1: from the run's seed and the id alone, so it is never the benchmark's own."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}\n{pair_id}".encode()).digest()[:8], "big") >> 1


class RunDir:
    """The paths of one run and what has been done in it."""

    def __init__(self, root: Path):
        self.root = root
        self.config = root / "config.yaml"
        self.environment = root / "environment.json"
        self.pairs = root / "pairs.jsonl"
        self.checked = root / "checked.txt"
        self.manifest = root / "manifest.jsonl"
        self.logs = root / "logs"
        self._parts = root / "parts"

    def refuse_unwritable(self) -> None:
        """See, without writing, that a launch can work here.

        Raises:
            UsageError: it can't.
        """
        refuse_unwritable(self.root, *(self.root / name for name in ("sources", "images", "parts", "scores", "logs")))

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.root.resolve().name

    def source(self, pair_id: str) -> Path:
        """Where the pair's decoded source image stands."""
        return self.root / "sources" / f"{file_stem(pair_id)}.png"

    def has_source(self, pair_id: str) -> bool:
        """Whether there is a file."""
        # neither Path nor stat, which take twice as long, and a resume asks of each pair
        return os.access(f"{self.root}/sources/{file_stem(pair_id)}.png", os.F_OK)

    def image(self, pair_id: str) -> Path:
        """Where the pair's edited image stands."""
        return self.root / "images" / f"{file_stem(pair_id)}.png"

    def scores(self, name: str) -> Path:
        """Where the records of one judge stand."""
        return self.root / "scores" / f"{name}.jsonl"

    def protocol(self, name: str) -> Path:
        """Beside the scores: how they were made, readable."""
        return self.root / "scores" / f"{name}.yaml"

    def score_names(self) -> list[str]:
        """The names of all score files, finished or begun, sorted."""
        return sorted(path.stem for path in (self.root / "scores").glob("*.yaml"))

    def lease(self, stage: str) -> Lease:
        """What keeps a second launch from working on the same stage at once."""
        return Lease(self.root / f"{stage}.lease")

    def next_launch(self, stage: str) -> int:
        """A number for a new launch, above those whose parts are here: a clock may jump back."""
        return 1 + max((int(path.name.rsplit(".", 3)[1]) for path in self._stage_parts(stage)), default=0)

    def part(self, stage: str, launch: int, rank: int) -> Part:
        """A new part for this process, of the stage `edit` or `score-<name>`."""
        return Part(self._parts / f"{stage}.{launch:06d}.{rank:05d}.jsonl")

    def read_pairs(self) -> list[Pair]:
        """The pairs that the run is about, in benchmark order.

        Raises:
            UsageError: nothing was edited here yet.
        """
        pairs = list(read_records(self.pairs, Pair))
        if not pairs:
            raise self.is_empty()
        return pairs

    def is_empty(self) -> UsageError:
        """Says that nothing was edited here, and which runs there are."""
        parent = self.root.parent
        found = sorted(path.parent.name for path in parent.glob("*/pairs.jsonl"))
        return UsageError(
            f"no pairs.jsonl in {self.root}: nothing was edited there yet; runs in {parent}: "
            f"{', '.join(found) or 'none'}; make one: bash launch.sh --run_dir {self.root}"
        )

    def pairs_marked(self, marks: bytes) -> Iterator[Pair]:
        """Those marked, one at a time: a byte a line of pairs.jsonl, which this launch found sound or wrote, 0 or 1."""
        with self.pairs.open("rb") as file:
            for line in compress(file, marks):
                yield Pair.from_json(line.decode())

    def records(self, kind: type[R], stage: str, merged: Path) -> RecordFiles[R]:
        """All that a stage recorded, a pair's newest last: what was merged, then its parts from old to new launches."""
        return RecordFiles(kind, (merged, *self._stage_parts(stage)))

    def latest(self, kind: type[R], stage: str, merged: Path) -> dict[str, R]:
        """By pair id, the newest record of a stage."""
        with self.records(kind, stage, merged) as records:
            return {record.pair_id: record for _, record in records}

    def merge(self, kind: type[R], stage: str, merged: Path) -> bytes:
        """Write the newest of the stage's records in benchmark order to one file, and only then drop its parts.

        Returns:
            Which pairs have one, a byte a pair, 0 or 1.
        """
        parts = self._stage_parts(stage)
        with RecordFiles(kind, (merged, *parts)) as records:
            newest = records.newest()
            found = [newest.get(pair.pair_id) for pair in read_records(self.pairs, Pair)]
            places = array("Q", (place for place in found if place is not None))
            write_lines(merged, lambda: map(records.line, places))
        for path in parts:  # not what is there by now: a network disk may show another machine's part late
            path.unlink()
        if self._parts.exists() and not any(self._parts.iterdir()):
            self._parts.rmdir()
        return bytes(place is not None for place in found)

    def _stage_parts(self, stage: str) -> list[Path]:
        # not glob: a stage's name may hold a judge's name, and that any character
        if not self._parts.exists():
            return []
        return sorted(
            path
            for path in self._parts.iterdir()
            if path.name.rsplit(".", 3)[0] == stage and not path.name.startswith(".nfs")
        )

    def remove_torn(self) -> None:
        """Remove what a crash left of images that were being written; for the launch that holds the edit stage."""
        for folder in (self.root / "sources", self.root / "images"):
            if folder.exists():
                with os.scandir(folder) as entries:
                    torn = [
                        entry.path for entry in entries if entry.name.startswith(".") and entry.name.endswith(".tmp")
                    ]
                for path in torn:
                    Path(path).unlink(missing_ok=True)

    def write_environment(self, now: Mapping[str, Any]) -> None:
        """Write down what the run is made on; what it was made on before, if that was something else, stays beside."""
        *earlier, before = self.made_on() or [{}]
        if before and before != now:
            changed = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
            log.warning("%s was made with other %s before: both stand in it.", self.environment, ", ".join(changed))
            earlier = [*earlier, before]
        row = {**now, "earlier": earlier} if earlier else now
        write_atomic(self.environment, json.dumps(row, indent=2).encode())

    def made_on(self) -> list[dict[str, Any]]:
        """What the run was made on, the last launch's last; empty before anything was loaded."""
        if not self.environment.exists():
            return []
        last: dict[str, Any] = json.loads(self.environment.read_text(encoding="utf-8"))
        return [*last.pop("earlier", []), last]

    def has_image(self, edit: Edit) -> bool:
        """Whether the edit's image is there, byte for byte as recorded."""
        return edit.image is not None and is_file(f"{self.root}/{edit.image}", edit.sha256)


def environment(device_names: Iterable[str]) -> dict[str, Any]:
    """What a reader needs to judge the run's numbers by: versions, devices, commit; nothing else of the machine."""
    import platform
    from importlib import metadata

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None  # a checkout may run without being installed

    packages = ("editbench", "torch", "torchvision", "diffusers", "transformers", "accelerate", "pillow", "numpy")
    commit = subprocess.run(
        ["git", "-C", Path(__file__).parent, "rev-parse", "--verify", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "packages": {name: version(name) for name in packages},
        "devices": sorted(set(device_names)),
        "commit": commit.stdout.strip() or None,
    }
