"""The named lossy modes and the choice of what stays on the GPU, on small real models."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel

from editbench.editors import Diffusers, QwenImageEdit, lossy
from editbench.editors.offload import choose, component_bytes, in_a_line
from editbench.errors import UsageError
from editbench.models.checkpoints import locate
from editbench.process.world import World

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
    two = QwenImageEdit(lora=["a/few.safetensors", "a/style.safetensors"], lora_weights=[1.0, 0.5])
    assert two.modes == ("LoRA few.safetensors and style.safetensors at 0.5, 50 steps",)
    four_bits = {"quant_backend": "bitsandbytes_4bit", "quant_kwargs": {"bnb_4bit_quant_type": "nf4"}}
    words = "bitsandbytes_4bit weights of transformer (bnb_4bit_quant_type nf4)"
    assert QwenImageEdit(quantization_config=four_bits).modes == (words,)


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


def test_the_scheduler_s_settings_can_be_changed():
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02)
    pipeline = SimpleNamespace(scheduler=scheduler)
    lossy.reschedule(pipeline, {"shift_terminal": None, "max_shift": 1.1})
    config = pipeline.scheduler.config
    assert (config.shift_terminal, config.max_shift, config.use_dynamic_shifting) == (None, 1.1, True)


def test_a_setting_that_the_scheduler_does_not_have_is_refused():
    pipeline = SimpleNamespace(scheduler=FlowMatchEulerDiscreteScheduler())
    with pytest.raises(UsageError, match=r"has no shfit; it has .*shift"):
        lossy.reschedule(pipeline, {"shfit": 3})


@pytest.mark.parametrize("apply", [lossy.hold_in_fp8, lambda pipeline: lossy.cache_first_block(pipeline, 0.1)])
def test_a_way_that_a_pipeline_without_transformer_cannot_go_is_refused(apply):
    with pytest.raises(UsageError, match="has no transformer"):
        apply(SimpleNamespace(unet=torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"call": {"num_inference_steps": 4}}, "num_inference_steps is set by the editor"),
        ({"call": {"true_cfg_scale": 1.0}}, "true_cfg_scale is set by the editor"),
        ({"call": {"sigmas": [1.0, 0.5]}}, "2 steps, num_inference_steps is 50"),
        ({"true_cfg_scale": 1.0, "negative_prompt": "blurred"}, "negative_prompt is not used"),
        ({"call": {"strenght": 0.5}}, "takes no strenght"),
        ({"revision": "abc"}, "has no revision abc"),
        ({"fp8_weights": True, "quantization_config": {"quant_backend": "gguf"}}, "use one of them"),
        ({"quantization_config": {"quant_backend": "int3"}}, "must be one of bitsandbytes_4bit"),
        ({"quantization_config": {"quant_backend": "gguf", "bits": 3}}, "bits is unknown"),
        ({"lora": "a/b/c.safetensors", "lora_weights": [1.0, 2.0]}, "2 numbers for 1 LoRAs"),
        ({"lora": "a/b/c.safetensors", "lora_weights": [0.0]}, "does nothing"),
    ],
)
def test_a_setting_that_would_be_accepted_and_not_used_is_refused_before_anything_is_loaded(settings, said):
    with pytest.raises(UsageError, match=said):
        QwenImageEdit(**{"model": str(DEMO)} | settings).check()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"true_cfg_scale": 4.0}, "left out by QwenImageEditPipeline without a negative_prompt"),
        ({"negative_prompt": "blurred", "true_cfg_scale": 1.0}, "left out by QwenImageEditPipeline at"),
    ],
)
def test_guidance_that_the_pipeline_would_leave_out_is_refused(call, said):
    with pytest.raises(UsageError, match=said):
        Diffusers(model=str(DEMO), call=call).check()
    Diffusers(model=str(DEMO), call={"true_cfg_scale": 4.0, "negative_prompt": " "}).check()


def test_a_guidance_scale_that_is_not_in_the_model_is_refused_once_it_is_loaded():
    with pytest.raises(UsageError, match="guidance is not distilled into it"):
        QwenImageEdit(model=str(DEMO), dtype="float32", call={"guidance_scale": 3.0}).load(World())


@pytest.mark.parametrize("package", ["bitsandbytes", "gguf", "torchao"])
def test_quantization_without_its_package_is_refused_before_anything_is_loaded(package, monkeypatch):
    monkeypatch.setattr("editbench.editors.quantization.find_spec", lambda name: None)
    backend = package + "_4bit" * (package == "bitsandbytes")
    with pytest.raises(UsageError, match=f"needs {package}"):
        QwenImageEdit(model=str(DEMO), quantization_config={"quant_backend": backend}).check()


def test_sizes_are_read_from_the_checkpoint_without_its_weights():
    sizes = component_bytes(DEMO, 2)
    assert set(sizes) == {"text_encoder", "transformer", "vae"}
    assert sizes["transformer"] == 2 * denoiser().num_parameters()


def test_what_stays_on_the_gpu_follows_from_what_is_free():
    real = {"transformer": 38 * GIB, "text_encoder": 15 * GIB, "vae": GIB // 4}
    chosen = [choose(real, gib * GIB) for gib in (139, 79, 47, 44, 39, 23)]
    assert chosen == ["none", "none", "model", "model", "group", "group"]
    assert "38.0" in in_a_line("group", real, 23 * GIB)
    assert "much slower" in in_a_line("group", real, 23 * GIB)
    with pytest.raises(UsageError, match="free"):
        choose(real, 2 * GIB)
