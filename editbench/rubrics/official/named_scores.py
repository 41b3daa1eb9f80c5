"""What KRIS-Bench and WiseEdit share: JSON with scores by name, which judges also write as broken JSON or as prose."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from editbench.rubrics.readers import Key, read_json, set_aside
from editbench.rubrics.rubric import Reading


def read_scores(reply: str, names: Sequence[str], *, low: float, high: float, any_prefix: bool = False) -> Reading:
    """Read a whole number for each name; never raises.

    From a JSON object with these keys, where a number may stand in quotes. Where there is none: from the one place of
    each name with a colon and a number after it, whatever stands round it; of a single name that stands nowhere, from
    the one `4/5` or `4 out of 5` with `high` below. A lone digit is never a score.

    Args:
        reply: the judge's words; hostile.
        names: the keys, which are the dimensions of the numbers, such as `consistency_score`.
        low: the least number, included.
        high: the greatest number, included.
        any_prefix: a longer key that ends in the name, such as `quality_score` in `score`, is the name too.
    """
    keys = {name: Key(low=low, high=high, whole=True, quoted=True) for name in names}
    reading = read_json(reply, keys, partial=True)
    if reading.failure != "unreadable" or reading.numbers is not None:
        return reading
    text, notes = set_aside(reply)
    found: dict[str, str] = {}
    out_of = rf"\s*+(?:/|out of)\s*+{high:g}(?!\.?\d)"
    number = r"(-?\d+(?:\.\d+)?)(?!\.?\d)"
    for name in names:
        label = (r"(?:\w*_)?" if any_prefix else "") + r"[_\s]*".join(map(re.escape, name.split("_")))
        form = rf"""(?<!\w){label}["'`*]*\s*[:：]["'`*\s]*+{number}(?:{out_of})?(?!\s*[-–/]\s*\d)"""
        said = re.findall(form, text, re.IGNORECASE | re.ASCII)
        if not said and len(names) == 1 and not re.search(rf"(?<!\w){label}\W*[:：]", text, re.IGNORECASE):
            said = re.findall(rf"(?<![\d./-]){number}{out_of}", text, re.IGNORECASE | re.ASCII)
        if len(said) == 1:
            found[name] = said[0]
    if not found:
        return reading
    read = read_json(json.dumps(found), keys, partial=True)
    return replace(read, notes=(*notes, "read from prose or broken JSON"))
