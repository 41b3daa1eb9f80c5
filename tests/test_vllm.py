"""vLLM in process: the prompts of `QwenVL` token for token, and where vLLM is installed its replies."""

import math
import os
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageDraw

from editbench.errors import UsageError
from editbench.judges import VLLM, Message, QwenVL
from editbench.judges.vllm import _environment, completed
from editbench.models.checkpoints import locate
from editbench.process.world import World

MODEL = {"model": "editbench:demo/judge", "dtype": "float32", "max_new_tokens": 5}
DIGITS = tuple("0123456789")


def picture(color: str, size: tuple[int, int]) -> Image.Image:
    drawn = Image.new("RGB", size, "white")
    ImageDraw.Draw(drawn).ellipse((40, 40, 140, 140), fill=color)
    return drawn


def questions() -> list[Message]:
    pair = picture("red", (256, 256)), picture("blue", (256, 256))
    other = picture("green", (200, 330)), picture("green", (320, 200))
    return [
        Message(system="Rate the edit.", content=(*pair, "Instruction: Turn it blue."), max_pixels=(256 * 256,) * 2),
        Message(system="Rate the light.", content=(*pair, "Instruction: Turn it blue."), max_pixels=(256 * 256,) * 2),
        Message(content=("Before:", other[0], "after:", other[1], "Remove it."), max_pixels=(192 * 192, None)),
        Message(system="Rate the edit.", content=("There are no pictures.",)),
    ]


def processor():
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(locate(MODEL["model"]))


def stock() -> QwenVL:
    from transformers import AutoModelForImageTextToText

    judge = QwenVL(**MODEL)
    judge.adopt(
        AutoModelForImageTextToText.from_pretrained(locate(MODEL["model"]), dtype=torch.float32).eval(), processor()
    )
    return judge


def test_prompts_are_those_of_qwen_vl_token_for_token():
    ours, theirs = VLLM(**MODEL), stock()
    ours._take_processor(processor())
    for message in questions():
        asked = theirs.prepare(message)
        image = theirs._model.config.image_token_id
        sizes = iter([math.prod(size) // 4 for size in asked.prompt.sizes])
        expanded = [token for one in ours.tokens(asked) for token in ([one] * next(sizes) if one == image else [one])]
        assert expanded == asked.prompt.ids.tolist()
        assert next(sizes, None) is None


def test_without_vllm_the_launch_ends_before_anything_loads_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr("editbench.judges.vllm.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"vLLM is not installed: pip install -e '\.\[vllm\]'"):
        VLLM(**MODEL).check()


def test_its_scores_are_kept_apart_from_those_of_the_same_model_by_transformers():
    assert (QwenVL(**MODEL).name, VLLM(**MODEL).name) == ("demo-judge", "demo-judge-vllm")
    here, there = QwenVL(**MODEL).identity(), VLLM(**MODEL).identity()
    assert there == here | {"vllm": there["vllm"]}


def test_settings_that_give_no_reply_are_refused():
    with pytest.raises(UsageError, match="max_new_tokens is 0"):
        VLLM(max_new_tokens=0)
    with pytest.raises(UsageError, match="temperature is 0"):
        VLLM(temperature=0)
    with pytest.raises(UsageError, match="engine: trust_remote_code is not for tuning"):
        VLLM(engine={"trust_remote_code": True})


def test_an_engine_uses_the_gpus_of_its_rank_and_the_users_arguments_win(monkeypatch):
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: ((70 if gpu == 2 else 72) * gib, 80 * gib))
    world = World(rank=1, size=2, local_rank=1, local_size=2)
    world.__dict__["gpus"] = (2, 3)
    given = VLLM(**MODEL, engine={"max_model_len": 4096})._arguments("here", world)
    assert (given["device_ids"], given["tensor_parallel_size"]) == ([2, 3], 2)
    assert given["gpu_memory_utilization"] == pytest.approx(0.9 * 70 / 80)
    assert given["max_model_len"] == 4096
    world.__dict__["gpus"] = ()
    assert "device_ids" not in VLLM(**MODEL)._arguments("here", world)


def test_the_launchers_variables_are_hidden_while_the_engine_is_built(monkeypatch):
    monkeypatch.setattr(
        os, "environ", {"RANK": "3", "TORCHELASTIC_USE_AGENT_STORE": "True", "VLLM_LOGGING_LEVEL": "INFO"}
    )
    with _environment():
        assert not {"RANK", "TORCHELASTIC_USE_AGENT_STORE"} & os.environ.keys()
        assert os.environ["VLLM_LOGGING_LEVEL"] == "INFO"  # the user's own
    assert (os.environ["RANK"], os.environ["TORCHELASTIC_USE_AGENT_STORE"]) == ("3", "True")
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


def test_a_config_says_what_vllm_reads_from_it():
    text = SimpleNamespace(num_experts=8)
    config = SimpleNamespace(model_type="qwen3_vl_moe", tie_word_embeddings=False, get_text_config=lambda: text)
    assert completed(config) is config
    assert (text.norm_topk_prob, text.tie_word_embeddings) == (True, False)
    other = SimpleNamespace(model_type="llava")
    assert vars(completed(other)) == {"model_type": "llava"}


@pytest.fixture(scope="module")
def judges():
    """The demo's judge by both engines, loaded as a launch loads them."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    fast, slow = VLLM(**MODEL, engine={"enforce_eager": True, "max_model_len": 4096}), QwenVL(**MODEL, compiled=False)
    slow.load(World())
    fast.load(World())
    return fast, slow


@pytest.mark.gpu
def test_the_engine_reads_the_tokens_that_qwen_vl_reads(judges):
    fast, slow = judges
    for message in questions():
        assert fast.prepare(message).prompt["prompt_token_ids"] == slow.prepare(message).prompt.ids.tolist()


@pytest.mark.gpu
def test_the_engine_replies_as_qwen_vl_does(judges):
    fast, slow = judges
    theirs = slow.replies([slow.prepare(message) for message in questions()])
    asked = [fast.prepare(message) for message in questions()]
    assert fast.replies(asked) == theirs
    assert [fast.replies([one])[0] for one in asked] == theirs


@pytest.mark.gpu
def test_the_engine_gives_the_probabilities_that_qwen_vl_gives(judges):
    fast, slow = judges
    asked = [replace(message, digits=DIGITS) for message in questions()]
    ours = fast.probabilities([fast.prepare(message) for message in asked])
    theirs = slow.probabilities([slow.prepare(message) for message in asked])
    assert [reply.text for reply in ours] == [reply.text for reply in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-2)  # 0.005 was seen on an H200


@pytest.mark.gpu
def test_samples_follow_their_seeds(judges):
    fast, _ = judges
    asked = [fast.prepare(message) for message in questions()]
    together = fast.samples(asked, [[1, 2, 3], [4], [5, 6], [7]])
    assert [len(of_one) for of_one in together] == [3, 1, 2, 1]
    assert fast.samples(asked, [[1, 2, 3], [4], [5, 6], [7]]) == together
    many = fast.samples(asked[:1], [list(range(20))])[0]
    assert len({reply.text for reply in many}) > 1


@pytest.mark.gpu
def test_a_prompt_that_is_too_long_is_refused_and_the_next_one_is_answered(judges):
    fast, _ = judges
    fine = fast.prepare(questions()[0])
    with pytest.raises(ValueError, match="maximum context length is 4096"):
        fast.prepare(replace(questions()[3], content=("word " * 5000,)))
    assert len(fast.replies([fine])) == 1
