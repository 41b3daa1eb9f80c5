"""How the pictures of a message are scaled for a judge: the same for a model here and for one behind a server."""

import math
from dataclasses import replace
from typing import Any

from PIL.Image import Image

from editbench.judges.judge import Message

_MERGED = 2  # patches along a side that make one token
_FEWEST_TOKENS = 4
_MAX_RATIO = 200


def scaled(message: Message, patch: int) -> Message:
    """Scale as Qwen's own recipe does, once, to whole patches, so that a processor has nothing left to scale.

    A picture without limit (`max_pixels` None) stays as it is.

    Args:
        message: its pictures at their own size.
        patch: the side of the model's patches, pixels; two of them make a token.

    Raises:
        ValueError: a picture's sides differ by more than a factor of 200, or its limit is below four tokens.
    """
    limits = iter(message.max_pixels)
    content: list[Any] = []
    for part in message.content:
        limit = None if isinstance(part, str) else next(limits, None)
        content.append(part if isinstance(part, str) or limit is None else _resized(part, limit, patch * _MERGED))
    return replace(message, content=tuple(content))


def _resized(image: Image, max_pixels: int, step: int) -> Image:
    """The picture in RGB with sides of whole steps; what `qwen_vl_utils.fetch_image` gives, which would import torch.

    Args:
        image: RGB, or RGBA, which is put on white.
        max_pixels: of the result.
        step: pixels of a token's side.
    """
    if image.mode == "RGBA":
        from PIL import Image as images

        white = images.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    width, height = image.size
    if max(image.size) > _MAX_RATIO * min(image.size):
        raise ValueError(f"a picture of {width} × {height} pixels: its sides differ by more than {_MAX_RATIO} times")
    least = _FEWEST_TOKENS * step**2
    if max_pixels < least:
        raise ValueError(f"a limit of {max_pixels} pixels is below {least}, which are {_FEWEST_TOKENS} tokens")
    sides = [max(step, round(side / step) * step) for side in image.size]
    if sides[0] * sides[1] > max_pixels:
        # the product first and one root, as the recipe has it: another order rounds otherwise
        factor = math.sqrt(height * width / max_pixels)
        sides = [math.floor(side / factor / step) * step for side in image.size]
    elif sides[0] * sides[1] < least:
        factor = math.sqrt(least / (height * width))
        sides = [math.ceil(side * factor / step) * step for side in image.size]
    return image.convert("RGB").resize((sides[0], sides[1]))
