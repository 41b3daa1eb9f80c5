"""`report.json`: the numbers for programs. Its keys, version 2:

    {"schema": 2, "runs": [RUN, …], "comparisons": [COMPARISON, …], "differ": [setting, …], "judges": [JUDGES, …],
     "self_preference": [PREFERENCE, …]}

          differ            the settings in which the runs differ so that their numbers are of different things

    RUN   name              text
          headlines         [HEADLINE, …], the benchmark's own numbers; the first decides verdicts
          overall           MEAN of the pairs' value over all pairs (the item mean)
          categories        {category: MEAN}, in the benchmark's order; one without pairs has num_pairs 0, mean null
          category_groups   {group: [category, …]}; "" for those without a group
          dimensions        {dimension: MEAN}, each over the pairs that were asked for it, with "scale" as below
          languages         {language: MEAN}
          scale             [lowest, highest] value of a pair, or null where it is not known
          rubric            its version, or null
          content           hash of what was asked, 12 hexadecimal digits
          complete          true when no pair waits to be edited or scored
          state             the same in words
          failures          {call: {kind: replies}}: replies of the judge without readings
          num_replies       {call: replies}, with and without readings
          num_retried       pairs of which a call was answered several times (--repeats)
          tries             null for one try a pair, else {"num_tries", "spread", "num_pairs_spread", "best_mean",
                            "num_pairs_best"}: spread of one try about its pair's mean, mean of the best tries
          models            {model that answered: replies}
          editing, scoring  {"median_s", "mean_s": number or null, "unit": "GPU-s" or "CPU-s", "num_timed",
                            "devices": {name: edits or scores}}
          spent             null, or {"prices", "num_priced", "num_unpriced", "usage", "num_used"}: what the editor's
                            server counted: {currency: sum} by the user's prices, edits that it is over, edits whose
                            price is not known; {what: sum} in the server's words, edits that it is over
          flags             {"unchanged", "constant", "resized", …: edits}
          settings          {name: text}
          notes             what a reader must know before the numbers, a sentence each
          judge             HEALTH

    HEADLINE  name          as the benchmark's papers call it
          value             number, or null
          scale             [lowest, highest], or null
          num_scored        pairs that the value is over
          num_pairs         pairs that it is meant to be over
          num_categories, num_categories_meant  of a mean of categories: those with a number, and all; else null
          num_without_edit  of num_scored, pairs without an edit, which the official formula counts as such
          interval, interval_note  as in MEAN
          value_failures_as_low    the same with every failure at its dimension's lowest; number or null

    MEAN  mean                  number, or null when no pair was scored
          num_scored            pairs that the mean is over
          num_pairs             all pairs; = num_scored + num_failed's values + num_not_scored + num_pending
          num_edited            pairs with an edited image
          num_failed            {kind: pairs}, every kind also at 0: "edit failed", "edit refused", "missing edit", …
          num_not_scored        edited, not scored yet
          num_pending           not edited yet
          num_partial           scored pairs some of whose replies or tries failed
          range                 {"low", "high"} of the scored pairs, or null
          mean_failures_as_low  the lower bound, failures counted at the lowest; number or null
          interval              {"low", "high", "confidence", "num_groups", "method"} of the mean, or null
          interval_note         why there is no interval, or null

    HEALTH  num_asked, num_readable  replies of the judge over all calls, repeats and tries; those with readings
          values            DISTRIBUTION of the pairs' values
          dimensions        {dimension: DISTRIBUTION} of the readings
          batch_sizes       {size: questions answered in batches of that size}
          repeats           {"num_pairs", "num_several", "num_same", "spread", "num_short", "num_below_quorum"}: edits
                            asked about several times; of these with two complete repeats; of these with one value
                            throughout; standard deviation of a repeat about its edit's mean; edits with a value though
                            some repeats failed; edits without one since more than half failed; or null
          expected          {category: {"num_answers", "entropy", "mass"}} of expected scores: mean entropy (bits) of
                            the digits' probabilities, mean probability of all digits together
          num_sampled       pairs that controls were made of; 0: none were judged
          controls          [{"kind", "mean": MEAN, "difference": DIFFERENCE, "num_same", "largest", "num_below_right",
                            "num_with_right"}]: pairs on which it scored below the benchmark's right edit; the kinds and
                            their differences: "again" minus the first time; "right" and "without rationale" minus
                            "unchanged"; "words" (that ask for a 10) and "instructed" minus "caption" (that asks for
                            nothing); the run's own edit minus each other kind. p_corrected is over the first
                            seven kinds, and over the others
          findings          the same in sentences

    DISTRIBUTION  scale, num_values
          num_distinct      different values
          commonest, num_commonest  the value given most often, or null, and how often
          num_at_top        values at the scale's top
          share_tied        share of the pairs of edits that have one value, so no order; null below two
          histogram         values in ten equal steps of the scale

    COMPARISON  first, second    names of two runs; every difference is second minus first
          headlines            {headline: DIFFERENCE}, those that both runs have; the first decides
          overall              DIFFERENCE of the item mean
          categories           {category: DIFFERENCE}, those with pairs in both runs
          dimensions           {dimension: DIFFERENCE}
          mean_failures_as_low  difference of the deciding headline with failures at their lowest, or null
          num_failures_as_low  pairs that it is over: both tried
          num_only_first, num_only_second  pairs that only one of them has a value for
          redrawn              {"num_draws", "num_edits", "share_flipped"}: one complete repeat drawn for each edit
                               (--repeats), the share of draws in which the deciding difference has the other sign;
                               or null
          num_asked_otherwise  pairs of one id with another question or source, in no number
          winner               the run that is shown to be ahead, or null
          why_no_winner        in a sentence, or null

    DIFFERENCE  mean, num_pairs, interval, interval_note   as in MEAN
          num_wins, num_ties, num_losses  pairs on which the second run's value is greater, the same, less
          p_value              of the permutation test, or null
          p_corrected          by Holm over its family, or null
          smallest_p           the smallest p-value that so many sources can give, or null
          num_tests            size of the family
          minimum_detectable_difference  the true difference that so many pairs show four times in five, or null

    JUDGES  first, second   two score files of one run
          agreement         {"num_items", "num_ordered", "spearman": ESTIMATE, "kendall", "pairwise"}: pairwise is the
                            share of pairs of edits that the second orders as the first does; its ties count half
          num_pairs         all pairs of the run, of which both scored agreement's num_items
          mean_difference   ESTIMATE, second minus first
          furthest          [{"pair_id", "first", "second"}] where they differ most

    PREFERENCE  first, second  names of two runs
          judge, other_judge  score files of two judges that scored both
          difference        DIFFERENCE: (judge − other judge) on the first run, minus the same on the second
          families          which judge and which run's editor are of one family, a sentence each

    ESTIMATE  {"value": number or null, "interval", "interval_note"}

A later version may add keys; one that changes or removes a key raises `schema`.
"""

import json
from dataclasses import asdict
from typing import Any

from editbench.report.content import Content
from editbench.report.measured import content_hash
from editbench.stats.comparison import Comparison
from editbench.stats.judge_health import Health, findings
from editbench.stats.outcomes import RunRecords
from editbench.stats.summary import Cost, Mean, Summary

SCHEMA = 2


def to_json(content: Content) -> bytes:
    """The document as UTF-8, two spaces deep, a line break at the end."""
    document = {
        "schema": SCHEMA,
        "runs": [{**_run(item.run, item.summary), "judge": _health(item.health, item.run)} for item in content.runs],
        "comparisons": [_comparison(entry) for entry in content.comparisons],
        "differ": list(content.differ),
        "judges": [asdict(entry) for entry in content.judges],
        "self_preference": [asdict(entry) for entry in content.preferences],
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes \udc80, which is JSON's own escape


def _run(run: RunRecords, summary: Summary) -> dict[str, Any]:
    dimensions = {
        name: {**_mean(mean), "scale": summary.dimension_scales.get(name)} for name, mean in summary.dimensions.items()
    }
    return {
        "name": summary.name,
        "headlines": [asdict(found) for found in summary.headlines],
        "overall": _mean(summary.overall),
        "categories": {name: _mean(mean) for name, mean in summary.categories.items()},
        "category_groups": dict(summary.category_groups),
        "dimensions": dimensions,
        "languages": {name: _mean(mean) for name, mean in summary.languages.items()},
        "scale": summary.scale,
        "rubric": run.rubric.version if run.rubric else None,
        "content": content_hash(run),
        "complete": summary.complete,
        "state": summary.state,
        "failures": {call: dict(kinds) for call, kinds in summary.failures.items()},
        "num_replies": dict(summary.num_replies),
        "num_retried": summary.num_retried,
        "tries": asdict(summary.tries) if summary.tries else None,
        "models": dict(summary.models),
        "editing": _cost(summary.editing),
        "scoring": _cost(summary.scoring),
        "spent": asdict(summary.spent) if summary.spent else None,
        "flags": dict(summary.flags),
        "settings": dict(run.settings),
        "notes": list(run.notes),
    }


def _mean(mean: Mean) -> dict[str, Any]:
    return asdict(mean)


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "median_s": cost.median_s,
        "mean_s": cost.mean_s,
        "unit": cost.unit,
        "num_timed": cost.num_timed,
        "devices": dict(cost.devices),
    }


def _comparison(entry: Comparison) -> dict[str, Any]:
    return {**asdict(entry), "winner": entry.winner, "why_no_winner": entry.why_no_winner}


def _health(health: Health, run: RunRecords) -> dict[str, Any]:
    controls = [{**asdict(control), "mean": _mean(control.mean)} for control in health.controls]
    return {**asdict(health), "controls": controls, "findings": findings(health, run.root)}
