"""`--track`: a run's numbers and its worst and best pictures in an experiment tracker, wandb or trackio.

Of the two only what they have in common is used: `init`, `log`, `Image` and `finish`. Each reads its settings from the
environment, such as `WANDB_MODE=offline` or `TRACKIO_DIR`; the project is `WANDB_PROJECT` or `TRACKIO_PROJECT`, or
`editbench` where that is not set.
"""

import contextlib
import logging
import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from editbench.process.faults import reason
from editbench.process.redaction import redacted
from editbench.records import Pair
from editbench.report import text
from editbench.report.content import Content, Reported
from editbench.report.pictures import image_below

log = logging.getLogger(__name__)

Tracker = Literal["wandb", "trackio"]
_NUM_SHOWN = 20
"""Worst and best pairs."""
_SIDE = 512  # longest side of a picture, pixels
_OPTIONS: dict[Tracker, dict[str, Any]] = {
    "wandb": {},
    "trackio": {
        "embed": False,
        "auto_log_gpu": False,
        "auto_log_cpu": False,
    },  # of this process there is nothing to log
}


def track(content: Content, tracker: Tracker) -> None:
    """Log each run of a report as a run of the tracker; one that fails is a warning with the reason.

    Numbers: `headline/NAME`, `dimension/NAME` (means, where there are any) and `count/KIND` (pairs). Pictures: `worst`
    and `best`, 20 steps each from the outermost inwards, source and edit side by side. The configuration holds the
    run's settings and `run_dir`.
    """
    for item in content.runs:
        failures: list[str] = []
        with warnings.catch_warnings(record=True) as warned:  # in these a tracker says what it could not write
            warnings.simplefilter("always", UserWarning)
            try:
                with contextlib.redirect_stdout(sys.stderr):  # trackers write to it
                    _track(item, import_module(tracker), tracker)
            except Exception as error:  # whatever it is, the report stands
                failures.append(reason(error))
                log.debug("--track %s", tracker, exc_info=True)
        failures += [redacted(text.one_line(str(one.message), 500)) for one in warned if one.category is UserWarning]
        if failures:
            log.warning("--track %s: %s may lack something: %s", tracker, item.summary.name, "; ".join(failures))
        else:
            log.info("Tracked by %s: %s", tracker, item.summary.name)


def _track(item: Reported, module: Any, tracker: Tracker) -> None:
    about = {**item.run.settings, "run_dir": str(item.run.root.resolve()), "state": item.summary.state}
    project = os.environ.get(f"{tracker.upper()}_PROJECT") or "editbench"
    module.init(project=project, name=item.summary.name, config=about, **_OPTIONS[tracker])
    try:
        values = [(item.run.outcomes[pair.pair_id].value, pair) for pair in item.run.pairs]
        ranked = sorted(((value, pair) for value, pair in values if value is not None), key=lambda found: found[0])
        ends = {"worst": ranked[:_NUM_SHOWN], "best": ranked[::-1][:_NUM_SHOWN]}
        for step in range(max(1, len(ends["worst"]))):
            row: dict[str, Any] = numbers(item) if step == 0 else {}
            for name, found in ends.items():
                if step < len(found):
                    value, pair = found[step]
                    row[name] = module.Image(_side_by_side(item, pair), caption=_caption(pair, value))
            module.log(row)
    finally:
        module.finish()


def numbers(item: Reported) -> dict[str, float]:
    """What is logged of a run beside its pictures; a mean over nothing is left out."""
    summary, overall = item.summary, item.summary.overall
    means = {f"headline/{one.name}": one.value for one in summary.headlines}
    means |= {f"dimension/{name}": mean.mean for name, mean in summary.dimensions.items()}
    counts = {
        "pairs": overall.num_pairs,
        "edited": overall.num_edited,
        "scored": overall.num_scored,
        "not scored": overall.num_not_scored,
        "pending": overall.num_pending,
        **overall.num_failed,
    }
    found = {name: value for name, value in means.items() if value is not None}
    return found | {f"count/{kind}": float(number) for kind, number in counts.items()}


def _caption(pair: Pair, value: float) -> str:
    return f"{text.number(value)} · {text.one_line(pair.pair_id, 60)} · {text.one_line(pair.instruction, 200)}"


def _side_by_side(item: Reported, pair: Pair) -> Image.Image:
    """The first source and the first try's edit; grey where one is missing."""
    edit = item.run.edits.get((pair.pair_id, 0))
    paths = [*item.run.sources.get(pair.pair_id, ())[:1], *([edit.image] if edit and edit.image else [])]
    found = [_small(item.run.root, path) for path in paths] or [Image.new("RGB", (_SIDE, _SIDE), "grey")]
    sheet = Image.new("RGB", (sum(one.width for one in found), max(one.height for one in found)), "grey")
    left = 0
    for one in found:
        sheet.paste(one, (left, 0))
        left += one.width
    return sheet


def _small(root: Path, path: str) -> Image.Image:
    found = image_below(root, path)
    if found is None:
        return Image.new("RGB", (_SIDE, _SIDE), "grey")
    with Image.open(found[0]) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    return image
