"""A YAML file read as data: UTF-8, of bounded size, with a message that names the file."""

from pathlib import Path
from typing import Any

import yaml

from editbench.errors import UsageError

_MOST_BYTES = 2**20
_MOST_NODES = 100_000
"""Values in a file after its aliases are expanded: nested aliases grow without bound."""


def read_yaml(path: Path) -> Any:
    """The file's content as dicts, lists and scalars.

    Raises:
        UsageError: the file is missing, is not UTF-8 or YAML, is larger than 1 MiB, or its aliases expand to more than
            100,000 values.
    """
    try:
        data = path.read_bytes()
        if len(data) > _MOST_BYTES:
            raise UsageError(f"{path} has {len(data):,} bytes; a configuration has at most {_MOST_BYTES:,}")
        text = data.decode()
        node = yaml.compose(text, yaml.SafeLoader)
        if node is not None and _num_nodes(node, {}) > _MOST_NODES:
            raise UsageError(f"{path}: its aliases expand to more than {_MOST_NODES:,} values")
        return yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{error.strerror}: {path}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from error


def read_settings(path: Path) -> dict[str, Any]:
    """The file's content where it must be a mapping of settings; an empty file has none.

    Raises:
        UsageError: as `read_yaml` does, or the file holds something else.
    """
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds {type(content).__name__}, not settings (name: value)")
    return content


def _num_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds once aliases are expanded; a node that holds itself has no end."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _MOST_NODES + 1  # until it is counted: an alias back to it is a cycle
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    else:
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
    known[id(node)] = 1 + sum(_num_nodes(part, known) for part in inner)
    return known[id(node)]
