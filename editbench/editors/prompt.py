"""An instruction as an editor's tokenizer may see it: text only, none of the tokenizer's own marks."""

import re
from collections.abc import Iterable
from typing import Any

from editbench.rubrics.rubric import MARKER


def plain(text: str, special_tokens: Iterable[str] = ()) -> str:
    """The text with each chat marker `<|…|>` and each of the special tokens replaced by a space.

    A marker such as `<|image_pad|>` in an instruction would be counted as a picture, or end the prompt. Other brackets
    stay: an instruction may ask for a sign that reads `<3` or `[SALE]`.

    Args:
        text: an instruction from the benchmark.
        special_tokens: of the model's tokenizers; those that do not open with a bracket are left alone, as some
            tokenizers pad with an ordinary character such as `!`.
    """
    names = sorted({token for token in special_tokens if token[:1] in ("<", "[")}, key=len, reverse=True)
    text = MARKER.sub(" ", text)
    return re.sub("|".join(map(re.escape, names)), " ", text) if names else text


def special_tokens(pipeline: Any) -> frozenset[str]:
    """All special and added tokens of a diffusers pipeline's tokenizers."""
    found: set[str] = set()
    for part in pipeline.components.values():
        tokenizer = getattr(part, "tokenizer", part)  # a processor holds one
        if hasattr(tokenizer, "all_special_tokens"):
            found |= {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return frozenset(found)
