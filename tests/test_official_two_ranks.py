"""Public benchmarks in their official layouts, edited and scored by the demo's models on two ranks that are killed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from editbench.rubrics import GEdit, ImgEdit, Kris
from tests import official_data
from tests.conftest import command, environment, rows, start
from tests.test_official_configs import rise
from tests.test_official_rise import C, L, S, T

EDITOR = ("--editor", "QwenImageEdit", "--editor.init_args.model", "editbench:demo/editor")
EDITOR += ("--editor.init_args.dtype", "float32", "--editor.init_args.num_inference_steps", "2")
EDITOR += ("--editor.init_args.true_cfg_scale", "1.0")
JUDGE = ("--judge", "QwenVL", "--judge.init_args.model", "editbench:demo/judge", "--judge.init_args.dtype", "float32")
JUDGE += ("--judge.init_args.max_new_tokens", "16")
SEVERAL_SOURCES = ("temporal_prediction", "multi-element_composition")


def categories_of(kind) -> list[str]:
    return [category for each in kind.groups.values() for category in each]


def gedit(root: Path) -> tuple[Path, Path, tuple[str, ...]]:
    return *official_data.gedit(root, categories_of(GEdit)), ()


def imgedit(root: Path) -> tuple[Path, Path, tuple[str, ...]]:
    return *official_data.imgedit(root, categories_of(ImgEdit), each=3), ()


def rise_of_twenty(root: Path) -> tuple[Path, Path, tuple[str, ...]]:
    items = [{"category": category, "reference": "R"} for category in (T, C, S)] + [
        {"category": L, "reference_txt": "RT"}
    ]
    benchmark = rise(root / "data", *(dict(items[number % 4]) for number in range(20)))
    return benchmark, Path(official_data.rise_prompts(root)), ()


def kris(root: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """Without the two categories of several sources, which the demo's editor does not take."""
    categories = categories_of(Kris)
    made = official_data.kris(root, categories, second=4)
    return *made, ("--categories", ",".join(name for name in categories if name not in SEVERAL_SOURCES))


OFFICIAL: Mapping[str, tuple[Callable[[Path], tuple[Path, Path, tuple[str, ...]]], int, str]] = {
    "gedit": (gedit, 22, "G_O"),
    "imgedit": (imgedit, 27, "overall"),
    "rise": (rise_of_twenty, 20, "accuracy"),
    "kris": (kris, 22, "flat"),
}
"""The data, its number of pairs, and the first headline."""


def killed(script: str, argv: tuple[str | Path, ...], has_begun: Callable[[], bool]) -> None:
    """Kill one of two ranks once the work has begun; the launch ends with an error."""
    launch = subprocess.Popen(command(script, *argv, ranks=2), env=environment(), stderr=subprocess.DEVNULL)
    while not has_begun():
        assert launch.poll() is None
        time.sleep(0.02)
    children = psutil.Process(launch.pid).children(recursive=True)
    victims = [child for child in children if any(word.endswith(script) for word in child.cmdline())]
    os.kill(max(victim.pid for victim in victims), signal.SIGKILL)
    assert launch.wait() != 0


def recorded(folder: Path) -> list[dict]:
    """Whole rows of the ranks' files; a kill may have cut the last one off."""
    found = [line for part in folder.rglob("*.jsonl") for line in part.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in found if line.endswith(b"\n")]


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_benchmark_is_resumed_after_kills_in_editing_and_scoring(name, tmp_path):
    make, num_pairs, headline = OFFICIAL[name]
    benchmark, prompts, more = make(tmp_path / "official")
    run = tmp_path / "run"
    argv = ("--config", name, "--benchmark", benchmark, "--rubric.init_args.prompts", prompts, *more)
    argv += ("--run_dir", run, *EDITOR, *JUDGE)

    killed("edit.py", argv, lambda: bool(recorded(run / "parts")) if (run / "parts").exists() else False)
    edited = {row["pair_id"]: run / row["image"] for row in recorded(run / "parts")}
    assert 0 < len(edited) < num_pairs
    before = {path: path.stat().st_mtime_ns for path in edited.values()}
    done = start("edit.py", *argv, ranks=2)
    assert f"{len(edited)} already edited" in done.stderr
    manifest = rows(run / "manifest.jsonl")
    assert len(manifest) == len({row["pair_id"] for row in manifest}) == num_pairs
    assert all(row["image"] and not row["error"] for row in manifest)
    assert {path: path.stat().st_mtime_ns for path in before} == before

    killed("score.py", argv, lambda: bool(recorded(run / "scores")) if (run / "scores").exists() else False)
    scored = {row["pair_id"]: row for row in recorded(run / "scores")}
    # the demo's judge knows no JSON: where no edit gets a score, the code is 1
    assert start("score.py", *argv, ranks=2, code=None).returncode in (0, 1)
    (path,) = (run / "scores").glob("*.jsonl")
    scores = {row["pair_id"]: row for row in rows(path)}
    assert len(scores) == num_pairs
    assert all(scores[pair_id] == row for pair_id, row in scored.items())  # what was asked is not asked again
    answers = [answer for row in scores.values() for answer in row["answers"]]
    assert answers
    assert all(answer["reply"] is not None and answer["failure"] != "error" for answer in answers)

    start("report.py", *argv)
    (told,) = json.loads((run / "report.json").read_text(encoding="utf-8"))["runs"]
    assert told["headlines"][0]["name"] == headline
    assert sum(told["num_replies"].values()) == sum(len(row["answers"]) for row in scores.values())
    assert told["complete"]
