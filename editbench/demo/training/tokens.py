"""The demo's tokenizer: byte-level BPE with Qwen's own splitting and markers, learnt from the texts it will see.

The Qwen-Image pipelines cut their prompt template at token 64, which holds for Qwen's vocabulary: here the template
is among the texts, so that each of its words is one token too. Any other text splits into smaller pieces, down to
bytes, and comes back whole.
"""

from typing import Any

from editbench.demo.training.pairs import drawn_edit
from editbench.rubrics.chinese import CHINESE
from editbench.rubrics.english import ENGLISH

MARKERS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
VOCABULARY_SIZE = 2048
CUT = 64
"""Where the Qwen-Image edit pipelines cut their template, in tokens."""
TEMPLATE_PREFIX = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. Generate a new image "
    "that meets the user's requirements while maintaining consistency with the original input where "
    "appropriate.<|im_end|>\n<|im_start|>user\n"
)
"""What `QwenImageEditPipeline` writes before the picture and the instruction, and then cuts off."""
TEMPLATE_MIDDLE = "<|vision_start|><|image_pad|><|vision_end|>"
TEMPLATE_END = "<|im_end|>\n<|im_start|>assistant\n"


def texts(num_edits: int = 3000) -> list[str]:
    """What the tokenizer learns from: the grammar, the rubrics and the pipeline's template, in two languages."""
    found: list[str] = []
    for seed in range(num_edits):
        edit = drawn_edit(seed)
        found += [edit.en, edit.zh, edit.rationale_en, edit.rationale_zh]
    for wording in (ENGLISH, CHINESE):
        for category, aspect in wording.aspects.items():
            found += [wording.brief_system.format(short=aspect.short)] * 200
            found += [wording.system(category, num_sources=1, has_rationale=True)] * 3
        found += [wording.brief_instruction, wording.source_label, wording.edited_label] * 200
    plain = TEMPLATE_PREFIX
    for marker in MARKERS:
        plain = plain.replace(marker, "")
    return found + [plain, "assistant\n"] * 2000


def train_tokenizer() -> Any:
    """A `Qwen2Tokenizer` of the project's own."""
    import json

    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    learner = Tokenizer(BPE())
    learner.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    # Qwen's splitting takes a Chinese clause for one word: without this, whole clauses of the grammar become tokens
    characters = pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, characters, as_bytes])
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(MARKERS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts(), trainer)
    model = json.loads(learner.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=list(MARKERS[1:]),
        model_max_length=4096,
    )
