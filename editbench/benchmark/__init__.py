"""A benchmark as pairs, with every defect found before anything heavy is loaded; see README.md in this folder."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from PIL.Image import Image

from editbench.benchmark.columns import Columns
from editbench.benchmark.defects import Defects, shown
from editbench.benchmark.files import Data, read_items
from editbench.benchmark.rewrite import check_prompts, read_prompts
from editbench.benchmark.rows import Row, Seen
from editbench.records import Pair

log = logging.getLogger(__name__)

__all__ = [
    "Data",
    "check_prompts",
    "load_pairs",
    "misspelt_categories",
    "read_pictures",
    "read_prompts",
    "selector",
]


def load_pairs(data: Data, *, earlier: Callable[[str], Pair | None] = lambda pair_id: None) -> Iterator[Pair]:
    """Read a whole benchmark, pair by pair, and check all of it: every field, and that every picture decodes.

    Args:
        data: where it stands and how it is read.
        earlier: gives the pair of an id as it was when last read: a picture that is the same byte for byte is not
            decoded again.

    Raises:
        UsageError: after the last pair, all defects at once, a line each: file, row, field, what is wrong and what to
            do.
    """
    defects, seen = Defects(data.path), Seen()
    columns = Columns(data.columns, several_languages=data.language == "all")
    num_pairs, num_skipped = 0, Counter[str]()
    num_animated, first_animated = 0, ""
    misspelt: dict[str, str] = {}
    said: set[str] = set()

    def say(text: str) -> None:
        if text not in said:
            said.add(text)
            log.warning("%s.", text)

    for row in rows(data, columns, defects, say):
        misspelt.update(row.misspelt())
        languages = row.languages(data.languages)
        if not languages:
            num_skipped[str(row.language)] += 1
            continue
        marked, known = data.language == "all", set[str]()
        for language in languages:
            pair_id = row.pair_id(language, marked=marked)
            row.check_id(pair_id, seen)
            if (before := earlier(pair_id)) is not None:
                known |= {picture.sha256 for picture in (*before.sources, *before.references.values())}
        for pair in row.pairs(languages, marked=marked, known=known):
            num_pairs += 1
            yield pair
        if row.several_frames and not num_animated:
            first_animated = f"row {row.number}, {row.several_frames}"
        num_animated += bool(row.several_frames)
    if columns.unseen:
        names = ", ".join(map(shown, sorted(columns.unseen)))
        defects.add(f"--columns: no row has a column {names}; name those that the file has")
    if not num_pairs:
        others = ", ".join(f"{number} rows are in {name}" for name, number in num_skipped.items())
        defects.add_if_none(
            f"holds no pair in {data.language}: {others}; use --language {next(iter(num_skipped))}"
            if num_skipped
            else "holds no pair; give it at least one"
        )
    defects.raise_if_any()
    if columns.recognised:
        read = ", ".join(f"{name} as {target}" for name, target in columns.recognised.items())
        log.info("%s: read %s; --columns says otherwise.", data.path, read)
    if num_animated:
        where = f"{first_animated}{'' if num_animated == 1 else f', and {num_animated - 1} other rows'}"
        log.warning("%s: a picture has several frames, and the first is read: %s.", data.path, where)
    for name, near in misspelt.items():
        log.warning("%s: the field %s is ignored; is %s meant?", data.path, shown(name), near)


def read_pictures(data: Data, wanted: Collection[str]) -> Iterator[tuple[str, list[Image], dict[str, Image]]]:
    """Read the benchmark again and yield id, decoded sources and decoded references of these pairs, in file order.

    Raises:
        UsageError: while iterating: the benchmark is no longer what `load_pairs` accepted.
    """
    missing = set(wanted)
    if not missing:
        return
    defects, marked = Defects(data.path), data.language == "all"
    columns = Columns(data.columns, several_languages=marked)
    for row in rows(data, columns, defects, lambda text: None):
        names = [row.pair_id(language, marked=marked) for language in row.languages(data.languages)]
        names = [name for name in names if name in missing]
        if not names:
            continue
        sources, references = row.pictures()
        defects.raise_if_any()
        for name in names:
            yield name, sources, references
        missing.difference_update(names)
        if not missing:
            return
    for pair_id in sorted(missing):
        defects.add(f"has no row with id {shown(pair_id)} any more; put it back or start a new run")
    defects.raise_if_any()


def rows(data: Data, columns: Columns, defects: Defects, say: Callable[[str], None]) -> Iterator[Row]:
    """The benchmark's rows in order; what is no row goes to the defects."""
    for item in read_items(data, columns, defects, say):
        yield Row(item, columns, defects)


def selector(
    *, limit: int | None, categories: Sequence[str], name: Callable[[str], str] = str.strip
) -> Callable[[Pair], bool]:
    """Whether a pair, asked in file order, is one of the first `limit` of one of these categories.

    Args:
        limit: None: all of them.
        categories: none: all there are.
        name: what a category is called, for a rubric may know two names of one.
    """
    taken: Counter[str] = Counter()
    wanted = {name(category) for category in categories}

    def chooses(pair: Pair) -> bool:
        category = name(pair.category)
        taken[category] += 1
        return (not wanted or category in wanted) and (limit is None or taken[category] <= limit)

    return chooses


def misspelt_categories(categories: Counter[str]) -> dict[str, str]:
    """Categories that are probably misspelt, each with the one that is meant.

    One that a single pair has is, where it is a letter away from another; so is a rarer one that differs in case only.
    """
    found: dict[str, str] = {}
    if len(categories) > 1000:  # then they are no categories, and comparing takes the square of their number
        return found
    by_number = categories.most_common()
    for place, (rare, number) in enumerate(by_number):
        for usual, more in by_number[:place]:
            same = rare.casefold() == usual.casefold()
            if same or (number == 1 < more and len(usual) > 3 and _is_a_letter_away(rare, usual)):
                found.setdefault(rare, usual)
    return found


def _is_a_letter_away(one: str, other: str) -> bool:
    """Whether changing, adding or leaving out one character, or swapping two neighbours, makes one text the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    rest, others = one[start:], other[start:]
    swapped = rest[:2] == others[:2][::-1] and rest[2:] == others[2:]
    return swapped or rest[1:] == others[1:] or rest[1:] == others or rest == others[1:]
