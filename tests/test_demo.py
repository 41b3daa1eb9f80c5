"""Claims about the drawn world, its pairs, and the tiny models that learnt it."""

import base64
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from editbench.demo.training import bank
from editbench.demo.training.drawing import draw, paint, shapes_of, table_of
from editbench.demo.training.fast_judge import FastJudge, prompt_parts
from editbench.demo.training.grammar import PRODUCTIONS
from editbench.demo.training.models import EDITOR, JUDGE, build_judge, build_vae
from editbench.demo.training.pairs import EVALUATION_SEEDS, SUBSETS, drawn_edit, evaluation_edits, items
from editbench.demo.training.real_rope import real_rope
from editbench.demo.training.tokens import CUT, TEMPLATE_END, TEMPLATE_MIDDLE, TEMPLATE_PREFIX
from editbench.demo.training.train_editor import Encoder, Prompts, velocity
from editbench.demo.training.truth import SIDE, looks, reads
from editbench.models.one_frame import one_frame
from editbench.records import Pair, Picture
from editbench.rubrics import Brief
from editbench.rubrics.five_aspects import CATEGORIES

SHIPPED = Path(bank.__file__).parents[1] / "pairs.json"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(JUDGE)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    from diffusers import QwenImageEditPipeline

    pipe = QwenImageEditPipeline.from_pretrained(str(EDITOR), torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    one_frame(pipe.vae)
    return pipe


def pixels_of(item: dict[str, Any]) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(item["src_img_b64"])))).astype(int)


def test_training_never_draws_from_the_evaluation_side() -> None:
    with pytest.raises(AssertionError):
        bank.fill(EVALUATION_SEEDS - 5, 10, all_results=False)
    assert all(item["seed"] >= EVALUATION_SEEDS for item in json.loads(SHIPPED.read_text()))


def test_the_shipped_pairs_come_out_of_their_generator() -> None:
    shipped, drawn = json.loads(SHIPPED.read_text(encoding="utf-8")), items(12)
    assert {item["subset"] for item in shipped} == set(SUBSETS.values())
    for old, new in zip(shipped, drawn, strict=True):
        # another build of numpy may round a pixel the other way, and another zlib packs the file otherwise
        assert np.abs(pixels_of(old) - pixels_of(new)).max() <= 1
        assert {**old, "src_img_b64": ""} == {**new, "src_img_b64": ""}


def test_the_command_writes_as_many_pairs_as_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    subprocess.run([sys.executable, "-m", "editbench.demo.training.pairs", "--num_pairs", "3", str(out)], check=True)
    assert [item["original_image_path"].split("_")[0] for item in json.loads(out.read_text())] == [
        "demo/00000",
        "demo/00001",
        "demo/00002",
    ]


@pytest.mark.parametrize("name", list(PRODUCTIONS))
def test_a_right_edit_shows_in_the_picture_and_has_words_in_both_languages(name: str) -> None:
    for seed in range(40):
        edit = PRODUCTIONS[name][1](Random(seed))
        source, right, half = (shapes_of(scene) for scene in (edit.source, edit.right, edit.half))
        assert source != right != half != source
        assert edit.en[0].isupper()
        assert edit.en.isascii()
        assert any("\u4e00" <= char <= "\u9fff" for char in edit.zh)


def test_the_categories_take_turns() -> None:
    assert [edit.category for edit in evaluation_edits(5)] != [evaluation_edits(1)[0].category] * 5
    assert {edit.category for edit in evaluation_edits(5)} == set(CATEGORIES)


def test_drawing_in_boxes_equals_drawing_everywhere() -> None:
    table = table_of([drawn_edit(seed).source for seed in range(6)])
    size = 128
    at = (torch.arange(size) + 0.5) / size
    picture = torch.zeros(6, 3, size, size)
    for i in range(table.shape[1]):
        form, x, y, half_x, half_y, *colour, opacity = (table[:, i, k, None, None] for k in range(9))
        far, down = (at[None, None] - x).abs(), at[None, :, None] - y
        ellipse = (((far / half_x) ** 2 + (down / half_y) ** 2).sqrt() - 1) * torch.minimum(half_x, half_y)
        slope = (2 * half_y * far - half_x * (down + half_y)) / (4 * half_y**2 + half_x**2).sqrt()
        box, triangle = torch.maximum(far - half_x, down.abs() - half_y), torch.maximum(down - half_y, slope)
        distance = torch.where(form == 0, ellipse, torch.where(form == 1, box, triangle))
        cover = ((0.5 - distance * size).clamp(0, 1) * opacity)[:, None]
        picture = picture + cover * (torch.stack(colour, 1) - picture)
    assert torch.allclose(paint(table, size), picture, atol=1e-4)


def test_the_check_passes_the_drawn_truth_and_nothing_else() -> None:
    edits = evaluation_edits(5)

    def small(scenes: list[Any]) -> Any:
        return draw(scenes, SIDE).permute(0, 3, 1, 2).float() / 255

    drawn = [small([getattr(edit, name) for edit in edits]) for name in ("source", "right", "half")]
    for results, expected in ((drawn[1], True), (drawn[0], False), (drawn[2], False)):
        both = looks(results, *drawn).right & reads(results, edits).right
        assert both.tolist() == [expected] * len(edits)


def test_the_template_is_cut_where_the_instruction_begins(tokenizer: Any, pipeline: Any) -> None:
    assert pipeline.prompt_template_encode == TEMPLATE_PREFIX + TEMPLATE_MIDDLE + "{}" + TEMPLATE_END
    assert pipeline.prompt_template_encode_start_idx == CUT
    assert len(tokenizer(TEMPLATE_PREFIX)["input_ids"]) == CUT


@pytest.mark.parametrize("text", ["Paint it 3.5 times.", "把它涂成红色", "Ärger, 😀 こんにちは\n\tx"])
def test_any_text_comes_back_from_its_tokens(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_training_reads_an_instruction_as_the_pipeline_does(tokenizer: Any, pipeline: Any) -> None:
    edit = evaluation_edits(1)[0]
    image = Image.fromarray(draw([edit.source], 64)[0].numpy())
    for text in (edit.en, edit.zh):
        with torch.no_grad():
            real, mask = pipeline.encode_prompt(prompt=text, image=image)
            ours = Encoder(pipeline.text_encoder, tokenizer)(torch.tensor(Prompts([text], tokenizer, "cpu").ids))
        assert mask is None
        assert torch.equal(real, ours)


def test_rotations_in_real_numbers_equal_the_stock_ones(pipeline: Any) -> None:
    stock = pipeline.transformer
    fast = real_rope(type(stock).from_pretrained(EDITOR / "transformer", torch_dtype=torch.float32))
    generator = torch.Generator().manual_seed(0)
    noisy, source = torch.randn(2, 1, 16, 64, generator=generator)
    words = torch.randn(1, 7, 192, generator=generator)
    with torch.no_grad():
        a, b = (velocity(model, noisy, source, words, torch.tensor([0.5])) for model in (stock, fast))
    assert torch.allclose(a, b, atol=1e-4)


def test_one_frame_needs_two_dimensions_only() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval()
    image = torch.randn(1, 3, 1, 128, 128)
    with torch.no_grad():
        latents = vae.encode(image).latent_dist.mode()
        again = vae.decode(latents).sample
        one_frame(vae)
        assert torch.allclose(vae.encode(image).latent_dist.mode(), latents, atol=1e-5)
        assert torch.allclose(vae.decode(latents).sample, again, atol=1e-4)


def test_the_editor_edits_a_pair_and_gives_the_same_again(pipeline: Any) -> None:
    edit = evaluation_edits(1)[0]
    image = Image.fromarray(draw([edit.source], 512)[0].numpy())
    call = {"image": image, "prompt": edit.en, "num_inference_steps": 1, "true_cfg_scale": 1.0}
    a, b = (pipeline(**call, generator=torch.Generator().manual_seed(5)).images[0] for _ in range(2))
    assert a.size == (1024, 1024)
    assert a.tobytes() == b.tobytes()


def test_training_asks_the_judge_with_the_rubric_s_own_tokens(tokenizer: Any) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(JUDGE)
    torch.manual_seed(0)
    model = build_judge(tokenizer).eval()
    fast = FastJudge(model, tokenizer, "cpu")
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)) for _ in range(2)]
    for language, text in (("en", "Paint the red ball blue."), ("zh", "把红色的球涂成蓝色。")):
        source = Picture(sha256="")
        pair = Pair(pair_id="a", category="causal", instruction=text, sources=(source,), language=language)
        (asked,) = Brief().calls(pair)
        shown = iter(images)
        parts = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": next(shown)}
            for part in asked.parts
        ]
        messages = [{"role": "system", "content": asked.system}, {"role": "user", "content": parts}]
        real = processor.apply_chat_template(
            messages,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt"},
        )
        ids = [
            token
            for part in prompt_parts(CATEGORIES.index("causal"), language, text)
            for token in tokenizer(part)["input_ids"]
        ]
        assert real["input_ids"][0].tolist() == ids
        seen = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]).float() / 127.5 - 1
        with torch.no_grad():
            stock, ours = model(**real).logits[0], model.lm_head(fast.read(torch.tensor([ids]), *fast.see(seen)))[0]
        assert torch.allclose(stock, ours, atol=1e-3)


def test_the_judge_s_replies_are_one_number_and_the_editor_s_pictures_are_compared(tmp_path: Path) -> None:
    from editbench.demo.evaluate import evaluate_editor, evaluate_judge

    edits = evaluation_edits(2)
    assert evaluate_judge(edits, JUDGE, tmp_path)["readable"]["value"] == 1
    made = evaluate_editor(edits, EDITOR, 1, tmp_path / "editor", None)
    assert {made[language]["right"]["n"] for language in ("en", "zh")} == {2}


def test_muon_steps_many_small_matrices_at_once_as_torch_does_one_by_one() -> None:
    from editbench.demo.training.muon import BatchedMuon

    generator = torch.Generator().manual_seed(0)
    shapes = [(16, 8), (16, 8), (8, 32), (8, 8)]
    mine, theirs = (
        [torch.nn.Parameter(torch.randn(shape, generator=generator.manual_seed(1))) for shape in shapes]
        for _ in range(2)
    )
    batched = BatchedMuon(mine, lr=0.01, weight_decay=0.1)
    stock = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        batched.step()
        stock.step()
    for a, b in zip(mine, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_training_s_autoencoder_is_what_diffusers_makes_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from editbench.demo.training import session, train_vae

    # a second passes whenever the clock is read: the same number of steps on any machine
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    torch.set_num_threads(1)  # two would wait for each other longer than so small products take
    small = {"num_edits": 20, "side": 64}
    assert not train_vae.train(tmp_path, total_s=40, call_s=20, **small), "cut short, it is to go on"
    assert not (tmp_path / "vae.weights.pt").exists()
    assert train_vae.train(tmp_path, total_s=40, call_s=99, **small)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    resumed = next(line["step"] for line in log if line.get("resumed"))
    assert 0 < resumed < log[-1]["step"]

    stock = build_vae()
    stock.load_state_dict(torch.load(tmp_path / "vae.weights.pt", weights_only=True))
    images = train_vae.pictures(table_of([edit.source for edit in evaluation_edits(2)]), 64)
    with torch.no_grad():
        trained = train_vae.load(tmp_path, "cpu")
        latents = train_vae.encode(trained, images)
        again = stock.encode(images[:, :, None]).latent_dist.mode()
        assert torch.allclose(latents, again[:, :, 0], atol=1e-4)
        assert torch.allclose(train_vae.decode(trained, latents), stock._decode(again).sample[:, :, 0], atol=1e-3)
