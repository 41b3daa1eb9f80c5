import base64
import hashlib
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from PIL import Image, ImageDraw
from rich.cells import cell_len
from rich.console import Console

from editbench.errors import UsageError
from editbench.records import CATEGORIES, FAILURES, Edit, Pair, Score
from editbench.report import as_json, render_table, tell, text, write_report
from editbench.stats.summary import RunRecords

HOSTILE = (
    """<script>alert(1)</script>"><img src=x onerror=alert(2)> | `x` ![y](http://z) \u202egnp.\u202c \x1b[31m @all"""
)
LONG = (
    "Make the tall ceramic vase on the left side of the table fall over so that the water inside runs out towards "
    "the viewer, wets the open book and drips from the table's edge; keep the light and all else as it is."
)
CHINESE = "把桌子左边的高花瓶推倒，让里面的水流向观者，浸湿翻开的书并从桌沿滴下；窗外的光线、阴影以及其他一切保持不变。"
PLAIN = (
    "Turn the afternoon into dusk with the street lamps lit.",
    "Remove the second chair from the left.",
    "Let the ball roll one metre to the right.",
    "Give the woman in the red coat an umbrella.",
    "The ice has melted: show it.",
)


def draw(path: Path, index: int, edited: bool, size=(368, 276)) -> None:
    hue = (index * 47) % 360
    image = Image.new("RGB", size, f"hsl({hue}, 32%, 84%)")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, size[1] * 0.66, size[0], size[1]), fill=f"hsl({(hue + 30) % 360}, 24%, 56%)")
    x = 70 + (index * 53) % 200 + (40 if edited else 0)
    pen.ellipse((x, 110, x + 80, 190), fill=f"hsl({(hue + 180) % 360}, 55%, {45 if edited else 58}%)")
    pen.rectangle((30, 130, 80, 200), fill=f"hsl({(hue + 90) % 360}, 40%, 42%)")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def make_run(root: Path, num: int = 30, shift: float = 0.0, pending: int = 2) -> RunRecords:
    pairs, edits, scores, sources = [], {}, {}, {}
    for index in range(num):
        category = CATEGORIES[index % 5]
        pair_id = f"{index:05d}_物理_{category}" if index != 3 else f"00003 {HOSTILE}"
        instruction = (LONG, CHINESE, HOSTILE, *PLAIN)[index % 8]
        pair = Pair(
            pair_id=pair_id,
            category=category,
            instruction=instruction,
            source_sha256=f"{index // 2:064d}",
            rationale="The vase lies, the water runs.",
            description="A table by a window.",
            difficulty=("easy", "medium", "hard")[index % 3],
            tags=("table", "光线", HOSTILE[:25])[: index % 4],
        )
        pairs.append(pair)
        sources[pair_id] = f"sources/{index:05d}_物理.png"
        draw(root / sources[pair_id], index, edited=False)
        if index >= num - pending:
            continue
        if index == 5:
            edits[pair_id] = Edit(
                pair_id=pair_id,
                seed=index,
                error=f"out of memory: {HOSTILE}",
                key="k",
                duration_s=3.0,
                device="NVIDIA H200",
            )
            scores[pair_id] = Score(pair_id=pair_id, value=None, failure="missing edit", key="k")
            continue
        path = f"images/{index:05d}_物理.png"
        draw(root / path, index, edited=True, size=(368, 276) if index != 6 else (300, 300))
        flags = {6: ("resized",), 7: ("unchanged",), 8: ("constant",)}.get(index, ())
        edits[pair_id] = Edit(
            pair_id=pair_id,
            image=path,
            sha256=f"{index:064x}",
            seed=index,
            key="k",
            width=368,
            height=276,
            flags=flags,
            device="NVIDIA H200",
            duration_s=17.0 + index / 10,
        )
        value = min(10.0, max(0.0, round(6.2 + 3 * math.sin(index * 1.7) + shift * math.cos(index), 3)))
        score = Score(
            pair_id=pair_id,
            value=value,
            key="k",
            reply=f"{value:.3f}",
            edit_sha256=edits[pair_id].sha256,
            rubric="aspects-1",
            device="NVIDIA H200",
            duration_s=0.46,
        )
        if index in range(10, 10 + len(FAILURES)):
            failure = FAILURES[index - 10]
            score = replace(
                score,
                value=None,
                failure=failure,
                detail=f"{failure}: what stood there was not one number",
                reply="" if failure == "empty" else f"I would say 7, or perhaps 8. {HOSTILE}",
            )
        if index == num - pending - 1 and pending:
            continue
        scores[pair_id] = score
    settings = {
        "benchmark": "bench.json",
        "editor": "QwenImageEdit (Qwen/Qwen-Image-Edit-2511)",
        "judge": "QwenVL",
        "rubric": "aspects-1",
        "language": "en",
        "seed": "0",
        "note": HOSTILE,
    }
    return RunRecords(
        name=root.name,
        run=root.name,
        score_file="judge",
        root=root,
        pairs=tuple(pairs),
        sources=sources,
        edits=edits,
        scores=scores,
        settings=settings,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Pages: a part of a run, the same moved alone, two runs beside each other, and one run's two judges."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = make_run(folder / "qwen"), make_run(folder / "base $5 <b>", shift=2.0, pending=0)
    write_report(tell([first]), first.root)
    write_report(tell([first, second]), folder / "both")
    blind = {key: replace(s, value=None if s.value is None else s.value / 2) for key, s in first.scores.items()}
    judges = [replace(first, name="qwen · judge"), replace(first, name="qwen · blind", scores=blind)]
    write_report(tell(judges), folder / "judges")
    page = write_report(tell([first]), folder / "alone", standalone=True)
    (folder / "elsewhere").mkdir()
    page.rename(folder / "elsewhere" / page.name)
    pages = {"one": first.root, "two": folder / "both", "judges": folder / "judges", "alone": folder / "elsewhere"}
    return pages | {"runs": [first, second]}


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


@pytest.mark.parametrize("which", ["one", "two"])
def test_hostile_text_stays_text(told, which):
    page = (told[which] / "report.html").read_text()
    read = Reading(page)
    assert len(read.of("script")) == 1
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    for tag in ("iframe", "object", "embed", "base", "link", "svg", "math"):
        assert not read.of(tag)
    addresses = [image["src"] for image in read.of("img")]
    addresses += [image["data-full"] for image in read.of("img") if "data-full" in image]
    for address in addresses:
        assert (told[which] / unquote(address)).is_file(), address
        assert ":" not in address
    assert all(link["href"].startswith("#pair-") for link in read.of("a"))
    for unseen in ("\u202e", "\x1b", "\u202c"):
        assert unseen not in page


@pytest.mark.parametrize(("which", "pictures"), [("one", "'self'"), ("alone", "data:")])
def test_only_our_script_may_run_and_only_pictures_load(told, which, pictures):
    page = (told[which] / "report.html").read_text()
    read = Reading(page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
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
        page = write_report(tell([run]), tmp_path / run.name).read_text()
        assert "These are 12 of 30 pairs, drawn by their ids" in page
        names.append([tag["id"] for name, tag in Reading(page).tags if name == "article"])
    assert names[0] == names[1]
    whole = [tag["id"] for name, tag in Reading((told["one"] / "report.html").read_text()).tags if name == "article"]
    assert [name for name in whole if name in names[0]] == names[0]
    assert "drawn by their ids" not in (told["one"] / "report.html").read_text()


def test_a_record_cannot_show_a_file_outside_its_run(tmp_path):
    run = make_run(tmp_path / "run", num=6, pending=0)
    draw(tmp_path / "secret.png", 0, edited=False)
    edits = {key: replace(edit, image="../secret.png") for key, edit in run.edits.items()}
    page = write_report(tell([replace(run, edits=edits)]), run.root).read_text()
    assert "secret" not in page


def thumbnails(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "thumbnails").iterdir()}


def test_a_thumbnail_is_small_and_made_once_for_each_image(told, tmp_path):
    run = replace(make_run(tmp_path / "run", num=6, pending=0), settings={})
    draw(run.root / run.sources[run.pairs[0].pair_id], 0, edited=False, size=(1024, 512))
    write_report(tell([run]), run.root)
    before = thumbnails(run.root)
    sizes = [Image.open(run.root / "thumbnails" / name).size for name in before]
    assert len(sizes) == 11  # the sixth has no edit
    assert max(sizes) == (400, 200)
    first = run.pairs[0].pair_id
    anew = replace(run.edits[first], sha256="f" * 64)
    write_report(tell([replace(run, edits=run.edits | {first: anew})]), run.root)
    after = thumbnails(run.root)
    assert {name: after[name] for name in before} == before
    assert len(after) == 12


def test_a_picture_that_is_broken_behind_its_header_is_said_not_to_be_there(tmp_path, caplog):
    run = make_run(tmp_path / "run", num=6, pending=0)
    file = run.root / run.edits[run.pairs[0].pair_id].image
    file.write_bytes(file.read_bytes()[:300])
    page = write_report(tell([run]), run.root).read_text()
    assert page.count("no edited image here") == 1
    assert f"{file} is not shown: it is cut off or broken" in caplog.text


def test_the_page_counts_failures_by_kind_and_at_the_bottom_for_each_category(told):
    page = (told["one"] / "report.html").read_text()
    row = page.split('<th scope="rowgroup" rowspan="2">social</th>')[1].split("</tbody>")[0]
    found = [" ".join(cell.split()) for cell in re.findall(r">([^<>]*)<", row) if cell.strip()]
    assert found[1:3] == ["3 of 6", "no interval: too few"]
    assert found[3].startswith("failures as 0: ")
    assert found[4:] == ["1 refused", "1 error", "1 not scored"]


def test_the_json_keeps_its_contract(told):
    document = json.loads((told["two"] / "report.json").read_text())
    assert set(document) == {"schema", "runs", "comparisons", "differ", "judges"}
    assert document["schema"] == 1
    assert [run["name"] for run in document["runs"]] == ["qwen", "base $5 <b>"]
    for run in document["runs"]:
        assert list(run["categories"]) == ["physical", "environmental", "social", "causal", "referential"]
        for mean in (run["overall"], *run["categories"].values()):
            waiting = mean["num_not_scored"] + mean["num_pending"]
            assert mean["num_scored"] + sum(mean["num_failed"].values()) + waiting == mean["num_pairs"]
            for key in mean:
                assert key in as_json.__doc__
        for key in run:
            assert key in as_json.__doc__
    first = document["runs"][0]
    assert (first["overall"]["num_scored"], first["overall"]["num_pairs"]) == (18, 30)
    values = [s.value for key, s in told["runs"][0].scores.items() if s.value is not None]
    assert first["overall"]["mean"] == pytest.approx(sum(values) / 18)
    assert first["state"] == "part of a run: 27 of 30 edited, 18 scored"


def keys(value) -> set[str]:
    """Every name at every depth, but for those that are data: settings, devices, kinds of failure, flags."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    data = {"settings", "devices", "num_failed", "flags"}
    return set(value).union(*(keys(inner) for name, inner in value.items() if name not in data))


def test_every_key_of_the_json_is_documented(told):
    document = json.loads((told["two"] / "report.json").read_text())
    assert len(keys(document)) > 50
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
        assert "differ in judge" in (tmp_path / name).read_text()
        assert "differ in" not in (told["two"] / name).read_text()


def test_two_judges_of_one_run_are_held_against_each_other(told, tmp_path):
    first = told["runs"][0]
    other = {key: replace(s, value=None if s.value is None else 10 - s.value) for key, s in first.scores.items()}
    write_report(tell([replace(first, name="qwen · a"), replace(first, name="qwen · b", scores=other)]), tmp_path)
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
    asked = {key: replace(s, batch_size=4, values=(s.value or 0.0, 5.0)) for key, s in first.scores.items()}
    write_report(tell([replace(first, scores=asked)]), tmp_path)
    (run,) = json.loads((tmp_path / "report.json").read_text())["runs"]
    found = run["judge"]
    assert (found["num_readable"], found["num_asked"], found["batch_sizes"]) == (18, 26, {"4": 26})
    assert sum(found["histogram"]) == 18
    steps = " | ".join(map(str, found["histogram"]))
    assert f"| {steps} |" in (tmp_path / "report.md").read_text()
    for name in ("report.md", "report.html"):
        words = (tmp_path / name).read_text()
        assert "18 of 26 replies could be read (69 %)" in words
        assert "Edits judged at once: 26 in batches of 4; whether that moves a score" in words
        assert f"gave {found['repeats']['num_same']} of 26 edits the same value each time" in words
        assert f"{found['num_distinct']} different values" in words
        assert "0 % are at the top of the scale, 10; 0 % of pairs of edits are tied" in words


def test_a_report_without_controls_says_how_to_ask_for_this_run_s(told):
    for name in ("report.md", "report.html", "report.json"):
        words = (told["two"] / name).read_text().replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
        quoted = f"'{told['runs'][1].root}'".replace("$", r"\$" if name == "report.md" else "$")
        assert f"--run_dir {quoted} --controls" in words.replace(r"\_", "_")


def test_an_empty_category_and_a_run_without_scores_have_null_means(tmp_path):
    run = make_run(tmp_path / "run", num=4, pending=0)
    write_report(tell([replace(run, scores={})]), run.root)
    document = json.loads((run.root / "report.json").read_text())
    assert document["runs"][0]["overall"]["mean"] is None
    empty = document["runs"][0]["categories"]["referential"]
    assert (empty["mean"], empty["num_pairs"], empty["num_scored"]) == (None, 0, 0)


@pytest.mark.parametrize("which", ["one", "two"])
def test_the_markdown_can_be_pasted(told, which):
    document = (told[which] / "report.md").read_text()
    lines = document.splitlines()
    tables = [list(rows) for is_row, rows in groupby(lines, key=lambda line: line.startswith("|")) if is_row]
    assert len(tables) >= 4
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
    scores = {key: replace(s, value=None, failure="unreadable", detail="no number") for key, s in run.scores.items()}
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
    written = [path for pattern in ("report.*", "plots/*", "thumbnails/*") for path in first.root.glob(pattern)]
    before = {path: path.read_bytes() for path in written}
    assert len(before) == 6 + 57
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
    return page.eval_on_selector_all(".card:not([hidden])", "cards => cards.map(card => card.id)")


def scores(page) -> list[float]:
    found = page.eval_on_selector_all("#cards .card:not([hidden])", "cards => cards.map(card => card.dataset.score)")
    return [float(score) for score in found if score]


def test_a_person_filters_and_sorts(visit):
    page = visit("one")
    assert len(ids(page)) == 30
    page.get_by_role("button", name="social").click()
    assert page.locator("#count").inner_text() == "6 of 30 pairs"
    page.select_option("#difficulty", "easy")
    assert len(ids(page)) == 2  # 12 and 27: 2 modulo 5 and 0 modulo 3
    page.get_by_role("button", name="Reset").click()
    page.select_option("#tag", label="光线")
    assert len(ids(page)) == 14  # 2 or 3 modulo 4
    page.select_option("#tag", "")
    page.select_option("#outcome", label="refused")
    assert ids(page) == ["pair-00012_物理_social"]
    page.select_option("#outcome", "failed")
    assert len(ids(page)) == 9
    page.get_by_role("button", name="Reset").click()
    page.select_option("#sort", "low")
    low = scores(page)
    assert low == sorted(low)
    assert len(low) == 18
    page.select_option("#sort", "high")
    assert scores(page) == sorted(low, reverse=True)
    page.select_option("#sort", "order")
    assert ids(page)[0] == "pair-00000_物理_physical"


def test_what_is_far_from_the_window_is_not_laid_out_and_what_is_filtered_leaves_no_gap(visit):
    page = visit("one")
    page.locator("#cards").scroll_into_view_if_needed()
    laid_out = "rows => rows.map(row => row.firstElementChild.checkVisibility({contentVisibilityAuto: true}))"
    page.wait_for_function(f"(({laid_out})([...document.querySelectorAll('.rows')])).includes(false)")
    assert page.eval_on_selector_all(".rows", laid_out)[-1] is False
    page.get_by_role("button", name="social").click()
    tops = page.eval_on_selector_all(
        ".card:not([hidden])", "cards => cards.map(card => card.getBoundingClientRect().top)"
    )
    assert len(tops) == 6
    assert tops == sorted(tops)
    assert tops[0] == tops[1] < tops[2] == tops[3] < tops[4] == tops[5]
    assert page.locator(".rows:not([hidden])").count() == 2


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
    assert page.evaluate("[...document.querySelectorAll('#view img')].every(i => i.complete && i.naturalWidth > 0)")
    page.keyboard.press("Escape")
    viewer.wait_for(state="hidden")
    assert page.evaluate("location.hash") == ""
    page.go_forward()
    viewer.wait_for(state="visible")
    page.go_back()
    viewer.wait_for(state="hidden")


def test_cards_show_thumbnails_and_an_opened_pair_the_pictures_themselves(visit):
    page = visit("one")
    assert "thumbnails/" in page.locator("#cards .edit img").first.get_attribute("src")
    page.locator("a.figures").first.click()
    shown = page.eval_on_selector_all("#view .frame img", "images => images.map(image => image.getAttribute('src'))")
    assert [unquote(address) for address in shown] == [
        f"{folder}/00000_物理.png" for folder in ("sources", "images", "sources")
    ]


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
    images = page.locator("img")
    assert images.count() == 30 + 27 + 3
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.locator("a.figures").first.click()
    page.wait_for_function("[...document.querySelectorAll('#view img')].every(image => image.naturalWidth > 0)")


def test_pairs_are_sorted_by_how_far_two_judges_differ(visit):
    page = visit("judges")
    assert page.locator("h1").inner_text() == "qwen, judged in 2 ways"
    page.select_option("#sort", label="judges differ most first")
    found = page.eval_on_selector_all("#cards .card", "cards => cards.map(card => card.dataset.disagreement)")
    sizes = [float(size) for size in found if size]
    assert len(sizes) == 18
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("pair_id", ["00011_物理_environmental", f"00003 {HOSTILE}"])
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


def test_two_runs_stand_beside_each_other_and_sort_by_difference(visit):
    page = visit("two")
    assert page.locator(".card").first.locator("img").count() == 3
    page.select_option("#sort", "spread")
    found = page.eval_on_selector_all("#cards .card", "cards => cards.map(card => card.dataset.difference)")
    sizes = [abs(float(difference)) for difference in found if difference]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 18
    page.select_option("#sort", "first")
    found = page.eval_on_selector_all("#cards .card", "cards => cards.map(card => card.dataset.difference)")
    assert float(found[0]) < 0


@pytest.mark.parametrize("which", ["one", "two", "judges"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(visit, which, width):
    page = visit(which, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_judge_s_histogram_stands_beside_its_words_and_below_them_on_a_phone(visit, told):
    (run,) = json.loads((told["one"] / "report.json").read_text())["runs"]
    page = visit("one")
    counts = page.eval_on_selector_all(".histogram b", "bars => bars.map(bar => Number(bar.textContent))")
    assert counts == run["judge"]["histogram"]
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
    part = replace(run, name="part", run="part", pairs=run.pairs[:5])
    page = write_report(tell([run, part]), tmp_path / "both")
    assert page.read_text(encoding="utf-8").count("<article") == 12
