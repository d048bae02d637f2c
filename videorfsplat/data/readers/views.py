"""Which views of a recording make a training scene, and how they come to the model's size."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from videorfsplat.data.readers.frames import Picture, PictureFiles
from videorfsplat.data.readers.lens import undistort_frame
from videorfsplat.data.readers.sequence import Points, PosedSequence
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.geometry.cameras import (
    Cameras,
    rotation_angle_degrees,
    stands_still,
)

logger = logging.getLogger(__name__)

# Windows are drawn this often before a recording is given up.
_TRIES = 64
# Cameras this close together never moved, as a share of the depth of what they see.
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
    known = sequence.median_depths[sequence.median_depths.isfinite()]
    still = _STANDSTILL * float(known.median()) if len(known) else 0.0
    if extent <= still or stands_still(cameras):
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
    usable = list(range(len(sequence)))
    while True:
        part = _frames_of(sequence, usable)
        chosen = choose_views(part, sampling, rng, novel_views)
        others = np.setdiff1d(np.arange(chosen[0], chosen[-1]), chosen)
        drawn = chosen + np.sort(rng.choice(others, novel_views, replace=False)).tolist()
        indices = [usable[i] for i in chosen]
        read = [usable[i] for i in drawn]
        pictures, bad = _read(sequence, read)
        if not bad:
            break
        # One bad frame is no reason to lose the recording.
        logger.warning("%s: left out: %s", sequence.name, "; ".join(bad.values()))
        usable = [i for i in usable if i not in bad]
        if len(usable) < sampling.num_views + novel_views:
            raise ValueError(
                f"{sequence.name}: {len(usable)} good frames, {sampling.num_views + novel_views} "
                f"are needed; {next(iter(bad.values()))}"
            )
    frames, cameras = fit_views(
        pictures,
        sequence.cameras[read],
        sequence.distortion[read],
        (sampling.height, sampling.width),
        name=sequence.name,
        sizes=[sequence.size(index) for index in read],
    )
    depth = float(sequence.median_depths[indices[0]])
    count = len(indices)
    centers = cameras.centers[:count]
    # Recordings come in any unit, so that no length is too small; views in one place have none.
    extent = float((centers[1:] - centers[0]).norm(dim=1).mean()) or 1.0
    unit = depth if np.isfinite(depth) and depth > 0 else extent
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


def _frames_of(sequence: PosedSequence, indices: list[int]) -> PosedSequence:
    """The recording as if it had these frames alone; for choosing, not for reading."""
    if len(indices) == len(sequence):
        return sequence
    return PosedSequence(
        sequence.name,
        PictureFiles([Path()] * len(indices)),
        sequence.cameras[indices],
        sequence.distortion[indices],
        sequence.median_depths[indices],
        tuple(sequence.points[i] for i in indices),
    )


def _read(sequence: PosedSequence, indices: list[int]) -> tuple[list[Picture], dict[int, str]]:
    """Pictures, and what is wrong with frames that are no picture of their camera."""
    pictures, bad = [], {}
    for index in indices:
        try:
            pictures.append(sequence.frames.read(index))
            _check_shape(pictures[-1], sequence.size(index))
        except ValueError as error:
            bad[index] = f"frame {index + 1}: {error}"
    return pictures, bad


def _check_shape(picture: Picture, size: tuple[int, int]) -> None:
    height, width = picture.shape[:2]
    # A picture shrunk by a whole factor may have lost part of a pixel to rounding.
    if abs(width * size[1] - height * size[0]) > max(size):
        raise ValueError(
            f"pictures of {width}x{height} do not have the shape of the cameras' "
            f"{size[0]}x{size[1]}"
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
    sizes: list[tuple[int, int]] | None = None,
) -> tuple[UInt8[Tensor, "v 3 _ _"], Cameras]:
    """Undistort, crop and resize frames; the cameras follow.

    Every picture is cropped by its own camera. The crops have the principal point in their middle
    and the shape that makes pixels square, because raymaps are turned back into cameras as if both
    were so; they are the largest that give all views one field of view.

    Args:
        pictures: V frames, each of its camera's size or that times a factor.
        cameras: their cameras.
        distortion: their lenses.
        size: height and width of the result.
        name: of the scene, for messages.
        sizes: width and height of each camera, where they differ; `cameras` are stretched to one.

    Raises:
        ValueError: if a picture has another shape than its camera says.
    """
    sizes = [(cameras.width, cameras.height)] * len(pictures) if sizes is None else sizes
    scales = []
    for picture, stated in zip(pictures, sizes, strict=True):
        try:
            _check_shape(picture, stated)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        scales.append([picture.shape[1] / cameras.width, picture.shape[0] / cameras.height, 1.0])
    Ks = cameras.Ks * torch.tensor(scales, dtype=cameras.Ks.dtype)[:, :, None]
    shapes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    frames, cropped = [], []
    views = zip(pictures, Ks, distortion, _crop_windows(Ks, shapes, size), strict=True)
    for picture, K, lens, (top, left, height, width) in views:
        frame = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
        if lens.any():
            frame = undistort_frame(frame, K, lens)
        frame = frame[:, top : top + height, left : left + width]
        frame = F.interpolate(frame[None], size, mode="bilinear", antialias=True)[0]
        frames.append(frame.clamp(0, 255).round().byte())
        K = K.clone()
        K[:2, 2] -= torch.tensor([left, top], dtype=K.dtype)
        cropped.append(K * K.new_tensor([size[1] / width, size[0] / height, 1.0])[:, None])
    cameras = replace(cameras, Ks=torch.stack(cropped), width=size[1], height=size[0])
    return torch.stack(frames), cameras


def _crop_windows(
    Ks: Float[Tensor, "v 3 3"], shapes: list[tuple[int, int]], size: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of the crop of each view: one field of view for all."""
    wanted = size[1] / size[0]
    widths = []
    for K, (height, width) in zip(Ks.tolist(), shapes, strict=True):
        (fx, _, cx), (_, fy, cy), _ = K
        room_x, room_y = 2 * min(cx, width - cx), 2 * min(cy, height - cy)
        widths.append(min(room_x, room_y * wanted * fx / fy) / fx)
    tangent = min(widths)
    windows = []
    for K, (height, width) in zip(Ks.tolist(), shapes, strict=True):
        (fx, _, cx), (_, fy, cy), _ = K
        crop_width = min(max(round(tangent * fx), 1), width)
        crop_height = min(max(round(tangent * fy / wanted), 1), height)
        left = min(max(round(cx - crop_width / 2), 0), width - crop_width)
        top = min(max(round(cy - crop_height / 2), 0), height - crop_height)
        windows.append((top, left, crop_height, crop_width))
    return windows
