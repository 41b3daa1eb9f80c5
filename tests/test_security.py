"""Nobody gets in by a checkpoint, and no key gets out by a run directory."""

import json
import os
import pickle
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from editbench.cli import command as command_module
from editbench.config import Config
from editbench.editors import EditFailed, Unchanged
from editbench.errors import UsageError
from editbench.judges import QwenVL
from editbench.process.redaction import redacted
from editbench.process.world import World
from tests.conftest import ROOT, command, environment, start

CANARY = "sk-canary-0123456789abcdef"
DEMO_JUDGE = ROOT / "editbench" / "demo" / "judge"


@dataclass(kw_only=True)
class TalkativeEditor(Unchanged):
    """Puts its key into whatever goes wrong, as clients of servers do."""

    endpoint: str = ""

    def edit(self, pair, sources, seed):
        key = os.environ["IMAGE_API_KEY"]
        if "物理" in pair.pair_id:
            raise EditFailed(f"401 for https://user:hunter2hunter2@example.org/edit?key={key}")
        if "社会" in pair.pair_id:
            raise RuntimeError(f"Authorization: Bearer {key}")
        return sources[0]


def test_a_key_is_nowhere_in_the_run_directory_or_the_logs(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = ("--editor", "tests.test_security.TalkativeEditor", "--benchmark", photos_json, "--run_dir", run)
    env = environment() | {"IMAGE_API_KEY": CANARY, "HF_TOKEN": f"hf_{CANARY}"}
    done = subprocess.run(command("edit.py", *argv), capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0
    held = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file()) + done.stderr.encode()
    assert b"[IMAGE_API_KEY]" in held
    assert CANARY.encode() not in held
    assert b"hunter2" not in held


@pytest.mark.parametrize("value", [f"https://user:{CANARY}@example.org", CANARY])
def test_a_key_in_the_configuration_is_refused_before_anything_is_written(photos_json, tmp_path, value):
    run = tmp_path / "run"
    argv = ("--editor", "tests.test_security.TalkativeEditor", "--editor.init_args.endpoint", value)
    env = environment() | {"IMAGE_API_KEY": CANARY}
    argv_list = command("edit.py", *argv, "--benchmark", photos_json, "--run_dir", run)
    done = subprocess.run(argv_list, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2
    assert "endpoint would put a key into" in done.stderr
    assert CANARY not in done.stderr
    assert not run.exists()


@dataclass(kw_only=True)
class Configured(Unchanged):
    """Settings of many names, as clients of servers have them."""

    api_key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    address: str = ""
    more: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"api_key": "x"}, "api_key"),
        ({"headers": {"Authorization": "Bearer x"}}, "headers.Authorization"),
        ({"headers": {"X-Api-Key": "x"}}, "headers.X-Api-Key"),
        ({"headers": {"Proxy": "https://me:pass@proxy"}}, "headers.Proxy"),
        ({"address": "https://example.org/v1?version=2&api_key=x1"}, "address"),
        ({"address": "https://example.org/v1?X-Amz-Signature=x1"}, "address"),
        ({"more": ["a", "Authorization: Basic eDp5"]}, "more"),
    ],
)
def test_a_setting_that_holds_a_key_is_refused_and_named(settings, named):
    Config(editor=Configured())
    with pytest.raises(UsageError, match=f"Configured: {named} would put a key") as raised:
        Config(editor=Configured(**settings))
    assert "x1" not in str(raised.value)


@dataclass(kw_only=True)
class Declared(Configured):
    """Says which of its settings hold keys."""

    passcode: str = ""
    secret: ClassVar[frozenset[str]] = frozenset({"passcode"})


def test_a_setting_is_no_secret_for_the_sound_of_its_name():
    Config(editor=Triggered(image_key="source", trigger_token="<sks>"))
    Config(editor=Declared(api_key="a word, the class says"))
    with pytest.raises(UsageError, match="Declared: passcode would put a key"):
        Config(editor=Declared(passcode="x"))


@dataclass(kw_only=True)
class Triggered(Unchanged):
    image_key: str = ""
    trigger_token: str = ""


KEYS = (
    "sk-proj-0123456789abcdef",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "aB3dE5gH7jK9mN1pQ2rS",
)


@pytest.mark.parametrize("key", KEYS)
def test_what_can_be_seen_to_be_a_key_is_refused_under_any_name(key):
    with pytest.raises(UsageError, match="Triggered: image_key would put a key"):
        Config(editor=Triggered(image_key=key))


@pytest.mark.parametrize("name", ["SOMETHING", "X1", "MY_SERVICE"])
@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_the_environment_is_in_no_text_whatever_its_variable_is_called(monkeypatch, name, key):
    monkeypatch.setenv(name, key)
    assert key not in redacted(f"before {key} after")


NAMES = ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_PAT", "PGPASSWORD", "MYSQL_PWD", "apiKey")
NAMES += ("TOKEN_HF", "KEY_FILE_CONTENT", "SECRET_1", "DB_PASS", "SENTRY_DSN", "BASIC_AUTH", "GCP_CREDENTIALS_JSON")


@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_variable_that_is_named_as_a_key_is_in_no_text(monkeypatch, name):
    monkeypatch.setenv("SHORTER_KEY", CANARY[:20])  # which the longer one begins with
    monkeypatch.setenv(name, f"{CANARY}/+")
    said = redacted(f"{CANARY}/+ and {CANARY}%2F%2B, but not sk-canary")
    assert said == f"[{name}] and [{name}], but not sk-canary"


@pytest.mark.parametrize(
    "innocent",
    [
        "no space left in /srv/monkey, see https://example.org/a?keyboard=1&page=2#key=3",
        "authorization failed",
        "mail a@b.org about https://example.org/c@d",
        "max_new_tokens=8, eos_token='<s>', key 'a'",
        "Qwen/Qwen3-VL-30B-A3B-Instruct at dcd1bb9f00aa11bb22cc33dd44ee55ff66778899 in loraFluxKontextV2Final",
    ],
)
def test_innocent_text_stays_as_it_is(monkeypatch, innocent):
    monkeypatch.setenv("PWD", "/srv/monkey")
    monkeypatch.setenv("SHORT_KEY", "key")
    monkeypatch.setenv("MONKEY", "no space left")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/")
    monkeypatch.setenv("MODEL", "Qwen/Qwen3-VL-30B-A3B-Instruct")
    monkeypatch.setenv("GIT_COMMIT", "dcd1bb9f00aa11bb22cc33dd44ee55ff66778899")
    assert redacted(innocent) == innocent


@pytest.mark.parametrize("how", [RuntimeError, OSError])
def test_a_program_that_breaks_off_tells_no_key_and_moves_no_cursor(capsys, monkeypatch, how):
    monkeypatch.setenv("IMAGE_API_KEY", CANARY)
    monkeypatch.setattr("sys.argv", ["edit.py", "--editor", "Unchanged"])
    monkeypatch.setattr(command_module, "stop_on_signals", lambda: None)

    def broken(config, world):
        raise how(f"\x1b[2J\u202e {CANARY}")

    assert command_module.run(broken, "", from_run=False) == 3
    said = capsys.readouterr().err
    assert CANARY not in said
    assert "\x1b" not in said
    assert "\u202e" not in said


class Bomb:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_weights_that_are_a_pickle_are_not_read(tmp_path):
    sign, model = tmp_path / "read", tmp_path / "model"
    shutil.copytree(DEMO_JUDGE, model)
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(sign)))
    with pytest.raises(OSError, match="safetensors"):
        QwenVL(model=str(model)).load(World())
    assert not sign.exists()


def test_code_that_comes_with_a_checkpoint_is_not_run(tmp_path):
    sign, model = tmp_path / "run", tmp_path / "model"
    shutil.copytree(DEMO_JUDGE, model)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "new", "auto_map": {"AutoConfig": "hostile.Config"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "hostile.py").write_text(f"open({str(sign)!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(ValueError, match="trust_remote_code"):
        QwenVL(model=str(model)).load(World())
    assert not sign.exists()


def test_a_report_of_a_stranger_s_run_imports_nothing_that_it_names(photos_json, tmp_path):
    run = tmp_path / "run"
    start("edit.py", "--editor", "Unchanged", "--benchmark", photos_json, "--run_dir", run)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("editbench.editors.Unchanged", "antigravity.Fly"))
    start("report.py", "--run_dir", run)
