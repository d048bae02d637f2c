"""Rays of cameras, and cameras of rays: the raymap that the pose stream generates.

A raymap holds, at every cell of a grid that covers the image, the Plücker coordinates of the ray
through the cell's centre: unit world direction, then moment = origin × direction. Going back is a
closed-form fit, so that any generated raymap, however noisy, gives pinhole cameras and a residual.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras

# Field of view of the image's longer side that a fitted focal length may have: lenses of 200 mm to
# 5 mm on film of 36 mm, beyond which no picture of straight lines is taken.
MIN_FOV_DEGREES = 10.0
MAX_FOV_DEGREES = 150.0

# Steps of the coarse search over log focal (18 % apart), and of the refinement in the interval
# around the best, which reaches rounding errors in 7 or 8.
NUM_COARSE_FOCALS = 24
NUM_REFINEMENTS = 10


@dataclass(frozen=True)
class RayFit:
    """Cameras fitted to a raymap, and how well they explain it.

    Residuals estimate the standard deviation of the noise on each ray coordinate that would leave
    what the fit could not explain (degrees of freedom taken off), so a clean raymap has 0 and one
    with isotropic noise s has s. Moments and therefore `residual` depend on the unit of length.
    """

    cameras: Cameras
    residual: float
    """Of all six coordinates."""
    direction_residual: float
    """Of the unit directions alone, in radians across the ray."""
    moment_residual: float
    """Of the moments alone, in scene units."""
    view_residuals: Float[Tensor, " v"]
    """`residual` of each view."""
    rotation_error_degrees: float
    """Root mean square rotation error of a view that `direction_residual` implies."""


def camera_rays(
    viewmats: Float[Tensor, "*batch v 4 4"],
    Ks: Float[Tensor, "*batch v 3 3"],
    width: int,
    height: int,
    grid_height: int,
    grid_width: int,
) -> tuple[Float[Tensor, "*batch v h w 3"], Float[Tensor, "*batch v h w 3"]]:
    """World rays through the centres of a grid that covers the image; differentiable.

    Args:
        viewmats: world→camera.
        Ks: in pixels of `width`, `height`.
        width: image width, in pixels.
        height: image height, in pixels.
        grid_height: rows of the grid.
        grid_width: columns of the grid.

    Returns:
        Origins and unit directions.
    """
    x, y = _cell_centers(width, height, grid_height, grid_width, like=Ks)
    fx, fy, skew = (Ks[..., i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 1)))
    y = (y[:, None] - Ks[..., 1, 2, None, None]) / fy
    x = (x[None, :] - Ks[..., 0, 2, None, None] - skew * y) / fx
    x, y = torch.broadcast_tensors(x, y)
    local = torch.nn.functional.normalize(torch.stack([x, y, torch.ones_like(x)], dim=-1), dim=-1)
    rotations = viewmats[..., :3, :3]
    rays_d = torch.einsum("...hwi,...ij->...hwj", local, rotations)
    origins = -(rotations.mT @ viewmats[..., :3, 3:])[..., 0]
    return origins[..., None, None, :].expand_as(rays_d), rays_d


def cameras_to_raymap(cameras: Cameras, height: int, width: int) -> Float[Tensor, "v 6 h w"]:
    """Plücker raymap of each camera on a grid of `height` × `width`; differentiable.

    Unit direction, then moment = origin × direction, in the world frame of the cameras.
    """
    rays_o, rays_d = camera_rays(
        cameras.viewmats, cameras.Ks, cameras.width, cameras.height, height, width
    )
    moments = torch.linalg.cross(rays_o, rays_d)
    return torch.cat([rays_d, moments], dim=-1).movedim(-1, 1)


def raymap_to_cameras(
    raymap: Float[Tensor, "v 6 h w"], width: int, height: int, *, relative_to_first: bool = True
) -> RayFit:
    """The cameras that explain a raymap best, for images of `width` × `height` pixels.

    One focal length is shared by all views and both axes (square pixels, centred principal point).
    It maximises the agreement of directions after every view's rotation was solved by orthogonal
    Procrustes; the centres then follow by linear least squares of `center × direction = moment`
    with the fitted directions, which do not carry the noise that biases an intersection of the
    given lines.

    Args:
        raymap: direction (any positive length), then moment.
        width: image width, in pixels.
        height: image height, in pixels.
        relative_to_first: return the cameras in the frame of view 1 instead of the raymap's.

    Returns:
        Cameras (float64 for a float64 raymap, otherwise float32) and residuals.

    Raises:
        ValueError: if the raymap has no view, a grid smaller than 2 × 2, a number of channels that
            is not 6, or a value that is not finite.
    """
    return raymaps_to_cameras(raymap[None], width, height, relative_to_first=relative_to_first)[0]


@torch.no_grad()
def raymaps_to_cameras(
    raymaps: Float[Tensor, "b v 6 h w"], width: int, height: int, *, relative_to_first: bool = True
) -> list[RayFit]:
    """`raymap_to_cameras` for each scene of a batch, in one search."""
    _check_raymaps(raymaps)
    grid = raymaps.shape[-2:]
    # The work is many tiny 3 × 3 problems, which the CPU solves faster than a GPU, in double.
    rays = raymaps.detach().to("cpu", torch.float64).flatten(-2).mT
    directions = torch.nn.functional.normalize(rays[..., :3], dim=-1)
    moments = rays[..., 3:]
    pixels = _centered_pixels(width, height, *grid)
    focals = _fit_focals(directions, pixels, width, height)
    local, _ = _local_directions(pixels, focals.log())
    rotations = _procrustes(directions.mT @ local[:, None])
    fitted = local[:, None] @ rotations.mT
    centers = _fit_centers(fitted, moments)
    fits = []
    for i in range(len(raymaps)):
        cameras = _build_cameras(rotations[i], centers[i], focals[i], width, height)
        errors = directions[i] - fitted[i], moments[i] - _moments(centers[i], fitted[i])
        cameras = cameras.relative_to_first() if relative_to_first else cameras
        dtype = torch.float64 if raymaps.dtype == torch.float64 else torch.float32
        fits.append(_measure(cameras.to(raymaps.device, dtype), *errors, fitted[i]))
    return fits


def residual_at_rotation_error(
    cameras: Cameras, height: int, width: int, degrees: float = 1.0
) -> float:
    """The `direction_residual` at which the fit's rotation error is `degrees`, on this grid.

    Independent noise s on each direction leaves a rotation of a view uncertain by
    s · √tr((Σ I − d dᵀ)⁻¹) radians (root mean square), the sum running over its rays: the more rays
    and the wider the view, the more noise is harmless. For square images with a field of view of
    50°, 1° is reached at

        grid      6×6     8×8     12×12   16×16   24×24   20×32   40×64
        residual  0.032   0.043   0.065   0.087   0.130   0.120   0.241

    (20×32 and 40×64 for images of 512 × 320). Errors that neighbouring rays share, as a network's
    may, move the cameras more than this and are seen less in the residual.
    """
    _, rays_d = camera_rays(
        cameras.viewmats.double(), cameras.Ks.double(), cameras.width, cameras.height, height, width
    )
    return math.radians(degrees) / _rotation_error_per_noise(rays_d.flatten(1, 2))


def _cell_centers(
    width: int, height: int, grid_height: int, grid_width: int, like: Tensor
) -> tuple[Float[Tensor, " w"], Float[Tensor, " h"]]:
    """Pixel coordinates (x of the columns, y of the rows) of the centres of the grid's cells."""
    columns = torch.arange(grid_width, device=like.device, dtype=like.dtype)
    rows = torch.arange(grid_height, device=like.device, dtype=like.dtype)
    return (columns + 0.5) * (width / grid_width), (rows + 0.5) * (height / grid_height)


def _centered_pixels(
    width: int, height: int, grid_height: int, grid_width: int
) -> Float[Tensor, "n 2"]:
    """Pixel offsets of the grid's cells from the image centre, row by row."""
    like = torch.empty(0, dtype=torch.float64)
    x, y = _cell_centers(width, height, grid_height, grid_width, like)
    rows, columns = torch.meshgrid(y - height / 2, x - width / 2, indexing="ij")
    return torch.stack([columns, rows], dim=-1).flatten(0, 1)


def _local_directions(
    pixels: Float[Tensor, "n 2"], log_focals: Float[Tensor, "*batch"]
) -> tuple[Float[Tensor, "*batch n 3"], Float[Tensor, "*batch n 3"]]:
    """Unit directions in the camera frame, and their derivatives by log focal."""
    slopes = pixels * (-log_focals[..., None, None]).exp()
    length = (slopes.square().sum(dim=-1, keepdim=True) + 1).sqrt()
    directions = torch.cat([slopes, torch.ones_like(length)], dim=-1) / length
    changes = torch.cat([-slopes, torch.zeros_like(length)], dim=-1) / length
    across = changes - directions * (changes * directions).sum(dim=-1, keepdim=True)
    return directions, across


def _procrustes(correlations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotations R that maximise tr(Rᵀ H) for each correlation matrix H."""
    u, _, vh = torch.linalg.svd(correlations)
    signs = torch.ones_like(u[..., 0, :])
    signs[..., 2] = torch.linalg.det(u @ vh).sign()
    return (u * signs[..., None, :]) @ vh


def _agreement(
    directions: Float[Tensor, "b v n 3"],
    pixels: Float[Tensor, "n 2"],
    log_focals: Float[Tensor, "b k"],
) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
    """Sum of cosines between given and fitted directions, and its derivative by log focal.

    The best rotations make the sum stationary, so they count as constant in the derivative.
    """
    local, changes = _local_directions(pixels, log_focals)
    given = directions.mT[:, None]
    correlations = given @ local[:, :, None]
    rotations = _procrustes(correlations)
    score = (rotations * correlations).sum(dim=(-3, -2, -1))
    slope = (rotations * (given @ changes[:, :, None])).sum(dim=(-3, -2, -1))
    return score, slope


def _fit_focals(
    directions: Float[Tensor, "b v n 3"], pixels: Float[Tensor, "n 2"], width: int, height: int
) -> Float[Tensor, " b"]:
    """One focal length per scene, in pixels: coarse search, then halving on the derivative."""
    longest, shortest = (
        math.log(max(width, height) / 2 / math.tan(math.radians(fov) / 2))
        for fov in (MIN_FOV_DEGREES, MAX_FOV_DEGREES)
    )
    coarse = torch.linspace(shortest, longest, NUM_COARSE_FOCALS, dtype=directions.dtype)
    scores, _ = _agreement(directions, pixels, coarse.expand(len(directions), -1))
    best = scores.argmax(dim=1)
    low = coarse[(best - 1).clamp(min=0)]
    high = coarse[(best + 1).clamp(max=len(coarse) - 1)]
    return _find_falling_zero(
        lambda log_focals: _agreement(directions, pixels, log_focals[:, None])[1][:, 0], low, high
    ).exp()


def _find_falling_zero(
    function: Callable[[Tensor], Tensor], low: Float[Tensor, " b"], high: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """Where `function` falls through zero between `low` and `high`, by the Illinois method.

    The end nearer to zero where it does not fall through it, as at a limit of the field of view.
    """
    tiny = torch.finfo(low.dtype).tiny
    at_low = function(low).clamp(min=tiny)
    at_high = function(high).clamp(max=-tiny)
    middle, last_sign = low, torch.zeros_like(low)
    for _ in range(NUM_REFINEMENTS):
        middle = low + (high - low) * at_low / (at_low - at_high)
        at_middle = function(middle)
        sign = at_middle.sign()
        # An end that stays put twice running has its value halved, so that both ends close in.
        stuck = sign == last_sign
        at_low = torch.where(sign > 0, at_middle, torch.where(stuck, at_low / 2, at_low))
        at_high = torch.where(sign > 0, torch.where(stuck, at_high / 2, at_high), at_middle)
        low, high = torch.where(sign > 0, middle, low), torch.where(sign > 0, high, middle)
        # At an exact zero the interval must not move past it again.
        at_high = at_high.clamp(max=-tiny)
        last_sign = sign
    return middle


def _information(directions: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Σ I − d dᵀ over the rays: what they say about a rotation, and about their common origin."""
    identity = torch.eye(3, dtype=directions.dtype, device=directions.device)
    return directions.shape[-2] * identity - directions.mT @ directions


def _fit_centers(
    directions: Float[Tensor, "b v n 3"], moments: Float[Tensor, "b v n 3"]
) -> Float[Tensor, "b v 3"]:
    """Least-squares c of c × d = m, whose normal equations are Σ(I − d dᵀ) c = Σ d × m."""
    target = torch.linalg.cross(directions, moments).sum(dim=-2)
    return torch.linalg.solve(_information(directions), target)


def _moments(
    centers: Float[Tensor, "v 3"], directions: Float[Tensor, "v n 3"]
) -> Float[Tensor, "v n 3"]:
    return torch.linalg.cross(centers[:, None].expand_as(directions), directions)


def _rotation_error_per_noise(directions: Float[Tensor, "v n 3"]) -> float:
    """Root mean square rotation error (radians) per unit of independent noise on directions."""
    covariances = torch.linalg.inv(_information(directions))
    return float(covariances.diagonal(dim1=1, dim2=2).sum(dim=1).mean().sqrt())


def _build_cameras(
    rotations: Float[Tensor, "v 3 3"],
    centers: Float[Tensor, "v 3"],
    focal: Float[Tensor, ""],
    width: int,
    height: int,
) -> Cameras:
    """Cameras of camera→world rotations, centres and one focal length in pixels."""
    viewmats = torch.eye(4, dtype=centers.dtype).repeat(len(centers), 1, 1)
    viewmats[:, :3, :3] = rotations.mT
    viewmats[:, :3, 3:] = -rotations.mT @ centers[..., None]
    K = torch.tensor([[0, 0, width / 2], [0, 0, height / 2], [0, 0, 1]], dtype=centers.dtype)
    K[0, 0] = K[1, 1] = focal
    return Cameras(viewmats, K.repeat(len(centers), 1, 1), width, height)


def _measure(
    cameras: Cameras,
    direction_errors: Float[Tensor, "v n 3"],
    moment_errors: Float[Tensor, "v n 3"],
    directions: Float[Tensor, "v n 3"],
) -> RayFit:
    """Residuals from what the fit left, each divided by its degrees of freedom.

    A unit direction has two; three a view are spent on the rotation, three on the centre, one a
    scene on the focal length.
    """
    v, n, _ = directions.shape
    along = direction_errors.square().sum(dim=(1, 2)).cpu()
    across = moment_errors.square().sum(dim=(1, 2)).cpu()
    direction_residual = math.sqrt(float(along.sum()) / (2 * n * v - 3 * v - 1))
    rotation_error = math.degrees(direction_residual * _rotation_error_per_noise(directions))
    return RayFit(
        cameras=cameras,
        residual=math.sqrt(float((along + across).sum()) / (5 * n * v - 6 * v - 1)),
        direction_residual=direction_residual,
        moment_residual=math.sqrt(float(across.sum()) / (3 * n * v - 3 * v)),
        view_residuals=((along + across) / (5 * n - 6 - 1 / v)).sqrt(),
        rotation_error_degrees=rotation_error,
    )


def _check_raymaps(raymaps: Tensor) -> None:
    v, c, h, w = raymaps.shape[1:]
    if v < 1 or c != 6 or h < 2 or w < 2:
        raise ValueError(
            f"expected a raymap [V,6,h,w] with V ≥ 1, h ≥ 2 and w ≥ 2, got {[v, c, h, w]}"
        )
    if not torch.isfinite(raymaps).all():
        count = int((~torch.isfinite(raymaps)).sum())
        raise ValueError(f"the raymap holds {count} values that are not finite")
