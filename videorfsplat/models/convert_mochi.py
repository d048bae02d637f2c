"""Weights of a published Mochi checkpoint into the image stream."""

from pathlib import Path

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


def convert_mochi(
    mochi: str | Path | MochiTransformer3DModel, **config: object
) -> VideoRFSplatTransformer3DModel:
    """A dual-stream transformer whose image stream is Mochi; the rest starts untrained.

    Args:
        mochi: a loaded transformer, or a folder or hub id of one (of a whole pipeline, the
            transformer in its subfolder is read).
        config: constructor arguments that Mochi's config does not decide (the pose stream's).

    Raises:
        ValueError: if Mochi has a weight that the image stream lacks, or the other way round.
    """
    if not isinstance(mochi, MochiTransformer3DModel):
        mochi = _load(mochi)
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
    return MochiTransformer3DModel.from_pretrained(str(folder_or_hub_id), subfolder=subfolder)
