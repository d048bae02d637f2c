"""The few-step variant of a model: a few steps without guidance in place of many with it.

A model may bring it in its subfolder `few_step`: a LoRA for the transformer, which `train few-step`
makes, and the sampling that it was made for. This file is about the latter: plain data, read before
any model is loaded (`generation.load_pipeline` does the rest).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videorfsplat.formats.files import read_json_object, write_file
from videorfsplat.generation_settings import GenerationSettings, find_model

FEW_STEP_FOLDER = "few_step"
"""Of a model: `pytorch_lora_weights.safetensors` and `sampling.json`."""

_SAMPLING_NAME = "sampling.json"


@dataclass(frozen=True)
class FewStepSampling:
    """What a few-step variant was made for; it samples by Euler's method."""

    num_inference_steps: int
    pose_offset: float
    """δ."""

    def sampling(self) -> dict[str, Any]:
        """Arguments of a pipeline, by name; guidance is off, as the variant has learned it."""
        scales = ("guidance_scale", "pose_guidance_scale", "camera_guidance_scale")
        return {**asdict(self), **dict.fromkeys(scales, 1.0)}

    def settings(self) -> dict[str, Any]:
        """Settings of a generation, by name."""
        return {"few_step": True, **self.sampling()}

    def save(self, folder: Path) -> None:
        """Write it into the folder of the variant."""
        write_file(folder / _SAMPLING_NAME, f"{json.dumps(asdict(self), indent=2)}\n".encode())


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


def few_step_sampling(model: str) -> FewStepSampling:
    """The sampling of a model's few-step variant.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: if it brings no few-step variant, or one that is damaged.
    """
    path = few_step_folder(model) / _SAMPLING_NAME
    values = read_json_object(path)
    try:
        sampling = FewStepSampling(**values)
        GenerationSettings("checked", **sampling.settings())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return sampling
