"""The benchmark file as pairs, with every defect found before anything heavy is loaded.

A row is an item of a JSON list, a line of JSONL or a line of CSV; all three know the same fields:

    id                  or the stem of original_image_path
    category            or subset: English or Chinese
    src_img_b64         the source image in base64, or
    source              its path below the folder of images
    instruction         English: edit_instruction_en, instruction_en or instruction;
                        Chinese: edit_instruction or instruction_zh
    rationale           likewise rationale_short_en, rationale_en, rationale; rationale_short, rationale_zh
    description         likewise original_description_en, description_en, description;
                        original_description, description_zh
    reference           path of an image of a right edit
    source_group, difficulty, tags

All but the first four are optional, and fields not named here are ignored: with a warning where one is nearly a field
that its row lacks.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from PIL.Image import Image

from editbench.benchmark.files import Defects, shown
from editbench.benchmark.rows import Seen, parse_category, rows
from editbench.records import Category, Language, Pair

log = logging.getLogger(__name__)

__all__ = ["load_pairs", "parse_category", "read_sources", "selector"]


def load_pairs(
    path: Path,
    *,
    language: Language,
    images: Path | None = None,
    earlier: Callable[[str], Pair | None] = lambda pair_id: None,
) -> Iterator[Pair]:
    """Read a whole benchmark, pair by pair, and check all of it: every field, and that every image decodes.

    Paths in a row start from `images`, or from the file's own folder, and stay below it. A `.json` list is read
    item by item: 270 items with 1.9 MB of base64 each (1472 × 1104 PNG), 0.52 GB in all, took the process from 33 MB
    to a peak of 77 MB (`ru_maxrss` of a fresh process before and after the call) and 18 s of one core.

    Args:
        path: the benchmark.
        language: of the texts.
        images: the folder that paths start from; None: the file's own.
        earlier: gives the pair of an id as it was when last read: a source that is the same byte for byte is not
            decoded again.

    Raises:
        UsageError: after the last pair, all defects at once, a line each: file, row (an item's number from 1; in JSONL
            and CSV the line's), field, what is wrong and what to do.
    """
    defects = Defects(path)
    num_pairs = 0
    seen = Seen()
    misspelt: dict[str, str] = {}
    for row in rows(path, images, defects):
        row.check_id(seen)
        misspelt.update(row.misspelt())
        before = earlier(row.pair_id)
        pair = row.pair(language, before and before.source_sha256)
        if pair is not None:
            num_pairs += 1
            yield pair
    if not num_pairs:
        defects.add_if_none("holds no pair; give it at least one")
    defects.raise_if_any()
    for name, near in misspelt.items():
        log.warning("%s: the field %s is ignored; is %s meant?", path, shown(name), near)


def read_sources(path: Path, pair_ids: Iterable[str], *, images: Path | None = None) -> Iterator[tuple[str, Image]]:
    """Read the file once more and yield the decoded sources of these pairs, in file order, one at a time.

    Raises:
        UsageError: while iterating: the file is no longer what `load_pairs` accepted.
    """
    wanted = set(pair_ids)
    if not wanted:
        return
    defects = Defects(path)
    for row in rows(path, images, defects):
        if row.pair_id not in wanted:
            continue
        source = row.source()
        defects.raise_if_any()
        if source is not None:
            yield row.pair_id, source
        wanted.remove(row.pair_id)
        if not wanted:
            return
    for pair_id in sorted(wanted):
        defects.add(f"has no row with id {shown(pair_id)} any more; put it back or start a new run")
    defects.raise_if_any()


def selector(*, limit: int | None, categories: Sequence[Category]) -> Callable[[Pair], bool]:
    """Tells of each pair, asked in file order, whether it is one of the first `limit` of one of these categories.

    Args:
        limit: None: all of them.
        categories: none: all five.
    """
    taken: Counter[Category] = Counter()

    def chooses(pair: Pair) -> bool:
        taken[pair.category] += 1
        return (not categories or pair.category in categories) and (limit is None or taken[pair.category] <= limit)

    return chooses
