"""Pinhole cameras: poses and intrinsics of the views of one scene.

Conventions, here and everywhere in the package: `viewmats` are world→camera, camera axes are OpenCV's (+x right, +y down,
+z forward), `Ks` are in pixels of (`width`, `height`), and the centre of pixel (i, j) lies at (i + 0.5, j + 0.5).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

# A rotation that went through float32 files and products is orthonormal to about 1e-6; what a person typed with three
# decimals is not, and is refused rather than repaired.
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Cameras:
    """The cameras of one scene.

    Raises:
        ValueError: if shapes disagree, a value is not finite, a rotation is not a rotation, or a focal length or size is
            not positive.
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
                f"expected viewmats [V,4,4] and Ks [V,3,3], got {list(self.viewmats.shape)} and {list(self.Ks.shape)}"
            )
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size must be positive, got {self.width}x{self.height}")
        if not (torch.isfinite(self.viewmats).all() and torch.isfinite(self.Ks).all()):
            raise ValueError("a camera holds a value that is not finite")
        _check_rotations(self.viewmats[:, :3, :3])
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
        camtoworlds = torch.eye(4, dtype=self.viewmats.dtype, device=self.viewmats.device).repeat(self.num_views, 1, 1)
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
        return replace(self, viewmats=self.viewmats.to(*args, **kwargs), Ks=self.Ks.to(*args, **kwargs))

    def resized(self, width: int, height: int) -> "Cameras":
        """The same cameras seen at another image size."""
        factors = torch.tensor([width / self.width, height / self.height, 1.0], dtype=self.Ks.dtype, device=self.Ks.device)
        return replace(self, Ks=self.Ks * factors[:, None], width=width, height=height)

    def scaled(self, factor: float) -> "Cameras":
        """The same cameras in a world whose lengths are multiplied by `factor`."""
        viewmats = self.viewmats.clone()
        viewmats[:, :3, 3] *= factor
        return replace(self, viewmats=viewmats)

    def relative_to_first(self) -> "Cameras":
        """The same cameras in the frame of view 1, whose pose becomes the identity."""
        viewmats = self.viewmats @ self.camtoworlds[0]
        return replace(self, viewmats=viewmats)


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


def _check_rotations(rotations: Float[Tensor, "v 3 3"]) -> None:
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    error = (rotations @ rotations.mT - identity).abs().amax(dim=(1, 2))
    wrong = (error > ROTATION_TOLERANCE) | (torch.linalg.det(rotations) < 0)
    if wrong.any():
        view = int(wrong.nonzero()[0])
        raise ValueError(f"the pose of view {view + 1} is not a rotation (deviation {float(error[view]):.3g})")
