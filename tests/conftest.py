"""What several test files share: scripts as processes, and small benchmarks of real photographs."""

import base64
import csv
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from editbench.config import Config

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
STATE = tempfile.mkdtemp(prefix="editbench-state-")  # what the commands remember of their user
FAILING = ("--editor", "tests.planned.FailingEditor", "--judge", "tests.planned.StuckJudge")

# public-domain photographs in scikit-image's own package
PHOTOS = {
    "astronaut.png": ("social", "社会", "Replace the flag with a curtain.", "把旗子换成窗帘。"),
    "chelsea.png": ("physical", "物理", "Put a small hat on the cat.", "给猫戴一顶小帽子。"),
    "coffee.png": ("causal", "因果", "Show the cup after the coffee has been drunk.", "画出咖啡喝完后的杯子。"),
    "rocket.jpg": ("environmental", "环境", "Turn the evening into bright noon.", "把傍晚变成正午。"),
}


def photo(name: str) -> bytes:
    import skimage.data

    return (Path(skimage.data.__file__).parent / name).read_bytes()


@pytest.fixture(scope="session")
def photos_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photographs as a list with the images inside."""
    path = tmp_path_factory.mktemp("json") / "photos.json"
    rows = [
        {
            "subset": subset,
            "original_description": "照片",
            "original_description_en": "a photograph",
            "edit_instruction": chinese,
            "edit_instruction_en": english,
            "src_img_b64": base64.b64encode(photo(name)).decode(),
            "rationale_short": "改动可见",
            "rationale_short_en": "the change shows",
            "tags": ["photo"],
            "difficulty": "easy",
            "seed": 7,
            "original_image_path": f"generated_images_2/{index:05d}_{subset}_easy.png",
        }
        for index, (name, (_, subset, english, chinese)) in enumerate(PHOTOS.items())
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def photos_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same four photographs as a table beside a folder."""
    folder = tmp_path_factory.mktemp("csv")
    (folder / "images").mkdir()
    path = folder / "photos.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "source", "instruction", "instruction_zh", "category"])
        for name, (category, _, english, chinese) in PHOTOS.items():
            (folder / "images" / name).write_bytes(photo(name))
            table.writerow([Path(name).stem, f"images/{name}", english, chinese, category])
    return path


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs of four by four pixels each."""
    folder = tmp_path_factory.mktemp("dots")
    lines = []
    for number in range(12):
        Image.new("RGB", (4, 4), (20 * number, 0, 0)).save(folder / f"{number}.png")
        category = ("physical", "causal")[number % 2]
        row = {"id": f"dot{number:02d}", "source": f"{number}.png", "instruction": "Turn it.", "category": category}
        lines.append(json.dumps(row) + "\n")
    path = folder / "dots.jsonl"
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="session")
def clean(dots, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twelve, edited undisturbed."""
    run = tmp_path_factory.mktemp("clean") / "run"
    start("edit.py", *FAILING, "--benchmark", dots, "--run_dir", run)
    return run


def command(script: str, *argv: str | Path, ranks: int = 1) -> list[str]:
    """A script of the top level as a process list; several ranks by torchrun."""
    if script.endswith(".sh"):
        return ["bash", str(ROOT / script), *map(str, argv)]
    if ranks == 1:
        return [sys.executable, str(ROOT / script), *map(str, argv)]
    launcher = [str(BIN / "torchrun"), "--standalone", f"--nproc_per_node={ranks}"]
    return [*launcher, str(ROOT / script), *map(str, argv)]


def environment() -> dict[str, str]:
    ours = {"PATH": f"{BIN}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1", "COLUMNS": "250"}
    return os.environ | ours | {"XDG_STATE_HOME": os.environ.get("XDG_STATE_HOME", STATE)}


def start(
    script: str, *argv: str | Path, ranks: int = 1, code: int | None = 0, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, and see that it ends with this code (None: any)."""
    argv_list = command(script, *argv, ranks=ranks)
    done = subprocess.run(argv_list, capture_output=True, text=True, env=environment(), cwd=cwd, check=False)
    assert code is None or done.returncode == code, f"{' '.join(argv_list)}\n{done.stdout}\n{done.stderr}"
    return done


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def untimed(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without what a clock wrote."""
    return [{name: value for name, value in record.items() if name != "duration_s"} for record in records]


def tree(root: Path, folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / folder).iterdir())}


def same(run: Path, clean: Path) -> bool:
    return tree(run, "images") == tree(clean, "images") and untimed(rows(run / "manifest.jsonl")) == untimed(
        rows(clean / "manifest.jsonl")
    )


def those_that_change(what: str) -> set[str]:
    """The fields of Config whose own sentence says that they change this."""
    text = Path(inspect.getfile(Config)).read_text(encoding="utf-8")
    body = text[text.index("class Config:") : text.index("def __post_init__")]
    said = dict(re.findall(r'    (\w+): [^\n]*\n    """(.*?)"""', body, re.DOTALL))
    return {name for name, sentence in said.items() if re.search(rf"(Changes|Decides) [a-z ]*{what}", sentence)}
