"""Pinhole cameras: poses and intrinsics of the views of one scene.

Conventions, here and everywhere in the package: `viewmats` are world→camera, camera axes are
OpenCV's (+x right, +y down, +z forward), `Ks` are in pixels of (`width`, `height`), and the centre
of pixel (i, j) lies at (i + 0.5, j + 0.5).
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation
from torch import Tensor

# A rotation that went through float32 files and products is orthonormal to about 1e-6; what a
# person typed with three decimals is not, and is refused rather than repaired.
ROTATION_TOLERANCE = 1e-3

# Cameras closer together than this (in the units they come in) count as standing still: a pan has
# no extent to measure its scene by, and dividing by rounding errors would blow them up.
MIN_EXTENT = 0.1

# The same for cameras of any unit, as a share of their largest coordinate: twice the rounding of
# float32, which a pan far from the origin may have gone through.
STANDSTILL = 2e-7

# What a path whose cameras look at no common point extends to, in units of the distance to its
# subject: the mean of the paths that the procedural worlds are filmed with.
TYPICAL_EXTENT = 0.25

# A path has a subject if its view axes spread by 2.5 degrees (the sine squared), and pass each
# other within this share of the distance.
_MIN_SPREAD = 0.002
_MAX_MISS = 0.1


@dataclass(frozen=True)
class Cameras:
    """The cameras of one scene.

    Raises:
        ValueError: if shapes disagree, a value is not finite, a pose is not a rotation and a
            translation, or a focal length or size is not positive.
    """

    viewmats: Float[Tensor, "v 4 4"]
    """World→camera, OpenCV axes."""
    Ks: Float[Tensor, "v 3 3"]
    """Intrinsics in pixels of (`width`, `height`)."""
    width: int
    height: int

    def __post_init__(self) -> None:
        num_views = self.viewmats.shape[0]
        if self.viewmats.shape != (num_views, 4, 4) or self.Ks.shape != (num_views, 3, 3):
            raise ValueError(
                "expected viewmats [V,4,4] and Ks [V,3,3], "
                f"got {list(self.viewmats.shape)} and {list(self.Ks.shape)}"
            )
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size must be positive, got {self.width}x{self.height}")
        if not (torch.isfinite(self.viewmats).all() and torch.isfinite(self.Ks).all()):
            raise ValueError("a camera holds a value that is not finite")
        _check_poses(self.viewmats)
        if not (self.Ks[:, 0, 0] > 0).all() or not (self.Ks[:, 1, 1] > 0).all():
            raise ValueError("focal lengths must be positive")

    @property
    def num_views(self) -> int:
        """V, the number of cameras."""
        return self.viewmats.shape[0]

    @property
    def camtoworlds(self) -> Float[Tensor, "v 4 4"]:
        """Camera→world, the exact inverse of `viewmats`."""
        rotations = self.viewmats[:, :3, :3].mT
        camtoworlds = torch.eye(4, dtype=self.viewmats.dtype, device=self.viewmats.device).repeat(
            self.num_views, 1, 1
        )
        camtoworlds[:, :3, :3] = rotations
        camtoworlds[:, :3, 3:] = -rotations @ self.viewmats[:, :3, 3:]
        return camtoworlds

    @property
    def centers(self) -> Float[Tensor, "v 3"]:
        """Camera centres in the world."""
        return self.camtoworlds[:, :3, 3]

    def __getitem__(self, index: int | slice | list[int] | Tensor) -> "Cameras":
        """The cameras at `index`; an integer keeps the view axis."""
        index = [index] if isinstance(index, int) else index
        return replace(self, viewmats=self.viewmats[index], Ks=self.Ks[index])

    def to(self, *args, **kwargs) -> "Cameras":
        """As `Tensor.to`, on both tensors."""
        return replace(
            self, viewmats=self.viewmats.to(*args, **kwargs), Ks=self.Ks.to(*args, **kwargs)
        )

    def resized(self, width: int, height: int) -> "Cameras":
        """The same cameras seen at another image size."""
        factors = torch.tensor(
            [width / self.width, height / self.height, 1.0],
            dtype=self.Ks.dtype,
            device=self.Ks.device,
        )
        return replace(self, Ks=self.Ks * factors[:, None], width=width, height=height)

    def center_cropped(self, width: int, height: int) -> "Cameras":
        """The same cameras seen through the largest centred window of this shape, at this size.

        Pixels keep their shape, which `resized` changes with that of the image.
        """
        factor = max(width / self.width, height / self.height)
        Ks = self.Ks.clone()
        Ks[:, :2] *= factor
        Ks[:, 0, 2] -= (factor * self.width - width) / 2
        Ks[:, 1, 2] -= (factor * self.height - height) / 2
        return replace(self, Ks=Ks, width=width, height=height)

    def scaled(self, factor: float) -> "Cameras":
        """The same cameras in a world whose lengths are multiplied by `factor`."""
        viewmats = self.viewmats.clone()
        viewmats[:, :3, 3] *= factor
        return replace(self, viewmats=viewmats)

    def relative_to_first(self) -> "Cameras":
        """The same cameras in the frame of view 1, whose pose becomes the identity, exactly."""
        identity = torch.eye(4, dtype=self.viewmats.dtype, device=self.viewmats.device)[None]
        others = self.viewmats[1:] @ self.camtoworlds[0]
        return replace(self, viewmats=torch.cat([identity, others]))


def concatenate_cameras(cameras: list[Cameras]) -> Cameras:
    """One `Cameras` with the views of all.

    Raises:
        ValueError: if the list is empty or image sizes differ.
    """
    sizes = {(c.width, c.height) for c in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras must share one image size, got {sorted(sizes)}")
    return replace(
        cameras[0],
        viewmats=torch.cat([c.viewmats for c in cameras]),
        Ks=torch.cat([c.Ks for c in cameras]),
    )


def look_at(
    centers: Float[Tensor, "v 3"], targets: Float[Tensor, "v 3"], up: Float[Tensor, "3"]
) -> Float[Tensor, "v 4 4"]:
    """World→camera matrices at `centers` that look at `targets`, image top towards `up`.

    Raises:
        ValueError: if a target equals its centre or the view direction is parallel to `up`.
    """
    forward = torch.nn.functional.normalize(targets - centers, dim=-1)
    right = torch.linalg.cross(forward, up.expand_as(forward))
    if (right.norm(dim=-1) < 1e-6).any():
        raise ValueError("a view direction is zero or parallel to the up vector")
    right = torch.nn.functional.normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right)
    rotations = torch.stack([right, down, forward], dim=-2)
    viewmats = torch.eye(4, dtype=centers.dtype, device=centers.device).repeat(len(centers), 1, 1)
    viewmats[:, :3, :3] = rotations
    viewmats[:, :3, 3:] = -rotations @ centers[..., None]
    return viewmats


def normalize_cameras(cameras: Cameras, median_depth: float | None = None) -> tuple[Cameras, float]:
    """The cameras in the frame and unit of length that the models work in, and that unit.

    View 1 becomes the identity. The unit of length is the median depth of view 1 where that is
    known, otherwise the mean distance of the other cameras from view 1, but at least `MIN_EXTENT`.

    Args:
        cameras: one scene's cameras, in any frame and unit.
        median_depth: median depth of view 1, in the unit of `cameras`.

    Returns:
        The normalised cameras, and the unit: old lengths = unit × new lengths. The rest of the
        scene (depths, Gaussians) follows with `1 / unit`.

    Raises:
        ValueError: if `median_depth` is not positive and finite.
    """
    if median_depth is not None and not (math.isfinite(median_depth) and median_depth > 0):
        raise ValueError(f"median_depth must be positive and finite, got {median_depth}")
    relative = cameras.relative_to_first()
    unit = max(_extent(relative), MIN_EXTENT) if median_depth is None else median_depth
    return relative.scaled(1.0 / unit), unit


def stands_still(cameras: Cameras) -> bool:
    """Whether the centres differ by no more than rounding, whatever the unit."""
    centers = cameras.to(torch.float64).centers
    return _extent(cameras.to(torch.float64)) <= STANDSTILL * float(centers.abs().max())


def estimate_unit(cameras: Cameras) -> float:
    """What is probably the distance from camera 1 to the subject, in the cameras' unit.

    Where the view axes meet, it is the distance to that point; else it follows from the extent of
    the path (`TYPICAL_EXTENT`). Cameras that stand still have no unit: 1. The result is
    proportional to the cameras' lengths and does not depend on where they are.

    Args:
        cameras: one path, in any frame and unit.
    """
    cameras = cameras.to(torch.float64)
    if stands_still(cameras):
        return 1.0
    relative = cameras.relative_to_first()
    centers, axes = relative.centers, relative.viewmats[:, 2, :3]
    # The point nearest to all axes: Σ (1 - a aᵀ) (x - c) = 0.
    across = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
    total = across.sum(dim=0)
    extent = _extent(relative)
    if torch.linalg.eigvalsh(total)[0] >= _MIN_SPREAD * len(axes):
        subject = torch.linalg.solve(total, (across @ centers[:, :, None]).sum(dim=0)[:, 0])
        to_subject = subject - centers
        depths = (to_subject * axes).sum(dim=1)
        misses = (across @ to_subject[:, :, None]).norm(dim=1)[:, 0]
        if (misses <= _MAX_MISS * depths).all():
            return float(depths[0])
    return extent / TYPICAL_EXTENT


def cameras_along(cameras: Cameras, num_views: int) -> Cameras:
    """`num_views` cameras evenly along a path of any number; the cameras themselves if they fit."""
    if cameras.num_views == num_views:
        return cameras
    return interpolate_cameras(cameras, num_views)


def sample_path(cameras: Cameras, positions: Float[Tensor, " n"]) -> Cameras:
    """The cameras at `positions` of the smooth path through all of `cameras`.

    Position i is camera i itself (0-based); positions between follow a natural cubic spline of the
    centres, cubic Bézier segments on the rotations whose angular rates agree where they join, and
    linear intrinsics. Between two cameras that is the geodesic at constant speed; the path of the
    reversed cameras is the reversed path. A single camera stands still. Not differentiable.

    Raises:
        ValueError: if there is no camera, or a position is outside [0, V − 1].
    """
    last = cameras.num_views - 1
    if last < 0:
        raise ValueError("a path needs at least one camera, got none")
    where = positions.detach().double().cpu().numpy()
    if not ((where >= 0) & (where <= last)).all():
        raise ValueError(f"positions must lie in [0, {last}], got {where.min()} to {where.max()}")
    if last == 0:
        return cameras[[0] * len(where)]
    camtoworlds = cameras.to(torch.float64).camtoworlds.detach().cpu().numpy()
    rotations = _interpolate_rotations(Rotation.from_matrix(camtoworlds[:, :3, :3]), where)
    spline = CubicSpline(np.arange(last + 1), camtoworlds[:, :3, 3], bc_type="natural")
    centers = spline(where)
    viewmats = np.tile(np.eye(4), (len(where), 1, 1))
    viewmats[:, :3, :3] = rotations.inv().as_matrix()
    viewmats[:, :3, 3:] = -viewmats[:, :3, :3] @ centers[..., None]
    return replace(
        cameras,
        viewmats=torch.from_numpy(viewmats).to(cameras.viewmats),
        Ks=_interpolate_linearly(cameras.Ks, positions),
    )


def interpolate_cameras(cameras: Cameras, num_views: int) -> Cameras:
    """`num_views` cameras, evenly spaced in time on the path of `sample_path`, both ends included.

    Every given camera is met exactly if `num_views − 1` is a multiple of V − 1.

    Raises:
        ValueError: if `num_views` is below 1 or there is no camera.
    """
    if num_views < 1:
        raise ValueError(f"num_views must be at least 1, got {num_views}")
    last = max(cameras.num_views - 1, 0)
    return sample_path(cameras, torch.linspace(0, last, num_views, dtype=torch.float64))


def rotation_angle_degrees(
    a: Float[Tensor, "*batch 3 3"], b: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Angle of the rotation that takes `a` to `b`, in degrees, 0 to 180."""
    difference = a @ b.mT
    skew = difference - difference.mT
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    cosine = difference.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1
    # Both are doubled; the arctangent keeps its precision at 0 and 180 degrees, arccos does not.
    return torch.rad2deg(torch.atan2(axis.norm(dim=-1), cosine))


@dataclass(frozen=True)
class CameraErrors:
    """Differences of estimated cameras from reference cameras; those of view 1 are zero."""

    rotation_degrees: Float[Tensor, " v"]
    """Angle between the rotations, in the frame of view 1."""
    center_distances: Float[Tensor, " v"]
    """Distance between the centres, in the frame of view 1 and the reference's unit of length."""
    focal_ratios: Float[Tensor, " v"]
    """Estimated over reference focal length, at the same image size."""
    scale: float
    """What the estimated lengths were multiplied by before comparing."""


def camera_errors(
    estimated: Cameras, reference: Cameras, *, align_scale: bool = True
) -> CameraErrors:
    """Errors of `estimated` after both were brought to the frame of view 1.

    Args:
        estimated: V cameras.
        reference: V cameras.
        align_scale: multiply estimated lengths so that both have the same mean distance from view
            1. Only done where both extents exceed 1e-6 of the reference's unit: a pan has none.

    Raises:
        ValueError: if the numbers of views differ.
    """
    if estimated.num_views != reference.num_views:
        raise ValueError(
            f"expected {reference.num_views} estimated cameras, got {estimated.num_views}"
        )
    estimated = estimated.to(torch.float64).resized(reference.width, reference.height)
    estimated, reference = estimated.relative_to_first(), reference.to(estimated.viewmats)
    reference = reference.relative_to_first()
    extents = _extent(estimated), _extent(reference)
    scale = extents[1] / extents[0] if align_scale and min(extents) > 1e-6 else 1.0
    rotations = estimated.viewmats[:, :3, :3], reference.viewmats[:, :3, :3]
    focals = [c.Ks.diagonal(dim1=1, dim2=2)[:, :2].mean(dim=1) for c in (estimated, reference)]
    return CameraErrors(
        rotation_degrees=rotation_angle_degrees(*rotations),
        center_distances=(estimated.centers * scale - reference.centers).norm(dim=1),
        focal_ratios=focals[0] / focals[1],
        scale=scale,
    )


def _extent(cameras: Cameras) -> float:
    """Mean distance of the other cameras from view 1; 0 for a single camera."""
    if cameras.num_views < 2:
        return 0.0
    centers = cameras.centers
    return float((centers[1:] - centers[0]).norm(dim=1).mean())


def _interpolate_rotations(rotations: Rotation, where: np.ndarray) -> Rotation:
    """De Casteljau's construction with great arcs for lines, one cubic segment a pair of knots."""
    steps = (rotations[:-1].inv() * rotations[1:]).as_rotvec()
    inner = (steps[:-1] + steps[1:]) / 2
    # The rate of a natural end continues the first step away from the next knot's rate.
    ends = [1.5 * s - 0.5 * r for s, r in ((steps[:1], inner[:1]), (steps[-1:], inner[-1:]))]
    rates = np.concatenate([ends[0], inner, ends[1]]) if len(inner) else steps.repeat(2, axis=0)
    before = np.minimum(where.astype(int), len(steps) - 1)
    fraction = where - before
    start, end = (Rotation.from_matrix(rotations.as_matrix()[i]) for i in (before, before + 1))
    corners = [
        start,
        start * Rotation.from_rotvec(rates[before] / 3),
        end * Rotation.from_rotvec(-rates[before + 1] / 3),
        end,
    ]
    while len(corners) > 1:
        corners = [_blend_rotations(a, b, fraction) for a, b in pairwise(corners)]
    return corners[0]


def _blend_rotations(a: Rotation, b: Rotation, fraction: np.ndarray) -> Rotation:
    return a * Rotation.from_rotvec(fraction[:, None] * (a.inv() * b).as_rotvec())


def _interpolate_linearly(
    values: Float[Tensor, "v 3 3"], positions: Float[Tensor, " n"]
) -> Float[Tensor, "n 3 3"]:
    positions = positions.to(values)
    before = positions.floor().long().clamp(max=len(values) - 2)
    fraction = (positions - before)[:, None, None]
    return torch.lerp(values[before], values[before + 1], fraction)


def _check_poses(viewmats: Float[Tensor, "v 4 4"]) -> None:
    identity = torch.eye(4, dtype=viewmats.dtype, device=viewmats.device)
    rotations = viewmats[:, :3, :3]
    error = (rotations @ rotations.mT - identity[:3, :3]).abs().amax(dim=(1, 2))
    wrong = (error > ROTATION_TOLERANCE) | (torch.linalg.det(rotations) < 0)
    if wrong.any():
        view = int(wrong.nonzero()[0])
        raise ValueError(
            f"the pose of view {view + 1} is not a rotation (deviation {float(error[view]):.3g})"
        )
    if not (viewmats[:, 3] == identity[3]).all():
        raise ValueError("the last row of a pose must be 0, 0, 0, 1")
