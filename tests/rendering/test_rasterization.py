"""Laws that every CPU backend obeys, and the checks of `rasterize`."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from splat_scenes import (
    FIELDS,
    as_doubles,
    awkward_gaussians,
    backward_of_random_loss,
    circling_cameras,
    composite_by_hand,
    facing_camera,
    make_gaussians,
    random_gaussians,
    with_gradients,
)

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.colors import evaluate_colors
from videorfsplat.rendering.projection import compute_covariances, project_gaussians
from videorfsplat.rendering.rasterization import rasterize

pytestmark = pytest.mark.parametrize("backend", ["torch", "numba"])
WHITE, RED, BLUE = (1.0, 1.0, 1.0), (0.9, 0.1, 0.2), (0.1, 0.3, 0.8)
# Rounding of double precision over the tens of operations of a pixel.
EXACT = {"rtol": 1e-11, "atol": 1e-12}


def closed_form_alphas(x: float, y: float, z: float, scale: float, opacity: float, width: int):
    """Alpha of an isotropic Gaussian near the axis of `facing_camera(width, width)`."""
    focal = 20.0
    u, v = focal * x / z + width / 2, focal * y / z + width / 2
    # With s = scale, the covariance is s² J Jᵀ + 0.3, J the Jacobian of perspective.
    xx = (focal * scale / z) ** 2 * (1 + (x / z) ** 2) + 0.3
    yy = (focal * scale / z) ** 2 * (1 + (y / z) ** 2) + 0.3
    xy = (focal * scale / z) ** 2 * x * y / z**2
    covariance = as_doubles([[xx, xy], [xy, yy]])
    centers = torch.arange(width).double() + 0.5
    offsets = torch.stack(torch.meshgrid(centers - u, centers - v, indexing="xy"), dim=-1)
    solved = torch.linalg.solve(covariance, offsets[..., None])[..., 0]
    alphas = opacity * torch.exp(-0.5 * (offsets * solved).sum(dim=-1))
    return torch.where(alphas >= 1 / 255, alphas.clamp_max(0.999), 0.0)


@given(
    x=st.floats(-0.6, 0.6),
    y=st.floats(-0.6, 0.6),
    z=st.floats(1.5, 5.0),
    scale=st.floats(1e-3, 1.0),
    opacity=st.floats(0.0, 1.0),
)
@settings(max_examples=40)
def test_one_gaussian_has_its_closed_form(backend, x, y, z, scale, opacity):
    gaussians = make_gaussians([x, y, z], [scale], [opacity], [RED])
    renders, alphas, meta = rasterize(gaussians, facing_camera(20, 20), backend=backend)
    expected = closed_form_alphas(x, y, z, scale, opacity, 20)
    # A pixel at the threshold of 1/255 itself may go either way.
    sure = (expected == 0) | (expected > 1 / 255 + 1e-9)
    torch.testing.assert_close(alphas[0, ..., 0][sure], expected[sure], **EXACT)
    torch.testing.assert_close(renders, alphas * as_doubles(RED), **EXACT)
    seen = alphas > 0
    torch.testing.assert_close(
        meta["depths"][seen], torch.full_like(meta["depths"][seen], z), **EXACT
    )
    assert (meta["depths"][~seen] == 0).all()


def test_two_gaussians_composite_front_to_back(backend):
    both = make_gaussians([[0.1, 0, 3.0], [0.0, 0.1, 2.0]], [0.2, 0.15], [0.7, 0.6], [BLUE, RED])
    camera = facing_camera(20, 20)
    back, front = (rasterize(both[i : i + 1], camera, backend=backend)[1] for i in (0, 1))
    back, front = (a.detach() for a in (back, front))
    renders, alphas, meta = rasterize(both, camera, backend=backend)
    behind = back * (1 - front)
    red, blue = as_doubles(RED), as_doubles(BLUE)
    torch.testing.assert_close(renders, front * red + behind * blue, **EXACT)
    torch.testing.assert_close(alphas, 1 - (1 - front) * (1 - back), **EXACT)
    expected = (2 * front + 3 * behind) / (front + behind).clamp_min(1e-10)
    torch.testing.assert_close(meta["depths"], expected, **EXACT)


def test_pixels_follow_the_sequential_definition(backend):
    gaussians, cameras = awkward_gaussians(80, degree=1, seed=3), circling_cameras(1, 19, 13)
    gaussians.opacities[40:] = gaussians.opacities[40:].sqrt()
    renders, alphas, meta = rasterize(gaussians, cameras, backend=backend)
    rotation, translation = cameras.viewmats[0, :3, :3], cameras.viewmats[0, :3, 3]
    means_camera = gaussians.means @ rotation.mT + translation
    order = means_camera[:, 2].argsort()
    order = order[means_camera[order, 2] >= 0.01]
    splats = project_gaussians(
        means_camera[order],
        compute_covariances(gaussians.quats, gaussians.scales)[order],
        gaussians.opacities[order],
        rotation=rotation,
        K=cameras.Ks[0],
        width=19,
        height=13,
    )
    colors = evaluate_colors(gaussians.sh, gaussians.means - cameras.centers)[order]
    features = torch.cat([colors, torch.ones(len(order), 1), splats.depths[:, None]], dim=1)
    lists = [
        t.tolist() for t in (splats.means2d, splats.conics, gaussians.opacities[order], features)
    ]
    sums = torch.cat([renders, alphas, meta["depths"] * alphas], dim=-1)[0]
    for row in range(13):
        for column in range(19):
            by_hand = composite_by_hand(*lists, column + 0.5, row + 0.5)
            torch.testing.assert_close(sums[row, column], as_doubles(by_hand), **EXACT)


def test_order_of_storage_does_not_matter(backend):
    gaussians, cameras = random_gaussians(200), circling_cameras(2, 24, 16)
    shuffled = gaussians[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    expected, found = (rasterize(g, cameras, backend=backend) for g in (gaussians, shuffled))
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0)


def test_nothing_behind_an_opaque_stack_is_seen(backend):
    """After alpha 0.999, the next opaque one would leave 1e-6 of the light: it is not added."""
    stack = make_gaussians(
        [[0.0, 0, z] for z in (1.0, 2.0, 3.0)], [0.5, 1.0, 1.5], [1.0] * 3, [RED, BLUE, WHITE]
    )
    stack = stack[torch.arange(3).repeat(20)]  # so many that whole tiles are left early
    renders, alphas, _ = rasterize(stack, facing_camera(9, 9, focal=90.0), backend=backend)
    torch.testing.assert_close(alphas[0, 4, 4, 0].item(), 0.999, **EXACT)
    torch.testing.assert_close(renders[0, 4, 4], 0.999 * as_doubles(RED), **EXACT)


def test_alpha_below_the_threshold_is_skipped(backend):
    camera = facing_camera(9, 9)
    for opacity, seen in ((0.99 / 255, False), (1.01 / 255, True)):
        gaussians = make_gaussians([0.0, 0, 2], [0.1], [opacity], [RED])
        assert bool((rasterize(gaussians, camera, backend=backend)[1] > 0).any()) == seen


def test_culls_outside_near_and_far(backend):
    gaussians = make_gaussians(
        [[0.0, 0, z] for z in (-2, 0, 0.5, 1, 2)], [0.2] * 5, [0.5] * 5, [RED] * 5
    )
    camera = facing_camera(9, 9)
    alphas = [
        rasterize(gaussians, camera, backend=backend, near=near, far=far)[1][0, 4, 4, 0].item()
        for near, far in ((0.6, 1.5), (0.6, 3.0), (0.4, 3.0), (1.0, 2.0), (3.0, 4.0))
    ]
    expected = [1 - 0.5**n for n in (1, 2, 3, 2, 0)]
    torch.testing.assert_close(alphas, expected, **EXACT)


def test_background_shows_where_light_passes(backend):
    gaussians, cameras = random_gaussians(50), circling_cameras(2, 17, 11)
    background = torch.tensor([0.2, 0.5, 0.9])
    plain, alphas, _ = rasterize(gaussians, cameras, backend=backend)
    renders, _, _ = rasterize(gaussians, cameras, backend=backend, background=background)
    torch.testing.assert_close(renders, plain + (1 - alphas) * background.double(), **EXACT)
    nothing = rasterize(random_gaussians(0), cameras, backend=backend, background=background)
    assert (nothing[0] == background.double()).all()
    assert (nothing[1] == 0).all()
    assert (nothing[2]["depths"] == 0).all()


def test_views_are_independent(backend):
    """Ten views, so that one call takes more than one pass."""
    gaussians, cameras = awkward_gaussians(100, degree=2), circling_cameras(10, 21, 14)
    renders, alphas, meta = rasterize(gaussians, cameras, backend=backend)
    assert renders.shape == (10, 14, 21, 3)
    for view in range(10):
        single = rasterize(gaussians, cameras[view], backend=backend)
        for found, expected in zip((renders, alphas), single[:2], strict=True):
            assert torch.equal(found[[view]], expected)
        assert torch.equal(meta["depths"][[view]], single[2]["depths"])


@given(rotvec=st.lists(st.floats(-3, 3), min_size=3, max_size=3), shift=st.floats(-5, 5))
@settings(max_examples=15)
def test_moving_the_world_changes_nothing(backend, rotvec, shift):
    gaussians, cameras = awkward_gaussians(60, seed=2), circling_cameras(2, 20, 12)
    turn = Rotation.from_rotvec(rotvec)
    rotation = torch.from_numpy(turn.as_matrix())
    quats = turn * Rotation.from_quat(gaussians.quats.numpy(), scalar_first=True)
    moved = Gaussians(
        means=gaussians.means @ rotation.mT + shift,
        quats=torch.from_numpy(quats.as_quat(scalar_first=True)),
        scales=gaussians.scales,
        opacities=gaussians.opacities,
        sh=gaussians.sh,
    )
    motion = torch.eye(4).double()
    motion[:3, :3], motion[:3, 3] = rotation, shift
    moved_cameras = Cameras(cameras.viewmats @ torch.linalg.inv(motion), cameras.Ks, 20, 12)
    expected = rasterize(gaussians, cameras, backend=backend)[0]
    found = rasterize(moved, moved_cameras, backend=backend)[0]
    # Rounding may carry one Gaussian across the threshold of 1/255 at a pixel; not more.
    close = torch.isclose(found, expected, rtol=1e-8, atol=1e-8).all(dim=-1)
    assert close.double().mean() > 0.99
    assert (found - expected).abs().max() < 0.02


def test_gradients_are_those_of_the_function(backend):
    """Central differences in double precision, of every input that the backend differentiates."""
    gaussians, cameras = random_gaussians(6, degree=1, seed=5), circling_cameras(2, 9, 7)
    inputs = [getattr(gaussians, name).clone().requires_grad_() for name in FIELDS]
    background = as_doubles([0.3, 0.1, 0.6])
    if backend == "torch":
        inputs += [t.clone().requires_grad_() for t in (cameras.viewmats[:, :3], cameras.Ks)]
    last_rows = cameras.viewmats[:, 3:]

    def render(*tensors):
        poses, Ks = tensors[5:] or (cameras.viewmats[:, :3], cameras.Ks)
        viewmats = torch.cat([poses, last_rows], dim=1)
        views = Cameras(viewmats, Ks, cameras.width, cameras.height)
        renders, alphas, meta = rasterize(
            Gaussians(*tensors[:5]), views, backend=backend, background=background
        )
        # Where next to nothing is seen, depth jumps with each Gaussian that passes the threshold.
        return renders, alphas, meta["depths"] * (alphas.detach() > 0.05)

    assert torch.autograd.gradcheck(render, inputs, atol=1e-6, rtol=1e-5, fast_mode=True)


def test_no_gaussians_and_no_views_give_empty_gradients(backend):
    gaussians, cameras = with_gradients(random_gaussians(0)), circling_cameras(2, 9, 7)
    renders, alphas, meta = rasterize(gaussians, cameras, backend=backend)
    backward_of_random_loss(renders, alphas, meta["depths"])
    assert gaussians.means.grad is not None
    assert gaussians.means.grad.shape == (0, 3)
    renders, _, _ = rasterize(random_gaussians(5), cameras[[]], backend=backend)
    assert renders.shape == (0, 7, 9, 3)


def test_gradients_are_finite_for_awkward_gaussians(backend):
    gaussians = with_gradients(awkward_gaussians(160, degree=3, seed=7))
    renders, alphas, meta = rasterize(gaussians, circling_cameras(3, 18, 26), backend=backend)
    backward_of_random_loss(renders, alphas, meta["depths"])
    for name in FIELDS:
        gradient = getattr(gaussians, name).grad
        assert torch.isfinite(gradient).all(), name
        assert (gradient != 0).any(), name


def test_rejects_bad_arguments(backend):
    gaussians, cameras = random_gaussians(3), circling_cameras(1, 8, 8)
    for near, far in ((0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="0 < near < far"):
            rasterize(gaussians, cameras, backend=backend, near=near, far=far)
