"""Tables of Arrow types: Parquet and Arrow files, and data sets of the hub, with pictures as `{bytes, path}`."""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from editbench.benchmark.defects import Defects, Fields
from editbench.benchmark.texts import Items
from editbench.errors import UsageError
from editbench.installation import install

HUB = "hf:"
_HUB_NAME = re.compile(r"hf:(?P<name>[^@:]+)(@(?P<revision>[^:]+))?(:(?P<part>.+))?")
_ROWS = 16  # held at once; a row may have several pictures of some megabytes


def table_rows(path: Path, defects: Defects) -> Items:
    """The rows of a Parquet or Arrow file, numbered from 1, some at a time in memory.

    Raises:
        UsageError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UsageError(f"{path}: pyarrow reads such a file and is missing: {install('parquet')}") from error
    number = 0
    try:
        for batch in _parquet(path) if path.suffix.lower() == ".parquet" else _arrow(path):
            for row in batch.to_pylist():
                number += 1
                yield number, Fields(row)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        wrong = f"cannot be read as {path.suffix[1:].capitalize()} ({str(error)[:200]}); download or write it again"
        defects.add(wrong, number or None, file=path)


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS)


def _arrow(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            reader: Any = pa.ipc.open_stream(file)
            batches: Iterator[Any] = iter(reader)
        except pa.ArrowInvalid:
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        for batch in batches:
            yield from (batch.slice(start, _ROWS) for start in range(0, batch.num_rows, _ROWS))


def hub_rows(name: str, *, offline: bool) -> Items:
    """The rows of a data set of the hub, numbered from 1.

    Args:
        name: `hf:owner/name[@revision][:split]` or `…:config/split`.
        offline: read it from the cache alone.

    Raises:
        UsageError: the name cannot be meant, there is no such split, or the hub does not give it.
    """
    data = _load(name, offline=offline)
    number = 0
    for table in data.with_format("arrow").iter(batch_size=_ROWS):
        for row in table.to_pylist():
            number += 1
            yield number, Fields({column: _embedded(value) for column, value in row.items()})


def hub_name(name: str) -> str:
    """The data set's own name, without owner.

    Raises:
        UsageError: it is no name of a data set.
    """
    return _parts(name)["name"].rpartition("/")[2]


def _parts(name: str) -> dict[str, Any]:
    found = _HUB_NAME.fullmatch(name)
    if found is None or found["name"].count("/") != 1:
        raise UsageError(f"--benchmark {name}: give hf:owner/name[@revision][:split] or hf:owner/name:config/split")
    return found.groupdict()


@functools.lru_cache(4)
def _load(name: str, *, offline: bool) -> Any:
    try:
        import datasets
        import datasets.config
        from huggingface_hub import constants
    except ImportError as error:
        raise UsageError(f"--benchmark {name}: datasets reads the hub and is missing: {install('hub')}") from error
    parts = _parts(name)
    config, _, split = (parts["part"] or "").rpartition("/")
    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if offline:  # both read the environment once, when they are imported
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True  # pyright: ignore[reportConstantRedefinition]
    try:
        datasets.disable_progress_bars()
        found: Any = datasets.load_dataset(parts["name"], config or None, revision=parts["revision"])
    except Exception as error:
        raise _not_given(name, parts["name"], error, offline=offline) from error
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before  # pyright: ignore[reportConstantRedefinition]
    there = list(found)
    if not split and len(there) == 1:
        split = there[0]
    if parts["revision"]:
        _check_revision(name, parts["revision"], found[there[0]])
    if split not in there:
        what = f"has no split {split}" if split else "has several splits"
        raise UsageError(
            f"--benchmark {name}: {what}; name one of {', '.join(there)}: {name.partition(':')[0]}:"
            f"{parts['name']}:{config + '/' if config else ''}{there[0]}"
        )
    return found[split]


def _check_revision(name: str, revision: str, data: Any) -> None:
    """See that the cache, which is read where the hub is away, did not give another commit than was asked for."""
    held = set(re.findall(r"@([0-9a-f]{40})/", " ".join(data.info.download_checksums or {})))
    if held and re.fullmatch("[0-9a-f]{7,40}", revision) and not any(sha.startswith(revision) for sha in held):
        raise UsageError(f"--benchmark {name}: the cache holds commit {min(held)}, and the hub gives no other now")


def _not_given(name: str, repository: str, error: Exception, *, offline: bool) -> UsageError:
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if offline or os.environ.get("HF_HUB_OFFLINE") == "1":
        return UsageError(
            f"--benchmark {name} is not in this machine's cache, and the hub is not asked here ({said}). Where there "
            f"is a connection: hf download {repository} --repo-type dataset, or the same command without --check"
        )
    return UsageError(
        f"--benchmark {name} cannot be had ({said}). Where there is a connection: hf download {repository} --repo-type "
        "dataset, after hf auth login if it is gated or private; then give --benchmark the folder that it names"
    )


def _embedded(value: Any) -> Any:
    """A value whose pictures that lie in the cache are read: a hub's folder of images gives them by absolute path."""
    if isinstance(value, list):
        return [_embedded(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict) and value.keys() == {"bytes", "path"} and value["bytes"] is None and value["path"]:  # pyright: ignore[reportUnknownMemberType]
        from huggingface_hub import constants

        path = os.path.realpath(str(value["path"]))  # pyright: ignore[reportUnknownArgumentType]
        if path.startswith(os.path.join(os.path.realpath(constants.HF_HOME), "")) and os.path.isfile(path):
            return {"bytes": Path(path).read_bytes(), "path": None}
    return value  # pyright: ignore[reportUnknownVariableType]
