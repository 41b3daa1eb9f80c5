"""The fast forward of Qwen3-VL against transformers' own, on a tiny dense model and a tiny one with experts."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from editbench.bench import random_judge
from editbench.judges import QwenVL
from editbench.models.checkpoints import locate
from editbench.models.qwen3_vl.forward import Qwen3VL
from editbench.rubrics.rubric import Question

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


def questions() -> list[Question]:
    from PIL import Image

    torch.manual_seed(1)
    found = []
    for system, size, text in ASKED:
        noise = () if size is None else (torch.rand(2, *size, 3) * 255).byte().numpy()
        pictures = [Image.fromarray(pixels) for pixels in noise]
        found.append(Question(system=system, content=(*pictures, f"Instruction: {text}")))
    return found


def prepared(judge: QwenVL, asked: list[Question]) -> list[Question]:
    return [judge.prepare(question, 256 * 256) for question in asked]


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
    for fast in (Qwen3VL(judge._model), Qwen3VL(judge._model, openings=1)):
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
        for fast in (Qwen3VL(judge._model), Qwen3VL(judge._model, openings=1)):
            fast.logits([prompts[1], prompts[4], prompts[2]])
            again, logits_again = written(fast, order)
            assert again == replies
            assert torch.equal(logits_again, logits)
        in_one_piece, logits_of_one = written(Qwen3VL(judge._model, openings=0), order)
        assert in_one_piece == replies
        torch.testing.assert_close(logits_of_one, logits, rtol=1e-4, atol=1e-4)


def test_a_rubrics_opening_is_read_once_and_the_last_used_are_kept(judge, monkeypatch):
    prompts = [question.prompt for question in prepared(judge, questions())]
    begins = [(prompt.ids == judge._model.config.image_token_id).nonzero()[:1, 0].tolist() for prompt in prompts]
    (first,), (_,), (other,), (alike,), none = begins
    assert (first == alike, first == other, none) == (True, False, [])
    fast, lengths = Qwen3VL(judge._model, openings=2), []
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
    kept = [parts for layers in fast._openings.values() for parts in layers]
    assert {keys.shape[2] for keys, _ in kept} == {first, other}
    assert len(kept) == 2 * len(fast._words.layers)
    assert all(part.untyped_storage().nbytes() == part.nbytes for parts in kept for part in parts)


def test_questions_are_prepared_alike_by_many_threads_at_once(judge):
    asked = questions() * 8
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda question: judge.prepare(question, 256 * 256).prompt, asked))
    for prompt, alone in zip(together, prepared(judge, asked), strict=True):
        assert torch.equal(prompt.ids, alone.prompt.ids)
        assert prompt.pixels is alone.prompt.pixels is None or torch.equal(prompt.pixels, alone.prompt.pixels)


def test_replies_are_those_of_generate_on_each_alone(judge, monkeypatch):
    monkeypatch.setattr("editbench.judges.qwen_vl.is_settled", lambda text: False)
    asked = prepared(judge, questions())
    ours = judge.replies(asked)
    stock = [judge._reply(judge._generate([question], None)[0]) for question in asked]
    assert ours == stock


def test_samples_do_not_depend_on_the_batch_and_follow_their_seeds(judge, monkeypatch):
    monkeypatch.setattr("editbench.judges.qwen_vl.is_settled", lambda text: False)
    asked = prepared(judge, questions())
    seeds = [[1, 2, 3], [4], [5, 6], [7], [8, 9]]
    together = judge.samples(asked, seeds)
    alone = [judge.samples([question], [of_one])[0] for question, of_one in zip(asked, seeds, strict=True)]
    assert together == alone
    assert [len(of_one) for of_one in together] == [3, 1, 2, 1, 2]
    assert judge.samples(asked[:1], [[3]])[0][0] == together[0][2]


def test_the_stock_loop_draws_the_same_samples(judge, monkeypatch):
    monkeypatch.setattr("editbench.judges.qwen_vl.is_settled", lambda text: False)
    asked, seeds = prepared(judge, questions()), [[7, 8], [9], [10], [11, 12], [13]]
    ours = judge.samples(asked, seeds)
    fast, judge._fast = judge._fast, None
    try:
        assert judge.samples(asked, seeds) == ours
    finally:
        judge._fast = fast


def test_probabilities_are_the_same_in_any_batch(judge):
    asked = prepared(judge, questions())
    digits = tuple("0123456789")
    together = judge.probabilities(asked, digits)
    alone = [judge.probabilities([question], digits)[0] for question in asked]
    assert together == alone
    assert all(0 <= sum(reply.probabilities) <= 1 + 1e-6 for reply in together)


def test_a_model_that_is_spread_or_of_another_kind_is_left_to_transformers():
    weights = [torch.empty(1), torch.empty(1, device="meta")]
    for kind, found in (("qwen3_vl", weights), ("llava", weights[:1])):
        model = SimpleNamespace(config=SimpleNamespace(model_type=kind), parameters=lambda found=found: found)
        assert not Qwen3VL.takes(model)
