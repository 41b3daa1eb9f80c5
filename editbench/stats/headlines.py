"""A headline over many draws of the sources at once, and the weight of each row in it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from editbench.records import Pair
from editbench.rubrics.headlines import Headline, group_name, select
from editbench.stats.outcomes import group_of

Rows = Sequence[tuple[Pair, Mapping[str, float | None]]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A headline's rows added up by cell and source: all that it needs, whatever is drawn.

    A cell is a group of the innermost level. The headline is a mean over rows in a cell, and over the groups of a level
    further out; each mean may be rounded.
    """

    sums: np.ndarray
    """Of the numbers, sources × cells."""
    sizes: np.ndarray
    """How many rows each sum is of, sources × cells."""
    parents: tuple[np.ndarray, ...]
    """From the innermost level to the outermost, which group of the next level each group is in."""
    digits: tuple[int | None, ...]
    """In the same order, how far the groups' means are rounded."""
    factor: float
    offset: float
    digits_of_all: int | None
    cells: np.ndarray
    """Which cell each row is in."""
    sources: np.ndarray
    """Which source each row is of."""
    numbers: np.ndarray
    """Of each row."""

    @property
    def num_sources(self) -> int:
        """Independent draws."""
        return len(self.sums)

    def weights(self) -> np.ndarray:
        """By row: the headline without rounding is `offset * factor + weights @ numbers`; of a category mean the
        weight is 1 / (number of categories × rows of the category).
        """
        share = np.ones(1)
        for depth in range(len(self.parents) - 1, -1, -1):
            parent = self.parents[depth]
            share = (share / np.bincount(parent))[parent]
        return (self.factor * share / self.sizes.sum(axis=0))[self.cells]

    def value(self, draws: np.ndarray) -> np.ndarray:
        """The headline of each draw.

        Args:
            draws: how often each source was drawn, draws × sources, each with at least one.

        Returns:
            As many numbers. A group that a draw misses is left out of its mean.
        """
        sizes = draws @ self.sizes
        present = sizes > 0
        means = np.divide(draws @ self.sums, sizes, out=np.zeros(sizes.shape), where=present)
        for parent, digits in zip(self.parents, self.digits, strict=True):
            if digits is not None:
                means = np.round(means, digits)
            outer = np.zeros((len(parent), int(parent.max()) + 1))
            outer[np.arange(len(parent)), parent] = 1
            num = present @ outer
            means = np.divide((means * present) @ outer, num, out=np.zeros(num.shape), where=num > 0)
            present = num > 0
        found = (means[:, 0] + self.offset) * self.factor
        return found if self.digits_of_all is None else np.round(found, self.digits_of_all)

    def in_blocks(self, most: int) -> "Table":
        """The same with the sources added up in blocks, where there are more of them than need be drawn.

        Sources are dealt to the blocks at random, always alike. What depends on sums alone varies as much from one draw
        of blocks to the next as from one draw of sources.
        """
        if self.num_sources <= most:
            return self
        block = np.random.default_rng(0).permutation(self.num_sources) % most
        sums, sizes = (np.zeros((most, columns.shape[1])) for columns in (self.sums, self.sizes))
        np.add.at(sums, block, self.sums)
        np.add.at(sizes, block, self.sizes)
        return dataclasses.replace(self, sums=sums, sizes=sizes, sources=block[self.sources])


def plain_table(numbers: Sequence[float], sources: Sequence[str]) -> Table:
    """The table of a mean over all rows."""
    _, source_of = _numbered([(name,) for name in sources])
    values = np.array(numbers, dtype=float)
    return Table(
        sums=np.bincount(source_of, weights=values)[:, None],
        sizes=np.bincount(source_of)[:, None].astype(float),
        parents=(),
        digits=(),
        factor=1.0,
        offset=0.0,
        digits_of_all=None,
        cells=np.zeros(len(values), dtype=int),
        sources=source_of,
        numbers=values,
    )


def tabulate(headline: Headline, rows: Rows) -> Table | None:
    """The rows of a headline in groups; None where it has none."""
    chosen = select(headline, rows)
    if not chosen:
        return None
    paths = [tuple(group_name(level, pair, name) for level in headline.levels) for pair, name, _ in chosen]
    cells, cell_of = _numbered(paths)
    parents: list[np.ndarray] = []
    inner = cells
    for depth in range(len(headline.levels) - 1, -1, -1):
        outer, parent = _numbered([path[:depth] for path in inner])
        parents.append(parent)
        inner = outer
    sources, source_of = _numbered([(group_of(pair),) for pair, _, _ in chosen])
    numbers = np.array([number for _, _, number in chosen], dtype=float)
    at = source_of * len(cells) + cell_of
    shape = (len(sources), len(cells))
    return Table(
        sums=np.bincount(at, weights=numbers, minlength=shape[0] * shape[1]).reshape(shape),
        sizes=np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape).astype(float),
        parents=tuple(parents),
        digits=tuple(level.digits for level in reversed(headline.levels)),
        factor=headline.factor,
        offset=headline.offset,
        digits_of_all=headline.digits,
        cells=cell_of,
        sources=source_of,
        numbers=numbers,
    )


def _numbered(names: Sequence[tuple[str, ...]]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """The different names in order of appearance, and the number of each name."""
    number: dict[tuple[str, ...], int] = {}
    places = np.array([number.setdefault(name, len(number)) for name in names], dtype=int)
    return list(number), places
