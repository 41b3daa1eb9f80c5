"""The named lossy modes and the choice of what stays on the GPU, on small real models."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageEditPipeline, QwenImageTransformer2DModel
from safetensors.torch import save_file

from editbench.editors import QwenImageEdit, lossy
from editbench.editors.offload import choose, component_bytes, told
from editbench.errors import UsageError
from editbench.models.checkpoints import locate

GIB = 2**30
DEMO = Path(locate("editbench:demo/editor"))


def denoiser() -> QwenImageTransformer2DModel:
    model = QwenImageTransformer2DModel.from_pretrained(DEMO, subfolder="transformer", dtype=torch.float32)
    return model.requires_grad_(False)


def forward(model: QwenImageTransformer2DModel, timestep: float) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    with model.cache_context("cond"):
        return model(
            hidden_states=torch.randn(1, 32, 64, generator=draw),
            encoder_hidden_states=torch.randn(1, 5, 192, generator=draw),
            timestep=torch.tensor([timestep]),
            img_shapes=[[(1, 4, 4), (1, 4, 4)]],
            return_dict=False,
        )[0]


def test_an_edit_s_record_names_every_lossy_setting_and_no_other():
    assert QwenImageEdit().modes == ()
    every = QwenImageEdit(lora="a/few.safetensors", num_inference_steps=4, first_block_cache=0.1, fp8_weights=True)
    assert every.modes == ("LoRA few.safetensors, 4 steps", "first-block cache at 0.1", "FP8 weights")


def test_the_first_block_cache_skips_the_other_blocks_of_a_step_that_is_like_the_last():
    model, plain = denoiser(), denoiser()
    lossy.cache_first_block(SimpleNamespace(transformer=model), 0.5)
    calls: list[int] = []
    model.transformer_blocks[-1].attn.register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(forward(model, 0.5), forward(plain, 0.5))
    forward(model, 0.49)
    assert len(calls) == 1


def test_fp8_weights_take_less_memory_and_give_nearly_the_same():
    model, plain = denoiser(), denoiser()
    before = sum(part.nbytes for part in model.parameters())
    lossy.hold_in_fp8(SimpleNamespace(transformer=model))
    assert sum(part.nbytes for part in model.parameters()) < 0.3 * before
    expected = forward(plain, 0.5)
    error = (forward(model, 0.5) - expected).norm() / expected.norm()
    assert 0 < error < 0.2


def test_a_lora_is_added_to_the_weights_for_good(tmp_path):
    pytest.importorskip("peft")
    pipeline = QwenImageEditPipeline.from_pretrained(DEMO, dtype=torch.float32)
    layer = pipeline.transformer.transformer_blocks[1].attn.to_q
    before = layer.weight.clone()
    down, up = torch.randn(2, before.shape[1]), torch.randn(before.shape[0], 2)
    name = "transformer.transformer_blocks.1.attn.to_q.lora_"
    file = tmp_path / "few.safetensors"
    save_file({f"{name}A.weight": down, f"{name}B.weight": up}, file)
    lossy.check_lora(str(file))
    lossy.fuse_lora(pipeline, str(file))
    after = pipeline.transformer.transformer_blocks[1].attn.to_q
    assert type(after) is torch.nn.Linear
    assert torch.allclose(after.weight, before + up @ down, atol=1e-4)


@pytest.mark.parametrize("lora", ["./gone.safetensors", "gone.safetensors", "owner/name"])
def test_a_lora_that_cannot_be_found_is_told_before_anything_is_loaded(lora):
    with pytest.raises(UsageError, match="lora"):
        QwenImageEdit(model=str(DEMO), lora=lora).check()


def test_the_scheduler_s_settings_can_be_changed():
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02)
    pipeline = SimpleNamespace(scheduler=scheduler)
    lossy.reschedule(pipeline, {"shift_terminal": None, "max_shift": 1.1})
    config = pipeline.scheduler.config
    assert (config.shift_terminal, config.max_shift, config.use_dynamic_shifting) == (None, 1.1, True)


def test_sizes_are_read_from_the_checkpoint_without_its_weights():
    sizes = component_bytes(DEMO, 2)
    assert set(sizes) == {"text_encoder", "transformer", "vae"}
    assert sizes["transformer"] == 2 * denoiser().num_parameters()


def test_what_stays_on_the_gpu_follows_from_what_is_free():
    real = {"transformer": 38 * GIB, "text_encoder": 15 * GIB, "vae": GIB // 4}
    chosen = [choose(real, gib * GIB) for gib in (139, 79, 47, 44, 39, 23)]
    assert chosen == ["none", "none", "model", "model", "group", "group"]
    assert "38.0" in told("group", real, 23 * GIB)
    assert "much slower" in told("group", real, 23 * GIB)
    with pytest.raises(UsageError, match="free"):
        choose(real, 2 * GIB)
