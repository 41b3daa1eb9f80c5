"""Qwen3-VL's forward for judging: each prompt read alone, then all replies written together.

A prompt that is read alone needs no padding and no mask, so what the judge makes of it is the same in any batch; the
batch begins where it pays, at the replies, whose every step reads the weights once for all of them. What stands before
the first picture is the rubric's, the same in many prompts: it is read by itself, before the rest and never with it, so
that it makes no difference to a prompt whether its opening was read for it or for an earlier one. Beside the stock
model: positions and picture grids are worked out ahead on the CPU, where they cost no wait for the GPU; equal pictures
share one attention; the experts stay `grouped_mm` while writing, where `generate` copies eight a token; and on a GPU
the reading is compiled and each step of the writing is one CUDA graph. The figures of each: `editbench/bench/judge.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from editbench.models.qwen3_vl.kv_cache import Slots

_COLUMNS = 256  # the cache's length grows by so many, so that one graph serves prompts of different lengths
_OPENINGS = 10  # kept: the detailed rubric has one for each of five aspects, with a rationale and without


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A question in tensors, on the CPU."""

    ids: Any
    """(length,) tokens."""
    positions: Any
    """(3, length): where each stands in time, height and width."""
    pixels: Any
    """(patches, values of a patch), all pictures after one another."""
    sizes: tuple[tuple[int, int], ...]
    """Of each picture: patches in height and width."""


class Qwen3VL:
    """A loaded `Qwen3VLForConditionalGeneration` or `Qwen3VLMoeForConditionalGeneration`, whole on one device."""

    @staticmethod
    def takes(model: Any) -> bool:
        """Whether the model is one of these, and not spread over several GPUs."""
        kind = getattr(model.config, "model_type", "")
        return kind in ("qwen3_vl", "qwen3_vl_moe") and len({weight.device for weight in model.parameters()}) == 1

    def __init__(self, model: Any, *, compiled: bool = True, graphs: bool = True, openings: int = _OPENINGS):
        """Wrap the model; the weights are shared.

        Args:
            model: in evaluation mode.
            compiled: while reading prompts, let Inductor fuse what stands between the large products; on a GPU only.
            graphs: while writing, replay each step as a CUDA graph; on a GPU only.
            openings: whose keys and values are kept, at most so many; with 0 prompts are read in one piece.

        """
        import torch

        self._model, self._visual, self._words = model, model.model.visual, model.model.language_model
        self._device = model.device
        on_gpu = self._device.type == "cuda"
        self._graphs = graphs and on_gpu
        pieces: tuple[Any, ...] = (_heads, _after, _picture_heads, _picture_after)
        if compiled and on_gpu:  # one compilation a piece serves every layer and every length
            pieces = tuple(torch.compile(piece, dynamic=True) for piece in pieces)
        self._heads, self._after, self._picture_heads, self._picture_after = pieces
        self._grids: dict[tuple[tuple[int, int], ...], tuple[Any, Any, Any, Any]] = {}
        self._slots: Slots | None = None
        self._num_openings = openings
        self._openings: dict[tuple[int, ...], list[tuple[Any, Any]]] = {}  # the last one used stands last

    def prompt(self, inputs: Any) -> Prompt:
        """What a processor made of one question, on the CPU, as `logits` and `write` take it; may run in a thread."""
        ids, grids = inputs["input_ids"], inputs.get("image_grid_thw")
        positions, _ = self._model.model.get_rope_index(
            ids, mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=grids
        )
        pixels = None if grids is None else inputs["pixel_values"].to(self._visual.dtype)
        if pixels is not None and self._device.type == "cuda":
            pixels = pixels.pin_memory()  # or their way to the GPU would wait there for all that was asked of it before
        return Prompt(
            ids=ids[0],
            positions=positions[:, 0],
            pixels=pixels,
            sizes=() if grids is None else tuple((rows, columns) for _, rows, columns in grids.tolist()),
        )

    def row_bytes(self, num_columns: int) -> int:
        """Memory that a reply's keys and values take, for a prompt and reply of so many tokens together."""
        text = self._words.config
        heads: int = text.num_key_value_heads * text.head_dim * text.num_hidden_layers
        return 2 * heads * self._model.dtype.itemsize * -(-num_columns // _COLUMNS) * _COLUMNS

    def openings_bytes(self, num_tokens: int) -> int:
        """Memory that the kept openings take at most, of so many tokens each."""
        return self._num_openings * self.row_bytes(num_tokens)

    def logits(self, prompts: Sequence[Prompt]) -> Any:
        """The next token's logits of each prompt, (prompts, vocabulary)."""
        import torch

        with torch.inference_mode():
            return torch.cat([self._read(prompt, None, 0, 0) for prompt in prompts])

    def write(
        self,
        prompts: Sequence[Prompt],
        num_replies: Sequence[int],
        choose: Callable[[Any, int], Any],
        ended: Callable[[list[int]], bool],
        max_new_tokens: int,
    ) -> list[list[int]]:
        """Replies to the prompts, the ending token with them.

        Args:
            prompts: read one by one.
            num_replies: how many replies each is to get; they share the reading.
            choose: picks from (replies, vocabulary) logits and the number of tokens before each reply's next token.
            ended: whether the tokens so far are a whole reply.
            max_new_tokens: at most so many a reply, 1 or more.

        Returns:
            A list of tokens a reply, in the order of the prompts.

        """
        import torch

        with torch.inference_mode():
            longest = max(len(prompt.ids) for prompt in prompts)
            slots = self._room(sum(num_replies), longest + max_new_tokens)
            slots.mask.fill_(False)
            first: list[Any] = []
            for prompt, number in zip(prompts, num_replies, strict=True):
                row, start = len(first), longest - len(prompt.ids)
                logits = self._read(prompt, slots, row, start)
                slots.copy(row, number, start, longest)
                slots.mask[row : row + number, :, :, start:longest] = True
                slots.positions[row : row + number] = int(prompt.positions.max()) + 1
                first += [logits] * number
            return self._go_on(slots, torch.cat(first), longest, choose, ended, max_new_tokens)

    def _go_on(self, slots: Slots, logits: Any, at: int, choose: Any, ended: Any, max_new_tokens: int) -> Any:
        replies: list[list[int]] = [[] for _ in logits]
        going = set(range(len(replies)))
        slots.at.fill_(at)
        for step in range(max_new_tokens):
            tokens = choose(logits, step)
            for row, token in enumerate(tokens.tolist()):
                if row in going:
                    replies[row].append(token)
                    if ended(replies[row]):
                        going.remove(row)
            if not going or step + 1 == max_new_tokens:
                break
            slots.tokens[: len(replies)] = tokens
            logits = self._next(slots)[: len(replies)]
        return replies

    def _room(self, num_rows: int, num_columns: int) -> Slots:
        """Keys and values for so many, the last ones again where they have the room."""
        columns = -(-num_columns // _COLUMNS) * _COLUMNS
        held = self._slots
        # half of the rows idle would cost more than a new cache, and a batch was halved because there was no room
        if held is None or not num_rows <= held.num_rows < 2 * num_rows or held.num_columns < columns:
            held = self._slots = None  # or the old and the new would stand in memory together
            held = Slots(self._words.config, num_rows, columns, self._model)
            if self._graphs:
                held.capture(self._step)
            self._slots = held
        return held

    def _read(self, prompt: Prompt, slots: Slots | None, row: int, start: int) -> Any:
        """The logits after a prompt, (1, vocabulary); its keys and values into a row, from a column on."""
        where = (prompt.ids == self._model.config.image_token_id).nonzero()[:, 0]
        begin = int(where[0]) if self._num_openings and len(where) else 0
        opening = self._opening(prompt, begin) if begin else []
        where = (where - begin).to(self._device, non_blocking=True)
        pictures, deep = self._see(prompt) if prompt.sizes else (None, [])
        hidden = self._embed(prompt.ids[begin:])
        if pictures is not None:
            hidden = hidden.index_copy(1, where, pictures[None].to(hidden.dtype))
        turns = self._turns(hidden, prompt.positions[:, begin:])
        for number, layer in enumerate(self._words.layers):
            before = opening[number] if opening else None
            hidden, keys, values = self._layer(layer, hidden, turns, before)
            if slots is not None:
                slots.keys[number][row, :, start : start + keys.shape[2]] = keys[0]
                slots.values[number][row, :, start : start + keys.shape[2]] = values[0]
            if number < len(deep):
                hidden = hidden.index_add(1, where, deep[number][None].to(hidden.dtype))
        return self._model.lm_head(self._words.norm(hidden[:, -1])).float()

    def _opening(self, prompt: Prompt, end: int) -> list[tuple[Any, Any]]:
        """Each layer's keys and values of the text that ends there, where the first picture begins.

        They follow from the tokens: text stands at the positions 0, 1, 2, …, and sees nothing that comes later.
        """
        ids = prompt.ids[:end]
        name = tuple(ids.tolist())
        kept = self._openings.pop(name, None)
        if kept is None:
            if len(self._openings) == self._num_openings:
                del self._openings[next(iter(self._openings))]
            kept = []
            hidden = self._embed(ids)
            turns = self._turns(hidden, prompt.positions[:, :end])
            for layer in self._words.layers:
                hidden, keys, values = self._layer(layer, hidden, turns, None)
                kept.append((keys, values))
        self._openings[name] = kept
        return kept

    def _embed(self, ids: Any) -> Any:
        return self._words.embed_tokens(ids.to(self._device, non_blocking=True))[None]

    def _turns(self, hidden: Any, positions: Any) -> Any:
        return self._words.rotary_emb(hidden, positions[:, None].to(self._device, non_blocking=True))

    def _layer(self, layer: Any, hidden: Any, turns: Any, before: tuple[Any, Any] | None) -> tuple[Any, Any, Any]:
        """What a layer makes of tokens that see those before them, and all their keys and values."""
        import torch

        query, keys, values = self._heads(layer, hidden, turns)
        num_before = 0
        if before is not None:
            num_before = before[0].shape[2]
            keys, values = torch.cat((before[0], keys), 2), torch.cat((before[1], values), 2)
            # empty ones in place of the queries not asked: the plain causal kernels take a square only
            query = torch.nn.functional.pad(query, (0, 0, num_before, 0))
        seen = torch.nn.functional.scaled_dot_product_attention(query, keys, values, is_causal=True, enable_gqa=True)
        # through [0] and back: strides that tell of the part left out would compile another `_after`
        return self._after(layer, hidden, seen.transpose(1, 2).flatten(2)[0, num_before:][None]), keys, values

    def _next(self, slots: Slots) -> Any:
        if slots.graph is None:
            return self._step(slots)
        slots.graph.replay()
        return slots.logits

    def _step(self, slots: Slots) -> Any:
        """One token of every row, read and cached; the logits after it. Nothing here waits for the GPU."""
        import torch

        slots.mask.index_fill_(3, slots.at, True)
        hidden = self._words.embed_tokens(slots.tokens)[:, None]
        turns = self._words.rotary_emb(hidden, slots.positions.view(1, -1, 1).expand(3, -1, -1))
        for number, layer in enumerate(self._words.layers):
            query, keys, values = _heads(layer, hidden, turns)
            slots.keys[number].index_copy_(2, slots.at, keys)
            slots.values[number].index_copy_(2, slots.at, values)
            # the heads that share keys stand as rows of one query, so no key is copied eight times
            grouped = query.unflatten(1, (keys.shape[1], -1)).squeeze(3)
            seen = torch.nn.functional.scaled_dot_product_attention(
                grouped, slots.keys[number], slots.values[number], attn_mask=slots.mask
            )
            hidden = _after(layer, hidden, seen.flatten(1)[:, None])
        slots.at += 1
        slots.positions += 1
        return self._model.lm_head(self._words.norm(hidden[:, -1])).float()

    def _see(self, prompt: Prompt) -> tuple[Any, list[Any]]:
        """The pictures' tokens (tokens, width), and the ones that deeper layers add."""
        visual = self._visual
        taps, weights, cos, sin = self._grid(prompt.sizes)
        hidden = visual.patch_embed(prompt.pixels.to(self._device, non_blocking=True))
        hidden = hidden + (visual.pos_embed(taps) * weights[:, :, None]).sum(1).to(hidden.dtype)
        lengths = [rows * columns for rows, columns in prompt.sizes]
        deep: list[Any] = []
        for number, block in enumerate(visual.blocks):
            query, keys, values = self._picture_heads(block, hidden, cos, sin)
            hidden = self._picture_after(block, hidden, _attend(query, keys, values, lengths))
            if number in visual.deepstack_visual_indexes:
                merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(number)]
                deep.append(merger(hidden))
        return visual.merger(hidden), deep

    def _grid(self, sizes: tuple[tuple[int, int], ...]) -> tuple[Any, Any, Any, Any]:
        """For pictures of these sizes: the learnt positions' taps and weights, and the rotary turns."""
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
            cos, sin = (turn[:, None].float() for turn in visual.rotary_pos_emb(weights, at))
            self._grids[sizes] = (taps.to(self._device), weights, cos, sin)
        return self._grids[sizes]


def _heads(layer: Any, hidden: Any, turns: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values, (rows, heads, length, width of a head), the first two turned to their positions."""
    attention = layer.self_attn
    x = layer.input_layernorm(hidden)
    shape = (*x.shape[:2], -1, attention.head_dim)
    query = attention.q_norm(attention.q_proj(x).view(shape)).transpose(1, 2)
    keys = attention.k_norm(attention.k_proj(x).view(shape)).transpose(1, 2)
    values = attention.v_proj(x).view(shape).transpose(1, 2)
    cos, sin = (turn[:, None] for turn in turns)
    return query * cos + _half_turned(query) * sin, keys * cos + _half_turned(keys) * sin, values


def _after(layer: Any, hidden: Any, seen: Any) -> Any:
    """The rest of a layer, from what its heads have seen, (rows, length, heads * width of a head)."""
    hidden = hidden + layer.self_attn.o_proj(seen)
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def _picture_heads(block: Any, hidden: Any, cos: Any, sin: Any) -> tuple[Any, Any, Any]:
    """Of a block of the vision tower, (patches, heads, width of a head)."""
    attention = block.attn
    query, keys, values = attention.qkv(block.norm1(hidden)).unflatten(-1, (3, attention.num_heads, -1)).unbind(1)
    query, keys = ((x.float() * cos + _half_turned(x.float()) * sin).to(x.dtype) for x in (query, keys))
    return query, keys, values


def _attend(query: Any, keys: Any, values: Any, lengths: list[int]) -> Any:
    """Each picture sees itself, (patches, width); equal ones are one batch."""
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention
    if len(set(lengths)) == 1:
        parts = [tuple(x.unflatten(0, (len(lengths), -1)).transpose(1, 2) for x in (query, keys, values))]
    else:
        split = zip(*(x.split(lengths) for x in (query, keys, values)), strict=True)
        parts = [tuple(x[None].transpose(1, 2) for x in part) for part in split]
    return torch.cat([attend(*part).transpose(1, 2).flatten(2).flatten(0, 1) for part in parts])


def _picture_after(block: Any, hidden: Any, seen: Any) -> Any:
    hidden = hidden + block.attn.proj(seen)
    return hidden + block.mlp(block.norm2(hidden))


def _half_turned(x: Any) -> Any:
    import torch

    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)
