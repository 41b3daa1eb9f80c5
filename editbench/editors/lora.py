"""LoRA files: converted as far as diffusers does it, and used to the last tensor or refused."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from editbench.errors import UsageError
from editbench.installation import install
from editbench.models.checkpoints import Header, loading, safetensors_header

_OPTION = "--editor.init_args.lora"
_OTHER_KINDS = {
    ".lokr_": "LoKr",
    ".hada_": "LoHa",
    ".oft_": "OFT",
    ".boft_": "BOFT",
    ".glora_": "GLoRA",
    ".dora_scale": "DoRA",
    ".lora_magnitude_vector": "DoRA",
}
_WRAPPER = "base_model.model."  # PEFT's own, round any model
_SHOWN = 3


def check_lora(lora: str) -> None:
    """See from its name, and where it is here from its header, that a LoRA can be loaded.

    Raises:
        UsageError: no such file, no name of a file on the hub, another kind of adapter, or no `peft` to load it with.
    """
    where = f"{_OPTION} {lora}"
    if not lora.endswith(".safetensors"):
        raise UsageError(f"{where}: name the file, here or on the hub (owner/name/file.safetensors)")
    if not Path(lora).is_file() and (lora.startswith((".", "/", "~")) or lora.count("/") < 2):
        raise UsageError(f"{where}: no such file, and not one on the hub (owner/name/file.safetensors) either")
    if find_spec("peft") is None:
        raise UsageError(f"{where}: needs peft; {install('lora')}")
    path = find(lora, ask_hub=False)
    if path is not None:
        _refuse_other_kinds(_header(path, where), where)


def find(lora: str, *, ask_hub: bool = True) -> Path | None:
    """Where the file is; None where it is not in the hub's cache and the hub is not asked.

    Raises:
        UsageError: the hub does not give it.
    """
    path = Path(lora)
    if path.is_file():
        return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    owner, name, file = lora.split("/", 2)
    if not ask_hub:
        try:
            return Path(hf_hub_download(f"{owner}/{name}", file, local_files_only=True))
        except LocalEntryNotFoundError:
            return None
    with loading(f"{owner}/{name}"):
        return Path(hf_hub_download(f"{owner}/{name}", file))


def check_keys(lora: str, pipeline_class: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """See, without reading weights, that each tensor of a LoRA that is here fits a layer of the checkpoint.

    Args:
        lora: as the user gave it.
        pipeline_class: of diffusers, whose conversion counts.
        shapes: by layer, such as `transformer.proj_out`, the shape of its weight.

    Raises:
        UsageError: a tensor fits nothing.
    """
    import torch
    from safetensors import safe_open

    path = find(lora, ask_hub=False)
    if path is None:
        return
    where = f"{_OPTION} {lora}"
    header = _header(path, where)
    tensors: dict[str, Any] = {
        name: torch.empty(entry.shape, device="meta") for name, entry in header.tensors.items() if entry.shape
    }
    opened: Any = safe_open(path, "pt")
    with opened as file:  # an alpha is one number, which the conversion reads
        tensors |= {name: file.get_tensor(name) for name, entry in header.tensors.items() if not entry.shape}
    components = {layer.split(".", 1)[0] for layer in shapes}
    _, converted = _convert(tensors, pipeline_class, shapes, where)
    # the names of a text encoder's layers are known only after it is loaded
    _refuse_unused(
        {
            key: tensor
            for key, tensor in converted.items()
            if key.split(".", 1)[0] in components or key.split(".", 1)[0] not in pipeline_class._lora_loadable_modules
        },
        shapes,
        where,
    )


def add_loras(pipeline: Any, loras: Sequence[str], weights: Sequence[float], *, fuse: bool) -> None:
    """Add LoRAs to the weights of a loaded pipeline.

    Args:
        pipeline: of diffusers.
        loras: as the user gave them.
        weights: of each, what its change of the weights is multiplied by.
        fuse: add them for good, so that they cost nothing in a forward; False: compute each beside its layer, as
            quantized weights need it.

    Raises:
        UsageError: a tensor of one of them was not used, or together they change no weight.
    """
    from safetensors.torch import load_file

    shapes = _shapes(pipeline)
    names: list[str] = []
    targets: set[str] = set()
    for number, lora in enumerate(loras):
        path, where = find(lora), f"{_OPTION} {lora}"
        assert path is not None
        header = _header(path, where)
        _refuse_other_kinds(header, where)
        to_load, converted = _convert(load_file(path), type(pipeline), shapes, where)
        _refuse_unused(converted, shapes, where)
        if not any(tensor.any() for key, tensor in converted.items() if ".lora_B." in key):
            raise UsageError(f"{where}: all its up weights are 0, so it changes nothing; was it saved before training?")
        _scale(to_load, _config(path, header), where)
        names.append(f"lora_{number}")
        pipeline.load_lora_weights(to_load, adapter_name=names[-1])
        if left := sorted(set(converted) - _used(pipeline, names[-1])):
            raise UsageError(f"{where}: {_those(left, len(converted))} were not used")
        targets |= {_layer(key) for key in converted}
    pipeline.set_adapters(names, list(weights))
    if not fuse:
        return
    before = _sums(pipeline, targets)
    try:
        pipeline.fuse_lora(adapter_names=names, safe_fusing=True)
    except ValueError as error:  # of values that are not finite
        raise UsageError(f"{_OPTION} {', '.join(loras)}: {error}") from error
    pipeline.unload_lora_weights()
    if before == _sums(pipeline, targets):
        raise UsageError(f"{_OPTION} {', '.join(loras)}: added to weights of this dtype they change none of them")


def _header(path: Path, where: str) -> Header:
    try:
        return safetensors_header(path)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def _refuse_other_kinds(header: Header, where: str) -> None:
    for mark, kind in _OTHER_KINDS.items():
        if found := [name for name in header.tensors if mark in name]:
            raise UsageError(f"{where} is {kind}, not LoRA: so say {_those(found, len(header.tensors))}")
    if not any(mark in name for name in header.tensors for mark in ("lora_A", "lora_down", "lora.down", "_lora.down")):
        raise UsageError(f"{where} holds no LoRA weights (it has {', '.join([*header.tensors][:_SHOWN]) or 'nothing'})")


def _convert(
    tensors: Mapping[str, Any], pipeline_class: Any, shapes: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to give to `load_lora_weights`, and what that will look for, by keys such as `transformer.….lora_A.weight`.

    PEFT's wrapper is taken off, and a layer that is named without its part gets the part's name, which diffusers does
    not do for every pipeline; everything else is diffusers' own conversion.
    """
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    if not hasattr(pipeline_class, "lora_state_dict"):
        raise UsageError(f"{where}: diffusers' {pipeline_class.__name__} takes no LoRA")
    parts = cast(list[str], pipeline_class._lora_loadable_modules)
    to_load = {key.removeprefix(_WRAPPER): tensor for key, tensor in tensors.items()}
    try:
        found = pipeline_class.lora_state_dict(dict(to_load))
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise UsageError(f"{where}: diffusers can't read its keys for {pipeline_class.__name__}: {error}") from error
    alphas = found[1] if isinstance(found, tuple) else None
    converted: dict[str, Any] = dict(cast(Any, found[0] if isinstance(found, tuple) else found))
    if any(".lora_A." not in key and ".lora_B." not in key for key in converted):
        converted = convert_unet_state_dict_to_peft(converted)
    converted = {_with_part(key, parts, shapes): tensor for key, tensor in converted.items()}
    before = [tensor.numel() for key, tensor in to_load.items() if not key.endswith(".alpha")]
    after = [tensor.numel() for tensor in converted.values()]
    if len(before) > len(after) or sum(before) > sum(after):  # two keys that are shortened to one name lose a tensor
        raise UsageError(
            f"{where}: diffusers reads {len(after)} tensors out of its {len(before)}; some names of layers are not "
            f"those of {pipeline_class.__name__}"
        )
    return (to_load if alphas else converted), converted


def _with_part(key: str, parts: Sequence[str], shapes: Mapping[str, Any]) -> str:
    """The key with the name of the pipeline's part before it, once, where it names a layer of that part."""
    part, _, rest = key.partition(".")
    if part in parts:  # diffusers' conversion may have put it before a key that had it
        return rest if rest.startswith(f"{part}.") else key
    layer = _layer(key)
    return next((f"{part}.{key}" for part in parts if f"{part}.{layer}" in shapes), key)


def _layer(key: str) -> str:
    return key.split(".lora_A.")[0].split(".lora_B.")[0].removesuffix(".alpha")


def _refuse_unused(converted: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], where: str) -> None:
    unknown = [key for key in converted if _layer(key) == key or _layer(key) not in shapes]
    if unknown:
        raise UsageError(
            f"{where}: {_those(unknown, len(converted))} fit no layer of this model; a LoRA is used whole or not at "
            "all. Was it trained for another model?"
        )
    for key, tensor in converted.items():
        down, up = ".lora_A.weight", ".lora_B.weight"
        if key.endswith(down):
            other = converted.get(key.replace(down, up))
            expected = shapes[_layer(key)]
            if other is None:
                raise UsageError(f"{where}: {key} has no {up[1:]} beside it; the file is incomplete")
            if tensor.shape[1] != expected[1] or other.shape[0] != expected[0] or tensor.shape[0] != other.shape[1]:
                raise UsageError(
                    f"{where}: {_layer(key)} has a weight of {'×'.join(map(str, expected))}, its LoRA is of "
                    f"{other.shape[0]}×{tensor.shape[1]}; it was trained for another model"
                )
        elif key.endswith(up) and key.replace(up, down) not in converted:
            raise UsageError(f"{where}: {key} has no {down[1:]} beside it; the file is incomplete")


def _those(keys: Sequence[str], number: int) -> str:
    return f"{len(keys)} of its {number} tensors (such as {', '.join(keys[:_SHOWN])})"


def _config(path: Path, header: Header) -> Mapping[str, Any]:
    """PEFT's settings of the LoRA, from the file's own header or the file that PEFT writes beside it; empty: none."""
    beside = path.parent / "adapter_config.json"
    text = header.metadata.get("lora_adapter_metadata")
    if text is None and path.name == "adapter_model.safetensors" and beside.is_file():
        text = beside.read_text(encoding="utf-8")
    try:
        row = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"{_OPTION} {path}: its settings ({beside.name}) are not JSON: {error}") from error
    return cast(dict[str, Any], row) if isinstance(row, dict) else {}


def _scale(tensors: dict[str, Any], config: Mapping[str, Any], where: str) -> None:
    """Multiply the up weights by alpha / rank as PEFT's settings say; without settings a LoRA is used as it is."""
    for key in [key for key in tensors if key.endswith(".lora_B.weight")]:
        part, layer = key.removesuffix(".lora_B.weight").split(".", 1)
        of_part = {name.removeprefix(f"{part}."): value for name, value in config.items()}
        if of_part.get("use_dora"):
            raise UsageError(f"{where} is DoRA, not LoRA: so say its settings")
        if "lora_alpha" not in of_part:
            continue
        patterns: dict[str, Any] = of_part.get("alpha_pattern") or {}
        alpha = next((value for name, value in patterns.items() if layer.endswith(name.lstrip("^"))), None)
        rank = tensors[key].shape[1]
        divisor = math.sqrt(rank) if of_part.get("use_rslora") else rank
        tensors[key] = tensors[key] * ((of_part["lora_alpha"] if alpha is None else alpha) / divisor)


def _shapes(pipeline: Any) -> dict[str, tuple[int, ...]]:
    """By layer, the shape of the weight that it computes with, however it is stored."""
    from torch.nn import Conv2d

    found: dict[str, tuple[int, ...]] = {}
    for part in getattr(pipeline, "_lora_loadable_modules", ()):
        for name, module in getattr(pipeline, part).named_modules():
            if hasattr(module, "in_features"):
                found[f"{part}.{name}"] = (module.out_features, module.in_features)
            elif isinstance(module, Conv2d):
                found[f"{part}.{name}"] = tuple(module.weight.shape)
    return found


def _used(pipeline: Any, adapter: str) -> set[str]:
    """The keys of a loaded adapter's weights, as they stand in the model."""
    from peft import get_peft_model_state_dict

    found: set[str] = set()
    for part in pipeline._lora_loadable_modules:
        model = getattr(pipeline, part, None)
        if adapter in getattr(model, "peft_config", {}):
            found |= {f"{part}.{key}" for key in get_peft_model_state_dict(model, adapter_name=adapter)}
    return found


def _sums(pipeline: Any, layers: Iterable[str]) -> list[float]:
    sums: list[float] = []
    for layer in sorted(layers):
        part, name = layer.split(".", 1)
        weight = getattr(pipeline, part).get_submodule(name).weight.detach()
        sums += [weight.double().sum().item(), weight.double().square().sum().item()]
    return sums
