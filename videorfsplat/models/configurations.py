"""The parts of a pipeline as modules: of the full size, and as a saved pipeline configures them."""

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLMochi
from torch import nn
from transformers import T5Config, T5EncoderModel

from videorfsplat.formats.files import read_json_object
from videorfsplat.models.gaussian_decoder import GaussianDecoder
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
    models = {}
    for name, part in _CLASSES.items():
        path = folder / name / "config.json"
        try:
            models[name] = part.from_config(read_json_object(path))
        except TypeError as error:
            raise ValueError(f"{path}: {error}") from error
    models["text_encoder"] = T5EncoderModel(
        T5Config(**read_json_object(folder / "text_encoder/config.json"))
    )
    return models
