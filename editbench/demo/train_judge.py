"""Part three: the judge learns the brief rubric from drawn results, right and wrong, whose worth is known.

The prompts are the rubric's own, token by token as the processor writes them. Two helpers that are thrown away
afterwards make it learn faster: one says what is where in each picture, one what differs between the two.
"""

from pathlib import Path
from random import Random
from typing import Any

from editbench.demo import bank, train_editor, train_vae
from editbench.demo.bank import PLACE_CLASSES, RESULTS, SCENE_CLASSES, TRUTH
from editbench.demo.models import JUDGE_PATCH, JUDGE_PIXELS, build_judge, token_ids
from editbench.demo.painting import paint_fast, resize
from editbench.demo.pairs import EVALUATION_SEEDS, PICTURE_SIZE
from editbench.demo.scenes import NUM_PLACES
from editbench.demo.session import Session, device, mixed
from editbench.demo.tokens import train_tokenizer
from editbench.demo.truth import looks
from editbench.records import CATEGORIES, Language, Pair
from editbench.rubric import RUBRICS

GRID = JUDGE_PIXELS // JUDGE_PATCH
NUM_TOKENS = (GRID // 2) ** 2
"""Of one picture."""
LANGUAGES: tuple[Language, ...] = ("en", "zh")
ROUGH_SHARE = 0.35
"""Of a batch: pictures that went through the autoencoder or came from the editor."""
PICTURE = "<|vision_start|>" + "<|image_pad|>" * NUM_TOKENS + "<|vision_end|>"


def prompt_parts(category: int, language: Language, text: str) -> tuple[str, str]:
    """The rubric's prompt as text up to the second picture's end, and from there on."""
    pair = Pair(pair_id="", category=CATEGORIES[category], instruction=text, source_sha256="")
    blank: Any = None
    asked = RUBRICS["brief-1"].question(pair, blank, blank, language=language, judge_sees="all")
    body = "".join(PICTURE if part is None else part for part in asked.content)
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


class Asker:
    """Prompts of the rubric in tokens, a category and a language at a time, so that pictures stand at equal columns."""

    def __init__(self, data: bank.Bank, tokenizer: Any, on: str) -> None:
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


def helpers(width: int) -> Any:
    """What is thrown away afterwards: readers of a place, of the sky, and of the difference."""
    import torch

    return torch.nn.ModuleDict(
        {
            "place": torch.nn.Linear(12 * width, sum(PLACE_CLASSES)),
            "sky": torch.nn.Linear(2 * width, sum(SCENE_CLASSES)),
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


def train(
    folder: Path, *, total_s: float, call_s: float, batch: int = 256, num_edits: int = 40000, rough: int = 2000
) -> bool:
    """Train, or go on; True when it is finished and `judge.weights.pt` is written."""
    import torch
    import torch.nn.functional as F

    on = device()
    session = Session("judge", folder, total_s=total_s, call_s=call_s, learning_rate=1e-3)
    data = bank.fill(10**6, num_edits, all_results=True)
    tested = bank.fill(EVALUATION_SEEDS + 10**6, 200 if num_edits > 1000 else 10, all_results=True)
    torch.manual_seed(session.step)
    torch.backends.cuda.matmul.allow_tf32 = True
    tokenizer = train_tokenizer()
    model = build_judge(tokenizer).to(on)
    fast = FastJudge(model, tokenizer, on)
    heads = helpers(model.config.text_config.hidden_size).to(on)
    holder = torch.nn.ModuleDict({"judge": model, "heads": heads})
    optimiser = torch.optim.AdamW(
        holder.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=on == "cuda"
    )
    session.restore(holder=holder, optimiser=optimiser)
    tables, labels = torch.from_numpy(data.tables).to(on), torch.from_numpy(data.labels).to(on)
    asker, test_asker = Asker(data, tokenizer, on), Asker(tested, tokenizer, on)
    rough_rows, rough_seen, rough_worth = (None, None, None)
    by_category: list[Any] = []
    if rough:
        side = 1024 if num_edits > 1000 else 256
        rough_rows, rough_seen, rough_worth = rough_pictures(
            folder, data, torch.from_numpy(data.tables), on, rough, side
        )
        of_rough = torch.tensor(data.categories)[rough_rows]
        by_category = [(of_rough == category).nonzero()[:, 0] for category in range(len(CATEGORIES))]
    session.log(
        parameters=sum(p.numel() for p in model.parameters()),
        edits=len(tables),
        rough=len(rough_rows or []) if rough_rows is None else len(rough_rows),
    )
    worths = torch.tensor([TRUTH[name] for name in RESULTS])
    rng = Random(session.step)

    def one(category: int, language: Language) -> dict[str, Any]:
        rows = torch.tensor(rng.choices(asker.rows[category], k=batch))
        kinds = torch.multinomial(torch.tensor([2.0, 1.0, 1.0, 1.0, 1.2, 0.6]), batch, replacement=True)
        values = worths[kinds].clone()
        num_rough = int(ROUGH_SHARE * batch) if rough else 0
        pick = by_category[category][torch.randint(len(by_category[category]), (num_rough,))] if num_rough else None
        if pick is not None:
            rows[:num_rough], values[:num_rough] = rough_rows[pick], rough_worth[pick]
        at = rows.to(on)
        before = paint_fast(tables[at, 0], JUDGE_PIXELS)
        after = paint_fast(tables[at, 1 + kinds.to(on)], JUDGE_PIXELS)
        if pick is not None:
            after[:num_rough] = rough_seen[pick].to(on).float() / 255
        grain = 0.03 * torch.rand(batch, 1, 1, 1, device=on)
        after = after + grain * torch.randn_like(after) + 0.015 * torch.randn(batch, 3, 1, 1, device=on)
        ids, starts = asker.ids(rows.tolist(), category, language, [asker.reply(v) for v in values.tolist()])
        return dict(before=before, after=after, ids=ids, starts=starts, at=at, kinds=kinds.to(on), num_rough=num_rough)

    def loss_of(item: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        n, free = len(item["ids"]), item["num_rough"]
        with mixed(on):
            tokens, deep = fast.see(torch.cat([item["before"], item["after"]]) * 2 - 1)
            hidden = fast.read(item["ids"], tokens, deep)
            index = item["starts"][:, None] - 1 + torch.arange(4, device=on)
            said = hidden.gather(1, index[:, :, None].expand(-1, -1, hidden.shape[-1]))
            logits = model.lm_head(said)
            truth_before = labels[item["at"], 0]
            truth_after = labels[item["at"], 1 + item["kinds"]]
            seen = torch.cat([tokens[:n], tokens[n + free :]])
            of_pictures = picture_loss(heads, seen, torch.cat([truth_before, truth_after[free:]]))
            of_difference = difference_loss(
                heads, said[free:, 0], truth_before[free:], truth_after[free:], item["kinds"][free:]
            )
        targets = item["ids"].gather(1, index + 1)
        of_reply = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss = of_reply + 0.5 * of_pictures + 0.3 * of_difference
        return loss, {"reply": of_reply, "pictures": of_pictures, "difference": of_difference}

    def answers(rows: list[int], kind: int, category: int, language: Language) -> tuple[Any, Any]:
        shown = torch.from_numpy(tested.tables[rows]).to(on)
        pictures = torch.cat([draw_small(shown[:, 0]), draw_small(shown[:, 1 + kind])]) * 2 - 1
        replies: list[list[int]] = [[] for _ in rows]
        with torch.no_grad(), mixed(on):
            tokens, deep = fast.see(pictures)
            for _ in range(4):
                ids, starts = test_asker.ids(rows, category, language, [[*reply, 0] for reply in replies])
                hidden = fast.read(ids, tokens, deep)
                last = starts + len(replies[0]) - 1
                said = model.lm_head(hidden[torch.arange(len(rows), device=on), last]).argmax(-1).tolist()
                replies = [[*reply, token] for reply, token in zip(replies, said, strict=True)]
        digits = {token: digit for digit, token in enumerate(asker.digits)}
        good = [a in digits and b == asker.dot and c in digits and d == asker.end for a, b, c, d in replies]
        values = [digits.get(a, 0) + digits.get(c, 0) / 10 for a, _, c, _ in replies]
        return torch.tensor(values), torch.tensor(good)

    def measure() -> dict[str, float]:
        figures: dict[str, float] = {}
        values: list[list[Any]] = [[] for _ in RESULTS]
        readable: list[Any] = []
        for category in range(len(CATEGORIES)):
            for k in range(len(RESULTS)):
                said, good = answers(test_asker.rows[category], k, category, LANGUAGES[category % 2])
                values[k].append(said)
                readable.append(good)
        all_values = [torch.cat(said) for said in values]
        figures["readable"] = float(torch.cat(readable).float().mean())
        for k in range(1, len(RESULTS)):
            figures[f"right_above_{RESULTS[k]}"] = float((all_values[0] > all_values[k]).float().mean())
        return figures

    while session.goes_on:
        session.schedule(optimiser, warmup=300)
        optimiser.zero_grad()
        parts: dict[str, Any] = {}
        for category in rng.sample(range(len(CATEGORIES)), 2):
            loss, parts = loss_of(one(category, rng.choice(LANGUAGES)))
            (loss / 2).backward()
        torch.nn.utils.clip_grad_norm_(holder.parameters(), 1.0)
        optimiser.step()
        session.step += 1
        if session.step % 250 == 0:
            figures = measure() if session.step % 500 == 0 else {}
            session.log(**{name: float(value.detach()) for name, value in parts.items()}, **figures)
    session.save(holder=holder, optimiser=optimiser)
    if session.progress < 1:
        return False
    weights = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    torch.save(weights, folder / "judge.weights.pt")
    session.log(**measure())
    return True
