"""Camera paths as a user names them: a preset, or a transforms.json file."""

from pathlib import Path

from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.trajectories import TRAJECTORIES, trajectory


def load_camera_path(
    name: str, *, num_views: int = 8, width: int = 96, height: int = 96
) -> Cameras:
    """The cameras of a preset, or those of a file, as they are in it.

    Args:
        name: one of `TRAJECTORIES`, or the path of a `transforms.json`.
        num_views: cameras of a preset.
        width: image width of a preset, in pixels.
        height: image height of a preset, in pixels.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the name is unknown, or naming the file and what is wrong with it.
    """
    if name in TRAJECTORIES:
        return trajectory(name, num_views=num_views, width=width, height=height)
    path = Path(name)
    if not path.exists() and path.suffix.lower() != ".json":
        known = ", ".join(TRAJECTORIES)
        raise ValueError(f"unknown trajectory {name!r}: expected a transforms.json or {known}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return load_transforms(path)
