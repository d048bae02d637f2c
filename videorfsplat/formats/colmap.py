"""COLMAP's text model: `cameras.txt`, `images.txt`, `points3D.txt`.

Its conventions are the package's (world→camera, OpenCV axes, pixel centres at +0.5), so nothing is
converted but rotations to quaternions, wxyz.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from videorfsplat.formats.axes import Axes, cameras_in_axes, gaussians_in_axes
from videorfsplat.formats.colmap_reconstruction import read_reconstruction
from videorfsplat.formats.files import write_file
from videorfsplat.formats.point_cloud import gaussians_to_points
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians

_PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE")


@dataclass(frozen=True)
class ColmapModel:
    """What a COLMAP model says, in the order of its image numbers."""

    cameras: Cameras
    image_names: list[str]


def save_colmap(
    cameras: Cameras,
    folder: str | Path,
    image_names: Sequence[str] | None = None,
    gaussians: Gaussians | None = None,
    *,
    axes: Axes = "opencv",
) -> None:
    """Write the three files of a model into `folder`, one camera for each distinct matrix.

    Args:
        cameras: V cameras.
        folder: made if needed; usually `sparse/0` beside a folder `images`.
        image_names: V names relative to the folder of images, default `000.png`, `001.png`, ….
        gaussians: their centres and base colours become the points; without them there are none.
        axes: world axes of the files.

    Raises:
        ValueError: if the number of names is not V, or a name is empty or has spaces.
    """
    if image_names is None:
        image_names = [f"{i:03d}.png" for i in range(cameras.num_views)]
    if len(image_names) != cameras.num_views:
        raise ValueError(f"expected {cameras.num_views} image names, got {len(image_names)}")
    for name in image_names:
        # COLMAP's own reader takes a name to end at the first space.
        if not name or len(name.split()) != 1:
            raise ValueError(f"an image name must not be empty or have spaces, got {name!r}")
    cameras = cameras_in_axes(cameras, axes)
    points = [] if gaussians is None else _point_lines(gaussians_in_axes(gaussians, axes))
    camera_lines, camera_ids = _camera_lines(cameras)
    image_lines = _image_lines(cameras, camera_ids, image_names)
    _write(folder, "cameras.txt", "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]", axes, camera_lines)
    columns = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of 2D points"
    _write(folder, "images.txt", columns, axes, image_lines)
    _write(folder, "points3D.txt", "POINT3D_ID X Y Z R G B ERROR TRACK[]", axes, points)


def load_colmap(folder: str | Path, dtype: torch.dtype = torch.float32) -> Cameras:
    """The cameras of a COLMAP model. See `read_colmap`."""
    return read_colmap(folder, dtype).cameras


def read_colmap(folder: str | Path, dtype: torch.dtype = torch.float32) -> ColmapModel:
    """Read cameras and image names of a model, text or binary, with pinhole cameras of one size.

    Raises:
        FileNotFoundError: if the file of cameras or of images is missing.
        ValueError: naming the file, the line and what is wrong.
    """
    model = read_reconstruction(folder)
    used = [model.cameras[image.camera_id] for image in model.images]
    sizes = {(camera.width, camera.height) for camera in used}
    if len(sizes) != 1:
        raise ValueError(f"{model.path}: all images must have one size, got {sorted(sizes)}")
    for camera in used:
        if camera.model not in _PINHOLES:
            raise ValueError(
                f"{model.path}: camera model {camera.model} is not {' or '.join(_PINHOLES)}; "
                "undistort first"
            )
    try:
        cameras = Cameras(
            torch.from_numpy(np.stack([image.viewmat for image in model.images])).to(dtype),
            torch.from_numpy(np.stack([camera.K for camera in used])).to(dtype),
            *sizes.pop(),
        )
    except ValueError as error:
        raise ValueError(f"{model.path}: {error}") from error
    return ColmapModel(cameras, [image.name for image in model.images])


def _camera_lines(cameras: Cameras) -> tuple[list[str], list[int]]:
    """Lines of the distinct cameras, and the number of each view's camera, from 1."""
    ids: dict[str, int] = {}
    camera_ids = []
    for K in cameras.Ks.detach().double().cpu().tolist():
        params = f"{K[0][0]!r} {K[1][1]!r} {K[0][2]!r} {K[1][2]!r}"
        camera_ids.append(ids.setdefault(params, len(ids) + 1))
    lines = [f"{i} PINHOLE {cameras.width} {cameras.height} {params}" for params, i in ids.items()]
    return lines, camera_ids


def _image_lines(cameras: Cameras, camera_ids: list[int], names: Sequence[str]) -> list[str]:
    viewmats = cameras.viewmats.detach().double().cpu().numpy()
    quats = Rotation.from_matrix(viewmats[:, :3, :3]).as_quat(canonical=True, scalar_first=True)
    poses = np.concatenate([quats, viewmats[:, :3, 3]], axis=1).tolist()
    lines = []
    for i, (pose, camera_id, name) in enumerate(zip(poses, camera_ids, names, strict=True)):
        # The second line holds the 2D points; there are none, but the line must be there.
        lines += [f"{i + 1} {' '.join(map(repr, pose))} {camera_id} {name}", ""]
    return lines


def _point_lines(gaussians: Gaussians) -> list[str]:
    means, colors = gaussians_to_points(gaussians)
    rows = zip(means.tolist(), colors.tolist(), strict=True)
    return [
        f"{i + 1} {x!r} {y!r} {z!r} {r} {g} {b} 0" for i, ((x, y, z), (r, g, b)) in enumerate(rows)
    ]


def _write(folder: str | Path, name: str, columns: str, axes: Axes, lines: list[str]) -> None:
    text = "\n".join([f"# {columns}", f"# world axes: {axes}", *lines])
    write_file(Path(folder) / name, (text + "\n").encode())
