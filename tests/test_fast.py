"""The fast denoiser against the stock one: the same sums, in another order."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageEditPipeline, QwenImageTransformer2DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from editbench.models.checkpoints import locate
from editbench.models.one_frame import one_frame
from editbench.models.qwen_image import reachable_timesteps, reference, speed_up, why_not
from editbench.models.qwen_image.attention import by_torch, choose
from editbench.models.qwen_image.denoiser import Denoiser
from editbench.models.qwen_image.modulation import Live, Table
from editbench.models.qwen_image.pipeline import attention_for

ROOT = os.path.dirname(os.path.dirname(__file__))
ROUNDING = 1e-5  # float32's own, over two blocks: 24 bits and some hundred additions in another order


def tiny(*, zero_cond_t: bool = False) -> QwenImageTransformer2DModel:
    torch.manual_seed(0)
    model = QwenImageTransformer2DModel(
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=24,
        axes_dims_rope=(4, 6, 6),
        zero_cond_t=zero_cond_t,
    )
    for name, parameter in model.named_parameters():
        mean = 1.0 if "norm" in name and parameter.ndim == 1 and not name.endswith("bias") else 0.0
        parameter.data.normal_(mean, 0.3)
    return model.eval().requires_grad_(False)


def inputs(
    height: int, width: int, num_text: int, *, shown: list[tuple[int, int]] | None = None, batch: int = 1, seed: int = 0
) -> dict:
    """Of a picture in the making, and of the shown ones: one of the same shape where no shapes are given."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(1, height, width), *((1, *shape) for shape in ([(height, width)] if shown is None else shown))]
    return {
        "hidden_states": torch.randn(batch, sum(map(math.prod, shapes)), 64, generator=draw),
        "encoder_hidden_states": torch.randn(batch, num_text, 24, generator=draw),
        "timestep": torch.full((batch,), 0.5),
        "img_shapes": [shapes] * batch,
        "return_dict": False,
    }


def stock(model: QwenImageTransformer2DModel, **given) -> torch.Tensor:
    """What the pipelines read of the stock output: the picture to come, without the shown ones."""
    _, height, width = given["img_shapes"][0][0]
    return model(**given)[0][:, : height * width]


def distance(x: torch.Tensor, expected: torch.Tensor) -> float:
    return ((x.float() - expected.float()).norm() / expected.float().norm()).item()


SIDE = st.integers(1, 7)


@settings(max_examples=40, deadline=None)
@given(
    height=SIDE,
    width=SIDE,
    num_text=st.integers(1, 20),
    shown=st.lists(st.tuples(SIDE, SIDE), max_size=4),
    zero_cond_t=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_fast_denoiser_gives_what_the_stock_one_gives_for_any_number_of_pictures_of_any_shapes(
    height, width, num_text, shown, zero_cond_t, seed
):
    model = tiny(zero_cond_t=zero_cond_t)
    given = inputs(height, width, num_text, shown=shown, seed=seed)
    assert distance(Denoiser(model, Live(model), reference)(**given)[0], stock(model, **given)) < ROUNDING


def test_several_pictures_and_padded_text_are_served_one_by_one_without_a_mask():
    model = tiny()
    given = inputs(4, 3, 9, batch=3)
    mask = torch.ones(3, 9, dtype=torch.bool)
    mask[1, 5:] = mask[2, 2:4] = False
    expected = stock(model, **given, encoder_hidden_states_mask=mask)
    found = Denoiser(model, Live(model), reference)(**given, encoder_hidden_states_mask=mask)[0]
    assert distance(found, expected) < ROUNDING


def test_in_bfloat16_it_is_no_further_from_float32_than_the_stock_denoiser_is():
    exact = tiny()
    given = inputs(6, 6, 12)
    expected = stock(exact, **given)
    model = tiny().to(torch.bfloat16)
    rounded = {name: x.bfloat16() if isinstance(x, torch.Tensor) else x for name, x in given.items()}
    by_stock = stock(model, **rounded)
    fast = Denoiser(model, Live(model), reference)(**rounded)[0]
    assert distance(fast, expected) <= 1.1 * distance(by_stock, expected)


@pytest.mark.parametrize("zero_cond_t", [False, True])
def test_the_table_stands_in_for_the_weights_that_it_frees(zero_cond_t):
    model, given = tiny(zero_cond_t=zero_cond_t), inputs(3, 5, 4)
    expected = stock(model, **given)
    before = model.num_parameters()
    table = Table(model, torch.tensor([1.0, 0.5, 0.25, 0.5]))
    assert before - model.num_parameters() == 2 * 2 * (6 * 48 * 48 + 6 * 48)  # blocks × streams × one linear layer
    assert table.num_bytes == 4 * (3 * (2 * 2 * 6 * 48 + 2 * 48) + (2 * 2 * 6 * 48 if zero_cond_t else 0))
    assert distance(Denoiser(model, table, reference)(**given)[0], expected) < ROUNDING
    unknown = Denoiser(model, table, reference)(**given | {"timestep": torch.tensor([0.3])})[0]
    assert unknown.isnan().all()  # never the vectors of another timestep


def demo(**scheduler) -> QwenImageEditPipeline:
    pipeline = QwenImageEditPipeline.from_pretrained(locate("editbench:demo/editor"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    one_frame(pipeline.vae)
    config = pipeline.scheduler.config
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(config, **scheduler)
    return pipeline


def test_every_timestep_that_a_pipeline_asks_for_is_known_beforehand():
    real = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 0.9, "shift_terminal": 0.02}
    pipeline = demo(**real, max_image_seq_len=8192)
    known = set(reachable_timesteps(pipeline, 3, {}).tolist())
    asked: set[float] = set()

    def listen(timestep, hidden_states, **_):
        asked.update(timestep.tolist())
        return (hidden_states * 0,)

    pipeline.transformer.forward = listen
    pipeline.vae.decode = lambda latents, return_dict: (torch.zeros(1, 3, 1, 8, 8),)
    for size in ((1472, 1104), (300, 300), (97, 1300)):
        pipeline(image=Image.new("RGB", size), prompt="a", num_inference_steps=3, true_cfg_scale=1.0)
    assert len(asked) > 3  # the schedule does depend on the shape
    assert asked <= known


def test_whole_edits_of_the_demo_are_the_same_with_the_fast_denoiser():
    torch.set_num_threads(1)
    noise = np.random.default_rng(0).integers(0, 256, (320, 256, 3), dtype=np.uint8)
    source = Image.fromarray(noise).resize((768, 960))

    def edits(pipeline: QwenImageEditPipeline) -> np.ndarray:
        generator = torch.Generator().manual_seed(3)
        call = {"num_inference_steps": 3, "true_cfg_scale": 2.0, "negative_prompt": " ", "generator": generator}
        return np.asarray(pipeline(image=source, prompt="Remove the red ball.", **call).images[0], dtype=float)

    expected = edits(demo())
    pipeline = demo()
    speed_up(pipeline, 3, {})
    assert isinstance(pipeline.transformer.forward, Denoiser)
    error = np.square(edits(pipeline) - expected).mean()
    assert error < 255**2 / 10**6  # a PSNR of 60 dB: less than a level of 256 in every tenth value


def test_the_fast_path_says_where_it_does_not_belong():
    pipeline = demo()
    assert why_not(pipeline) is None
    pipeline.transformer.register_to_config(guidance_embeds=True)
    assert "guidance_embeds" in why_not(pipeline)
    assert "float16" in why_not(demo().to(torch.float16))
    assert "QwenImageEditPlusPipeline" in why_not(object())


def check_kernels(device: str) -> None:
    """Triton's kernels against their definition, over spans, heads that fill no block, and both types."""
    from editbench.models.qwen_image import kernels

    torch.manual_seed(0)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):  # bfloat16: one rounding, 2**-8
        for ends in ((4, 13), (4, 9, 13), (1, 13)):
            rows, change = torch.randn(2, 13, 48, device=device).to(dtype)
            vectors = torch.randn(len(ends), 6, 48, device=device).to(dtype).transpose(0, 1)
            found, expected = rows.clone(), rows.clone()
            x = kernels.gate_modulate(found, change, *vectors[:3], ends, 1e-6)
            y = reference.gate_modulate(expected, change, *vectors[:3], ends, 1e-6)
            assert distance(x, y) < tolerance
            assert distance(found, expected) < tolerance
            last = vectors[3][:1].expand(len(ends), -1)
            x, y = (module.modulate(rows, last, vectors[4], ends, 1e-6) for module in (kernels, reference))
            assert distance(x, y) < tolerance
        heads = torch.randn(2, 13, 11, 16, device=device).to(dtype)
        weights = torch.randn(2, 2, 16, device=device).to(dtype)
        cos, sin = torch.randn(2, 13, 8, device=device)
        found, expected = heads.clone(), heads.clone()
        kernels.rotate(*found, weights, cos, sin, 4, 1e-6)
        reference.rotate(*expected, weights, cos, sin, 4, 1e-6)
        assert distance(found, expected) < tolerance


def test_the_kernels_compute_what_they_are_defined_by_in_tritons_interpreter():
    pytest.importorskip("triton")
    code = "from tests.test_fast import check_kernels; check_kernels('cpu')"
    env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=ROOT)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_kernels_compute_what_they_are_defined_by_on_a_gpu():
    check_kernels("cuda")


def test_without_a_gpu_the_attention_is_torchs_and_says_why():
    found = choose(torch.device("cpu"), torch.bfloat16, 3, 16)
    assert (found.attend, found.name) == (by_torch, "torch")
    assert found.reason == "it needs a GPU, not cpu"


def test_every_block_uses_the_attention_that_is_given():
    model, given, seen = tiny(), inputs(4, 3, 9), []

    def attend(query, key, value):
        seen.append((len(query), len(key)))
        return by_torch(query, key, value)

    found = Denoiser(model, Live(model), reference, attend=attend)(**given)[0]
    assert seen == [(33, 33), (12, 33)]  # of the last block only the picture to come
    assert distance(found, stock(model, **given)) < ROUNDING


def wide(device: str) -> QwenImageTransformer2DModel:
    """Two blocks with the real model's heads of 128."""
    torch.manual_seed(0)
    model = QwenImageTransformer2DModel(
        num_layers=2, attention_head_dim=128, num_attention_heads=3, joint_attention_dim=24, axes_dims_rope=(16, 56, 56)
    )
    for name, parameter in model.named_parameters():
        mean = 1.0 if "norm" in name and parameter.ndim == 1 and not name.endswith("bias") else 0.0
        parameter.data.normal_(mean, 0.05)
    return model.eval().requires_grad_(False).to(device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_with_flash_attention_4_the_fast_denoiser_is_no_further_from_float32_than_the_stock_one():
    from editbench.models.qwen_image import kernels

    exact, model = wide("cuda"), wide("cuda").to(torch.bfloat16)
    attention = attention_for(model)
    if attention.reason is not None:
        pytest.skip(attention.reason)
    for height, width, num_text in ((24, 24, 130), (7, 31, 5), (40, 22, 64)):
        given = {k: x.cuda() if isinstance(x, torch.Tensor) else x for k, x in inputs(height, width, num_text).items()}
        rounded = {name: x.bfloat16() if isinstance(x, torch.Tensor) else x for name, x in given.items()}
        expected, by_stock = stock(exact, **given), stock(model, **rounded)
        fast = Denoiser(model, Live(model), kernels, attend=attention.attend)
        found = fast(**rounded)[0]
        assert distance(found, expected) <= 1.1 * distance(by_stock, expected)
        assert torch.equal(fast(**rounded)[0], found)
