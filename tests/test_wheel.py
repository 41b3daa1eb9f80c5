"""What pip installs is whole: the wheel's command gives the demo's report, far from the repository."""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from editbench import __version__
from tests.conftest import ROOT, STATE


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment that holds the wheel; it borrows the other packages of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0")[:-1]:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source"]
    subprocess.run([*pip, *build], check=True)
    shutil.rmtree(folder / "source")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"], check=True)
    python = folder / "environment" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    borrowed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    borrowed += [path for path in sys.path if path.endswith("site-packages")]
    (packages,) = (folder / "environment" / "lib").glob("python*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(dict.fromkeys(borrowed)) + "\n", encoding="utf-8")
    return folder / "environment" / "bin"


def call(installed: Path, folder: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"HF_HUB_OFFLINE": "1", "XDG_STATE_HOME": STATE, "COLUMNS": "250"}
    return subprocess.run(
        [str(installed / "editbench"), *argv], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_installed_command_gives_the_demos_report_from_any_folder(installed, tmp_path):
    assert call(installed, tmp_path, "--version").stdout == f"editbench {__version__}\n"
    done = call(installed, tmp_path, "run")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "runs" / "demo" / "report.json").read_text(encoding="utf-8"))
    assert report["runs"][0]["name"] == "demo"
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()
    assert str(ROOT) not in done.stderr  # it is the wheel's own package that worked


def test_a_message_names_the_command_that_the_reader_has(installed, tmp_path):
    said = call(installed, tmp_path, "score", "--run_dir", "runs/nope").stderr
    assert "editbench run --run_dir runs/nope" in said
    assert "launch.sh" not in said


def test_what_can_be_named_is_listed_a_line_each(installed, tmp_path):
    lines = call(installed, tmp_path, "ls").stdout.splitlines()
    for name in ("demo", "qwen-image-edit", "QwenImageEdit", "Saved", "QwenVL", "Server", "FiveAspects"):
        assert [line for line in lines if line.split()[:1] == [name] and len(line.split()) > 3], name
