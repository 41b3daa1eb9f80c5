"""Nobody gets in by a checkpoint, and no key gets out by a run directory."""

import json
import os
import pickle
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from editbench.config import settings
from editbench.editors import EditFailed, Unchanged
from editbench.errors import UsageError
from editbench.judges import QwenVL
from editbench.world import World
from tests.conftest import ROOT, command, environment, start

CANARY = "sk-canary-0123456789abcdef"
DEMO_JUDGE = ROOT / "editbench" / "demo" / "judge"


@dataclass(kw_only=True)
class TalkativeEditor(Unchanged):
    """Puts its key into whatever goes wrong, as clients of servers do."""

    endpoint: str = ""

    def edit(self, pair, source, seed):
        key = os.environ["IMAGE_API_KEY"]
        if "物理" in pair.pair_id:
            raise EditFailed(f"401 for https://user:hunter2hunter2@example.org/edit?key={key}")
        if "社会" in pair.pair_id:
            raise RuntimeError(f"Authorization: Bearer {key}")
        return source


def test_a_key_is_nowhere_in_the_run_directory_or_the_logs(photos_json, tmp_path):
    run = tmp_path / "run"
    argv = ("--editor", "tests.test_security.TalkativeEditor", "--benchmark", photos_json, "--run", run)
    env = environment() | {"IMAGE_API_KEY": CANARY, "HF_TOKEN": CANARY}
    done = subprocess.run(command("edit.py", *argv), capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0
    held = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file()) + done.stderr.encode()
    assert b"[IMAGE_API_KEY]" in held
    assert CANARY.encode() not in held
    assert b"hunter2" not in held


@pytest.mark.parametrize("value", [f"https://user:{CANARY}@example.org", CANARY])
def test_a_key_in_the_configuration_is_refused_before_it_is_written(photos_json, tmp_path, value):
    run = tmp_path / "run"
    argv = ("--editor", "tests.test_security.TalkativeEditor", "--editor.init_args.endpoint", value)
    env = environment() | {"IMAGE_API_KEY": CANARY}
    argv_list = command("edit.py", *argv, "--benchmark", photos_json, "--run", run)
    done = subprocess.run(argv_list, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2
    assert "endpoint would put a key into" in done.stderr
    assert CANARY not in done.stderr
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())


def test_a_setting_that_is_named_as_a_key_is_refused():
    @dataclass(kw_only=True)
    class Keyed(Unchanged):
        api_key: str = ""

    assert settings(Keyed())["init_args"] == {"api_key": ""}
    with pytest.raises(UsageError, match="api_key would put a key"):
        settings(Keyed(api_key="x"))


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
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "new", "auto_map": {"AutoConfig": "hostile.Config"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "hostile.py").write_text(f"open({str(sign)!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(ValueError, match="trust_remote_code"):
        QwenVL(model=str(model)).load(World())
    assert not sign.exists()


def test_a_report_of_a_stranger_s_run_imports_nothing_that_it_names(photos_json, tmp_path):
    run = tmp_path / "run"
    start("edit.py", "--editor", "Unchanged", "--benchmark", photos_json, "--run", run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("editbench.editors.Unchanged", "antigravity.Fly"))
    start("report.py", "--run", run)
