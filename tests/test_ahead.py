"""One source or several, encoded beforehand or in line: the same edits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from PIL import Image

from editbench.editors import Diffusers, QwenImageEdit, QwenImageEditPlus
from editbench.editors.ahead import TextAhead
from editbench.models.checkpoints import locate
from editbench.models.one_frame import one_frame
from editbench.process.world import World
from editbench.records import Pair, Picture

SOURCE = Image.effect_noise((512, 384), 80).convert("RGB")
TALL = Image.effect_noise((300, 600), 80).convert("RGB")
DEMO = "editbench:demo/editor"


@pytest.fixture(scope="module")
def demo():
    pipeline = QwenImageEditPipeline.from_pretrained(locate("editbench:demo/editor"), dtype=torch.float32)
    one_frame(pipeline.vae)
    return pipeline


@pytest.mark.parametrize(
    ("kind", "sources"),
    [
        (QwenImageEditPipeline, [SOURCE]),
        (QwenImageEditPlusPipeline, [SOURCE]),
        (QwenImageEditPlusPipeline, [SOURCE, TALL]),
    ],
)
def test_both_pipelines_make_the_same_edit_of_what_was_encoded_beforehand(demo, kind, sources):
    pipeline = kind(**demo.components)
    pipeline.set_progress_bar_config(disable=True)

    def edit(**prompts):
        call = {"num_inference_steps": 1, "true_cfg_scale": 2.0, "generator": torch.Generator().manual_seed(0)}
        shown = sources[0] if len(sources) == 1 else sources
        return np.asarray(pipeline(**{"image": shown} | call | prompts).images[0])

    ahead = TextAhead(pipeline)
    ahead.encode(sources, "Remove the ball.", " ")
    expected = edit(prompt="Remove the ball.", negative_prompt=" ")
    taken = ahead.take(sources, "Remove the ball.", " ")
    assert taken["prompt_embeds"].shape[0] == 1
    assert np.array_equal(edit(**taken), expected)
    for other in (
        (sources, "Remove the cat.", " "),
        (sources, "Remove the ball.", None),
        ([TALL], "Remove the ball.", " "),
    ):
        assert ahead.take(*other) == {}


def test_what_nobody_takes_is_dropped_in_time(demo):
    ahead = TextAhead(demo)
    for number in range(6):
        ahead.encode([SOURCE], f"Remove {number} balls.", None)
    kept = [bool(ahead.take([SOURCE], f"Remove {number} balls.", None)) for number in range(6)]
    assert kept == [False, False, True, True, True, True]


def pair(instruction: str, num_sources: int = 1) -> Pair:
    sources = tuple(Picture(sha256=str(number)) for number in range(num_sources))
    return Pair(pair_id="a", instruction=instruction, sources=sources)


def test_an_editor_takes_what_another_thread_prepared_and_makes_the_same_picture_of_it():
    editor = QwenImageEdit(model=DEMO, dtype="float32", num_inference_steps=1, true_cfg_scale=1.0)
    editor.load(World())
    pairs = [pair(name * 3) for name in "ab"]
    expected = [editor.edit(one, [SOURCE], 1).image.tobytes() for one in pairs]
    editor._ahead, editor._is_fast = TextAhead(editor._pipeline), True
    with ThreadPoolExecutor(1) as pool:
        pool.submit(torch.set_num_threads, 1).result()
        pool.submit(editor.prepare, pairs[1], [SOURCE]).result()
    assert [editor.edit(one, [SOURCE], 1).image.tobytes() for one in pairs] == expected


def test_an_edit_of_two_sources_depends_on_both_and_has_the_shape_of_the_last():
    editor = QwenImageEditPlus(model=DEMO, dtype="float32", num_inference_steps=1, true_cfg_scale=1.0)
    editor.load(World())
    assert editor.max_sources == 3
    both, turned, alone = (
        editor.edit(pair("Put them together.", len(sources)), sources, 1).image
        for sources in ([SOURCE, TALL], [TALL, SOURCE], [TALL])
    )
    assert both.height > both.width
    assert turned.width > turned.height
    assert both.size == alone.size
    assert both.tobytes() != alone.tobytes()


def test_special_tokens_of_an_instruction_become_spaces_and_the_prompt_is_recorded():
    editor = QwenImageEdit(model=DEMO, dtype="float32", num_inference_steps=1, true_cfg_scale=1.0)
    editor.load(World())
    hostile, plain = pair("Add a<|image_pad|>hat that reads <3."), pair("Add a hat that reads <3.")
    made, expected = editor.edit(hostile, [SOURCE], 1), editor.edit(plain, [SOURCE], 1)
    assert made.prompt == plain.instruction
    assert expected.prompt is None
    assert made.image.tobytes() == expected.image.tobytes()


@pytest.mark.parametrize(
    ("pipeline", "most"),
    [
        ("FluxKontextPipeline", 1),
        ("StableDiffusionInstructPix2PixPipeline", 1),
        ("QwenImageEditPlusPipeline", None),
        ("Flux2Pipeline", None),
        ("Flux2KleinPipeline", None),
    ],
)
def test_whether_a_pipeline_takes_several_pictures_is_read_from_its_signature(pipeline, most):
    assert Diffusers(model=DEMO, pipeline=pipeline).max_sources == most


def test_without_a_named_pipeline_the_checkpoint_says_how_many_sources_it_takes():
    assert Diffusers(model=DEMO).max_sources == 1
