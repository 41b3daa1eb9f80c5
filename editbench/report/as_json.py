"""`report.json`: the numbers for programs. Its keys, version 1:

    {"schema": 1, "runs": [RUN, …], "comparisons": [COMPARISON, …], "differ": [setting, …],
     "judges": [JUDGES, …]}

          differ            the settings, of benchmark, language, judge, rubric and lossy mode, that are not the same
                            in all runs: where there is one, the numbers are of different things

    RUN   name              text
          overall           MEAN over all pairs (the item mean)
          categories        {"physical": MEAN, "environmental": …, "social": …, "causal": …, "referential": …},
                            all five always: one without pairs has num_pairs 0 and mean null
          category_mean     {"mean": number or null, "num_categories_scored", "num_categories"}: the unweighted mean
                            of the category means that exist (the official mean), with "mean_failures_as_low",
                            "interval" and "interval_note" as in MEAN
          complete          true when no pair waits to be edited or scored
          state             the same in words
          scale             [lowest, highest] value of the rubric
          editing, scoring  {"median_s", "mean_s": number or null, "unit": "GPU-s" or "CPU-s", "num_timed",
                            "devices": {name: pairs}}
          flags             {"unchanged", "constant", "resized", …: edits}
          settings          {name: text}
          judge             HEALTH

    MEAN  mean                  number, or null when no pair was scored
          num_scored            pairs that the mean is over
          num_pairs             all pairs; = num_scored + num_failed's values + num_not_scored + num_pending
          num_edited            pairs with an edited image
          num_failed            {kind: pairs}, every kind also at 0: "edit failed", "edit refused", "missing edit", …
          num_not_scored        edited, not scored yet
          num_pending           not edited yet
          mean_failures_as_low  the lower bound, failures counted at the scale's lowest; number or null
          interval              {"low", "high", "confidence", "num_groups", "method"} of the mean, or null
          interval_note         why there is no interval, or null

    HEALTH  num_asked, num_readable  edits that the judge replied to; replies that are a value
          num_distinct      different values
          commonest, num_commonest  the value given most often, or null, and how often
          num_at_top        values at the scale's top
          share_tied        share of the pairs of edits that have one value, so no order; null below two
          histogram         values in ten equal steps of the scale
          batch_sizes       {size: edits judged in batches of that size}
          repeats           {"num_pairs", "num_same", "spread"} of pairs asked several times, those with one value
                            throughout, standard deviation of a reply about its pair's mean; or null
          num_sampled       pairs that controls were made of; 0: none were judged
          controls          [{"kind", "mean": MEAN, "difference": DIFFERENCE, "num_same", "largest"}]; the kinds and
                            their differences: "again" minus the first time; "right" minus "unchanged"; "words" (that
                            ask for a 10) minus "caption" (that asks for nothing); the run's own edit minus
                            "unchanged", "of another", "blank" and "caption". p_corrected is over these kinds
          findings          the same in sentences

    COMPARISON  first, second    names of two runs; every difference is second minus first
          overall              DIFFERENCE over all pairs that both have a value for
          categories           {category: DIFFERENCE}, those with pairs in both runs
          low                  mean difference with failures at the scale's lowest, or null
          num_low              pairs that `low` is over: both tried
          num_only_first, num_only_second  pairs that only one of them has a value for
          num_asked_otherwise  pairs of one id with another instruction or source, in no number
          winner               the run that is shown to be ahead, or null

    DIFFERENCE  mean, num_pairs, interval, interval_note   as in MEAN
          num_wins, num_ties, num_losses  pairs on which the second run's value is greater, the same, less
          p_value              of the permutation test, or null
          p_corrected          by Holm over all overall (or all category) tests of this report, or null
          smallest_shown       the true difference that so many pairs show four times in five, or null

    JUDGES  first, second   two score files of one run
          agreement         {"num_items", "num_ordered", "spearman": ESTIMATE, "kendall", "pairwise"}: pairwise is the
                            share of pairs of edits that the second orders as the first does; its ties count half
          num_pairs         all pairs of the run, of which both scored agreement's num_items
          mean_difference   ESTIMATE, second minus first
          furthest          [{"pair_id", "first", "second"}] where they differ most

    ESTIMATE  {"value": number or null, "interval", "interval_note"}

A later version may add keys; one that changes or removes a key raises `schema`.
"""

import json
from dataclasses import asdict
from typing import Any

from editbench.report.content import Content
from editbench.stats.comparison import Comparison
from editbench.stats.judge_health import Health, findings
from editbench.stats.summary import Cost, Mean, RunRecords, Summary

SCHEMA = 1


def to_json(content: Content) -> bytes:
    """The document as UTF-8, two spaces deep, a line break at the end."""
    document = {
        "schema": SCHEMA,
        "runs": [{**_run(told.run, told.summary), "judge": _health(told.health, told.run)} for told in content.runs],
        "comparisons": [_comparison(entry) for entry in content.comparisons],
        "differ": list(content.differ),
        "judges": [asdict(entry) for entry in content.judges],
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes \udc80, which is JSON's own escape


def _run(run: RunRecords, summary: Summary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "overall": _mean(summary.overall),
        "categories": {name: _mean(mean) for name, mean in summary.categories.items()},
        "category_mean": {
            "mean": summary.category_mean,
            "mean_failures_as_low": summary.category_mean_failures_as_low,
            "interval": asdict(summary.category_interval) if summary.category_interval else None,
            "interval_note": summary.category_interval_note,
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


def _comparison(entry: Comparison) -> dict[str, Any]:
    return {**asdict(entry), "winner": entry.winner}


def _health(health: Health, run: RunRecords) -> dict[str, Any]:
    controls = [{**asdict(control), "mean": _mean(control.mean)} for control in health.controls]
    return {**asdict(health), "controls": controls, "findings": findings(health, run.root)}
