"""Where a model's files are: a hub id, a local directory, or something that the package itself ships."""

from pathlib import Path

from editbench.errors import UsageError

_SHIPPED = "editbench:"
_PACKAGE = Path(__file__).parent


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
