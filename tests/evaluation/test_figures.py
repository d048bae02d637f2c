import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from videorfsplat.evaluation.figures import (
    FrechetDistance,
    difference_figure,
    ratio_figure,
    statistic_figure,
)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, 400)
    figure = ratio_figure([(value, 1.0) for value in values])
    assert figure["value"] == pytest.approx(values.mean())
    error = values.std() / 20
    # The ends of a percentile interval from 1,000 resamples scatter by about a tenth of it.
    assert figure["low"] == pytest.approx(values.mean() - 1.96 * error, abs=0.4 * error)
    assert figure["high"] == pytest.approx(values.mean() + 1.96 * error, abs=0.4 * error)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        figure = ratio_figure([(float(flag), 1.0) for flag in rng.random(100) < 0.7])
        covered += figure["low"] <= 0.7 <= figure["high"]
    # 95 % of 200; four standard deviations of a binomial, and what a percentile interval lacks.
    assert 174 <= covered <= 200


def test_a_ratio_is_of_sums():
    assert ratio_figure([(1, 1), (2, 4), (0, 0)])["value"] == pytest.approx(3 / 5)


def test_pairs_take_the_scenes_own_scatter_off():
    rng = np.random.default_rng(2)
    scenes = rng.normal(0.0, 10.0, 100)
    changed = scenes + rng.normal(1.0, 0.1, 100)
    figure = difference_figure([(x, 1.0) for x in changed], [(x, 1.0) for x in scenes])
    assert 0.9 < figure["low"] < figure["value"] < figure["high"] < 1.1


def test_rejects_runs_that_do_not_pair():
    with pytest.raises(ValueError, match="expected 1 scenes"):
        difference_figure([(1.0, 1.0)] * 2, [(1.0, 1.0)])


@pytest.mark.parametrize("terms", [[], [(0.0, 0.0)], [(0.0, 0.0)] * 5])
def test_nothing_below_the_line_is_no_figure(terms):
    assert ratio_figure(terms) == {"value": None, "low": None, "high": None}


def test_resamples_that_miss_a_rare_scene_are_left_out():
    figure = ratio_figure([(1.0, 1.0), *[(0.0, 0.0)] * 9])
    assert figure == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_the_basic_interval_takes_the_bias_of_resampling_off():
    values = np.random.default_rng(3).normal(size=60)

    def spread(indices):
        # The number of different scenes: any resample has fewer, about 63 %.
        return float(len(set(indices.tolist())))

    figure = statistic_figure(len(values), spread)
    assert figure["value"] == 60
    assert 60 < figure["low"] < figure["high"]
    mean = statistic_figure(len(values), lambda indices: float(values[indices].mean()))
    assert mean["low"] < values.mean() < mean["high"]


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
