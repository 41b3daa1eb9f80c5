"""Part two: the denoiser and the instruction's encoder learn to edit, on latents that are made once."""

import itertools
import time
from pathlib import Path
from random import Random
from typing import Any

from editbench.demo.training import bank, train_vae
from editbench.demo.training.models import (
    ENCODER_PIXELS,
    LATENT_CHANNELS,
    build_text_encoder,
    build_transformer,
    token_ids,
)
from editbench.demo.training.painting import paint_fast, resize
from editbench.demo.training.pairs import EVALUATION_SEEDS
from editbench.demo.training.real_rope import real_rope
from editbench.demo.training.session import Session, device, mixed
from editbench.demo.training.tokens import CUT, TEMPLATE_END, TEMPLATE_MIDDLE, TEMPLATE_PREFIX, train_tokenizer
from editbench.demo.training.truth import SIDE, looks

EYE_TOKENS = (ENCODER_PIXELS // 28) ** 2
ENCODING_S = 110.0
"""The most of a call that goes into making latents, seconds."""
CHANGED_WEIGHT = 4.0
"""How much more a token counts that the edit changes."""


def pack(latents: Any) -> Any:
    """(pictures, channels, height, width) to (pictures, tokens, 4 channels), as the pipeline does."""
    n, c, h, w = latents.shape
    return latents.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w // 4, 4 * c)


def unpack(tokens: Any) -> Any:
    """The inverse of `pack`, for square pictures."""
    n, length, _ = tokens.shape
    side = round(length**0.5)
    latents = tokens.view(n, side, side, LATENT_CHANNELS, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return latents.reshape(n, LATENT_CHANNELS, 2 * side, 2 * side)


class Prompts:
    """Instructions as the pipeline's tokens, in groups of one length, because a batch must need no padding."""

    def __init__(self, texts: list[str], tokenizer: Any, on: str) -> None:
        """Tokenize the pipeline's whole prompt for each text."""
        import torch

        eye = TEMPLATE_MIDDLE.replace("<|image_pad|>", "<|image_pad|>" * EYE_TOKENS)
        self.ids = tokenizer([TEMPLATE_PREFIX + eye + text + TEMPLATE_END for text in texts])["input_ids"]
        self.on = on
        groups: dict[int, list[int]] = {}
        for row, ids in enumerate(self.ids):
            groups.setdefault(len(ids), []).append(row)
        self.groups = {length: torch.tensor(rows, device=on) for length, rows in groups.items()}
        self.tensors = {n: torch.tensor([self.ids[i] for i in rows], device=on) for n, rows in groups.items()}

    def draw(self, rng: Random, size: int) -> tuple[Any, Any]:
        """A batch of one length: the texts' rows and their ids, on the device."""
        import torch

        length = len(self.ids[rng.randrange(len(self.ids))])
        chosen = torch.randint(len(self.groups[length]), (size,), device=self.on)
        return self.groups[length][chosen], self.tensors[length][chosen]


class Encoder:
    """The text path of the pipeline, without the processor: its eye is shut, so the picture's tokens are zeros."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Wrap a text encoder of `build_text_encoder`."""
        self.model = model
        self.image = token_ids(tokenizer)["image_token_id"]

    def __call__(self, ids: Any) -> Any:
        """Ids of one length to embeddings, (texts, tokens behind the cut, width)."""
        # the pipeline hands over no `mm_token_type_ids`, so transformers counts positions plainly, pictures too
        words = self.model.model.language_model
        embedded = words.embed_tokens(ids) * (ids != self.image)[:, :, None]
        # the pipeline's mask is all ones, which changes nothing and would be read on the host
        return words(inputs_embeds=embedded, use_cache=False).last_hidden_state[:, CUT:]


def velocity(transformer: Any, noisy: Any, source: Any, words: Any, sigma: Any) -> Any:
    """What the denoiser says of the noisy half of its tokens."""
    import torch

    side = round(source.shape[1] ** 0.5)
    return transformer(
        hidden_states=torch.cat([noisy, source], 1),
        timestep=sigma,
        encoder_hidden_states=words,
        img_shapes=[[(1, side, side), (1, side, side)]],
        return_dict=False,
    )[0][:, : source.shape[1]]


def sample(transformer: Any, source: Any, words: Any, num_steps: int = 8) -> Any:
    """The pipeline's loop: packed latents of the edited pictures."""
    import torch

    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    latents = noise.to(source.device)
    sigmas = [1 - i / num_steps for i in range(num_steps + 1)]
    for now, then in itertools.pairwise(sigmas):
        at = torch.full((len(source),), now, device=source.device)
        latents = latents + (then - now) * velocity(transformer, latents, source, words, at).float()
    return latents


def edit_all(vae: Any, transformer: Any, encoder: Any, sources: Any, ids: list[list[int]], on: str) -> Any:
    """Edited pictures at SIDE pixels, 0 to 1, for packed source latents and their prompts."""
    import torch

    found = torch.empty(len(ids), 3, SIDE, SIDE)
    by_length = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    with torch.no_grad(), mixed(on), torch.compiler.set_stance("force_eager"):
        while by_length:
            rows = [row for row in by_length[:32] if len(ids[row]) == len(ids[by_length[0]])]
            by_length = by_length[len(rows) :]
            words = encoder(torch.tensor([ids[row] for row in rows], device=on))
            latents = sample(transformer, sources[torch.tensor(rows)].to(on).float(), words)
            pictures = train_vae.decode(vae, unpack(latents)).float().clamp(-1, 1) / 2 + 0.5
            found[torch.tensor(rows)] = resize(pictures.float(), SIDE, lanczos=False).cpu()
    return found


def latents_of(vae: Any, tables: Any, on: str, side: int) -> Any:
    """Tables to packed latents, bf16 on the device."""
    import torch

    with torch.no_grad(), mixed(on):
        parts = [
            pack(train_vae.encode(vae, train_vae.pictures(tables[rows].to(on), side))).bfloat16()
            for rows in bank.batches(len(tables), 32)
        ]
    return torch.cat(parts)


def lesson_of(holder: Any, encoder: Encoder) -> Any:
    """What one step learns from, as a module with the models' weights."""
    import torch

    class Lesson(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.holder = holder

        def forward(self, ids: Any, before: Any, after: Any, weight: Any, noise: Any, sigma: Any) -> Any:
            noisy = torch.lerp(after, noise, sigma[:, None, None])
            with mixed(ids.device.type):
                said = velocity(self.holder["transformer"], noisy, before, encoder(ids), sigma)
            error = (said.float() - (noise - after)).square().mean(-1)
            return (error * weight).sum() / weight.sum()

    return Lesson()


def train(
    folder: Path, *, total_s: float, call_s: float, batch: int = 128, num_edits: int = 32000, side: int = 1024
) -> bool:
    """Train, or go on; True when it is finished. The weights, averaged over the last steps, are written either way."""
    import torch

    from editbench.demo.training.muon import optimisers_of

    session = Session("editor", folder, total_s=total_s, call_s=call_s, learning_rate=1.2e-3)
    data = bank.fill(0, num_edits, all_results=False)
    tested = bank.fill(EVALUATION_SEEDS + 10**6, 96 if side == 1024 else 8, all_results=True)
    on = device()
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    vae = train_vae.load(folder, on)
    tables = torch.from_numpy(data.tables)
    made: list[Any] = []
    for rows in bank.batches(len(tables), 64):
        made.append(latents_of(vae, tables[rows].flatten(0, 1), on, side).unflatten(0, (-1, 2)))
        if time.monotonic() - session.began > min(ENCODING_S, 0.2 * total_s):
            break
    source, right = torch.cat(made).unbind(1)
    session.log(encoded=len(source))
    changed = ((source.float() - right.float()).square().mean(-1) > 0.05).float()
    prompts = Prompts(data.en[: len(source)] + data.zh[: len(source)], tokenizer, on)
    shown = torch.from_numpy(tested.tables)
    test_source = latents_of(vae, shown[:, 0], on, side).cpu()
    drawn = [resize(paint_fast(shown[:, k].to(on), 512), SIDE, lanczos=False).cpu() for k in (0, 1, 3)]
    test_prompts = [Prompts(texts, tokenizer, on).ids for texts in (tested.en, tested.zh)]

    transformer, text = build_transformer().to(on), build_text_encoder(tokenizer).to(on)
    holder = torch.nn.ModuleDict({"transformer": transformer, "text": text})
    for name, model in holder.items():
        if (folder / f"{name}.start.pt").exists():
            model.load_state_dict(torch.load(folder / f"{name}.start.pt", map_location=on, weights_only=True))
    learning = {name: p for name, p in holder.named_parameters() if "visual" not in name}
    parameters = list(learning.values())
    optimisers = optimisers_of(learning.items(), fused=on == "cuda")
    means = torch.nn.ParameterList([parameter.detach().clone() for parameter in parameters])
    state = {"holder": holder, "means": means, "muon": optimisers[0], "adam": optimisers[1]}
    session.restore(**state)
    encoder = Encoder(text, tokenizer)
    session.log(parameters=sum(p.numel() for p in parameters), pairs=len(source), changed=float(changed.mean()))
    real_rope(transformer)
    if on == "cuda":
        for block in transformer.transformer_blocks:
            block.compile()
    rng = Random(session.step)
    lessons: dict[int, Any] = {}  # by the length of the prompts
    pool = torch.cuda.graph_pool_handle() if on == "cuda" else None

    def swap() -> None:
        for parameter, average in zip(parameters, means, strict=True):
            kept = parameter.data.clone()
            parameter.data.copy_(average.data)
            average.data.copy_(kept)

    def measure() -> dict[str, float]:
        swap()
        figures: dict[str, float] = {}
        for language, ids in zip(("en", "zh"), test_prompts, strict=True):
            made = edit_all(vae, transformer, encoder, test_source, ids, on)
            found = looks(made, *drawn)
            figures |= {f"{language}_{k}": float(getattr(found, k).float().mean()) for k in ("done", "kept", "right")}
        swap()
        return figures

    def keep() -> None:
        session.save(**state)
        swap()
        for name, model in holder.items():
            weights = {key: value.to(torch.bfloat16) for key, value in model.state_dict().items()}
            torch.save(weights, folder / f"{name}.new")
            (folder / f"{name}.new").replace(folder / f"{name}.weights.pt")
        swap()

    while session.goes_on:
        rows, ids = prompts.draw(rng, batch)
        rows = rows % len(source)
        before, after, weight = source[rows].float(), right[rows].float(), 1 + CHANGED_WEIGHT * changed[rows]
        sigma = torch.sigmoid(torch.randn(len(after), device=on) * 1.2 + 0.4)
        given = (ids, before, after, weight, torch.randn_like(after), sigma)
        for optimiser in optimisers:
            session.schedule(optimiser, warmup=300)
        holder.zero_grad()
        length = ids.shape[1]
        if length not in lessons:
            lessons[length] = lesson_of(holder, encoder)
            if on == "cuda":
                # launched one by one, a step's kernels would take twice as long as they run
                lessons[length] = torch.cuda.make_graphed_callables(
                    lessons[length], given, allow_unused_input=True, pool=pool
                )
        loss = lessons[length](*given)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        session.step += 1
        decay = min(0.999, 1 - 1 / (session.step + 1)) if session.step < 1000 else 0.999
        torch._foreach_lerp_([m.data for m in means], [p.data for p in parameters], 1 - decay)
        if session.step % 1000 == 0:
            figures = measure() if session.step % 5000 == 0 else {}
            session.log(loss=float(loss.detach()), **figures)
            keep()
    keep()
    session.log(**measure())
    return session.progress >= 1


def load(folder: Path, on: str) -> tuple[Any, Any]:
    """The finished denoiser and encoder."""
    import torch

    tokenizer = train_tokenizer()
    transformer, text = build_transformer(), build_text_encoder(tokenizer)
    for name, model in (("transformer", transformer), ("text", text)):
        model.load_state_dict(torch.load(folder / f"{name}.weights.pt", map_location="cpu", weights_only=True))
        model.to(on).requires_grad_(False)
    real_rope(transformer)
    return transformer, Encoder(text, tokenizer)
