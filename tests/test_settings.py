"""Every option and every setting of what is shipped has an entry here that shows what it does.

A new field of `Config`, or of a shipped editor, judge or rubric, without an entry fails
`test_the_tables_have_every_option_and_setting_and_no_other`.
"""

import contextlib
import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from editbench.cli.options import PLUGINS, shipped_kinds
from editbench.config import Config, deciding
from editbench.editors import Edited, Editor, QwenImageEdit, Unchanged
from editbench.errors import UsageError
from editbench.judges import Judge, Message, QwenVL, Recorded, Reply
from editbench.process.world import World
from editbench.records import Pair, Picture
from editbench.rubrics import Brief, FiveAspects
from editbench.run.yaml_file import read_settings
from editbench.stages.edit import edit
from editbench.stages.edit_plan import edit_key_of
from editbench.stages.score import score
from tests.conftest import rows

PAIR = Pair(pair_id="p", sources=(Picture(sha256="0"),), instruction="Paint the ball blue.", category="causal")


@dataclass(frozen=True)
class Changes:
    """With this value the stages say something else than without."""

    value: Any
    """A function is called with the folder of the benchmark."""
    what: str
    """One of the observations of `stages`, or `refused`."""


@dataclass(frozen=True)
class Refused:
    """A value that cannot be meant is refused before anything is loaded, in words that hold these."""

    value: Any
    words: str


@dataclass(frozen=True)
class Drawn:
    """With this value the demo's editor draws another picture."""

    value: Any
    beside: dict[str, Any] = field(default_factory=dict)
    """Settings of both."""


@dataclass(frozen=True)
class Replied:
    """With this value the demo's judge answers otherwise."""

    value: Any


@dataclass(frozen=True)
class Asked:
    """With this value the rubric asks otherwise; a function is called with a folder, as the one for the first value."""

    value: Any
    first: Any = None


@dataclass(frozen=True)
class Elsewhere:
    """Another test shows it: `module.test`, whose source holds the word (the field's name)."""

    value: Any
    test: str
    word: str = ""


@dataclass(frozen=True)
class OnGpu:
    """Read where there is a GPU, and by nothing else."""

    value: Any


# ---- the options


@dataclass(kw_only=True)
class Copies(Editor):
    """Gives the source back."""

    def edit(self, pair, sources, seed):
        return sources[0]


@dataclass(kw_only=True)
class Notes(Judge):
    """Gives 5, but to one pair no number; notes how many messages come at once."""

    offers = frozenset({"samples", "probabilities"})
    asked: list[int] = field(default_factory=list, init=False)

    def replies(self, messages):
        self.asked.append(len(messages))
        return [Reply(text="none" if message.pair_id == "a" else "5") for message in messages]

    def samples(self, messages, seeds):
        return [[reply] * len(of_one) for reply, of_one in zip(self.replies(messages), seeds, strict=True)]

    def probabilities(self, messages):
        return [Reply(text="5", probabilities=(0.1,) * 10) for _ in messages]


def other_benchmark(folder: Path) -> Path:
    path = folder / "other.jsonl"
    text = (folder / "pairs.jsonl").read_text(encoding="utf-8")
    path.write_text(text.replace("Turn it.", "Turn it back."), encoding="utf-8")
    return path


def other_images(folder: Path) -> Path:
    (folder / "others").mkdir()
    for name in "abcd":
        Image.new("RGB", (8, 8), "red").save(folder / "others" / f"{name}.png")
    return folder / "others"


def prompts(folder: Path) -> Path:
    path = folder / "prompts.csv"
    path.write_text("pair_id,prompt\n" + "".join(f"{name},Do it.\n" for name in "abcd"), encoding="utf-8")
    return path


EXPORTED = "test_export.test_a_report_writes_the_table_too_and_tells_two_runs_of_one_name_apart"
OPTIONS: dict[str, Changes | Refused | Elsewhere] = {
    "benchmark": Changes(other_benchmark, "pairs"),
    "images": Changes(other_images, "edits"),
    "files": Elsewhere("*.jsonl", "test_data_forms.test_several_splits_in_one_folder_are_never_mixed"),
    "columns": Changes({"instruction": "text"}, "pairs"),
    "run_dir": Changes(lambda folder: (folder / "another run",), "root"),
    "limit": Changes(1, "edits"),
    "categories": Changes(("causal",), "edits"),
    "language": Changes("zh", "pairs"),
    "seed": Changes(1, "edits"),
    "edits": Changes(2, "edits"),
    "rewrite": Changes(prompts, "edits"),
    "editor": Changes(Unchanged(), "edits"),
    "judge": Changes(Recorded(values="none.csv"), "refused"),
    "rubric": Changes(FiveAspects(digits=True), "protocol"),
    "repeats": Changes(2, "protocol"),
    "expected": Changes(True, "protocol"),
    "scores": Changes("another name", "scores"),
    "batch_size": Changes(1, "batches"),
    "controls": Changes(1, "controls"),
    "max_failures": Changes(0, "codes"),
    "hang_after_s": Elsewhere(1.0, "test_command.test_a_hang_while_loading_ends_the_process_and_says_so"),
    "load_in_turns": Elsewhere(True, "test_pipeline.test_ranks_that_load_in_turns_do_not_wait_for_ever"),
    "accept_changes": Elsewhere(True, "test_edit_stage.test_a_source_that_changed_is_refused_and_then_made_anew_alone"),
    "check": Changes(True, "edits"),
    "out": Elsewhere(Path("x"), EXPORTED),
    "standalone": Elsewhere(True, "test_report.told"),
    "export": Elsewhere(Path("x.csv"), EXPORTED),
    "plots": Elsewhere(Path("x"), EXPORTED),
    "track": Elsewhere("trackio", "test_track.test_report_tracks_and_its_call_is_not_recorded"),
    "trust_run": Elsewhere(True, "test_trust.test_the_users_own_flag_is_enough_once"),
    "launcher": Elsewhere("slurm", "test_command.test_two_tasks_of_srun_are_refused_or_share_the_work_when_asked"),
    "watch": Elsewhere(
        True,
        "test_report_stage.test_a_watched_page_is_written_at_each_change_and_once_more_when_the_run_is_complete",
    ),
    "index": Elsewhere(Path("x"), "test_report_stage.test_an_index_lists_all_runs_below_a_folder_the_newest_first"),
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four pairs in two categories and two languages."""
    lines: list[str] = []
    for number, name in enumerate("abcd"):
        Image.effect_noise((8, 8), 60 + number).convert("RGB").save(tmp_path / f"{name}.png")
        row = {"id": name, "source": f"{name}.png", "instruction": "Turn it.", "instruction_zh": "转动它。"}
        lines.append(json.dumps(row | {"text": "Turn this.", "category": ("physical", "causal")[number % 2]}) + "\n")
    (tmp_path / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def stages(config: Config) -> dict[str, Any]:
    """What an edit and a score say, by name."""
    notes = config.judge if isinstance(config.judge, Notes) else Notes()
    notes.asked.clear()
    try:
        codes = [edit(config, World())]
        codes += [] if config.check else [score(config, World())]
    except UsageError as error:
        return {"refused": str(error)}
    root = config.the_run
    protocols = sorted((root / "scores").glob("*.yaml"))
    return {
        "pairs": [(row["pair_id"], row["instruction"]) for row in _rows(root / "pairs.jsonl")],
        "edits": [(row["pair_id"], row.get("try"), row["key"]) for row in _rows(root / "manifest.jsonl")],
        "protocol": [read_settings(path) for path in protocols],
        "scores": [path.name for path in protocols],
        "batches": list(notes.asked),
        "controls": (root / "controls").exists(),
        "codes": codes,
        "root": root,
        "refused": "",
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return rows(path) if path.exists() else []


@pytest.mark.parametrize("name", [name for name, entry in OPTIONS.items() if isinstance(entry, Changes)])
def test_every_option_changes_what_the_stages_say(folder, name):
    entry = OPTIONS[name]
    assert isinstance(entry, Changes)
    value = entry.value(folder) if inspect.isfunction(entry.value) else entry.value
    base = Config(
        benchmark=folder / "pairs.jsonl",
        run_dir=(folder / "run",),
        editor=Copies(),
        judge=Notes(),
        rubric=Brief(digits=True),
    )
    first = stages(base)
    assert first["codes"] == [0, 0]
    other = replace(base, run_dir=(folder / "other",), **({name: value} if name != "run_dir" else {}))
    second = stages(replace(other, run_dir=value) if name == "run_dir" else other)
    assert second[entry.what] != first[entry.what]


# ---- the settings of the plug-ins

REMOTE: dict[str, Any] = {
    "base_url": Refused("localhost", "not an address"),
    "num_requests": Refused(0, "num_requests is 0"),
    "timeout_s": Refused(0.0, "timeout_s is 0"),
    "num_attempts": Refused(0, "num_attempts is 0"),
}
DIFFUSERS: dict[str, Any] = {
    "model": Refused("/no/such/folder", "/no/such/folder"),
    "revision": Refused("abc", "has no revision abc"),
    "pipeline": Refused("NoPipeline", "no class NoPipeline"),
    "dtype": Drawn("bfloat16"),
    "num_inference_steps": Drawn(1),
    "call": Refused({"strenght": 1}, "takes no strenght"),
    "lora": Refused("no.safetensors", "no.safetensors"),
    "lora_weights": Refused([1.0], "1 numbers for 0 LoRAs"),
    "scheduler": Drawn({"shift": 5.0}),
    "first_block_cache": Drawn(0.9, {"num_inference_steps": 4}),
    "fp8_weights": Drawn(True),
    "quantization_config": Refused({"quant_backend": "int3"}, "must be one of"),
    "offload": OnGpu("model"),
}
QWEN: dict[str, Any] = {
    **DIFFUSERS,
    "true_cfg_scale": Drawn(1.0),
    "negative_prompt": Drawn("blue"),
    "fast": OnGpu(False),
}
SENT = "test_images_api.test_the_source_and_the_instruction_are_sent_and_the_picture_comes_back"
NAMED = "test_settings.test_the_key_of_a_server_is_read_from_the_named_variable"
FOUND = "test_tries.test_saved_images_are_found_by_a_template_in_any_case_of_the_ending"
OFFICIAL: dict[str, Any] = {"prompts": Refused("/no/such/folder", "/no/such/folder")}
PLUGIN_SETTINGS: dict[str, dict[str, Any]] = {
    "Diffusers": DIFFUSERS,
    "QwenImageEdit": QWEN,
    "QwenImageEditPlus": QWEN,
    "ImagesAPI": {
        **REMOTE,
        "model": Elsewhere("another", SENT),
        "key_variable": Elsewhere("OTHER_KEY", NAMED),
        "size": Elsewhere("auto", SENT),
        "quality": Elsewhere("high", SENT),
        "call": Refused({"prompt": "x"}, "prompt is set by the editor"),
        "sends_seed": Elsewhere(True, SENT),
        "prices": Refused({"image": -1.0}, "must be 0 or more"),
        "currency": Refused("EUR", "there are no prices"),
    },
    "Saved": {
        "folder": Refused("/no/such/folder", "/no/such/folder"),
        "template": Elsewhere("{id}.jpg", FOUND),
        "table": Refused("/no/such/table.csv", "/no/such/table.csv"),
    },
    "Unchanged": {},
    "LivePipeline": {
        "pipeline": Refused("NoPipeline", "lived in another process"),
        "name": Refused("", "needs a name"),
        "num_inference_steps": Refused(0, "must be 1 or more"),
        "call": Refused({"prompt": "x"}, "prompt is set by the editor"),
    },
    "QwenVL": {
        "model": Refused("/no/such/folder", "/no/such/folder"),
        "revision": Refused("abc", "has no revision abc"),
        "dtype": Replied("bfloat16"),
        "max_new_tokens": Replied(1),
        "temperature": Replied(9.0),
        "device_map": OnGpu("balanced"),
        "compiled": OnGpu(False),
    },
    "VLLM": {
        "model": Refused("/no/such/folder", "/no/such/folder"),
        "revision": Refused("abc", "has no revision abc"),
        "dtype": OnGpu("bfloat16"),
        "max_new_tokens": OnGpu(1),
        "temperature": OnGpu(9.0),
        "engine": Refused({"trust_remote_code": True}, "trust_remote_code is not for tuning"),
    },
    "Recorded": {
        "replies": Refused("/no/such/file.jsonl", "/no/such/file.jsonl"),
        "values": Refused("/no/such/file.csv", "reads one file"),
        "scale": Refused((0.0, 1.0), "stands with values"),
    },
    "Server": {
        **REMOTE,
        "model": Elsewhere("another", "test_server.test_an_answer_is_read_with_the_model_that_gave_it"),
        "key_variable": Elsewhere("OTHER_KEY", NAMED),
        "max_new_tokens": Elsewhere(7, "test_server.test_an_answer_is_read_with_the_model_that_gave_it", "max_tokens"),
        "temperature": Elsewhere(0.1, "test_server.test_draws_send_their_seeds"),
    },
    "Brief": {"judge_sees": Asked("edit"), "digits": Asked(True)},
    "FiveAspects": {"judge_sees": Asked("edit"), "digits": Asked(True)},
    "FromFile": {"file": Asked("2.yaml", "1.yaml")},
    **dict.fromkeys(("ComplexEdit", "GEdit", "ImgEdit", "Pica", "RedEdit", "RisePP", "UniREdit", "WiseEdit"), OFFICIAL),
    "Kris": {
        **OFFICIAL,
        "as_shipped": Elsewhere(
            False, "test_official_kris.test_shipped_anomalies_are_asked_generally_and_corrected_by_their_own_prompt"
        ),
    },
    "Rise": {
        **OFFICIAL,
        "as_shipped": Elsewhere(
            False, "test_official_rise.test_rise_corrected_compares_with_the_source_and_goes_by_the_value"
        ),
    },
}
DEMO = {"model": "editbench:demo/editor", "dtype": "float32", "num_inference_steps": 2}
NEEDED: dict[str, dict[str, Any]] = {
    "Diffusers": DEMO,
    "QwenImageEdit": DEMO,
    "QwenImageEditPlus": DEMO,
    "LivePipeline": {"pipeline": "QwenImageEditPipeline", "name": "step-100"},
    "ImagesAPI": {"model": "x"},
    "Saved": {"folder": str(Path(__file__).parent)},
    "QwenVL": {"model": "editbench:demo/judge", "dtype": "float32"},
    "VLLM": {"model": "editbench:demo/judge", "dtype": "float32"},
    "Recorded": {"replies": "replies.jsonl"},
    "Server": {"model": "x"},
    "FromFile": {"file": "1.yaml"},
}
KINDS: dict[str, Any] = {kind.__name__: kind for plugin in PLUGINS for kind in shipped_kinds(plugin)}
ALL = [(kind, name) for kind, settings in PLUGIN_SETTINGS.items() for name in settings]
EXAMPLE = """
version: example-{number}
calls:
  done: {{text: "Done, {number}? {{instruction}}", reply: {{number: [0, 1]}}}}
"""


def test_the_tables_have_every_option_and_setting_and_no_other():
    assert OPTIONS.keys() == {item.name for item in fields(Config)}
    assert PLUGIN_SETTINGS.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        assert PLUGIN_SETTINGS[name].keys() == {item.name for item in fields(kind) if item.init}, name


def made(kind: str, **more: Any) -> Any:
    return KINDS[kind](**(NEEDED.get(kind, {}) | more))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_setting_decides_what_counts_unless_it_is_neutral(kind, name):
    def what_counts(**more: Any) -> Any:
        plugin = made(kind, **more)
        return edit_key_of(plugin, {})(PAIR, 0, None) if isinstance(plugin, Editor) else deciding(plugin)

    value = PLUGIN_SETTINGS[kind][name].value
    try:
        is_same = what_counts(**{name: value}) == what_counts()
    except UsageError:
        return  # refused when it is made, see below
    assert is_same == (name in KINDS[kind].neutral)


@pytest.mark.parametrize(
    ("kind", "name"), [place for place in ALL if isinstance(PLUGIN_SETTINGS[place[0]][place[1]], Refused)]
)
def test_a_setting_that_cannot_be_meant_is_refused(kind, name):
    entry = PLUGIN_SETTINGS[kind][name]

    def check() -> None:
        made(kind, **{name: entry.value}).check(*([[PAIR]] if kind in OFFICIAL_KINDS else []))

    with pytest.raises(UsageError) as refused:
        check()
    assert entry.words in str(refused.value)


OFFICIAL_KINDS = {kind for kind, settings in PLUGIN_SETTINGS.items() if "prompts" in settings}


@cache
def drawn(**more: Any) -> bytes:
    editor: QwenImageEdit = made("QwenImageEdit", **{name: json.loads(value) for name, value in more.items()})
    editor.load(World())
    made_of = editor.edit(PAIR, [Image.linear_gradient("L").resize((64, 64)).convert("RGB")], 0)
    return (made_of.image if isinstance(made_of, Edited) else made_of).tobytes()


# the three kinds of diffusers' editors share these
@pytest.mark.parametrize("name", [name for name, entry in QWEN.items() if isinstance(entry, Drawn)])
def test_a_setting_changes_the_picture(name):
    entry = QWEN[name]
    beside = {other: json.dumps(value) for other, value in entry.beside.items()}
    assert drawn(**beside) != drawn(**beside | {name: json.dumps(entry.value)})


def replied(**more: Any) -> Any:
    judge: QwenVL = made("QwenVL", **more)
    judge.ready(World())
    picture = Image.new("RGB", (64, 64), "red")
    message = judge.prepare(Message(content=(picture, picture, "How good is it?"), digits=("1", "2")))
    return (
        judge.ask([message]),
        judge.probabilities([message]),
        judge.samples([message], [[1, 2, 3, 4]]),
    )


@cache
def replied_first() -> Any:
    return replied()


@pytest.mark.parametrize("name", ["dtype", "max_new_tokens", "temperature"])
def test_a_setting_changes_the_replies(name):
    assert isinstance(PLUGIN_SETTINGS["QwenVL"][name], Replied)
    assert replied(**{name: PLUGIN_SETTINGS["QwenVL"][name].value}) != replied_first()


@pytest.mark.parametrize(
    ("kind", "name"), [place for place in ALL if isinstance(PLUGIN_SETTINGS[place[0]][place[1]], Asked)]
)
def test_a_setting_changes_the_questions(kind, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        (tmp_path / f"{number}.yaml").write_text(EXAMPLE.format(number=number), encoding="utf-8")
    entry = PLUGIN_SETTINGS[kind][name]
    assert made(kind, **{name: entry.value}).calls(PAIR) != made(kind).calls(PAIR)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (name, entry)
        for table in (OPTIONS, *PLUGIN_SETTINGS.values())
        for name, entry in table.items()
        if isinstance(entry, Elsewhere)
    ],
)
def test_what_another_test_shows_is_shown_there(name, entry):
    module, _, test = entry.test.partition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(f"tests.{module}"), test)
    assert (entry.word or name) in inspect.getsource(found)


@pytest.mark.parametrize(
    ("kind", "name"), [place for place in ALL if isinstance(PLUGIN_SETTINGS[place[0]][place[1]], OnGpu)]
)
def test_a_setting_for_a_gpu_is_read_by_its_class(kind, name):
    assert any(f"self.{name}" in inspect.getsource(base) for base in KINDS[kind].__mro__ if base is not object)


@pytest.mark.parametrize("kind", ["ImagesAPI", "Server"])
def test_the_key_of_a_server_is_read_from_the_named_variable(kind, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "a-key-of-the-test")
    plugin = made(kind, key_variable="OTHER_KEY", base_url="http://127.0.0.1:9/v1")
    with contextlib.suppress(UsageError):  # nothing answers there
        plugin.load(World())
    assert plugin._endpoint.client.api_key == "a-key-of-the-test"
