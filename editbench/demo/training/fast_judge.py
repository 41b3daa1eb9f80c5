"""The judge's forward for training, and the rubric's prompts in tokens, as the processor writes them."""

from typing import Any

from editbench.demo.training.bank import Bank
from editbench.demo.training.models import JUDGE_PATCH, JUDGE_PIXELS, token_ids
from editbench.records import Language, Pair, Picture
from editbench.rubrics import Brief
from editbench.rubrics.five_aspects import CATEGORIES

GRID = JUDGE_PIXELS // JUDGE_PATCH
NUM_TOKENS = (GRID // 2) ** 2
"""Of one picture."""
LANGUAGES: tuple[Language, ...] = ("en", "zh")
PICTURE = "<|vision_start|>" + "<|image_pad|>" * NUM_TOKENS + "<|vision_end|>"


def prompt_parts(category: int, language: Language, text: str) -> tuple[str, str]:
    """The rubric's prompt as text up to the second picture's end, and from there on."""
    sources = (Picture(sha256=""),)
    pair = Pair(pair_id="", category=CATEGORIES[category], instruction=text, sources=sources, language=language)
    (asked,) = Brief().calls(pair)
    body = "".join(part if isinstance(part, str) else PICTURE for part in asked.parts)
    before, after = body.rsplit("<|vision_end|>", 1)
    head = f"<|im_start|>system\n{asked.system}<|im_end|>\n<|im_start|>user\n{before}<|vision_end|>"
    return head, f"{after}<|im_end|>\n<|im_start|>assistant\n"


class FastJudge:
    """The judge's forward for equal pictures: one batched attention where the stock model loops over them."""

    def __init__(self, model: Any, tokenizer: Any, on: str) -> None:
        """Wrap a model of `build_judge`; the weights are shared."""
        import torch

        self.model, self.on = model, on
        self.image = token_ids(tokenizer)["image_token_id"]
        vision = model.config.vision_config
        half = vision.hidden_size // vision.num_heads // 2
        order = torch.arange(GRID * GRID).view(GRID // 2, 2, GRID // 2, 2).permute(0, 2, 1, 3).reshape(-1)
        self.order = order.to(on)
        frequencies = 1.0 / (10000.0 ** (torch.arange(0, half, 2, dtype=torch.float) / half))
        at = torch.stack([order // GRID, order % GRID], 1).float()
        turns = (at[:, :, None] * frequencies).flatten(1)
        turns = torch.cat([turns, turns], 1)[None, None].to(on)
        self.cos, self.sin = turns.cos(), turns.sin()

    def compile(self) -> None:
        """Compile what training spends its time in: the eyes for one number of pictures, the layers for any length."""
        import torch

        self.see = torch.compile(self.see)
        for layer in self.model.model.language_model.layers:
            layer.compile(dynamic=True)

    def see(self, pictures: Any) -> tuple[Any, list[Any]]:
        """Pictures, -1 to 1, to tokens (pictures, NUM_TOKENS, width), and the deep ones."""
        import torch.nn.functional as F

        visual = self.model.model.visual
        proj = visual.patch_embed.proj
        hidden = F.conv2d(pictures, proj.weight.sum(2), proj.bias, JUDGE_PATCH).flatten(2).transpose(1, 2)
        hidden = (hidden + visual.pos_embed.weight)[:, self.order]
        deep: list[Any] = []
        for number, block in enumerate(visual.blocks):
            hidden = hidden + self._attend(block.attn, block.norm1(hidden))
            hidden = hidden + block.mlp(block.norm2(hidden))
            if number in visual.deepstack_visual_indexes:
                merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(number)]
                deep.append(merger(hidden.flatten(0, 1)).view(len(pictures), NUM_TOKENS, -1))
        return visual.merger(hidden.flatten(0, 1)).view(len(pictures), NUM_TOKENS, -1), deep

    def _attend(self, attention: Any, hidden: Any) -> Any:
        import torch
        import torch.nn.functional as F

        qkv = attention.qkv(hidden).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)

        def turn(x: Any) -> Any:
            a, b = x.float().chunk(2, -1)
            return (x.float() * self.cos + torch.cat([-b, a], -1) * self.sin).to(x.dtype)

        out = F.scaled_dot_product_attention(turn(qkv[0]), turn(qkv[1]), qkv[2])
        return attention.proj(out.transpose(1, 2).flatten(2))

    def positions(self, ids: Any) -> Any:
        """Of one row of ids: (3, 1, length), pictures in rows and columns."""
        import torch

        found: list[Any] = []
        at, column, side = 0, 0, GRID // 2
        row: list[int] = ids.tolist()
        while column < len(row):
            if row[column] == self.image:
                grid = torch.arange(side)
                lines = torch.stack([torch.zeros(side, side).long(), *torch.meshgrid(grid, grid, indexing="ij")])
                found.append(lines.flatten(1) + at)
                column, at = column + NUM_TOKENS, at + side
            else:
                found.append(torch.full((3, 1), at))
                column, at = column + 1, at + 1
        return torch.cat(found, 1)[:, None].to(self.on)

    def read(self, ids: Any, tokens: Any, deep: list[Any]) -> Any:
        """Ids whose pictures stand at the same columns, and both pictures' tokens (2 × rows), to hidden states."""
        words = self.model.model.language_model
        columns = (ids[0] == self.image).nonzero()[:, 0]
        first, second = columns[:NUM_TOKENS], columns[NUM_TOKENS:]
        hidden = words.embed_tokens(ids).to(tokens.dtype)
        pairs = tokens.unflatten(0, (2, -1))
        hidden = hidden.index_copy(1, first, pairs[0]).index_copy(1, second, pairs[1])
        turns = words.rotary_emb(hidden, self.positions(ids[0]).expand(-1, len(ids), -1))
        for number, layer in enumerate(words.layers):
            hidden = layer(hidden, attention_mask=None, position_embeddings=turns)
            if number < len(deep):
                pairs = deep[number].unflatten(0, (2, -1)).to(hidden.dtype)
                hidden = hidden.index_add(1, first, pairs[0]).index_add(1, second, pairs[1])
        return words.norm(hidden)


class Asker:
    """Prompts of the rubric in tokens, a category and a language at a time, so that pictures stand at equal columns."""

    def __init__(self, data: Bank, tokenizer: Any, on: str) -> None:
        """Tokenize every instruction of the bank."""
        self.on, self.pad = on, tokenizer.pad_token_id
        self.heads: dict[tuple[int, Language], list[int]] = {}
        self.tails: dict[Language, list[list[int]]] = {}
        for language, texts in zip(LANGUAGES, (data.en, data.zh), strict=True):
            for category in range(len(CATEGORIES)):
                self.heads[category, language] = tokenizer(prompt_parts(category, language, "")[0])["input_ids"]
            tails = [prompt_parts(0, language, text)[1] for text in texts]
            self.tails[language] = tokenizer(tails)["input_ids"]
        self.digits = tokenizer.convert_tokens_to_ids([str(i) for i in range(10)])
        self.dot, self.end = tokenizer.convert_tokens_to_ids("."), tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.rows: list[list[int]] = [[] for _ in CATEGORIES]
        for row, category in enumerate(data.categories):
            self.rows[category].append(row)

    def ids(self, rows: list[int], category: int, language: Language, replies: list[list[int]]) -> tuple[Any, Any]:
        """Prompts with replies, padded on the right to a multiple of eight, and where each reply begins."""
        import torch

        head = self.heads[category, language]
        full = [[*head, *self.tails[language][row], *reply] for row, reply in zip(rows, replies, strict=True)]
        length = -(-max(map(len, full)) // 8) * 8
        starts = torch.tensor([len(line) - len(reply) for line, reply in zip(full, replies, strict=True)])
        padded = torch.tensor([line + [self.pad] * (length - len(line)) for line in full])
        return padded.to(self.on, non_blocking=True), starts.to(self.on, non_blocking=True)

    def reply(self, value: float) -> list[int]:
        """The tokens of a value with one decimal, and the end of the turn."""
        tenths = round(value * 10)
        return [self.digits[tenths // 10], self.dot, self.digits[tenths % 10], self.end]
