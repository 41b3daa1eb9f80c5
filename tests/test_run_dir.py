import errno
import json
import os

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editbench.errors import UsageError
from editbench.records import Edit, Pair, Picture, Score
from editbench.run.durable import read_records, write_atomic, write_records
from editbench.run.run_dir import RunDir, edit_key, environment, file_stem, key, seed_for, sha256

ANY_FILE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
IDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


def an_edit(pair_id: str, **changes: object) -> Edit:
    return Edit(**({"pair_id": pair_id, "seed": 1, "key": "k", "image": f"images/{pair_id}.png"} | changes))


def a_pair(pair_id: str) -> Pair:
    return Pair(pair_id=pair_id, category="causal", instruction="x", sources=(Picture(sha256="s"),))


@given(IDS)
def test_any_id_makes_one_safe_file_name(pair_id):
    stem = file_stem(pair_id)
    assert 0 < len(stem.encode()) <= 129
    assert not stem.startswith(".")
    assert not set(stem) & set('/\\\0:*?"<>|')
    assert all(character.isprintable() for character in stem)


@pytest.mark.parametrize("pair_id", ["00000_物理_medium", "a b (1)", "photo-3"])
def test_an_ordinary_id_is_its_own_file_name(pair_id):
    assert file_stem(pair_id) == pair_id


@pytest.mark.parametrize(
    "pair_id", ["../../etc/passwd", "a/b", "CON", ".hidden", "x" * 300, "nul.png", "a\0b", "a.2", "a.TRY1", "a.turn2"]
)
def test_an_unsafe_id_gets_a_hash_so_that_no_two_meet(pair_id):
    assert file_stem(pair_id) != pair_id
    assert file_stem(pair_id) != file_stem(pair_id + "'")


def test_a_full_disk_leaves_neither_the_file_nor_a_temporary_one(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "image.png"
    pid = os.fork()
    if pid == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomic(path, b"x" * 2000)
        except OSError as error:
            os._exit(0 if error.errno == errno.EFBIG else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_costs_that_record_alone_wherever_it_tore(tmp_path):
    path = tmp_path / "part.jsonl"
    whole = b"".join(an_edit(name).to_json() + b"\n" for name in ("a", "b"))
    second = whole.index(b"\n") + 1
    for cut in range(second, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert [edit.pair_id for edit in read_records(path, Edit)] == ["a"]
    path.write_bytes(whole)
    assert [edit.pair_id for edit in read_records(path, Edit)] == ["a", "b"]


def test_a_block_of_zeros_costs_one_record(tmp_path):
    path = tmp_path / "part.jsonl"
    path.write_bytes(an_edit("a").to_json() + b"\n" + b"\0" * 4096 + b"\n" + an_edit("b").to_json())
    assert [edit.pair_id for edit in read_records(path, Edit)] == ["a", "b"]


def a_score(pair_id: str, **changes: object) -> Score:
    return Score(**({"pair_id": pair_id, "value": 5.0, "key": "k", "values": {"SC": 5.0}} | changes))


@ANY_FILE
@given(
    data=st.lists(
        st.binary(max_size=30)
        | st.sampled_from([a_score("a").to_json(), b"\n", b"\r", b"[" * 100_000, b"9" * 5_000, b"\0" * 4_096])
        | st.dictionaries(st.sampled_from(["pair_id", "value", "key", "values"]), JSON).map(
            lambda row: json.dumps({"pair_id": "b", "value": None, "key": "k"} | row).encode()
        ),
        max_size=6,
    ).map(b"\n".join)
)
def test_any_bytes_in_a_file_of_records_give_whole_records_or_none(tmp_path, data):
    path = tmp_path / "any.jsonl"
    path.write_bytes(data)
    for score in read_records(path, Score):
        assert isinstance(score.pair_id, str)
        assert isinstance(score.key, str)
        assert isinstance(score.values, dict)
        assert score.value is None or isinstance(score.value, float | int)


@ANY_FILE
@given(place=st.integers(0), damage=st.binary(min_size=1, max_size=40))
def test_damage_anywhere_costs_no_record_but_those_it_touches(tmp_path, place, damage):
    lines = [a_score(str(number)).to_json() for number in range(5)]
    whole = b"\n".join(lines) + b"\n"
    place %= len(whole)
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    first, last = whole[:place].count(b"\n"), whole[: place + len(damage)].count(b"\n")
    untouched = {str(number) for number in range(5) if number < first or number > last}
    assert untouched <= {score.pair_id for score in read_records(path, Score)}


def test_what_a_run_is_made_on_is_kept_when_it_changes(tmp_path, caplog):
    run = RunDir(tmp_path)
    now = environment(["NVIDIA H100"])
    older = now | {"packages": now["packages"] | {"torch": "2.10.0"}}
    for made_on in (older, older, now):
        run.write_environment(made_on)
    row = json.loads(run.environment.read_text())
    assert row["packages"] == now["packages"]
    assert row["earlier"] == [older]
    assert "was made with other packages before" in caplog.text


@given(IDS, IDS)
def test_a_record_survives_its_own_line(pair_id, error):
    edit = an_edit(pair_id, error=error, image=None)
    line = edit.to_json()
    assert Edit.from_json(line) == edit
    assert len((line + b"\n").split(b"\n")) == 2


def test_the_newest_launch_wins_and_the_merge_drops_the_parts(tmp_path):
    run = RunDir(tmp_path)
    for launch, error in ((1, "out of memory"), (2, None)):
        with run.part("edit", launch, 0) as part:
            part.append(an_edit("a", error=error))
    with run.part("score-x", 1, 0) as part:
        part.append(an_edit("other stage"))
    latest = run.latest(Edit, "edit", run.manifest)
    assert latest["a", 0].error is None
    write_records(run.pairs, [a_pair("a")])
    run.merge(Edit, "edit", run.manifest)
    assert list(read_records(run.manifest, Edit)) == [latest["a", 0]]
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["score-x.000001.00000.jsonl"]


def test_records_of_a_part_outlast_a_crash_before_the_merge(tmp_path):
    run = RunDir(tmp_path)
    with run.part("edit", 1, 3) as part:
        part.append(an_edit("a"))
    assert set(run.latest(Edit, "edit", run.manifest)) == {("a", 0)}


def test_an_image_counts_only_byte_for_byte(tmp_path):
    run = RunDir(tmp_path)
    path = run.image("a")
    write_atomic(path, b"picture")
    assert not run.has_image(an_edit("a", sha256=sha256(b"another picture")))
    assert run.has_image(an_edit("a", sha256=sha256(b"picture")))
    path.write_bytes(b"pictur")
    assert not run.has_image(an_edit("a", sha256=sha256(b"picture")))


def test_a_key_does_not_follow_the_order_of_its_names():
    assert key(a=1, b={"x": 1, "y": 2}) == key(b={"y": 2, "x": 1}, a=1)
    assert key(a=1) != key(a=2)


def test_a_pairs_seed_follows_from_run_and_id_alone():
    seeds = {seed_for(run, pair) for run in (0, 1, 42) for pair in ("a", "b", "物理")}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_for(0, "a") == seed_for(0, "a", 0) == 476750478927199554  # published runs depend on it
    assert len({seed_for(0, pair, try_) for pair in ("a", "a\n1", "a1") for try_ in range(4)}) == 12


def test_a_part_that_appears_during_the_merge_is_not_dropped(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    write_records(run.pairs, [a_pair("a")])

    def late(path, records):  # as where a network disk shows another machine's part only now
        write_records(path, records)
        with run.part("edit", 1, 0) as part:
            part.append(an_edit("a"))

    monkeypatch.setattr("editbench.run.run_dir.write_records", late)
    run.merge(Edit, "edit", run.manifest)
    assert run.latest(Edit, "edit", run.manifest) == {("a", 0): an_edit("a")}


def test_records_that_are_merged_while_they_are_read_are_all_found(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    write_records(run.pairs, [a_pair("a"), a_pair("b")])
    for launch, pair_id in enumerate("ab", start=1):
        with run.part("edit", launch, 0) as part:
            part.append(an_edit(pair_id))
    num_read = []

    def read_and_merge(path, kind):
        found = list(read_records(path, kind))
        num_read.append(path)
        if len(num_read) == 1:  # another launch ends after the first file is read
            monkeypatch.undo()
            run.merge(Edit, "edit", run.manifest)
            monkeypatch.setattr("editbench.run.run_dir.read_records", read_and_merge)
        return found

    monkeypatch.setattr("editbench.run.run_dir.read_records", read_and_merge)
    assert set(run.latest(Edit, "edit", run.manifest)) == {("a", 0), ("b", 0)}
    assert len(num_read) == 3


def test_each_try_of_a_pair_has_its_record_and_the_merge_keeps_their_order(tmp_path):
    run = RunDir(tmp_path)
    write_records(run.pairs, [a_pair("b"), a_pair("a")])
    for rank, names in enumerate(([("a", 1), ("b", 2)], [("a", 10), ("b", 0), ("gone", 0)])):
        with run.part("edit", 1, rank) as part:
            for pair_id, try_ in names:
                part.append(an_edit(pair_id, try_=try_))
    found = run.merge(Edit, "edit", run.manifest)
    assert list(found) == [("b", 0), ("b", 2), ("a", 1), ("a", 10)]
    assert list(read_records(run.manifest, Edit)) == list(found.values())
    assert json.loads(run.manifest.read_bytes().splitlines()[1])["try"] == 2


def test_an_edit_counts_only_for_the_sources_and_instructions_that_it_was_made_from(tmp_path):
    run = RunDir(tmp_path)
    pair = a_pair("a")
    write_records(run.manifest, [an_edit("a", key=edit_key(pair, seed=1)), an_edit("b", key=edit_key(pair))])
    replace = msgspec.structs.replace
    assert set(run.edits([pair])) == {("a", 0)}
    assert set(run.edits([replace(pair, category="another", rationale="r")])) == {("a", 0)}
    for other in (
        replace(pair, instruction="y"),
        replace(pair, turns=("x", "y")),
        replace(pair, sources=(Picture(sha256="t"),)),
        replace(pair, sources=(*pair.sources, *pair.sources)),
    ):
        assert run.edits([other]) == {}


def test_every_picture_of_a_pair_has_a_place_of_its_own(tmp_path):
    run = RunDir(tmp_path)
    places = [
        path
        for pair_id in ("a", "a.2", "a.try1", "a.try1.turn2", "A.TRY1")
        for path in (
            *(run.source(pair_id, index) for index in range(3)),
            *(run.reference(pair_id, name) for name in ("reference", "mask", "2")),
            *(run.image(pair_id, try_) for try_ in range(3)),
            *(run.step(pair_id, try_, turn) for try_ in range(3) for turn in (1, 2)),
        )
    ]
    assert len({str(path).casefold() for path in places}) == len(places)
    assert run.source("a", 1).name == "a.2.png"
    assert run.image("a", 1).name == "a.try1.png"
    assert run.step("a", 1, 2).name == "a.try1.turn2.png"
    assert run.reference("a", "mask").relative_to(tmp_path).as_posix() == "references/a.mask.png"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_disk_that_cannot_sync_folders_still_takes_files(tmp_path, monkeypatch, number):
    fsync = os.fsync

    def of_files_only(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", of_files_only)
    write_atomic(tmp_path / "folder" / "file", b"data")
    with RunDir(tmp_path).part("edit", 1, 0) as part:
        part.append(an_edit("a"))
    assert (tmp_path / "folder" / "file").read_bytes() == b"data"


def test_a_folder_that_holds_other_files_is_refused_and_a_run_that_was_cut_short_is_not(tmp_path):
    run = RunDir(tmp_path / "run")
    run.refuse_another_folder()
    run.root.mkdir()
    run.refuse_another_folder()
    run.logs.mkdir()
    (run.root / "edit.lease").write_text("")
    run.config.write_text("")
    run.refuse_another_folder()
    (run.root / "images").mkdir()
    with pytest.raises(UsageError, match=r"run holds files and is no run \(images\)"):
        run.refuse_another_folder()
    write_records(run.pairs, [a_pair("a")])
    run.refuse_another_folder()
