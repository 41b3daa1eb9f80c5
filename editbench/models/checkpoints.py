"""Where a model's files are: a hub id, a local directory, or something that the package itself ships."""

import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from editbench.errors import UsageError

_SHIPPED = "editbench:"
_PACKAGE = Path(__file__).parents[1]
_SINGLE = ("model.safetensors", "diffusion_pytorch_model.safetensors")
_INDEXES = tuple(f"{name}.index.json" for name in _SINGLE)
_WEIGHT_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_CONFIGS = (".json", ".jinja", ".txt", ".model")
_WITHOUT_WEIGHTS = ("Tokenizer", "TokenizerFast", "Processor", "Extractor", "Scheduler")
_POINTER = b"version https://git-lfs"
_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit
_LARGEST_CONFIG = 2**25  # bytes; a tokenizer takes some 11 million
_SAMPLE_BYTES, _MOST_SAMPLES = 256, 2000


def locate(model: str) -> str:
    """The name that `from_pretrained` takes: `editbench:demo/editor` becomes a path, anything else stays as it is."""
    return str(_PACKAGE / model.removeprefix(_SHIPPED)) if model.startswith(_SHIPPED) else model


def model_name(model: str) -> str:
    """How people call it: the last part of a hub id or a path; `demo-editor` for `editbench:demo/editor`."""
    if model.startswith(_SHIPPED):
        return model.removeprefix(_SHIPPED).replace("/", "-")
    return Path(model).name


def check_checkpoint(model: str, index: str, *, option: str, revision: str | None = None) -> None:
    """See from indexes and headers that a model can be loaded; what the hub has still to send is left to the hub.

    Args:
        model: as the user gave it.
        index: the file that such a checkpoint must hold: `config.json` or `model_index.json`.
        option: how the user names the setting, for the message.
        revision: a commit of the hub's repository, if the user gave one.

    Raises:
        UsageError: a directory that is none or lacks its index, or weights that are missing, cut off, only pointers of
            git-lfs or only pickles.
    """
    path = Path(locate(model))
    looks_local = model.startswith((_SHIPPED, ".", "/", "~")) or path.exists() or model.count("/") != 1
    where = f"{option} {model}"
    if not looks_local:
        folder = model_folder(model, revision, index)
        if folder is not None:
            for file in _weight_files(folder):  # a file that is not in the cache yet is the hub's to send
                _header(file, where)
        return
    if not path.is_dir():
        raise UsageError(f"{where}: no such directory, and not a hub id (owner/name) either")
    if not (path / index).is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise UsageError(f"{where}: no {index} there (found: {found}); name the checkpoint's own directory")
    if revision is not None:
        raise UsageError(f"{where}: a directory has no revision {revision}; leave it out, or name the hub's model")
    parts = _parts_with_weights(path, where) if index == "model_index.json" else [path]
    for part in parts:
        _check_weights(part, where)


def _parts_with_weights(folder: Path, where: str) -> list[Path]:
    """Folders of a pipeline's parts that are models, by its index."""
    parts: list[Path] = []
    for name, kind in read_json(folder / "model_index.json", where).items():
        if not isinstance(kind, list) or len(cast(list[Any], kind)) != 2 or None in kind:
            continue
        if not (folder / name).is_dir():
            raise UsageError(f"{where}: its model_index.json names the part {name}, and there is no such folder")
        if (folder / name / "config.json").is_file() and not str(cast(list[Any], kind)[1]).endswith(_WITHOUT_WEIGHTS):
            parts.append(folder / name)
    return parts


def _check_weights(folder: Path, where: str) -> None:
    indexes = [folder / name for name in _INDEXES if (folder / name).is_file()]
    single = [folder / name for name in _SINGLE if (folder / name).is_file()]
    if not indexes and not single:
        found = sorted(path.name for path in folder.iterdir() if path.suffix in _WEIGHT_ENDINGS)
        if found and not any(name.endswith(".safetensors") for name in found):
            why = f"only pickled weights ({', '.join(found[:3])}), which are never read: get or convert to .safetensors"
        else:
            why = f"no {' or '.join(_SINGLE)} and no index of shards" + (
                f" (found: {', '.join(found[:3])})" * bool(found)
            )
        raise UsageError(f"{where}: {folder} holds {why}")
    files = single[:1]
    if not single:
        shards: Any = read_json(indexes[0], where).get("weight_map")
        if not isinstance(shards, dict):
            raise UsageError(f"{where}: {indexes[0]} has no weight_map; fetch the file again")
        files = [folder / str(name) for name in dict.fromkeys(cast(dict[str, Any], shards).values())]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"{where}: {len(missing)} of the {len(files)} files of weights that {indexes[0]} names are missing, such "
            f"as {missing[0]}; fetch the checkpoint again"
        )
    for file in files:
        _header(file, where)


def read_json(path: Path, where: str) -> dict[str, Any]:
    """A checkpoint's own JSON object.

    Raises:
        UsageError: it is none, or a pointer of git-lfs.
    """
    data = path.read_bytes()
    if data.startswith(_POINTER):
        raise UsageError(f"{where}: {_is_a_pointer(path)}")
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {path} is not JSON ({error}); fetch the file again") from error
    if not isinstance(row, dict):
        raise UsageError(f"{where}: {path} is not a JSON object; fetch the file again")
    return cast(dict[str, Any], row)


class Entry(NamedTuple):
    """A tensor in a safetensors file."""

    dtype: str
    """As the format writes it, such as `BF16`."""
    shape: tuple[int, ...]
    begin: int
    """First byte in the file."""
    end: int
    """The byte after its last."""


class Header(NamedTuple):
    """What stands before the numbers of a safetensors file."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]
    sha256: str
    """Of the header's bytes."""


def safetensors_header(path: Path) -> Header:
    """Read the header of a safetensors file, and see that the file is as long as it says.

    Raises:
        ValueError: the file is none, cut off, or a pointer of git-lfs; says what to do, without the file's setting.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start and _POINTER.startswith(start):
            raise ValueError(_is_a_pointer(path))
        length = int.from_bytes(start, "little")
        if size < 8 or not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"{path} ({size:,} bytes) is not a safetensors file, or is cut off; fetch it again")
        data = file.read(length)
    try:
        row = json.loads(data)
        metadata = row.pop("__metadata__", {})
        tensors = {
            name: Entry(entry["dtype"], tuple(entry["shape"]), *(8 + length + at for at in entry["data_offsets"]))
            for name, entry in row.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has no readable safetensors header; fetch it again") from error
    expected = max((entry.end for entry in tensors.values()), default=8 + length)
    if size != expected:
        kind = "is cut off" if size < expected else "has more bytes than its header says"
        raise ValueError(f"{path} {kind}: {size:,} bytes, expected {expected:,}; fetch it again")
    return Header(tensors, metadata, hashlib.sha256(data).hexdigest())


def _header(path: Path, where: str) -> Header:
    try:
        return safetensors_header(path)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def _is_a_pointer(path: Path) -> str:
    return f"{path} is a git-lfs pointer and not the file itself; run `git lfs pull` in that repository"


def model_folder(model: str, revision: str | None, index: str) -> Path | None:
    """The folder of a local checkpoint, or of the hub's snapshot where the cache has one; None: nothing is here yet."""
    found = small_file(model, revision, index, ask_hub=False)
    return None if found is None else found.parent


def _weight_files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")})


@cache  # a stage asks more than once, and of the hub each time would be a request
def _commit_of(model: str, revision: str | None, index: str) -> str | None:
    found = small_file(model, revision, index)
    # by the cache's own layout: `…/snapshots/<commit>/<index>`
    return None if found is None else found.parents[len(Path(index).parts) - 1].name


def identity(model: str, revision: str | None, index: str, *, option: str) -> dict[str, str]:
    """What a checkpoint holds, so that other weights under the same name are noticed.

    Of the hub's models it is the commit. Of a directory it is a hash of its configuration files, the headers and sizes
    of its safetensors files, and 256 bytes from the middle of up to 2,000 tensors of each: a fine-tuned model has the
    same header and size as the one that it came from. No more than 1 MB is read of any file of weights.

    Args:
        model: as the user gave it.
        revision: of a hub id.
        index: `config.json` or `model_index.json`.
        option: how the user names the setting, for the message.

    Returns:
        `{"revision": commit}` or `{"weights": hash}`; empty where the hub has neither sent the index nor answers, and
        the load will fail.

    Raises:
        UsageError: a file of weights is broken.
    """
    folder = Path(locate(model))
    if not folder.is_dir():
        commit = _commit_of(model, revision, index)
        return {} if commit is None else {"revision": commit}
    hashed = hashlib.sha256()
    small = (path for pattern in ("*", "*/*") for ending in _CONFIGS for path in folder.glob(pattern + ending))
    for path in sorted(small):
        if path.stat().st_size <= _LARGEST_CONFIG:
            hashed.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            hashed.update(hashlib.sha256(path.read_bytes()).digest())
    for path in _weight_files(folder):
        hashed.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        hashed.update(sampled(path, f"{option} {model}"))
    return {"weights": hashed.hexdigest()[:32]}


def sampled(path: Path, where: str) -> bytes:
    """A hash of a safetensors file's header and size and of 256 bytes from the middle of up to 2,000 tensors.

    Raises:
        UsageError: the file is broken.
    """
    header = _header(path, where)
    hashed = hashlib.sha256(f"{header.sha256} {path.stat().st_size}".encode())
    entries = sorted(header.tensors.values(), key=lambda entry: entry.begin)
    with path.open("rb") as file:
        for entry in entries[:: -(-len(entries) // _MOST_SAMPLES) or 1]:
            middle = (entry.begin + entry.end) // 2
            file.seek(max(entry.begin, middle - _SAMPLE_BYTES // 2))
            hashed.update(file.read(min(_SAMPLE_BYTES, entry.end - entry.begin)))
    return hashed.digest()


def file_sha256(path: Path) -> str:
    """The file's hash, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def layer_shapes(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """By layer of a model's folder, the shape of its weight, from the headers of its files.

    Returns:
        None where a file that the index names is not there.
    """
    index = next((folder / name for name in _INDEXES if (folder / name).is_file()), None)
    files = {folder / name for name in _SINGLE if (folder / name).is_file()}
    if index is not None:
        files = {folder / name for name in read_json(index, str(folder)).get("weight_map", {}).values()}
    if not files or not all(file.is_file() for file in files):
        return None
    return {
        name.removesuffix(".weight"): entry.shape
        for file in files
        for name, entry in _header(file, str(folder)).tensors.items()
        if name.endswith(".weight")
    }


@contextmanager
def loading(model: str) -> Generator[None]:
    """Around what loads a model: that the hub does not give it is the user's to mend, and told in a few words.

    Args:
        model: as the user gave it.

    Raises:
        UsageError: the hub can't be reached, does not know the model or does not give it to this user.
    """
    try:
        yield
    except OSError as error:
        if Path(locate(model)).is_dir() or error.errno is not None:
            raise
        cause = error.__cause__ or error.__context__ or error  # the libraries' own words are of their caches
        said = " ".join(str(cause).split())[:300]
        raise UsageError(
            f"{model} is not on this machine, and the hub does not give it ({type(cause).__name__}: {said}). Where "
            f"there is a connection: hf download {model}, after hf auth login if it is gated or private; the files "
            "lie below HF_HOME. Then give the same command again; HF_HUB_OFFLINE=1 keeps it from asking the hub."
        ) from error


def weight_bytes(model: str, revision: str | None, item_bytes: int) -> int | None:
    """What a transformers checkpoint takes once it is loaded, from its config and index alone.

    Args:
        model: as the user gave it.
        revision: of a hub id.
        item_bytes: of a weight as it will be loaded; the files may hold another type.

    Returns:
        Bytes; None where the files are not there and the hub does not answer.

    """
    config = small_file(model, revision, "config.json")
    index = small_file(model, revision, "model.safetensors.index.json")
    if config is None:
        return None
    if index is not None:
        total: int = json.loads(index.read_text(encoding="utf-8"))["metadata"]["total_size"]
    else:
        weights = list(config.parent.glob("*.safetensors"))
        if not weights:
            return None
        total = sum(path.stat().st_size for path in weights)
    row = json.loads(config.read_text(encoding="utf-8"))
    held = row.get("dtype") or row.get("torch_dtype") or row.get("text_config", {}).get("dtype")
    return total * item_bytes // (4 if held == "float32" else 2)


def small_file(model: str, revision: str | None, name: str, *, ask_hub: bool = True) -> Path | None:
    """A file of a model beside its weights, such as its config.

    Args:
        model: as the user gave it.
        revision: of a hub id.
        name: path below the model.
        ask_hub: download it where it is not in the cache; else only look there.

    Returns:
        None where there is none, or the hub does not answer.
    """
    folder = Path(locate(model))
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, name, revision=revision, local_files_only=not ask_hub))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError):
        return None  # whoever loads the model says more
