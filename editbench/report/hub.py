"""A run as a folder for the Hugging Face hub: a dataset of its pairs with their pictures, a card, and results.

    README.md                    the dataset card: how the hub shows the table, then the report
    data/pairs.parquet           the table of `--export`, with the pictures
    plots/*.svg                  those of the report
    .eval_results/JUDGE.yaml     the headlines of each score file, as a model's page reads them

A model's page reads `.eval_results` in the model's repository, and shows a result where `dataset.id` is a dataset that
the hub knows as a benchmark with a task `task_id` (https://huggingface.co/docs/hub/eval-results). A run that waits for
edits or scores gives no such file: its numbers are not the benchmark's yet.
"""

import re
from pathlib import Path

import yaml

from editbench.report import text
from editbench.report.content import Content, Reported
from editbench.report.export import write_export
from editbench.report.markdown import to_markdown
from editbench.report.measured import title
from editbench.report.plots import draw_plots
from editbench.run.durable import write_atomic
from editbench.run.run_dir import file_stem
from editbench.stats.summary import HeadlineValue

RESULTS = ".eval_results"
"""Folder of a model's repository that its page reads."""
_TABLE = "data/pairs.parquet"


def write_hub_folder(content: Content, folder: Path, repository: str, benchmark: str, revision: str | None) -> None:
    """Write the folder; files of another name that stand there stay.

    Args:
        content: of one run.
        folder: where to.
        repository: the dataset's name on the hub, `owner/name`; results name it as their source.
        benchmark: the dataset that the results are of, `owner/name`.
        revision: its commit, 40 hexadecimal digits; None: not known.

    Raises:
        OSError: the folder can't be written.
    """
    plots = {f"plots/{plot.name}.svg": plot for plot in draw_plots(content)}
    for path, plot in plots.items():
        write_atomic(folder / path, plot.svg)
    write_export(content, folder / _TABLE)
    card = _front_matter(content) + to_markdown(content, {path: plot.caption for path, plot in plots.items()})
    write_atomic(folder / "README.md", card.encode())
    for path in (folder / RESULTS).glob("*.yaml"):  # of an earlier call, whose scores may be gone
        path.unlink()
    for item in content.runs:
        if entries := eval_results(item, repository, benchmark, revision):
            name = file_stem(item.run.score_file or item.run.name)
            write_atomic(folder / RESULTS / f"{name}.yaml", entries)


def _front_matter(content: Content) -> str:
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=text.one_line(title(content), 200),
        task_categories=["image-to-image"],
        tags=["editbench", "image-editing"],
        configs=[{"config_name": "default", "data_files": [{"split": "test", "path": _TABLE}]}],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def eval_results(item: Reported, repository: str, benchmark: str, revision: str | None) -> bytes:
    """The headlines of a run that is complete as YAML; empty where it is not, or has none.

    The fields are those of https://github.com/huggingface/hub-docs/blob/main/eval_results.yaml.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    if not item.summary.complete:
        return b""
    entries = [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=task_id(headline.name),
            dataset_revision=revision,
            value=round(headline.value, 4),
            date=item.run.settings.get("date"),
            source_url=f"https://huggingface.co/datasets/{repository}",
            source_name="editbench: pictures, replies and report",
            notes=_notes(item, headline),
        )
        for headline in item.summary.headlines
        if headline.value is not None
    ]
    rows = eval_result_entries_to_yaml(entries)
    return yaml.safe_dump(rows, sort_keys=False, allow_unicode=True, width=10_000).encode() if rows else b""


def task_id(headline: str) -> str:
    """The name of a headline as that of a task: letters, digits, `_`, `-` and `.`."""
    return re.sub(r"[^a-z0-9.-]+", "_", headline.lower()).strip("_") or "default"


def _notes(item: Reported, headline: HeadlineValue) -> str:
    """What a reader must know beside the number, in a line."""
    scale = "" if headline.scale is None else f" on a scale of {headline.scale[0]:g} to {headline.scale[1]:g}"
    between = text.between(headline.interval, headline.interval_note)
    parts = [
        f"{text.label(headline.name)}{scale}",
        f"{headline.num_scored} of {headline.num_pairs} pairs scored",
        f"{'95 % interval ' if headline.interval else 'interval: '}{between}",
        *(
            f"{name} {item.run.settings[name]}"
            for name in ("judge", "rubric", "editbench")
            if name in item.run.settings
        ),
    ]
    return text.one_line("; ".join(parts))
