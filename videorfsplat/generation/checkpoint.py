"""What the name of a model stands for: its folder, and the few-step variant that it may bring.

Such a variant makes a scene in a few steps without guidance, in place of many with it. It is the
model's subfolder `few_step`: a LoRA for the transformer, which `train few-step` makes, and the
sampling that it was made for. All of this is plain data, read before any model is loaded
(`loading.load_pipeline` does the rest).
"""

import json
import re
from pathlib import Path
from typing import Any

from videorfsplat.formats.files import read_json_object, write_file
from videorfsplat.sampling.settings import GuidanceScales, Sampling

MINI_CHECKPOINT = Path(__file__).resolve().parents[1] / "checkpoints" / "mini"
"""The bundled model."""

FEW_STEP_FOLDER = "few_step"
"""Of a model: `pytorch_lora_weights.safetensors` and `sampling.json`."""

_SAMPLING_NAME = "sampling.json"
_FEW_STEP_SETTINGS = ("num_inference_steps", "pose_offset")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(model: str) -> Path | str:
    """The folder of a saved pipeline, or `model` itself if it is an id on the hub.

    Raises:
        FileNotFoundError: if the bundled model or the folder is missing.
        ValueError: if the folder holds no pipeline.
    """
    folder = MINI_CHECKPOINT if model == "mini" else Path(model)
    if model == "mini" and not folder.is_dir():
        raise FileNotFoundError(f"the bundled model is missing: {folder}")
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ValueError(f"{folder} holds no saved pipeline: model_index.json is missing")
        return folder
    if folder.exists() or not _HUB_ID.fullmatch(model) or model.startswith("."):
        raise FileNotFoundError(f"no model {model!r}: expected mini, a folder or a hub id")
    return model


def has_few_step(model: str) -> bool:
    """Whether a model brings a few-step variant; of one on the hub that is not known."""
    source = find_model(model)
    return isinstance(source, Path) and (source / FEW_STEP_FOLDER / _SAMPLING_NAME).is_file()


def few_step_folder(model: str) -> Path:
    """The folder of a model's few-step variant, fetched from the hub if the model is there.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: if it brings no few-step variant.
    """
    source = find_model(model)
    if not isinstance(source, Path):
        from videorfsplat.models.published import component_folder

        return component_folder(source, FEW_STEP_FOLDER)
    folder = source / FEW_STEP_FOLDER
    if not (folder / _SAMPLING_NAME).is_file():
        raise ValueError(f"{model} has no few-step variant: {folder / _SAMPLING_NAME} is missing")
    return folder


def few_step_sampling(model: str) -> Sampling:
    """The sampling that a model's few-step variant was made for, by Euler's method.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: if it brings no few-step variant, or one that is damaged.
    """
    path = few_step_folder(model) / _SAMPLING_NAME
    values = read_json_object(path)
    if values.keys() != set(_FEW_STEP_SETTINGS):
        expected = " and ".join(_FEW_STEP_SETTINGS)
        raise ValueError(f"{path} is damaged: expected {expected}, got {', '.join(values)}")
    try:
        return Sampling(**values, **vars(GuidanceScales()))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def few_step_settings(model: str) -> dict[str, Any]:
    """The settings of a generation by the variant of `few_step_sampling`, by name."""
    return {"few_step": True, **few_step_sampling(model).to_dict()}


def save_few_step_sampling(sampling: Sampling, folder: Path) -> None:
    """Write it into the folder of the variant, but for guidance: the variant has learned it."""
    values = {name: getattr(sampling, name) for name in _FEW_STEP_SETTINGS}
    write_file(folder / _SAMPLING_NAME, f"{json.dumps(values, indent=2)}\n".encode())
