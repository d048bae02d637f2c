import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import build_cameras, cameras

from videorfsplat.geometry.cameras import Cameras, camera_errors, rotation_angle_degrees
from videorfsplat.geometry.rays import (
    camera_rays,
    cameras_to_raymap,
    raymap_to_cameras,
    raymaps_to_cameras,
    residual_at_rotation_error,
)
from videorfsplat.geometry.trajectories import trajectory


def random_cameras(seed: int, width: int, height: int, fov: float = 65.0) -> Cameras:
    """Eight cameras, rotations up to half a turn, centres on the unit sphere."""
    generator = torch.Generator().manual_seed(seed)
    axes, centers = torch.nn.functional.normalize(
        torch.randn(2, 8, 3, generator=generator, dtype=torch.float64), dim=-1
    )
    angles = math.pi * torch.rand(8, 1, generator=generator, dtype=torch.float64)
    focal = max(width, height) / 2 / math.tan(math.radians(fov) / 2)
    return build_cameras((axes * angles).numpy(), centers, focal, width, height)


def add_noise(raymap: torch.Tensor, noise: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return raymap + noise * torch.randn(raymap.shape, generator=generator, dtype=raymap.dtype)


def rotation_errors(a: Cameras, b: Cameras) -> torch.Tensor:
    return rotation_angle_degrees(a.viewmats[:, :3, :3], b.viewmats[:, :3, :3])


@given(cameras(), st.integers(2, 7), st.integers(2, 7), st.floats(0.1, 10.0))
def test_points_on_a_ray_project_to_the_centre_of_its_cell(c, height, width, distance):
    rays_o, rays_d = camera_rays(c.viewmats, c.Ks, c.width, c.height, height, width)
    points = rays_o + distance * rays_d
    seen = points.flatten(1, 2) @ c.viewmats[:, :3, :3].mT + c.viewmats[:, None, :3, 3]
    pixels = (seen / seen[..., 2:]) @ c.Ks.mT
    pixels = pixels.unflatten(1, (height, width))
    x = (torch.arange(width).double() + 0.5) * c.width / width
    y = (torch.arange(height).double() + 0.5) * c.height / height
    expected = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    # Pixels up to 512, in double.
    torch.testing.assert_close(
        pixels[..., :2], expected.expand_as(pixels[..., :2]), atol=1e-8, rtol=0
    )


@given(cameras())
def test_raymap_holds_unit_directions_and_moments_of_the_centres(c):
    directions, moments = cameras_to_raymap(c, 4, 5).split(3, dim=1)
    lengths = directions.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    centers = c.centers[:, :, None, None].expand_as(directions)
    torch.testing.assert_close(moments, torch.linalg.cross(centers, directions, dim=1))


def test_camera_rays_keep_leading_axes_skew_and_uneven_focals():
    c = random_cameras(0, 96, 64)
    Ks = c.Ks.clone()
    Ks[:, 0, 1], Ks[:, 1, 1], Ks[:, 0, 2] = 3.0, 80.0, 40.0
    rays_o, rays_d = camera_rays(c.viewmats.view(2, 4, 4, 4), Ks.view(2, 4, 3, 3), 96, 64, 3, 5)
    assert rays_o.shape == rays_d.shape == (2, 4, 3, 5, 3)
    pixel = torch.tensor([96 * 0.9, 64 / 6, 1], dtype=torch.float64)  # last column, first row
    expected = c.viewmats[:, :3, :3].mT @ torch.linalg.solve(Ks, pixel)[..., None]
    expected = torch.nn.functional.normalize(expected[..., 0], dim=-1)
    torch.testing.assert_close(rays_d[..., 0, 4, :].reshape(8, 3), expected)


def test_raymap_keeps_the_dtype_and_carries_gradients():
    c = random_cameras(0, 96, 96)
    assert cameras_to_raymap(c.to(torch.float32), 2, 2).dtype == torch.float32
    viewmats, Ks = c.viewmats.clone().requires_grad_(), c.Ks.clone().requires_grad_()
    cameras_to_raymap(replace(c, viewmats=viewmats, Ks=Ks), 4, 4)[:, 3].sum().backward()
    assert viewmats.grad is not None
    assert Ks.grad is not None
    assert float(viewmats.grad.abs().amax(dim=(1, 2)).min()) > 0
    assert float(Ks.grad[:, 0, 0].abs().min()) > 0


@given(cameras(), st.integers(2, 12), st.integers(2, 12))
def test_fit_recovers_the_cameras_of_a_clean_raymap(c, height, width):
    raymap = cameras_to_raymap(c, height, width)
    fit = raymap_to_cameras(raymap, c.width, c.height, relative_to_first=False)
    # Double precision, amplified by narrow views on few rays.
    torch.testing.assert_close(fit.cameras.viewmats, c.viewmats, atol=1e-6, rtol=0)
    torch.testing.assert_close(fit.cameras.Ks, c.Ks, atol=0, rtol=1e-6)
    assert fit.residual < 1e-7
    assert (fit.cameras.width, fit.cameras.height) == (c.width, c.height)


@given(cameras())
def test_fit_returns_view_1_as_identity_by_default(c):
    fit = raymap_to_cameras(cameras_to_raymap(c, 6, 6), c.width, c.height)
    expected = c.relative_to_first().viewmats
    torch.testing.assert_close(fit.cameras.viewmats, expected, atol=1e-6, rtol=0)
    assert (fit.cameras.viewmats[0] == torch.eye(4)).all()


@pytest.mark.parametrize("degrees", [90.0, -90.0, 89.999, 180.0])
def test_fit_survives_views_turned_until_rays_have_no_forward_component(degrees):
    turned = build_cameras([[0, 0, 0], [0, math.radians(degrees), 0]], [[0, 0, 0], [1, 0, 0]])
    fit = raymap_to_cameras(add_noise(cameras_to_raymap(turned, 16, 16), 0.01), 96, 96)
    # Predicted 0.15 degrees; four times that cannot be an accident.
    assert float(rotation_errors(fit.cameras, turned).max()) < 0.6


def test_fit_of_a_pan_stays_on_the_spot():
    pan = trajectory("pan_left").to(torch.float64)
    fit = raymap_to_cameras(add_noise(cameras_to_raymap(pan, 12, 12), 0.01), 96, 96)
    assert float(rotation_errors(fit.cameras, pan).max()) < 0.5
    assert float(fit.cameras.centers.norm(dim=1).max()) < 0.02


# The table of accuracies that this method is known to reach: grid, noise, then mean errors of the
# shared focal length (relative), of rotations (degrees) and of centres.
ACCURACIES = [
    ((40, 64), 0.03, 0.0009, 0.10, 0.002),
    ((40, 64), 0.1, 0.0018, 0.35, 0.007),
    ((20, 32), 0.1, 0.0025, 0.69, 0.015),
    ((8, 8), 0.1, 0.017, 1.9, 0.042),
]


@pytest.mark.parametrize(("grid", "noise", "focal", "rotation", "center"), ACCURACIES)
def test_fit_is_as_accurate_as_known_under_noise(grid, noise, focal, rotation, center):
    size = (96, 96) if grid == (8, 8) else (512, 320)
    truths = [random_cameras(seed, *size) for seed in range(12)]
    raymaps = [add_noise(cameras_to_raymap(c, *grid), noise, i) for i, c in enumerate(truths)]
    fits = raymaps_to_cameras(torch.stack(raymaps), *size, relative_to_first=False)
    errors = []
    for fit, truth in zip(fits, truths, strict=True):
        focals = [float(c.Ks[0, 0, 0]) for c in (fit.cameras, truth)]
        turned = rotation_errors(fit.cameras, truth)
        moved = (fit.cameras.centers - truth.centers).norm(dim=1)
        errors.append([abs(focals[0] / focals[1] - 1), float(turned.mean()), float(moved.mean())])
    means = torch.tensor(errors).mean(dim=0)
    # Each row of the table is one run with one focal error, which scatters by its own size: hence
    # twice it. Rotations and centres are means over views and scatter less.
    assert float(means[0]) < 2 * focal
    assert float(means[1]) < 1.1 * rotation
    assert float(means[2]) < 1.1 * center


def test_focal_length_is_as_accurate_as_its_rays_allow():
    """The root mean square error reaches the Cramér–Rao bound, noise / √Σ|∂direction/∂log f|²."""
    noise, step = 0.03, 1e-5
    truth = random_cameras(0, 96, 96)
    clean = cameras_to_raymap(truth, 12, 12)
    raymaps = torch.stack([add_noise(clean, noise, seed) for seed in range(60)])
    fits = raymaps_to_cameras(raymaps, 96, 96)
    errors = torch.stack([fit.cameras.Ks[0, 0, 0] for fit in fits]) / truth.Ks[0, 0, 0] - 1
    Ks = truth.Ks.clone()
    Ks[:, [0, 1], [0, 1]] *= 1 + step
    change = cameras_to_raymap(replace(truth, Ks=Ks), 12, 12) - clean
    bound = noise / float((change[:, :3] / step).norm())
    # 60 errors give their root mean square to 9 %.
    assert float(errors.square().mean().sqrt()) == pytest.approx(bound, rel=0.25)


@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize("grid", [4, 12])
def test_residuals_estimate_the_noise(grid, noise):
    fits = [
        raymap_to_cameras(
            add_noise(cameras_to_raymap(random_cameras(i, 96, 96), grid, grid), noise, i), 96, 96
        )
        for i in range(10)
    ]
    # 10 × 8 × 16 rays or more: standard errors of 2 % or less; noise of 0.1 is 1 % non-linear.
    for name in ("residual", "direction_residual", "moment_residual"):
        mean = torch.tensor([getattr(f, name) for f in fits]).square().mean().sqrt()
        assert float(mean) == pytest.approx(noise, rel=0.06)
    views = torch.stack([f.view_residuals for f in fits]).square().mean().sqrt()
    assert float(views) == pytest.approx(noise, rel=0.06)


@pytest.mark.parametrize(("height", "width"), [(6, 6), (8, 8), (12, 12), (24, 24), (20, 32)])
def test_predicted_rotation_error_is_the_simulated_one(height, width):
    size = (96, 96) if height == width else (512, 320)
    c = trajectory("orbit_right", width=size[0], height=size[1]).to(torch.float64)
    noise = residual_at_rotation_error(c, height, width, degrees=1.0)
    clean = cameras_to_raymap(c, height, width)
    raymaps = torch.stack([add_noise(clean, noise, seed) for seed in range(40)])
    fits = raymaps_to_cameras(raymaps, *size, relative_to_first=False)
    errors = torch.stack([rotation_errors(fit.cameras, c) for fit in fits])
    predictions = [fit.rotation_error_degrees for fit in fits]
    # 320 rotations of three degrees of freedom: 4 % standard error; up to 5 % is non-linear.
    assert float(errors.square().mean().sqrt()) == pytest.approx(1.0, rel=0.15)
    assert sum(predictions) / len(predictions) == pytest.approx(1.0, rel=0.05)


def test_documented_residuals_at_one_degree():
    levels = [
        residual_at_rotation_error(trajectory("spiral", width=w, height=h), *grid)
        for grid, (w, h) in [
            ((6, 6), (96, 96)),
            ((8, 8), (96, 96)),
            ((12, 12), (96, 96)),
            ((16, 16), (96, 96)),
            ((24, 24), (96, 96)),
            ((20, 32), (512, 320)),
            ((40, 64), (512, 320)),
        ]
    ]
    expected = [0.032, 0.043, 0.065, 0.087, 0.130, 0.120, 0.241]
    assert levels == pytest.approx(expected, abs=6e-4)  # three decimals


def test_fit_ignores_the_length_of_directions():
    raymap = add_noise(cameras_to_raymap(random_cameras(3, 96, 96), 8, 8), 0.05)
    longer = torch.cat([raymap[:, :3] * 1.7, raymap[:, 3:]], dim=1)
    a, b = (raymap_to_cameras(r, 96, 96) for r in (raymap, longer))
    torch.testing.assert_close(a.cameras.viewmats, b.cameras.viewmats)
    assert a.residual == pytest.approx(b.residual)


@settings(max_examples=20)
@given(cameras(min_views=2, max_views=4), st.floats(0.01, 100.0))
def test_fit_scales_with_the_scene(c, scale):
    raymap = cameras_to_raymap(c.scaled(scale), 6, 6)
    fit = raymap_to_cameras(raymap, c.width, c.height)
    errors = camera_errors(fit.cameras, c, align_scale=False)
    expected = (scale - 1) * c.relative_to_first().centers
    torch.testing.assert_close(errors.center_distances, expected.norm(dim=1), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(("fov", "limit"), [(4.0, 10.0), (165.0, 150.0)])
def test_focal_length_stays_within_the_field_of_view_limits(fov, limit):
    c = random_cameras(0, 96, 64, fov)
    focal = raymap_to_cameras(cameras_to_raymap(c, 8, 8), 96, 64).cameras.Ks[0, 0, 0]
    assert math.degrees(2 * math.atan(48 / float(focal))) == pytest.approx(limit)


def test_view_residuals_point_at_the_view_that_is_no_camera():
    raymap = add_noise(cameras_to_raymap(random_cameras(1, 96, 96), 12, 12), 0.01)
    raymap[5] = add_noise(raymap[5], 0.3)
    fit = raymap_to_cameras(raymap, 96, 96)
    assert int(fit.view_residuals.argmax()) == 5
    assert float(fit.view_residuals[5]) > 5 * float(fit.view_residuals[[0, 1, 2, 3, 4, 6, 7]].max())


def test_a_raymap_of_pure_noise_gives_cameras_and_says_so():
    fit = raymap_to_cameras(add_noise(torch.zeros(8, 6, 12, 12), 1.0), 96, 96)
    assert fit.direction_residual > 0.5
    assert fit.rotation_error_degrees > 5


def test_batch_gives_the_same_as_single_scenes():
    raymaps = torch.stack(
        [
            add_noise(cameras_to_raymap(random_cameras(i, 64, 96, 40.0 + 20 * i), 8, 6), 0.03)
            for i in range(3)
        ]
    )
    for raymap, fit in zip(raymaps, raymaps_to_cameras(raymaps, 64, 96), strict=True):
        single = raymap_to_cameras(raymap, 64, 96)
        torch.testing.assert_close(fit.cameras.viewmats, single.cameras.viewmats)
        torch.testing.assert_close(fit.cameras.Ks, single.cameras.Ks)
        assert fit.residual == pytest.approx(single.residual)


@pytest.mark.parametrize(
    ("dtype", "expected", "rotation"),
    [
        (torch.float64, torch.float64, 1e-10),
        (torch.float32, torch.float32, 1e-3),
        (torch.bfloat16, torch.float32, 0.3),
    ],
)
def test_fit_returns_cameras_in_at_least_single_precision(dtype, expected, rotation):
    c = random_cameras(0, 96, 96)
    fit = raymap_to_cameras(cameras_to_raymap(c, 12, 12).to(dtype), 96, 96, relative_to_first=False)
    assert fit.cameras.viewmats.dtype == fit.cameras.Ks.dtype == expected
    # bfloat16 rounds directions by up to 0.002 (0.1 degrees), averaged over 144 rays.
    assert float(rotation_errors(fit.cameras.to(torch.float64), c).max()) < rotation


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rejects_a_raymap_that_is_not_finite(value):
    raymap = torch.zeros(8, 6, 4, 4)
    raymap[2, 1, 0, 0] = value
    with pytest.raises(ValueError, match="1 values that are not finite"):
        raymap_to_cameras(raymap, 96, 96)


@pytest.mark.parametrize("shape", [(0, 6, 4, 4), (8, 5, 4, 4), (8, 6, 1, 4), (8, 6, 4, 1)])
def test_rejects_a_raymap_that_determines_nothing(shape):
    # A run-time type checker may refuse the channels first.
    with pytest.raises((ValueError, TypeError)):
        raymap_to_cameras(torch.zeros(shape), 96, 96)
