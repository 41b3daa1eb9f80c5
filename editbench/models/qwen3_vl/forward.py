"""Qwen3-VL's forward for judging: each prompt prefilled alone, then all replies decoded as one batch.

A prompt that is prefilled alone needs no padding and no mask, so its logits are the same in any batch. The batch begins
at decoding, whose every step reads the weights once for all replies. The text before the first picture is the rubric's
and the same in many prompts: it is prefilled by itself and its keys and values are kept in a prefix cache. A prefix is
never prefilled together with the rest, so that a hit and a miss give the same bits.

Beside the stock model: positions and picture grids are computed ahead on the CPU; pictures of equal size share one
attention call; the experts stay `grouped_mm` while decoding, where `generate` copies eight of them a token; on a GPU
prefill is compiled and each decoding step is one CUDA graph. The figures of each: `editbench/bench/judge.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from editbench.models.qwen3_vl.kv_cache import KVCache

_COLUMNS = 256  # the KV cache's length is a multiple, so that one CUDA graph serves prompts of different lengths
_PREFIX_BYTES = (
    2 * 2**30
)  # 21,800 tokens of Qwen3-VL-30B-A3B in bfloat16: the detailed rubric's ten prefixes take 7,500


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A question in tensors, on the CPU."""

    ids: Any
    """(length,) token ids."""
    positions: Any
    """(3, length): position of each token in time, height and width."""
    pixels: Any
    """(patches, values of a patch), the pictures concatenated; None without pictures."""
    sizes: tuple[tuple[int, int], ...]
    """Patches in height and width, of each picture."""


class Qwen3VL:
    """A loaded `Qwen3VLForConditionalGeneration` or `Qwen3VLMoeForConditionalGeneration`, whole on one device."""

    @staticmethod
    def takes(model: Any) -> bool:
        """Whether the model is one of these, and not spread over several GPUs."""
        kind = getattr(model.config, "model_type", "")
        return kind in ("qwen3_vl", "qwen3_vl_moe") and len({weight.device for weight in model.parameters()}) == 1

    def __init__(
        self, model: Any, *, compiled: bool = True, graphs: bool = True, prefix_bytes: int | None = _PREFIX_BYTES
    ):
        """Wrap the model; the weights are shared.

        Args:
            model: in evaluation mode.
            compiled: compile prefill with Inductor; on a GPU only.
            graphs: replay each decoding step as a CUDA graph; on a GPU only.
            prefix_bytes: memory of the prefix cache at most, the least recently used prefix leaves first; a prefix
                that alone is larger is not kept. None: prompts are prefilled in one piece.
        """
        import torch

        self._model, self._visual, self._text = model, model.model.visual, model.model.language_model
        self._device = model.device
        on_gpu = self._device.type == "cuda"
        self._graphs = graphs and on_gpu
        pieces: tuple[Any, ...] = (_qkv, _output_and_mlp, _vision_qkv, _vision_output_and_mlp)
        if compiled and on_gpu:  # one compilation a piece serves every layer and every length
            pieces = tuple(torch.compile(piece, dynamic=True) for piece in pieces)
        self._qkv, self._output_and_mlp, self._vision_qkv, self._vision_output_and_mlp = pieces
        self._grids: dict[tuple[tuple[int, int], ...], tuple[Any, Any, Any, Any]] = {}
        self._cache: KVCache | None = None
        self._prefix_bytes = prefix_bytes
        self._prefixes: dict[tuple[int, ...], list[tuple[Any, Any]]] = {}  # by token ids; the last one used stands last

    def prompt(self, inputs: Any) -> Prompt:
        """Turn a processor's output for one question, on the CPU, into a prompt; may run in a thread."""
        ids, grids = inputs["input_ids"], inputs.get("image_grid_thw")
        positions, _ = self._model.model.get_rope_index(
            ids, mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=grids
        )
        pixels = None if grids is None else inputs["pixel_values"].to(self._visual.dtype)
        if pixels is not None and self._device.type == "cuda":
            pixels = pixels.pin_memory()  # or the copy would wait for all work queued on the GPU
        return Prompt(
            ids=ids[0],
            positions=positions[:, 0],
            pixels=pixels,
            sizes=() if grids is None else tuple((rows, columns) for _, rows, columns in grids.tolist()),
        )

    @property
    def prefix_bytes(self) -> int:
        """Memory that the prefix cache takes at most."""
        return self._prefix_bytes or 0

    @property
    def token_bytes(self) -> int:
        """Memory of one token's keys and values."""
        text = self._text.config
        return 2 * text.num_key_value_heads * text.head_dim * text.num_hidden_layers * self._model.dtype.itemsize

    def row_bytes(self, num_columns: int) -> int:
        """Memory of one reply's keys and values, for a prompt and reply of so many tokens together."""
        return self.token_bytes * -(-num_columns // _COLUMNS) * _COLUMNS

    def free(self) -> None:
        """Give back the memory of the KV cache and the prefix cache."""
        self._cache = None
        self._prefixes.clear()

    def logits(self, prompts: Sequence[Prompt]) -> Any:
        """The next token's logits of each prompt, (prompts, vocabulary)."""
        import torch

        with torch.inference_mode():
            return torch.cat([self._prefill(prompt, None, 0, 0) for prompt in prompts])

    def write(
        self,
        prompts: Sequence[Prompt],
        num_replies: Sequence[int],
        choose: Callable[[Any, int], Any],
        ended: Callable[[list[int]], bool],
        max_new_tokens: int,
    ) -> list[list[int]]:
        """Generate replies to the prompts, with the token that ends each.

        Args:
            prompts: prefilled one by one.
            num_replies: how many replies each prompt gets; they share its prefill.
            choose: picks each reply's next token from (replies, vocabulary) logits and the number of tokens before it.
            ended: whether the tokens so far are a whole reply.
            max_new_tokens: at most so many a reply, 1 or more.

        Returns:
            A list of tokens a reply, in the order of the prompts.

        """
        import torch

        with torch.inference_mode():
            longest = max(len(prompt.ids) for prompt in prompts)
            cache = self._kv_cache(sum(num_replies), longest + max_new_tokens)
            cache.mask.fill_(False)
            first: list[Any] = []
            for prompt, number in zip(prompts, num_replies, strict=True):
                row, start = len(first), longest - len(prompt.ids)
                logits = self._prefill(prompt, cache, row, start)
                cache.copy(row, number, start, longest)
                cache.mask[row : row + number, :, :, start:longest] = True
                cache.positions[row : row + number] = int(prompt.positions.max()) + 1
                first += [logits] * number
            return self._decode(cache, torch.cat(first), longest, choose, ended, max_new_tokens)

    def _decode(self, cache: KVCache, logits: Any, at: int, choose: Any, ended: Any, max_new_tokens: int) -> Any:
        replies: list[list[int]] = [[] for _ in logits]
        going = set(range(len(replies)))
        cache.at.fill_(at)
        for step in range(max_new_tokens):
            tokens = choose(logits, step)
            for row, token in enumerate(tokens.tolist()):
                if row in going:
                    replies[row].append(token)
                    if ended(replies[row]):
                        going.remove(row)
            if not going or step + 1 == max_new_tokens:
                break
            cache.tokens[: len(replies)] = tokens
            logits = self._next(cache)[: len(replies)]
        return replies

    def _kv_cache(self, num_rows: int, num_columns: int) -> KVCache:
        """A cache of this size or larger: the last one where it fits."""
        columns = -(-num_columns // _COLUMNS) * _COLUMNS
        held = self._cache
        # half of the rows idle would cost more than a new cache, and a batch was halved because there was no room
        if held is None or not num_rows <= held.num_rows < 2 * num_rows or held.num_columns < columns:
            held = self._cache = None  # or the old and the new would stand in memory together
            held = KVCache(self._text.config, num_rows, columns, self._model)
            if self._graphs:
                held.capture(self._step)
            self._cache = held
        return held

    def _prefill(self, prompt: Prompt, cache: KVCache | None, row: int, start: int) -> Any:
        """The logits after a prompt, (1, vocabulary); its keys and values go to a row of the cache from `start` on."""
        where = (prompt.ids == self._model.config.image_token_id).nonzero()[:, 0]
        begin = int(where[0]) if self._prefix_bytes is not None and len(where) else 0
        prefix = self._prefix(prompt, begin) if begin else []
        where = (where - begin).to(self._device, non_blocking=True)
        pictures, deepstack = self._vision_tower(prompt) if prompt.sizes else (None, [])
        hidden = self._embed(prompt.ids[begin:])
        if pictures is not None:
            hidden = hidden.index_copy(1, where, pictures[None].to(hidden.dtype))
        rotary = self._rotary(hidden, prompt.positions[:, begin:])
        for number, layer in enumerate(self._text.layers):
            before = prefix[number] if prefix else None
            hidden, keys, values = self._layer(layer, hidden, rotary, before)
            if cache is not None:
                cache.keys[number][row, :, start : start + keys.shape[2]] = keys[0]
                cache.values[number][row, :, start : start + keys.shape[2]] = values[0]
            if number < len(deepstack):
                hidden = hidden.index_add(1, where, deepstack[number][None].to(hidden.dtype))
        return self._model.lm_head(self._text.norm(hidden[:, -1])).float()

    def _prefix(self, prompt: Prompt, end: int) -> list[tuple[Any, Any]]:
        """Each layer's keys and values of the text up to `end`, where the first picture begins.

        They depend on the tokens alone: text has the positions 0, 1, 2, … and attends to nothing after it.
        """
        ids = prompt.ids[:end]
        name = tuple(ids.tolist())
        kept = self._prefixes.pop(name, None)
        if kept is None:
            kept = []
            hidden = self._embed(ids)
            rotary = self._rotary(hidden, prompt.positions[:, :end])
            for layer in self._text.layers:
                hidden, keys, values = self._layer(layer, hidden, rotary, None)
                kept.append((keys, values))
        num_tokens = self.prefix_bytes // self.token_bytes - end
        if num_tokens < 0:
            return kept
        while sum(map(len, self._prefixes)) > num_tokens:
            del self._prefixes[next(iter(self._prefixes))]
        self._prefixes[name] = kept
        return kept

    def _embed(self, ids: Any) -> Any:
        return self._text.embed_tokens(ids.to(self._device, non_blocking=True))[None]

    def _rotary(self, hidden: Any, positions: Any) -> Any:
        """The rotary embedding's cosines and sines."""
        return self._text.rotary_emb(hidden, positions[:, None].to(self._device, non_blocking=True))

    def _layer(self, layer: Any, hidden: Any, rotary: Any, before: tuple[Any, Any] | None) -> tuple[Any, Any, Any]:
        """A layer's output for tokens after a prefix, and the keys and values of both."""
        import torch

        query, keys, values = self._qkv(layer, hidden, rotary)
        num_before = 0
        if before is not None:
            num_before = before[0].shape[2]
            keys, values = torch.cat((before[0], keys), 2), torch.cat((before[1], values), 2)
            # zeros in place of the prefix's queries: the plain causal kernels take a square only
            query = torch.nn.functional.pad(query, (0, 0, num_before, 0))
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, keys, values, is_causal=True, enable_gqa=True
        )
        # through [0] and back: other strides would compile `_output_and_mlp` a second time
        attended = attended.transpose(1, 2).flatten(2)[0, num_before:][None]
        return self._output_and_mlp(layer, hidden, attended), keys, values

    def _next(self, cache: KVCache) -> Any:
        if cache.graph is None:
            return self._step(cache)
        cache.graph.replay()
        return cache.logits

    def _step(self, cache: KVCache) -> Any:
        """Decode one token of every row; the logits after it. Nothing here waits for the GPU."""
        import torch

        cache.mask.index_fill_(3, cache.at, True)
        hidden = self._text.embed_tokens(cache.tokens)[:, None]
        rotary = self._text.rotary_emb(hidden, cache.positions.view(1, -1, 1).expand(3, -1, -1))
        for number, layer in enumerate(self._text.layers):
            query, keys, values = _qkv(layer, hidden, rotary)
            cache.keys[number].index_copy_(2, cache.at, keys)
            cache.values[number].index_copy_(2, cache.at, values)
            # query heads that share keys become rows of one query, so no key is copied
            grouped = query.unflatten(1, (keys.shape[1], -1)).squeeze(3)
            attended = torch.nn.functional.scaled_dot_product_attention(
                grouped, cache.keys[number], cache.values[number], attn_mask=cache.mask
            )
            hidden = _output_and_mlp(layer, hidden, attended.flatten(1)[:, None])
        cache.at += 1
        cache.positions += 1
        return self._model.lm_head(self._text.norm(hidden[:, -1])).float()

    def _vision_tower(self, prompt: Prompt) -> tuple[Any, list[Any]]:
        """The pictures' tokens, (tokens, width), and the DeepStack features that the first text layers add."""
        visual = self._visual
        taps, weights, cos, sin = self._grid(prompt.sizes)
        hidden = visual.patch_embed(prompt.pixels.to(self._device, non_blocking=True))
        hidden = hidden + (visual.pos_embed(taps) * weights[:, :, None]).sum(1).to(hidden.dtype)
        lengths = [rows * columns for rows, columns in prompt.sizes]
        deepstack: list[Any] = []
        for number, block in enumerate(visual.blocks):
            query, keys, values = self._vision_qkv(block, hidden, cos, sin)
            hidden = self._vision_output_and_mlp(block, hidden, _attend(query, keys, values, lengths))
            if number in visual.deepstack_visual_indexes:
                merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(number)]
                deepstack.append(merger(hidden))
        return visual.merger(hidden), deepstack

    def _grid(self, sizes: tuple[tuple[int, int], ...]) -> tuple[Any, Any, Any, Any]:
        """Taps and weights of the interpolated position embedding, and rotary cosines and sines."""
        import torch
        from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

        if sizes not in self._grids:
            visual = self._visual
            grids = torch.tensor([(1, *size) for size in sizes])
            taps, weights = get_vision_interpolation_indices_and_weights(
                grids,
                num_grid_per_side=visual.num_grid_per_side,
                mode=visual.interpolation_mode,
                align_corners=visual.interpolation_align_corners,
                spatial_merge_size=visual.spatial_merge_size,
            )
            at = get_vision_position_ids(grids, visual.spatial_merge_size).to(self._device)
            weights = weights.to(self._device)
            cos, sin = (part[:, None].float() for part in visual.rotary_pos_emb(weights, at))
            self._grids[sizes] = (taps.to(self._device), weights, cos, sin)
        return self._grids[sizes]


def _qkv(layer: Any, hidden: Any, rotary: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values, (rows, heads, length, head width), the first two with their rotary embedding."""
    attention = layer.self_attn
    x = layer.input_layernorm(hidden)
    shape = (*x.shape[:2], -1, attention.head_dim)
    query = attention.q_norm(attention.q_proj(x).view(shape)).transpose(1, 2)
    keys = attention.k_norm(attention.k_proj(x).view(shape)).transpose(1, 2)
    values = attention.v_proj(x).view(shape).transpose(1, 2)
    cos, sin = (part[:, None] for part in rotary)
    return query * cos + _rotate_half(query) * sin, keys * cos + _rotate_half(keys) * sin, values


def _output_and_mlp(layer: Any, hidden: Any, attended: Any) -> Any:
    """The rest of a layer after attention, whose output is (rows, length, heads * head width)."""
    hidden = hidden + layer.self_attn.o_proj(attended)
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def _vision_qkv(block: Any, hidden: Any, cos: Any, sin: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values of a block of the vision tower, (patches, heads, head width)."""
    attention = block.attn
    query, keys, values = attention.qkv(block.norm1(hidden)).unflatten(-1, (3, attention.num_heads, -1)).unbind(1)
    query, keys = ((x.float() * cos + _rotate_half(x.float()) * sin).to(x.dtype) for x in (query, keys))
    return query, keys, values


def _attend(query: Any, keys: Any, values: Any, lengths: list[int]) -> Any:
    """Attention within each picture, (patches, width); pictures of one size are one batch."""
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention
    if len(set(lengths)) == 1:
        parts = [tuple(x.unflatten(0, (len(lengths), -1)).transpose(1, 2) for x in (query, keys, values))]
    else:
        split = zip(*(x.split(lengths) for x in (query, keys, values)), strict=True)
        parts = [tuple(x[None].transpose(1, 2) for x in part) for part in split]
    return torch.cat([attend(*part).transpose(1, 2).flatten(2).flatten(0, 1) for part in parts])


def _vision_output_and_mlp(block: Any, hidden: Any, attended: Any) -> Any:
    hidden = hidden + block.attn.proj(attended)
    return hidden + block.mlp(block.norm2(hidden))


def _rotate_half(x: Any) -> Any:
    import torch

    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)
