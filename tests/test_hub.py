"""A model that the hub does not give: which, why and what to do is told in a few words."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import command, environment, start


class Gate(BaseHTTPRequestHandler):
    """Answers as the hub does for a model whose terms nobody has accepted yet."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access to model org/gated is restricted")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def gate() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(monkeypatch, tmp_path) -> pytest.MonkeyPatch:
    """Nothing downloaded before, no key."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return monkeypatch


def told(script: str, *argv: str | Path, offline: str = "0") -> str:
    argv_list, env = command(script, *argv), environment() | {"HF_HUB_OFFLINE": offline}
    done = subprocess.run(argv_list, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(("offline", "why"), [("1", "OfflineModeIsEnabled"), ("0", "Connection refused")])
def test_a_hub_that_cannot_be_reached_is_named_with_what_to_do(hub, photos_json, tmp_path, offline, why):
    hub.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    argv = ("--editor.init_args.model", "org/gone", "--benchmark", photos_json, "--run_dir", tmp_path / "run")
    said = told("edit.py", *argv, offline=offline)
    assert "org/gone is not on this machine, and the hub does not give it" in said
    assert why in said
    assert "hf download org/gone" in said


def test_a_lora_that_the_hub_does_not_give_is_named_too(hub, dots, tmp_path):
    argv = ("--config", "demo", "--editor.init_args.lora", "org/gone/few-steps.safetensors")
    said = told("edit.py", *argv, "--benchmark", dots, "--run_dir", tmp_path / "run", offline="1")
    assert "org/gone is not on this machine, and the hub does not give it" in said


@pytest.mark.parametrize(("script", "option"), [("edit.py", "editor"), ("score.py", "judge")])
def test_a_gated_model_is_told_from_one_that_is_not_there(hub, gate, photos_json, tmp_path, script, option):
    hub.setenv("HF_ENDPOINT", gate)
    argv = ("--benchmark", photos_json, "--run_dir", tmp_path / "run")
    if script == "score.py":
        start("edit.py", *argv, "--editor", "Unchanged")
    said = told(script, *argv, f"--{option}.init_args.model", "org/gated")
    assert "org/gated is not on this machine, and the hub does not give it (GatedRepoError: 403" in said
    assert "Access to model org/gated is restricted" in said
    assert "hf auth login" in said
