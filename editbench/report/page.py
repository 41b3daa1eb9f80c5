"""`report.html`: one page with the pictures side by side, for a browser without network."""

import base64
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from editbench.records import Pair
from editbench.report import text
from editbench.report.content import Content
from editbench.report.pictures import Picture, Pictures
from editbench.report.plots import COLORS
from editbench.stats.comparison import Comparison
from editbench.stats.correlation import TwoJudges
from editbench.stats.summary import FAILED, SCORED, WAITING, RunRecords, outcome

_POLICY = (
    "default-src 'none'; img-src {}; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; "
    "form-action 'none'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one run has for a pair."""

    run: str
    color: str
    picture: Picture | None
    status: str
    value: float | None
    share: float
    """The value's place on the scale, percent."""
    reason: str | None
    reply: str | None
    flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One pair with the answers of all runs."""

    pair: Pair
    anchor: str
    link: str
    source: Picture | None
    answers: tuple[Answer, ...]
    score: float | None
    """Mean over the runs that scored it: what the page sorts by."""
    difference: float | None
    """Second run minus first, or the spread when there are more; None unless two runs scored it."""
    disagreement: float | None
    """The largest spread of one run's several score files; None unless two of them have a value."""
    tags: str
    """Indices into the page's list of tags, with spaces around each."""
    statuses: str
    """The same for the list of outcomes."""
    failed: bool
    """Whether any run failed on it."""
    differs: bool
    """Whether the runs asked different things under this id."""


def to_page(content: Content, plots: Mapping[str, str], pictures: Pictures, *, standalone: bool = False) -> str:
    """The whole page.

    It loads nothing but pictures: the policy in its head allows no network, and no script but its own, by hash.
    Text from outside is escaped, and shown isolated, so that its direction can't leak into the page.

    Args:
        content: what it tells.
        plots: a caption by the address of each plot.
        pictures: of the runs.
        standalone: whether every address is `data:`, and nothing else may load.
    """
    runs = [(told.run, told.summary) for told in content.runs]
    script, style = _asset("page.js"), _asset("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    pairs = {pair.pair_id: pair for run, _ in reversed(runs) for pair in run.pairs}
    order = list(dict.fromkeys(pair.pair_id for run, _ in runs for pair in run.pairs))
    records = [run for run, _ in runs]
    asked = [{pair.pair_id: (pair.instruction, pair.source_sha256) for pair in run.pairs} for run in records]
    tags = [tag for tag, _ in Counter(tag for pair in pairs.values() for tag in set(pair.tags)).most_common()]
    tags.sort()
    kinds = [SCORED, *FAILED, *WAITING]
    used = {outcome(run, pair_id).status for run in records for pair_id in order}  # one run may lack what another has
    seen = {flag for run in records for edit in run.edits.values() for flag in edit.flags}
    outcomes = [*(kind for kind in kinds if kind in used), *sorted(seen)]
    difficulties = list(dict.fromkeys(pairs[key].difficulty for key in order if pairs[key].difficulty))
    known = [level for level in ("easy", "medium", "hard") if level in difficulties]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            policy=_POLICY.format("data:" if standalone else "'self'", digest),
            script=Markup(script),  # ours: the hash in the policy is of these characters
            style=Markup(style),
            title=" · ".join(run.name for run in records),
            runs=[
                {
                    "run": run,
                    "summary": summary,
                    "color": COLORS[index % len(COLORS)],
                    "no_score": text.no_score(summary),
                    "health": content.runs[index].health,
                }
                for index, (run, summary) in enumerate(runs)
            ],
            several=content.several,
            several_runs=len({run.root for run in records}) > 1,
            standalone=standalone,
            differ=content.differ,
            comparisons=content.comparisons,
            judges=content.judges,
            colors={run.name: COLORS[index % len(COLORS)] for index, run in enumerate(records)},
            setting_names=list(dict.fromkeys(name for run in records for name in run.settings)),
            cards=[
                _card(pairs[key], records, pictures, tags, outcomes, len({a[key] for a in asked if key in a}) > 1)
                for key in content.shown
            ],
            num_pairs=len(order),
            categories=[name for name in runs[0][1].categories if any(s.categories[name].num_pairs for _, s in runs)],
            difficulties=[*known, *sorted(set(difficulties) - set(known), key=str)],
            tags=tags,
            outcomes=outcomes,
            plots=plots,
        )
    )


def _card(
    pair: Pair, runs: Sequence[RunRecords], pictures: Pictures, tags: list[str], outcomes: list[str], differs: bool
) -> Card:
    answers: list[Answer] = []
    facts: set[str] = set()
    for index, run in enumerate(runs):
        end, edit, score = outcome(run, pair.pair_id), run.edits.get(pair.pair_id), run.scores.get(pair.pair_id)
        facts.update((end.status, *(edit.flags if edit else ())))
        low, high = run.scale
        answers.append(
            Answer(
                run=run.name,
                color=COLORS[index % len(COLORS)],
                picture=pictures.get((run.root, edit.image)) if edit and edit.image else None,
                status=end.status,
                value=end.value,
                share=0.0 if end.value is None else 100 * (end.value - low) / (high - low),
                reason=end.reason,
                reply=score.reply if score else None,
                flags=edit.flags if edit else (),
            )
        )
    values = [answer.value for answer in answers if answer.value is not None]
    spread = values[1] - values[0] if len(values) == len(runs) == 2 else _spread(values)
    by_root: dict[Path, list[float]] = {}
    for run, answer in zip(runs, answers, strict=True):
        by_root.setdefault(run.root, []).extend([] if answer.value is None else [answer.value])
    apart = [found for found in map(_spread, by_root.values()) if found is not None]
    sources = (pictures.get((run.root, run.sources.get(pair.pair_id, ""))) for run in runs)
    anchor = _anchor(pair.pair_id)
    return Card(
        pair=pair,
        anchor=anchor,
        link="#" + quote(anchor),
        source=next((picture for picture in sources if picture is not None), None),
        answers=tuple(answers),
        score=sum(values) / len(values) if values else None,
        difference=spread,
        disagreement=max(apart, default=None),
        tags=_indices(pair.tags, tags),
        statuses=_indices(facts, outcomes),
        failed=any(answer.status in FAILED for answer in answers),
        differs=differs,
    )


def _spread(values: Sequence[float]) -> float | None:
    return max(values) - min(values) if len(values) > 1 else None


def _anchor(pair_id: str) -> str:
    return f"pair-{text.one_line(pair_id)}"


def _indices(words: "set[str] | tuple[str, ...]", known: list[str]) -> str:
    return " " + " ".join(str(known.index(word)) for word in sorted(words)) + " " if words else ""


def _verdict(found: Comparison) -> Markup:
    """A comparison in words, the winner's name bold."""
    ahead, behind = (found.first, found.second) if found.winner == found.first else (found.second, found.first)
    return _named(text.verdict(found), found, winner=Markup("<b>{}</b>").format(_name(ahead)), loser=_name(behind))


def _judges_agree(found: TwoJudges) -> Markup:
    """How far two judges agree, in words."""
    return _named(text.judges_agree(found), found)


def _named(words: str, found: Comparison | TwoJudges, **names: Markup) -> Markup:
    """Our words with the two names in their places."""
    return Markup(words).format(first=_name(found.first), second=_name(found.second), **names)


def _name(name: str) -> Markup:
    """A name from outside, isolated and escaped."""
    return Markup("<bdi>{}</bdi>").format(text.visible(name))


def _asset(name: str) -> str:
    source, _, _ = _loader().get_source(_environment(), name)
    return source


@functools.cache
def _loader() -> jinja2.BaseLoader:
    return jinja2.FileSystemLoader(Path(__file__).parent)


@functools.cache
def _environment() -> jinja2.Environment:
    def shown(value: object) -> object:
        """Every outside text passes here on its way out: what acts unseen becomes visible, then it is escaped."""
        return value if isinstance(value, Markup) or not isinstance(value, str) else text.visible(value)

    environment = jinja2.Environment(
        loader=_loader(),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = cast(dict[str, Any], environment.globals)
    functions = (text.number, text.seconds, text.interval, text.between, text.of, text.not_scored, text.signed)
    shared |= {"CONTROL_NAMES": text.CONTROL_NAMES, "CONTROL_DIFFERENCES": text.CONTROL_DIFFERENCES}
    functions = (*functions, text.p_value, text.low, text.judged, text.steps, _judges_agree, _anchor, _verdict)
    shared |= {function.__name__.lstrip("_"): function for function in functions}
    return environment
