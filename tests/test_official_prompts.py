import contextlib
import hashlib
import json
import keyword
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editbench.errors import UsageError
from editbench.rubrics.official.prompts import (
    PromptFile,
    Prompts,
    load,
    quote_lines,
    texts_of_json,
    texts_of_module,
)

OFFICIAL = PromptFile(repository="https://example.org/bench", path="eval/prompts.py", sha256="")
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def prompts(tmp_path, content, name="prompts.py", sha256=""):
    path = tmp_path / name
    path.write_text(content)
    return load(str(path), PromptFile(repository="https://example.org/bench", path=name, sha256=sha256))


@given(st.dictionaries(NAMES, TEXTS, max_size=6))
def test_every_literal_of_a_module_is_read_as_python_would(texts):
    module = "".join(f"{name} = {text!r}\n" for name, text in texts.items())
    assert texts_of_module(module.encode()) == texts


@given(st.dictionaries(TEXTS, TEXTS, max_size=6))
def test_every_string_of_a_json_object_is_read(texts):
    assert texts_of_json(json.dumps(texts | {"a number": 3}).encode()) == {
        key: text for key, text in texts.items() if key != "a number"
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_texts_or_one_named_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "prompts.py"
    path.write_bytes(content)
    with contextlib.suppress(UsageError):
        assert all(isinstance(text, str) for text in load(str(path), OFFICIAL).texts.values())


def test_aliases_joined_literals_and_the_last_assignment_are_followed():
    module = '''
import json as gone
gone2 = "x"
first = """one {a}
two"""
again = second = first
joined = ("a" "b"
    "c")
added = joined + "d"
typed: str = "t"
first = "later"
made = "x".upper()
formatted = f"{first}"
gone2 = made
branch = "kept?"
if first:
    branch = "other"
grown = "a"
grown += "b"
gone = "again"
def joined2(): inner = "no"
'''
    assert texts_of_module(module.encode()) == {
        "first": "later",
        "again": "one {a}\ntwo",
        "second": "one {a}\ntwo",
        "joined": "abc",
        "added": "abcd",
        "typed": "t",
        "gone": "again",
    }


def test_a_module_is_never_run(tmp_path):
    texts = prompts(tmp_path, "import no_such_module\nraise SystemExit\np = 'text'\n").texts
    assert texts == {"p": "text"}


@pytest.mark.parametrize("below", ["eval/prompts.py", "prompts.py"])
def test_a_folder_holds_the_file_at_its_official_path_or_at_its_top(tmp_path, below):
    path = tmp_path / below
    path.parent.mkdir(exist_ok=True)
    path.write_text("p = 'x'")
    found = load(str(tmp_path), OFFICIAL)
    assert (found.path, found.sha256) == (path, hashlib.sha256(b"p = 'x'").hexdigest())


def test_the_official_path_comes_before_the_top(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "prompts.py").write_text("p = 'official'")
    (tmp_path / "prompts.py").write_text("p = 'top'")
    assert load(str(tmp_path), OFFICIAL).texts == {"p": "official"}


def test_where_there_is_no_file_the_places_and_the_repository_are_named(tmp_path):
    with pytest.raises(UsageError) as raised:
        load(str(tmp_path), OFFICIAL)
    for part in (tmp_path / "eval" / "prompts.py", tmp_path / "prompts.py", "git clone https://example.org/bench"):
        assert str(part) in str(raised.value)
    with pytest.raises(UsageError, match=r"--rubric\.init_args\.prompts: .*git clone https://example\.org/bench"):
        load("", OFFICIAL)


def test_a_missing_variable_names_those_that_there_are(tmp_path):
    with pytest.raises(UsageError, match="no plain text named b, c; there is a, d"):
        prompts(tmp_path, "a = 'x'\nd = 'y'").raw("a", "b", "c")
    with pytest.raises(UsageError, match="there is no text at all"):
        prompts(tmp_path, '{"a": 1}', "prompts.json").raw("a")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [("p.py", "p = ", "invalid syntax"), ("p.json", "[1]", "not a JSON object"), ("p.json", "{", "Expecting")],
)
def test_a_broken_file_is_named_with_its_defect(tmp_path, name, content, what):
    with pytest.raises(UsageError, match=rf"{name}: the prompts cannot be read: .*{what}"):
        prompts(tmp_path, content, name)


def test_a_file_that_is_not_the_known_one_is_said(tmp_path):
    known = hashlib.sha256(b"p = 'x'").hexdigest()[:12]
    assert not list(prompts(tmp_path, "p = 'x'", "same.py", known).notes())
    assert not list(prompts(tmp_path, "p = 'y'", "unknown.py").notes())
    (note,) = prompts(tmp_path, "p = 'y'", "other.py", known).notes()
    assert "other.py" in note
    assert known in note


def test_the_three_styles_of_filling(tmp_path):
    found = prompts(tmp_path, "a = 'Do <instruction> {{now}}'\nb = 'See {instruct}, {{n}}'\nc = '{x'")
    assert found.raw("a", "b") == "Do <instruction> {{now}}\nSee {instruct}, {{n}}"
    assert found.replaced("a", placeholder="<instruction>", by="{instruct}") == "Do {instruct} {{now}}"
    assert found.formatted("b", fields={"instruct": "{0} {x}", "reference": "r"}) == "See {0} {x}, {n}"
    with pytest.raises(UsageError, match="the placeholder <instruction> does not stand there"):
        found.replaced("b", placeholder="<instruction>", by="x")
    with pytest.raises(UsageError, match=r"b: cannot be filled in .*it may hold \{reference\}"):
        found.formatted("b", fields={"reference": "r"})
    with pytest.raises(UsageError, match="c: cannot be filled in"):
        found.formatted("c", fields={})


@given(TEXTS)
def test_a_filled_text_is_no_format_itself(text):
    found = Prompts(path=Path("p.py"), sha256="", texts={"b": "({instruct})"}, official=OFFICIAL)
    assert found.formatted("b", fields={"instruct": text}) == f"({text})"


@given(st.lists(TEXTS.map(lambda text: "".join(text.splitlines())), min_size=1, max_size=4))
def test_quoted_lines_stay_as_many_and_hold_no_bracket(lines):
    found = quote_lines("\n".join(lines))
    assert found.count("\n") == len(lines) - 1
    assert not set(found) & set("<>[]")


def test_numbered_instructions_keep_their_lines():
    assert quote_lines("1. Add  a cat.\r\n2. Paint <|im_end|> it.") == "1. Add a cat.\n2. Paint it."
