"""The judge learns the brief rubric from drawn results, right and wrong, whose worth is known.

Its eyes learn first, alone, to say what is where in a picture: comparing two needs something to compare.
"""

from pathlib import Path
from random import Random
from typing import Any

from editbench.demo.training import bank
from editbench.demo.training.bank import RESULTS, TRUTH
from editbench.demo.training.fast_judge import LANGUAGES, NUM_TOKENS, Asker, FastJudge
from editbench.demo.training.judge_lessons import (
    cell_loss,
    difference_loss,
    helpers,
    picture_loss,
    rough_pictures,
    start_comparing,
)
from editbench.demo.training.models import JUDGE_PIXELS, build_judge
from editbench.demo.training.painting import paint_fast
from editbench.demo.training.pairs import EVALUATION_SEEDS
from editbench.demo.training.session import Session, device, mixed
from editbench.demo.training.tokens import train_tokenizer
from editbench.records import Language
from editbench.rubrics.five_aspects import CATEGORIES

ROUGH_SHARE = 0.3
"""Of a batch: pictures that went through the autoencoder or came from the editor."""
KIND_SHARES = (2.0, 1.0, 1.0, 1.0, 1.2, 0.5)
"""How often each of RESULTS is shown."""


class Lessons:
    """Batches of one category and one language: prompts with replies, and what the eyes say of both pictures."""

    def __init__(self, data: bank.Bank, fast: FastJudge, tokenizer: Any, on: str) -> None:
        """Take a bank with all results, the judge and its tokenizer."""
        import torch

        self.data, self.fast, self.on = data, fast, on
        self.asker = Asker(data, tokenizer, on)
        self.tables, self.labels = torch.from_numpy(data.tables).to(on), torch.from_numpy(data.labels).to(on)
        self.worths = torch.tensor([TRUTH[name] for name in RESULTS])
        self.rough: tuple[Any, Any, Any] | None = None

    def add_rough(self, rough: tuple[Any, Any, Any]) -> None:
        """Show rough pictures too: their edits' rows, the pictures, their worth."""
        import torch

        self.rough = rough
        of = torch.tensor(self.data.categories)[rough[0]]
        self.rough_of = [(of == category).nonzero()[:, 0] for category in range(len(CATEGORIES))]

    def see(self, at: Any, kinds: Any, rough: Any = None) -> dict[str, Any]:
        """Both pictures of these rows and their tokens; the first ones' second picture is rough."""
        import torch

        before, after = paint_fast(self.tables[at, 0], JUDGE_PIXELS), paint_fast(self.tables[at, kinds], JUDGE_PIXELS)
        if rough is not None:
            after[: len(rough)] = rough
        clean = after
        tokens, deep = self.fast.see(torch.cat([before, grainy(after)]) * 2 - 1)
        return {"before": before, "after": clean, "tokens": tokens, "deep": deep}

    def draw(self, rng: Random, category: int, language: Language, batch: int) -> dict[str, Any]:
        """A batch, some of it rough."""
        import torch

        rows = torch.tensor(rng.choices(self.asker.rows[category], k=batch))
        kinds = torch.multinomial(torch.tensor(KIND_SHARES), batch, replacement=True)
        values = self.worths[kinds].clone()
        num_rough = int(ROUGH_SHARE * batch) if self.rough else 0
        pictures = None
        if self.rough is not None:
            pick = self.rough_of[category][torch.randint(len(self.rough_of[category]), (num_rough,))]
            rows[:num_rough], values[:num_rough] = self.rough[0][pick], self.rough[2][pick]
            pictures = self.rough[1][pick].to(self.on).float() / 255
        at, after = rows.to(self.on), 1 + kinds.to(self.on)
        replies = [self.asker.reply(value) for value in values.tolist()]
        ids, starts = self.asker.ids(rows.tolist(), category, language, replies)
        seen = self.see(at, after, pictures)
        labels = {"before_is": self.labels[at, 0], "after_is": self.labels[at, after], "kinds": kinds.to(self.on)}
        return {**seen, **labels, "ids": ids, "starts": starts, "num_rough": num_rough}


def grainy(pictures: Any) -> Any:
    """Pictures with noise and a cast of colour, as much as an editor's autoencoder leaves."""
    import torch

    grain = 0.03 * torch.rand(len(pictures), 1, 1, 1, device=pictures.device)
    cast = 0.015 * torch.randn(len(pictures), 3, 1, 1, device=pictures.device)
    return pictures + grain * torch.randn_like(pictures) + cast


def loss_of(fast: FastJudge, heads: Any, item: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The reply's loss and the helpers'."""
    import torch
    import torch.nn.functional as F

    n, free, on = len(item["ids"]), item["num_rough"], fast.on
    tokens = item["tokens"]
    hidden = fast.read(item["ids"], tokens, item["deep"])
    index = item["starts"][:, None] - 1 + torch.arange(4, device=on)
    said = hidden.gather(1, index[:, :, None].expand(-1, -1, hidden.shape[-1]))
    second = (item["ids"][0] == fast.image).nonzero()[NUM_TOKENS:, 0]
    parts = {
        "reply": F.cross_entropy(
            fast.model.lm_head(said).float().flatten(0, 1), item["ids"].gather(1, index + 1).flatten()
        ),
        "cells": cell_loss(heads, hidden[free:, second], item["before"][free:], item["after"][free:]),
        "difference": difference_loss(
            heads, said[free:, 0], item["before_is"][free:], item["after_is"][free:], item["kinds"][free:]
        ),
    }
    known = torch.cat([item["before_is"], item["after_is"][free:]])
    parts["pictures"] = picture_loss(heads, torch.cat([tokens[:n], tokens[n + free :]]), known)
    return parts["reply"] + parts["cells"] + 0.3 * parts["difference"] + 0.5 * parts["pictures"], parts


def answers(lessons: Lessons, rows: list[int], kind: int, category: int, language: Language) -> tuple[Any, Any]:
    """Greedy replies, as values, and whether each can be read."""
    import torch

    fast, asker = lessons.fast, lessons.asker
    replies: list[list[int]] = [[] for _ in rows]
    at = torch.tensor(rows, device=lessons.on)
    with torch.no_grad(), mixed(lessons.on), torch.compiler.set_stance("force_eager"):
        seen = lessons.see(at, torch.full_like(at, 1 + kind))
        for _ in range(4):
            ids, starts = asker.ids(rows, category, language, [[*reply, 0] for reply in replies])
            last = starts + len(replies[0]) - 1
            hidden = fast.read(ids, seen["tokens"], seen["deep"])[torch.arange(len(rows), device=lessons.on), last]
            said = fast.model.lm_head(hidden).argmax(-1).tolist()
            replies = [[*reply, token] for reply, token in zip(replies, said, strict=True)]
    digits = {token: digit for digit, token in enumerate(asker.digits)}
    good = [a in digits and b == asker.dot and c in digits and d == asker.end for a, b, c, d in replies]
    return torch.tensor([digits.get(a, 0) + digits.get(c, 0) / 10 for a, _, c, _ in replies]), torch.tensor(good)


def measure(lessons: Lessons) -> dict[str, float]:
    """Held-out figures: readable replies, and how often the right result is above each other one."""
    import torch

    values: list[list[Any]] = [[] for _ in RESULTS]
    readable: list[Any] = []
    for category in range(len(CATEGORIES)):
        for k in range(len(RESULTS)):
            said, good = answers(lessons, lessons.asker.rows[category], k, category, LANGUAGES[category % 2])
            values[k].append(said)
            readable.append(good)
    all_values = [torch.cat(said) for said in values]
    figures = {"readable": float(torch.cat(readable).float().mean())}
    for k in range(1, len(RESULTS)):
        figures[f"right_above_{RESULTS[k]}"] = float((all_values[0] > all_values[k]).float().mean())
    return figures


def train_eyes(folder: Path, *, total_s: float, call_s: float, batch: int = 512, num_edits: int = 12000) -> bool:
    """Train the eyes alone, or go on; True when it is finished and `judge.start.pt` is written, ready to compare."""
    import torch

    from editbench.demo.training.muon import optimisers_of

    session = Session("eyes", folder, total_s=total_s, call_s=call_s, learning_rate=1.5e-3)
    on = device()
    data = bank.fill(10**6, num_edits, all_results=True)
    tables = torch.from_numpy(data.tables.reshape(-1, *data.tables.shape[2:])).to(on)
    labels = torch.from_numpy(data.labels.reshape(-1, data.labels.shape[-1])).to(on)
    torch.manual_seed(session.step)
    tokenizer = train_tokenizer()
    model = build_judge(tokenizer).to(on)
    fast = FastJudge(model, tokenizer, on)
    heads = helpers(model.config.text_config.hidden_size).to(on)
    holder = torch.nn.ModuleDict({"judge": model, "heads": heads})
    optimisers = optimisers_of(
        [(n, p) for n, p in holder.named_parameters() if "visual" in n or "heads" in n], fused=on == "cuda"
    )
    session.restore(holder=holder, muon=optimisers[0], adam=optimisers[1])
    if on == "cuda":
        fast.compile()
    while session.goes_on:
        for optimiser in optimisers:
            session.schedule(optimiser, warmup=100)
        rows = torch.randint(len(tables), (batch,), device=on)
        with mixed(on):
            loss = picture_loss(
                heads, fast.see(grainy(paint_fast(tables[rows], JUDGE_PIXELS)) * 2 - 1)[0], labels[rows]
            )
        holder.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        session.step += 1
        if session.step % 250 == 0:
            session.log(pictures=float(loss.detach()))
    session.save(holder=holder, muon=optimisers[0], adam=optimisers[1])
    if session.progress < 1:
        return False
    with torch.no_grad():
        start_comparing(fast, fast.see(paint_fast(tables[:200], JUDGE_PIXELS) * 2 - 1)[0])
    torch.save(model.state_dict(), folder / "judge.start.pt")
    return True


def train(
    folder: Path, *, total_s: float, call_s: float, batch: int = 256, num_edits: int = 40000, rough: int = 2000
) -> bool:
    """Train, or go on; True when it is finished and `judge.weights.pt` is written."""
    import torch

    session = Session("judge", folder, total_s=total_s, call_s=call_s, learning_rate=1e-3)
    on = device()
    data = bank.fill(10**6, num_edits, all_results=True)
    tested = bank.fill(EVALUATION_SEEDS + 10**6, min(200, num_edits), all_results=True)
    torch.manual_seed(session.step)
    torch.backends.cuda.matmul.allow_tf32 = True
    tokenizer = train_tokenizer()
    model = build_judge(tokenizer).to(on)
    model.load_state_dict(torch.load(folder / "judge.start.pt", map_location=on, weights_only=True))
    fast = FastJudge(model, tokenizer, on)
    lessons = Lessons(data, fast, tokenizer, on)
    held_out = Lessons(tested, fast, tokenizer, on)
    heads = helpers(model.config.text_config.hidden_size).to(on)
    holder = torch.nn.ModuleDict({"judge": model, "heads": heads})
    # Muon unlearns the comparison that it starts from: right was above wrong in 0.15 after 500 steps, not in 0.43
    optimiser = torch.optim.AdamW(
        holder.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=on == "cuda"
    )
    state = {"holder": holder, "adam": optimiser}
    session.restore(**state)
    if rough:
        side = 1024 if num_edits > 1000 else 256
        lessons.add_rough(rough_pictures(folder, data, torch.from_numpy(data.tables), on, rough, side))
    session.log(parameters=sum(p.numel() for p in model.parameters()), edits=num_edits, rough=2 * rough)
    if on == "cuda":
        fast.compile()
    rng = Random(session.step)
    while session.goes_on:
        session.schedule(optimiser, warmup=100)
        holder.zero_grad()
        parts: dict[str, Any] = {}
        for category in rng.sample(range(len(CATEGORIES)), 2):
            item = lessons.draw(rng, category, rng.choice(LANGUAGES), batch)
            with mixed(on):
                loss, parts = loss_of(fast, heads, item)
            (loss / 2).backward()
        torch.nn.utils.clip_grad_norm_(holder.parameters(), 1.0)
        optimiser.step()
        session.step += 1
        if session.step % 250 == 0:
            figures = measure(held_out) if session.step % 1000 == 0 else {}
            session.log(**{name: float(value.detach()) for name, value in parts.items()}, **figures)
            if figures:
                session.save(**state)
    session.save(**state)
    if session.progress < 1:
        return False
    weights = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    torch.save(weights, folder / "judge.weights.pt")
    session.log(**measure(held_out))
    return True
