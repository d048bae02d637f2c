"""Depths as pictures: near is light and warm, far is dark and cold."""

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

# From far to near, evenly spaced in inverse depth.
_COLORS = np.array(
    [(22, 20, 48), (62, 40, 116), (138, 52, 128), (214, 84, 96), (250, 156, 92), (255, 240, 190)],
    dtype=float,
)
# The farthest and nearest hundredth of the pixels do not decide the range.
_RANGE_PERCENT = (1.0, 99.0)


def color_depths(depths: np.ndarray) -> np.ndarray:
    """Pictures of depths, on one scale for all views.

    Args:
        depths: [V,H,W], along the camera's z axis; 0 where nothing is seen, which is shown as far.

    Returns:
        uint8 of shape [V,H,W,3].
    """
    is_seen = np.isfinite(depths) & (depths > 0)
    inverse = np.divide(1.0, depths, out=np.zeros(depths.shape), where=is_seen)
    low, high = np.percentile(inverse[is_seen], _RANGE_PERCENT) if is_seen.any() else (0.0, 1.0)
    nearness = np.clip((inverse - low) / max(high - low, 1e-9), 0, 1)
    places = np.linspace(0, 1, len(_COLORS))
    channels = [np.interp(nearness, places, _COLORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def write_depth_pictures(folder: Path) -> list[Path]:
    """Write `depth/000.png`, … beside the frames of a scene folder, if it has depths.

    Pictures that are there already are kept; a packed scene has nothing else.
    """
    source = folder / "depths.safetensors"
    pictures = sorted((folder / "depth").glob("*.png"))
    if pictures or not source.is_file():
        return pictures
    (folder / "depth").mkdir()
    paths = []
    for index, picture in enumerate(color_depths(load_file(source)["depths"][..., 0])):
        paths.append(folder / "depth" / f"{index:03d}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths
