"""What the judge is shown besides clean drawings, and the helpers that make it learn faster and are thrown away.

One helper says what is where in each picture, one what differs between the two, one in which cells they differ.
"""

from pathlib import Path
from typing import Any

from editbench.demo.training import bank, train_editor, train_vae
from editbench.demo.training.bank import PLACE_CLASSES, RESULTS, SCENE_CLASSES, TRUTH
from editbench.demo.training.fast_judge import GRID, FastJudge
from editbench.demo.training.models import JUDGE_PIXELS
from editbench.demo.training.painting import paint_fast, resize
from editbench.demo.training.pairs import PICTURE_SIZE
from editbench.demo.training.scenes import NUM_PLACES
from editbench.demo.training.session import mixed
from editbench.demo.training.tokens import train_tokenizer
from editbench.demo.training.truth import looks

CELL_DIFFERS = 0.01
"""The mean difference of a cell's colours above which it differs, on 0 to 1."""
SHARPNESS = 5.0
"""Of the first layer's attention: neighbouring cells differ little in their rotary positions."""


def rough_pictures(folder: Path, data: bank.Bank, tables: Any, on: str, count: int, side: int = 1024) -> Any:
    """What real editors hand in: drawn results through the autoencoder, and the demo editor's own edits.

    Returns:
        rows of the bank, pictures (uint8), values (0 to 10).
    """
    import torch

    vae = train_vae.load(folder, on)
    rows, pictures, values = [], [], []
    kinds = torch.randint(len(RESULTS), (count,))
    with torch.no_grad(), mixed(on):
        for part in bank.batches(count, 32):
            seen = train_vae.pictures(tables[torch.arange(count)[part], 1 + kinds[part]].to(on), side)
            again = train_vae.decode(vae, train_vae.encode(vae, seen)).float().clamp(-1, 1) / 2 + 0.5
            pictures.append((resize(again, JUDGE_PIXELS, lanczos=False) * 255).round().byte().cpu())
    rows.append(torch.arange(count))
    values.append(torch.tensor([TRUTH[RESULTS[kind]] for kind in kinds.tolist()]))
    if (folder / "transformer.weights.pt").exists():
        transformer, encoder = train_editor.load(folder, on)
        mine = torch.arange(count, 2 * count)
        prompts = [(data.en if row % 2 else data.zh)[row] for row in mine.tolist()]
        ids = train_editor.Prompts(prompts, train_tokenizer(), on).ids
        sources = train_editor.latents_of(vae, tables[mine, 0], on, side).cpu()
        made = train_editor.edit_all(vae, transformer, encoder, sources, ids, on)
        drawn = [
            torch.cat([draw_small(tables[mine[part], k].to(on)).cpu() for part in bank.batches(count, 64)])
            for k in (0, 1, 3)
        ]
        found = looks(made, *drawn)
        asked = (drawn[1] - drawn[0]).abs().mean(1) > 0.04
        moved = ((made - drawn[0]).square().mean(1) * asked).sum((1, 2))
        untouched = moved < 0.15 * ((drawn[1] - drawn[0]).square().mean(1) * asked).sum((1, 2))
        worth = torch.where(found.kept, torch.where(untouched, TRUTH["none"], TRUTH["half"]), TRUTH["wrong"])
        worth = torch.where(found.done, torch.where(found.kept, TRUTH["right"], TRUTH["extra"]), worth)
        rows.append(mine)
        pictures.append((made * 255).round().byte())
        values.append(worth)
    return torch.cat(rows), torch.cat(pictures), torch.cat(values)


def draw_small(tables: Any) -> Any:
    """Tables as the judge sees a source: drawn at its size, scaled down as the judge's preparation does, 0 to 1."""
    return resize(paint_fast(tables, PICTURE_SIZE), JUDGE_PIXELS, lanczos=False)


def helpers(width: int) -> Any:
    """What is thrown away afterwards: readers of a place, of the sky, and of the difference."""
    import torch

    return torch.nn.ModuleDict(
        {
            "place": torch.nn.Linear(12 * width, sum(PLACE_CLASSES)),
            "sky": torch.nn.Linear(2 * width, sum(SCENE_CLASSES)),
            "cell": torch.nn.Linear(width, 1),
            "difference": torch.nn.Linear(width, NUM_PLACES + len(SCENE_CLASSES) + len(RESULTS)),
        }
    )


def picture_loss(heads: Any, tokens: Any, labels: Any) -> Any:
    """How well what is where can be read from a picture's tokens; labels (pictures, NUM_LABELS)."""
    import torch
    import torch.nn.functional as F

    grid = tokens.unflatten(1, (GRID // 2, GRID // 2))
    places = torch.stack([grid[:, 2:, 2 * p : 2 * p + 2].flatten(1) for p in range(NUM_PLACES)], 1)
    sky = torch.cat([grid[:, :, : GRID // 4].mean((1, 2)), grid[:, :, GRID // 4 :].mean((1, 2))], 1)
    of_places = labels[:, : NUM_PLACES * len(PLACE_CLASSES)].unflatten(1, (NUM_PLACES, -1)).long()
    loss = tokens.new_zeros(())
    for k, said in enumerate(heads["place"](places).float().split(PLACE_CLASSES, -1)):
        loss = loss + F.cross_entropy(said.flatten(0, 1), of_places[..., k].flatten())
    for k, said in enumerate(heads["sky"](sky).float().split(SCENE_CLASSES, -1)):
        loss = loss + F.cross_entropy(said, labels[:, k - len(SCENE_CLASSES)].long())
    return loss / (len(PLACE_CLASSES) + len(SCENE_CLASSES))


def difference_loss(heads: Any, hidden: Any, before: Any, after: Any, kinds: Any) -> Any:
    """How well the last token knows what differs, and what kind of result it is."""
    import torch
    import torch.nn.functional as F

    cut = NUM_PLACES * len(PLACE_CLASSES)
    places = (before != after)[:, :cut].unflatten(1, (NUM_PLACES, -1)).any(-1)
    where = torch.cat([places, (before != after)[:, cut:]], 1).float()
    said = heads["difference"](hidden).float()
    split = said[:, : where.shape[1]]
    return F.binary_cross_entropy_with_logits(split, where) + 0.5 * F.cross_entropy(said[:, where.shape[1] :], kinds)


def cell_loss(heads: Any, hidden: Any, before: Any, after: Any) -> Any:
    """How well the second picture's tokens know in which cells the pictures differ.

    Args:
        heads: what `helpers` gives.
        hidden: of the second picture's tokens, (pictures, NUM_TOKENS, width).
        before: the first pictures, 0 to 1.
        after: the second.
    """
    import torch.nn.functional as F

    gap = (before - after).abs().mean(1, keepdim=True)
    cells = F.avg_pool2d(gap, gap.shape[-1] // (GRID // 2)).flatten(1)
    said = heads["cell"](hidden)[..., 0].float()
    return F.binary_cross_entropy_with_logits(said, (cells > CELL_DIFFERS).float())


def start_comparing(fast: FastJudge, tokens: Any) -> None:
    """Let the first layer begin by subtracting from each token of the second picture the first picture's at its place.

    Rotary positions of the two differ by one constant, so constant queries and keys find it; training may change all of
    it. Without this, 600,000 examples taught a small judge no comparison at all.

    Args:
        fast: the judge.
        tokens: of many pictures, (pictures, NUM_TOKENS, width).
    """
    import torch

    words = fast.model.model.language_model
    layer, config = words.layers[0], fast.model.config.text_config
    flat = tokens.flatten(0, 1).float()
    scale = flat.square().mean().sqrt()
    steady = flat.mean(0) / flat.mean(0).norm()
    keys = config.num_key_value_heads
    shared = config.num_attention_heads // keys
    centred = flat - flat.mean(0)
    directions = torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, : keys * config.head_dim]
    apart = GRID // 2 + 2
    angles = -apart * words.rotary_emb.inv_freq.to(flat.device)
    key = torch.cat([torch.ones_like(angles), torch.zeros_like(angles)])
    query = torch.cat([angles.cos(), angles.sin()])
    with torch.no_grad():
        layer.input_layernorm.weight.fill_(1.0)
        layer.self_attn.q_norm.weight.fill_(SHARPNESS)
        layer.self_attn.k_norm.weight.fill_(SHARPNESS)
        layer.self_attn.k_proj.weight.copy_((key[:, None] * steady).repeat(keys, 1))
        layer.self_attn.q_proj.weight.copy_((query[:, None] * steady).repeat(config.num_attention_heads, 1))
        layer.self_attn.v_proj.weight.copy_(directions.T)
        out = directions.unflatten(1, (keys, -1))[:, :, None].expand(-1, -1, shared, -1).flatten(1)
        layer.self_attn.o_proj.weight.copy_(-out * scale / shared)
