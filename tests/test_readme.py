"""The README's commands are real ones."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from editbench.cli.options import parse
from tests.conftest import rows, start

ROOT = Path(__file__).parent.parent
SCRIPTS = ("edit.py", "score.py", "report.py", "launch.sh")


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split("   #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if any(script in line for script in SCRIPTS) and not line.startswith("#")]


def test_the_readme_shows_every_script():
    text = "\n".join(commands())
    assert all(script in text for script in SCRIPTS)


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_goes_through_the_real_parser(line):
    words = shlex.split(line.split("&&")[-1])
    (place,) = [index for index, word in enumerate(words) if word in SCRIPTS]
    assert (ROOT / words[place]).is_file()
    config = parse("A script.", words[place + 1 :])
    assert bool(config.benchmark) == ("--benchmark" in words)


def test_the_first_two_commands_are_the_demo_and_the_tests():
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks[0].strip().endswith("pip install -e '.[test]' && bash launch.sh")
    assert blocks[1].strip() == "pytest"


def test_ci_calls_the_readmes_test_command():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "pytest"


def test_the_editor_and_the_judge_of_contributing_work_as_they_stand(dots, tmp_path, monkeypatch):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (line,) = re.findall(r"PYTHONPATH=folder/of/it bash launch.sh --run_dir runs/mine (.*)", text)
    (tmp_path / "my_models.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = tmp_path / "run"
    for script in ("edit.py", "score.py"):
        start(script, "--benchmark", dots, "--run_dir", run, *shlex.split(line))
    assert {score["value"] for score in rows(run / "scores" / "Constant.jsonl")} == {5.0}
    source, edited = (Image.open(run / folder / "dot01.png") for folder in ("sources", "images"))
    assert edited.tobytes() == ImageOps.flip(source).tobytes()
