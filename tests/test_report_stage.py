"""A report that is written again while a run goes, and the index of many runs."""

import json
import os
import re
from dataclasses import dataclass

import pytest

from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Judge, Reply
from editbench.process.signals import Stopped
from editbench.process.world import World
from editbench.rubrics import Brief
from editbench.stages import report as stage
from editbench.stages.edit import edit
from editbench.stages.report import report
from editbench.stages.score import score


@dataclass(kw_only=True)
class Says(Judge):
    """The same to everything."""

    answer: str = "5.0"

    def replies(self, messages):
        return [Reply(text=self.answer) for _ in messages]


def config_of(dots, root, **given) -> Config:
    given = {"judge": Says(), "rubric": Brief(), **given}
    return Config(benchmark=dots, run_dir=(root,), editor=Unchanged(), **given)


def data_of(page) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(found[1])


def test_a_watched_page_is_written_at_each_change_and_once_more_when_the_run_is_complete(dots, tmp_path, monkeypatch):
    config = config_of(dots, tmp_path / "run", watch=True)
    pages: list[tuple[int | None, str, int]] = []
    steps = iter([lambda: edit(config, World()), lambda: None, lambda: score(config, World())])

    def meanwhile(seconds: float) -> None:
        page = config.the_run / "report.html"
        if page.exists():
            live = re.search(r'class="banner live".*?</b> (.*?)</p>', page.read_text())
            pages.append((data_of(page)["watch"], live[1], page.stat().st_mtime_ns))
        next(steps)()

    monkeypatch.setattr(stage.time, "sleep", meanwhile)
    assert report(config, World()) == 0
    assert pages[0][:2] == (10, "12 of 12 edited; 0 of 12 scored.")
    assert pages[0] == pages[1]  # nothing had changed, so nothing was written
    last = config.the_run / "report.html"
    assert data_of(last)["watch"] is None
    assert "banner live" not in last.read_text()
    assert json.loads((config.the_run / "report.json").read_text())["runs"][0]["complete"]


def test_a_page_that_is_no_longer_watched_does_not_say_that_it_is_live(dots, tmp_path, monkeypatch):
    config = config_of(dots, tmp_path / "run", watch=True)
    edit(config, World())

    def stop(seconds: float) -> None:
        assert "banner live" in (config.the_run / "report.html").read_text()
        raise Stopped(2)

    monkeypatch.setattr(stage.time, "sleep", stop)
    with pytest.raises(Stopped):
        report(config, World())
    assert "banner live" not in (config.the_run / "report.html").read_text()


def test_rates_and_the_newest_pairs_are_of_what_came_since_the_first_look(dots, tmp_path, monkeypatch):
    config = config_of(dots, tmp_path / "run", limit=4)
    edit(config, World())
    score(config, World())
    clock = iter([0.0, 60.0, 120.0])
    monkeypatch.setattr(stage.time, "monotonic", lambda: next(clock))
    progress = stage._Progress()
    (run,) = stage.read_run(stage.RunDir(config.the_run))
    keys = sorted(run.scores)
    few = stage.replace(run, scores={key: run.scores[key] for key in keys[:2]})
    assert progress.live([few], 10).line.endswith("2 of 8 scored.")
    later = stage.replace(run, scores={key: run.scores[key] for key in keys[:6]})
    found = progress.live([later], 10)
    assert found.line == "8 of 8 edited; 6 of 8 scored (2.0 a minute, about 1 minute left)."
    assert set(found.newest) == {key[0] for key in keys[2:6]}


def index_rows(folder) -> list[list[str]]:
    page = (folder / "index.html").read_text()
    rows = page.split("<tbody>")[1].split("</tr>")[:-1]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.split(r"</t[hd]>", row)[:-1]] for row in rows]


def test_an_index_lists_all_runs_below_a_folder_the_newest_first(dots, tmp_path):
    runs = tmp_path / "runs"
    for age, (name, answer) in enumerate({"new": "7.0", "sets/old": "3.0"}.items()):
        config = config_of(dots, runs / name, judge=Says(answer=answer))
        edit(config, World())
        score(config, World())
        for path in [*config.the_run.glob("*.jsonl"), *config.the_run.glob("scores/*.jsonl")]:
            os.utime(path, ns=((10**9 - age) * 10**9,) * 2)
    begun = config_of(dots, runs / "begun")
    edit(begun, World())
    (runs / "damaged").mkdir()
    for name in ("pairs.jsonl", "config.yaml"):
        (runs / "damaged" / name).write_text("{")
    assert report(Config(run_dir=(runs / "new",)), World()) == 0  # its page is there, and linked
    assert report(Config(index=runs), World()) == 0
    rows = index_rows(runs)
    assert [row[0].split(" ")[0] for row in rows][-2:] == ["new", "sets/old"]
    by_name = {row[0]: row for row in rows}
    assert by_name["new"][1].startswith("7.00 of 10")
    assert by_name["new"][2:4] == ["12 of 12", "complete"]
    assert by_name["sets/old"][1].startswith("3.00 of 10")
    assert by_name["begun"][1:4] == ["–", "0 of 12", "part of a run: 12 of 12 pairs wait"]
    assert by_name["damaged"][3].startswith("can&#39;t be read: ")
    page = (runs / "index.html").read_text()
    assert '<a href="new/report.html">' in page
    assert "old/report.html" not in page
    before = page
    assert report(Config(index=runs), World()) == 0
    assert (runs / "index.html").read_text() == before


def test_an_index_of_no_folder_is_the_user_s_to_mend(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        report(Config(index=tmp_path / "nowhere"), World())
