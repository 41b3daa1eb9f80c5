"""Public benchmarks from their official layouts through the whole pipeline, with recorded replies."""

import json
import shutil
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import pytest

from editbench.benchmark import load_pairs
from editbench.cli.options import parse
from editbench.config import Config
from editbench.process.world import World
from editbench.records import Pair
from editbench.rubrics import GEdit, ImgEdit, Kris, Question, RedEdit
from editbench.rubrics.official.prompts import load
from editbench.stages.edit import edit
from editbench.stages.report import report
from editbench.stages.score import score
from tests import official_data

CATEGORIES = {
    kind: [category for each in kind.groups.values() for category in each] for kind in (GEdit, ImgEdit, Kris, RedEdit)
}


def headlines(
    tmp_path: Path, name: str, made: tuple[Path, Path], say: Callable[[int, Pair, Question], str | None], *more: str
) -> dict[str, dict]:
    """The report's headlines by name, of a run whose replies are what `say` gives for the n-th pair and a question."""
    benchmark, prompts = made
    replies = tmp_path / "replies.jsonl"
    arguments = ["--config", name, "--benchmark", str(benchmark), "--rubric.init_args.prompts", str(prompts)]
    arguments += ["--run_dir", str(tmp_path / "run"), "--editor", "Unchanged", *more]
    arguments += ["--judge", "Recorded", "--judge.init_args.replies", str(replies)]
    config = parse("", arguments)
    rows = [
        {"pair_id": pair.pair_id, "call": question.name, "reply": said}
        for number, pair in enumerate(load_pairs(config.data))
        for question in config.rubric.calls(pair)
        if (said := say(number, pair, question)) is not None
    ]
    replies.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for stage in (edit, score):
        stage(config, World())
    return reported(config)


def reported(config: Config) -> dict[str, dict]:
    report(config, World())
    (run,) = json.loads((config.the_run / "report.json").read_text())["runs"]
    return {headline["name"]: headline for headline in run["headlines"]}


def test_gedit_with_the_pictures_where_the_official_scripts_put_them(tmp_path):
    categories = CATEGORIES[GEdit]
    made = official_data.gedit(tmp_path, categories)
    for number, category in enumerate(categories):
        for language in ("en", "cn"):
            if (number, language) != (0, "cn"):
                official_data.picture(tmp_path / f"fullset/{category}/{language}/k{number}.png", 100 + number)
    found = headlines(
        tmp_path,
        "gedit",
        made,
        lambda number, pair, question: json.dumps({"score": [9, number // 2] if question.name == "SC" else [8, 7]}),
        *("--editor", "Saved", "--editor.init_args.folder", str(tmp_path / "fullset")),
    )
    assert found["G_SC"]["value"] == pytest.approx(sum(min(9, n) for n in range(11)) / 11, abs=1e-6)
    assert found["G_PQ"]["value"] == 7
    assert found["G_O"]["value"] == pytest.approx(sum(sqrt(7 * min(9, n)) for n in range(11)) / 11, abs=1e-6)
    assert (found["G_O"]["num_scored"], found["G_O"]["num_pairs"]) == (11, 11)
    assert found["G_O_cn"]["value"] is None  # a category without a score
    assert found["G_O_intersection"]["value"] is None


def test_imgedit(tmp_path):
    def say(number: int, pair: Pair, question: Question) -> str:
        if pair.category == "compose":
            return "I'm sorry, I can't."
        return f"Brief reasoning: 7\nA: {1 + number % 5}\nB: 4\nC: {1 + number // 9}"

    found = headlines(tmp_path, "imgedit", official_data.imgedit(tmp_path, CATEGORIES[ImgEdit]), say)
    items = [round((1 + n % 5 + 4 + 1 + n // 9) / 3, 2) for n in range(18)]
    kinds = [round((items[n] + items[n + 9]) / 2, 2) for n in range(9) if n != 7]
    assert found["overall"]["value"] == pytest.approx(sum(kinds) / 8, abs=1e-6)
    assert (found["overall"]["num_scored"], found["overall"]["num_pairs"]) == (16, 18)
    assert (found["overall"]["num_categories"], found["overall"]["num_categories_meant"]) == (8, 9)
    assert found["item_mean"]["num_categories"] is None
    document = (tmp_path / "run/report.md").read_text()
    assert "(16 of 18 scored, over 8 of 9 categories, " in document
    assert "overall is the mean of 8 of 9 categories; without a score: compose." in document
    rest = [item for n, item in enumerate(items) if n % 9 != 7]
    assert found["item_mean"]["value"] == pytest.approx(sum(rest) / 16, abs=1e-6)


def test_kris_counts_the_score_of_a_dual_reply_that_lacks_the_other(tmp_path):
    def say(number: int, pair: Pair, question: Question) -> str:
        score = 1 + number % 5
        if question.name == "dual":
            lacks = pair.category == "biology"
            return json.dumps({"instruction_score": score} | ({} if lacks else {"knowledge_score": 2}))
        return json.dumps({f"{question.name}_score": score})

    categories = CATEGORIES[Kris]
    found = headlines(tmp_path, "kris", official_data.kris(tmp_path, categories), say)
    knowledge = [pair for pair in sorted(categories) if "KP" in sum(Kris().asked(_pair(pair)).values(), ())]
    flat, items = [], []
    for number, category in enumerate(sorted(categories)):  # the order of the files
        score = 1 + number % 5
        flat += [score] * 3 + ([2] if category in knowledge and category != "biology" else [])
        if category != "biology":
            items.append((3 * score + 2) / 4 if category in knowledge else score)
    assert found["flat"]["value"] == pytest.approx(25 * (sum(flat) / len(flat) - 1), abs=1e-6)
    assert found["item_mean"]["value"] == pytest.approx(25 * (sum(items) / 19 - 1), abs=1e-6)
    assert found["item_mean"]["num_scored"] == 19


def _pair(category: str) -> Pair:
    return Pair(pair_id="p", category=category, instruction="", sources=())


def test_rededit(tmp_path):
    def say(number: int, pair: Pair, question: Question) -> str | None:
        return None if number == 0 else f"A: {1 + number % 5}\nB: 1\nC: 1"

    found = headlines(tmp_path, "rededit", official_data.rededit(tmp_path, CATEGORIES[RedEdit]), say)
    items = [round((3 + n % 5) / 3, 2) for n in range(1, 15)]
    assert found["final_score"]["value"] == pytest.approx(sum(items) / 14, abs=1e-6)
    assert found["final_score_cn"]["value"] == found["final_score"]["value"]
    assert found["final_score_en"]["value"] is None


def test_wiseedit_drops_an_item_in_both_languages(tmp_path):
    def say(number: int, pair: Pair, question: Question) -> str:
        if pair.pair_id == "Imagination_1/1.zh" and question.name == "CF":
            return '{"score": 0}'
        return json.dumps({"score": 10 if pair.category.startswith(("Awareness", "Imagination_1")) else 4})

    found = headlines(tmp_path, "wiseedit", official_data.wiseedit(tmp_path), say)
    assert found["basic_overall_en"]["value"] == pytest.approx((100 + 33.3 + 33.3) / 3, abs=1e-6)
    imagination = found["Imagination_overall_en"]  # Imagination_5 alone
    assert (imagination["value"], imagination["num_scored"], imagination["num_pairs"]) == (33.3, 1, 2)
    assert found["WiseEdit_Complex_overall"]["value"] == pytest.approx(33.3, abs=1e-6)


def test_a_report_is_made_anew_without_the_prompts(tmp_path):
    made = official_data.imgedit(tmp_path, CATEGORIES[ImgEdit])
    first = headlines(tmp_path, "imgedit", made, lambda number, pair, question: "A: 5\nB: 4\nC: 3")
    shutil.rmtree(made[1])
    load.cache_clear()
    config = parse("", ["--benchmark", str(made[0]), "--run_dir", str(tmp_path / "run")])
    assert reported(config)["overall"]["value"] == first["overall"]["value"] == 4.0
    page = (tmp_path / "run/report.md").read_text()
    assert "Benchmark/Basic/prompts.json: sha256" in page
    assert page.count("scores count by image alone") == 1
