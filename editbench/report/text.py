"""Text from outside made fit to show, and numbers written the same everywhere."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from editbench.stats.comparison import Comparison, Difference
from editbench.stats.correlation import TwoJudges
from editbench.stats.intervals import Interval
from editbench.stats.judge_health import Control, ControlKind, Health, findings
from editbench.stats.outcomes import RunRecords, numbered
from editbench.stats.self_preference import Preference
from editbench.stats.summary import Mean, Spent, Summary

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that a spreadsheet takes for a formula."""
_MARKDOWN = re.compile(r"([\\`*_\[\]|~!#$])")


def label(name: str) -> str:
    """A headline's, category's or dimension's name as it is shown: the benchmark's own, ours without `_`."""
    return name.replace("_", " ") if name in ("item_mean", "category_mean") else name


def inert(words: str) -> str:
    """The text for a CSV: one that a spreadsheet would run has an apostrophe before it (OWASP, CSV Injection)."""
    return f"'{words}" if words.startswith(FORMULA) else words


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


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


def spent(found: Spent) -> str:
    """`12.40 USD for 300 edits, 2 more without a price; 1,234,567 output_tokens, …`."""
    parts = [
        f"{total:,.2f} {currency}".rstrip() if total >= 1 else f"{total:.4g} {currency}".rstrip()
        for currency, total in found.prices.items()
    ]
    said = [f"{' + '.join(parts)} for {numbered(found.num_priced, 'edit')}"] if parts else []
    if found.num_unpriced:
        said.append(f"{numbered(found.num_unpriced, 'edit')} without a known price")
    if found.usage:
        counts = ", ".join(f"{total:,} {name}" for name, total in found.usage.items() if "." not in name)
        said.append(f"{counts or 'usage'} in {numbered(found.num_used, 'edit')}")
    return "; ".join(said)


def interval(of: Mean | Difference) -> str:
    """`5.41 to 6.83`, or why there is none; one that excludes 0 where the corrected test shows nothing says so."""
    alone = isinstance(of, Difference) and of.interval_alone
    return between(of.interval, of.interval_note) + (" (not shown by the corrected test)" if alone else "")


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
    """What a turned comparison says, in words, the names left to the caller: `{ahead}` and `{behind}`."""
    redrawn = found.redrawn
    if redrawn is None:
        return _outcome(found)
    return (
        f"{_outcome(found)} With one reply an edit drawn from those that were given ({redrawn.num_draws} draws; "
        f"{numbered(redrawn.num_edits, 'edit')} with several), their order is the other way in "
        f"{100 * redrawn.share_flipped:.1f} % of the draws."
    )


def _outcome(found: Comparison) -> str:
    step = found.deciding
    if step.mean is None:
        return "{ahead} and {behind} have no scored pair in common."
    pairs, by = numbered(step.num_pairs, "pair"), braced(label(found.decides))
    if found.winner is not None:
        return (
            f"{{ahead}} is ahead of {{behind}} by {abs(step.mean):.2f} in {by} over {pairs} "
            f"(p {_is(step.p_corrected)})."
        )
    if step.p_value is None or not step.can_be_shown:
        least = "" if step.smallest_p is None else f", whose smallest p is {p_value(step.smallest_p)}"
        return f"Too few to tell {{ahead}} from {{behind}}: {pairs}{least}."
    if found.means_disagree and step.shown:
        return (
            f"No winner of {{ahead}} and {{behind}}: they are in one order by {by} and in the other by the item mean, "
            "so the answer depends on how the categories are weighed."
        )
    if step.shown:
        return "{ahead} is ahead of {behind}, but not with failures at their lowest, so there is no winner."
    least = step.minimum_detectable_difference
    could = f"; so many pairs could have shown {number(least)}" if least else ""
    return f"No difference of {{ahead}} and {{behind}} in {by} is shown (p {_is(step.p_corrected)}){could}."


def braced(words: str) -> str:
    """The words for a text that `format` will fill."""
    return words.replace("{", "{{").replace("}", "}}")


def _is(value: float | None) -> str:
    shown = p_value(value)
    return shown if shown.startswith("<") else f"= {shown}"


def low(found: Comparison) -> str:
    """The difference with failures at their lowest, and over how many pairs: `+0.31 (27)`."""
    return f"{signed(found.mean_failures_as_low)} ({found.num_failures_as_low})"


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
    "instructed": "source, the instruction on it",
    "half": "own edit, half-way to the source",
    "patched": "own edit, a patch spoilt",
    "blurred": "own edit, blurred",
    "recompressed": "own edit, recompressed",
    "beside another": "own edit beside another's source",
    "swapped": "source and edit swapped",
    "without rationale": "unchanged source, no rationale",
}
CONTROL_DIFFERENCES: Mapping[ControlKind, str] = {
    "again": "asked again − before",
    "right": "right edit − unchanged",
    "unchanged": "own edit − unchanged",
    "of another": "own edit − another's",
    "blank": "own edit − blank",
    "caption": "own edit − captioned source",
    "words": "“give a 10” − harmless caption",
    "instructed": "instruction − harmless caption",
    "half": "own edit − half-way",
    "patched": "own edit − patch spoilt",
    "blurred": "own edit − blurred",
    "recompressed": "own edit − recompressed",
    "beside another": "own edit − beside another's source",
    "swapped": "own edit − swapped",
    "without rationale": "without − with the rationale",
}


def below_right(control: Control) -> str:
    """`9 of 12`: the pairs on which a control scored less than the benchmark's picture of a right edit."""
    return f"{control.num_below_right} of {control.num_with_right}" if control.num_with_right else "–"


def judged(health: Health, run: RunRecords, several: bool = False) -> list[str]:
    """A run's judge in sentences: first what the controls say, then how steady and how fine its scores are.

    Args:
        health: of the judge on this run.
        run: which.
        several: whether other runs stand beside it, so that what holds for all is said in the same words.
    """
    # "RUN" for the folder: the same sentence for each run, which is then said once
    lines = findings(health, Path("RUN") if several else run.root)
    if not health.num_asked:
        return lines
    readable = percent(health.num_readable, health.num_asked)
    lines.append(f"{health.num_readable:,} of {health.num_asked:,} replies could be read ({readable}).")
    if health.batch_sizes:
        sizes = ", ".join(f"{num:,} in batches of {size}" for size, num in health.batch_sizes.items())
        asked_alone = any(control.kind == "again" for control in health.controls)
        shown = "" if asked_alone else "; whether that moves a score, the controls would show"
        lines.append(f"Questions answered at once: {sizes}{shown}.")
    if (repeats := health.repeats) is not None:
        strays = ""
        if repeats.spread is not None:
            strays = f"; a single repeat strays by {repeats.spread:.2f} (standard deviation) from its edit's mean"
        lines.append(
            f"Asked several times, it gave {repeats.num_same} of {repeats.num_several} edits the same value each time"
            f"{strays}."
        )
        if repeats.num_short or repeats.num_below_quorum:
            lines.append(
                f"Of {numbered(repeats.num_pairs, 'edit')} asked several times, {repeats.num_short} have a value though"
                f" some repeats failed, and {repeats.num_below_quorum} have none since more than half failed."
            )
    else:
        lines.append(
            "No edit was judged several times, so how far a second reply would differ is not known: --repeats."
        )
    if health.expected:
        by_category = "; ".join(
            f"{name} {of_it.entropy:.2f} bits and {of_it.mass:.3f} (n = {of_it.num_answers:,})"
            for name, of_it in health.expected.items()
        )
        lines.append(
            f"Expected scores, mean entropy of the digits and mean probability of all digits together: {by_category}."
        )
    values = health.values
    if values.commonest is not None and values.share_tied is not None:
        often = f"{values.commonest:g} is the commonest ({percent(values.num_commonest, values.num_values)})"
        top = ""
        if values.scale is not None:
            top = f"{percent(values.num_at_top, values.num_values)} are at the top of the scale, {values.scale[1]:g}; "
        different = f"{values.num_distinct} different value{'s' if values.num_distinct > 1 else ''}"
        lines.append(f"{different}; {often}; {top}{100 * values.share_tied:.0f} % of pairs of edits are tied.")
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
    measures = ", ".join(f"{name} {number(of.value)} ({between(of.interval, of.interval_note)})" for name, of in ways)
    apart = found.mean_difference
    return (
        f"{agreement.num_items} of {found.num_pairs} edits scored by both: {measures}; mean difference "
        f"{signed(apart.value)} ({between(apart.interval, apart.interval_note)}), {{second}} minus {{first}}. In one "
        f"order: of the {agreement.num_ordered:,} pairs of edits to which {{first}} gives an order, those that "
        f"{{second}} puts in the same; a tie of {{second}} counts half."
    )


def self_preference(found: Preference) -> str:
    """What two judges' scores of two runs say of self-preference, in sentences; names as they are."""
    step, judge, other = found.difference, found.judge, found.other_judge
    what = f"({judge} − {other} on {found.first}) − ({judge} − {other} on {found.second})"
    if step.mean is None:
        return f"{what}: no pair has all four scores."
    shown = "shown" if step.shown else "not shown"
    families = "".join(f" {line}." for line in found.families) or " No judge and editor are known to be of one family."
    return (
        f"{what} is {signed(step.mean)} over {numbered(step.num_pairs, 'pair')} (95 % interval: {interval(step)}; p "
        f"{_is(step.p_corrected)}, {shown}): above 0, {judge} gives {found.first} more than {other} does.{families}"
    )


def percent(part: int, whole: int) -> str:
    """`93 %`, or a dash of nothing."""
    return f"{100 * part / whole:.0f} %" if whole else "–"
