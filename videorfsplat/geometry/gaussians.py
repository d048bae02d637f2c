"""Gaussians: the activated, world-frame parameters of a 3D Gaussian scene."""

import math
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from videorfsplat.geometry.quaternions import multiply_quats, rotations_to_quats
from videorfsplat.geometry.spherical_harmonics import SH_C0, rotate_sh

# As for camera poses: wider than float32 rounding, narrower than what a person types.
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Gaussians:
    """N anisotropic 3D Gaussians in world coordinates, all values activated (no logs, no logits).

    Raises:
        ValueError: if shapes disagree. `check_values` checks the numbers.
    """

    means: Float[Tensor, "n 3"]
    """Centres, world units."""
    quats: Float[Tensor, "n 4"]
    """Rotations local→world, wxyz, unit."""
    scales: Float[Tensor, "n 3"]
    """Standard deviations along the local axes, world units, positive."""
    opacities: Float[Tensor, " n"]
    """Range [0, 1]."""
    sh: Float[Tensor, "n k 3"]
    """Spherical-harmonic coefficients, k = (degree + 1)²; at degree 0 colour = 0.5 + C0 · sh."""

    def __post_init__(self) -> None:
        n = len(self.means)
        expected = {"means": (n, 3), "quats": (n, 4), "scales": (n, 3), "opacities": (n,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"expected {name} of shape {shape}, got {tuple(getattr(self, name).shape)}"
                )
        if (
            self.sh.ndim != 3
            or self.sh.shape[0] != n
            or self.sh.shape[2] != 3
            or self.sh.shape[1] not in (1, 4, 9, 16)
        ):
            raise ValueError(f"expected sh of shape ({n}, 1|4|9|16, 3), got {tuple(self.sh.shape)}")

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index: Bool[Tensor, " n"] | Int[Tensor, " m"] | slice) -> "Gaussians":
        """The Gaussians that a mask, an index tensor or a slice selects."""
        return Gaussians(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def base_colors(self) -> Float[Tensor, "n 3"]:
        """Colour without view dependence, `0.5 + SH_C0 · sh[:, 0]`; displayed, not clamped."""
        return 0.5 + SH_C0 * self.sh[:, 0]

    def to(self, *args, **kwargs) -> "Gaussians":
        """As `Tensor.to`, on every tensor."""
        return Gaussians(
            **{f.name: getattr(self, f.name).to(*args, **kwargs) for f in fields(self)}
        )

    def scaled(self, factor: float) -> "Gaussians":
        """The same Gaussians in a world whose lengths are multiplied by `factor`."""
        return replace(self, means=self.means * factor, scales=self.scales * factor)

    def detach(self) -> "Gaussians":
        """As `Tensor.detach`, on every tensor."""
        return Gaussians(**{f.name: getattr(self, f.name).detach() for f in fields(self)})

    def check_values(self) -> None:
        """Check the value ranges; separate from construction because it reads every value.

        Raises:
            ValueError: naming the first field with a value that is not finite or out of range.
        """
        for f in fields(self):
            if not torch.isfinite(getattr(self, f.name)).all():
                raise ValueError(f"{f.name} holds a value that is not finite")
        if not (self.scales > 0).all():
            raise ValueError("scales must be positive")
        if not ((self.opacities >= 0) & (self.opacities <= 1)).all():
            raise ValueError("opacities must lie in [0, 1]")


def concatenate_gaussians(gaussians: list[Gaussians]) -> Gaussians:
    """One `Gaussians` with the members of all, in order."""
    return Gaussians(
        **{f.name: torch.cat([getattr(g, f.name) for g in gaussians]) for f in fields(Gaussians)}
    )


def prune_gaussians(gaussians: Gaussians, min_opacity: float = 0.005) -> Gaussians:
    """Without those too transparent to be seen."""
    return gaussians[gaussians.opacities >= min_opacity]


def transform_gaussians(
    gaussians: Gaussians,
    rotation: Float[Tensor, "3 3"],
    translation: Float[Tensor, "3"],
    scale: float = 1.0,
) -> Gaussians:
    """The scene after x ↦ scale · rotation · x + translation; differentiable in the Gaussians.

    Spherical harmonics of every degree turn along.

    Raises:
        ValueError: if `rotation` is not a proper rotation, or `scale` not positive and finite.
    """
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    deviation = float((rotation @ rotation.mT - identity).abs().max())
    if not deviation <= ROTATION_TOLERANCE or torch.linalg.det(rotation) < 0:
        raise ValueError(f"expected a proper rotation, got one that deviates by {deviation:.3g}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    rotation, translation = rotation.to(gaussians.means), translation.to(gaussians.means)
    return Gaussians(
        means=scale * gaussians.means @ rotation.mT + translation,
        quats=multiply_quats(rotations_to_quats(rotation), gaussians.quats),
        scales=scale * gaussians.scales,
        opacities=gaussians.opacities,
        sh=rotate_sh(gaussians.sh, rotation),
    )
