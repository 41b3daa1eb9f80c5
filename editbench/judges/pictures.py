"""How the pictures of a message are scaled for a judge: the same for a model here and for one behind a server."""

from dataclasses import replace
from typing import Any

from editbench.judges.judge import Message


def scaled(message: Message, patch: int) -> Message:
    """Scale as Qwen's own recipe does, once, to whole patches, so that a processor has nothing left to scale.

    A picture without limit (`max_pixels` None) stays as it is.

    Args:
        message: its pictures at their own size.
        patch: the side of the model's patches, pixels; two of them make a token.

    Raises:
        ValueError: a picture's sides differ by more than a factor of 200.
    """
    from qwen_vl_utils import fetch_image

    scale: Any = fetch_image  # its annotation knows no numbers, its code does
    limits = iter(message.max_pixels)
    content: list[Any] = []
    for part in message.content:
        limit = None if isinstance(part, str) else next(limits, None)
        content.append(part if limit is None else scale({"image": part, "max_pixels": limit}, patch))
    return replace(message, content=tuple(content))
