"""Quantized weights by diffusers' own backends: a named, recorded way, never a default."""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from editbench.errors import UsageError
from editbench.models.checkpoints import loading, small_file

_OPTION = "--editor.init_args.quantization_config"
_PACKAGES = {
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "torchao": "torchao",
    "gguf": "gguf",
}
_FLAGS = {"bitsandbytes_4bit": "load_in_4bit", "bitsandbytes_8bit": "load_in_8bit"}
_KEYS = {"quant_backend", "quant_kwargs", "components_to_quantize", "file"}
_DENOISERS = ["transformer"]


def check_quantization(config: Mapping[str, Any]) -> None:
    """See that a configuration can work, without reading weights.

    Args:
        config: `quant_backend`, one of `bitsandbytes_4bit`, `bitsandbytes_8bit`, `torchao` and `gguf`; `quant_kwargs`
            for diffusers' configuration class, of torchao with `quant_type`, the name of a class of
            `torchao.quantization`, and that class's own arguments; `components_to_quantize`, the denoiser where none
            are named; for gguf the `file`, here or on the hub (owner/name/file.gguf).

    Raises:
        UsageError: an unknown key, an unknown backend, a missing package or file.
    """
    backend = config.get("quant_backend")
    if backend not in _PACKAGES:
        raise UsageError(f"{_OPTION}.quant_backend {backend}: it must be one of {', '.join(_PACKAGES)}")
    if unknown := sorted(set(config) - _KEYS):
        raise UsageError(f"{_OPTION}: {', '.join(unknown)} is unknown; it takes {', '.join(sorted(_KEYS))}")
    if find_spec(_PACKAGES[backend]) is None:
        raise UsageError(f"{_OPTION}.quant_backend {backend}: needs {_PACKAGES[backend]}; pip install it")
    if backend == "torchao" and "quant_type" not in config.get("quant_kwargs", {}):
        raise UsageError(f"{_OPTION}.quant_kwargs: torchao needs a quant_type, such as Int8WeightOnlyConfig")
    if (backend == "gguf") != ("file" in config):
        raise UsageError(f"{_OPTION}.file: gguf needs one, the other backends take none")
    if backend == "gguf":
        _check_gguf(str(config["file"]))
        if components(config) != _DENOISERS or config.get("quant_kwargs"):
            raise UsageError(
                f"{_OPTION}: a GGUF file is a whole transformer; quant_kwargs and other parts can't be set"
            )


def _check_gguf(file: str) -> None:
    path, where = Path(file), f"{_OPTION}.file {file}"
    if path.is_file():
        with path.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise UsageError(f"{where} does not begin as a GGUF file does; is it a git-lfs pointer?")
    elif not file.endswith(".gguf") or file.startswith((".", "/", "~")) or file.count("/") < 2:
        raise UsageError(f"{where}: no such file, and not one on the hub (owner/name/file.gguf) either")


def components(config: Mapping[str, Any]) -> list[str]:
    """Which parts of the pipeline are quantized."""
    named = config.get("components_to_quantize") or _DENOISERS
    return [named] if isinstance(named, str) else list(named)


def in_words(config: Mapping[str, Any]) -> str:
    """For a report: backend, what of the configuration sets the numbers, and the parts."""
    kind = (
        Path(config["file"]).name
        if "file" in config
        else ", ".join(f"{name} {value}" for name, value in config.get("quant_kwargs", {}).items())
    )
    return f"{config['quant_backend']} weights of {', '.join(components(config))}" + (f" ({kind})" if kind else "")


def scaled(sizes: Mapping[str, int], config: Mapping[str, Any], item_bytes: int) -> dict[str, int]:
    """The memory of each part, in bytes, where its size in 16 or 32 bits is given; of torchao's kinds the largest."""
    bits = {"bitsandbytes_4bit": 4.5, "bitsandbytes_8bit": 8, "torchao": 8, "gguf": 8.5}[config["quant_backend"]]
    quantized = components(config)
    return {part: int(size * bits / 8 / item_bytes) if part in quantized else size for part, size in sizes.items()}


def loading_arguments(
    config: Mapping[str, Any], model: str, checkpoint: str, revision: str | None, dtype: Any
) -> dict[str, Any]:
    """What `from_pretrained` of the pipeline gets so that it loads these parts quantized.

    Args:
        config: as checked.
        model: as the user gave it.
        checkpoint: what `from_pretrained` takes.
        revision: of a hub id.
        dtype: of the sums.

    Raises:
        UsageError: the pipeline has no such part, or its class does not take the arguments.
    """
    index = small_file(model, revision, "model_index.json")
    kinds: dict[str, Any] = {} if index is None else json.loads(index.read_text(encoding="utf-8"))
    missing = [part for part in components(config) if part not in kinds]
    if missing:
        raise UsageError(f"{_OPTION}.components_to_quantize: {model} has no part {', '.join(missing)}")
    if config["quant_backend"] == "gguf":
        return {"transformer": _from_gguf(config["file"], kinds["transformer"][1], checkpoint, revision, dtype)}
    from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig

    try:
        mapping: Any = {part: _part_config(config, kinds[part][0]) for part in components(config)}
    except (TypeError, ValueError) as error:
        raise UsageError(f"{_OPTION}.quant_kwargs: {error}") from error
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def _part_config(config: Mapping[str, Any], library: str) -> Any:
    """The configuration object of the library that the part comes from."""
    module: Any = import_module(library)
    kwargs: dict[str, Any] = dict(config.get("quant_kwargs", {}))
    if config["quant_backend"] == "torchao":
        name = kwargs.pop("quant_type")
        kind = getattr(import_module("torchao.quantization"), str(name), None)
        if kind is None:
            raise ValueError(f"torchao.quantization has no {name}")
        outer = {key: kwargs.pop(key) for key in ["modules_to_not_convert"] if key in kwargs}
        return module.TorchAoConfig(kind(**kwargs), **outer)
    flag = _FLAGS[config["quant_backend"]]
    accepted: Any = module.BitsAndBytesConfig
    found = accepted(**{flag: True} | kwargs)
    # the class takes any keyword and leaves those out that it does not know
    if unknown := [name for name in kwargs if not hasattr(found, name)]:
        raise ValueError(f"BitsAndBytesConfig has no {', '.join(unknown)}")
    return found


def _from_gguf(file: str, kind: str, checkpoint: str, revision: str | None, dtype: Any) -> Any:
    diffusers: Any = import_module("diffusers")
    path = file
    if not Path(file).is_file():
        from huggingface_hub import hf_hub_download

        owner, name, rest = file.split("/", 2)
        with loading(f"{owner}/{name}"):
            path = hf_hub_download(f"{owner}/{name}", rest)
    return getattr(diffusers, kind).from_single_file(
        path,
        quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype),
        config=checkpoint,
        subfolder="transformer",
        revision=revision,
        dtype=dtype,
    )


def found_in(pipeline: Any) -> dict[str, str]:
    """By part of a loaded pipeline, how its weights are quantized, whoever asked for it."""
    found: dict[str, str] = {}
    for name, part in pipeline.components.items():
        method = getattr(getattr(part, "hf_quantizer", None), "quantization_config", None)
        if method is not None:
            kind = method.quant_method
            found[name] = str(getattr(kind, "value", kind))
    return found


def refuse_unquantized(pipeline: Any, config: Mapping[str, Any]) -> None:
    """See that each named part of a loaded pipeline is quantized.

    Raises:
        UsageError: one is not.
    """
    held = found_in(pipeline)
    if left := [part for part in components(config) if part not in held]:
        raise UsageError(f"{_OPTION}: diffusers left {', '.join(left)} as it was")
