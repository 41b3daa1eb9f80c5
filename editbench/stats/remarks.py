"""What a reader should know of a run's numbers before reading them, in sentences."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence

import numpy as np

from editbench.rubrics.headlines import Headline, select
from editbench.stats.outcomes import FAILED, SCORED, RunRecords, numbered
from editbench.stats.self_preference import shared_family

_ALPHA = 0.05
_NUM_DRAWS = 9999
_FEWEST = 5  # failures, and scores, that are compared
_MOST_NAMED = 3


def remarks(run: RunRecords) -> tuple[str, ...]:
    """The most important first: the run's own notes, then what its records show; deterministic."""
    found = (_models(run), _family(run), _partial(run), _by_category(run), _by_length(run), _categories(run), _few(run))
    return (*run.notes, *(sentence for sentence in found if sentence))


def _models(run: RunRecords) -> str | None:
    if len(run.models) < 2:
        return None
    counts = Counter(answer.model for score in run.scores.values() for answer in score.answers if answer.model)
    named = ", ".join(f"{model} {number:,} times" for model, number in counts.most_common())
    return f"{len(counts)} models answered in this file of scores ({named}): its mean is of none of them."


def _family(run: RunRecords) -> str | None:
    """Panickssery et al., LLM Evaluators Recognize and Favor Their Own Generations (2024)."""
    family = shared_family(run, run)
    if family is None:
        return None
    return (
        f"Judge and editor are of one family, {family}: a judge may prefer its own family's edits; "
        "have another judge score the same runs (--scores NAME) to see."
    )


def _partial(run: RunRecords) -> str | None:
    number = sum(end.is_partial for end in run.outcomes.values())
    if not number:
        return None
    return (
        f"{numbered(number, 'pair')} {'has' if number == 1 else 'have'} a value though some replies or tries failed; "
        "these count at the lowest in the lower bound."
    )


def _by_category(run: RunRecords) -> str | None:
    """Pearson's statistic of failed or not by category, against as many failures dealt to the pairs at random."""
    ended = [(pair.category, run.outcomes[pair.pair_id].status) for pair in run.pairs]
    ended = [(category, status in FAILED) for category, status in ended if status in FAILED or status == SCORED]
    sizes = Counter(category for category, _ in ended)
    failed = Counter(category for category, has_failed in ended if has_failed)
    if failed.total() < _FEWEST or len(sizes) < 2 or failed.total() == len(ended):
        return None
    names = list(sizes)
    expected = np.array([sizes[name] for name in names]) * (failed.total() / len(ended))
    dealt = np.random.default_rng(0).multivariate_hypergeometric(
        [sizes[name] for name in names], failed.total(), size=_NUM_DRAWS, method="marginals"
    )
    observed = (((np.array([failed[name] for name in names]) - expected) ** 2) / expected).sum()
    reached = int((((dealt - expected) ** 2 / expected).sum(axis=1) >= observed - 1e-9).sum())
    if (1 + reached) / (1 + _NUM_DRAWS) > _ALPHA:
        return None
    order = sorted(names, key=lambda name: failed[name] / sizes[name])
    few, many = order[0], order[-1]
    return (
        f"Failures differ by category ({many} {failed[many]} of {sizes[many]}, {few} {failed[few]} of {sizes[few]}): "
        "the means leave out more of some categories than of others."
    )


def _by_length(run: RunRecords) -> str | None:
    """The rank-sum test (Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1, 1945)."""
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for pair in run.pairs:
        status = run.outcomes[pair.pair_id].status
        if status in FAILED or status == SCORED:
            lengths[status == SCORED].append(len(pair.instruction))
    failed, scored = lengths[False], lengths[True]
    if min(len(failed), len(scored)) < _FEWEST or abs(_standing(failed, scored)) < 1.96:
        return None
    longer = statistics.median(failed) > statistics.median(scored)
    return (
        f"Pairs that failed have {'longer' if longer else 'shorter'} instructions than those with a value (median "
        f"{statistics.median(failed):.0f} against {statistics.median(scored):.0f} characters): the mean is of "
        f"{'shorter' if longer else 'longer'} instructions than the benchmark's."
    )


def _standing(failed: Sequence[int], scored: Sequence[int]) -> float:
    """By how many standard deviations the failed ones' ranks are off their expectation, ties at their mean rank."""
    _, place, counts = np.unique([*failed, *scored], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    num, all_ = len(failed), len(ranks)
    variance = num * (all_ - num) / (all_ * (all_ - 1)) * float(((ranks - ranks.mean()) ** 2).sum())
    return (float(ranks[:num].sum()) - num * (all_ + 1) / 2) / math.sqrt(variance) if variance else 0.0


def categories_of(run: RunRecords, headline: Headline) -> set[str] | None:
    """The categories with a number, of a headline that is their mean over all pairs; None of any other headline."""
    if [level.by for level in headline.levels] != ["category"] or headline.where is not None:
        return None
    rows = [(pair, run.outcomes[pair.pair_id].row) for pair in run.pairs]
    return {pair.category for pair, _, _ in select(headline, rows)}


def _categories(run: RunRecords) -> str | None:
    """Of the first headline: a mean of fewer categories is not the number that others print."""
    headline = run.headlines[0]
    found = categories_of(run, headline)
    of_pairs = {pair.category for pair in run.pairs}
    missing = [name for name in run.categories if name in of_pairs and name not in (found or ())]
    if not found or not missing:  # those without a pair are named by `_few`
        return None
    return (
        f"{headline.name.replace('_', ' ')} is the mean of {len(found)} of {len(run.categories)} categories; without a "
        f"score: {_named(missing)}."
    )


def _few(run: RunRecords) -> str | None:
    sizes = Counter(pair.category for pair in run.pairs)
    none = [name for name in run.categories if not sizes[name]]
    one = [name for name in run.categories if sizes[name] == 1]
    said = [
        f"{_named(names)} {'has' if len(names) == 1 else 'have'} {what}"
        for names, what in ((none, "no pair"), (one, "one pair, so the mean is that pair's value"))
        if names and len(sizes) > 1
    ]
    return "; ".join(said) + "." if said else None


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
