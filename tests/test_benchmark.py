import base64
import contextlib
import csv
import hashlib
import io
import json
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from editbench import benchmark
from editbench.benchmark import Data, misspelt_categories, read_pictures, selector, texts
from editbench.benchmark.defects import Defects
from editbench.errors import UsageError
from editbench.records import Pair, Picture

CHINESE = ["物理", "环境", "社会", "因果", "指代"]
ANY_FILE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def dot(colour: str = "red", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(file, kind)
    return file.getvalue()


DOT = dot()


def item(number: int = 0, **changes: Any) -> dict[str, Any]:
    """An item of a list with images inside; a change to None leaves the field out."""
    whole = {
        "subset": "物理",
        "original_description": "一个点",
        "original_description_en": "a dot",
        "edit_instruction": "把它变蓝",
        "edit_instruction_en": "Make it blue",
        "src_img_b64": base64.b64encode(DOT).decode(),
        "rationale_short": "蓝色",
        "rationale_short_en": "it is blue",
        "tags": ["dot", "点"],
        "difficulty": "medium",
        "seed": 1,
        "original_image_path": f"generated_images_2/{number:05d}_物理_medium.png",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    whole = {"id": f"p{number}", "source": "dot.png", "instruction": "Make it blue", "category": "physical"} | changes
    return {name: value for name, value in whole.items() if value is not None}


def write(path: Path, rows: list[Any]) -> Path:
    """The rows in the format that the name asks for, beside one image."""
    (path.parent / "dot.png").write_bytes(DOT)
    if path.suffix == ".csv":
        names = list(dict.fromkeys(name for fields in rows for name in fields))
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, names)
            table.writeheader()
            table.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(fields, ensure_ascii=False) + "\n" for fields in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def load_pairs(path: Path, **options: Any) -> list[Pair]:
    return list(benchmark.load_pairs(Data(path=path, **options)))


def sources(path: Path, wanted: Collection[str], **options: Any) -> list[tuple[str, Image.Image]]:
    return [(pair_id, first) for pair_id, (first, *_), _ in read_pictures(Data(path=path, **options), wanted)]


def defects(path: Path, **options: Any) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_pairs(path, **({"language": "en"} | options))
    lines = str(caught.value).split("\n  ")
    return lines[1:] if len(lines) > 1 else lines


def only(path: Path, **options: Any) -> str:
    lines = defects(path, **options)
    assert len(lines) == 1, lines
    return lines[0].removeprefix(f"{path}, ")


# ---- what a sound file gives


def test_an_item_with_its_image_inside_becomes_a_pair_in_the_language_asked_for(tmp_path):
    path = write(tmp_path / "bench.json", [item()])
    whole = {
        "pair_id": "00000_物理_medium",
        "category": "物理",
        "sources": (Picture(sha256=hashlib.sha256(DOT).hexdigest()),),
        "fields": {"seed": 1},
        "difficulty": "medium",
        "tags": ("dot", "点"),
    }
    english = Pair(instruction="Make it blue", rationale="it is blue", description="a dot", **whole)
    chinese = Pair(language="zh", instruction="把它变蓝", rationale="蓝色", description="一个点", **whole)
    assert load_pairs(path, language="en") == [english]
    assert load_pairs(path, language="zh") == [chinese]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_table_row_becomes_a_pair_in_every_format(tmp_path, suffix):
    tags = "in; out " if suffix == ".csv" else ["in", "out"]
    fields = row(rationale="blue", description="a dot", reference="dot.png", source_group="g", difficulty="hard")
    path = write(tmp_path / f"bench{suffix}", [fields | {"tags": tags, "category": "因果", "unknown": "x"}])
    assert load_pairs(path, language="en") == [
        Pair(
            pair_id="p0",
            category="因果",
            instruction="Make it blue",
            sources=(Picture(sha256=hashlib.sha256(DOT).hexdigest(), path="dot.png"),),
            fields={"unknown": "x"},
            rationale="blue",
            description="a dot",
            difficulty="hard",
            tags=("in", "out"),
            source_group="g",
            references={"reference": Picture(sha256=hashlib.sha256(DOT).hexdigest(), path="dot.png")},
        )
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_table_prefers_the_language_variant_and_takes_its_bare_text_as_english(tmp_path, suffix):
    fields = row(instruction_en="Paint it", instruction_zh="涂", rationale="r", rationale_zh="因")
    path = write(tmp_path / f"a{suffix}", [fields])
    assert load_pairs(path, language="en")[0].instruction == "Paint it"
    assert load_pairs(path, language="en")[0].rationale == "r"
    assert load_pairs(path, language="zh")[0].instruction == "涂"
    assert load_pairs(path, language="zh")[0].rationale == "因"
    path = write(tmp_path / f"b{suffix}", [row(rationale="r")])
    assert load_pairs(path, language="en")[0].instruction == "Make it blue"
    path = write(tmp_path / f"c{suffix}", [row(instruction_zh="涂", rationale="r")])
    assert load_pairs(path, language="zh")[0].rationale is None


def test_an_explicit_id_wins_over_the_image_path(tmp_path):
    path = write(tmp_path / "bench.json", [item(id="mine"), item(id=" ")])
    assert [pair.pair_id for pair in load_pairs(path, language="en")] == ["mine", "00000_物理_medium"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path, suffix):
    path = write(tmp_path / f"bench{suffix}", [row(), row(1)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert [pair.pair_id for pair in load_pairs(path, language="en")] == ["p0", "p1"]


def test_base64_may_be_broken_into_lines(tmp_path):
    path = write(tmp_path / "bench.json", [item(src_img_b64=base64.encodebytes(DOT).decode())])
    assert load_pairs(path, language="en")[0].sources_sha256 == hashlib.sha256(DOT).hexdigest()


def test_paths_start_from_the_folder_of_images_when_one_is_given(tmp_path):
    (tmp_path / "pictures").mkdir()
    path = write(tmp_path / "bench.jsonl", [row(source="a.png")])
    (tmp_path / "pictures" / "a.png").write_bytes(dot("blue"))
    assert len(load_pairs(path, language="en", images=tmp_path / "pictures")) == 1
    [(_, image)] = sources(path, ["p0"], images=tmp_path / "pictures")
    assert image.getpixel((0, 0)) == (0, 0, 255)
    assert "no such folder" in only(path, images=tmp_path / "nowhere")


def test_ids_that_are_no_file_names_are_still_ids(tmp_path):
    ids = ["../x", "/etc", "CON", ".hidden", "a/b", "x" * 512, "a b"]
    path = write(tmp_path / "bench.json", [item(id=name) for name in ids])
    assert [pair.pair_id for pair in load_pairs(path, language="en")] == ids


# ---- defects


def test_a_file_with_six_defects_reports_all_six_with_row_and_field(tmp_path):
    rows = [
        item(0),
        item(1, edit_instruction_en="  "),
        item(2, subset=["物理"]),
        item(3, src_img_b64="@@@@"),
        item(4, src_img_b64=base64.b64encode(DOT[:40]).decode()),
        item(0),
        item(6, tags="dot"),
    ]
    path = write(tmp_path / "bench.json", rows)
    found = defects(path)
    expected = [
        ("row 2 (id '00001_物理_medium'), edit_instruction_en: is empty", "--language zh"),
        ("row 3 (id '00002_物理_medium'), subset: is a list", "give text"),
        ("row 4 (id '00003_物理_medium'), src_img_b64: is not base64", "again"),
        ("row 5 (id '00004_物理_medium'), src_img_b64: the image is", "replace"),
        ("row 6 (id '00000_物理_medium'), original_image_path: is also the id of row 1", "own"),
        ("row 7 (id '00006_物理_medium'), tags: is not a list of texts", "give"),
    ]
    assert len(found) == len(expected)
    for line, (start, remedy) in zip(found, expected, strict=True):
        assert line.startswith(f"{path}, {start}")
        assert remedy in line


def test_one_row_reports_each_of_its_defects(tmp_path):
    path = write(tmp_path / "bench.jsonl", [{"id": "a"}])
    fields = [line.removeprefix(f"{path}, row 1 (id 'a'), ").split(":")[0] for line in defects(path)]
    assert fields == ["source", "instruction"]


def test_beyond_fifty_defects_the_rest_is_counted(tmp_path):
    path = write(tmp_path / "bench.json", [item(number, subset={}) for number in range(53)])
    lines = defects(path)
    assert len(lines) == 51
    assert lines[-1] == "and 3 more"


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "subset",
        "category",
        "src_img_b64",
        "edit_instruction_en",
        "rationale_short_en",
        "difficulty",
        "reference",
        "source_group",
        "original_image_path",
        "tags",
    ],
)
@pytest.mark.parametrize("value", [True, {"a": 1}, [{}]])
def test_a_field_of_a_wrong_type_is_one_defect_that_names_it(tmp_path, name, value):
    assert f"{name}: is " in only(write(tmp_path / "bench.json", [item(**{name: value})]))


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_number_is_as_good_as_its_digits_in_an_id_a_category_and_a_difficulty(tmp_path, suffix):
    fields = row(id=7, category=2, difficulty=1.0, source_group=3)
    [pair] = load_pairs(write(tmp_path / f"bench{suffix}", [fields]), language="en")
    assert (pair.pair_id, pair.category, pair.difficulty, pair.source_group) == ("7", "2", "1", "3")


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b", "\udfff"])
@pytest.mark.parametrize("name", ["id", "edit_instruction_en", "source_group", "original_image_path"])
def test_nul_and_lone_surrogates_are_no_text(tmp_path, name, bad):
    assert f"{name}: has '\\" in only(write(tmp_path / "bench.json", [item(**{name: bad})]))


def test_a_paired_surrogate_escape_is_text(tmp_path):
    path = write(tmp_path / "bench.json", [item(edit_instruction_en="add a 😀")])
    assert b"\\ud83d\\ude00" in path.read_bytes()
    assert load_pairs(path, language="en")[0].instruction == "add a 😀"


@pytest.mark.parametrize(
    ("first", "second"), [("Cat", "cat"), ("é", unicodedata.normalize("NFD", "É")), ("straße", "STRASSE")]
)
def test_two_ids_that_would_be_one_file_name_are_a_defect(tmp_path, first, second):
    message = only(write(tmp_path / "bench.json", [item(id=first), item(1), item(id=second)]))
    assert message.startswith(f"row 3 (id {second!r}), id: would be one file name with {first!r}, the id of row 1")


def test_an_id_of_over_512_bytes_and_a_missing_one_are_defects(tmp_path):
    assert "id: makes an id of over 512 bytes" in only(write(tmp_path / "a.json", [item(id="物" * 171)]))
    assert "original_image_path: is missing" in only(write(tmp_path / "b.json", [item(original_image_path=None)]))
    assert "row 1, id: is missing" in only(write(tmp_path / "c.jsonl", [row(id=None)]))


def test_an_instruction_in_the_other_language_only_is_a_defect_that_names_that_language(tmp_path):
    assert "--language en" in only(write(tmp_path / "a.json", [item(edit_instruction=None)]), language="zh")
    assert "--language zh" in only(write(tmp_path / "b.json", [item(edit_instruction_en="\t")]))
    message = only(write(tmp_path / "c.csv", [row()]), language="zh")
    assert "instruction_zh: is missing; it exists in en" in message


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("../dot.png", "leaves the folder"),
        ("link.png", "leaves the folder"),
        ("within/../../dot.png", "leaves the folder"),
        ("nowhere.png", "no file"),
        ("within", "no file"),
        ("x" * 5000, "no file"),
        ("https://example.org/dot.png", "is a URL, and it may change or vanish between two runs; download"),
        ("file:///dot.png", "is a URL"),
        ("data:image/png;base64,AAAA", "not a readable PNG"),
        ("data:image/png,AAAA", "without base64"),
        ("b'\\x89PNG'", "the text that Python prints for bytes"),
        ("notes.png", "not a readable PNG"),
    ],
)
@pytest.mark.parametrize("field", ["source", "reference"])
def test_a_path_that_leaves_the_folder_or_gives_no_image_is_a_defect(tmp_path, source, wrong, field):
    folder = tmp_path / "bench"
    (folder / "within").mkdir(parents=True)
    (tmp_path / "dot.png").write_bytes(DOT)
    (folder / "link.png").symlink_to(tmp_path / "dot.png")
    (folder / "notes.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    message = only(write(folder / "bench.jsonl", [row(**{field: source})]))
    assert message.startswith(f"row 1 (id 'p0'), {field}: ")
    assert wrong in message


def test_an_absolute_path_is_a_defect_even_to_the_folder_itself(tmp_path):
    assert "leaves the folder" in only(write(tmp_path / "a.jsonl", [row(source=str(tmp_path / "dot.png"))]))


def test_a_field_that_stands_twice_is_a_defect(tmp_path):
    path = write(tmp_path / "bench.json", [item()])
    path.write_text(path.read_text().replace('{"subset"', '{"difficulty": "easy", "x": 1, "x": 2, "subset"', 1))
    assert only(path).startswith("row 1 (id '00000_物理_medium'), difficulty: stands twice")


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "not a JSON list"),
        (b"7", "not a JSON list"),
        (b"{}", "holds no pair"),
        (b'{"a": [{}], "b": [{}]}', "holds lists under 'a', 'b'"),
        (b'{"a": {} "b": {}}', "row 1: is not JSON at byte 10"),
        (b'{"a": {}} 7', "row 1: is not JSON at byte 11"),
        (b"[]", "holds no pair"),
        (b"[1]", "row 1: is a number; give an object"),
        (b"[null]", "row 1: is null"),
        (b"[[{}]]", "row 1: is a list"),
        (b"[{}", "row 1: is not JSON at byte 4"),
        (b'[{"a" 1}]', "row 1: is not JSON at byte 7"),
        (b"[1,]", "row 2: is not JSON at byte 4"),
        (b"[1 2]", "row 1: is not JSON at byte 4"),
        (b"[1] 2", "row 1: is not JSON at byte 5"),
        (b"[tru]", "row 1: is not JSON at byte 2"),
        (b'["\xe7\x89', "not UTF-8 at byte 3"),
        (b'["abc\xff"]', "not UTF-8 at byte 6"),
        (b'["\x01"]', "row 1: is not JSON at byte 3"),
        ("[]".encode("utf-16"), "holds no pair"),
        (b"[" * 200_000, "row 1: cannot be read as JSON"),
        (b"[" + b"9" * 5000 + b"]", "row 1: cannot be read as JSON"),
    ],
)
def test_what_is_no_json_list_of_objects_is_said_with_its_place(tmp_path, data, wrong):
    path = tmp_path / "bench.json"
    path.write_bytes(data)
    assert any(wrong in line for line in defects(path))


def test_a_byte_is_counted_from_the_file_s_start_however_far_in_it_is(tmp_path):
    path = write(tmp_path / "bench.json", [item(number, original_description="物" * 300_000) for number in range(9)])
    text = path.read_text()
    text = json.dumps(json.loads(text), ensure_ascii=False)
    path.write_text(text[:-1] + " oops]", encoding="utf-8")
    assert f"row 9: is not JSON at byte {len(text[:-1].encode()) + 2} (Expecting ','" in only(path)
    path.write_bytes(text[:-1].encode() + b"\xff]")
    assert f"is not UTF-8 at byte {len(text[:-1].encode()) + 1};" in only(path)


def test_a_bad_line_of_jsonl_is_said_with_its_number_and_the_others_are_still_checked(tmp_path):
    path = write(tmp_path / "bench.jsonl", [row()])
    path.write_bytes(path.read_bytes() + b'\n{"id": \n\xff\n[1]\n{"id": "z"}\n')
    lines = [line.removeprefix(f"{path}, ") for line in defects(path)]
    assert [line.split(":")[0].split(" (")[0] for line in lines[:3]] == ["row 3", "row 4", "row 5"]
    assert lines[3].startswith("row 6 (id 'z'), source")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "holds no pair"),
        ("id,source\n", "holds no pair"),
        ("id;source\na;b\n", "row 2 (id 'a'), source: there is no file 'b'"),
        ("what,where\na,b\n", "row 2, id: is missing"),
        ("id,id\na,b\n", "row 1: the header has 'id' twice"),
        ("id,source\na,b,c\n", "row 2: has 3 cells, the header 2"),
        ('id,source\n"a\nb",c\n\nd\n', "row 5: has 1 cells"),
        ('id,source\n\n"a"b,c\n', "row 3: is not CSV"),
        ('id,source\n"a', "row 2: is not CSV"),
        ("id,source\na,\udcff\n", "row 2: is not UTF-8 at byte 3"),
    ],
)
def test_what_is_no_table_is_said_with_its_line(tmp_path, text, wrong):
    path = tmp_path / "bench.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert any(wrong in line for line in defects(path))


def test_a_csv_row_is_named_by_the_line_it_begins_on(tmp_path):
    path = write(tmp_path / "bench.csv", [row(instruction="one\ntwo\nthree"), row(1, source="x")])
    assert only(path).startswith("row 5 (id 'p1'), source: there is no file 'x'")


def test_a_missing_file_and_an_unknown_kind_are_said(tmp_path):
    assert "no such file" in only(tmp_path / "bench.json")
    (tmp_path / "folder.json").mkdir()
    assert "not clear which files hold the pairs" in only(tmp_path / "folder.json")
    (tmp_path / "bench.yaml").touch()
    assert "unknown kind of file; give a folder or one of .json, .jsonl" in only(tmp_path / "bench.yaml")


def test_a_stranger_s_text_reaches_the_terminal_escaped_and_short(tmp_path):
    message = only(write(tmp_path / "bench.json", [item(id="\x1b[2J\u202e", src_img_b64="\x1b" + "x" * 999)]))
    assert message.isprintable()
    assert len(message) < 400


# ---- the second pass, and the selection


def test_sources_come_in_file_order_and_only_those_wanted(tmp_path):
    colours = ["red", "lime", "blue", "white"]
    rows = [item(id=name, src_img_b64=base64.b64encode(dot(name)).decode()) for name in colours]
    path = write(tmp_path / "bench.json", rows)
    found = list(sources(path, {"white", "lime"}))
    assert [(name, image.getpixel((0, 0))) for name, image in found] == [
        ("lime", (0, 255, 0)),
        ("white", (255, 255, 255)),
    ]
    assert list(sources(path, [])) == []


def test_a_file_that_changed_after_the_first_pass_is_said(tmp_path):
    path = write(tmp_path / "bench.json", [item(id="a")])
    with pytest.raises(UsageError, match="no row with id 'b'"):
        list(sources(path, ["a", "b"]))
    write(path, [item(id="a", src_img_b64="AAAA")])
    with pytest.raises(UsageError, match="src_img_b64: the image"):
        list(sources(path, ["a"]))


def pairs_of(*categories: str) -> list[Pair]:
    return [
        Pair(pair_id=str(index), category=category, instruction="x", sources=(Picture(sha256=""),))
        for index, category in enumerate(categories)
    ]


def test_a_selection_takes_the_first_of_each_category_in_file_order():
    pairs = pairs_of("causal", "social", "causal", "social", "causal", "physical")
    assert [pair.pair_id for pair in filter(selector(limit=2, categories=()), pairs)] == ["0", "1", "2", "3", "5"]
    assert [pair.pair_id for pair in filter(selector(limit=None, categories=["causal"]), pairs)] == ["0", "2", "4"]
    both = selector(limit=1, categories=["physical", "causal"])
    assert [pair.pair_id for pair in filter(both, pairs)] == ["0", "5"]


def test_a_rubric_s_names_select_the_categories_that_they_mean():
    chooses = selector(limit=1, categories=["causal"], name=lambda text: {"因果": "causal"}.get(text, text))
    assert [pair.pair_id for pair in filter(chooses, pairs_of("因果", "物理", "causal"))] == ["0"]


def test_categories_are_what_stands_in_the_benchmark_and_all_without_a_column(tmp_path):
    rows = [row(0, category=" Relight "), row(1, category="物理"), row(2, category="relight!"), row(3, category=None)]
    path = write(tmp_path / "bench.jsonl", rows)
    assert [pair.category for pair in load_pairs(path)] == ["Relight", "物理", "relight!", "all"]


@pytest.mark.parametrize(
    ("categories", "meant"),
    [
        ({"physical": 5, "phsical": 1}, {"phsical": "physical"}),
        ({"physical": 5, "phyiscal": 1}, {"phyiscal": "physical"}),
        ({"physical": 5, "physicals": 1}, {"physicals": "physical"}),
        ({"physical": 5, "phsical": 2}, {}),
        ({"Physical": 2, "physical": 5}, {"Physical": "physical"}),
        ({"part1": 1, "part2": 1}, {}),
        ({"add": 9, "adj": 1}, {}),
        ({"remove": 9, "replace": 1}, {}),
    ],
)
def test_a_category_of_one_pair_that_is_a_letter_from_another_is_probably_misspelt(categories, meant):
    assert misspelt_categories(Counter(categories)) == meant


# ---- properties


LIST = rb'[ ] { } , : "id" "a" "tags" 1 - 1e9 null \ " "\ud800" NaN ; '.split()
TABLE = [b"id,source,category,instruction\n", b"a,dot.png,physical,x\n", b"\n", b"\r"]
WHOLE = [json.dumps(item()).encode(), json.dumps(row()).encode(), '"物理"'.encode()]
fragments = st.sampled_from([*LIST, *TABLE, *WHOLE, b"\xef\xbb\xbf", b"\xff", b"\0"])


@ANY_FILE
@given(
    data=st.one_of(st.binary(max_size=60), st.lists(fragments, max_size=12).map(b"".join)),
    suffix=st.sampled_from([".json", ".jsonl", ".csv"]),
)
def test_any_bytes_give_pairs_or_a_usage_error(tmp_path, data, suffix):
    path = write(tmp_path / f"bench{suffix}", [])
    path.write_bytes(data)
    try:
        pairs = load_pairs(path, language="en")
    except UsageError:
        return
    assert pairs
    assert all(isinstance(pair, Pair) for pair in pairs)


def items_of(data: bytes) -> list[Any] | None:
    """The items as the standard library reads the whole file at once."""
    try:
        whole = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, list) else None


@ANY_FILE
@given(
    data=st.one_of(
        st.lists(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)).flatmap(
            lambda whole: st.sampled_from([json.dumps(whole), json.dumps(whole, indent=1)]).map(str.encode)
        ),
        st.lists(fragments, max_size=12).map(b"".join).map(lambda data: b"[" + data + b"]"),
    ),
    cut=st.none() | st.integers(0, 80),
    chunk=st.integers(1, 40),
)
def test_a_list_read_in_chunks_of_any_size_is_the_list_read_whole(data, cut, chunk):
    data = data[:cut]
    wrong = Defects(Path("bench.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_CHUNK", chunk)
        items = [value for _, value in texts.json_rows(io.BytesIO(data), wrong, Path("bench.json"), str.isalpha)]
    try:
        wrong.raise_if_any()
    except UsageError:
        items = None
    assert repr(items) == repr(items_of(data))  # by repr, for NaN equals nothing


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
filled = words.filter(lambda text: bool(text.strip()))
anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)


@ANY_FILE
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"id": filled, "instruction": filled, "category": filled},
            optional={"rationale": words, "source_group": words, "difficulty": words},
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda fields: unicodedata.normalize("NFC", unicodedata.normalize("NFC", fields["id"]).casefold()),
    ),
    suffix=st.sampled_from([".json", ".jsonl", ".csv"]),
)
def test_any_sound_rows_come_back_as_they_were_written(tmp_path, rows, suffix):
    path = write(tmp_path / f"bench{suffix}", [{"source": "dot.png"} | fields for fields in rows])
    pairs = load_pairs(path, language="en")
    for pair, fields in zip(pairs, rows, strict=True):
        assert (pair.pair_id, pair.instruction) == (fields["id"], fields["instruction"])
        assert pair.category == fields["category"].strip()
        for name in ("rationale", "source_group", "difficulty"):
            text = fields.get(name, "")
            assert getattr(pair, name) == (text if text.strip() else None)
    assert [name for name, _ in sources(path, [fields["id"] for fields in rows])] == [p.pair_id for p in pairs]


@ANY_FILE
@given(changes=st.dictionaries(st.sampled_from([*item(), "id", "source", "reference", "source_group"]), anything))
def test_any_json_value_in_any_field_gives_pairs_or_a_usage_error(tmp_path, changes):
    path = write(tmp_path / "bench.json", [item() | changes])
    with contextlib.suppress(UsageError):
        assert len(load_pairs(path, language="zh")) == 1


def test_a_large_list_is_read_item_by_item(tmp_path):
    file = io.BytesIO()
    noise = Image.effect_noise((1200, 1200), 90)
    noise.save(file, "PNG", compress_level=0)
    text = json.dumps(item(src_img_b64=base64.b64encode(file.getvalue()).decode(), original_image_path=None))
    path = tmp_path / "bench.json"
    with path.open("w") as out:
        for number in range(32):
            out.write("[" if number == 0 else ",")
            out.write(f'{{"id": "{number}", {text[1:]}')
        out.write("]")
    size = path.stat().st_size
    assert size > 60e6
    # a process of its own: the peak of this one belongs to whatever ran before
    code = (
        "import resource, sys, pathlib\n"
        "from editbench.benchmark import Data, load_pairs\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "assert len(list(load_pairs(Data(path=pathlib.Path(sys.argv[1]))))) == 32\n"
        "print((peak() - before) * (1 if sys.platform == 'darwin' else 1024))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.75 * size
    path.unlink()


def test_a_misspelt_field_is_told_once_with_the_known_one_that_its_rows_lack(photos_csv, photos_json, tmp_path, caplog):
    folder = photos_csv.parent
    lines = photos_csv.read_text(encoding="utf-8").splitlines()
    path = folder / "misspelt.csv"
    path.write_text("\n".join([f"{lines[0]},refrence,notes", *(f"{line},," for line in lines[1:])]), encoding="utf-8")
    assert len(load_pairs(path, language="en")) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: the field 'refrence' is ignored; is reference meant?"
    ]
    caplog.clear()
    rows = json.loads(photos_json.read_text(encoding="utf-8"))
    more = tmp_path / "more.json"
    more.write_text(json.dumps([row | {"rationale_shorter": "x", "k" * 10_000: 1} for row in rows]))
    assert len(load_pairs(more, language="en")) == 4
    assert not caplog.records  # each row has a rationale_short: this is another field
