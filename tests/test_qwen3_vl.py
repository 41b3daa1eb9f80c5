"""The fast forward of Qwen3-VL against transformers' own, on a tiny dense model and a tiny one with experts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from editbench.bench import random_judge
from editbench.judges import Message, QwenVL
from editbench.models.checkpoints import locate
from editbench.models.qwen3_vl.forward import Qwen3VL

ASKED = [
    ("Rate the edit.", (256, 256), "Turn it blue."),
    ("Rate the edit.", (256, 256), "Remove the second cup from the table by the window."),
    ("Rate the edit in one aspect: light.", (256, 256), "Turn it blue."),
    ("Rate an edit.", (192, 320), "?"),  # another opening of the same length
    ("Rate the edit.", None, "There are no pictures."),
]


def tiny_with_experts():
    """Of the demo's sizes and tokens, with random experts."""
    model = random_judge.model("cpu", small=True)
    model.config.image_token_id = model.model.config.image_token_id = 2046
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2041, 2042
    return model


def demo_judge(model=None) -> QwenVL:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    where = locate("editbench:demo/judge")
    judge = QwenVL(model="editbench:demo/judge", dtype="float32", max_new_tokens=5)
    loaded = model or AutoModelForImageTextToText.from_pretrained(where, dtype=torch.float32).eval()
    judge.adopt(loaded, AutoProcessor.from_pretrained(where))
    return judge


@pytest.fixture(scope="module", params=["dense", "experts"])
def judge(request):
    torch.set_num_threads(1)
    return demo_judge(None if request.param == "dense" else tiny_with_experts())


def questions() -> list[Message]:
    from PIL import Image

    torch.manual_seed(1)
    found = []
    for system, size, text in ASKED:
        noise = () if size is None else (torch.rand(2, *size, 3) * 255).byte().numpy()
        pictures = [Image.fromarray(pixels) for pixels in noise]
        limits = (256 * 256,) * len(pictures)
        found.append(Message(system=system, content=(*pictures, f"Instruction: {text}"), max_pixels=limits))
    return found


def prepared(judge: QwenVL, asked: list[Message]) -> list[Message]:
    return [judge.prepare(question) for question in asked]


def test_the_next_tokens_logits_are_transformers_own(judge):
    for question in prepared(judge, questions()):
        inputs = judge._inputs([question])
        with torch.inference_mode():
            stock = judge._model(**inputs, logits_to_keep=1).logits[:, -1]
        ours = judge._fast.logits([question.prompt])
        torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-4)


def test_logits_are_the_same_whatever_was_read_before(judge):
    prompts = [question.prompt for question in prepared(judge, questions())]
    alone = [Qwen3VL(judge._model).logits([prompt]) for prompt in prompts]
    for fast in (Qwen3VL(judge._model), Qwen3VL(judge._model, prefix_bytes=30_000)):
        for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [2, 2, 0, 0, 2]):
            assert torch.equal(fast.logits([prompts[n] for n in order]), torch.cat([alone[n] for n in order]))


def test_replies_are_the_same_whatever_was_read_before(judge):
    prompts = [question.prompt for question in prepared(judge, questions())]

    def written(fast, order):
        seen = []

        def choose(logits, step):
            seen.append(logits.clone())
            return logits.argmax(-1)

        numbers = [1 + n % 3 for n in order]
        return fast.write([prompts[n] for n in order], numbers, choose, lambda tokens: False, 4), torch.cat(seen)

    for order in ([0, 1, 2, 3, 4], [3, 2, 1]):
        replies, logits = written(Qwen3VL(judge._model), order)
        for fast in (Qwen3VL(judge._model), Qwen3VL(judge._model, prefix_bytes=30_000)):
            fast.logits([prompts[1], prompts[4], prompts[2]])
            again, logits_again = written(fast, order)
            assert again == replies
            assert torch.equal(logits_again, logits)
        in_one_piece, logits_of_one = written(Qwen3VL(judge._model, prefix_bytes=None), order)
        assert in_one_piece == replies
        torch.testing.assert_close(logits_of_one, logits, rtol=1e-4, atol=1e-4)


def test_a_prefix_is_prefilled_once_and_the_least_recently_used_leaves_first(judge, monkeypatch):
    prompts = [question.prompt for question in prepared(judge, questions())]
    begins = [(prompt.ids == judge._model.config.image_token_id).nonzero()[:1, 0].tolist() for prompt in prompts]
    (first,), (_,), (other,), (alike,), none = begins
    assert (first == alike, first == other, none) == (True, False, [])
    fast, lengths = Qwen3VL(judge._model, prefix_bytes=0), []
    fast = Qwen3VL(judge._model, prefix_bytes=(first + other) * fast.token_bytes)  # room for these two
    embed = fast._embed
    monkeypatch.setattr(fast, "_embed", lambda ids: lengths.append(len(ids)) or embed(ids))

    def read(number):
        lengths.clear()
        fast.logits([prompts[number]])
        return list(lengths)

    whole = [len(prompt.ids) for prompt in prompts]
    assert read(0) == [first, whole[0] - first]
    assert read(2) == [other, whole[2] - other]
    assert read(1) == [whole[1] - first]
    assert read(4) == [whole[4]]
    assert read(3) == [alike, whole[3] - alike]  # in place of the other, which was used before the first
    assert read(0) == [whole[0] - first]
    assert read(2) == [other, whole[2] - other]
    kept = [parts for layers in fast._prefixes.values() for parts in layers]
    assert {keys.shape[2] for keys, _ in kept} == {first, other}
    assert len(kept) == 2 * len(fast._text.layers)
    assert all(part.untyped_storage().nbytes() == part.nbytes for parts in kept for part in parts)
    assert sum(part.nbytes for parts in kept for part in parts) <= fast.prefix_bytes
    fast.free()
    assert read(0) == [first, whole[0] - first]


def test_as_many_prefixes_are_kept_as_there_are_prompts(judge, monkeypatch):
    from PIL import Image

    picture = Image.new("RGB", (64, 64))
    asked = [Message(system=f"Rate {number}.", content=(picture, "x")) for number in range(30)]
    prompts = [question.prompt for question in prepared(judge, asked)]
    fast = Qwen3VL(judge._model)
    fast.logits(prompts)
    embedded = []
    embed = fast._embed
    monkeypatch.setattr(fast, "_embed", lambda ids: embedded.append(len(ids)) or embed(ids))
    fast.logits(prompts)
    assert len(embedded) == 30


@pytest.mark.parametrize("num_pictures", [0, 1, 3, 5])
def test_any_number_of_pictures_anywhere_in_the_message(judge, num_pictures):
    from PIL import Image

    content = ["Rate."]
    for number in range(num_pictures):
        content += [Image.new("RGB", (64 + 32 * number, 96), "red"), f"Picture {number}."]
    (asked,) = prepared(judge, [Message(content=tuple(content))])
    with torch.inference_mode():
        stock = judge._model(**judge._inputs([asked]), logits_to_keep=1).logits[:, -1]
    torch.testing.assert_close(judge._fast.logits([asked.prompt]), stock, rtol=1e-4, atol=1e-4)


def test_a_reply_ends_at_the_end_token_or_at_its_own_limit(judge):
    asked = prepared(judge, [replace(questions()[0], max_new_tokens=3)])
    (reply,) = judge.replies(asked)
    tokens = judge._processor.tokenizer(reply.text, add_special_tokens=False)["input_ids"]
    assert reply.truncated == (len(tokens) >= 3)
    (sampled,) = judge.samples(asked, [[1, 2]])
    assert len(sampled) == 2


def test_questions_are_prepared_alike_by_many_threads_at_once(judge):
    asked = questions() * 8
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda question: judge.prepare(question).prompt, asked))
    for prompt, alone in zip(together, prepared(judge, asked), strict=True):
        assert torch.equal(prompt.ids, alone.prompt.ids)
        assert prompt.pixels is alone.prompt.pixels is None or torch.equal(prompt.pixels, alone.prompt.pixels)


def test_replies_are_those_of_generate_on_each_alone(judge):
    asked = prepared(judge, questions())
    ours = judge.replies(asked)
    stock = [judge._reply(judge._generate([question], None)[0]) for question in asked]
    assert ours == stock


def test_samples_do_not_depend_on_the_batch_and_follow_their_seeds(judge):
    asked = prepared(judge, questions())
    seeds = [[1, 2, 3], [4], [5, 6], [7], [8, 9]]
    together = judge.samples(asked, seeds)
    alone = [judge.samples([question], [of_one])[0] for question, of_one in zip(asked, seeds, strict=True)]
    assert together == alone
    assert [len(of_one) for of_one in together] == [3, 1, 2, 1, 2]
    assert judge.samples(asked[:1], [[3]])[0][0] == together[0][2]


def test_the_stock_loop_draws_the_same_samples(judge):
    asked, seeds = prepared(judge, questions()), [[7, 8], [9], [10], [11, 12], [13]]
    ours = judge.samples(asked, seeds)
    fast, judge._fast = judge._fast, None
    try:
        assert judge.samples(asked, seeds) == ours
    finally:
        judge._fast = fast


def test_probabilities_are_the_same_in_any_batch(judge):
    asked = prepared(judge, [replace(question, digits=tuple("0123456789")) for question in questions()])
    together = judge.probabilities(asked)
    alone = [judge.probabilities([question])[0] for question in asked]
    assert together == alone
    assert all(0 <= sum(reply.probabilities) <= 1 + 1e-6 for reply in together)


def test_a_model_that_is_spread_or_of_another_kind_is_left_to_transformers():
    weights = [torch.empty(1), torch.empty(1, device="meta")]
    for kind, found in (("qwen3_vl", weights), ("llava", weights[:1])):
        model = SimpleNamespace(config=SimpleNamespace(model_type=kind), parameters=lambda found=found: found)
        assert not Qwen3VL.takes(model)
