"""A headline over many draws of the sources at once, and the weight of each row in it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
        """Of each row: the headline without rounding is `offset * factor + weights @ numbers`.

        Of a category mean the weight is 1 / (number of categories × rows of the category).
        """
        share = np.ones(1)
        for parent in reversed(self.parents):
            share = (share / np.bincount(parent))[parent]
        return (self.factor * share / self.sizes.sum(axis=0))[self.cells]

    def value(self, draws: np.ndarray) -> np.ndarray:
        """The headline of each draw, as `value_and_variance` has it."""
        return self._value(draws)[0]

    def value_and_variance(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The headline of each draw, and the linearised sampling variance that the draw itself shows.

        The variance is that of a ratio of sums (Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6) over the
        cells with their weights: a cell's own mean is taken off its rows, the residuals of a source are added up over
        the cells, their squares over the sources. Each residual is scaled by √(k / (k - 1)) with the k sources of its
        cell, so with one cell and one row a source the variance is the common s² / n.

        Args:
            draws: how often each source was drawn, draws × sources, each with at least one.

        Returns:
            Two arrays with a number a draw. A group that a draw misses is left out of its mean.
        """
        found, means, sizes, share = self._value(draws)
        kind = sizes.dtype
        scale = np.divide(share, sizes, out=np.zeros(sizes.shape, kind), where=sizes > 0) * self.spread_factor
        centre, left, right, products = self._products
        means = means - centre
        # Σ over sources of (Σ over cells of scale (sum - mean × size))², multiplied out: every sum over sources is one
        # matrix product, and no array has a number for each draw and source
        yy, yw, wy, ww = np.split(draws @ products.astype(kind), 4, axis=1)
        of_pair = yy - means[:, right] * yw - means[:, left] * wy + means[:, left] * means[:, right] * ww
        variance = np.einsum("ij,ij,ij->i", scale[:, left], scale[:, right], of_pair)
        return found, self.factor**2 * np.maximum(variance, 0)

    @cached_property
    def _products(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The cells' means; the pairs of cells (both orders) that share a source; by source and pair, the products of
        sum and sum, sum and size, size and sum, size and size. Sums are about the cell's mean, which keeps their
        squares small enough for single precision.
        """
        present = self.sizes > 0
        left, right = np.nonzero(present.T.astype(float) @ present)
        centre = self.sums.sum(axis=0) / self.sizes.sum(axis=0)
        sums, sizes = self.sums - centre * self.sizes, self.sizes
        of_left, of_right = (sums[:, left], sizes[:, left]), (sums[:, right], sizes[:, right])
        return centre, left, right, np.hstack([a * b for a in of_left for b in of_right])

    @property
    def spread_factor(self) -> np.ndarray:
        """By cell, √(k / (k - 1)) with the cell's k sources; 1 of one source, which shows no spread."""
        num = (self.sizes > 0).sum(axis=0)
        return np.sqrt(np.where(num > 1, num / np.maximum(1, num - 1), 1.0))

    def _value(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of each draw the headline, and by cell the mean, the number of rows and the weight in the headline."""
        if draws.dtype.kind != "f":
            draws = draws.astype(float)
        kind = draws.dtype
        sizes = draws @ self.sizes.astype(kind)
        present = sizes > 0
        cells = means = np.divide(draws @ self.sums.astype(kind), sizes, out=np.zeros(sizes.shape, kind), where=present)
        shares: list[np.ndarray] = []
        for parent, digits in zip(self.parents, self.digits, strict=True):
            if digits is not None:
                means = np.round(means, digits)
            outer = np.zeros((len(parent), int(parent.max()) + 1), kind)
            outer[np.arange(len(parent)), parent] = 1
            num = present.astype(kind) @ outer
            means = np.divide((means * present) @ outer, num, out=np.zeros(num.shape, kind), where=num > 0)
            shares.append(np.divide(present, num[:, parent], out=np.zeros(present.shape, kind), where=present))
            present = num > 0
        share = np.ones((len(draws), 1), kind)
        for parent, of_outer in zip(reversed(self.parents), reversed(shares), strict=True):
            share = share[:, parent] * of_outer
        found = (means[:, 0] + self.offset) * self.factor
        return found if self.digits_of_all is None else np.round(found, self.digits_of_all), cells, sizes, share

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
