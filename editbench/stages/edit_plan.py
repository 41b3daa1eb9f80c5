"""What an edit launch has to do: the benchmark and the run read, checked and compared."""

import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from editbench import __version__
from editbench.benchmark import (
    check_prompts,
    load_pairs,
    misspelt_categories,
    read_pictures,
    read_prompts,
    selector,
)
from editbench.config import Config, deciding, differences, to_yaml
from editbench.editors import Editor, Saved
from editbench.errors import UsageError
from editbench.images import encode_png
from editbench.records import Edit, Pair
from editbench.run.durable import is_file, read_records, write_atomic, write_records
from editbench.run.lease import Lease
from editbench.run.run_dir import Identity, RunDir, edit_key, key, seed_for
from editbench.run.yaml_file import read_settings
from editbench.stages.asked import print_questions
from editbench.stages.protocol import refuse_another_protocol, refuse_unjudgeable

log = logging.getLogger(__name__)
STAGE = "edit"
_ASKED = ("instruction", "turns", "sources_sha256", "references", "category", "rationale")


def make_plan(
    config: Config, run: RunDir, lease: Lease, start_log: Callable[[], None], *, is_judged: bool
) -> dict[str, Any]:
    """Rank 0 alone: check everything, write down what the run is about, and list what is left to do.

    Args:
        config: what is to be edited and how.
        run: the run directory; nothing is written into it before all checks have passed.
        lease: of the run's edit stage; taken unless `config.check`.
        start_log: called before the first line that belongs into the run's log.
        is_judged: whether pairs that the rubric and the judge cannot judge are refused; else they are warned of.

    Returns:
        `launch`, its number, `todo`: id and try of each edit to make, and `identity`, the editor's. Empty where
        `config.check`.

    Raises:
        UsageError: the benchmark, the configuration or the run directory cannot be worked with.
    """
    data = config.data
    config.editor.check()
    config.judge.check()  # before hours of edits
    if isinstance(config.editor, Saved):
        config.editor.check_run(run.root)
        if config.edits > 1:
            raise UsageError(f"--edits {config.edits}: Saved has one image a pair; leave --edits out")
    run.refuse_another_folder()
    is_fresh = not run.root.exists()
    if not is_fresh and not config.check:
        lease.take()
    recorded = run.latest(Edit, STAGE, run.manifest)
    made = {name: edit for name, edit in recorded.items() if edit.error is None}
    if made:
        _refuse_another_editor(config, run)
    pairs, changed, is_whole = _as_checked(config, run), set[str](), True
    is_new = pairs is None
    if pairs is None:
        pairs, changed, is_whole = _read_rows(config, run, {pair_id for pair_id, _ in made})
    chooses = selector(limit=config.limit, categories=config.categories, name=config.rubric.category)
    selected = [pair for pair in pairs if chooses(pair)]
    if not selected:
        there = ", ".join(dict.fromkeys(pair.category for pair in pairs))
        raise UsageError(f"--categories {','.join(config.categories)}: {data.path} has none of these; it has {there}")
    there = {config.rubric.category(pair.category) for pair in selected}
    if absent := [name for name in config.categories if config.rubric.category(name) not in there]:
        raise UsageError(f"--categories {','.join(absent)}: {data.path} has no such pair; leave it out")
    _refuse_too_many_sources(config.editor, selected)
    can_judge = True
    if is_judged:
        refuse_unjudgeable(config, selected)
        refuse_another_protocol(config, run, config.the_scores)
    else:
        try:
            config.rubric.check(selected)
        except UsageError as error:
            can_judge = False
            log.warning("%s cannot judge these pairs: %s", type(config.rubric).__name__, error)
    prompts = prompts_of(config)
    if config.rewrite is not None:
        check_prompts(config.rewrite, prompts, selected)
    # a check asks no hub, and without finished edits it needs no keys
    identity = {} if config.check and not made else dict(config.editor.identity())
    key_of = edit_key_of(config.editor, identity)
    current = {
        (pair.pair_id, try_): key_of(pair, seed_for(config.seed, pair.pair_id, try_), prompts.get(pair.pair_id))
        for pair in pairs
        for try_ in range(config.edits)
        if (pair.pair_id, try_) in made
    }
    of_another = [name for name, now in current.items() if made[name].key != now or name[0] in changed]
    if of_another and not config.accept_changes:
        some = ", ".join(list(dict.fromkeys(pair_id for pair_id, _ in of_another))[:3])
        raise UsageError(
            f"What {run.root} was edited from has changed since ({data.path}): {len(of_another)} of {len(current)} "
            f"finished pairs ({some}, …) have another instruction, prompt, source, reference, category, rationale, "
            f"weights of the editor{_other_weights(run, identity)} or saved image now. Give another "
            "--run_dir, or --accept_changes to make these again in place of what is there."
        )
    if config.check:  # launch.sh checks first, and then edit.py says the rest
        log.info("%s: checked, %d pairs.", data.path, len(selected))
        if can_judge:
            print_questions(config.rubric, selected[0])
        return {}
    if is_fresh:
        lease.take()
        if run.pairs.exists():
            raise UsageError(f"{run.root}: another launch has begun this run meanwhile; give the command again")
    start_log()
    done = {name for name, now in current.items() if made[name].key == now and run.has_image(made[name])}
    wanted = [(pair.pair_id, try_) for pair in selected for try_ in range(config.edits)]
    todo = [name for name in wanted if name not in done]
    what = "pairs" if config.edits == 1 else f"edits ({config.edits} of each pair)"
    if config.benchmark is None:
        log.info("No --benchmark: the embedded demo's pairs are used.")
    log.info(
        "%s: %d %s, %d already edited, %d to do.", data.path, len(wanted), what, len(wanted) - len(todo), len(todo)
    )
    _say_why_again(todo, made, set(of_another), run)
    for rare, usual in misspelt_categories(Counter(pair.category for pair in pairs)).items():
        log.warning("%s: the category %r is rare; is %r meant?", data.path, rare, usual)
    run.remove_torn()
    write_atomic(run.config, to_yaml(config).encode())
    if is_new:
        write_records(run.pairs, pairs)
        if is_whole:
            write_atomic(run.checked, _digests(config, run).encode())
    write_pictures(config, run, [pair for pair in selected if not run.has_pictures(pair)], {name for name, _ in todo})
    return {"launch": run.next_launch(STAGE), "todo": todo, "identity": identity}


def _other_weights(run: RunDir, identity: Mapping[str, str]) -> str:
    """In words, whether the editor's weights are others than those that the last edits were made with."""
    before: Any = (run.made_on() or [{}])[-1].get("editor", identity)
    if before == identity or not isinstance(before, dict):
        return ""
    return f" ({'; '.join(differences(before, identity))})"


def write_pictures(config: Config, run: RunDir, pairs: Iterable[Pair], except_ids: set[str]) -> None:
    """Write the decoded sources and references of these pairs into the run, except those of `except_ids`."""
    wanted = {pair.pair_id for pair in pairs} - except_ids
    for pair_id, sources, references in read_pictures(config.data, wanted):
        for index, source in enumerate(sources):
            write_atomic(run.source(pair_id, index), encode_png(source))
        for name, reference in references.items():
            write_atomic(run.reference(pair_id, name), encode_png(reference))


def _say_why_again(
    todo: Sequence[Identity], made: Mapping[Identity, Edit], of_another: set[Identity], run: RunDir
) -> None:
    num_orphans = 0
    for name in todo:
        pair_id, try_ = name
        if name in made:
            why = "what it is made from has changed" if name in of_another else "its image is not as recorded"
            log.info("%s%s is redone: %s.", pair_id, f", try {try_}," if try_ else "", why)
        else:
            num_orphans += run.image(pair_id, try_).exists()
    if num_orphans:
        log.info("%d images have no record that vouches for them and are made again.", num_orphans)


def _read_rows(config: Config, run: RunDir, made: set[str]) -> tuple[list[Pair], set[str], bool]:
    """Read the benchmark row by row, and find every defect.

    Args:
        config: names the benchmark.
        run: as an earlier launch left it.
        made: ids of those that have an image.

    Returns:
        The run's pairs from now on (the selection, what stood there before and what has an image, for a smaller
        `--limit` drops nothing), the ids of those that ask for something else now, and whether they are all that the
        benchmark has.
    """
    before = {pair.pair_id: pair for pair in read_records(run.pairs, Pair)}
    chooses = selector(limit=config.limit, categories=config.categories, name=config.rubric.category)
    pairs, changed, gone, is_whole = list[Pair](), set[str](), set(before), True
    for pair in load_pairs(config.data, earlier=before.get):
        was = before.get(pair.pair_id)
        gone.discard(pair.pair_id)
        if chooses(pair) or was is not None or pair.pair_id in made:
            pairs.append(pair)
        else:
            is_whole = False
        if was is not None and any(getattr(was, name) != getattr(pair, name) for name in _ASKED):
            changed.add(pair.pair_id)
    if gone:
        raise UsageError(
            f"{run.root} holds {len(gone)} pairs that this benchmark does not have ({', '.join(sorted(gone)[:3])}, …): "
            "it is of another benchmark; give another --run_dir"
        )
    return pairs, changed, is_whole


def _as_checked(config: Config, run: RunDir) -> list[Pair] | None:
    """The run's pairs, when the benchmark is byte for byte what an earlier launch checked and wrote them from.

    Each row would give the same pair again, and decoding its pictures takes most of the time that a resume needs to
    start. Neither time nor size of a file is believed: the benchmark's bytes are hashed, every picture's, and those of
    pairs.jsonl, which may be damaged.
    """
    if (
        config.data.is_on_hub
        or not run.checked.exists()
        or run.checked.read_text(encoding="utf-8", errors="replace") != _digests(config, run)
    ):
        return None
    pairs = list(read_records(run.pairs, Pair))
    folder = config.data.root
    for pair in pairs:
        for picture in (*pair.sources, *pair.references.values()):
            try:
                if picture.path is not None and not is_file(f"{folder}/{picture.path}", picture.sha256):
                    return None
            except OSError:  # reading row by row says which file that is
                return None
    return pairs


def _digests(config: Config, run: RunDir) -> str:
    """A hash of everything that decides a run's pairs, except picture files; empty when a file is missing."""
    data = config.data
    if data.is_on_hub:
        return ""
    try:
        files = {str(path): _digest(path) for path in (*data.parts, run.pairs)}
    except FileNotFoundError:
        return ""
    how = {"language": data.language, "images": str(data.images), "columns": dict(data.columns)}
    return key(files=files, **how, editbench=__version__)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_too_many_sources(editor: Editor, pairs: Sequence[Pair]) -> None:
    most = editor.max_sources
    if most is None:
        return
    found = [pair for pair in pairs if len(pair.sources) > most]
    if found:
        some = ", ".join(f"{pair.pair_id} ({len(pair.sources)})" for pair in found[:3])
        raise UsageError(
            f"--editor {editor.name} takes {'one picture' if most == 1 else f'{most} pictures'} a pair; "
            f"{len(found)} of {len(pairs)} pairs have more: {some}{', …' if len(found) > 3 else ''}. Choose an editor "
            "that takes them, or other --categories."
        )


def _refuse_another_editor(config: Config, run: RunDir) -> None:
    """One run holds the edits of one editor, seed and language: a mean over several would mean nothing."""
    if not run.config.exists():
        return
    recorded = read_settings(run.config)
    now: dict[str, Any] = {"editor": deciding(config.editor), "seed": config.seed, "language": config.language}
    standard = {item.name: item.default for item in dataclasses.fields(Config)}
    before: dict[str, Any] = {name: recorded.get(name, standard[name]) for name in now}
    if not isinstance(before["editor"], dict):
        raise UsageError(f"{run.config} names no editor; restore the file, or give --run_dir another directory")
    before["editor"] = {"class_path": None, "init_args": {}, **before["editor"]}
    recorded_args: dict[str, Any] = before["editor"]["init_args"] or {}
    # a setting that was added after the run was recorded had its default
    is_same = before["editor"]["class_path"] == now["editor"]["class_path"]
    args = (_defaults(config.editor) if is_same else {}) | recorded_args
    before["editor"]["init_args"] = {name: value for name, value in args.items() if name not in config.editor.neutral}
    for settings, rewrite in ((before, recorded.get("rewrite")), (now, config.rewrite)):
        settings["prompts"] = "the instructions" if rewrite is None else "rewritten"
    if found := differences(before, now):
        raise UsageError(
            f"{run.root} holds the edits of other settings:\n" + "\n".join(f"  {line}" for line in found) + "\n"
            "Give another --run_dir, or the same settings to continue that run."
        )


def _defaults(editor: Editor) -> dict[str, Any]:
    missing = dataclasses.MISSING
    return {
        item.name: item.default if item.default is not missing else item.default_factory()  # pyright: ignore
        for item in dataclasses.fields(editor)  # pyright: ignore[reportArgumentType]
        if item.init and (item.default is not missing or item.default_factory is not missing)
    }


def prompts_of(config: Config) -> dict[str, str]:
    """By pair id, what the editor gets in place of the instruction; empty without `--rewrite`."""
    return {} if config.rewrite is None else read_prompts(config.rewrite)


def edit_key_of(editor: Editor, identity: Mapping[str, str]) -> Callable[[Pair, int, str | None], str]:
    """What an edit of a pair depends on, hashed, as a function of the pair, the try's seed and a rewritten prompt."""
    how: dict[str, Any] = {"editor": deciding(editor), **({"identity": dict(identity)} if identity else {})}

    def of(pair: Pair, seed: int, prompt: str | None = None) -> str:
        more = {"also": editor.also_decides(pair), "prompt": prompt}
        given = {name: value for name, value in more.items() if value is not None}
        return edit_key(pair, **how, seed=seed, **given)

    return of
