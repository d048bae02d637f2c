"""Gaussians: the activated, world-frame parameters of a 3D Gaussian scene."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Gaussians:
    """N anisotropic 3D Gaussians in world coordinates, all values activated (no logs, no logits).

    Raises:
        ValueError: if shapes disagree, a value is not finite, a scale is not positive or an opacity is outside [0, 1].
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
    """Spherical-harmonic coefficients, k = (degree + 1)²; linear colour = 0.5 + C0 · sh[:, 0] at degree 0."""

    def __post_init__(self) -> None:
        n = len(self.means)
        expected = {"means": (n, 3), "quats": (n, 4), "scales": (n, 3), "opacities": (n,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"expected {name} of shape {shape}, got {tuple(getattr(self, name).shape)}")
        if self.sh.ndim != 3 or self.sh.shape[0] != n or self.sh.shape[2] != 3 or self.sh.shape[1] not in (1, 4, 9, 16):
            raise ValueError(f"expected sh of shape ({n}, 1|4|9|16, 3), got {tuple(self.sh.shape)}")

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index: Bool[Tensor, " n"] | Int[Tensor, " m"] | slice) -> "Gaussians":
        """The Gaussians that a mask, an index tensor or a slice selects."""
        return Gaussians(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, *args, **kwargs) -> "Gaussians":
        """As `Tensor.to`, on every tensor."""
        return Gaussians(**{f.name: getattr(self, f.name).to(*args, **kwargs) for f in fields(self)})

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
    return Gaussians(**{f.name: torch.cat([getattr(g, f.name) for g in gaussians]) for f in fields(Gaussians)})


def prune_gaussians(gaussians: Gaussians, min_opacity: float = 0.005) -> Gaussians:
    """Without those too transparent to be seen."""
    return gaussians[gaussians.opacities >= min_opacity]
