import errno
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editbench.records import Edit, Pair, Score
from editbench.run.durable import RecordFiles, read_records, write_atomic, write_lines, write_records
from editbench.run.run_dir import RunDir, environment, file_stem, key, seed_for, sha256

ANY_FILE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
IDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


def an_edit(pair_id: str, **changes: object) -> Edit:
    return Edit(**({"pair_id": pair_id, "seed": 1, "key": "k", "image": f"images/{pair_id}.png"} | changes))


def a_pair(pair_id: str) -> Pair:
    return Pair(pair_id=pair_id, category="causal", instruction="x", source_sha256="s")


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


@pytest.mark.parametrize("pair_id", ["../../etc/passwd", "a/b", "CON", ".hidden", "x" * 300, "nul.png", "a\0b"])
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
    whole = "".join(an_edit(name).to_json() + "\n" for name in ("a", "b")).encode()
    second = whole.index(b"\n") + 1
    for cut in range(second, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert [edit.pair_id for edit in read_records(path, Edit)] == ["a"]
    path.write_bytes(whole)
    assert [edit.pair_id for edit in read_records(path, Edit)] == ["a", "b"]


def test_a_block_of_zeros_costs_one_record(tmp_path):
    path = tmp_path / "part.jsonl"
    path.write_bytes(an_edit("a").to_json().encode() + b"\n" + b"\0" * 4096 + b"\n" + an_edit("b").to_json().encode())
    assert [edit.pair_id for edit in read_records(path, Edit)] == ["a", "b"]


def a_score(pair_id: str, **changes: object) -> Score:
    return Score(**({"pair_id": pair_id, "value": 5.0, "key": "k", "reply": "5.0"} | changes))


@ANY_FILE
@given(
    data=st.lists(
        st.binary(max_size=30)
        | st.sampled_from([a_score("a").to_json().encode(), b"\n", b"\r", b"[" * 100_000, b"9" * 5_000, b"\0" * 4_096])
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
        assert isinstance(score.values, tuple)
        assert score.value is None or isinstance(score.value, float | int)


@ANY_FILE
@given(place=st.integers(0), damage=st.binary(min_size=1, max_size=40))
def test_damage_anywhere_costs_no_record_but_those_it_touches(tmp_path, place, damage):
    lines = [a_score(str(number)).to_json().encode() for number in range(5)]
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
    assert len((line + "\n").encode().split(b"\n")) == 2


def test_the_newest_launch_wins_and_the_merge_drops_the_parts(tmp_path):
    run = RunDir(tmp_path)
    for launch, error in ((1, "out of memory"), (2, None)):
        with run.part("edit", launch, 0) as part:
            part.append(an_edit("a", error=error))
    with run.part("score-x", 1, 0) as part:
        part.append(an_edit("other stage"))
    latest = run.latest(Edit, "edit", run.manifest)
    assert latest["a"].error is None
    write_records(run.pairs, [a_pair("a")])
    run.merge(Edit, "edit", run.manifest)
    assert list(read_records(run.manifest, Edit)) == [latest["a"]]
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["score-x.000001.00000.jsonl"]


def test_records_of_a_part_outlast_a_crash_before_the_merge(tmp_path):
    run = RunDir(tmp_path)
    with run.part("edit", 1, 3) as part:
        part.append(an_edit("a"))
    assert set(run.latest(Edit, "edit", run.manifest)) == {"a"}


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
    assert seed_for(0, "a") == 476750478927199554  # published runs depend on it


def test_the_place_of_a_record_holds_when_its_file_is_replaced_or_removed(tmp_path):
    paths = [tmp_path / name for name in ("merged", "part", "missing")]
    write_records(paths[0], [an_edit("a", seed=1), an_edit("物理", seed=2)])
    paths[1].write_bytes(b"[torn\n" + an_edit("a", seed=3).to_json().encode())  # a last line without its line break
    with RecordFiles(Edit, paths) as files:
        newest = files.newest()
        write_records(paths[0], [an_edit("another")])
        paths[1].unlink()
        assert {name: files.at(place).seed for name, place in newest.items()} == {"a": 3, "物理": 2}
        assert files.line(newest["a"]) == an_edit("a", seed=3).to_json().encode() + b"\n"


def test_more_files_of_records_than_may_be_open_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("editbench.run.durable._MOST_OPEN", 2)
    paths = [tmp_path / str(number) for number in range(5)]
    for number, path in enumerate(paths):
        write_records(path, [an_edit(f"{number} {of}", seed=number) for of in range(3)])
    with RecordFiles(Edit, paths) as files:
        found = [(place, edit, files.at(place)) for place, edit in files]  # one asked for between two others
        assert [edit.seed for _, edit, _ in found] == [number for number in range(5) for _ in range(3)]
        assert all(edit == again == files.at(place) for place, edit, again in reversed(found))
        assert len(files._open) == 2
        write_records(paths[0], [an_edit("another", seed=0)])  # as a launch does that has ended meanwhile
        for place, _, _ in found[-6:]:
            files.at(place)  # of the last two files, so that the first is closed
        with pytest.raises(OSError, match=f"Stale.*{paths[0]}"):
            files.at(found[0][0])


def test_a_part_that_appears_during_the_merge_is_not_dropped(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    write_records(run.pairs, [a_pair("a")])

    def late(path, lines):  # as where a network disk shows another machine's part only now
        write_lines(path, lines)
        with run.part("edit", 1, 0) as part:
            part.append(an_edit("a"))

    monkeypatch.setattr("editbench.run.run_dir.write_lines", late)
    run.merge(Edit, "edit", run.manifest)
    assert run.latest(Edit, "edit", run.manifest) == {"a": an_edit("a")}


def test_records_that_are_merged_while_they_are_read_are_all_found(tmp_path):
    run = RunDir(tmp_path)
    write_records(run.pairs, [a_pair("a"), a_pair("b")])
    for launch, pair_id in enumerate("ab", start=1):
        with run.part("edit", launch, 0) as part:
            part.append(an_edit(pair_id))
    with run.records(Edit, "edit", run.manifest) as before, run.records(Edit, "edit", run.manifest) as within:
        reading = iter(within)
        found = [next(reading)[1].pair_id]
        run.merge(Edit, "edit", run.manifest)
        assert found + [edit.pair_id for _, edit in reading] == ["a", "b"]
        assert sorted(before.newest()) == ["a", "b"]
