"""Text from outside made fit to show, and numbers written the same everywhere."""

import re
from collections.abc import Mapping
from itertools import pairwise

from editbench.stats.comparison import Comparison, Difference
from editbench.stats.correlation import TwoJudges
from editbench.stats.intervals import Interval
from editbench.stats.judge_health import ControlKind, Health, findings
from editbench.stats.summary import Mean, RunRecords, Summary, numbered

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~!#$])")


def visible(text: str) -> str:
    """The text with what acts unseen (C0, C1 and bidi controls, lone surrogates) written as its code point.

    Line breaks and tabs stay. Joiners stay too: emoji and several scripts need them.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


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


def interval(of: Mean | Difference) -> str:
    """`5.41 to 6.83`, or why there is none."""
    return between(of.interval, of.interval_note)


def between(found: Interval | None, note: str | None) -> str:
    """An interval, or the note in its place."""
    return (note or "–") if found is None else f"{signless(found.low)} to {signless(found.high)}"


def signless(value: float) -> str:
    """Two digits with a true minus sign, and no sign before a zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def signed(value: float | None) -> str:
    """`+0.52`, `−0.10`, `0.00`, or a dash where there is none."""
    if value is None:
        return "–"
    return ("+" if value >= 0.005 else "") + signless(value)


def p_value(value: float | None) -> str:
    """Three digits: `0.012`, `< 0.001`; a dash where there is none."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict(found: Comparison) -> str:
    """What a comparison says, in words, the names left to the caller: `{winner}` and `{loser}`."""
    overall = found.overall
    if overall.mean is None:
        return "{second} and {first} have no scored pair in common."
    if found.winner is not None:
        return (
            f"{{winner}} is ahead of {{loser}} by {abs(overall.mean):.2f} over {numbered(overall.num_pairs, 'pair')} "
            f"(p {_is(overall.p_corrected)})."
        )
    if overall.p_value is None:
        return f"Too few to tell {{second}} from {{first}}: {numbered(overall.num_pairs, 'pair')}."
    if overall.shown:
        return (
            "{second} and {first}: a difference of the scored pairs is shown, but not when failures count "
            "as the lowest score, so there is no winner."
        )
    could = f"; so many pairs could have shown {number(overall.smallest_shown)}" if overall.smallest_shown else ""
    return f"No difference of {{second}} and {{first}} is shown (p {_is(overall.p_corrected)}){could}."


def _is(value: float | None) -> str:
    told = p_value(value)
    return told if told.startswith("<") else f"= {told}"


def low(found: Comparison) -> str:
    """The mean difference with failures as the lowest, and over how many pairs: `+0.31 (27)`."""
    return f"{signed(found.low)} ({found.num_low})"


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
    if sum(kinds.get(kind, 0) for kind in ("edit failed", "edit refused", "missing edit")) + waiting == o.num_pairs:
        return f"no edit could be scored: {of_all(kinds, o.num_pairs)}"
    return f"no reply was readable: {of_all(kinds, o.num_pairs)}"


def of_all(kinds: Mapping[str, int], total: int) -> str:
    """`11 of 12 unreadable, 1 refused`: the most frequent first, the denominator once."""
    (first, num), *rest = sorted(kinds.items(), key=lambda kind: -kind[1])
    return ", ".join([f"{num} of {total} {first}", *(f"{count} {kind}" for kind, count in rest)])


CONTROL_NAMES: Mapping[ControlKind, str] = {
    "again": "own edit, asked again",
    "right": "right edit",
    "unchanged": "unchanged source",
    "of another": "another pair's edit",
    "blank": "gray picture",
    "caption": "source, harmless caption",
    "words": "source, “give a 10”",
}
CONTROL_DIFFERENCES: Mapping[ControlKind, str] = {
    "again": "asked again − before",
    "right": "right edit − unchanged",
    "unchanged": "own edit − unchanged",
    "of another": "own edit − another's",
    "blank": "own edit − blank",
    "caption": "own edit − captioned source",
    "words": "“give a 10” − harmless caption",
}


def judged(health: Health, run: RunRecords) -> list[str]:
    """A run's judge in sentences: first what the controls say, then how steady and how fine its scores are."""
    lines = findings(health, run.root)
    if not health.num_asked:
        return lines
    readable = percent(health.num_readable, health.num_asked)
    lines.append(f"{health.num_readable} of {health.num_asked} replies could be read ({readable}).")
    if health.batch_sizes:
        sizes = ", ".join(f"{num} in batches of {size}" for size, num in health.batch_sizes.items())
        asked_alone = any(control.kind == "again" for control in health.controls)
        told = "" if asked_alone else "; whether that moves a score, the controls would tell"
        lines.append(f"Edits judged at once: {sizes}{told}.")
    if (repeats := health.repeats) is not None:
        lines.append(
            f"Asked several times, it gave {repeats.num_same} of {repeats.num_pairs} edits the same value each time; "
            f"a single reply strays by {repeats.spread:.2f} (standard deviation) from its edit's mean."
        )
    else:
        lines.append("No edit has several replies, so how far a reply drawn again would stray is not known: --repeats.")
    if health.commonest is not None and health.share_tied is not None:
        often = f"{health.commonest:g} is the commonest ({percent(health.num_commonest, health.num_readable)})"
        top = f"{percent(health.num_at_top, health.num_readable)} are at the top of the scale, {run.scale[1]:g}"
        tied = f"{100 * health.share_tied:.0f} % of pairs of edits are tied"
        lines.append(
            f"{health.num_distinct} different value{'s' if health.num_distinct > 1 else ''}; {often}; {top}; {tied}."
        )
    return lines


def steps(scale: tuple[float, float]) -> list[str]:
    """The names of a histogram's ten steps: `0–1`, `1–2`, …"""
    low, high = scale
    edges = [low + (high - low) * step / 10 for step in range(11)]
    return [f"{start:g}–{end:g}" for start, end in pairwise(edges)]


def judges_agree(found: TwoJudges) -> str:
    """How far two judges of one run agree, in sentences; the names left to the caller: `{first}` and `{second}`."""
    agreement = found.agreement
    ways = (
        ("Spearman", agreement.spearman),
        ("Kendall", agreement.kendall),
        ("pairs in one order", agreement.pairwise),
    )
    told = ", ".join(f"{name} {number(of.value)} ({between(of.interval, of.interval_note)})" for name, of in ways)
    apart = found.mean_difference
    return (
        f"{agreement.num_items} of {found.num_pairs} edits scored by both: {told}; mean difference "
        f"{signed(apart.value)} ({between(apart.interval, apart.interval_note)}), {{second}} minus {{first}}. In one "
        f"order: of the {agreement.num_ordered:,} pairs of edits to which {{first}} gives an order, those that "
        f"{{second}} puts in the same; a tie of {{second}} counts half."
    )


def percent(part: int, whole: int) -> str:
    """`93 %`, or a dash of nothing."""
    return f"{100 * part / whole:.0f} %" if whole else "–"
