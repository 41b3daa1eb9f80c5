"""Files are UTF-8 whatever the locale says."""

import ast
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import FAILING, ROOT, command, environment, rows

MODULES = [*sorted((ROOT / "editbench").rglob("*.py")), *sorted(ROOT.glob("*.py"))]


def is_text_without_encoding(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = getattr(getattr(call.func, "value", None), "id", "")
    if name not in ("read_text", "write_text", "open") or owner in ("os", "Image", "gzip", "tarfile", "zipfile"):
        return False
    if any(keyword.arg in ("encoding", None) for keyword in call.keywords):
        return False
    if any(isinstance(argument, ast.Name) and argument.id == "mode" for argument in call.args):
        return False  # the lease's, "xb" or "wb"
    modes = [getattr(argument, "value", "") for argument in call.args[:2]]
    return name != "open" or not any(mode in ("rb", "rb+", "wb", "xb", "ab") for mode in modes)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_read_and_write_of_text_names_its_encoding(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [f"line {call.lineno}" for call in calls if is_text_without_encoding(call)]


def test_a_run_with_chinese_names_ends_under_the_c_locale(photos_json, tmp_path):
    run = tmp_path / "运行🙂"
    env = environment() | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    for script in ("edit.py", "edit.py", "score.py", "report.py"):  # edit.py again: a resume reads what it wrote
        argv = command(script, *FAILING, "--benchmark", photos_json, "--run_dir", run, "--language", "zh")
        done = subprocess.run(argv, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
    assert len(rows(run / "manifest.jsonl")) == 4
    assert "把旗子换成窗帘" in (run / "report.html").read_text(encoding="utf-8")


def test_a_configuration_that_is_not_utf_8_is_refused_in_a_sentence(tmp_path):
    path = Path(tmp_path) / "gbk.yaml"
    path.write_bytes("categories: [物理]\n".encode("gbk"))
    argv = command("edit.py", "--config", path)
    done = subprocess.run(argv, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{path} is not UTF-8" in done.stderr
    assert "Traceback" not in done.stderr
