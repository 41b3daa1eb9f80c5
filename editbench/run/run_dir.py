"""A run directory: its paths, the parts that its ranks append to, and what in them still counts."""

import hashlib
import json
import logging
import os
import re
import subprocess
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from editbench.errors import UsageError
from editbench.installation import command
from editbench.records import Edit, Pair, Record
from editbench.run.durable import (
    Part,
    R,
    is_file,
    read_records,
    refuse_unwritable,
    write_atomic,
    write_records,
)
from editbench.run.lease import Lease

log = logging.getLogger(__name__)

Identity = tuple[str, int]
"""Of an edit or a score: the pair's id and the try."""

_STEM_BYTES = 120  # a file name may have 255 bytes; ".png", a temporary name and a hash need some of them
_UNSAFE = re.compile(r"[^\w.()+,=@ -]")
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_OF_SEVERAL = re.compile(r".*\.(try|turn)?\d+", re.IGNORECASE | re.DOTALL)  # "a.2" names the second source of "a"
_HALF_KEY = 16


def file_stem(pair_id: str) -> str:
    """The pair's file name without extension: its id where any file system takes that, else a slug with a hash.

    The result has 1 to 129 bytes in UTF-8, no separator, no leading dot and no control character.
    """
    stem = unicodedata.normalize("NFC", pair_id)
    slug = _UNSAFE.sub("_", stem).strip(". ") or "_"
    slug = slug.encode()[:_STEM_BYTES].decode(errors="ignore")
    if slug == stem and not _DEVICE_NAME.fullmatch(slug) and not _OF_SEVERAL.fullmatch(slug):
        return slug
    return f"{slug}-{hashlib.sha256(pair_id.encode()).hexdigest()[:8]}"


def sha256(data: bytes) -> str:
    """The bytes' hash, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def key(**parts: Any) -> str:
    """A hash of everything that a result depends on, 32 hexadecimal digits, whatever the order of the names."""
    return sha256(_to_text(parts).encode())[:32]


_to_text = json.JSONEncoder(sort_keys=True, ensure_ascii=True).encode


def seed_for(run_seed: int, pair_id: str, try_: int = 0) -> int:
    """The seed of one try of a pair, 0 to 2**63 - 1: from the run's seed, the id and the try, never the benchmark's."""
    text = f"{run_seed}\n{pair_id}" + (f"\0{try_}" if try_ else "")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def edit_key(pair: Pair, **how: Any) -> str:
    """What an edit depends on, hashed: the first half of the pair alone, the second of how it is made."""
    return _asked(pair) + key(**how)[:_HALF_KEY]


def _asked(pair: Pair) -> str:
    return key(sources=pair.sources_sha256, instruction=pair.instruction, turns=pair.turns)[:_HALF_KEY]


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
        refuse_unwritable(
            self.root, *(self.root / name for name in ("sources", "references", "images", "parts", "scores", "logs"))
        )

    def refuse_another_folder(self) -> None:
        """See that the directory is a run, or empty, or not there yet.

        Raises:
            UsageError: it holds other files, which a run could overwrite.
        """
        is_run = self.config.exists() and (self.pairs.exists() or self.manifest.exists())
        if is_run or not self.root.is_dir():
            return
        # what a launch leaves that ended before it wrote what the run is about
        known = {"logs", "parts", "edit.lease", "edit.lease.taken", self.config.name, f".{self.config.name}.tmp"}
        known |= {f".{self.pairs.name}.tmp", "sources", "references", self.pairs.name}
        if found := sorted(path.name for path in self.root.iterdir() if path.name not in known):
            some = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise UsageError(
                f"{self.root} holds files and is no run ({some}), and a run would write among them; give --run_dir an "
                "empty or a new directory"
            )

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.root.resolve().name

    def source(self, pair_id: str, index: int = 0) -> Path:
        """Where one of the pair's decoded source images stands; `index` counts from 0."""
        return self.root / "sources" / f"{file_stem(pair_id)}{f'.{index + 1}' if index else ''}.png"

    def reference(self, pair_id: str, name: str) -> Path:
        """Where one of the pair's decoded pictures for the judge stands."""
        return self.root / "references" / f"{file_stem(pair_id)}.{name}.png"

    def has_pictures(self, pair: Pair) -> bool:
        """Whether all decoded sources and references of the pair are there."""
        stem = f"{self.root}/sources/{file_stem(pair.pair_id)}"
        # os.access takes half the time of Path or stat, and a resume asks of each pair
        return (
            os.access(f"{stem}.png", os.F_OK)
            and all(os.access(f"{stem}.{number}.png", os.F_OK) for number in range(2, len(pair.sources) + 1))
            and all(os.access(self.reference(pair.pair_id, name), os.F_OK) for name in pair.references)
        )

    def image(self, pair_id: str, try_: int = 0) -> Path:
        """Where the edited image of one of the pair's tries stands."""
        return self.root / "images" / f"{file_stem(pair_id)}{f'.try{try_}' if try_ else ''}.png"

    def step(self, pair_id: str, try_: int, turn: int) -> Path:
        """Where the image after one of several turns stands, but for the last turn's; `turn` counts from 1."""
        image = self.image(pair_id, try_)
        return image.with_name(f"{image.stem}.turn{turn}.png")

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
            f"{', '.join(found) or 'none'}; make one: {command('run', '--run_dir', self.root)}"
        )

    def latest(self, kind: type[R], stage: str, merged: Path) -> dict[Identity, R]:
        """The newest record of each pair and try: from the stage's parts, else from its merged file."""
        return _newest(kind, (merged, *self._stage_parts(stage)))

    def edits(self, pairs: Iterable[Pair]) -> dict[Identity, Edit]:
        """The newest edits of these pairs, without those of other sources or another instruction than the pair has now.

        Whether an edit's image is still there as recorded is not looked at; see `has_image`.
        """
        now = {pair.pair_id: _asked(pair) for pair in pairs}
        found = self.latest(Edit, "edit", self.manifest)
        return {
            name: edit for name, edit in found.items() if edit.key[:_HALF_KEY] == now.get(edit.pair_id, "no such pair")
        }

    def merge(self, kind: type[R], stage: str, merged: Path) -> dict[Identity, R]:
        """Write the newest of the stage's records in benchmark order, then by try, to one file; then remove its parts.

        Returns:
            Those records.
        """
        parts = self._stage_parts(stage)
        newest = _newest(kind, (merged, *parts))
        tries: dict[str, list[int]] = {}
        for pair_id, try_ in newest:
            tries.setdefault(pair_id, []).append(try_)
        pairs = dict.fromkeys(pair.pair_id for pair in read_records(self.pairs, Pair))
        order = [(pair_id, try_) for pair_id in pairs for try_ in sorted(tries.get(pair_id, ()))]
        found = {name: newest[name] for name in order}
        write_records(merged, found.values())
        for path in parts:  # not what is there by now: a network disk may show another machine's part late
            path.unlink()
        if self._parts.exists() and not any(self._parts.iterdir()):
            self._parts.rmdir()
        return found

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
        for folder in (self.root / "sources", self.root / "references", self.root / "images"):
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
        """Whether the edit's image is there, byte for byte as recorded, and the images of its steps are."""
        return (
            edit.image is not None
            and all(os.access(f"{self.root}/{step}", os.R_OK) for step in edit.steps)
            and is_file(f"{self.root}/{edit.image}", edit.sha256)
        )


def _newest(kind: type[R], paths: Sequence[Path]) -> dict[Identity, R]:
    """The last record of each pair and try, of files from old to new."""
    found: dict[Identity, R] = {}
    # from the newest: a launch that ends meanwhile moves its parts into the first file
    for path in reversed(paths):
        found = {_identity(record): record for record in read_records(path, kind)} | found
    return found


def _identity(record: Record) -> Identity:
    return record.pair_id, getattr(record, "try_", 0)


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
