"""Which weights of the transformer a LoRA file is for."""

import re

from torch import Tensor, nn

PREFIX = "transformer."
"""What names of a LoRA for a pipeline start with, as diffusers writes them."""

IMAGE_STREAM = "image_stream."
"""Where `MochiPipeline` has its whole transformer."""


def fit_lora(state_dict: dict[str, Tensor], transformer: nn.Module) -> dict[str, Tensor]:
    """The weights under the names of this transformer's modules.

    Names are those of this pipeline, or of `MochiPipeline`, whose transformer is the image stream.

    Raises:
        ValueError: if a weight is for no module: what is left out would be missed silently.
    """
    modules = {name for name, _ in transformer.named_modules()}
    fitted, strange = {}, []
    for key, value in state_dict.items():
        name = key.removeprefix(PREFIX)
        module = re.split(r"\.lora\b|\.lora_|\.alpha$", name)[0]
        if not key.startswith(PREFIX) or not {module, IMAGE_STREAM + module} & modules:
            strange.append(key)
        else:
            fitted[PREFIX + (name if module in modules else IMAGE_STREAM + name)] = value
    if not fitted:
        example = f", such as {strange[0]!r}" if strange else ""
        raise ValueError(f"nothing of the LoRA fits this model: its {len(strange)} names{example}")
    if strange:
        raise ValueError(
            f"{len(strange)} of {len(state_dict)} weights of the LoRA fit no part of this model, "
            f"such as {strange[0]!r}"
        )
    return fitted
