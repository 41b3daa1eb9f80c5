"""The examples of `editbench/editors/README.md`, run as they stand there."""

import re
import shlex

import pytest
from PIL import Image, ImageEnhance

from editbench import editors
from editbench.cli.options import parse
from editbench.editors import Editor
from tests.conftest import ROOT, rows, start

TEXT = (ROOT / "editbench" / "editors" / "README.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if re.search(r"(edit\.py|launch\.sh) ", line)
]


def test_the_editor_of_the_readme_works_as_it_stands(dots, tmp_path, monkeypatch):
    code, *_ = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "my_editors.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (line,) = [line for line in LINES if "my_editors" in line]
    options = shlex.split(line.split("runs/mine")[1])
    run = tmp_path / "run"
    start("edit.py", "--benchmark", dots, "--run_dir", run, *options)
    edits = rows(run / "manifest.jsonl")
    assert [edit["details"] for edit in edits] == [{"num_sources": 1}] * 12
    source, edited = (Image.open(run / folder / "dot05.png") for folder in ("sources", "images"))
    assert edited.tobytes() == ImageEnhance.Contrast(source).enhance(2.0).tobytes()
    refused = start(
        "edit.py", "--benchmark", dots, "--run_dir", tmp_path / "b", *options, "--editor.init_args.factor", "0", code=2
    )
    assert "factor is 0" in refused.stderr


@pytest.mark.parametrize("line", [line for line in LINES if "my_editors" not in line])
def test_a_command_of_the_readme_goes_through_the_real_parser(line):
    words = shlex.split(line)
    (place,) = [index for index, word in enumerate(words) if word in ("edit.py", "launch.sh")]
    config = parse("A script.", words[place + 1 :])
    given = {word.rpartition(".")[2] for word in words if word.startswith("--editor.init_args.")}
    for name in given:
        assert getattr(config.editor, name), name
    if "lora" in given:
        assert config.editor.loras[0].endswith(".safetensors")


def test_every_editor_that_ships_stands_in_the_readme_s_table():
    shipped = {
        name
        for name in editors.__all__
        if isinstance(kind := getattr(editors, name), type) and issubclass(kind, Editor)
    }
    assert set(re.findall(r"^\| `(\w+)` \| .* \| .* \|$", TEXT, re.MULTILINE)) == shipped - {"Editor"}
