"""`report.json`: the numbers for programs. Its keys, version 1:

    {"schema": 1, "runs": [RUN, …]}

    RUN   name              text
          overall           MEAN over all pairs (the item mean)
          categories        {"physical": MEAN, "environmental": …, "social": …, "causal": …, "referential": …},
                            all five always: one without pairs has num_pairs 0 and mean null
          category_mean     {"mean": number or null, "num_categories_scored", "num_categories"}: the unweighted mean
                            of the category means that exist
          complete          true when no pair waits to be edited or scored
          state             the same in words
          scale             [lowest, highest] value of the rubric
          editing, scoring  {"median_s", "mean_s": number or null, "unit": "GPU-s" or "CPU-s", "num_timed",
                            "devices": {name: pairs}}
          flags             {"unchanged", "constant", "resized", …: edits}
          settings          {name: text}

    MEAN  mean                  number, or null when no pair was scored
          num_scored            pairs that the mean is over
          num_pairs             all pairs; = num_scored + num_failed's values + num_not_scored + num_pending
          num_edited            pairs with an edited image
          num_failed            {kind: pairs}, every kind also at 0: "edit failed", "missing edit", "empty", …
          num_not_scored        edited, not scored yet
          num_pending           not edited yet
          mean_failures_as_low  the lower bound, failures counted at the scale's lowest; number or null
          interval              {"low", "high", "confidence", "num_groups", "method"} of the mean, or null
          interval_note         why there is no interval, or null

A later version may add keys; one that changes or removes a key raises `schema`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from editbench.summary import Cost, Mean, RunRecords, Summary

SCHEMA = 1


def to_json(runs: Sequence[tuple[RunRecords, Summary]]) -> bytes:
    """The document as UTF-8, two spaces deep, a line break at the end."""
    document = {"schema": SCHEMA, "runs": [_run(run, summary) for run, summary in runs]}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes \udc80, which is JSON's own escape


def _run(run: RunRecords, summary: Summary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "overall": _mean(summary.overall),
        "categories": {name: _mean(mean) for name, mean in summary.categories.items()},
        "category_mean": {
            "mean": summary.category_mean,
            "num_categories_scored": summary.num_categories_scored,
            "num_categories": summary.num_categories,
        },
        "complete": summary.complete,
        "state": summary.state,
        "scale": list(summary.scale),
        "editing": _cost(summary.editing),
        "scoring": _cost(summary.scoring),
        "flags": dict(summary.flags),
        "settings": dict(run.settings),
    }


def _mean(mean: Mean) -> dict[str, Any]:
    return {
        "mean": mean.mean,
        "num_scored": mean.num_scored,
        "num_pairs": mean.num_pairs,
        "num_edited": mean.num_edited,
        "num_failed": dict(mean.num_failed),
        "num_not_scored": mean.num_not_scored,
        "num_pending": mean.num_pending,
        "mean_failures_as_low": mean.mean_failures_as_low,
        "interval": asdict(mean.interval) if mean.interval else None,
        "interval_note": mean.interval_note,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "median_s": cost.median_s,
        "mean_s": cost.mean_s,
        "unit": cost.unit,
        "num_timed": cost.num_timed,
        "devices": dict(cost.devices),
    }
