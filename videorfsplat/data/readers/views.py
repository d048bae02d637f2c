"""Which views of a recording make a training scene, and how they come to the model's size."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from videorfsplat.data.readers.frames import Picture
from videorfsplat.data.readers.lens import undistort_frame
from videorfsplat.data.readers.sequence import Points, PosedSequence
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.geometry.cameras import Cameras, normalize_cameras, rotation_angle_degrees

# Windows are drawn this often before a recording is given up.
_TRIES = 64
# Reconstructions put scenes at about unit size: cameras this close together never moved.
_STANDSTILL = 1e-3


@dataclass(frozen=True)
class SceneSample:
    """Views of one recording, ready for training."""

    name: str
    indices: list[int]
    """Which frames of the recording."""
    frames: UInt8[Tensor, "v 3 h w"]
    cameras: Cameras
    """Normalised: view 1 is the identity, lengths in `unit`."""
    unit: float
    """Lengths of the recording per length here: median depth of view 1, or extent of the views."""
    points: Points
    """What each view sees of the recording's points, in the frame and unit of `cameras`."""
    novel_frames: UInt8[Tensor, "k 3 h w"]
    """Held back: of the same window, none of them among the views."""
    novel_cameras: Cameras
    """In the frame and unit of `cameras`."""


def choose_views(
    sequence: PosedSequence,
    sampling: ViewSampling,
    rng: np.random.Generator,
    novel_views: int = 0,
) -> list[int]:
    """Evenly spaced frames of a random window of the recording that obeys the rules of `sampling`.

    Args:
        sequence: the recording.
        sampling: the rules.
        rng: draws the window.
        novel_views: frames that the window must have besides.

    Raises:
        ValueError: naming the recording: too few frames, a camera that stands still, no window that
            obeys the rules.
    """
    count, cameras = len(sequence), sequence.cameras
    needed = sampling.num_views + novel_views
    if count < needed:
        raise ValueError(f"{sequence.name}: {count} frames, {needed} are needed")
    extent = float((cameras.centers - cameras.centers[0]).norm(dim=1).max())
    if extent < _STANDSTILL:
        raise ValueError(f"{sequence.name}: the camera stands still (extent {extent:.2g})")
    for _ in range(_TRIES):
        span = int(rng.integers(needed, count + 1))
        start = int(rng.integers(0, count - span + 1))
        indices = np.linspace(start, start + span - 1, sampling.num_views).round().astype(int)
        if _obeys(cameras[indices.tolist()], sequence, int(indices[0]), extent, sampling):
            return indices.tolist()
    raise ValueError(
        f"{sequence.name}: no {sampling.num_views} views with a baseline of at least "
        f"{sampling.min_baseline} and turns of at most {sampling.max_turn:g} degrees"
    )


def _obeys(
    cameras: Cameras, sequence: PosedSequence, first: int, extent: float, sampling: ViewSampling
) -> bool:
    centers = cameras.centers
    depth = float(sequence.median_depths[first])
    unit = depth if np.isfinite(depth) and depth > 0 else extent
    baseline = float((centers[1:] - centers[0]).norm(dim=1).mean()) / unit
    rotations = cameras.viewmats[:, :3, :3]
    turn = float(rotation_angle_degrees(rotations[1:], rotations[:-1]).max())
    return baseline >= sampling.min_baseline and turn <= sampling.max_turn


def draw_sample(
    sequence: PosedSequence,
    sampling: ViewSampling,
    rng: np.random.Generator,
    novel_views: int = 0,
) -> SceneSample:
    """Choose views of a recording, read them and bring them to size, frame and unit.

    Args:
        sequence: the recording.
        sampling: the rules.
        rng: draws the window, and which of its other frames are held back.
        novel_views: how many are held back.

    Raises:
        ValueError: as `choose_views`; naming a frame that cannot be read or has another shape.
    """
    indices = choose_views(sequence, sampling, rng, novel_views)
    others = np.setdiff1d(np.arange(indices[0], indices[-1]), indices)
    read = indices + np.sort(rng.choice(others, novel_views, replace=False)).tolist()
    frames, cameras = fit_views(
        [sequence.frames.read(index) for index in read],
        sequence.cameras[read],
        sequence.distortion[read],
        (sampling.height, sampling.width),
        name=sequence.name,
    )
    depth = float(sequence.median_depths[indices[0]])
    known = depth if np.isfinite(depth) and depth > 0 else None
    count = len(indices)
    _, unit = normalize_cameras(cameras[:count], known)
    start = sequence.cameras.viewmats[indices[0]]
    cameras = cameras.relative_to_first().scaled(1.0 / unit).to(torch.float32)
    return SceneSample(
        name=sequence.name,
        indices=indices,
        frames=frames[:count],
        cameras=cameras[:count],
        unit=unit,
        points=tuple(_moved(sequence.points[index], start, unit) for index in indices),
        novel_frames=frames[count:],
        novel_cameras=cameras[count:],
    )


def _moved(
    points: Float[Tensor, "n 3"], viewmat: Float[Tensor, "4 4"], unit: float
) -> Float[Tensor, "n 3"]:
    """World points in the frame of a camera, lengths in `unit`."""
    return ((points @ viewmat[:3, :3].T + viewmat[:3, 3]) / unit).to(torch.float32)


def point_depths(points: Points, cameras: Cameras) -> Float[Tensor, "v h w"]:
    """z-depth of the nearest point in each pixel of the views; NaN where there is none.

    Args:
        points: that each view sees, in the world of `cameras`.
        cameras: of the views.
    """
    width, height = cameras.width, cameras.height
    depths = torch.full((len(points), height * width), torch.inf)
    for nearest, seen, viewmat, K in zip(depths, points, cameras.viewmats, cameras.Ks, strict=True):
        local = seen @ viewmat[:3, :3].T + viewmat[:3, 3]
        local = local[local[:, 2] > 0]
        column, row = ((local @ K.T)[:, :2] / local[:, 2:]).floor().long().unbind(-1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        pixels = (row * width + column)[inside]
        nearest.scatter_reduce_(0, pixels, local[inside, 2], "amin")
    return depths.where(depths.isfinite(), torch.nan).unflatten(1, (height, width))


def fit_views(
    pictures: list[Picture],
    cameras: Cameras,
    distortion: Float[Tensor, "v 6"],
    size: tuple[int, int],
    *,
    name: str = "",
) -> tuple[UInt8[Tensor, "v 3 _ _"], Cameras]:
    """Undistort, crop and resize frames; the cameras follow.

    The crop is the largest with the principal point in its middle and the shape that makes pixels
    square, because raymaps are turned back into cameras as if both were so.

    Args:
        pictures: V frames of one size, the cameras' or that times a factor.
        cameras: their cameras.
        distortion: their lenses.
        size: height and width of the result.
        name: of the scene, for messages.

    Raises:
        ValueError: if a picture has another size or shape than the cameras say.
    """
    height, width = pictures[0].shape[:2]
    if any(picture.shape[:2] != (height, width) for picture in pictures):
        sizes = sorted({f"{p.shape[1]}x{p.shape[0]}" for p in pictures})
        raise ValueError(f"{name}: pictures differ in size, {', '.join(sizes)}")
    # A picture shrunk by a whole factor may have lost part of a pixel to rounding.
    if abs(width * cameras.height - height * cameras.width) > max(cameras.width, cameras.height):
        raise ValueError(
            f"{name}: pictures of {width}x{height} do not have the shape of the cameras' "
            f"{cameras.width}x{cameras.height}"
        )
    cameras = cameras.resized(width, height)
    crops, corners = _crop_windows(cameras, size)
    frames = []
    views = zip(pictures, cameras.Ks, distortion, corners, strict=True)
    for picture, K, lens, (left, top) in views:
        frame = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
        if lens.any():
            frame = undistort_frame(frame, K, lens)
        frame = frame[:, top : top + crops[0], left : left + crops[1]]
        frame = F.interpolate(frame[None], size, mode="bilinear", antialias=True)[0]
        frames.append(frame.clamp(0, 255).round().byte())
    Ks = cameras.Ks.clone()
    Ks[:, :2, 2] -= torch.tensor(corners, dtype=Ks.dtype)
    cropped = replace(cameras, Ks=Ks, width=crops[1], height=crops[0])
    return torch.stack(frames), cropped.resized(size[1], size[0])


def _crop_windows(
    cameras: Cameras, size: tuple[int, int]
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Height and width of the crop of all views, and its left and top edge in each."""
    centers = cameras.Ks[:, :2, 2]
    far = torch.tensor([cameras.width, cameras.height], dtype=centers.dtype)
    room_x, room_y = (2 * torch.minimum(centers, far - centers)).amin(dim=0).tolist()
    focal_x, focal_y = cameras.Ks[:, 0, 0].median(), cameras.Ks[:, 1, 1].median()
    aspect = size[1] / size[0] * float(focal_x / focal_y)
    crop_width = min(room_x, room_y * aspect)
    crop = max(round(crop_width / aspect), 1), max(round(crop_width), 1)
    corners = []
    for x, y in centers.tolist():
        left = min(max(round(x - crop[1] / 2), 0), cameras.width - crop[1])
        top = min(max(round(y - crop[0] / 2), 0), cameras.height - crop[0])
        corners.append((left, top))
    return crop, corners
