import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from strategies import rotations, vectors

from videorfsplat.geometry.gaussians import (
    Gaussians,
    concatenate_gaussians,
    prune_gaussians,
    transform_gaussians,
)
from videorfsplat.geometry.spherical_harmonics import SH_C0, evaluate_sh_basis, rotate_sh


def random_gaussians(n: int = 6, num_bases: int = 16, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Gaussians(
        means=normal(n, 3),
        quats=torch.nn.functional.normalize(normal(n, 4), dim=-1),
        scales=normal(n, 3).exp(),
        opacities=normal(n).sigmoid(),
        sh=normal(n, num_bases, 3),
    )


def covariances(g: Gaussians) -> torch.Tensor:
    frames = torch.from_numpy(Rotation.from_quat(g.quats, scalar_first=True).as_matrix())
    axes = frames * g.scales[:, None]
    return axes @ axes.mT


def color_along(sh: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    return torch.einsum("dk,nkc->ndc", evaluate_sh_basis(directions, sh.shape[1]), sh)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("means", (6, 2)),
        ("quats", (5, 4)),
        ("scales", (6,)),
        ("opacities", (6, 1)),
        ("sh", (6, 5, 3)),
    ],
)
def test_rejects_shapes_that_disagree(name, shape):
    g = random_gaussians()
    with pytest.raises((ValueError, TypeError)):
        Gaussians(**{**vars(g), name: torch.ones(shape, dtype=torch.float64)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("means", math.nan, "means holds a value that is not finite"),
        ("sh", math.inf, "sh holds"),
        ("scales", 0.0, "scales must be positive"),
        ("opacities", 1.5, "opacities must lie"),
    ],
)
def test_check_values_names_the_field(name, value, message):
    g = random_gaussians()
    g.check_values()
    getattr(g, name).view(-1)[3] = value
    with pytest.raises(ValueError, match=message):
        g.check_values()


def test_slices_masks_and_concatenation_keep_the_order():
    g = random_gaussians()
    again = concatenate_gaussians([g[:2], g[torch.tensor([2, 3])], g[torch.arange(6) > 3]])
    for name, value in vars(g).items():
        assert (getattr(again, name) == value).all()
    assert len(again) == 6


def test_pruning_drops_what_cannot_be_seen():
    g = random_gaussians()
    g.opacities[:2] = torch.tensor([0.004, 0.006])
    assert len(prune_gaussians(g)) == 5


@given(rotations(), vectors(3.0), st.floats(0.1, 10.0))
def test_transform_moves_means_and_covariances_with_the_world(rotation, translation, scale):
    g, translation = random_gaussians(), torch.tensor(translation, dtype=torch.float64)
    moved = transform_gaussians(g, rotation, translation, scale)
    expected = torch.stack([scale * rotation @ mean + translation for mean in g.means])
    torch.testing.assert_close(moved.means, expected)
    expected = scale**2 * rotation @ covariances(g) @ rotation.mT
    torch.testing.assert_close(covariances(moved), expected)
    torch.testing.assert_close(moved.quats.norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert (moved.opacities == g.opacities).all()


@settings(max_examples=30)
@given(rotations(), st.sampled_from([1, 4, 9, 16]))
def test_transform_turns_colours_with_the_world(rotation, num_bases):
    g = random_gaussians(num_bases=num_bases)
    moved = transform_gaussians(g, rotation, torch.zeros(3))
    directions = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)).double()
    before, after = color_along(g.sh, directions), color_along(moved.sh, directions @ rotation.mT)
    # The constants of the basis have 16 digits; its degrees are closed under rotation to 1e-15.
    torch.testing.assert_close(after, before, atol=1e-12, rtol=0)
    assert (moved.sh[:, 0] == g.sh[:, 0]).all()


@settings(max_examples=20)
@given(rotations(), rotations(), vectors(3.0), st.floats(0.2, 5.0))
def test_transforms_compose(first, second, translation, scale):
    g, translation = random_gaussians(), torch.tensor(translation, dtype=torch.float64)
    steps = transform_gaussians(g, first, translation, scale)
    steps = transform_gaussians(steps, second, -translation, 2.0)
    at_once = transform_gaussians(
        g, second @ first, 2.0 * second @ translation - translation, 2.0 * scale
    )
    torch.testing.assert_close(steps.means, at_once.means)
    torch.testing.assert_close(covariances(steps), covariances(at_once))
    torch.testing.assert_close(steps.sh, at_once.sh, atol=1e-12, rtol=0)


def test_transform_carries_gradients_and_keeps_the_dtype():
    g = random_gaussians().to(torch.float32)
    rotation = torch.from_numpy(Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix())
    leaves = {name: value.requires_grad_() for name, value in vars(g).items()}
    moved = transform_gaussians(Gaussians(**leaves), rotation, torch.ones(3), 2.0)
    sum(value.sum() for value in vars(moved).values()).backward()
    for name, leaf in leaves.items():
        assert getattr(moved, name).dtype == torch.float32
        assert float(leaf.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("diagonal", "scale", "message"),
    [
        ([1.0, 1.0, -1.0], 1.0, "proper rotation"),
        ([1.0, 1.0, 1.1], 1.0, "proper rotation"),
        ([1.0, 1.0, math.nan], 1.0, "proper rotation"),
        ([1.0, 1.0, 1.0], 0.0, "scale"),
        ([1.0, 1.0, 1.0], math.nan, "scale"),
    ],
)
def test_transform_rejects_what_is_no_similarity(diagonal, scale, message):
    with pytest.raises(ValueError, match=message):
        transform_gaussians(
            random_gaussians(), torch.diag(torch.tensor(diagonal)), torch.zeros(3), scale
        )


def test_sh_basis_is_orthonormal_on_the_sphere():
    """The defining law of the basis: its Gram matrix over the sphere is the identity."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(8))
    angles = torch.arange(16, dtype=torch.float64) * 2 * math.pi / 16
    z = nodes[:, None].expand(8, 16)
    radius = (1 - z**2).sqrt()
    directions = torch.stack([radius * angles.cos(), radius * angles.sin(), z], dim=-1)
    basis = evaluate_sh_basis(directions, 16).flatten(0, 1)
    area = (weights[:, None] * 2 * math.pi / 16).expand(8, 16).flatten()
    gram = basis.mT @ (basis * area[:, None])
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0)
    assert float(basis[0, 0]) == SH_C0


def test_rotating_the_linear_harmonics_about_the_vertical_swaps_x_and_y():
    """A quarter turn about z takes what pointed along x (third function, sign −) to y (first)."""
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).double()
    sh = torch.zeros(1, 4, 1, dtype=torch.float64)
    sh[0, 3] = 1.0
    expected = torch.zeros_like(sh)
    expected[0, 1] = 1.0
    torch.testing.assert_close(rotate_sh(sh, quarter), expected, atol=1e-12, rtol=0)
