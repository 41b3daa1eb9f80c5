"""Whether the order of two runs would hold with other replies of the judge, from the replies of `--repeats`."""

from dataclasses import dataclass

import numpy as np

from editbench.records import Pair
from editbench.rubrics.headlines import Headline, select
from editbench.rubrics.scoring import rows_of_repeats
from editbench.stats.headlines import Rows, tabulate
from editbench.stats.outcomes import SCORED, RunRecords

_NUM_DRAWS = 999
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Redrawn:
    """What one reply an edit would have said of two runs."""

    num_draws: int
    num_edits: int
    """Edits, of both runs together, with two complete repeats or more: only their replies can be drawn."""
    share_flipped: float
    """The share of the draws in which the difference has the other sign; a draw with no difference counts half."""


def redraw(headline: Headline, first: RunRecords, second: RunRecords, steps: Rows) -> Redrawn | None:
    """Draw one complete repeat of each edit, again and again, and take the headline's difference each time.

    The pairs and their weights stay; only the replies change. Each pair is the mean over its tries. Deterministic.

    Args:
        headline: of the differences, without rounding.
        first: one run.
        second: the other.
        steps: the differences, second minus first, of the pairs that both have.

    Returns:
        None where no edit has several repeats, or where the difference is 0.
    """
    table = tabulate(headline, steps) if first.has_repeats or second.has_repeats else None
    if table is None:
        return None
    weights = table.weights()
    observed = float(weights @ table.numbers)
    chosen = [(pair, name) for pair, name, _ in select(headline, steps)]
    total, num_edits = np.zeros(_NUM_DRAWS), 0
    for run, sign in ((first, -1.0), (second, 1.0)):
        rng = np.random.default_rng(list(run.name.encode()))  # by name: the same whichever run comes first
        drawn, num_several = _drawn(run, chosen, weights, rng)
        total += sign * drawn
        num_edits += num_several
    if not num_edits or abs(observed) < _ROUNDING:
        return None
    against = -np.sign(observed) * total
    flipped = (against > _ROUNDING).mean() + (np.abs(against) <= _ROUNDING).mean() / 2
    return Redrawn(num_draws=_NUM_DRAWS, num_edits=num_edits, share_flipped=float(flipped))


def _drawn(
    run: RunRecords, chosen: list[tuple[Pair, str]], weights: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """The weighted sum of the run's numbers in each draw, and how many of its edits have several repeats."""
    names: dict[str, list[tuple[str, float]]] = {}
    for (pair, name), weight in zip(chosen, weights.tolist(), strict=True):
        names.setdefault(pair.pair_id, []).append((name, weight))
    pairs = {pair.pair_id: pair for pair in run.pairs}
    total, num_several = np.zeros(_NUM_DRAWS), 0
    for pair_id, wanted in names.items():
        of_tries = _complete(run, pairs[pair_id], [name for name, _ in wanted])
        if not any(len(rows) > 1 for rows in of_tries):
            row = run.outcomes[pair_id].row
            total += sum(weight * (row[name] or 0.0) for name, weight in wanted)
            continue
        num_several += sum(len(rows) > 1 for rows in of_tries)
        of_pair = np.array([weight for _, weight in wanted])
        for rows in of_tries:
            total += (np.array(rows) @ of_pair)[rng.integers(0, len(rows), _NUM_DRAWS)] / len(of_tries)
    return total, num_several


def _complete(run: RunRecords, pair: Pair, names: list[str]) -> list[list[list[float]]]:
    """By try and repeat, these numbers, of the repeats that have all of them; tries without one are left out."""
    if run.rubric is None:
        return []
    end = run.outcomes[pair.pair_id]
    found: list[list[list[float]]] = []
    for number, one in enumerate(end.tries or (end,)):
        score = run.scores.get((pair.pair_id, number))
        # a failed edit may count as something by the official formula
        answers = score.answers if score is not None and one.status == SCORED else ()
        rows = rows_of_repeats(run.rubric, pair, answers) if answers else [one.row]
        numbers = [[row.get(name) for name in names] for row in rows]
        complete = [[x for x in of_it if x is not None] for of_it in numbers if None not in of_it]
        found += [complete] if complete else []
    return found
