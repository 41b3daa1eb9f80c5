"""A LoRA is used to the last tensor, or refused: no picture is said to be made with one that changed nothing."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageTransformer2DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from editbench.editors import QwenImageEdit
from editbench.editors.lora import _convert, add_loras, check_keys, check_lora
from editbench.errors import UsageError
from editbench.models.checkpoints import layer_shapes, locate

pytest.importorskip("peft")
DEMO = Path(locate("editbench:demo/editor"))
RANK = 4
LAYERS = tuple(
    f"transformer_blocks.{block}.{layer}"
    for block in (0, 5)
    for layer in ("attn.to_q", "attn.add_k_proj", "attn.to_out.0", "img_mlp.net.2", "txt_mod.1")
)
SHAPES = {f"transformer.{layer}": shape for layer, shape in layer_shapes(DEMO / "transformer").items()}


def factors(seed: int = 0) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """By layer, down and up."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for layer in LAYERS:
        height, width = SHAPES[f"transformer.{layer}"]
        down, up = torch.randn(RANK, width, generator=draw), torch.randn(height, RANK, generator=draw)
        found[layer] = (down, up * 0.01)
    return found


def written(form: str, alpha: float | None = None) -> dict[str, torch.Tensor]:
    """The same LoRA in the form of one of the tools that write them."""
    flat = {layer: layer.replace(".", "_") for layer in LAYERS}
    prefix, down, up = {
        "diffusers": ("transformer.{}", "lora_A", "lora_B"),
        "PEFT": ("base_model.model.{}", "lora_A", "lora_B"),
        "PEFT round the pipeline": ("base_model.model.transformer.{}", "lora_A", "lora_B"),
        "no prefix": ("{}", "lora_A", "lora_B"),
        "DiffSynth": ("{}", "lora_A.default", "lora_B.default"),
        "ComfyUI": ("diffusion_model.{}", "lora_A", "lora_B"),
        "ComfyUI, down and up": ("diffusion_model.{}", "lora_down", "lora_up"),
        "Kohya": ("lora_unet_{}", "lora_down", "lora_up"),
        "down and up": ("transformer.{}", "lora.down", "lora.up"),
    }[form]
    tensors = {}
    for layer, (low, high) in factors().items():
        name = prefix.format(flat[layer] if form == "Kohya" else layer)
        tensors |= {f"{name}.{down}.weight": low, f"{name}.{up}.weight": high}
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def save(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> str:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return str(path)


@pytest.fixture(scope="module")
def pipeline() -> QwenImageEditPipeline:
    return QwenImageEditPipeline.from_pretrained(DEMO, dtype=torch.float32)


@pytest.fixture
def fresh(pipeline) -> QwenImageEditPipeline:
    pipeline.unload_lora_weights()
    model = QwenImageTransformer2DModel.from_pretrained(DEMO, subfolder="transformer", dtype=torch.float32)
    pipeline.register_modules(transformer=model)
    return pipeline


def changes(pipeline: QwenImageEditPipeline) -> dict[str, torch.Tensor]:
    """By layer, what was added to the checkpoint's weights."""
    before = QwenImageTransformer2DModel.from_pretrained(
        DEMO, subfolder="transformer", dtype=torch.float32
    ).state_dict()
    after = pipeline.transformer.state_dict()
    assert before.keys() == after.keys()
    found = {name.removesuffix(".weight"): after[name] - before[name] for name in before}
    return {name: change for name, change in found.items() if change.any()}


def assert_added(pipeline: QwenImageEditPipeline, scale: float = 1.0) -> None:
    found = changes(pipeline)
    assert found.keys() == set(LAYERS)
    for layer, (down, up) in factors().items():
        assert torch.allclose(found[layer], scale * up @ down, atol=1e-5)


WITH_ALPHA = ("ComfyUI", "ComfyUI, down and up", "Kohya", "diffusers", "PEFT", "PEFT round the pipeline", "no prefix")
FORMS = [(form, None) for form in (*WITH_ALPHA, "DiffSynth", "down and up")] + [(form, 2.0) for form in WITH_ALPHA]


@pytest.mark.parametrize(("form", "alpha"), FORMS)
def test_a_lora_of_each_tool_changes_the_same_weights_by_the_same_amounts(fresh, tmp_path, form, alpha):
    lora = save(tmp_path / "a.safetensors", written(form, alpha))
    check_lora(lora)
    check_keys(lora, QwenImageEditPipeline, SHAPES)
    add_loras(fresh, [lora], [1.0], fuse=True)
    assert_added(fresh, 1.0 if alpha is None else alpha / RANK)
    assert type(fresh.transformer.transformer_blocks[0].attn.to_q) is torch.nn.Linear


def test_an_alpha_that_peft_writes_beside_the_weights_is_applied(fresh, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 12}))
    lora = save(tmp_path / "adapter_model.safetensors", written("PEFT"))
    add_loras(fresh, [lora], [1.0], fuse=True)
    assert_added(fresh, 3.0)


def test_an_alpha_that_diffusers_writes_into_the_header_is_applied(fresh, tmp_path):
    settings = {"transformer.r": RANK, "transformer.lora_alpha": 2, "transformer.alpha_pattern": {}}
    lora = save(tmp_path / "a.safetensors", written("diffusers"), {"lora_adapter_metadata": json.dumps(settings)})
    add_loras(fresh, [lora], [1.0], fuse=True)
    assert_added(fresh, 0.5)


def test_several_loras_are_added_with_their_weights(fresh, tmp_path):
    first = save(tmp_path / "a.safetensors", written("diffusers"))
    second = save(tmp_path / "b.safetensors", written("Kohya"))
    add_loras(fresh, [first, second], [0.5, -2.0], fuse=True)
    assert_added(fresh, -1.5)


def test_beside_quantized_weights_a_lora_stays_a_layer_of_its_own_with_its_weight(fresh, tmp_path):
    lora = save(tmp_path / "a.safetensors", written("diffusers"))
    add_loras(fresh, [lora], [0.5], fuse=False)
    layer = fresh.transformer.transformer_blocks[0].attn.to_q
    x = torch.randn(3, layer.in_features)
    down, up = factors()["transformer_blocks.0.attn.to_q"]
    assert torch.allclose(layer(x) - layer.base_layer(x), 0.5 * x @ down.T @ up.T, atol=1e-5)


def bad(kind: str) -> dict[str, torch.Tensor]:
    good, first = written("diffusers"), "transformer.transformer_blocks.0.attn.to_q"
    if kind == "no key fits":
        return {key.replace("transformer_blocks", "double_blocks"): value for key, value in good.items()}
    if kind == "one key does not fit":
        return good | {"transformer.transformer_blocks.9.attn.to_q.lora_A.weight": torch.ones(4, 192)}
    if kind == "of the text encoder only":
        return {f"text_encoder.model.layers.0.self_attn.q_proj.lora_{part}.weight": torch.ones(4, 4) for part in "AB"}
    if kind == "Kohya of the text encoder":
        return written("Kohya") | {"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(4, 4)}
    if kind == "LoKr":
        return {"diffusion_model.transformer_blocks.0.attn.to_q.lokr_w1": torch.ones(4, 4)}
    if kind == "LoHa":
        return {"lora_unet_transformer_blocks_0_attn_to_q.hada_w1_a": torch.ones(4, 4)}
    if kind == "DoRA":
        return good | {f"{first}.lora_magnitude_vector": torch.ones(192)}
    if kind == "another shape":
        return good | {f"{first}.lora_B.weight": torch.ones(96, RANK)}
    if kind == "without up":
        del good[f"{first}.lora_B.weight"]
        return good
    if kind == "a whole weight beside":
        return good | {"transformer.proj_out.weight": torch.ones(64, 192)}
    if kind == "no LoRA":
        return {"proj_out.weight": torch.ones(64, 192)}
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no key fits", r"20 of its 20 tensors \(such as transformer.double_blocks"),
        ("one key does not fit", "1 of its 21 tensors .such as transformer.transformer_blocks.9"),
        ("of the text encoder only", "2 of its 2 tensors .such as text_encoder"),
        ("Kohya of the text encoder", "lora_te1|diffusers can't read its keys"),
        ("LoKr", "is LoKr, not LoRA"),
        ("LoHa", "is LoHa, not LoRA"),
        ("DoRA", "is DoRA, not LoRA"),
        ("another shape", "to_q has a weight of 192×192, its LoRA is of 96×192"),
        ("without up", "has no lora_B.weight beside it"),
        ("a whole weight beside", "1 of its 21 tensors .such as transformer.proj_out.weight"),
        ("no LoRA", "holds no LoRA weights"),
    ],
)
def test_a_lora_that_does_not_fit_whole_is_refused_without_loading_the_model_and_again_at_its_load(
    fresh, tmp_path, kind, said
):
    lora = save(tmp_path / "a.safetensors", bad(kind))
    with pytest.raises(UsageError, match=said):
        QwenImageEdit(model=str(DEMO), lora=lora).check()
    with pytest.raises(UsageError, match=said):
        add_loras(fresh, [lora], [1.0], fuse=True)
    assert changes(fresh) == {}


def test_a_lora_that_changes_nothing_is_refused(fresh, tmp_path):
    zeros = {name: tensor * (".lora_A." in name) for name, tensor in written("diffusers").items()}
    lora = save(tmp_path / "zeros.safetensors", zeros)
    with pytest.raises(UsageError, match="all its up weights are 0"):
        add_loras(fresh, [lora], [1.0], fuse=True)
    lora = save(tmp_path / "faint.safetensors", {name: tensor * 1e-20 for name, tensor in written("diffusers").items()})
    with pytest.raises(UsageError, match="change none of them"):
        add_loras(fresh, [lora], [1.0], fuse=True)


def test_a_lora_that_is_not_a_number_is_refused(fresh, tmp_path):
    broken = written("diffusers")
    broken["transformer.transformer_blocks.0.attn.to_q.lora_B.weight"][0, 0] = torch.nan
    lora = save(tmp_path / "a.safetensors", broken)
    with pytest.raises(UsageError, match="NaN"):
        add_loras(fresh, [lora], [1.0], fuse=True)


def test_a_lora_file_that_is_cut_off_or_a_pointer_is_refused(tmp_path):
    lora = Path(save(tmp_path / "a.safetensors", written("diffusers")))
    lora.write_bytes(lora.read_bytes()[:-10])
    with pytest.raises(UsageError, match="is cut off"):
        check_lora(str(lora))
    lora.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", encoding="utf-8")
    with pytest.raises(UsageError, match="git-lfs pointer"):
        check_lora(str(lora))


@pytest.mark.parametrize("lora", ["./gone.safetensors", "gone.safetensors", "owner/name"])
def test_a_lora_that_cannot_be_found_is_said_before_anything_is_loaded(lora):
    with pytest.raises(UsageError, match="lora"):
        QwenImageEdit(model=str(DEMO), lora=lora).check()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_key_is_refused_or_changes_nothing(tmp_path_factory, data):
    form = data.draw(st.sampled_from(["diffusers", "PEFT", "no prefix", "ComfyUI", "ComfyUI, down and up", "Kohya"]))
    tensors = written(form)
    key = data.draw(st.sampled_from(sorted(tensors)))
    place = data.draw(st.integers(0, len(key) - 1))
    other = key[:place] + data.draw(st.sampled_from("x9._-")) + key[place + data.draw(st.integers(0, 1)) :]
    if other in tensors:
        return
    expected = _convert(tensors, QwenImageEditPipeline, SHAPES, "")[1]
    tensors[other] = tensors.pop(key)
    lora = save(tmp_path_factory.mktemp("lora") / "a.safetensors", tensors)
    try:
        check_keys(lora, QwenImageEditPipeline, SHAPES)
    except UsageError:
        return
    found = _convert(tensors, QwenImageEditPipeline, SHAPES, "")[1]  # diffusers may read past it
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_lora_s_content_decides_the_editor_s_identity(tmp_path):
    def identity() -> dict[str, str]:
        return QwenImageEdit(model=str(DEMO), lora=str(tmp_path / "a.safetensors")).identity()

    save(tmp_path / "a.safetensors", written("diffusers"))
    before = identity()
    assert before.keys() == {"weights", "lora 1"}
    trained_on = {name: tensor + 1e-3 for name, tensor in written("diffusers").items()}
    save(tmp_path / "a.safetensors", trained_on)
    after = identity()
    assert after["weights"] == before["weights"]
    assert after["lora 1"] != before["lora 1"]
