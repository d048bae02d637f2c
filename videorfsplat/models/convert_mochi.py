"""Weights of a published Mochi checkpoint into the image stream."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import MochiTransformer3DModel
from torch import Tensor

from videorfsplat.models.published import component_folder, read_config, read_shards
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel

# Of Mochi's config, what decides the shapes of the image stream.
_SHAPE_SETTINGS = (
    "patch_size",
    "num_attention_heads",
    "attention_head_dim",
    "num_layers",
    "pooled_projection_dim",
    "in_channels",
    "text_embed_dim",
    "time_embed_dim",
    "max_sequence_length",
)
# What the image stream takes for granted, besides as many channels out as in.
_FIXED_SETTINGS = {"qk_norm": "rms_norm", "activation_fn": "swiglu"}


def convert_mochi(
    mochi: str | Path | MochiTransformer3DModel,
    *,
    dtype: torch.dtype | None = None,
    variant: str | None = None,
    **config: Any,
) -> VideoRFSplatTransformer3DModel:
    """A dual-stream transformer whose image stream is Mochi; the rest starts untrained.

    From files, weights are taken over shard by shard: they are never held twice.

    Args:
        mochi: a loaded transformer, or a folder or hub id of one (of a whole pipeline, the
            transformer in its subfolder is read).
        dtype: of the image stream; by default that of the weights.
        variant: precision of the stored weights where several are there, such as `bf16`.
        config: constructor arguments that Mochi's config does not decide (the pose stream's).

    Raises:
        ValueError: if this is not a Mochi transformer: another class, another kind of block,
            weights missing or left over, a file missing or damaged; naming the file.
    """
    if isinstance(mochi, MochiTransformer3DModel):
        return _build(dict(mochi.config), [mochi.state_dict()], "this", dtype, config)
    folder = component_folder(mochi, "transformer", variant=variant)
    settings = read_config(folder)
    class_name = settings.get("_class_name")
    if class_name != MochiTransformer3DModel.__name__:
        raise ValueError(f"{folder} holds a {class_name}, expected a MochiTransformer3DModel")
    return _build(settings, read_shards(folder, variant), str(folder), dtype, config)


def is_mochi(source: str | Path, variant: str | None = None) -> bool:
    """Whether a folder or hub id holds a Mochi transformer, alone or in a pipeline.

    Raises:
        ValueError: if there is no transformer.
    """
    config = read_config(component_folder(source, "transformer", variant=variant))
    return config.get("_class_name") == MochiTransformer3DModel.__name__


def _build(
    mochi_config: dict[str, Any],
    shards: Iterable[Mapping[str, Tensor]],
    source: str,
    dtype: torch.dtype | None,
    config: dict[str, Any],
) -> VideoRFSplatTransformer3DModel:
    _check_settings(mochi_config, source)
    decided = config.keys() & set(_SHAPE_SETTINGS)
    if decided:
        raise ValueError(f"{source} decides {', '.join(sorted(decided))}: leave them out")
    shapes = {name: mochi_config[name] for name in _SHAPE_SETTINGS}
    # No memory behind the image stream, which is given its weights below: ten billion parameters
    # are never held twice.
    with torch.device("meta"):
        model = VideoRFSplatTransformer3DModel(**shapes, **config)
    model.reset_pose_stream()
    stream = model.image_stream
    left_over: list[str] = []
    for shard in shards:
        weights = {name: weight.to(dtype or weight.dtype) for name, weight in shard.items()}
        try:
            result = stream.load_state_dict(weights, strict=False, assign=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise ValueError(f"{source} does not fit its own config: {reason}") from error
        left_over += result.unexpected_keys
    missing = [name for name, weight in stream.state_dict().items() if weight.is_meta]
    if missing or left_over:
        raise ValueError(
            f"{source} is not a Mochi transformer: missing {missing}, left over {left_over}"
        )
    return model


def _check_settings(mochi_config: dict[str, Any], source: str) -> None:
    absent = [name for name in (*_SHAPE_SETTINGS, *_FIXED_SETTINGS) if name not in mochi_config]
    if absent:
        raise ValueError(f"{source}: its config lacks {', '.join(absent)}")
    for name, accepted in _FIXED_SETTINGS.items():
        if mochi_config[name] != accepted:
            raise ValueError(f"{source}: {name} must be {accepted!r}, got {mochi_config[name]!r}")
    channels = mochi_config["in_channels"]
    if mochi_config.get("out_channels") not in (None, channels):
        raise ValueError(
            f"{source}: out_channels must equal in_channels ({channels}), "
            f"got {mochi_config['out_channels']}"
        )
