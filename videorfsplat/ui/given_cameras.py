"""Cameras that a person gives: the presets by their names, and uploaded files."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videorfsplat.geometry.cameras import Cameras

PRESETS: dict[str, str] = {
    "orbit_left": "Orbit to the left",
    "orbit_right": "Orbit to the right",
    "dolly_in": "Dolly in",
    "dolly_out": "Dolly out",
    "truck_left": "Truck to the left",
    "truck_right": "Truck to the right",
    "pan_left": "Pan to the left",
    "pan_right": "Pan to the right",
    "crane_up": "Crane up",
    "crane_down": "Crane down",
    "spiral": "Spiral",
    "walk": "Walk",
}
"""What the page calls each of `videorfsplat.geometry.trajectories.TRAJECTORIES`."""

FILE_TRAJECTORY = "file"
"""Stands in a link for a file of cameras, which the link cannot hold."""

UPLOAD_SUFFIXES = (".json", ".npz", ".tum", ".glb", ".html", ".zip", ".txt")
"""Files of cameras that the page takes; a .zip is a COLMAP folder, a .txt RealEstate10K's."""

MAX_UPLOAD_BYTES = 8 * 2**20


def load_given_cameras(
    trajectory: str, num_views: int, width: int, height: int
) -> "tuple[Cameras, list[str]]":
    """The cameras of a preset, or of an uploaded file: as many as the model has views; and what was
    wrong with those of the file that are left out.

    Raises:
        ValueError: saying what is wrong with the file and what to do.
    """
    from videorfsplat.generation.camera_paths import load_camera_path
    from videorfsplat.geometry.cameras import cameras_along

    if trajectory not in PRESETS:
        check_upload(Path(trajectory))
    try:
        path = load_camera_path(trajectory, num_views=num_views, width=width, height=height)
    except ValueError as error:
        # The name of the file is that of our copy, which says nothing to the person.
        reason = str(error).removeprefix(f"{trajectory}: ")
        raise ValueError(f"The camera file cannot be read: {reason}.") from error
    return cameras_along(path.cameras, num_views), path.left_out


def check_upload(path: Path) -> None:
    """Refuse what need not be parsed.

    Raises:
        ValueError: if the file is missing, of no kind that is taken, empty or too large.
    """
    if path.suffix.lower() not in UPLOAD_SUFFIXES:
        raise ValueError(
            "The camera file must be a transforms.json, as nerfstudio writes it, or one of "
            f"{', '.join(UPLOAD_SUFFIXES[1:])}."
        )
    if not path.is_file():
        raise ValueError("The camera file is gone. Upload it again.")
    size = path.stat().st_size
    if not 0 < size <= MAX_UPLOAD_BYTES:
        raise ValueError(
            f"The camera file has {size} bytes; between 1 and {MAX_UPLOAD_BYTES} are read."
        )
