"""Where a model's files are: a hub id, a local directory, or something that the package itself ships."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from editbench.errors import UsageError

_SHIPPED = "editbench:"
_PACKAGE = Path(__file__).parents[1]


def locate(model: str) -> str:
    """The name that `from_pretrained` takes: `editbench:demo/editor` becomes a path, anything else stays as it is."""
    return str(_PACKAGE / model.removeprefix(_SHIPPED)) if model.startswith(_SHIPPED) else model


def model_name(model: str) -> str:
    """How people call it: the last part of a hub id or a path; `demo-editor` for `editbench:demo/editor`."""
    if model.startswith(_SHIPPED):
        return model.removeprefix(_SHIPPED).replace("/", "-")
    return Path(model).name


def check_checkpoint(model: str, index: str, *, option: str) -> None:
    """See without reading weights that a model can be loaded; a hub id is left to the hub.

    Args:
        model: as the user gave it.
        index: the file that such a checkpoint must hold, such as `config.json`.
        option: how the user names the setting, for the message.

    Raises:
        UsageError: a directory that is none or lacks its index.
    """
    path = Path(locate(model))
    looks_local = model.startswith((_SHIPPED, ".", "/", "~")) or path.exists() or model.count("/") != 1
    if not looks_local:
        return
    if not path.is_dir():
        raise UsageError(f"{option} {model}: no such directory, and not a hub id (owner/name) either")
    if not (path / index).is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise UsageError(f"{option} {model}: no {index} there (found: {found}); name the checkpoint's own directory")


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
    config = _small_file(model, revision, "config.json")
    index = _small_file(model, revision, "model.safetensors.index.json")
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


def _small_file(model: str, revision: str | None, name: str) -> Path | None:
    folder = Path(locate(model))
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError):
        return None  # whoever loads the model will be told more
