"""Texts with fields of a pair in them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from editbench.records import Pair
from editbench.rubrics.rubric import quote

FIELD = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)
"""The only thing in braces that is a field; all other braces are text."""
PAIR_FIELDS = ("instruction", "rationale", "category", "description", "language", "difficulty")
"""Of every pair; beside them stand the benchmark's own, `Pair.fields`."""


def fill(text: str, pair: Pair) -> str:
    """Put the pair's texts, quoted, in place of `{instruction}` and the like; a field that the pair lacks is empty."""
    return FIELD.sub(lambda found: quote(_value(pair, found[1])), text)


def _value(pair: Pair, name: str) -> str:
    value: Any = getattr(pair, name) if name in PAIR_FIELDS else pair.fields.get(name)
    if value is None:
        return ""
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False)
    return str(value)
