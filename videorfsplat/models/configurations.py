"""The parts of a pipeline as modules: of the full size, and as a saved pipeline configures them."""

import importlib
import inspect
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any

import torch
from diffusers import AutoencoderKLMochi, ConfigMixin
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, T5Config, T5EncoderModel

from videorfsplat.formats.files import read_json_object, reading
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.published import PIPELINE_INDEX
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel

T5_XXL: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
"""Constructor arguments of `T5Config` for google/t5-v1_1-xxl, Mochi's text encoder."""

_CLASSES = {
    "transformer": VideoRFSplatTransformer3DModel,
    "vae": AutoencoderKLMochi,
    "gaussian_decoder": GaussianDecoder,
}
# Where diffusers looks up what a saved pipeline names; a module of ours must be imported by then.
_LIBRARIES = ("diffusers", "transformers")
_JSON_FILES = ("config.json", "scheduler_config.json", "tokenizer_config.json", "tokenizer.json")


def full_models() -> dict[str, nn.Module]:
    """Parts of the full size by name; call it on the meta device, for they take 60 GB."""
    models: dict[str, nn.Module] = {name: part() for name, part in _CLASSES.items()}
    return models | {"text_encoder": T5EncoderModel(T5Config(**T5_XXL))}


def saved_models(folder: Path) -> dict[str, nn.Module]:
    """Parts of a saved pipeline by name, as its configuration files say, without its weights.

    Raises:
        FileNotFoundError: if a part has no configuration.
        ValueError: naming a configuration that cannot be used.
    """
    models: dict[str, nn.Module] = {
        name: part.from_config(read_configuration(folder / name / "config.json", part))
        for name, part in _CLASSES.items()
    }
    models["text_encoder"] = T5EncoderModel(
        T5Config(**read_json_object(folder / "text_encoder/config.json"))
    )
    return models


def check_saved_pipeline(folder: Path) -> None:
    """Check all plain data of a saved pipeline, before any of it is used.

    The libraries that read it meet a value of a wrong kind as a `TypeError` or a `KeyError`, deep
    inside; from then on a damaged file cannot be told from a fault in a program.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: naming the file that is damaged, and the value.
    """
    for name, part in _parts(folder / PIPELINE_INDEX).items():
        for path in (folder / name / file for file in _JSON_FILES):
            if not path.is_file():
                continue
            if issubclass(part, ConfigMixin):
                read_configuration(path, part)
            elif not isinstance(read_json_object(path).get("model_type", ""), str):
                raise ValueError(f"{path}: model_type must be a text")
        if issubclass(part, PreTrainedModel):
            with reading(folder / name / "config.json"), torch.device("meta"):
                config_class: Any = part.config_class
                part(config_class.from_pretrained(folder / name))


def load_tokenizers(folder: Path) -> dict[str, PreTrainedTokenizerBase]:
    """The tokenizers of a saved pipeline, by the name of the part.

    Raises:
        ValueError: naming the folder of one that is damaged.
    """
    tokenizers = {}
    for name, part in _parts(folder / PIPELINE_INDEX).items():
        if issubclass(part, PreTrainedTokenizerBase):
            with reading(folder / name):
                tokenizers[name] = part.from_pretrained(folder / name)
    return tokenizers


def _parts(index: Path) -> dict[str, type]:
    """The class of each part that is there, by name.

    Raises:
        ValueError: if the index is damaged.
    """
    values = read_json_object(index)
    if not isinstance(values.get("_class_name"), str):
        raise ValueError(f"{index} is damaged: _class_name is missing or no text")
    if not isinstance(values.get("base_schedule", ""), str):
        raise ValueError(f"{index} is damaged: base_schedule is no text")
    parts = {}
    for name, value in values.items():
        if name.startswith("_") or name == "base_schedule":
            continue
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError(f"{index} is damaged: {name} must be a library and a class")
        library, class_name = value
        if library is None and class_name is None:
            continue
        module = _library(library)
        part = getattr(module, class_name, None) if isinstance(class_name, str) else None
        if not isinstance(part, type):
            raise ValueError(f"{index}: there is no {class_name!r} in {library!r} for {name}")
        parts[name] = part
    return parts


def _library(name: Any) -> ModuleType | None:
    if name in _LIBRARIES:
        return importlib.import_module(name)
    return sys.modules.get(name) if isinstance(name, str) else None


def read_configuration(path: Path, part: type) -> dict[str, Any]:
    """The arguments of a part's constructor, each of the kind that it declares.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: naming the file and the value.
    """
    values = read_json_object(path)
    constructor = part.__init__
    hints = typing.get_type_hints(constructor)
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name not in values or values[name] == parameter.default:
            continue
        value, hint = values[name], hints.get(name, Any)
        is_emptied = value == [] and isinstance(parameter.default, list | tuple)
        if is_emptied or not _fits(value, hint):
            kind = hint if typing.get_args(hint) else getattr(hint, "__name__", hint)
            raise ValueError(f"{path}: {name} must be {kind}, got {value!r:.40}")
    return values


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON can be what an annotation says; unknown annotations take anything."""
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return any(_fits(value, kind) for kind in inner)
    if origin is typing.Literal:
        return value in inner
    if origin in (list, tuple):
        kinds = {kind for kind in inner if kind is not Ellipsis} or {Any}
        return isinstance(value, list) and all(
            any(_fits(item, kind) for kind in kinds) for item in value
        )
    if origin in (dict, Mapping):
        return isinstance(value, dict)
    if origin in (int, float) and isinstance(value, bool):
        return False
    if origin is float:
        return isinstance(value, int | float)
    return isinstance(value, origin) if origin in (bool, int, str, NoneType) else origin is Any
