"""Tiny models of the real classes, untrained: `python -m editbench.demo.training.models` writes them beside this file.

Sizes follow from one thread of a laptop's CPU: six levels in the autoencoder make each token 64 pixels wide, so the
pipeline's fixed megapixel is 256 tokens.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from editbench.demo.training.tokens import MARKERS, VOCABULARY_SIZE, train_tokenizer

EDITOR = Path(__file__).parents[1] / "editor"
JUDGE = Path(__file__).parents[1] / "judge"
LATENT_CHANNELS = 16
LEVELS = [1, 2, 4, 8, 8, 8]
TEXT_WIDTH = 192
JUDGE_PIXELS = 256
"""The side of what the judge sees, pixels."""
JUDGE_PATCH = 16
ENCODER_PIXELS = 56
"""The side of what the editor's text encoder sees, pixels: four tokens."""
CHAT_TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>{{ message.role }}\n"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' or 'image' in part -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif 'text' in part -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}<|im_end|>\n"
    "{% endfor -%}{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
).replace("\n{%-", "{{ '\\n' }}{%-")


def token_ids(tokenizer: Any) -> dict[str, int]:
    """The markers' ids under the names that a config has for them."""
    end, start, finish, image, video = (tokenizer.convert_tokens_to_ids(MARKERS[i]) for i in (2, 3, 4, 5, 6))
    return {
        "eos_token_id": end,
        "image_token_id": image,
        "video_token_id": video,
        "vision_start_token_id": start,
        "vision_end_token_id": finish,
    }


def build_vae() -> Any:
    """Autoencoder of 32 × 32 pixels into 16 numbers."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=LATENT_CHANNELS,
        dim_mult=LEVELS,
        num_res_blocks=1,
        temperal_downsample=[False] * (len(LEVELS) - 1),
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
    )


def build_transformer() -> Any:
    """The denoiser: six blocks of six heads."""
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=4 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=6,
        attention_head_dim=32,
        num_attention_heads=6,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(8, 12, 12),
    )


def build_text_encoder(tokenizer: Any) -> Any:
    """The instruction's encoder; its eye is shut, because the picture reaches the denoiser through the autoencoder.

    The vision tower's last layer is zero, so training needs no pictures here and equals the pipeline exactly.
    """
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    ids = token_ids(tokenizer)
    end = ids.pop("eos_token_id")
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY_SIZE,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 2 * TEXT_WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": TEXT_WIDTH // 32,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": rope,
            "bos_token_id": None,
            "eos_token_id": end,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": TEXT_WIDTH,
            "fullatt_block_indexes": [0],
        },
        tie_word_embeddings=True,
        **ids,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    last = model.model.visual.merger.mlp[2]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    return model


def build_judge(tokenizer: Any) -> Any:
    """The judge: 64 tokens a picture."""
    from transformers import GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    ids = token_ids(tokenizer)
    end = ids.pop("eos_token_id")
    # a low base tells neighbouring cells of a picture apart, as comparing two of them needs; prompts are short
    rope = {"rope_type": "default", "rope_theta": 20.0, "mrope_interleaved": True, "mrope_section": [6, 5, 5]}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": VOCABULARY_SIZE,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_parameters": rope,
            "bos_token_id": None,
            "eos_token_id": end,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "num_heads": 4,
            "intermediate_size": 384,
            "patch_size": JUDGE_PATCH,
            "out_hidden_size": 192,
            "deepstack_visual_indexes": [1],
            "num_position_embeddings": (JUDGE_PIXELS // JUDGE_PATCH) ** 2,
        },
        tie_word_embeddings=True,
        **ids,
    )
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=tokenizer.pad_token_id, do_sample=False)
    return model


def build_processor(tokenizer: Any, *, judge: bool) -> Any:
    """The processor of either model; every picture comes out at one fixed number of pixels."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    side = JUDGE_PIXELS if judge else ENCODER_PIXELS
    size = {"shortest_edge": side * side, "longest_edge": side * side}
    if judge:
        half = [0.5, 0.5, 0.5]
        image = Qwen2VLImageProcessor(size=size, patch_size=JUDGE_PATCH, merge_size=2, image_mean=half, image_std=half)
        return Qwen3VLProcessor(image, tokenizer, Qwen3VLVideoProcessor(), chat_template=CHAT_TEMPLATE)
    image = Qwen2VLImageProcessor(size=size)
    return Qwen2VLProcessor(image, tokenizer, Qwen2VLVideoProcessor(), chat_template=CHAT_TEMPLATE)


def build_pipeline(tokenizer: Any) -> Any:
    """The editor's pipeline, untrained, float32."""
    from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageEditPipeline

    return QwenImageEditPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=build_vae(),
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        processor=build_processor(tokenizer, judge=False),
        transformer=build_transformer(),
    )


def save(pipeline: Any, judge: Any, editor_to: Path = EDITOR, judge_to: Path = JUDGE) -> None:
    """Write either model's folder, weights in bf16; None leaves that folder alone."""
    import torch

    if pipeline is not None:
        pipeline.to(torch.bfloat16).save_pretrained(editor_to)
    if judge is not None:
        judge.to(torch.bfloat16).save_pretrained(judge_to)
        build_processor(train_tokenizer(), judge=True).save_pretrained(judge_to)


def export(folder: Path, editor_to: Path = EDITOR, judge_to: Path = JUDGE) -> None:
    """Write the weights that training left in that folder as two models, each as far as it is finished."""
    import torch

    def finished(model: Any, name: str) -> None:
        model.load_state_dict(torch.load(folder / f"{name}.weights.pt", map_location="cpu", weights_only=True))

    tokenizer = train_tokenizer()
    if (folder / "transformer.weights.pt").exists():
        pipeline = build_pipeline(tokenizer)
        finished(pipeline.vae, "vae")
        finished(pipeline.transformer, "transformer")
        finished(pipeline.text_encoder, "text")
        save(pipeline, None, editor_to, judge_to)
    if (folder / "judge.weights.pt").exists():
        judge = build_judge(tokenizer)
        finished(judge, "judge")
        save(None, judge, editor_to, judge_to)


def unpack(folder: Path) -> None:
    """Write the shipped weights as training reads them: the finished autoencoder, and where the others begin."""
    import torch
    from diffusers import QwenImageEditPipeline
    from transformers import Qwen3VLForConditionalGeneration

    pipeline: Any = QwenImageEditPipeline.from_pretrained(str(EDITOR), torch_dtype=torch.bfloat16)
    judge = Qwen3VLForConditionalGeneration.from_pretrained(JUDGE, dtype=torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        "vae.weights": pipeline.vae,
        "transformer.start": pipeline.transformer,
        "text.start": pipeline.text_encoder,
        "judge.start": judge,
    }
    for name, model in named.items():
        torch.save(model.state_dict(), folder / f"{name}.pt")


def main() -> None:
    """Write both models' folders with random weights."""
    import torch

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--editor_to", type=Path, default=EDITOR, help="folder of the editor")
    parser.add_argument("--judge_to", type=Path, default=JUDGE, help="folder of the judge")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    save(build_pipeline(tokenizer), build_judge(tokenizer), arguments.editor_to, arguments.judge_to)
    sys.stdout.write(f"untrained models in {arguments.editor_to} and {arguments.judge_to}\n")


if __name__ == "__main__":
    main()
