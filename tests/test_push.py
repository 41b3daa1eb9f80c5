"""The folder for the hub, opened by the hub's own readers; and the upload, against a loopback server."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard, parse_eval_result_entries

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Recorded
from editbench.process.world import World
from editbench.report import tell
from editbench.report.hub import eval_results, task_id, write_hub_folder
from editbench.stages.edit import edit
from editbench.stages.push import push
from editbench.stages.score import score
from tests.conftest import ROOT, environment
from tests.drawn import make_photos, make_run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def run(dots, tmp_path_factory):
    """The twelve, all with the value 6."""
    folder = tmp_path_factory.mktemp("push")
    values = folder / "people.jsonl"
    rows = [{"pair_id": f"dot{number:02d}", "value": 6} for number in range(12)]
    values.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = Config(benchmark=dots, run_dir=(folder / "run",), editor=Unchanged(), judge=Recorded(values=str(values)))
    assert edit(config, World()) == score(config, World()) == 0
    return config


def test_the_folder_is_a_dataset_that_shows_pictures(run, tmp_path):
    assert push(run, World(), repository="hf:owner/dots", dry_run=True) == 0
    folder = run.the_run / "hub"
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))  # by the card's own configuration
    assert list(found) == ["test"]
    rows = found["test"]
    assert [type(rows.features[name]) for name in ("source", "edit")] == [datasets.Image] * 2
    assert [row["value"] for row in rows] == [6.0] * 12
    assert rows[3]["edit"].tobytes() == rows[3]["source"].tobytes() == bytes((60, 0, 0)) * 16
    table = datasets.load_dataset("parquet", data_files=str(folder / "data/pairs.parquet"), cache_dir=str(tmp_path))
    assert table["train"].features == rows.features


def test_the_card_is_the_report_under_the_hub_s_own_fields(run):
    push(run, World(), repository="hf:owner/dots", dry_run=True)
    card = DatasetCard.load(run.the_run / "hub" / "README.md")
    card.data.to_yaml()
    assert (card.data.pretty_name, card.data.task_categories) == ("run", ["image-to-image"])
    assert "12 of 12 scored" in card.text
    shown = [line for line in card.text.splitlines() if line.startswith("![")]
    assert shown
    assert all((run.the_run / "hub" / line.partition("](")[2].rstrip(")")).is_file() for line in shown)


def test_results_are_read_by_the_hub_s_own_parser(run):
    push(run, World(), repository="hf:owner/dots", dry_run=True)
    (path,) = (run.the_run / "hub" / ".eval_results").iterdir()
    assert path.name == "people.yaml"
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    first = parse_eval_result_entries(rows)[0]
    assert (first.dataset_id, first.task_id, first.value) == ("owner/dots", "category_mean", 6.0)
    assert first.source_url == "https://huggingface.co/datasets/owner/dots"
    assert isinstance(first.date, str)
    assert first.notes.startswith("category mean on a scale of 0 to 10; 12 of 12 pairs scored; ")
    assert set(rows[0]) <= {"dataset", "value", "verifyToken", "date", "source", "notes"}


def test_a_benchmark_of_the_hub_is_named_with_its_commit_and_each_headline_is_a_task(tmp_path):
    content = tell([make_photos(tmp_path / "photos")])
    write_hub_folder(content, tmp_path / "hub", "owner/run", "org/bench", COMMIT)
    (path,) = (tmp_path / "hub" / ".eval_results").iterdir()
    entries = parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert [(one.dataset_id, one.dataset_revision, one.task_id) for one in entries] == [
        ("org/bench", COMMIT, "p_overall"),
        ("org/bench", COMMIT, "p_quality"),
    ]
    for entry, headline in zip(entries, content.summaries[0].headlines, strict=True):
        assert entry.value == pytest.approx(headline.value, abs=5e-5)
        assert f"{headline.num_scored} of {headline.num_pairs} pairs scored" in entry.notes


def test_a_run_that_waits_has_no_results_and_those_of_an_earlier_call_go(tmp_path):
    (tmp_path / ".eval_results").mkdir()
    (tmp_path / ".eval_results" / "old.yaml").write_text("- value: 9\n", encoding="utf-8")
    content = tell([make_run(tmp_path / "run")])
    write_hub_folder(content, tmp_path, "owner/run", "owner/run", None)
    assert eval_results(content.runs[0], "owner/run", "owner/run", None) == b""
    assert list((tmp_path / ".eval_results").iterdir()) == []
    assert (tmp_path / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_a_task_s_name_holds_no_space():
    assert task_id("category mean") == "category_mean"
    assert task_id("G_O (en)") == "g_o_en"
    assert task_id("总分") == "default"


@pytest.mark.parametrize("name", ["owner/dots", "hf:dots", "hf:a/b/c", "hf:owner/a..b"])
def test_a_name_that_the_hub_can_not_have_is_refused_before_anything_is_written(run, name, tmp_path):
    config = Config(run_dir=(tmp_path / "none",))
    with pytest.raises(UsageError, match="push"):
        push(config, World(), repository=name)
    assert not (tmp_path / "none").exists()


class Hub(BaseHTTPRequestHandler):
    """What the hub answers to an upload of files that it wants inside the commit."""

    asked: list[tuple[str, Any]]
    url: str

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        lines = [json.loads(line) for line in body.splitlines()]
        self.asked.append((self.path, lines))
        if path == "/api/repos/create":
            answer: dict[str, Any] = {"url": f"{self.url}/datasets/owner/dots", "name": "owner/dots"}
        elif path == "/api/validate-yaml":
            answer = {"errors": [], "warnings": []}
        elif path.endswith("/preupload/main"):
            files = [{"path": one["path"], "uploadMode": "regular"} for one in lines[0]["files"]]
            answer = {"files": [one | {"shouldIgnore": False, "oid": None} for one in files]}
        else:
            assert path.endswith("/commit/main"), path
            place = path.removeprefix("/api/").removesuffix("/commit/main").removeprefix("models/")
            answer = {"commitUrl": f"{self.url}/{place}/commit/{COMMIT}", "commitOid": COMMIT}
            answer |= {"pullRequestUrl": f"{self.url}/{place}/discussions/1"} if "create_pr" in self.path else {}
        self.send(answer)

    def do_GET(self) -> None:
        self.send({"id": "owner/dots", "sha": COMMIT, "siblings": []})

    def send(self, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub():
    kind = type("Bound", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    kind.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kind
    server.shutdown()
    server.server_close()


def call(run, url, *more):
    """A process of its own: the hub's client reads its address once, when it is imported."""
    env = environment() | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": url, "HF_TOKEN": "hf_canary0123456789"}
    argv = [sys.executable, "-m", "editbench", "push", "hf:owner/dots", "--run_dir", str(run.the_run), *more]
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=ROOT, check=False)


def test_the_folder_is_uploaded_and_the_results_are_proposed_to_the_model(run, hub):
    done = call(run, hub.url, "--model", "hf:org/model")
    assert done.returncode == 0, done.stderr
    create = next(lines[0] for path, lines in hub.asked if path == "/api/repos/create")
    assert create["type"] == "dataset"
    assert (
        create.get("visibility", "private" if create.get("private") else None) == "private"
    )  # by the client's version
    commits = {path: lines for path, lines in hub.asked if "/commit/" in path}
    (to_data, to_model) = (next(p for p in commits if p.startswith(f"/api/{kind}/")) for kind in ("datasets", "models"))
    named = {line["value"]["path"] for line in commits[to_data] if line["key"] == "file"}
    assert {"README.md", "data/pairs.parquet", ".eval_results/people.yaml", "plots/scores.svg"} <= named
    assert "create_pr=1" in to_model
    assert [line["value"]["path"] for line in commits[to_model] if line["key"] == "file"] == [
        ".eval_results/people.yaml"
    ]
    assert "hf_canary" not in done.stderr


def test_a_hub_that_is_away_is_said_with_what_to_do(run):
    done = call(run, "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "owner/dots could not be written on the hub" in done.stderr
    assert "hf auth login" in done.stderr
    assert "Traceback" not in done.stderr
