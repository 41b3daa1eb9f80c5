"""editbench from Python: `evaluate` a model, `load` what a run holds.

    result = editbench.evaluate("bench.json", Diffusers(pipeline=pipe, name="step-100"), run_dir="runs/step-100")
    result.headline.value, result.headline.interval

Both leave the calling program as it was, so that a training loop calls `evaluate` every N steps.
"""

import copy
import dataclasses
import difflib
import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from editbench.cli.options import PLUGINS, shipped_kinds
from editbench.cli.trust import remember
from editbench.config import Config
from editbench.editors import Editor
from editbench.errors import UsageError
from editbench.judges import Judge
from editbench.process.host import Host, free_memory
from editbench.process.world import World
from editbench.report.export import Cell, export_rows
from editbench.rubrics import Rubric
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.report import report
from editbench.stages.run_records import read_run
from editbench.stages.score import score
from editbench.stats.outcomes import FAILED, Outcome, RunRecords
from editbench.stats.summary import HeadlineValue, Mean, Summary, summarize

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
P = TypeVar("P", Editor, Judge, Rubric)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run says of an editor by one judge."""

    run_dir: Path
    """The run directory."""
    records: RunRecords = field(repr=False)
    """Pairs, edits and scores, as they stood when the result was read."""

    @cached_property
    def summary(self) -> Summary:
        """Everything that a report says of the run in numbers."""
        return summarize(self.records)

    @property
    def headline(self) -> HeadlineValue:
        """The first of the headlines, which decides between runs."""
        return self.summary.headlines[0]

    @property
    def headlines(self) -> Mapping[str, HeadlineValue]:
        """The benchmark's own numbers by name, each with `value` (None: nothing was scored), `interval` and `scale`."""
        return {one.name: one for one in self.summary.headlines}

    @property
    def overall(self) -> Mean:
        """The mean over all scored pairs, with the number of pairs that it is over."""
        return self.summary.overall

    @property
    def dimensions(self) -> Mapping[str, Mean]:
        """The mean of each dimension over the pairs that were asked for it, with its interval."""
        return self.summary.dimensions

    @property
    def categories(self) -> Mapping[str, Mean]:
        """The mean of each category, with its interval."""
        return self.summary.categories

    @property
    def failures(self) -> Mapping[str, Outcome]:
        """By pair id, the pairs that ended without a value: `status` is the kind, `reason` a sentence."""
        return {name: end for name, end in self.records.outcomes.items() if end.status in FAILED}

    @property
    def complete(self) -> bool:
        """Whether no pair waits to be edited or scored."""
        return self.summary.complete

    @property
    def report(self) -> Path | None:
        """The page `report.html`; None: none has been written into the run."""
        page = self.run_dir / "report.html"
        return page if page.is_file() else None

    def rows(self) -> list[dict[str, Cell]]:
        """A row for each try of each pair; None: no value.

        The columns are those of `report.py --export`, except the change to the source, which reports measure.
        """
        return export_rows([self.records])

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a data frame; pandas is imported here.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise UsageError("to_pandas needs pandas: pip install pandas; rows() needs nothing") from error
        return pd.DataFrame(self.rows())


def evaluate(
    benchmark: str | Path | None,
    editor: Editor | str,
    *,
    judge: Judge | str | None = None,
    rubric: Rubric | str | None = None,
    run_dir: str | Path | None = None,
    alone: bool = False,
    **settings: Any,
) -> Result:
    """Edit the benchmark's pairs, score the edits and write the report; what is finished in `run_dir` counts.

    One process calls it, or all ranks of a torch.distributed process group (of torchrun, where none is initialised), in
    the same order: each works on its share, and each gets the same result. `run_dir` is on a disk that all share. The
    host's loggers, threads, random generators, grad mode and model modes are kept. What the call loads is loaded into
    copies of `editor` and `judge` and freed; a judge that holds a model already (`QwenVL.adopt`) keeps it.

    Args:
        benchmark: a file, a folder or `hf:owner/name`; None: the embedded demo.
        editor: `Diffusers(pipeline=pipe, name="my-step-100")` for a pipeline in memory, another editor's instance, or
            the name of a class as on the command line.
        judge: an instance or a name; None: `QwenVL()`.
        rubric: an instance or a name; None: `FiveAspects()`.
        run_dir: None: `runs/` and the benchmark's name.
        alone: this process does all of the work, though it is one rank of several; no other rank need call.
        **settings: other fields of `editbench.config.Config`, such as `limit`, `edits`, `seed`, `language`, `repeats`.
            A pair on which the process hangs for `hang_after_s` ends it with code 3.

    Raises:
        UsageError: something to correct in the call, the benchmark or the run directory.
        OSError: the disk failed, or another rank raised an exception; the same call continues.
    """
    config = _config(benchmark, editor, judge, rubric, run_dir, settings)
    with Host() as host:
        world = World.in_host(host, alone=alone)
        try:
            if world.rank == 0:
                remember(config)
            free_memory()
            edit(_with_copies(config), world.apart("edit"))
            free_memory()
            score(_with_copies(config), world.apart("score"))
            free_memory()
            report(config, world)
            world.meet("reported")
            return load(config.the_run, scores=config.the_scores, rubric=config.rubric)
        except BaseException:
            world.give_up()
            raise


def load(run_dir: str | Path, *, scores: str | None = None, rubric: Rubric | str | None = None) -> Result:
    """Read a run, of whatever launch.

    Args:
        run_dir: the run directory.
        scores: the name of a score file; None: the run has one, or none.
        rubric: the rubric of the scores, where its class is your own.

    Raises:
        UsageError: nothing was edited there, a file is damaged, there is no such score file, or there are several.
    """
    run = RunDir(Path(run_dir))
    found = list(read_run(run, scores, rubric=None if rubric is None else _plugin("rubric", Rubric, rubric)))
    if len(found) > 1:
        names = ", ".join(str(one.score_file) for one in found)
        raise UsageError(f"{run.root} holds several score files ({names}): load(…, scores=NAME) says which")
    return Result(run_dir=run.root, records=found[0])


def _config(
    benchmark: str | Path | None,
    editor: Editor | str,
    judge: Judge | str | None,
    rubric: Rubric | str | None,
    run_dir: str | Path | None,
    settings: Mapping[str, Any],
) -> Config:
    own = {"benchmark", "editor", "judge", "rubric", "run_dir", "check", "watch", "index", "launcher", "trust_run"}
    known = {item.name for item in dataclasses.fields(Config)} - own
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(f"evaluate: no setting {name}" + (f"; is {near[0]} meant?" if near else ""))
    given: dict[str, Any] = dict(settings)
    for name, kind in get_type_hints(Config).items():
        if kind == Path | None and given.get(name) is not None:
            given[name] = Path(given[name])
    if "categories" in given:
        given["categories"] = tuple(given["categories"])
    if judge is not None:
        given["judge"] = _plugin("judge", Judge, judge)
    if rubric is not None:
        given["rubric"] = _plugin("rubric", Rubric, rubric)
    return Config(
        benchmark=None if benchmark is None else Path(benchmark),
        editor=_plugin("editor", Editor, editor),
        run_dir=() if run_dir is None else (Path(run_dir),),
        **given,
    )


def _plugin(option: str, base: type[P], given: object) -> P:
    """The instance given, or one of the class named, with its default settings.

    Raises:
        UsageError: it is neither, there is no such class, or the class has settings without a default.
    """
    if isinstance(given, base):
        return given
    if not isinstance(given, str):
        live = ": give Diffusers(pipeline=…, name=…)" if hasattr(given, "components") else ""
        raise UsageError(f"{option}: {type(given).__qualname__} is no {base.__name__}{live}")
    module, _, name = given.rpartition(".")
    try:
        kind: Any = getattr(importlib.import_module(module) if module else PLUGINS[option][0], name)
    except (ImportError, AttributeError) as error:
        known = ", ".join(one.__name__ for one in shipped_kinds(option))
        raise UsageError(f"{option}={given!r}: no such class; shipped are {known}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UsageError(f"{option}={given!r} is no {base.__name__}")
    try:
        return kind()
    except TypeError as error:
        raise UsageError(
            f"{option}={given!r} has settings to give: {name}(…) in place of the name ({error})"
        ) from error


def _with_copies(config: Config) -> Config:
    """The same with copies of editor and judge, so that what a stage loads is freed with them."""
    return dataclasses.replace(config, editor=copy.copy(config.editor), judge=copy.copy(config.judge))
