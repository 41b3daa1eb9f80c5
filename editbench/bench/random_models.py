"""Qwen-Image-Edit at its real size with random weights, or the demo's pipeline for a rehearsal: no hub needed."""

from typing import Any

import torch

from editbench.models.checkpoints import locate

_DEMO = locate("editbench:demo/editor")
# of Qwen2.5-VL-7B, where the demo's own text encoder differs from it
_LANGUAGE = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "layer_types": ["full_attention"] * 28,
    "max_position_embeddings": 128000,
    "rope_parameters": {"mrope_section": [16, 24, 24], "rope_theta": 1e6, "rope_type": "default"},
}
_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
_SCHEDULER: dict[str, Any] = {
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "max_image_seq_len": 8192,
    "shift_terminal": 0.02,
}


def build(cls: Any, device: str, dtype: torch.dtype, **settings: Any) -> Any:
    """A diffusers model of these settings, made on the device, its matrices drawn anew from a small normal."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = cls(**settings)
    finally:
        torch.set_default_dtype(before)
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.02)
    return model


def transformer(device: str, *, small: bool, **settings: Any) -> Any:
    """The denoiser: 60 blocks in bfloat16, or the demo's sizes in float32."""
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel as Model

    config: Any = Model.load_config(f"{_DEMO}/transformer") if small else {}
    settings = {name: value for name, value in config.items() if not name.startswith("_")} | settings
    return build(Model, device, torch.float32 if small else torch.bfloat16, **settings)


def pipeline(model: Any, *, small: bool) -> Any:
    """The whole pipeline around a denoiser; its other parts are the demo's or of the real size."""
    from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit import QwenImageEditPipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    if small:
        demo: Any = QwenImageEditPipeline.from_pretrained(_DEMO, transformer=model, dtype=model.dtype)
        demo.set_progress_bar_config(disable=True)
        return demo
    from transformers import AutoConfig, AutoProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    config: Any = AutoConfig.from_pretrained(f"{_DEMO}/text_encoder")
    for part, settings in ((config.text_config, _LANGUAGE), (config.vision_config, _VISION)):
        for name, value in settings.items():
            setattr(part, name, value)
    config.tie_word_embeddings = False
    processor: Any = AutoProcessor.from_pretrained(f"{_DEMO}/processor")
    processor.image_processor.size = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16384}  # the model's own
    device = str(model.device)
    made: Any = QwenImageEditPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**_SCHEDULER),
        vae=build(AutoencoderKLQwenImage, device, model.dtype),
        text_encoder=build(Qwen2_5_VLForConditionalGeneration, device, model.dtype, config=config),
        tokenizer=AutoTokenizer.from_pretrained(f"{_DEMO}/tokenizer"),
        processor=processor,
        transformer=model,
    )
    made.set_progress_bar_config(disable=True)
    return made
