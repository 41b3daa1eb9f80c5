"""A run on the Hugging Face hub: as a dataset with its pictures, and its headlines on a model's page."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path

from editbench.config import Config
from editbench.errors import UsageError
from editbench.installation import install
from editbench.process.console import start_logging
from editbench.process.faults import reason
from editbench.process.world import World
from editbench.report import tell
from editbench.report.hub import RESULTS, write_hub_folder
from editbench.run.durable import refuse_unwritable
from editbench.run.run_dir import RunDir
from editbench.run.yaml_file import read_settings
from editbench.stages.run_records import read_run

log = logging.getLogger(__name__)

FOLDER = "hub"
"""Below the run directory: what is uploaded."""
_REPOSITORY = re.compile(r"hf:(?P<name>[^@:]+)(@(?P<revision>[^:]+))?(:.+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def push(
    config: Config,
    world: World,
    *,
    repository: str,
    dry_run: bool = False,
    public: bool = False,
    model: str | None = None,
) -> int:
    """Write the run's folder for the hub, and upload it unless `dry_run`.

    Args:
        config: names the run; with `scores` one of its score files.
        world: only rank 0 works.
        repository: `hf:owner/name` of the dataset; made where it is not there.
        dry_run: write the folder only.
        public: whether a dataset that is made is for everybody; otherwise it is private.
        model: `hf:owner/name` of the model that made the edits: its page gets the headlines by a pull request.

    Returns:
        0.

    Raises:
        UsageError: a name that the hub can't have, nothing to report, no pyarrow, or a hub that refuses or is away.
        OSError: the folder can't be written.
    """
    if world.rank != 0:
        return 0
    start_logging(None, "push", world)
    name, of_model = _name(repository, "push"), None if model is None else _name(model, "--model")
    if find_spec("pyarrow") is None:
        raise UsageError(f"push writes the table as Parquet, and pyarrow is missing: {install('parquet')}")
    run = RunDir(config.the_run)
    folder = run.root / FOLDER
    refuse_unwritable(folder)
    content = tell(list(read_run(run, config.scores, rubric=config.rubric)))
    benchmark, revision = _benchmark(str(read_settings(run.config).get("benchmark"))) or (name, None)
    write_hub_folder(content, folder, name, benchmark, revision)
    results = sorted((folder / RESULTS).glob("*.yaml"))
    log.info("%s: %d pairs, %d files of results.", folder, len(content.runs[0].run.pairs), len(results))
    if not results:
        log.warning("No %s: %s.", RESULTS, content.runs[0].summary.state)
    if dry_run:
        return 0
    _upload(folder, name, public=public)
    if of_model is not None and results:
        _propose(folder / RESULTS, of_model)
    return 0


def _name(given: str, option: str) -> str:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = given.removeprefix("hf:")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"{option} {given}: {error}") from error
    if name == given or "/" not in name:
        raise UsageError(f"{option} {given}: give hf:owner/name")
    return name


def _benchmark(path: str) -> tuple[str, str | None] | None:
    """The hub's dataset that a run's pairs came from, with its commit where one was named."""
    found = _REPOSITORY.fullmatch(path)
    if found is None:
        return None
    revision = found["revision"]
    return found["name"], revision if revision and _COMMIT.fullmatch(revision) else None


def _upload(folder: Path, name: str, *, public: bool) -> None:
    from huggingface_hub import HfApi

    api = HfApi(library_name="editbench")
    try:
        api.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        done = api.upload_folder(
            repo_id=name, repo_type="dataset", folder_path=folder, commit_message="Upload a run of editbench"
        )
    except Exception as error:
        raise _refused(name, error, folder) from error
    log.info("Pushed: %s", done.commit_url)


def _propose(folder: Path, model: str) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    files = [
        CommitOperationAdd(path_in_repo=f"{RESULTS}/{path.name}", path_or_fileobj=path)
        for path in sorted(folder.glob("*.yaml"))
    ]
    try:
        done = HfApi(library_name="editbench").create_commit(
            model, files, commit_message="Add evaluation results", create_pr=True
        )
    except Exception as error:
        raise _refused(model, error, folder) from error
    log.info("Proposed to the model: %s", done.pr_url)


def _refused(name: str, error: Exception, folder: Path) -> UsageError:
    return UsageError(
        f"{name} could not be written on the hub ({reason(error)}). Log in with a token that may write: hf auth login. "
        f"Where the hub is away, give the same command later; {folder} holds everything that is uploaded."
    )
