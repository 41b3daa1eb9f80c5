"""Rubrics that are YAML files: what they ask, how they read, what their numbers are, and what is wrong with them."""

import textwrap

import pytest

from editbench.errors import UsageError
from editbench.records import Pair, Picture
from editbench.rubrics import FromFile, Shown

PHOTOS = """
version: product-photos-1
scale: [1, 5]
calls:
  following:
    shows: [source, edit]          # source, sources, edit, reference; in this order, before the text
    text: "Was it done as asked? {instruction} Reply as JSON."
    reply: {json: {done: [1, 5], kept: [1, 5]}}
  quality:
    shows: [edit]
    text: "How natural is it, 1 to 5? Reply with one number."
    reply: {number: [1, 5]}
    when: relight                   # optional: only in these categories
value: min                          # mean | min | geometric_mean | a mapping of weights
headlines: [category_mean, item_mean]
"""


@pytest.fixture
def rubric(tmp_path):
    """Writes a rubric's file and gives the rubric."""

    def make(text: str) -> FromFile:
        path = tmp_path / "mine.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return FromFile(file=str(path))

    return make


def a_pair(category: str = "relight", **changes) -> Pair:
    texts = {"instruction": "Make it [red].", "sources": (Picture(sha256="0" * 64),)}
    return Pair(**{"pair_id": "p", "category": category} | texts | changes)


def defects(rubric: FromFile, pairs=()) -> list[str]:
    with pytest.raises(UsageError) as raised:
        rubric.check(pairs)
    return [line.partition("mine.yaml: ")[2] for line in str(raised.value).splitlines()]


def test_a_file_says_questions_dimensions_formula_and_headlines(rubric):
    photos = rubric(PHOTOS)
    assert (photos.version, photos.scale) == ("product-photos-1", (1, 5))
    assert dict(photos.dimensions) == {"done": (1, 5), "kept": (1, 5), "quality": (1, 5)}
    assert [(headline.name, headline.scale) for headline in photos.headlines] == [
        ("category_mean", (1, 5)),
        ("item_mean", (1, 5)),
    ]
    following, quality = photos.calls(a_pair())
    assert (following.name, following.gives, following.digits) == ("following", ("done", "kept"), ())
    assert [part.picture for part in following.parts[:2]] == ["source", "edit"]
    assert following.parts[2] == "Was it done as asked? Make it (red). Reply as JSON."
    assert quality.parts[0] == Shown(picture="edit", max_pixels=1024 * 1024)
    assert quality.digits == ("1", "2", "3", "4", "5")
    assert [question.name for question in photos.calls(a_pair("background"))] == ["following"]
    photos.check([a_pair(), a_pair("background")])


def test_replies_become_numbers_and_numbers_the_value(rubric):
    photos, pair = rubric(PHOTOS), a_pair()
    following, quality = photos.calls(pair)
    assert photos.read(pair, following, '```json\n{"done": 4, "kept": 2}\n```').numbers == {"done": 4, "kept": 2}
    assert photos.read(pair, following, '{"done": 4}').failure == "unreadable"
    assert photos.read(pair, quality, "6").failure == "out of range"
    assert photos.values(pair, {"done": 4.0, "kept": 2.0, "quality": 3.0}) == {"value": 2.0}
    assert photos.values(pair, {"done": 4.0, "kept": 2.0, "quality": None}) == {"value": None}
    assert photos.values(a_pair("background"), {"done": 4.0, "kept": 3.0}) == {"value": 3.0}


@pytest.mark.parametrize(
    ("value", "in_relight", "elsewhere"),
    [
        ("mean", 7 / 3, 2.0),
        ("min", 1.0, 1.0),
        ("geometric_mean", 9 ** (1 / 3), 3**0.5),
        ("{done: 2, kept: 1, quality: 1}", 10 / 4, 7 / 3),  # (2 · 3 + 1 + 3) / 4, then without the quality
        ("{done: 1, quality: 3}", 3.0, 3.0),
    ],
)
def test_formulas_in_worked_numbers(rubric, value, in_relight, elsewhere):
    photos = rubric(PHOTOS.replace("value: min", f"value: {value}"))
    readings = {"done": 3.0, "kept": 1.0, "quality": 3.0}
    assert photos.values(a_pair(), readings)["value"] == pytest.approx(in_relight)
    del readings["quality"]
    assert photos.values(a_pair("background"), readings)["value"] == pytest.approx(elsewhere)


def test_every_kind_of_reply_names_its_dimensions(rubric):
    kinds = rubric("""
        version: kinds-1
        scale: [0, 10]
        calls:
          lines: {text: x, reply: {lines: 2, range: [1, 5]}}
          named: {text: x, reply: {lines: [Style, Light], range: [1, 5]}}
          marked: {text: x, reply: {marker: "Final Score", range: [1, 5]}}
          lists: {text: x, reply: {json: {score: {range: [0, 10], count: 2}, sure: {choices: {"yes": 1, "no": 0}}}}}
          twice: {text: x, reply: {json: {sure: [0, 1]}}}
        value: {lines_1: 1, Style: 1, score_2: 2}
    """)
    assert list(kinds.dimensions) == [
        "lines_1",
        "lines_2",
        "Style",
        "Light",
        "marked",
        "score_1",
        "score_2",
        "lists.sure",
        "twice.sure",
    ]
    assert kinds.dimensions["score_2"] == (0, 10)
    assert kinds.dimensions["lists.sure"] == (0, 1)
    pair = a_pair()
    replies = {
        "lines": ("Any: 3\nOther: 4", {"lines_1": 3, "lines_2": 4}),
        "named": ("Light: 2\nStyle: 5", {"Style": 5, "Light": 2}),
        "marked": ("It is fine. Final Score: 4", {"marked": 4}),
        "lists": ('{"score": [7, 8], "sure": "Yes"}', {"score_1": 7, "score_2": 8, "lists.sure": 1}),
        "twice": ('{"sure": 0.5}', {"twice.sure": 0.5}),
    }
    for question in kinds.calls(pair):
        reply, numbers = replies[question.name]
        assert kinds.read(pair, question, reply).numbers == numbers
        assert set(question.gives) == set(numbers)
    assert kinds.values(pair, {"lines_1": 3, "Style": 5, "score_2": 8})["value"] == 6.0  # (3 + 5 + 2 · 8) / 4


def test_only_an_identifier_in_braces_is_a_field(rubric):
    text = 'Reply {"a": 1} or {} or { instruction }. {instruction} {task.name} {material}'
    fields = rubric(f"""
        version: fields-1
        calls: {{one: {{text: '{text}', reply: {{number: [1, 5]}}}}}}
    """)
    pair = a_pair(fields={"material": "oak <b>"}, rationale=None)
    (question,) = fields.calls(pair)
    assert question.parts[-1] == 'Reply {"a": 1} or {} or { instruction }. Make it (red). {task.name} oak ‹b›'
    assert fields.scale == (1, 5)
    fields.check([pair])
    assert defects(fields, [a_pair()]) == [
        "calls.one.text: {material} is no field of any pair; there are instruction, rationale, category, description, "
        "language, difficulty"
    ]


def test_texts_by_category_and_from_files(rubric, tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "relight.txt").write_text("Is the light right? {instruction}\n", encoding="utf-8")
    by_category = rubric("""
        version: files-1
        calls:
          one:
            shows: sources
            text: {relight: {file: prompts/relight.txt}, background: "Is it another place?"}
            reply: {number: [1, 5]}
          two: {file: prompts/relight.txt, system: "You judge {category}.", reply: {number: [1, 5]}, max_new_tokens: 9}
    """)
    pair = a_pair(sources=(Picture(sha256="0" * 64), Picture(sha256="1" * 64)))
    one, two = by_category.calls(pair)
    assert [part.picture for part in one.parts[:2]] == ["source", "source_2"]
    assert one.parts[2] == two.parts[-1] == "Is the light right? Make it (red)."
    assert (two.system, two.max_new_tokens) == ("You judge relight.", 9)
    assert by_category.calls(a_pair("background"))[0].parts[1] == "Is it another place?"
    assert defects(by_category, [pair, a_pair("repaint"), a_pair("repaint")]) == [
        "calls.one.text: no text for the category 'repaint' (2 pairs); there are 'relight', 'background'"
    ]
    before = by_category.files()
    (tmp_path / "prompts" / "relight.txt").write_text("Is the light wrong?", encoding="utf-8")
    assert FromFile(file=by_category.file).files() != before


def test_formula_and_headlines_are_not_part_of_what_decides_the_replies(rubric):
    before = rubric(PHOTOS).files()
    assert rubric(PHOTOS.replace("value: min", "value: mean")).files() == before
    assert rubric(PHOTOS.replace("1 to 5?", "one to five?")).files() != before


def test_pictures_that_pairs_lack_are_named(rubric):
    shows = rubric("""
        version: shows-1
        calls: {one: {shows: [source_2, reference, edit], text: x, reply: {number: [1, 5]}}}
    """)
    assert defects(shows, [a_pair()]) == [
        "calls.one.shows: 1 pairs have no picture 'source_2', such as 'p'",
        "calls.one.shows: 1 pairs have no picture 'reference', such as 'p'",
    ]
    sources = (Picture(sha256="0" * 64), Picture(sha256="1" * 64))
    shows.check([a_pair(sources=sources, references={"reference": Picture(sha256="2" * 64)})])


def test_a_category_that_nothing_is_asked_in_is_named(rubric):
    only = rubric("""
        version: only-1
        scale: [1, 5]
        calls:
          one: {text: x, reply: {number: [1, 5]}, when: [relight, repaint]}
          two: {text: x, reply: {number: [1, 5]}, when: background}
        value: {one: 1}
    """)
    assert defects(only, [a_pair(), a_pair("background"), a_pair("other")]) == [
        "value: no dimension with weight is asked for in the category 'background'",
        "calls: none is for the category 'other' (1 pairs)",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("version: product-photos-1\n", ""), "version: is missing"),
        (("scale: [1, 5]", "scale: [5, 1]"), "scale: [5, 1]: the lowest comes first, and below the highest"),
        (("scale: [1, 5]", "skale: [1, 5]"), "skale: unknown key; there are version, scale, calls, value, headlines"),
        (("scale: [1, 5]", "scale: [2, 4]"), "scale: 2 to 4: the value goes from 1 to 5"),
        (("value: min", "value: median"), "value: 'median': give one of mean, min, max, geometric_mean, or weights"),
        (("value: min", "value: {beauty: 1}"), "value.beauty: no such dimension; there are done, kept, quality"),
        (("value: min", "value: {done: -1}"), "value.done: the weight -1 is below 0"),
        (("[category_mean, item_mean]", "[mean_of_means]"), "headlines[0]: 'mean_of_means': give one of category_mean"),
        (("number: [1, 5]", "number: [0, 10]"), "value: min needs numbers of one range, and they differ (done 1 to 5"),
        (("kept: [1, 5]", "kept: 5"), "calls.following.reply.json.kept: must be a mapping, not int 5"),
        (("kept: [1, 5]", "yes: [1, 5]"), "calls.following.reply.json: the key True is the truth value True"),
        (("{number: [1, 5]}", "{numbers: [1, 5]}"), "calls.quality.reply.numbers: unknown key; there are number, json"),
        (("{number: [1, 5]}", "{lines: 3}"), "calls.quality.reply.range: must be two numbers, such as [1, 5]"),
        (("    shows: [edit]\n", "    shows: [a picture]\n"), "calls.quality.shows: 'a picture' is no picture"),
        (("    when: relight ", "    text: again "), "line 13: the key 'text' stands here again"),
        (("quality:", "my quality:"), "calls.my quality: a call's name is letters, digits and _"),
        (('    text: "How natural is it, 1 to 5? Reply with one number."', "    file: no.txt"), "calls.quality.file: "),
        (("calls:", "calls: ["), "line 6, column 10: not YAML: expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_mistake_is_said_with_its_key(rubric, change, says):
    assert change[0] in PHOTOS
    found = defects(rubric(PHOTOS.replace(*change)))
    assert any(line.startswith(says) for line in found), found


def test_several_mistakes_are_said_together_a_line_each(rubric):
    wrong = rubric("""
        version: 1
        calls:
          one: {text: x, shows: 5, reply: {number: [1, five]}}
          two: {reply: {number: [1, 5]}}
    """)
    assert defects(wrong) == [
        "version: must be text, not int 1",
        "calls.one.shows: must be a text or a list of texts, not int 5",
        "calls.one.reply.number: must be a number, not text",
        "calls.two: give either `text` or `file`",
    ]


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml: no such file"):
        FromFile(file=str(tmp_path / "none.yaml")).check([])


def test_weights_bring_numbers_of_different_ranges_together(rubric):
    ranges = rubric(PHOTOS.replace("number: [1, 5]", "number: [0, 10]").replace("min  ", "{done: 1, quality: 1}"))
    assert defects(ranges) == ["scale: 1 to 5: the value of the category 'relight' goes from 0.5 to 7.5"]
    fits = rubric(
        PHOTOS.replace("number: [1, 5]", "number: [0, 10]")
        .replace("min  ", "{done: 1, quality: 1}")
        .replace("scale: [1, 5]", "scale: [0, 10]")
    )
    assert fits.values(a_pair(), {"done": 4.0, "kept": 1.0, "quality": 9.0}) == {"value": 6.5}
