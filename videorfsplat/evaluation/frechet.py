"""Fréchet distance between two sets of features."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


class FrechetDistance:
    """Squared 2-Wasserstein distance to a reference, of Gaussians with the sets' moments.

    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₂^½ Σ₁ Σ₂^½)^½ (Dowson and Landau 1982; FID's formula). The
    fewer features, the larger it comes out: compare distances of sets of one size.

    Args:
        reference: the set that distances are taken to.

    Raises:
        ValueError: if a set has fewer than two features.
    """

    def __init__(self, reference: Float[Tensor, "m d"]) -> None:
        self._mean, deviations = _moments(reference)
        # RᵀR is the covariance. Taken once: bootstrap compares many sets with one reference.
        self._factor = torch.linalg.qr(deviations, mode="r").R
        self._trace = deviations.square().sum()

    def __call__(self, features: Float[Tensor, "n d"]) -> float:
        """The distance of these features."""
        mean, deviations = _moments(features)
        # With Σ₁ = XᵀX and Σ₂ = RᵀR the shared part is the sum of the singular values of X Rᵀ,
        # found from the smaller of its two Gram matrices.
        product = deviations @ self._factor.T
        is_wide = product.shape[0] < product.shape[1]
        gram = product @ product.T if is_wide else product.T @ product
        shared = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum()
        spread = deviations.square().sum() + self._trace - 2 * shared
        # Rounding may leave equal sets a little below zero.
        return max(float((mean - self._mean).square().sum() + spread), 0.0)


def _moments(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "n d"]]:
    """Mean, and deviations X scaled so that XᵀX is the covariance."""
    if len(features) < 2:
        raise ValueError(f"expected at least 2 features, got {len(features)}")
    features = features.double()
    mean = features.mean(dim=0)
    return mean, (features - mean) / math.sqrt(len(features) - 1)
