"""Projection, covariances and colours against gsplat's torch twins of its CUDA kernels."""

import pytest
import torch
from gsplat.cuda._torch_impl import (
    _fully_fused_projection,
    _quat_scale_to_covar_preci,
    _spherical_harmonics,
)
from splat_scenes import awkward_gaussians, circling_cameras

from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.colors import evaluate_colors
from videorfsplat.rendering.conventions import EPS2D
from videorfsplat.rendering.numba_backend import _camera_constants
from videorfsplat.rendering.numba_layout import CONIC_XX, CONIC_YY, DEPTH, MEAN_X, MEAN_Y
from videorfsplat.rendering.numba_pairs import pair_with_tiles
from videorfsplat.rendering.projection import compute_covariances, project_gaussians

NEAR, FAR = 0.5, 30.0


def gsplat_projection(gaussians: Gaussians, cameras):
    covariances, _ = _quat_scale_to_covar_preci(gaussians.quats, gaussians.scales)
    assert covariances is not None
    return _fully_fused_projection(
        gaussians.means,
        covariances,
        cameras.viewmats,
        cameras.Ks,
        cameras.width,
        cameras.height,
        eps2d=EPS2D,
        near_plane=NEAR,
        far_plane=FAR,
    )[:4]


def test_covariances_agree_with_gsplat():
    gaussians = awkward_gaussians(64)
    expected, _ = _quat_scale_to_covar_preci(3 * gaussians.quats, gaussians.scales)
    found = compute_covariances(3 * gaussians.quats, gaussians.scales)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_projection_agrees_with_gsplat():
    gaussians, cameras = awkward_gaussians(400), circling_cameras(3, 40, 24)
    gaussians.opacities[:] = 1
    radii, means2d, depths, conics = gsplat_projection(gaussians, cameras)
    covariances = compute_covariances(gaussians.quats, gaussians.scales)
    for view in range(3):
        rotation, translation = cameras.viewmats[view, :3, :3], cameras.viewmats[view, :3, 3]
        means_camera = gaussians.means @ rotation.mT + translation
        kept = (means_camera[:, 2] > NEAR) & (means_camera[:, 2] < FAR)
        splats = project_gaussians(
            means_camera[kept],
            covariances[kept],
            gaussians.opacities[kept],
            rotation=rotation,
            K=cameras.Ks[view],
            width=cameras.width,
            height=cameras.height,
        )
        # Rounding of double precision, relative; conics of huge splats cancel a little.
        torch.testing.assert_close(splats.means2d, means2d[view, kept], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(splats.conics, conics[view, kept], rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(splats.depths, depths[view, kept], rtol=1e-12, atol=0)
        # gsplat's torch code bounds a splat at 3.33 deviations, its CUDA code (and ours) at
        # sqrt(2 ln 255) = 3.329 for opacity 1: less, and by a pixel at most where rounded up.
        shrunk = radii[view, kept] - splats.radii
        assert ((shrunk >= 0) & (shrunk <= 1)).all()
        assert (shrunk == 0).double().mean() > 0.95


def test_numba_projection_agrees_with_gsplat():
    gaussians, cameras = awkward_gaussians(400), circling_cameras(3, 40, 24)
    gaussians.opacities[:] = 1
    radii, means2d, depths, conics = gsplat_projection(gaussians, cameras)
    limits = torch.tensor([NEAR, FAR, cameras.width, cameras.height]).double()
    inputs = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities)
    colors = gaussians.sh.mT[..., 0][None]
    others = (colors, cameras.viewmats, _camera_constants(cameras), limits)
    pairs = pair_with_tiles(*(t.contiguous().numpy() for t in (*inputs, *others)))
    seen = torch.from_numpy(pairs.rectangles[..., 0] <= pairs.rectangles[..., 2])
    assert seen.sum() > 300
    assert (radii.amin(dim=-1)[seen] > 0).all()
    splats = torch.from_numpy(pairs.splats)[seen]
    found_means, found_conics = splats[:, [MEAN_X, MEAN_Y]], splats[:, CONIC_XX : CONIC_YY + 1]
    torch.testing.assert_close(found_means, means2d[seen], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found_conics, conics[seen], rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(splats[:, DEPTH], depths[seen], rtol=1e-12, atol=0)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_colors_agree_with_gsplat(degree: int):
    generator = torch.Generator().manual_seed(degree)
    sh = torch.randn(50, (degree + 1) ** 2, 3, generator=generator, dtype=torch.float64)
    directions = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    expected = (_spherical_harmonics(degree, directions, sh) + 0.5).clamp_min(0)
    assert (expected == 0).any()
    # gsplat writes its constants with 9 to 16 digits.
    torch.testing.assert_close(evaluate_colors(sh, directions), expected, rtol=1e-6, atol=1e-9)
