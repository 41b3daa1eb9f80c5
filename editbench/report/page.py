"""`report.html`: one page with the pictures side by side, for a browser without network."""

import base64
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from editbench.records import Answer, Edit, Pair, Score
from editbench.report import text
from editbench.report.content import Content
from editbench.report.measured import failed_calls, judged_alike, leader, measured, title
from editbench.report.pictures import Picture, Pictures
from editbench.report.plots import COLORS
from editbench.report.results import FORMS, tables
from editbench.report.versus import turned
from editbench.stats.change import Change
from editbench.stats.comparison import Comparison
from editbench.stats.correlation import TwoJudges
from editbench.stats.outcomes import FAILED, SCORED, WAITING, Outcome, RunRecords

_POLICY = (
    "default-src 'none'; img-src {}; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; "
    "form-action 'none'"
)
_MOST_CHOSEN = 6
"""Runs whose pictures the page opens with; of more the best, and others are a click away."""
_MOST_PILLS = 8
"""Categories that stand beside each other as buttons; more are a menu."""
_ELSEWHERE = "not in this run"
"""In place of a status: the pair is another run's only."""
_MOST_WRITTEN = 20_000
"""Characters of one reply that the page holds; scores/ has it whole."""


def to_page(content: Content, plots: Mapping[str, str], pictures: Pictures, *, standalone: bool = False) -> str:
    """The whole page.

    It loads nothing but pictures: the policy in its head allows no network, and no script but its own, by hash.
    Text from outside is escaped, and shown isolated, so that its direction can't leak into the page; what the script
    shows of it is JSON in the page, and enters as text.

    Args:
        content: what it says.
        plots: a caption by the address of each plot.
        pictures: of the runs.
        standalone: whether every address is `data:`, and nothing else may load.
    """
    runs = [item.run for item in content.runs]
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    views = tables(content)
    pairs = _Pairs(content, pictures)
    data = pairs.data() | {
        "tables": {
            table.view: {
                name: {"head": form.head, "rows": form.rows, "foot": form.foot}
                for name, form in ((name, write(table)) for name, write in FORMS.items())
            }
            for table in views
        },
        "watch": content.live.again_s if content.live else None,
    }
    return (
        environment_of_pages()
        .get_template("page.html.j2")
        .render(
            policy=_POLICY.format("data:" if standalone else "'self'", digest),
            script=Markup(script),  # ours: the hash in the policy is of these characters
            style=style(),
            data=_json(data),
            replies=_json(pairs.replies()),
            content=content,
            title=title(content),
            runs=[
                {
                    "run": item.run,
                    "summary": item.summary,
                    "color": color_of(index),
                    "no_score": text.no_score(item.summary),
                    "health": item.health,
                }
                for index, item in enumerate(content.runs)
            ],
            tables=views,
            forms=list(FORMS),
            several=content.several,
            several_runs=len({run.root for run in runs}) > 1,
            standalone=standalone,
            versus=[turned(entry) for entry in content.ranked],
            colors={run.name: color_of(index) for index, run in enumerate(runs)},
            setting_names=list(dict.fromkeys(name for run in runs for name in run.settings)),
            chosen=_chosen(content),
            pairs=pairs,
            most_pills=_MOST_PILLS,
            plots=plots,
        )
    )


def color_of(index: int) -> str:
    """Of a run, by its place."""
    return COLORS[index % len(COLORS)]


def _chosen(content: Content) -> set[int]:
    """Places of the runs whose pictures are shown at first."""
    values = [summary.headlines[0].value if summary.headlines else None for summary in content.summaries]
    order = sorted(range(len(values)), key=lambda place: (values[place] is None, -(values[place] or 0.0), place))
    return set(order[:_MOST_CHOSEN])


class _Pairs:
    """The pairs with what each run has for them, as the page's script reads them."""

    def __init__(self, content: Content, pictures: Pictures):
        self._content, self._pictures = content, pictures
        self._runs = [item.run for item in content.runs]
        self._pairs = {pair.pair_id: pair for run in reversed(self._runs) for pair in run.pairs}
        self.num_all = len(self._pairs)
        self.num_shown = len(content.shown)
        self._asked = [
            {pair.pair_id: (pair.instruction, pair.sources_sha256) for pair in run.pairs} for run in self._runs
        ]
        shown = [self._pairs[key] for key in content.shown]
        self.tags = sorted({tag for pair in shown for tag in pair.tags})
        self.categories = [
            name
            for name in dict.fromkeys(name for run in self._runs for name in run.categories)
            if any(pair.category == name for pair in shown)
        ]
        levels = list(dict.fromkeys(pair.difficulty for pair in shown if pair.difficulty))
        known = [level for level in ("easy", "medium", "hard") if level in levels]
        self.difficulties = [*known, *sorted(set(levels) - set(known), key=str)]
        self.languages = list(dict.fromkeys(pair.language for pair in shown))
        self.measures = ["value", *dict.fromkeys(name for run in self._runs for name in run.dimensions)]
        if len(self.measures) == 2:
            self.measures = ["value"]  # a rubric of one dimension: its reading is the value
        used = {status for run in self._runs for key in content.shown for status in _statuses(run, key)}
        self.statuses = [kind for kind in (SCORED, *FAILED, *WAITING, _ELSEWHERE) if kind in used]
        self.flags = sorted({flag for run in self._runs for key in content.shown for flag in _flags_of(run, key)})
        failed = Counter(
            f"{answer.call}: {answer.failure}"
            for run in self._runs
            for score in run.scores.values()
            for answer in score.answers
            if answer.failure is not None
        )
        self.failed_calls = sorted(failed)
        changes = [picture.change for picture in pictures.values() if picture.change]
        self.changes, self.outside = bool(changes), any(change.outside for change in changes)
        self.several_tries = any(run.num_tries > 1 for run in self._runs)

    def data(self) -> dict[str, Any]:
        """All but the judge's replies."""
        return {
            "runs": [{"name": text.visible(run.name), "color": color_of(i)} for i, run in enumerate(self._runs)],
            "measures": [{"label": text.visible(text.label(name)), "shown": name != "value"} for name in self.measures],
            "statuses": [{"name": name, "failed": name in FAILED} for name in self.statuses],
            "flags": [text.visible(flag) for flag in self.flags],
            "failedCalls": [text.visible(name) for name in self.failed_calls],
            "categories": [text.visible(name) for name in self.categories],
            "tags": [text.visible(tag) for tag in self.tags],
            "pairs": [self._pair(self._pairs[key]) for key in self._content.shown],
        }

    def replies(self) -> list[list[list[list[dict[str, Any]]]]]:
        """By pair, run and try: the judge's answers, a call and repeat each."""
        return [
            [[_answers(run.scores.get((key, number))) for number in range(_num_tries(run, key))] for run in self._runs]
            for key in self._content.shown
        ]

    def _pair(self, pair: Pair) -> dict[str, Any]:
        key = pair.pair_id
        newest = self._content.live.newest if self._content.live else ()
        return _known(
            id=text.visible(key),
            anchor=anchor(key),
            category=self.categories.index(pair.category),
            text=text.visible(pair.instruction),
            sources=self._sources(pair),
            references=self._references(pair),
            language=pair.language,
            difficulty=pair.difficulty and text.visible(pair.difficulty),
            tags=[self.tags.index(tag) for tag in sorted(set(pair.tags))],
            rationale=pair.rationale and text.visible(pair.rationale),
            description=pair.description and text.visible(pair.description),
            turns=[text.visible(turn) for turn in pair.turns],
            differs=len({asked[key] for asked in self._asked if key in asked}) > 1 or None,
            disagreement=self._disagreement(key),
            newest=newest.index(key) if key in newest else None,
        ) | {"edits": [self._edits(run, key) for run in self._runs]}

    def _sources(self, pair: Pair) -> list[list[Any] | None]:
        found: list[list[Any] | None] = []
        for place in range(len(pair.sources)):
            paths = ((run.root, run.sources.get(pair.pair_id, ())) for run in self._runs)
            shown = (self._pictures.get((root, of_it[place])) for root, of_it in paths if place < len(of_it))
            found.append(_picture(next((picture for picture in shown if picture is not None), None)))
        return found

    def _references(self, pair: Pair) -> list[list[Any]]:
        found: dict[str, list[Any]] = {}
        for run in self._runs:
            for name, path in run.references.get(pair.pair_id, {}).items():
                picture = self._pictures.get((run.root, path))
                if picture is not None and name not in found:
                    found[name] = [text.visible(name), _picture(picture)]
        return list(found.values())

    def _edits(self, run: RunRecords, key: str) -> list[dict[str, Any]]:
        end = run.outcomes.get(key)
        if end is None:
            return [{"s": self._status(_ELSEWHERE), "v": []}]
        tries = end.tries or (end,)
        return [
            self._edit(one, run.edits.get((key, number)), run.scores.get((key, number)), run)
            for number, one in enumerate(tries)
        ]

    def _edit(self, end: Outcome, edit: Edit | None, score: Score | None, run: RunRecords) -> dict[str, Any]:
        picture = self._pictures.get((run.root, edit.image)) if edit and edit.image else None
        calls = {f"{answer.call}: {answer.failure}" for answer in score.answers if answer.failure} if score else set()
        values = [end.value if name == "value" else end.dimensions.get(name) for name in self.measures]
        return _known(
            p=_picture(picture),
            m=picture and picture.map_url and str(picture.map_url),
            d=picture and picture.change and _change(picture.change.whole),
            o=picture and picture.change and picture.change.outside and _change(picture.change.outside),
            f=[self.flags.index(flag) for flag in edit.flags] if edit else None,
            c=sorted(self.failed_calls.index(call) for call in calls),
            r=end.reason and text.visible(end.reason),
            prompt=edit.prompt and text.visible(edit.prompt) if edit else None,
        ) | {"s": self._status(end.status), "v": values}

    def _status(self, name: str) -> int:
        return self.statuses.index(name)

    def _disagreement(self, key: str) -> float | None:
        by_root: dict[Path, list[float]] = {}
        for run in self._runs:
            end = run.outcomes.get(key)
            by_root.setdefault(run.root, []).extend([] if end is None or end.value is None else [end.value])
        return max((max(found) - min(found) for found in by_root.values() if len(found) > 1), default=None)


def _known(**fields: Any) -> dict[str, Any]:
    """Those fields that hold something: a page of thousands of pairs names none that is empty."""
    return {name: value for name, value in fields.items() if value is not None and value != [] and value != ""}


def _statuses(run: RunRecords, key: str) -> Iterable[str]:
    end = run.outcomes.get(key)
    return [_ELSEWHERE] if end is None else [one.status for one in end.tries or (end,)]


def _num_tries(run: RunRecords, key: str) -> int:
    end = run.outcomes.get(key)
    return len(end.tries) or 1 if end else 1


def _flags_of(run: RunRecords, key: str) -> Iterable[str]:
    for number in range(run.num_tries):
        edit = run.edits.get((key, number))
        yield from edit.flags if edit else ()


def _answers(score: Score | None) -> list[dict[str, Any]]:
    return [_answer(answer) for answer in score.answers] if score else []


def _answer(answer: Answer) -> dict[str, Any]:
    reply = None if answer.reply is None else text.visible(answer.reply)
    if reply is not None and len(reply) > _MOST_WRITTEN:
        reply = f"{reply[:_MOST_WRITTEN]}… ({len(reply):,} characters; scores/ holds all)"
    found = _known(
        call=text.visible(answer.call),
        repeat=answer.repeat or None,
        readings={text.visible(name): value for name, value in answer.readings.items()} or None,
        failure=answer.failure,
        detail=answer.detail and text.visible(answer.detail),
        notes=[text.visible(note) for note in answer.notes],
        model=text.visible(answer.model),
    )
    return found if reply is None else found | {"reply": reply}


def _picture(picture: Picture | None) -> list[Any] | None:
    return None if picture is None else [str(picture.url), picture.width, picture.height, picture.full]


def _change(found: Change) -> list[float | None]:
    """Share of pixels changed, SSIM, PSNR."""
    return [round(found.changed, 4), round(found.ssim, 4), found.psnr_db and round(found.psnr_db, 2)]


def _json(data: Any) -> Markup:
    """JSON that can stand in a page: no `<`, so it can close no element and open no comment."""
    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(written.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def anchor(pair_id: str) -> str:
    """The fragment that leads to a pair's card."""
    return f"pair-{text.one_line(pair_id)}"


def _verdict(found: Comparison) -> Markup:
    """A comparison in words, the winner's name bold."""
    ahead, behind = _name(found.second), _name(found.first)
    ahead = Markup("<b>{}</b>").format(ahead) if found.winner else ahead
    return Markup(text.verdict(found)).format(ahead=ahead, behind=behind)


def _leader(content: Content) -> Markup:
    """Who leads, in words."""
    found = leader(content)
    return Markup("") if found is None else Markup("<b>{}</b> {}").format(_name(found[0]), found[1])


def _judges_agree(found: TwoJudges) -> Markup:
    """How far two judges agree, in words."""
    return Markup(text.judges_agree(found)).format(first=_name(found.first), second=_name(found.second))


def _name(name: str) -> Markup:
    """A name from outside, isolated and escaped."""
    return Markup("<bdi>{}</bdi>").format(text.visible(name))


def _breaking(name: str) -> Markup:
    """A name that may be broken after its `_`, `-` and `/`."""
    escaped = str(Markup.escape(text.visible(name)))
    for sign in "_-/":
        escaped = escaped.replace(sign, f"{sign}<wbr>")
    return Markup(escaped)


def _place(value: float, scale: tuple[float, float]) -> str:
    """Where a value stands on its scale, percent."""
    low, high = scale
    return f"{min(100.0, max(0.0, 100 * (value - low) / (high - low))):.2f}%"


def _percent(value: float, reach: float) -> str:
    """Where a difference stands between −reach and +reach, percent."""
    return f"{50 + 50 * max(-1.0, min(1.0, value / reach)) if reach else 50:.2f}%"


def _reach(found: Sequence[Comparison]) -> float:
    """The largest end of these comparisons' intervals, either way."""
    ends = [abs(entry.deciding.mean) for entry in found if entry.deciding.mean is not None]
    for entry in found:
        if entry.deciding.interval is not None:
            ends += [abs(entry.deciding.interval.low), abs(entry.deciding.interval.high)]
    return max(ends, default=1.0) or 1.0


def style() -> Markup:
    """The style sheet of all pages."""
    return Markup(_asset("page.css"))


def _asset(name: str) -> str:
    source, _, _ = _loader().get_source(environment_of_pages(), name)
    return source


@functools.cache
def _loader() -> jinja2.BaseLoader:
    return jinja2.FileSystemLoader(Path(__file__).parent)


@functools.cache
def environment_of_pages() -> jinja2.Environment:
    """Fills the templates: whatever is not `Markup` is escaped."""

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
    shared |= {"CONTROL_NAMES": text.CONTROL_NAMES, "CONTROL_DIFFERENCES": text.CONTROL_DIFFERENCES, "quote": quote}
    functions = (
        *(text.number, text.seconds, text.interval, text.between, text.of, text.not_scored, text.signed, text.p_value),
        *(
            text.low,
            text.judged,
            text.steps,
            text.listed,
            text.label,
            text.spent,
            text.below_right,
            text.self_preference,
        ),
        *(
            failed_calls,
            judged_alike,
            measured,
            _leader,
            _judges_agree,
            anchor,
            _verdict,
            _breaking,
            _place,
            _percent,
            _reach,
        ),
    )
    shared |= {function.__name__.lstrip("_"): function for function in functions}
    return environment
