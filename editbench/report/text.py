"""Text from outside made fit to show, and numbers written the same everywhere."""

import re
import unicodedata
from collections.abc import Mapping

from editbench.summary import Mean, Summary

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~!#$])")


def visible(text: str) -> str:
    """The text with what acts unseen (C0, C1 and bidi controls, lone surrogates) written as its code point.

    Line breaks and tabs stay. Joiners stay too: emoji and several scripts need them.
    """
    return "".join(
        f"\\u{ord(character):04x}"
        if character in _BIDI or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t")
        else character
        for character in text.replace("\r\n", "\n")
    )


def one_line(text: str, limit: int | None = None) -> str:
    """`visible`, white space run together, cut at `limit` characters with an ellipsis."""
    line = " ".join(visible(text).split())
    return line if limit is None or len(line) <= limit else line[: limit - 1].rstrip() + "…"


def markdown(text: str, limit: int | None = None) -> str:
    """One line that Markdown shows as it is, also within a table's cell: no markup, HTML, image, link or mention."""
    line = one_line(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = (
        _MARKDOWN.sub(r"\\\1", line).replace("://", "&#58;//").replace("www.", "www\\.")
    )  # GitHub links bare addresses
    # it also notifies people, even through an entity: a zero-width space after the sign is what stops it
    return line.replace("@", "@\u200b")


def number(value: float | None, digits: int = 2) -> str:
    """`6.12`, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def seconds(value: float | None) -> str:
    """Three figures: `37.7`, `0.458`, `128`; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def interval(mean: Mean) -> str:
    """`5.41 to 6.83`, or why there is none."""
    if mean.interval is None:
        return mean.interval_note or "–"
    return f"{mean.interval.low:.2f} to {mean.interval.high:.2f}"


def of(mean: Mean) -> str:
    """The denominator of a mean: `25 of 30`."""
    return f"{mean.num_scored} of {mean.num_pairs}"


def not_scored(mean: Mean) -> dict[str, int]:
    """Every pair without a value, by kind, the failures first; kinds that did not occur are left out."""
    kinds = {**mean.num_failed, "not scored": mean.num_not_scored, "pending": mean.num_pending}
    return {kind: num for kind, num in kinds.items() if num}


def counted(kinds: Mapping[str, int]) -> str:
    """`2 refused, 1 unreadable`; a dash for none."""
    return ", ".join(f"{num} {kind}" for kind, num in kinds.items()) or "–"


def no_score(summary: Summary) -> str | None:
    """Why a run has no number at all, in plain words; None when it has one.

    Such as `no reply was readable: 12 of 12 unreadable`.
    """
    o = summary.overall
    if o.num_scored:
        return None
    if not o.num_pairs:
        return "there are no pairs"
    kinds = not_scored(o)
    waiting = o.num_pending + o.num_not_scored
    if waiting == o.num_pairs:
        return f"nothing was scored yet: {counted(kinds)}"
    if kinds.get("edit failed", 0) + kinds.get("missing edit", 0) + waiting == o.num_pairs:
        return f"no edit could be scored: {of_all(kinds, o.num_pairs)}"
    return f"no reply was readable: {of_all(kinds, o.num_pairs)}"


def of_all(kinds: Mapping[str, int], total: int) -> str:
    """`11 of 12 unreadable, 1 refused`: the most frequent first, the denominator once."""
    (first, num), *rest = sorted(kinds.items(), key=lambda kind: -kind[1])
    return ", ".join([f"{num} of {total} {first}", *(f"{count} {kind}" for kind, count in rest)])
