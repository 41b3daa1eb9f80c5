"""Prompts written elsewhere for a benchmark's pairs, which the editor gets in place of the instructions."""

from collections.abc import Sequence
from pathlib import Path

from editbench.benchmark.defects import Defects, Fields, kind, shown
from editbench.benchmark.files import text_rows
from editbench.errors import UsageError
from editbench.records import Pair


def read_prompts(path: Path) -> dict[str, str]:
    """The prompts of a JSON, JSONL or CSV file with the fields `pair_id` and `prompt`, by pair id.

    Raises:
        UsageError: the file cannot be read, or a row lacks a field or repeats an id.
    """
    if not path.is_file():
        raise UsageError(f"--rewrite {path}: there is no such file; give one with the fields pair_id and prompt")
    defects = Defects(path)
    prompts: dict[str, str] = {}
    for number, fields in text_rows(path, lambda name: name in ("pair_id", "prompt"), defects, lambda text: None):
        if not isinstance(fields, Fields):
            defects.add(f"is {kind(fields)}; give an object with pair_id and prompt", number)
            continue
        pair_id, prompt = fields.get("pair_id"), fields.get("prompt")
        if isinstance(pair_id, int):
            pair_id = str(pair_id)
        for field, value in (("pair_id", pair_id), ("prompt", prompt)):
            if not isinstance(value, str) or not value.strip():
                defects.add(f"is {'empty' if isinstance(value, str) else kind(value)}; give text", number, field=field)
        if isinstance(pair_id, str) and isinstance(prompt, str):
            if pair_id in prompts:
                defects.add("has a prompt already; keep one", number, pair_id, "pair_id")
            prompts[pair_id] = prompt
    if not prompts:
        defects.add_if_none("holds no prompt; give rows with pair_id and prompt")
    defects.raise_if_any()
    return prompts


def check_prompts(path: Path, prompts: dict[str, str], pairs: Sequence[Pair]) -> None:
    """See that each of these pairs has a prompt.

    Raises:
        UsageError: a pair has none, or has several turns, which one prompt cannot replace.
    """
    if missing := [pair.pair_id for pair in pairs if pair.pair_id not in prompts]:
        some = ", ".join(map(shown, missing[:3]))
        raise UsageError(f"--rewrite {path}: no prompt for {len(missing)} of {len(pairs)} pairs ({some}, …); add them")
    if several := [pair.pair_id for pair in pairs if pair.turns]:
        raise UsageError(f"--rewrite {path}: {shown(several[0])} has several turns, which one prompt cannot replace")
