"""One configuration for all three scripts."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from editbench.benchmark import Data
from editbench.editors import Editor, QwenImageEdit, Saved
from editbench.errors import UsageError
from editbench.installation import install
from editbench.judges import Judge, QwenVL
from editbench.models.checkpoints import locate
from editbench.process.redaction import secret_settings
from editbench.records import Language
from editbench.rubrics import FiveAspects, Rubric
from editbench.run.run_dir import file_stem

Plugin = Editor | Judge | Rubric


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a whole evaluation is made of; every script takes all of it.

    Each field says what it decides: edits, scores, or neither. Where that changes, finished work does not count.
    """

    benchmark: Path | None = None
    """The pairs: a file (.json, .jsonl, .csv, .tsv, .parquet, .arrow), a folder of such files, or `hf:owner/name`;
    none: the embedded demo. Decides edits."""
    images: Path | None = None
    """Folder that the paths of pictures start from; none: the benchmark's own. Changes neither."""
    files: str | None = None
    """Of a folder: the files that hold the pairs, such as `*/annotation.json`; none: found by name. Decides edits."""
    columns: dict[str, str | list[str]] = field(default_factory=dict[str, str | list[str]])
    """Which column holds what: `source=input_image,instruction=edit_prompt,id={task}_{key}`; none: by their names.
    Decides edits."""
    run_dir: tuple[Path, ...] = ()
    """The run directory; report.py takes several. None: runs/<benchmark's name>."""
    limit: int | None = None
    """Only the first N pairs of each category. Changes neither, only how many."""
    categories: tuple[str, ...] = ()
    """Only these. Changes neither, only how many."""
    language: Language | Literal["all"] = "en"
    """Which of the benchmark's languages the editor and the judge read; all: each pair in each of its languages.
    Changes edits and scores."""
    seed: int = 0
    """The run's seed, from which each pair's own is derived; 0 or more. Changes edits."""
    edits: int = 1
    """How many tries each pair has, each from another seed. Changes neither, only how many."""
    rewrite: Path | None = None
    """A file of prompts (`pair_id`, `prompt`) that the editor gets in place of the instructions; the judge sees the
    instructions. Changes edits."""
    editor: Editor = field(default_factory=QwenImageEdit)
    """What makes the edits: a class that `editbench ls` lists, or your own by its import path. Changes edits."""
    judge: Judge = field(default_factory=QwenVL)
    """What answers the rubric's questions: a class that `editbench ls` lists, or your own. Changes scores."""
    rubric: Rubric = field(default_factory=FiveAspects)
    """The questions to the judge and how its replies become numbers: a class that `editbench ls` lists, or your own.
    Changes scores."""
    repeats: int = 1
    """Replies to each question; more than one are drawn at random, and the value is their mean. Changes scores."""
    expected: bool = False
    """No reply, but the mean of a question's digits under the judge's probabilities. Changes scores."""
    scores: str | None = None
    """Name of the file under scores/; none: the judge's, with `-expected` where that is asked. Changes neither."""
    batch_size: int | None = None
    """Questions that the judge answers at once; none: by free memory. Changes a reply only as rounding can."""
    controls: int = 0
    """How many pairs' controls are judged after the edits; `--controls` alone: 24. Changes neither."""
    max_failures: int | None = None
    """Exit with code 1 when more pairs than this failed; none: only when all did. Changes neither."""
    hang_after_s: float = 1800
    """A process that spends more seconds than this on one pair or one batch of the judge takes itself to be stuck and
    ends with code 3. Changes neither."""
    load_in_turns: bool = False
    """Ranks of one machine load their weights one after another, to spare host memory. Changes neither."""
    accept_changes: bool = False
    """Edit finished pairs again whose row of the benchmark has changed, instead of refusing it. Changes edits."""
    check: bool = False
    """Only check the benchmark and the configuration, then stop. Changes neither."""
    out: Path | None = None
    """Where the report is written; none: into the run, or beside the runs if several. Of an export: where the edits are
    written. Changes neither."""
    standalone: bool = False
    """report.html holds its pictures itself, small ones, and can be moved alone. Changes neither."""
    export: Path | None = None
    """A .csv or .parquet that report.py writes too: a row for each pair of each score file. Changes neither."""
    plots: Path | None = None
    """A folder that report.py writes the plots to as PDF and PNG too. Changes neither."""
    track: Literal["wandb", "trackio"] | None = None
    """A tracker that report.py, and so `editbench run`, logs numbers and pictures to as well. Changes neither."""
    trust_run: bool = False
    """Use the server, key variable, class and checkpoint that the run's own config.yaml names, though this user has
    not named them before; needed once. Changes neither."""
    launcher: Literal["auto", "slurm", "single"] = "auto"
    """Where a process gets its rank: auto: torchrun, where it started the process; slurm: srun, one task a GPU; single:
    this process works alone. Changes neither."""
    watch: bool = False
    """report.py writes report.html again while a run goes, until it is complete. Changes neither."""
    index: Path | None = None
    """A folder of run directories: report.py writes index.html there, the newest run first, and nothing else. Changes
    neither."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant. `Saved` without template or table gets the template of the rubric's benchmark.

        Raises:
            UsageError: a number out of range, or a key among the settings.
        """
        checks = (
            ("limit", 1),
            ("edits", 1),
            ("batch_size", 1),
            ("repeats", 1),
            ("controls", 0),
            ("max_failures", 0),
            ("seed", 0),
        )
        for name, lowest in checks:
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise UsageError(f"--{name} {value}: it must be {lowest} or more")
        if self.hang_after_s <= 0:
            raise UsageError(f"--hang_after_s {self.hang_after_s}: it must be more than 0")
        if self.scores is not None and file_stem(self.scores) != self.scores:
            raise UsageError(f"--scores {self.scores}: it must be a file's name without extension, such as `blind`")
        form = self.export.suffix if self.export else ".csv"
        if form not in (".csv", ".parquet"):
            raise UsageError(f"--export {self.export}: its ending must be .csv or .parquet")
        if form == ".parquet" and find_spec("pyarrow") is None:
            raise UsageError(f"--export {self.export}: pyarrow is missing: {install('parquet')}; or give a .csv")
        beside_index = ("out", "export", "plots", "track", "watch", "standalone")
        if self.index is not None and (given := [f"--{name}" for name in beside_index if getattr(self, name)]):
            raise UsageError(f"--index: nothing else is written; leave out {', '.join(given)}")
        if self.track and find_spec(self.track) is None:
            raise UsageError(f"--track {self.track}: it is missing: pip install {self.track}")
        if self.expected and self.repeats > 1:
            raise UsageError("--expected and --repeats: an expected score has no draws to repeat")
        if isinstance(self.editor, Saved) and not (self.editor.template or self.editor.table) and self.rubric.layout:
            # pictures that others made lie where the benchmark's own scripts look for them
            object.__setattr__(self, "editor", dataclasses.replace(self.editor, template=self.rubric.layout["edit"]))
        if isinstance(self.editor, Saved):
            self.editor.category = self.rubric.category
        for plugin in (self.editor, self.judge, self.rubric):
            declared = getattr(plugin, "secret", None)  # a ClassVar: the settings of that class that hold keys
            if secret := list(secret_settings(settings(plugin)["init_args"], declared)):
                raise UsageError(
                    f"{type(plugin).__qualname__}: {', '.join(secret)} would put a key into the run's config.yaml; "
                    "give the name of an environment variable that holds it, or let the class read one"
                )

    @property
    def the_benchmark(self) -> Path:
        """The benchmark file: the one given, or the embedded demo's."""
        return self.benchmark or Path(locate("editbench:demo/pairs.json"))

    @property
    def data(self) -> Data:
        """The benchmark with how it is read."""
        return Data(
            path=self.the_benchmark,
            images=self.images,
            files=self.files,
            columns=self.columns,
            language=self.language,
            offline=self.check,
        )

    @property
    def the_scores(self) -> str:
        """The name of the file of scores."""
        return self.scores or self.judge.name + ("-expected" if self.expected else "")

    @property
    def the_run(self) -> Path:
        """The one run directory of a stage that works on one.

        Raises:
            UsageError: several were given.
        """
        if len(self.run_dir) > 1:
            raise UsageError(f"--run_dir: one directory, not {len(self.run_dir)}; only report.py compares several")
        name = "demo" if self.benchmark is None else self.data.name
        return self.run_dir[0] if self.run_dir else Path("runs") / name


def settings(plugin: Plugin) -> dict[str, Any]:
    """What `--editor`, `--judge` or `--rubric` was resolved to: `{"class_path": …, "init_args": {…}}`, plain data.

    Raises:
        UsageError: the class is not a dataclass, so its settings are unknown.
    """
    kind = type(plugin)
    if not dataclasses.is_dataclass(plugin):
        raise UsageError(f"{kind.__module__}.{kind.__qualname__} must be a dataclass: its fields are its settings")
    # ours are named by the package that exports them, such as editbench.rubrics, which stays when a module moves
    package = ".".join(kind.__module__.split(".")[:2])
    exported = package.startswith("editbench.") and hasattr(sys.modules[package], kind.__qualname__)
    public = package if exported else kind.__module__
    init_args = {item.name: getattr(plugin, item.name) for item in dataclasses.fields(plugin) if item.init}
    return {"class_path": f"{public}.{kind.__qualname__}", "init_args": init_args}


def deciding(plugin: Plugin) -> dict[str, Any]:
    """The settings that decide the result: all but the neutral ones."""
    every = settings(plugin)
    kept = {name: value for name, value in every["init_args"].items() if name not in plugin.neutral}
    return every | {"init_args": kept}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> list[str]:
    """Where two nests of settings differ, a line each: `editor.init_args.seed: 1 there, 2 now`."""
    lines: list[str] = []
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{within}{name}.")
        elif before != after:
            lines.append(f"{within}{name}: {before!r} there, {after!r} now")
    return lines


def to_yaml(config: Config) -> str:
    """The whole configuration as YAML that `--config` reads back to the same."""
    import yaml

    row: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if isinstance(value, Editor | Judge | Rubric):
            value = settings(value)
        elif isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = [str(entry) for entry in value]
        row[item.name] = value
    of_a_launch = (
        "check",
        "accept_changes",
        "standalone",
        "export",
        "plots",
        "track",
        "watch",
        "index",
        "trust_run",
        "launcher",
    )
    for wish in of_a_launch:  # not of the evaluation
        del row[wish]
    return yaml.safe_dump(row, sort_keys=False, allow_unicode=True)
