"""LoRA: on the image stream, which keeps what it knows, or on all that a transformer is made of."""

import torch
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from torch import nn

from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel


def add_image_lora(model: VideoRFSplatTransformer3DModel, rank: int, targets: list[str]) -> None:
    """Freeze the image stream but for low-rank additions; pose stream and exchanges are trained.

    Args:
        model: changed in place.
        rank: of the additions; their scale is 1.
        targets: layers of the image stream's attention, such as `to_q`.

    Raises:
        ValueError: if the attention has no such layer.
    """
    attention = model.image_stream.transformer_blocks[0].get_submodule("attn1")
    known = {name for name, _ in attention.named_modules()}
    unknown = [target for target in targets if target not in known]
    if unknown or not targets:
        raise ValueError(f"the attention has no layers {', '.join(unknown)}; LoRA needs some")
    names = "|".join(target.replace(".", r"\.") for target in targets)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=rf"image_stream\.transformer_blocks\.\d+\.attn1\.({names})",
    )
    model.add_adapter(config)
    # peft has frozen everything else.
    for part in (model.pose_stream, model.exchanges):
        part.requires_grad_(True)
    model.exchange_frequencies.requires_grad_(True)
    # Additions start in the precision of the weights that they add to, too coarse for small steps.
    cast_training_params(model, torch.float32)


def add_lora_everywhere(model: VideoRFSplatTransformer3DModel, rank: int) -> None:
    """Freeze all weights, and give every linear layer a low-rank addition that is trained.

    Args:
        model: changed in place; what it computes is not, as additions start at zero.
        rank: of the additions; their scale is 1.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers))
    cast_training_params(model, torch.float32)
