"""Weights of a published Mochi checkpoint into the image stream."""

from pathlib import Path
from typing import Any

from diffusers import MochiTransformer3DModel

from videorfsplat.models.transformer_videorfsplat import (
    VideoRFSplatTransformer3DModel,
    empty_image_stream,
)

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
    mochi: str | Path | MochiTransformer3DModel, **config: Any
) -> VideoRFSplatTransformer3DModel:
    """A dual-stream transformer whose image stream is Mochi; the rest starts untrained.

    Args:
        mochi: a loaded transformer, or a folder or hub id of one (of a whole pipeline, the
            transformer in its subfolder is read).
        config: constructor arguments that Mochi's config does not decide (the pose stream's).

    Raises:
        ValueError: if this is not a Mochi transformer: another class, another kind of block, or
            weights missing or left over.
    """
    if not isinstance(mochi, MochiTransformer3DModel):
        mochi = _load(mochi)
    _check_settings(mochi)
    shapes = {name: mochi.config[name] for name in _SHAPE_SETTINGS}
    with empty_image_stream():
        model = VideoRFSplatTransformer3DModel(**shapes, **config)
    result = model.image_stream.load_state_dict(mochi.state_dict(), strict=False, assign=True)
    if result.missing_keys or result.unexpected_keys:
        raise ValueError(
            f"not a Mochi transformer: missing {result.missing_keys}, "
            f"left over {result.unexpected_keys}"
        )
    return model


def _load(folder_or_hub_id: str | Path) -> MochiTransformer3DModel:
    """A transformer from its own folder, or from the subfolder of a whole pipeline."""
    path = Path(folder_or_hub_id)
    if path.is_dir():
        subfolder = "transformer" if (path / "model_index.json").exists() else None
    else:
        subfolder = "transformer"
    found = MochiTransformer3DModel.load_config(str(folder_or_hub_id), subfolder=subfolder)
    class_name = found.get("_class_name") if isinstance(found, dict) else None
    if class_name != MochiTransformer3DModel.__name__:
        raise ValueError(
            f"{folder_or_hub_id} holds a {class_name}, expected a MochiTransformer3DModel"
        )
    # Missing weights would stay random and superfluous ones be dropped, with a mere warning.
    loaded: Any = MochiTransformer3DModel.from_pretrained(
        str(folder_or_hub_id), subfolder=subfolder, output_loading_info=True
    )
    mochi, report = loaded
    if report["missing_keys"] or report["unexpected_keys"]:
        raise ValueError(
            f"{folder_or_hub_id} is not a Mochi transformer: missing {report['missing_keys']}, "
            f"left over {report['unexpected_keys']}"
        )
    return mochi


def _check_settings(mochi: MochiTransformer3DModel) -> None:
    for name, accepted in _FIXED_SETTINGS.items():
        if mochi.config[name] != accepted:
            raise ValueError(f"{name} must be {accepted!r}, got {mochi.config[name]!r}")
    if mochi.config["out_channels"] not in (None, mochi.config["in_channels"]):
        raise ValueError(
            f"out_channels must equal in_channels ({mochi.config['in_channels']}), "
            f"got {mochi.config['out_channels']}"
        )
