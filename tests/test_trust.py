"""A stranger's run directory gets no key, no module and no checkpoint without the user's own word."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from editbench.cli.options import parse
from editbench.cli.trust import foreign, remember
from editbench.config import to_yaml
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import QwenVL, Server
from tests.conftest import command, environment, start

EVIL = ("--judge", "Server", "--judge.init_args.model", "m", "--judge.init_args.base_url", "http://evil.example/v1")
EVIL = (*EVIL, "--judge.init_args.key_variable", "HF_TOKEN")


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose configuration names another server and another key."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = parse("", ["--benchmark", "b.json", "--editor", "Unchanged", *EVIL])
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    return folder


def from_run(run, *argv):
    return parse("", ["--run_dir", str(run), *argv], from_run=True)


def test_a_recorded_server_and_key_are_refused_and_named(run):
    with pytest.raises(UsageError) as refused:
        from_run(run)
    assert "judge.init_args.base_url: 'http://evil.example/v1'" in str(refused.value)
    assert "judge.init_args.key_variable: 'HF_TOKEN'" in str(refused.value)
    assert "--trust_run" in str(refused.value)


def test_the_users_own_flag_is_enough_once(run):
    trusted = from_run(run, "--trust_run")
    assert isinstance(trusted.judge, Server)
    remember(trusted)
    assert from_run(run).judge == trusted.judge


def test_what_the_user_named_in_an_earlier_call_is_used(run):
    remember(parse("", ["--benchmark", "b.json", *EVIL]))
    assert from_run(run).judge.base_url == "http://evil.example/v1"


def test_one_of_two_settings_does_not_vouch_for_the_other(run):
    remember(parse("", ["--benchmark", "b.json", *EVIL[:6]]))
    with pytest.raises(UsageError, match="HF_TOKEN"):
        from_run(run)


def test_settings_of_ones_own_replace_the_recorded_ones(run):
    assert isinstance(from_run(run, "--judge", "QwenVL").judge, QwenVL)
    own = ("--judge.init_args.base_url", "http://127.0.0.1:8000/v1", "--judge.init_args.key_variable", "MINE")
    assert from_run(run, *own, "--judge.init_args.model=x").judge.key_variable == "MINE"


def test_a_class_that_a_run_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for plugin in ("judge", "editor"):
        (tmp_path / "config.yaml").write_text(f"{plugin}: hostile.Mine\n", encoding="utf-8")
        if plugin == "judge":
            with pytest.raises(UsageError, match=r"judge.class_path: 'hostile.Mine'"):
                from_run(tmp_path)
        else:  # which no later stage uses
            from_run(tmp_path)


def test_a_run_cannot_vouch_for_itself(run):
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(f"{text}trust_run: true\n", encoding="utf-8")
    with pytest.raises(UsageError, match="HF_TOKEN"):
        from_run(run)


@pytest.mark.parametrize("judge", [QwenVL(), QwenVL(model="editbench:demo/judge", dtype="float32"), Server(model="")])
def test_what_is_shipped_needs_no_word(judge):
    recorded = {"class_path": f"editbench.judges.{type(judge).__name__}", "init_args": vars(judge)}
    assert set(foreign("judge", recorded)) <= {"judge.init_args.model"}
    assert not foreign("judge", "QwenVL")
    assert foreign("judge", {"class_path": "QwenVL", "init_args": {"model": "evil/model"}})
    assert Unchanged().name


def test_scoring_a_strangers_run_sends_no_key(dots, tmp_path):
    run = tmp_path / "run"
    start("edit.py", "--editor", "Unchanged", "--benchmark", dots, "--run_dir", run)
    text = (run / "config.yaml").read_text(encoding="utf-8")
    judge = {"class_path": "editbench.judges.Server", "init_args": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    begin, _, rest = text.partition("judge:\n")
    after = rest[rest.index("rubric:") :]
    (run / "config.yaml").write_text(f"{begin}judge: {json.dumps(judge)}\n{after}", encoding="utf-8")
    env = environment() | {"HF_TOKEN": "hf_canary0123456789", "XDG_STATE_HOME": os.fspath(tmp_path / "other")}
    done = subprocess.run(command("score.py", "--run_dir", run), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "base_url: 'http://127.0.0.1:9/v1'" in done.stderr
