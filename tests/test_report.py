import base64
import csv
import hashlib
import io
import json
import math
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from msgspec.structs import replace as changed
from PIL import Image
from pyarrow import parquet
from rich.cells import cell_len
from rich.console import Console

from editbench.errors import UsageError
from editbench.records import Answer
from editbench.records import Picture as RecordedPicture
from editbench.report import as_json, render_table, tell, text, write_report
from editbench.report.results import tables as results_of
from editbench.report.results import to_csv, to_latex, to_markdown
from editbench.report.versus import turned
from editbench.rubrics import Headline
from tests.drawn import ASPECTS, HOSTILE, Photos, draw, make_photos, make_run, rescored


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Pages: a part of a run, the same moved alone, two runs, one run's two judges, several dimensions, six runs."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = make_run(folder / "qwen"), make_run(folder / "base $5 <b>", shift=2.0, pending=0)
    write_report(tell([first]), first.root)
    write_report(tell([first, second]), folder / "both")
    blind = rescored(first, lambda value: value / 2, name="qwen · blind")
    write_report(tell([replace(first, name="qwen · judge"), blind]), folder / "judges")
    photos = make_photos(folder / "photos", tries=2, num_sources=2)
    write_report(tell([photos]), photos.root)
    six = [make_photos(folder / f"model {name}", shift=shift) for name, shift in zip("abcdef", SHIFTS, strict=True)]
    write_report(tell(six), folder / "six")
    page = write_report(tell([first]), folder / "alone", standalone=True)
    (folder / "elsewhere").mkdir()
    page.rename(folder / "elsewhere" / page.name)
    pages = {"one": first.root, "two": folder / "both", "judges": folder / "judges", "alone": folder / "elsewhere"}
    pages |= {"photos": photos.root, "six": folder / "six"}
    return pages | {"runs": [first, second], "many": six, "photos run": photos}


SHIFTS = (0.4, 1.4, 0.0, -0.3, -0.6, -1.0)


def data_of(page: Path, name: str = "data"):
    """What the page's script reads."""
    (found,) = re.findall(
        rf'<script type="application/json" id="{name}">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL
    )
    return json.loads(found)


class Reading(HTMLParser):
    """Collects every tag with its attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("which", ["one", "two", "six", "photos"])
def test_hostile_text_stays_text(told, which):
    page = told[which] / "report.html"
    read = Reading(page.read_text())
    assert [script.get("type") for script in read.of("script")] == ["application/json", "application/json", None]
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    for tag in ("iframe", "object", "embed", "base", "link", "svg", "math"):
        assert not read.of(tag)
    data = data_of(page)
    pictures = [picture for pair in data["pairs"] for picture in pair["sources"] if picture]
    pictures += [edit["p"] for pair in data["pairs"] for edits in pair["edits"] for edit in edits if "p" in edit]
    assert len(pictures) > 40
    for url, _, _, full in pictures:
        for address in (url, full):
            assert (told[which] / unquote(address)).is_file(), address
            assert ":" not in address
    assert all(link["href"].startswith("#pair-") for link in read.of("a"))
    for unseen in ("\u202e", "\x1b", "\u202c"):
        assert unseen not in page.read_text()


@pytest.mark.parametrize(("which", "pictures"), [("one", "'self'"), ("alone", "data:")])
def test_only_our_script_may_run_and_only_pictures_load(told, which, pictures):
    page = (told[which] / "report.html").read_text()
    read = Reading(page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)  # the others are data
    policies = [meta["content"] for meta in read.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert len(policies) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": pictures,
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_of_more_pairs_than_a_browser_takes_some_are_drawn_and_it_is_said(told, tmp_path, monkeypatch):
    monkeypatch.setattr("editbench.report.content._MOST_SHOWN", 12)
    names = []
    for run in told["runs"]:
        page = write_report(tell([run]), tmp_path / run.name)
        assert "These are 12 of 30 pairs, drawn by their ids" in page.read_text()
        names.append([pair["id"] for pair in data_of(page)["pairs"]])
    assert names[0] == names[1]
    whole = [pair["id"] for pair in data_of(told["one"] / "report.html")["pairs"]]
    assert [name for name in whole if name in names[0]] == names[0]
    assert "drawn by their ids" not in (told["one"] / "report.html").read_text()


def test_a_record_cannot_show_a_file_outside_its_run(tmp_path):
    run = make_run(tmp_path / "run", num=6, pending=0)
    draw(tmp_path / "secret.png", 0, edited=False)
    edits = {key: changed(edit, image="../secret.png") for key, edit in run.edits.items()}
    page = write_report(tell([replace(run, edits=edits)]), run.root).read_text()
    assert "secret" not in page


def thumbnails(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "thumbnails").iterdir()}


def test_a_thumbnail_is_small_and_made_once_for_each_image(told, tmp_path):
    run = replace(make_run(tmp_path / "run", num=6, pending=0), settings={})
    draw(run.root / run.sources[run.pairs[0].pair_id][0], 0, edited=False, size=(1024, 512))
    write_report(tell([run]), run.root)
    before = thumbnails(run.root)
    sizes = [Image.open(run.root / "thumbnails" / name).size for name in before]
    assert len(sizes) == 11  # the sixth has no edit
    assert max(sizes) == (400, 200)
    first = run.pairs[0].pair_id
    anew = changed(run.edits[first, 0], sha256="f" * 64)
    scores = {key: changed(score, edit_sha256=None) for key, score in run.scores.items()}
    write_report(tell([replace(run, edits=run.edits | {(first, 0): anew}, scores=scores)]), run.root)
    after = thumbnails(run.root)
    assert {name: after[name] for name in before} == before
    assert len(after) == 12


def test_each_edit_s_change_is_measured_once_at_a_small_size_and_outside_the_mask_too(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", num=2, pending=0)
    first = run.pairs[0].pair_id
    source, edited, mask = Image.new("RGB", (512, 256)), Image.new("RGB", (512, 256)), Image.new("L", (512, 256))
    edited.paste("white", (0, 0, 256, 256))  # the left half is edited, as the mask allows, and a fourth of the right
    edited.paste("white", (256, 0, 320, 256))
    mask.paste(255, (0, 0, 256, 256))
    for path, image in ((run.sources[first][0], source), (run.edits[first, 0].image, edited), ("mask.png", mask)):
        image.save(run.root / path)
    pairs = (changed(run.pairs[0], references={"mask": RecordedPicture(sha256="m")}), run.pairs[1])
    run = replace(run, pairs=pairs, references={first: {"mask": "mask.png"}})
    page = write_report(tell([run]), run.root, export=tmp_path / "scores.parquet")
    edits = [pair["edits"][0][0] for pair in data_of(page)["pairs"]]
    share, _, psnr = edits[0]["d"]
    assert share == pytest.approx(0.625, abs=0.01)
    assert psnr == pytest.approx(10 * math.log10(1 / 0.625), abs=0.1)
    assert edits[0]["o"][0] == pytest.approx(0.25, abs=0.01)
    assert "o" not in edits[1]
    assert Image.open(run.root / unquote(edits[0]["m"])).size == (256, 128)
    rows = parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [row["change_share"] for row in rows] == pytest.approx([edit["d"][0] for edit in edits], abs=1e-4)
    outside = [row["consistency_outside_the_edit_share"] for row in rows]
    assert outside == [pytest.approx(0.25, abs=0.01), None]
    before = page.read_bytes()
    monkeypatch.setattr("editbench.report.pictures.describe", None)  # a second page measures nothing
    assert write_report(tell([run]), run.root).read_bytes() == before


def test_a_picture_that_is_broken_behind_its_header_is_said_not_to_be_there(tmp_path, caplog):
    run = make_run(tmp_path / "run", num=6, pending=0)
    file = run.root / run.edits[run.pairs[0].pair_id, 0].image
    file.write_bytes(file.read_bytes()[:300])
    page = write_report(tell([run]), run.root)
    without = [pair["id"] for pair in data_of(page)["pairs"] if "p" not in pair["edits"][0][0]]
    assert without == [run.pairs[0].pair_id, run.pairs[5].pair_id]  # the sixth has no edit
    assert f"{file} is not shown: it is cut off or broken" in caplog.text


def test_the_page_counts_failures_by_kind_and_at_the_bottom_for_each_category(told):
    page = (told["one"] / "report.html").read_text()
    row = page.split("<bdi>social</bdi></th>")[1].split("</tr>")[0]
    found = [" ".join(cell.split()) for cell in re.findall(r">([^<>]*)<", row) if cell.strip()]
    assert found[0].startswith("failures at lowest ")
    assert found[1:4] == ["1 refused", "1 error", "1 not scored"]
    assert found[-1] == "3 of 6"


def test_the_json_keeps_its_contract(told):
    document = json.loads((told["two"] / "report.json").read_text())
    assert set(document) == {"schema", "runs", "comparisons", "differ", "judges", "self_preference"}
    assert document["schema"] == 2
    assert [run["name"] for run in document["runs"]] == ["qwen", "base $5 <b>"]
    for run in document["runs"]:
        assert list(run["categories"]) == list(ASPECTS)
        assert list(run["dimensions"]) == ["score"]
        for mean in (run["overall"], *run["categories"].values(), *run["dimensions"].values()):
            waiting = mean["num_not_scored"] + mean["num_pending"]
            assert mean["num_scored"] + sum(mean["num_failed"].values()) + waiting == mean["num_pairs"]
    first = document["runs"][0]
    assert (first["overall"]["num_scored"], first["overall"]["num_pairs"]) == (18, 30)
    values = [s.value for key, s in told["runs"][0].scores.items() if s.value is not None]
    assert first["overall"]["mean"] == pytest.approx(sum(values) / 18)
    assert first["state"] == "part of a run: 27 of 30 edited, 18 scored"
    assert [headline["name"] for headline in first["headlines"]] == ["category_mean", "item_mean"]
    means = [mean["mean"] for mean in first["categories"].values()]
    assert first["headlines"][0]["value"] == pytest.approx(sum(means) / 5)
    assert first["headlines"][0]["scale"] == [0.0, 10.0]


def test_what_a_server_counted_for_the_edits_stands_in_every_form(told, tmp_path):
    run = told["runs"][0]
    details = {"price": 0.5, "currency": "USD", "usage": {"output_tokens": 1000}}
    edits = {key: changed(edit, details=details) for key, edit in run.edits.items()}
    write_report(tell([replace(run, edits=edits)]), tmp_path)
    (found,) = json.loads((tmp_path / "report.json").read_text())["runs"]
    wanted = {"prices": {"USD": 14.0}, "num_priced": 28, "num_unpriced": 0}
    assert found["spent"] == wanted | {"usage": {"output_tokens": 28000}, "num_used": 28}
    for name in ("report.md", "report.html"):
        assert "14.00 USD for 28 edits; 28,000 output_tokens in 28 edits" in (tmp_path / name).read_text().replace(
            "\\", ""
        )


def test_three_dimensions_and_two_headlines_stand_in_json_on_the_rubric_s_own_scale(told):
    (run,) = json.loads((told["photos"] / "report.json").read_text())["runs"]
    assert {name: found["scale"] for name, found in run["dimensions"].items()} == {
        name: [1.0, 5.0] for name in ("done", "kept", "quality")
    }
    assert [(found["name"], found["scale"]) for found in run["headlines"]] == [
        ("P_overall", [1.0, 5.0]),
        ("P_quality", [1.0, 5.0]),
    ]
    # pairs 4, 13 and 22 of 24 have no readable reply to `quality`, in either of two tries
    assert run["dimensions"]["quality"]["num_scored"] == run["overall"]["num_scored"] == 21
    assert run["dimensions"]["done"]["num_scored"] == 24
    assert run["failures"] == {"following": {}, "quality": {"unreadable": 6}}
    assert run["category_groups"]["subject"] == ["subject_add", "subject_remove", "subject_replace"]
    assert "of 5, <bdi>P_overall</bdi>" in (told["photos"] / "report.html").read_text()


def keys(value) -> set[str]:
    """Every name at every depth, but for those that are data: settings, devices, kinds of failure, flags."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    data = {"settings", "devices", "num_failed", "flags", "categories", "category_groups", "dimensions", "headlines"}
    data |= {"languages", "failures", "num_replies", "models", "batch_sizes"}
    if value.keys() & {"categories", "headlines"}:  # by names that are data, what is documented
        inner = [part for name in ("categories", "dimensions") for part in value.get(name, {}).values()]
        headlines = value.get("headlines", [])
        inner += headlines if isinstance(headlines, list) else list(headlines.values())
        return set(value).union(keys(inner), *(keys(part) for name, part in value.items() if name not in data))
    return set(value).union(*(keys(inner) for name, inner in value.items() if name not in data))


def test_every_key_of_the_json_is_documented(told):
    document = json.loads((told["two"] / "report.json").read_text())
    document["runs"] += json.loads((told["photos"] / "report.json").read_text())["runs"]
    assert len(keys(document)) > 60
    assert {name for name in keys(document) if name not in as_json.__doc__} == set()


def test_runs_are_compared_and_what_makes_them_unlike_is_said_on_top(told, tmp_path):
    (found,) = json.loads((told["two"] / "report.json").read_text())["comparisons"]
    overall = found["overall"]
    assert (found["first"], found["second"]) == ("qwen", "base $5 <b>")
    assert overall["num_pairs"] == overall["num_wins"] + overall["num_ties"] + overall["num_losses"] == 18
    assert found["num_only_second"] == 3
    first, second = told["runs"]
    write_report(tell([first, replace(second, settings=second.settings | {"judge": "another"})]), tmp_path)
    for name in ("report.md", "report.html"):
        assert "These runs differ in judge: their numbers" in (tmp_path / name).read_text()
        assert "These runs differ in" not in (told["two"] / name).read_text()


def test_two_judges_of_one_run_are_held_against_each_other(told, tmp_path):
    first = told["runs"][0]
    other = rescored(first, lambda value: 10 - value, name="qwen · b")
    write_report(tell([replace(first, name="qwen · a"), other]), tmp_path)
    document = json.loads((tmp_path / "report.json").read_text())
    (judges,) = document["judges"]
    assert document["comparisons"] == []
    assert judges["agreement"]["spearman"]["value"] == pytest.approx(-1)
    assert judges["agreement"]["pairwise"]["value"] == 0.0
    sizes = [abs(far["first"] - far["second"]) for far in judges["furthest"]]
    assert sizes == sorted(sizes, reverse=True)
    assert judges["num_pairs"] == 30
    for name in ("report.md", "report.html"):
        words = re.sub(r"</?bdi>", "", (tmp_path / name).read_text())
        assert "18 of 30 edits scored by both" in words
        # whose ties count half, and whose order is the measure: the share is another the other way round
        assert "153 pairs of edits to which qwen · a gives an order, those that qwen · b puts in the same" in words
        assert "a tie of qwen · b counts half" in words


def test_the_judge_s_health_stands_in_every_form_of_the_report(told, tmp_path):
    first = replace(told["runs"][0], name="qwen")

    def twice(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
        again = tuple(changed(answer, repeat=1) for answer in answers)
        return tuple(changed(answer, batch_size=4) for answer in answers + again)

    asked = {key: changed(score, answers=twice(score.answers)) for key, score in first.scores.items()}
    write_report(tell([replace(first, scores=asked)]), tmp_path)
    (run,) = json.loads((tmp_path / "report.json").read_text())["runs"]
    found = run["judge"]
    assert (found["num_readable"], found["num_asked"], found["batch_sizes"]) == (36, 52, {"4": 52})
    assert sum(found["values"]["histogram"]) == 18
    steps = " | ".join(map(str, found["values"]["histogram"]))
    assert f"| {steps} |" in (tmp_path / "report.md").read_text()
    for name in ("report.md", "report.html"):
        words = (tmp_path / name).read_text()
        assert "36 of 52 replies could be read (69 %)" in words
        assert "Questions answered at once: 52 in batches of 4; whether that moves a score" in words
        assert "gave 18 of 18 edits the same value each time" in words
        assert f"{found['values']['num_distinct']} different values" in words
        assert "0 % are at the top of the scale, 10; 0 % of pairs of edits are tied" in words


def test_a_report_without_controls_says_once_how_to_ask_for_them(told):
    for name in ("report.md", "report.html"):
        words = (told["one"] / name).read_text().replace("&#39;", "'")
        assert f"--run_dir {told['runs'][0].root} --controls" in words.replace("\\_", "_")
        both = (told["two"] / name).read_text().replace("\\_", "_")
        assert both.count("--run_dir RUN --controls") == 1


def test_an_empty_category_and_a_run_without_scores_have_null_means(tmp_path):
    run = make_run(tmp_path / "run", num=4, pending=0)
    write_report(tell([replace(run, scores={})]), run.root)
    document = json.loads((run.root / "report.json").read_text())
    assert document["runs"][0]["overall"]["mean"] is None
    assert document["runs"][0]["headlines"][0]["value"] is None
    empty = document["runs"][0]["categories"]["referential"]
    assert (empty["mean"], empty["num_pairs"], empty["num_scored"]) == (None, 0, 0)


@pytest.mark.parametrize("which", ["one", "two", "six", "photos"])
def test_the_markdown_can_be_pasted(told, which):
    document = (told[which] / "report.md").read_text()
    lines = document.splitlines()
    tables = [list(rows) for is_row, rows in groupby(lines, key=lambda line: line.startswith("|")) if is_row]
    assert len(tables) >= 3
    for rows in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(widths) == 1, rows
    assert "<" not in document
    assert not re.search(r"(?<!\\)`|@\w|http://", document)
    pictures = re.findall(r"(?<!\\)!\[[^\]]*\]\(([^)]*)\)", document)
    assert pictures
    assert all((told[which] / path).is_file() for path in pictures)


def test_the_markdown_counts_failures_by_kind_for_each_category(told):
    (row,) = re.findall(r"^\| social .*$", (told["one"] / "report.md").read_text(), flags=re.MULTILINE)
    assert "| 3 of 6 | too few |" in row
    assert row.endswith("| 1 refused, 1 error, 1 not scored |")


def test_no_readable_reply_is_said_in_plain_words(tmp_path):
    run = make_run(tmp_path / "demo", num=4, pending=0)
    bad = (Answer(call="score", reply="Nice.", failure="unreadable", detail="no number"),)
    scores = {key: changed(score, value=None, failure="unreadable", answers=bad) for key, score in run.scores.items()}
    write_report(tell([replace(run, scores=scores)]), run.root)
    words = "no reply was readable: 4 of 4 unreadable"
    assert words in (run.root / "report.md").read_text()
    assert words in (run.root / "report.html").read_text()
    assert words in shown(replace(run, scores=scores)).replace("\n", " ")


def shown(*runs) -> str:
    with (console := Console(width=80, color_system=None)).capture() as capture:
        console.print(render_table(tell(runs)))
    return capture.get()


def test_the_terminal_s_table_fits_and_obeys_nobody(told):
    first = replace(told["runs"][0], name="[red]x[/red]\x1b[2J\u202e" + "long" * 40)
    text = shown(first, told["runs"][1])
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "[red]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "part of a run" in text


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("a|b`c`", r"a\|b\`c\`"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("![x](http://y)\n# z", r"\!\[x\](http&#58;//y) \# z"),
        ("\u202eabc\x00\ud800", r"\\u202eabc\\u0000\\ud800"),
        ("名字 é 👩‍🚀", "名字 é 👩‍🚀"),
    ],
)
def test_outside_text_in_markdown(given, wanted):
    assert text.markdown(given) == wanted


def test_the_same_records_give_the_same_bytes(told, tmp_path):
    first = told["runs"][0]
    patterns = ("report.*", "plots/*", "thumbnails/*", "changes/*")
    written = [path for pattern in patterns for path in first.root.glob(pattern)]
    before = {path: path.read_bytes() for path in written}
    assert len(before) == 6 + 57 + 28  # 27 edits with a map each, and their measures
    write_report(tell([first]), first.root)
    assert before == {path: path.read_bytes() for path in before}
    assert not list(first.root.rglob("*.tmp"))


def test_nothing_to_report_on_is_the_user_s_to_mend():
    with pytest.raises(UsageError, match="no run"):
        tell([])


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WHY_NOT = (
    "no chromium on the path" if not CHROMIUM else "" if find_spec("playwright") else "playwright is not installed"
)


@pytest.fixture(scope="module")
def browser():
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, told):
    """Opens a page; afterwards nothing may have gone wrong in it, and nothing left the machine."""
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})

    def open_page(which: str, anchor: str = "", **look):
        page = context.new_page()
        page.set_viewport_size({"width": look.get("width", 1280), "height": 900})
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"a script ran: {dialog.message}"))
        page.on("request", lambda request: request.url.startswith("file:") or wrong.append(request.url))
        page.goto((told[which] / "report.html").as_uri() + anchor)
        return page

    yield open_page
    context.close()
    assert wrong == []


def ids(page) -> list[str]:
    """Of the pairs that are shown, in their order; those far from the window have no card yet."""
    return page.evaluate("shown.map(pair => pair.anchor)")


def values(page, key: str = "mean(chosenRuns().map(run => number(pair, run)).filter(isNumber))") -> list[float]:
    """A number of each pair that is shown and has it, in their order."""
    return page.evaluate(f"shown.map(pair => {key}).filter(isNumber)")


def test_a_person_filters_and_sorts(visit):
    page = visit("one")
    assert len(ids(page)) == 30
    page.get_by_role("button", name="social").click()
    assert page.locator("#count").inner_text() == "6 of 30 pairs"
    page.get_by_text("More").click()
    page.select_option("#difficulty", "easy")
    assert len(ids(page)) == 2  # 12 and 27: 2 modulo 5 and 0 modulo 3
    page.get_by_role("button", name="Reset").click()
    page.select_option("#tag", label="光线")
    assert len(ids(page)) == 14  # 2 or 3 modulo 4
    page.select_option("#tag", "")
    page.select_option("#outcome", label="refused")
    assert ids(page) == ["pair-00012_物理_social"]
    page.select_option("#outcome", label="unchanged")
    assert ids(page) == ["pair-00007_物理_social"]
    page.select_option("#outcome", "failed")
    assert len(ids(page)) == 9
    page.get_by_role("button", name="Reset").click()
    page.select_option("#sort", "low")
    low = values(page)
    assert low == sorted(low)
    assert len(low) == 18
    page.select_option("#sort", "high")
    assert values(page) == sorted(low, reverse=True)
    page.select_option("#sort", "order")
    page.fill("#from", "9")
    assert all(value >= 9 for value in values(page))
    assert len(ids(page)) == len([value for value in low if value >= 9]) > 0
    page.fill("#from", "")
    assert ids(page)[0] == "pair-00000_物理_physical"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("umbrella", 3),
        ("THE SECOND chair", 4),
        ("00011", 1),
        ("or perhaps 8", 7),
        ("窗外 光线", 4),
        ("no such word", 0),
    ],
)
def test_a_person_searches_by_words_of_instruction_reply_and_id(visit, words, found):
    page = visit("one")
    page.keyboard.press("/")
    page.keyboard.type(words)
    assert len(ids(page)) == found
    assert page.locator("#nothing").is_visible() == (not found)
    if found:
        assert page.locator(".card").count() == min(found, 24)


def test_pairs_are_filtered_and_sorted_by_dimension_and_by_a_failed_call(visit):
    page = visit("photos")
    page.select_option("#measure", label="kept")
    page.select_option("#sort", "high")
    kept = values(page)
    assert len(kept) == 24
    assert kept == sorted(kept, reverse=True)
    assert page.locator(".card .score").first.inner_text() == f"{kept[0]:.2f}"
    page.get_by_text("More").click()
    page.fill("#to", "2")
    assert len(ids(page)) == len([value for value in kept if value <= 2]) > 0
    page.get_by_role("button", name="Reset").click()
    page.select_option("#outcome", label="quality: unreadable")
    assert ids(page) == [f"pair-photo-{number:04d}" for number in (4, 13, 22)]


def test_an_opened_pair_shows_all_sources_tries_and_what_the_judge_said_call_by_call(visit):
    page = visit("photos")
    page.locator("#search").fill("photo-0004")
    page.locator("a.figures").first.click()
    labels = page.locator("#view figcaption .label").all_inner_texts()
    change = "Change, four times as bright"
    sources = ["Source 1", "Source 2", "reference, for the judge"]
    assert labels == [*sources, "Edit, try 1", change, "Edit, try 2", change]
    calls = page.locator("#view .answer")
    assert calls.locator(".call b").all_inner_texts() == ["following", "quality"] * 2
    assert "done " in calls.nth(0).inner_text()
    assert "a Markdown fence was taken off" in calls.nth(0).inner_text()
    assert "unreadable" in calls.nth(1).inner_text()
    assert "<script>alert(1)</script>" in calls.nth(1).locator(".reply").inner_text()
    assert "two candidates: 7, 8" in calls.nth(1).inner_text()


def test_what_is_far_from_the_window_has_no_card_and_what_is_filtered_leaves_no_gap(visit):
    page = visit("one")
    assert page.locator(".rows").count() == 3
    assert page.locator(".card").count() <= 30
    page.get_by_role("button", name="social").click()
    tops = page.eval_on_selector_all(".card", "cards => cards.map(card => card.getBoundingClientRect().top)")
    assert len(tops) == 6
    assert tops == sorted(tops)
    assert tops[0] == tops[1] < tops[2] == tops[3] < tops[4] == tops[5]
    assert page.locator(".rows").count() == 1


def test_a_person_opens_a_pair_walks_on_and_goes_back(visit):
    page = visit("one")
    viewer = page.locator("#viewer")
    page.locator("a.figures").nth(1).press("Enter")
    assert viewer.is_visible()
    assert page.locator("#position").inner_text() == "2 of 30"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#position").inner_text() == "3 of 30"
    assert unquote(page.evaluate("location.hash")) == "#pair-00002_物理_social"
    source = page.locator("#view .edit img.before")
    assert not source.is_visible()
    page.keyboard.down(" ")
    assert source.is_visible()
    page.keyboard.up(" ")
    assert not source.is_visible()
    page.keyboard.press("d")
    assert source.evaluate("image => getComputedStyle(image).mixBlendMode") == "difference"
    page.keyboard.press("d")
    assert not source.is_visible()
    page.wait_for_function("[...document.querySelectorAll('#view img')].every(i => i.complete && i.naturalWidth > 0)")
    page.keyboard.press("Escape")
    viewer.wait_for(state="hidden")
    assert page.evaluate("location.hash") == ""
    page.go_forward()
    viewer.wait_for(state="visible")
    page.go_back()
    viewer.wait_for(state="hidden")


def test_a_person_walks_over_the_cards_by_keyboard(visit):
    page = visit("one")
    for key in "jjjk":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    assert page.locator("#position").inner_text() == "2 of 30"


def test_cards_show_thumbnails_and_an_opened_pair_the_pictures_themselves(visit):
    page = visit("one")
    assert "thumbnails/" in page.locator("#cards .edit img").first.get_attribute("src")
    page.locator("a.figures").first.click()
    shown = page.eval_on_selector_all("#view .frame img", "images => images.map(image => image.getAttribute('src'))")
    assert [unquote(address) for address in shown[:3]] == [
        f"{folder}/00000_物理.png" for folder in ("sources", "images", "sources")
    ]
    assert [address.split("/")[0] for address in shown[3:]] == ["changes"]


def test_the_change_map_is_the_third_picture_and_pairs_are_sorted_by_how_much_changed(visit):
    page = visit("one")
    figures = page.locator("#cards .card").first.locator("figure")
    assert figures.evaluate_all("all => all.map(one => one.className)") == ["source", "edit", "change"]
    assert figures.nth(2).locator("img").get_attribute("loading") == "lazy"
    page.select_option("#sort", "changed")
    most_first = values(page, 'changedShare(pair, "d")')
    assert len(most_first) > 20
    assert most_first == sorted(most_first, reverse=True)
    page.select_option("#sort", "kept")
    assert values(page, 'changedShare(pair, "d")') == sorted(most_first)
    page.locator("#cards a.figures").first.click()
    page.wait_for_selector("#viewer[open]")
    assert "Changed: " in page.locator("#view .edit .small").first.text_content()


def test_a_slider_moves_by_keyboard_and_pointer_between_source_and_edit(visit):
    page = visit("one")
    page.locator("a.figures").nth(1).press("Enter")
    page.keyboard.press("s")
    page.keyboard.press("ArrowRight")
    assert page.locator("#share").input_value() == "51"  # the arrows are the slider's now
    assert page.locator("#position").inner_text() == "2 of 30"
    source = page.locator("#view .before")
    assert source.evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 49% 0px 0px)"
    box = page.locator("#view .edit .frame").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert page.locator("#share").input_value() == "25"
    page.locator("#next").click()
    assert (
        page.locator("#view .before").evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 75% 0px 0px)"
    )
    page.keyboard.press("s")
    assert not page.locator("#view .before").is_visible()
    assert page.locator("#view .source").is_visible()


def test_a_page_that_stands_alone_shows_everything_where_nothing_else_is(visit, told):
    assert [path.name for path in told["alone"].iterdir()] == ["report.html"]
    page = visit("alone")
    page.evaluate("[...list.children].forEach(fillRow)")
    assert page.locator("img").count() == 30 + 27 + 27 + 3
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.locator("a.figures").first.click()
    page.wait_for_function("[...document.querySelectorAll('#view img')].every(image => image.naturalWidth > 0)")


def test_pairs_are_sorted_by_how_far_two_judges_differ(visit):
    page = visit("judges")
    assert page.locator("h1").inner_text() == "qwen, judged in 2 ways"
    page.select_option("#sort", label="judges differ most first")
    sizes = values(page, "pair.disagreement")
    assert len(sizes) == 18
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("pair_id", ["00027_物理_social", f"00003 {HOSTILE}"])
def test_a_link_leads_to_its_pair(visit, pair_id):
    anchor = "#" + quote(f"pair-{text.one_line(pair_id)}")
    page = visit("one", anchor)
    marked = page.locator(".card.marked")
    assert marked.count() == 1
    assert marked.get_attribute("id") == f"pair-{text.one_line(pair_id)}"
    page.wait_for_function("""() => {
        const box = document.querySelector(".card.marked").getBoundingClientRect();
        return box.bottom > 0 && box.top < innerHeight;
    }""")


def test_two_runs_stand_beside_each_other_the_largest_differences_first(visit):
    page = visit("two")
    assert page.locator(".card").first.locator("img").count() == 3
    step = "[0, 1].map(run => number(pair, run)).every(isNumber) ? number(pair, 1) - number(pair, 0) : null"
    sizes = [abs(size) for size in values(page, step)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 18
    page.select_option("#sort", "first")
    assert values(page, step)[0] < 0


def test_of_six_runs_a_person_chooses_two_to_look_at(visit):
    page = visit("six")
    assert page.locator(".card").first.locator("figure").count() == 7
    page.locator(".chooser summary").click()
    for name in ("model a", "model d", "model e", "model f"):
        page.get_by_role("checkbox", name=name).uncheck()
    assert page.locator(".card").first.locator(".edit bdi").all_inner_texts() == ["model b", "model c"]
    assert page.locator("#chosen").inner_text() == "2 of 6"
    page.locator("a.figures").first.click()
    assert page.locator("#view .edit").count() == 2
    assert page.locator("#view .who").all_inner_texts() == ["model b", "model c"]


def column(page, place: int, view: str = "categories") -> list[str]:
    return page.eval_on_selector_all(
        f"table[data-table={view}] tbody tr", f"rows => rows.map(row => row.cells[{place}].innerText.split('\\n')[0])"
    )


def test_the_results_come_first_are_sorted_switched_and_copied_as_they_stand(visit, told):
    page = visit("six")
    head = page.locator("table[data-table=categories] thead tr").last.locator("th").all_inner_texts()
    assert head[:4] == ["Run", "P_overall\n21 of 24", "P_quality\n21 of 24", "subject_add"]  # of all runs, so once
    groups = page.locator("table[data-table=categories] thead tr").first.locator("th").all_inner_texts()
    assert groups == ["", "subject", "scene"]
    page.get_by_role("button", name="P_overall").click()
    assert column(page, 0) == [f"model {name}" for name in "bacdef"]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("P_overall")
    page.get_by_role("button", name="P_overall").click()
    assert column(page, 0) == [f"model {name}" for name in "fedcab"]
    page.get_by_role("button", name="Markdown").click()
    rows = page.locator("#copied").input_value().splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| model {name}" for name in "fedcab"]
    page.get_by_role("button", name="Dimensions").click()
    assert not page.locator("table[data-table=categories]").is_visible()
    page.get_by_role("button", name="CSV").click()
    (first, *_) = csv.DictReader(io.StringIO(page.locator("#copied").input_value()))
    assert list(first)[-9::3] == ["done", "kept", "quality"]
    page.get_by_role("button", name="LaTeX").click()
    assert page.locator("#copied").input_value().startswith("\\begin{tabular}{lrr@{\\quad}rrr}\n\\toprule\n")


def test_verdicts_of_six_runs_are_folded_and_the_leader_s_come_first(visit):
    page = visit("six")
    leader = page.locator(".leader").inner_text()
    assert leader.startswith("model b has the highest P_overall; it is shown to be ahead of ")
    assert not page.locator(".verdict").first.is_visible()
    rows = page.locator(".steps").first.locator("tbody tr")
    assert rows.count() == 5
    sizes = [float(size) for size in rows.locator(".size").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0  # winner minus loser
    page.get_by_text("All 15 comparisons").click()
    assert page.locator(".verdict").count() == 15


@pytest.mark.parametrize("which", ["one", "two", "judges", "six", "photos"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(visit, which, width):
    page = visit(which, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_results_scroll_within_themselves_and_the_names_stay(visit):
    page = visit("six", width=390)
    scroll = page.locator(".scroll").first
    assert scroll.evaluate("part => part.scrollWidth > part.clientWidth")
    before = page.locator("tbody th").first.bounding_box()
    scroll.evaluate("part => part.scrollLeft = 300")
    assert page.locator("tbody th").first.bounding_box() == before


def test_the_judge_s_histogram_stands_beside_its_words_and_below_them_on_a_phone(visit, told):
    (run,) = json.loads((told["one"] / "report.json").read_text())["runs"]
    page = visit("one")
    counts = page.eval_on_selector_all(".histogram b", "bars => bars.map(bar => Number(bar.textContent))")
    assert counts == run["judge"]["values"]["histogram"]
    heights = page.eval_on_selector_all(".histogram i", "bars => bars.map(bar => bar.getBoundingClientRect().height)")
    assert heights == pytest.approx([64 * num / max(counts) for num in counts], abs=0.1)
    words, bars = (page.locator(part).bounding_box() for part in (".findings", ".histogram"))
    assert bars["x"] >= words["x"] + words["width"]
    assert bars["y"] < words["y"] + words["height"]
    page.set_viewport_size({"width": 390, "height": 900})
    words, bars = (page.locator(part).bounding_box() for part in (".findings", ".histogram"))
    assert bars["y"] >= words["y"] + words["height"]
    assert bars["x"] + bars["width"] <= 390


def test_runs_that_share_some_pairs_only_have_a_page(tmp_path):
    run = make_run(tmp_path / "run", num=12, pending=0)
    part = make_run(tmp_path / "part", num=5, pending=0)
    page = write_report(tell([run, part]), tmp_path / "both")
    data = data_of(page)
    assert len(data["pairs"]) == 12
    (there,) = data["pairs"][-1]["edits"][1]
    assert (data["statuses"][there["s"]], there["v"]) == ({"name": "not in this run", "failed": False}, [])


AXE = next(
    (
        path
        for path in (Path(os.environ.get("AXE_CORE", "")), Path("node_modules/axe-core/axe.min.js"))
        if path.is_file()
    ),
    None,
)


@pytest.mark.skipif(AXE is None, reason="no axe-core: npm install axe-core, or AXE_CORE=…/axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["one", "two", "six", "photos"])
def test_axe_finds_no_serious_accessibility_fault(visit, which, scheme):
    page = visit(which)
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = false")
    page.locator("a.figures").first.click()
    found += page.evaluate("axe.run('#viewer')")["violations"]
    serious = [
        (fault["id"], [node["html"][:120] for node in fault["nodes"]][:3])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


CONTRAST = """() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faults = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!words || !element.checkVisibility() || element.closest(":disabled, script, .unseen")) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faults.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
  }
  return faults;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["one", "six", "photos"])
def test_words_have_the_contrast_that_wcag_asks_and_every_field_has_a_name(visit, which, scheme):
    page = visit(which)
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate(CONTRAST) == []
    nameless = page.eval_on_selector_all(
        "input, select, textarea",
        "fields => fields.filter(f => !f.labels?.length && !f.ariaLabel).map(f => f.outerHTML)",
    )
    assert nameless == []
    assert page.locator("img:not([alt])").count() == 0
    assert page.eval_on_selector_all("button", "all => all.filter(b => !b.innerText && !b.ariaLabel).length") == 0


# ------------------------------------------------------------------------------------------------- the results table


def test_the_best_is_bold_only_where_the_comparison_shows_it(told):
    table = results_of(tell(told["many"]))[0]
    by_column = dict(zip([column.label for column in table.columns], zip(*table.rows, strict=True), strict=True))
    assert [cell.is_best for cell in by_column["P_overall"]] == [False, True, False, False, False, False]
    values = [cell.value for cell in by_column["P_overall"]]
    assert values[1] == max(values)
    # four pairs a category are too few to show anything, whatever the values
    assert not any(cell.is_best for cell in by_column["subject_add"])
    twins = results_of(tell([told["many"][0], replace(told["many"][0], name="twin", root=Path("/twin"))]))[0]
    assert not any(cell is not None and cell.is_best for row in twins.rows for cell in row)


def test_a_cell_says_over_how_many_of_how_many_only_where_that_is_not_all(told):
    (table, *_) = results_of(tell(told["many"]))
    words = str(to_markdown(table)).splitlines()
    assert words[0].startswith("| | P\\_overall | P\\_quality | subject: subject\\_add |".replace("| |", "|  |"))
    cells = [cell.strip() for cell in words[2].split("|")]
    assert cells[2].endswith("(21/24)")
    assert re.fullmatch(r"\d\.\d\d", cells[4])  # all four of subject_add


def test_the_table_in_latex_stands_in_booktabs_with_its_groups(told):
    (table, *_) = results_of(tell(told["many"]))
    words = str(to_latex(table))
    lines = words.splitlines()
    assert lines[:2] == [r"\begin{tabular}{lrr@{\quad}rrrrrr}", r"\toprule"]
    assert lines[2] == r" & \multicolumn{2}{c}{} & \multicolumn{3}{c}{subject} & \multicolumn{3}{c}{scene} \\"
    assert lines[3] == r"\cmidrule(lr){4-6} \cmidrule(lr){7-9}"
    assert r"style <b>\&\_<script>" in lines[4]
    assert lines[5] == r"\midrule"
    assert lines[7].startswith(r"model b & \textbf{")
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert len({line.count("&") - line.count(r"\&") for line in (lines[4], *lines[6:-2])}) == 1


def test_the_table_in_csv_runs_nothing(told):
    run = replace(told["photos run"], name="=1+1")
    (table, *_) = results_of(tell([run]))
    (row,) = csv.DictReader(io.StringIO(str(to_csv(table))))
    assert row["run"] == "'=1+1"
    assert (row["P_overall: scored"], row["P_overall: pairs"]) == ("21", "24")


def test_a_comparison_is_told_as_winner_minus_loser_in_sentence_and_row_alike(told):
    content = tell(told["many"][:2])  # the second is ahead
    for entry in (content.comparisons[0], tell(told["many"][1::-1]).comparisons[0]):
        shown = turned(entry)
        assert (shown.second, shown.winner) == ("model b", "model b")
        assert shown.deciding.mean > 0
        assert shown.dimensions["done"].interval.high > shown.dimensions["done"].interval.low > 0
        assert shown.deciding.num_wins > shown.deciding.num_losses
        words = text.verdict(shown).format(ahead=shown.second, behind=shown.first)
        assert words.startswith(f"model b is ahead of model a by {shown.deciding.mean:.2f} in P_overall over 21 pairs")


def test_too_few_is_said_once(told):
    for name in ("report.html", "report.md"):
        words = re.sub(r'title="[^"]*"', "", (told["six"] / name).read_text().split("Which is better?")[0])
        words = words.split('data-view="dimensions"')[0].split("| done |")[0]  # the other views
        assert words.count("too few") == 1


def test_what_differs_from_the_official_protocol_and_between_the_runs_stands_first(told):
    for name in ("report.html", "report.md"):
        words = re.sub(r"</?\w+>|\*|\\", "", (told["six"] / name).read_text())
        first = words[words.index("6 runs on photos.jsonl") : words.index("P_overall")]
        assert "The official judge is gpt-4.1; here it is Server (judge-2026), judge-2026." in first
        assert "The official decoding is temperature 0." in first
        assert "The runs differ in editor" in first
        assert "rubric photos-1" in first
        assert "answered by judge-2026" in first


def test_the_terminal_shows_six_runs_within_80_columns(told):
    found = shown(*told["many"])
    assert max(map(cell_len, found.splitlines())) <= 80
    for name in ("overall", "replace", "done", "kept"):
        assert name in found
    assert re.search(r"model b +\*\d\.\d\d", found)


def test_of_many_headlines_the_first_leads_and_all_have_a_view_of_their_own(told):
    class Many(Photos):
        @property
        def headlines(self):
            return (*super().headlines, *(Headline(name=f"P_{n}", scale=self.scale, values=(n,)) for n in ("a", "b")))

    views = {table.view: table for table in results_of(tell([replace(run, rubric=Many()) for run in told["many"][:2]]))}
    assert [column.name for column in views["categories"].columns if column.is_headline] == ["P_overall"]
    assert [column.name for column in views["headlines"].columns] == ["P_overall", "P_quality", "P_a", "P_b"]
    assert [cell.value for cell in views["headlines"].rows[0]][2:] == [None, None]
