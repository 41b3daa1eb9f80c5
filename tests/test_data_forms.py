"""The forms in which benchmarks come: each gives the same pairs, or is refused with what to do."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from editbench.benchmark import Data, load_pairs, read_pictures
from editbench.benchmark.pictures import PictureError, Places, read_picture
from editbench.cli.options import parse
from editbench.errors import UsageError
from editbench.records import Pair
from tests.conftest import ROOT


def dot(colour: str = "red", kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(file, kind, **options)
    return file.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pairs(path: Path, **options: Any) -> list[Pair]:
    return list(load_pairs(Data(path=path, **options)))


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        pairs(path, **options)
    return str(caught.value)


def colours(path: Path, **options: Any) -> dict[str, list[tuple[int, ...]]]:
    """By id, the colours of the decoded sources."""
    wanted = [pair.pair_id for pair in pairs(path, **options)]
    read = read_pictures(Data(path=path, **options), wanted)
    return {pair_id: [image.getpixel((0, 0)) for image in sources] for pair_id, sources, _ in read}


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


RED, LIME, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ROWS = [
    {"id": "a", "category": "add", "instruction": "Add a hat.", "source": dot("red")},
    {"id": "b", "category": "add", "instruction": "Add a dog.", "source": dot("lime")},
    {"id": "c", "category": "tone", "instruction": "Warmer.", "source": dot("blue")},
]
WHOLE = {"a": [RED], "b": [LIME], "c": [BLUE]}


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([row | {"source": {"bytes": row["source"], "path": None}} for row in rows])


# ---- tables


def test_parquet_gives_its_rows_whether_one_file_or_a_folder_of_shards(tmp_path):
    pq.write_table(table(ROWS), tmp_path / "bench.parquet")
    (tmp_path / "data").mkdir()
    for number in range(3):
        pq.write_table(table(ROWS[number : number + 1]), tmp_path / "data" / f"train-{number:05d}-of-00003.parquet")
    assert colours(tmp_path / "bench.parquet") == colours(tmp_path / "data") == WHOLE
    first = pairs(tmp_path / "bench.parquet")[0]
    assert (first.category, first.instruction, first.sources_sha256) == ("add", "Add a hat.", sha(dot("red")))
    assert first.sources[0].path is None
    assert first.fields == {}


@pytest.mark.parametrize("form", ["stream", "file", "save_to_disk"])
def test_arrow_gives_its_rows_in_each_of_its_forms(tmp_path, form):
    folder = tmp_path / "bench"
    if form == "save_to_disk":
        import datasets

        datasets.Dataset(table(ROWS)).save_to_disk(folder)
    else:
        folder.mkdir()
        opened = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
        with opened(str(folder / "bench.arrow"), table(ROWS).schema) as writer:
            writer.write_table(table(ROWS), max_chunksize=2)
    assert colours(folder) == WHOLE


def test_a_parquet_whose_pictures_are_files_reads_them(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(dot("lime"))
    row = {"id": "a", "instruction": "x", "image": {"bytes": None, "path": "images/a.png"}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "bench.parquet")
    assert pairs(tmp_path / "bench.parquet")[0].sources[0].path == "images/a.png"
    assert colours(tmp_path / "bench.parquet") == {"a": [LIME]}


def test_several_splits_in_one_folder_are_never_mixed(tmp_path):
    for split in ("train", "test"):
        pq.write_table(table(ROWS[:1]), tmp_path / f"{split}-00000-of-00001.parquet")
    assert "holds the splits test, train; choose one with --files" in refused(tmp_path)
    assert [pair.pair_id for pair in pairs(tmp_path, files="**/test*")] == ["a"]
    assert "no such file" in refused(tmp_path, files="dev*")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("keep", [0, 4, 100, -9])
def test_a_damaged_table_is_refused_with_its_name(tmp_path, suffix, keep):
    path = tmp_path / f"bench{suffix}"
    if suffix == ".parquet":
        pq.write_table(table(ROWS), path)
    else:
        with pa.ipc.new_file(str(path), table(ROWS).schema) as writer:
            writer.write_table(table(ROWS))
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: cannot be read as {suffix[1:].capitalize()}" in refused(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_an_imagefolder_is_read_by_its_metadata(tmp_path, suffix):
    rows = [{"file_name": f"{colour}.png", "prompt": f"Turn {colour}."} for colour in ("red", "lime")]
    for split in ("one", "two"):
        (tmp_path / split).mkdir()
        for colour in ("red", "lime"):
            (tmp_path / split / f"{colour}.png").write_bytes(dot(colour))
        path = tmp_path / split / f"metadata{suffix}"
        named = [{**row, "id": f"{split}-{number}"} for number, row in enumerate(rows)]
        if suffix == ".jsonl":
            lines(path, *named)
        elif suffix == ".csv":
            path.write_text("file_name,prompt,id\n" + "".join(",".join(row.values()) + "\n" for row in named))
        else:
            pq.write_table(pa.Table.from_pylist(named), path)
    assert colours(tmp_path) == {"one-0": [RED], "one-1": [LIME], "two-0": [RED], "two-1": [LIME]}
    assert [pair.sources[0].path for pair in pairs(tmp_path)][:3] == ["one/red.png", "one/lime.png", "two/red.png"]


def test_an_image_of_an_imagefolder_is_its_own_id_where_there_is_none(tmp_path):
    (tmp_path / "red.png").write_bytes(dot())
    lines(tmp_path / "metadata.jsonl", {"file_name": "red.png", "prompt": "x"})
    assert [pair.pair_id for pair in pairs(tmp_path)] == ["red"]


HUB = """
import sys
from pathlib import Path
import datasets
from datasets.arrow_writer import ArrowWriter
picture = Path(sys.argv[1]).read_bytes()
rows = {"key": ["a", "b"], "input_image": [{"bytes": picture, "path": None}] * 2, "instruction": ["x", "y"]}
kinds = {"key": datasets.Value("string"), "input_image": datasets.Image(), "instruction": datasets.Value("string")}
data = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
folder = Path(datasets.config.HF_DATASETS_CACHE) / "owner___bench" / "default" / "0.0.0" / "abc123"
folder.mkdir(parents=True)
splits = {"train": {"name": "train", "num_examples": 2, "dataset_name": "bench"}}
with ArrowWriter(features=data.features, path=str(folder / "bench-train.arrow")) as writer:
    writer.write_table(data.data.table)
    writer.finalize()
datasets.DatasetInfo(features=data.features, builder_name="parquet", dataset_name="bench", config_name="default",
                     version="0.0.0", splits=splits).write_to_directory(str(folder))
"""
READ = """
import sys
from pathlib import Path
from editbench.benchmark import Data, load_pairs
from editbench.errors import UsageError
for name in sys.argv[1:]:
    try:
        print(*(f"{pair.pair_id}={pair.instruction}" for pair in load_pairs(Data(path=Path(name), offline=True))))
    except UsageError as error:
        print(error)
"""


def test_a_data_set_of_the_hub_is_read_from_the_cache_without_asking_the_hub(tmp_path):
    (tmp_path / "red.png").write_bytes(dot())
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", HUB, tmp_path / "red.png"], env=environment, check=True)
    names = ("owner/bench", "owner/bench:train", "owner/bench:default/train", "owner/bench:test", "owner/gone", "bench")
    command = [sys.executable, "-c", READ, *(f"hf:{name}" for name in names)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=ROOT)
    said = done.stdout.splitlines()
    assert said[:3] == ["a=x b=y"] * 3
    assert "has no split test; name one of train: hf:owner/bench:train" in said[3]
    assert "is not in this machine's cache" in said[4]
    assert "hf download owner/gone --repo-type dataset" in said[4]
    assert "give hf:owner/name" in said[5]


# ---- text files


TEXTS = [
    {"id": "a", "instruction": 'Tip, it; "now"\nplease', "instruction_zh": "推倒", "source": "red.png"},
    {"id": "b", "instruction": "x", "instruction_zh": "涂", "source": "red.png"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "red.png").write_bytes(dot("red"))
    (tmp_path / "lime.png").write_bytes(dot("lime"))
    return tmp_path


def texts(path: Path, **options: Any) -> list[tuple[str, str]]:
    return [(pair.pair_id, pair.instruction) for pair in pairs(path, language="zh", **options)]


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_cells_are_separated_by_what_separates_the_names_of_the_header(folder, mark, ending):
    rows = [list(TEXTS[0]), *(list(row.values()) for row in TEXTS)]
    cells = [mark.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    path = folder / f"bench{ending}"
    path.write_text("\r\n".join(cells), encoding="utf-8", newline="")
    assert texts(path) == [("a", "推倒"), ("b", "涂")]
    assert pairs(path)[0].instruction == TEXTS[0]["instruction"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030"])
@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_a_text_in_another_encoding_is_read_and_what_was_assumed_is_said(folder, encoding, suffix, caplog):
    path = folder / f"bench{suffix}"
    text = {
        ".csv": "id,source,instruction_zh\na,red.png,推倒\n",
        ".json": json.dumps([TEXTS[0]], ensure_ascii=False),
        ".jsonl": json.dumps(TEXTS[0], ensure_ascii=False),
    }[suffix]
    path.write_bytes(text.encode(encoding))
    assert texts(path) == [("a", "推倒")]
    assumed = {"utf-8": "", "utf-8-sig": "", "gbk": "GB18030"}.get(encoding, encoding.upper())
    assert ("is not UTF-8: read as " + assumed in caplog.text) if assumed else "UTF-8" not in caplog.text


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("list.json", lambda rows: json.dumps(rows)),
        ("list.jsonl", lambda rows: json.dumps(rows, indent=1)),
        ("lines.json", lambda rows: "\n".join(map(json.dumps, rows))),
        ("lines.ndjson", lambda rows: "\n\n".join(map(json.dumps, rows))),
        ("under_a_key.json", lambda rows: json.dumps({"version": 2, "data": rows, "note": "x"})),
        ("about.json", lambda rows: json.dumps({"info": {"version": 2}, "pairs": rows, "licence": {"name": "x"}})),
        ("by_id.json", lambda rows: json.dumps({row.pop("id"): row for row in rows}, indent=2)),
        ("by_id_in_one_line.json", lambda rows: json.dumps({row.pop("id"): row for row in rows})),
    ],
)
def test_json_in_each_of_its_forms_gives_the_same_pairs(folder, name, write):
    path = folder / name
    path.write_text(write([dict(row) for row in TEXTS]), encoding="utf-8")
    assert texts(path) == [("a", "推倒"), ("b", "涂")]


def test_a_table_written_by_columns_is_refused(folder):
    path = folder / "columns.json"
    path.write_text(json.dumps({"instruction": {"0": "Tip."}, "source": {"0": "red.png"}}))
    assert "is written by columns" in refused(path)
    path.write_text(json.dumps({"instruction": ["Tip."], "source": ["red.png"]}, indent=1))
    assert "is written by columns" in refused(path)


def test_a_picture_inside_a_csv_may_have_megabytes(folder):
    picture = Image.effect_noise((600, 600), 90)
    file = io.BytesIO()
    picture.save(file, "PNG")
    path = folder / "bench.csv"
    path.write_text(f"id,instruction,src_img_b64\na,x,{base64.b64encode(file.getvalue()).decode()}\n")
    assert path.stat().st_size > 400_000
    assert pairs(path)[0].sources_sha256 == sha(file.getvalue())


def test_the_index_that_pandas_writes_is_left_out(folder):
    path = folder / "bench.csv"
    path.write_text(",id,source,instruction,notes\n0,7,red.png,Tip,\n")
    assert (pairs(path)[0].pair_id, pairs(path)[0].fields) == ("7", {"notes": None})


def test_a_folder_of_one_file_a_category_takes_the_category_from_the_folder(folder):
    for category, colour in (("color_change", "red"), ("physics", "lime")):
        (folder / "data" / category).mkdir(parents=True)
        (folder / "data" / category / "1.jpg").write_bytes(dot(colour))
        row = {"1": {"ori_img": "1.jpg", "ins_en": f"Do {colour}.", "explain_en": "Because."}}
        (folder / "data" / category / "annotation.json").write_text(json.dumps(row))
    columns = {
        "id": "{__folder__}/{__key__}",
        "category": "__folder__",
        "source": "ori_img",
        "instruction": "ins_en",
        "rationale": "explain_en",
    }
    for files in (None, "*/annotation.json"):
        found = pairs(folder / "data", columns=columns, files=files)
        assert [(pair.pair_id, pair.category, pair.instruction) for pair in found] == [
            ("color_change/1", "color_change", "Do red."),
            ("physics/1", "physics", "Do lime."),
        ]
        assert [pair.sources[0].path for pair in found] == ["color_change/1.jpg", "physics/1.jpg"]
        assert colours(folder / "data", columns=columns, files=files)["physics/1"] == [LIME]
    (folder / "data" / "notes.json").write_text("[]")
    (folder / "data" / "more.json").write_text("[]")
    assert "not clear which files hold the pairs; say it with --files; there are" in refused(folder / "data")


def test_named_columns_are_known_in_every_file_of_a_folder(folder):
    for name in ("one", "two"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "p.png").write_bytes(dot())
        row = {"meta": {"n": 1}, "pic": "p.png", "say": "Do it.", "no": name}
        (folder / "data" / name / "rows.json").write_text(json.dumps({"a": row, "b": {**row, "no": f"{name}2"}}))
    columns = {"id": "no", "source": "pic", "instruction": "say"}
    found = [pair.pair_id for pair in pairs(folder / "data", columns=columns)]
    assert found == ["one", "one2", "two", "two2"]


def test_a_run_inside_the_benchmark_s_folder_is_none_of_its_files(folder):
    lines(folder / "bench.jsonl", {"id": "a", "instruction": "x", "source": "red.png"})
    (folder / "runs" / "mine").mkdir(parents=True)
    for name in ("config.yaml", "pairs.jsonl", "manifest.jsonl"):
        (folder / "runs" / "mine" / name).write_text("")
    assert [pair.pair_id for pair in pairs(folder)] == ["a"]


# ---- pictures


@given(st.binary(min_size=1, max_size=200), st.integers(1, 80), st.booleans(), st.booleans(), st.booleans())
def test_base64_in_any_form_gives_its_bytes(data, width, url_safe, padded, as_uri):
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    text = "\r\n".join(text[start : start + width] for start in range(0, len(text), width))
    text = f"data:image/png;base64,{text}" if as_uri else text
    places = Places(ROOT, ROOT)
    assert read_picture(text, places, is_base64=True).data == data
    assert read_picture({"bytes": text, "path": "x.png"}, places).data == data


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000"])
def test_base64_is_known_by_its_beginning_in_any_column(folder, kind):
    data = dot("red", kind)
    for text in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        path = lines(folder / "bench.jsonl", {"id": "a", "instruction": "x", "input_image": text})
        assert pairs(path)[0].sources_sha256 == sha(data)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (7, "is a number"),
        ({"a": 1}, "is an object without bytes and path"),
        ("http://example.org/a.png", "is a URL, and it may change or vanish between two runs; download"),
        ("s3://bucket/a.png", "is a URL, and no path"),
        ("b'\\x89PNG\\r\\n'", "is the text that Python prints for bytes"),
        ("data:image/svg+xml,<svg/>", "is a data URI without base64"),
        ("/etc/passwd", "leaves the folder"),
        ("../red.png", "leaves the folder"),
        ("nothing.png", "there is no file 'nothing.png'"),
    ],
)
def test_what_is_no_picture_is_said(folder, value, wrong):
    (folder / "below").mkdir()
    with pytest.raises(PictureError, match=wrong):
        read_picture(value, Places(folder / "below", folder / "below"))
    assert wrong in refused(lines(folder / "below" / "b.jsonl", {"id": "a", "instruction": "x", "source": value}))


def hub_cache(folder: Path) -> Path:
    """A data set as the hub's cache holds it: a snapshot of links to blobs."""
    repository = folder / "datasets--owner--name"
    snapshot = repository / "snapshots" / "abc"
    (snapshot / "images").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "1111").write_bytes(dot("lime"))
    (repository / "blobs" / "2222").write_text("id,source,instruction\na,images/x.png,Tip\n")
    (snapshot / "bench.csv").symlink_to("../../blobs/2222")
    (snapshot / "images" / "x.png").symlink_to("../../../blobs/1111")
    return snapshot


def test_links_of_the_hub_s_cache_are_followed_to_the_same_repository_s_blobs_only(folder):
    snapshot = hub_cache(folder)
    assert colours(snapshot / "bench.csv") == colours(snapshot) == {"a": [LIME]}
    link = snapshot / "images" / "x.png"
    link.unlink()
    link.symlink_to(folder / "red.png")
    said = refused(snapshot / "bench.csv")
    assert "'images/x.png' leaves the folder" in said
    assert f"it leads to {folder / 'red.png'}" in said
    link.unlink()
    link.symlink_to("gone.png")
    assert "there is no file 'images/x.png' (a link to gone.png)" in refused(snapshot / "bench.csv")


def test_a_link_is_followed_below_the_folder_that_images_names(folder):
    (folder / "snapshot").mkdir()
    (folder / "snapshot" / "a.png").symlink_to(folder / "lime.png")
    path = lines(folder / "snapshot" / "b.jsonl", {"id": "a", "instruction": "x", "source": "a.png"})
    assert "or name with --images a folder that holds both" in refused(path)
    path = lines(folder / "snapshot" / "b.jsonl", {"id": "a", "instruction": "x", "source": "snapshot/a.png"})
    assert colours(path, images=folder) == {"a": [LIME]}


def test_a_link_that_was_copied_as_text_is_said(folder):
    snapshot = hub_cache(folder)
    (snapshot / "bench.csv").unlink()
    (snapshot / "bench.csv").write_text("../../blobs/2222")
    assert "holds only the path ../../blobs/2222: a link that was copied as text" in refused(snapshot / "bench.csv")


def test_the_first_frame_of_an_animation_is_read_and_said(folder, caplog):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("blue", "red")]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    path = lines(folder / "b.jsonl", {"id": "a", "instruction": "x", "source": "a.gif"})
    assert colours(path) == {"a": [BLUE]}
    assert "a picture has several frames, and the first is read: row 1, source." in caplog.text


@pytest.mark.parametrize(
    "row",
    [
        {"source": ["red.png", "lime.png"]},
        {"source": "red.png", "source_2": "lime.png", "source_3": ""},
        {"image": ["red.png", "lime.png"]},
        {"source": '["red.png", "lime.png"]'},
        {"source": ["red.png"], "source_2": {"bytes": base64.b64encode(dot("lime")).decode(), "path": None}},
    ],
)
def test_a_pair_may_have_several_sources_in_order(folder, row):
    path = lines(folder / "b.jsonl", {"id": "a", "instruction": "Swap them.", **row})
    [pair] = pairs(path)
    assert pair.sources_sha256 == f"{sha(dot('red'))}+{sha(dot('lime'))}"
    assert colours(path) == {"a": [RED, LIME]}


def test_references_are_read_for_the_judge_by_their_names(folder):
    rows = {
        "id": "a",
        "instruction": "x",
        "source": "red.png",
        "reference": "lime.png",
        "m": "red.png",
        "gt": ["lime.png"],
    }
    columns = {"reference_mask": "m", "reference_right": "gt"}
    path = lines(folder / "b.jsonl", rows)
    [pair] = pairs(path, columns=columns)
    assert {name: picture.path for name, picture in pair.references.items()} == {
        "reference": "lime.png",
        "mask": "red.png",
        "right": "lime.png",
    }
    assert pair.fields == {}
    [(_, _, references)] = read_pictures(Data(path=path, columns=columns), ["a"])
    assert references["mask"].getpixel((0, 0)) == RED


# ---- columns and languages


def test_columns_name_what_stands_where(folder, caplog):
    row = {
        "task": "add",
        "n": 7,
        "who": {"made": [{"name": "Ann"}]},
        "in": "red.png",
        "say": "Add it.",
        "instruction": "not this",
        "deep": {"texts": ["one", "two"]},
        "weights": [1, 2.5],
    }
    path = lines(folder / "b.jsonl", row)
    columns = {
        "id": "{task}_{n:03d}",
        "source": "in",
        "instruction": "say",
        "category": "task",
        "rationale": "deep.texts.1",
        "author": "who.made.0.name",
    }
    [pair] = pairs(path, columns=columns)
    assert (pair.pair_id, pair.instruction, pair.rationale, pair.category) == ("add_007", "Add it.", "two", "add")
    assert pair.fields["author"] == "Ann"
    assert pair.fields["weights"] == [1, 2.5]
    assert pair.fields["n"] == 7
    assert "read" not in caplog.text


def test_others_names_are_recognised_and_said_and_our_own_win(folder, caplog):
    caplog.set_level("INFO")
    row = {"key": "k1", "input_image": "red.png", "edit_prompt": "Red.", "task_type": "tone"}
    [pair] = pairs(lines(folder / "b.jsonl", row))
    assert (pair.pair_id, pair.instruction, pair.category) == ("k1", "Red.", "tone")
    assert pair.fields == {"key": "k1", "task_type": "tone"}
    assert "read key as id, edit_prompt as instruction, task_type as category, input_image as source; " in caplog.text
    caplog.clear()
    own = {"id": "own", "source": "lime.png", "instruction": "Own.", "category": "own"}
    [pair] = pairs(lines(folder / "c.jsonl", row | own))
    assert (pair.pair_id, pair.instruction, pair.category, pair.sources[0].path) == ("own", "Own.", "own", "lime.png")
    assert not caplog.text


def test_english_under_a_chinese_name_is_english(folder):
    path = lines(folder / "b.jsonl", {"id": "a", "source": "red.png", "edit_instruction": "Make the sky red."})
    assert [pair.instruction for pair in pairs(path)] == ["Make the sky red."]
    assert [pair.pair_id for pair in pairs(path, language="all")] == ["a.en"]


def test_columns_are_given_on_the_command_line_and_in_yaml_alike(tmp_path):
    (tmp_path / "mine.yaml").write_text("columns: {source: in, id: '{task}_{key}', turns: [one, two]}\n")
    found = parse("", ["--config", str(tmp_path / "mine.yaml")]).columns
    assert found == {"source": "in", "id": "{task}_{key}", "turns": ["one", "two"]}
    typed = ["--benchmark", "x.json", "--columns", "source=in, id={task}_{key}"]
    assert parse("", typed).columns == {"source": "in", "id": "{task}_{key}"}
    for wrong in ("source", "=in", "source=", ""):
        with pytest.raises(UsageError, match="write what=column, such as source=input_image"):
            parse("", ["--columns", wrong])


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ({"source": "nope"}, "no row has a column 'nope'"),
        ({"id": "{nope}_{id}"}, "no row has a column 'nope'"),
        ({"id": "{id"}, "does not work as a template"),
        ({"a b": "id"}, "what a column holds is one word"),
    ],
)
def test_a_column_that_is_not_there_is_refused(folder, columns, wrong):
    path = lines(folder / "b.jsonl", {"id": "a", "source": "red.png", "instruction": "x"})
    assert wrong in refused(path, columns=columns)


def test_all_languages_give_a_pair_each(folder):
    path = lines(folder / "b.jsonl", *TEXTS, {"id": "c", "source": "red.png", "instruction": "only English"})
    found = pairs(path, language="all")
    assert [(pair.pair_id, pair.language) for pair in found] == [
        ("a.en", "en"),
        ("a.zh", "zh"),
        ("b.en", "en"),
        ("b.zh", "zh"),
        ("c.en", "en"),
    ]
    assert found[1].instruction == "推倒"
    assert list(colours(path, language="all")) == [pair.pair_id for pair in found]


def test_a_language_column_says_of_which_language_a_row_is(folder):
    rows = [
        {"key": "k", "input_image": "red.png", "instruction": text, "instruction_language": language}
        for language, text in (("en", "Red."), ("cn", "红"))
    ]
    path = lines(folder / "b.jsonl", *rows)
    assert [(pair.pair_id, pair.instruction) for pair in pairs(path)] == [("k", "Red.")]
    assert texts(path) == [("k", "红")]
    assert [pair.pair_id for pair in pairs(path, language="all")] == ["k.en", "k.zh"]
    path = lines(folder / "c.jsonl", rows[1])
    assert "holds no pair in en: 1 rows are in zh; use --language zh" in refused(path)


def test_columns_of_two_languages_are_named_each(folder):
    path = lines(folder / "b.jsonl", {"id": "a", "source": "red.png", "en_text": "Red.", "cn_text": "红"})
    columns = {"instruction": "en_text", "instruction_zh": "cn_text"}
    assert [pair.instruction for pair in pairs(path, columns=columns)] == ["Red."]
    assert texts(path, columns=columns) == [("a", "红")]
    assert [pair.instruction for pair in pairs(path, columns=columns, language="all")] == ["Red.", "红"]
    assert texts(path, columns={"instruction": "cn_text"}) == [("a", "红")]


@pytest.mark.parametrize(
    "row",
    [
        {"turns": ["Red.", "Now blue."]},
        {"instruction": ["Red.", "Now blue."]},
        {"turn_1": "Red.", "turn_2": "Now blue."},
    ],
)
def test_turns_are_the_instruction_in_numbered_lines(folder, row):
    [pair] = pairs(lines(folder / "b.jsonl", {"id": "a", "source": "red.png", **row}))
    assert pair.turns == ("Red.", "Now blue.")
    assert pair.instruction == "1. Red.\n2. Now blue."


def test_fields_hold_what_else_a_row_says_but_no_picture(folder):
    row = {
        "id": "a",
        "source": "red.png",
        "instruction": "x",
        "input_image_raw": {"bytes": base64.b64encode(dot()).decode(), "path": None},
        "preview": base64.b64encode(dot()).decode(),
        "flags": {"IF": True, "n": [1, None]},
        "long": "y" * 100_001,
        "deep": json.loads("[" * 500 + "]" * 500),
        "seed": 7,
    }
    assert pairs(lines(folder / "b.jsonl", row))[0].fields == {"flags": {"IF": True, "n": [1, None]}, "seed": 7}
