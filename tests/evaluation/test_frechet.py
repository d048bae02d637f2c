"""Fréchet distance against closed forms and scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from videorfsplat.evaluation.frechet import FrechetDistance


def features(seed: int, count: int = 400, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing + seed


def test_agrees_with_the_matrix_square_root():
    first, second = features(0), features(1)
    covariances = [np.cov(rows.T) for rows in (first, second)]
    shared = np.trace(sqrtm(covariances[0] @ covariances[1])).real
    means = float((first.mean(dim=0) - second.mean(dim=0)).square().sum())
    expected = means + sum(np.trace(c) for c in covariances) - 2 * shared
    # In double; scipy's root of a product that is not symmetric keeps about ten digits.
    assert FrechetDistance(second)(first) == pytest.approx(expected, rel=1e-8)


def test_a_set_has_no_distance_to_itself_and_a_shift_counts_squared():
    rows = features(2)
    # Rounding of eigenvalues, relative to a trace of some tens.
    assert FrechetDistance(rows)(rows) == pytest.approx(0, abs=1e-8)
    assert FrechetDistance(rows)(rows + 2) == pytest.approx(4 * rows.shape[1], rel=1e-9)


def test_one_dimension_has_a_closed_form():
    rows = features(3, width=1)
    expected = float((3 * rows - rows).mean() ** 2 + (2 * rows.std()) ** 2)
    assert FrechetDistance(rows)(3 * rows) == pytest.approx(expected, rel=1e-9)


def test_fewer_features_than_dimensions_are_fine():
    first, second = features(4, count=3), features(5, count=3)
    distance = FrechetDistance(first)(second)
    assert distance == pytest.approx(FrechetDistance(second)(first), rel=1e-6)
    assert distance > 0


def test_rejects_a_single_feature():
    with pytest.raises(ValueError, match="at least 2 features, got 1"):
        FrechetDistance(torch.zeros(1, 4))
