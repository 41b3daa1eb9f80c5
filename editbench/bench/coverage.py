"""Simulate whether intervals cover, tests keep their level and minimum detectable differences hold; no GPU, no model.

python -m editbench.bench coverage --out editbench/bench/coverage.md    # 20 minutes on one core
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from editbench.records import Pair, Picture
from editbench.rubrics.headlines import CATEGORY_MEAN, ITEM_MEAN, Headline
from editbench.stats.comparison import ALPHA, POWER, Difference, difference, holm, sign_test
from editbench.stats.headlines import Rows, Table, tabulate
from editbench.stats.intervals import MIN_GROUPS, table_interval

Draw = Callable[[np.random.Generator, int], np.ndarray]
"""Values of one source: so many of them."""
_SEED = 0
_NUM_RESAMPLES = 999  # of a simulated sample; the report draws more, which makes its ends steadier, not wider
_SIZES = (1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 5, 5, 8, 8, 20)
"""Of unequal sources, over and over."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Scores of one shape, 0 to 10."""

    name: str
    draw: Draw
    sizes: Sequence[int] = (1,)
    """Pairs by source, over and over."""
    headline: Headline = ITEM_MEAN
    categories: Sequence[str] = ("all",)
    """Of the sources, over and over."""
    shift: float = 0.0
    """What a category's scores are more than those of the one before."""


def _clipped(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 10)


def _with_source(spread: float) -> Draw:
    return lambda rng, num: _clipped(6 + rng.normal(0, spread) + rng.normal(0, 1, num))


CASES = (
    Case(name="even: normal, 6 ± 1.5", draw=lambda rng, num: _clipped(rng.normal(6, 1.5, num))),
    Case(name="skewed: exponential, mean 2", draw=lambda rng, num: _clipped(rng.exponential(2, num))),
    Case(name="skewed: 9 less an exponential", draw=lambda rng, num: _clipped(9 - rng.exponential(1, num))),
    Case(name="skewed: lognormal, mean 1.6", draw=lambda rng, num: _clipped(rng.lognormal(0, 1, num))),
    Case(
        name="near the top: normal about 9.3, whole numbers",
        draw=lambda rng, num: _clipped(np.round(rng.normal(9.3, 1, num))),
    ),
    Case(
        name="near the top: 85 % are 10",
        draw=lambda rng, num: np.where(rng.random(num) < 0.85, 10.0, rng.integers(0, 10, num)),
    ),
    Case(
        name="near the top: 95 % are 10",
        draw=lambda rng, num: np.where(rng.random(num) < 0.95, 10.0, rng.integers(0, 10, num)),
    ),
    Case(name="0 or 10, 70 % are 10", draw=lambda rng, num: 10.0 * (rng.random(num) < 0.7)),
    Case(name="three pairs a source", draw=_with_source(1.2), sizes=(3,)),
    Case(name="unequal sources: 1 to 20 pairs", draw=_with_source(1.2), sizes=_SIZES),
    Case(
        name="unequal sources, skewed",
        draw=lambda rng, num: _clipped(9 - rng.exponential(1.2) + rng.normal(0, 0.5, num)),
        sizes=_SIZES,
    ),
    Case(
        name="category mean, 4 categories",
        draw=lambda rng, num: _clipped(rng.normal(4, 1.5, num)),
        headline=CATEGORY_MEAN,
        categories=("a", "b", "c", "d"),
        shift=1.0,
    ),
    Case(
        name="category mean, 3 categories of 1 : 1 : 3, skewed",
        draw=lambda rng, num: _clipped(rng.exponential(2, num)),
        headline=CATEGORY_MEAN,
        categories=("a", "b", "c", "c", "c"),
        shift=2.0,
    ),
)


def _sample(case: Case, rng: np.random.Generator, num_sources: int) -> Rows:
    names = sorted(set(case.categories))
    rows: list[tuple[Pair, dict[str, float | None]]] = []
    for source in range(num_sources):
        category = case.categories[source % len(case.categories)]
        for value in case.draw(rng, case.sizes[source % len(case.sizes)]) + case.shift * names.index(category):
            rows.append((_pair(source, category), {"value": float(value)}))
    return rows


_PAIRS: dict[tuple[int, str], Pair] = {}


def _pair(source: int, category: str) -> Pair:
    if (source, category) not in _PAIRS:
        picture = Picture(sha256=str(source))
        _PAIRS[source, category] = Pair(pair_id="p", category=category, instruction="i", sources=(picture,))
    return _PAIRS[source, category]


def _truth(case: Case) -> float:
    """By drawing 200,000 sources of each size once."""
    rng = np.random.default_rng(_SEED + 1)
    mean = float(np.mean([case.draw(rng, 1)[0] for _ in range(200_000)]))
    return mean + case.shift * (len(set(case.categories)) - 1) / 2


def coverage(num_runs: int, numbers: Sequence[int]) -> Iterator[str]:
    """A Markdown table: of so many simulated runs, how often the 95 % interval has the true headline in it."""
    yield "| Scores | " + " | ".join(f"{num} sources | width" for num in numbers) + " |"
    yield "|---|" + "---:|---:|" * len(numbers)
    for case in CASES:
        rng, true = np.random.default_rng(_SEED), _truth(case)
        cells: list[str] = []
        for num in numbers:
            hits, widths = 0, list[float]()
            for _ in range(num_runs):
                table = tabulate(case.headline, _sample(case, rng, num))
                interval, _ = table_interval(table, case.headline.scale, num_resamples=_NUM_RESAMPLES)
                if interval is not None:
                    hits += interval.low <= true <= interval.high
                    widths.append(interval.high - interval.low)
            without = f" ({100 * (1 - len(widths) / num_runs):.0f} % without)" if len(widths) < num_runs else ""
            cells.append(f"{hits / len(widths):.3f}{without} | {np.mean(widths):.2f}" if widths else "– | –")
        yield f"| {case.name} | {' | '.join(cells)} |"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many tests are one family."""

    name: str
    num_tests: int
    categories: Sequence[str]
    """Of the sources, over and over; the difference that is looked at is of the headline over them."""


PLANS = (
    Plan(name="2 runs, headline", num_tests=1, categories=tuple("abcde")),
    Plan(name="2 runs, one of 5 categories", num_tests=5, categories=("a",)),
    Plan(name="5 runs, headline", num_tests=10, categories=tuple("abcde")),
    Plan(name="5 runs, one of 5 categories", num_tests=5, categories=("a",)),
)


def power(num_runs: int, numbers: Sequence[int]) -> Iterator[str]:
    """A Markdown table: how often a true difference of the stated size is shown, and how often one of 0.

    The other tests of the family are of no difference. The size is the minimum detectable difference for the true
    standard deviation, 1.5 at each source.
    """
    yield "| Family | " + " | ".join(f"{num} sources: shown | of no difference" for num in numbers) + " |"
    yield "|---|" + "---:|---:|" * len(numbers)
    for plan in PLANS:
        cells: list[str] = []
        for num in numbers:
            true = _true_size(plan, num)
            cells.append(f"{_share_shown(plan, num, true, num_runs):.3f} | {_share_shown(plan, num, 0, num_runs):.3f}")
        yield f"| {plan.name} | {' | '.join(cells)} |"


def _true_size(plan: Plan, num_sources: int) -> float:
    """The stated size, averaged over samples: its standard error is an estimate."""
    rng = np.random.default_rng(_SEED + 2)
    found = [_difference(plan, num_sources, 0, rng).minimum_detectable_difference for _ in range(100)]
    return math.sqrt(math.fsum(size**2 for size in found if size is not None) / len(found))


def _share_shown(plan: Plan, num_sources: int, true: float, num_runs: int) -> float:
    rng = np.random.default_rng(_SEED + 3)
    shown = 0
    for _ in range(num_runs):
        looked_at = _difference(plan, num_sources, true, rng)
        others = [sign_test(_table(plan, num_sources, 0, rng), plan.num_tests)[0] for _ in range(plan.num_tests - 1)]
        p_values = holm([looked_at.p_value, *others])
        shows = dataclasses.replace(looked_at, p_corrected=p_values[0]).shown
        shown += shows or (not true and any(p is not None and p <= ALPHA for p in p_values[1:]))
    return shown / num_runs


def _difference(plan: Plan, num_sources: int, true: float, rng: np.random.Generator) -> Difference:
    table = _table(plan, num_sources, true, rng)
    return difference(table, table.numbers.tolist(), num_tests=plan.num_tests)


def _table(plan: Plan, num_sources: int, true: float, rng: np.random.Generator) -> Table:
    """Differences of as many pairs, each of its own source."""
    rows = [
        (_pair(source, plan.categories[source % len(plan.categories)]), {"value": float(step)})
        for source, step in enumerate(rng.normal(true, 1.5, num_sources))
    ]
    table = tabulate(CATEGORY_MEAN.on((-math.inf, math.inf)), rows)
    assert table is not None
    return table


def main(argv: Sequence[str]) -> None:
    """Simulate and print; `--out` writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m editbench.bench coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=1000, help="simulated samples for each number")
    parser.add_argument("--only", choices=("intervals", "power"), help="one of the two tables")
    parser.add_argument("--out", type=Path, help="where the tables are written as Markdown")
    args = parser.parse_args(argv)
    start = time.monotonic()
    numbers = (MIN_GROUPS, 54, 200)
    lines = [
        "# Do intervals cover, and does the test show what it says?",
        "",
        f"Simulated by `python -m editbench.bench coverage --runs {args.runs}`, seed {_SEED}: {args.runs:,} samples "
        f"for each number, so a share of 0.95 strays by ± {1.96 * math.sqrt(0.95 * 0.05 / args.runs):.3f}, one of "
        f"{POWER} by ± {1.96 * math.sqrt(POWER * (1 - POWER) / args.runs):.3f}.",
        "",
    ]
    if args.only != "power":
        lines += [
            "## Share of 95 % intervals that have the true mean in them",
            "",
            "“Without” are samples without an interval: all scores were equal, or the sources too unequal.",
            "",
            *_said(coverage(args.runs, numbers)),
            "",
        ]
    if args.only != "intervals":
        lines += [
            "## Share of minimum detectable differences that are shown",
            "",
            f"By the test as corrected in its family, at {ALPHA}; the goal is {POWER}. “Of no difference” is how often "
            f"any test of the family shows a difference that is not there; it should be at most {ALPHA}.",
            "",
            *_said(power(args.runs, numbers[:2])),
        ]
    if args.out is not None:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{time.monotonic() - start:.0f} s")  # noqa: T201


def _said(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        print(line, flush=True)  # noqa: T201
        yield line
