"""Text encoded beforehand gives the same edits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from PIL import Image

from editbench.editors import QwenImageEdit
from editbench.editors.ahead import TextAhead
from editbench.models.checkpoints import locate
from editbench.models.one_frame import one_frame
from editbench.process.world import World
from editbench.records import Pair

SOURCE = Image.effect_noise((512, 384), 80).convert("RGB")


@pytest.fixture(scope="module")
def demo():
    pipeline = QwenImageEditPipeline.from_pretrained(locate("editbench:demo/editor"), dtype=torch.float32)
    one_frame(pipeline.vae)
    return pipeline


@pytest.mark.parametrize("kind", [QwenImageEditPipeline, QwenImageEditPlusPipeline])
def test_both_pipelines_make_the_same_edit_of_what_was_encoded_beforehand(demo, kind):
    pipeline = kind(**demo.components)
    pipeline.set_progress_bar_config(disable=True)

    def edit(**prompts):
        call = {"num_inference_steps": 1, "true_cfg_scale": 2.0, "generator": torch.Generator().manual_seed(0)}
        return np.asarray(pipeline(**{"image": SOURCE} | call | prompts).images[0])

    ahead = TextAhead(pipeline)
    ahead.encode("a", SOURCE, "Remove the ball.", " ")
    expected = edit(prompt="Remove the ball.", negative_prompt=" ")
    assert np.array_equal(edit(**{"image": SOURCE} | ahead.take("a")), expected)
    assert ahead.take("a") == {}


def test_an_editor_takes_what_another_thread_prepared_for_the_pair_and_makes_the_same_picture_of_it():
    editor = QwenImageEdit(model="editbench:demo/editor", dtype="float32", num_inference_steps=1, true_cfg_scale=1.0)
    editor.load(World())
    pairs = [Pair(pair_id=name, category="causal", instruction=name * 3, source_sha256="s") for name in "ab"]
    expected = [editor.edit(pair, SOURCE, 1).tobytes() for pair in pairs]
    editor._ahead, editor._is_fast = TextAhead(editor._pipeline), True
    with ThreadPoolExecutor(1) as pool:
        pool.submit(torch.set_num_threads, 1).result()
        pool.submit(editor.prepare, pairs[1], SOURCE).result()
    assert [editor.edit(pair, SOURCE, 1).tobytes() for pair in pairs] == expected
