"""How the pictures of a question are scaled for a judge: the same for a model here and for one behind a server."""

from dataclasses import replace
from typing import Any

from editbench.rubrics.rubric import Question


def scaled(question: Question, max_pixels: int, patch: int) -> Question:
    """Scale as Qwen's own recipe does, once, to whole patches, so that a processor has nothing left to scale.

    Args:
        question: its pictures at their own size.
        max_pixels: the most that one keeps.
        patch: the side of the model's patches, pixels; two of them make a token.

    """
    from qwen_vl_utils import fetch_image

    scale: Any = fetch_image  # its annotation knows no numbers, its code does
    content = [
        part if isinstance(part, str) else scale({"image": part, "max_pixels": max_pixels}, patch)
        for part in question.content
    ]
    return replace(question, content=tuple(content))
