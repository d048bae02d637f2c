"""A trained model in diffusers' layout, however it was spread over processes."""

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import Mochi1LoraLoaderMixin

from videorfsplat.formats.files import exporting
from videorfsplat.training.run import TrainingRun


def save_model(run: TrainingRun, folder: Path) -> None:
    """Save the run's model as `save_pretrained` does, without LoRA layers.

    Every process calls this; the first one writes.
    """
    weights: dict[str, Any] = run.accelerator.get_state_dict(run.model)
    if not run.accelerator.is_main_process:
        return
    model = run.bare_model
    with torch.device("meta"):
        exported = type(model).from_config(model.config)
    # What training has told the model since it was made: `from_config` gives back the defaults.
    told = {name: value for name, value in model.config.items() if not name.startswith("_")}
    exported.register_to_config(**told)
    weights = {
        name.replace(".base_layer.", "."): weight
        for name, weight in weights.items()
        if ".lora_" not in name
    }
    exported.load_state_dict(weights, assign=True)
    with exporting(folder):
        exported.save_pretrained(folder)


def save_lora(run: TrainingRun, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Save the LoRA layers alone, for a pipeline's `load_lora_weights`; called as `save_model`.

    Args:
        run: its model.
        folder: to write.
        dtype: of the file; that of the layers if absent.
    """
    weights: dict[str, Any] = run.accelerator.get_state_dict(run.model)
    if run.accelerator.is_main_process:
        # Adapters are called "default" in the model, and nothing in files.
        layers: dict[str, Any] = {
            name.replace(".default.", "."): weight.to(dtype or weight.dtype)
            for name, weight in weights.items()
            if ".lora_" in name
        }
        with exporting(folder):
            Mochi1LoraLoaderMixin.save_lora_weights(folder, transformer_lora_layers=layers)
