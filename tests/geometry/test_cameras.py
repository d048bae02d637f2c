import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from strategies import build_cameras, cameras, rotations, unit_vectors, vectors

from videorfsplat.geometry.cameras import (
    MIN_EXTENT,
    Cameras,
    camera_errors,
    concatenate_cameras,
    interpolate_cameras,
    look_at,
    normalize_cameras,
    rotation_angle_degrees,
    sample_path,
)

# Double precision through a handful of 4 × 4 products and values up to 10.
EXACT = {"rtol": 0, "atol": 1e-12}


def move_world(c: Cameras, rotation, translation, scale: float = 1.0) -> Cameras:
    """The cameras after the world moved by x ↦ scale · rotation · x + translation."""
    inverse = torch.eye(4, dtype=torch.float64)
    inverse[:3, :3] = rotation.mT
    inverse[:3, 3] = -rotation.mT @ translation
    viewmats = c.scaled(scale).viewmats @ inverse
    return replace(c, viewmats=viewmats)


def reverse(c: Cameras) -> Cameras:
    return c[list(range(c.num_views))[::-1]]


def two_cameras(**changes) -> Cameras:
    c = build_cameras([[0, 0, 0], [0.1, 0.2, 0.3]], [[0, 0, 0], [1, 2, 3]])
    return replace(c, **changes)


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("viewmats", (1, 0, 3), math.nan, "not finite"),
        ("Ks", (0, 0, 2), math.inf, "not finite"),
        ("viewmats", (1, 0, 0), 1.2, "view 2 is not a rotation"),
        ("viewmats", (0, 2, 2), -1.0, "view 1 is not a rotation"),
        ("viewmats", (1, 3, 0), 0.5, "last row"),
        ("Ks", (1, 1, 1), 0.0, "focal"),
    ],
)
def test_rejects_impossible_values(name, index, value, message):
    tensor = getattr(two_cameras(), name).clone()
    tensor[index] = value
    with pytest.raises(ValueError, match=message):
        two_cameras(**{name: tensor})


def test_rejects_empty_images_and_mismatched_view_counts():
    with pytest.raises(ValueError, match="0x96"):
        two_cameras(width=0)
    # A run-time type checker may refuse the view count first.
    with pytest.raises((ValueError, TypeError)):
        two_cameras(Ks=two_cameras().Ks[:1])


@given(cameras())
def test_camtoworlds_inverts_viewmats(c):
    identity = torch.eye(4, dtype=torch.float64).expand_as(c.viewmats)
    torch.testing.assert_close(c.viewmats @ c.camtoworlds, identity, **EXACT)


@given(cameras())
def test_relative_to_first_keeps_relative_poses(c):
    relative = c.relative_to_first()
    assert (relative.viewmats[0] == torch.eye(4)).all()
    for other in (c, relative):
        step = other.viewmats[-1] @ other.camtoworlds[0]
        torch.testing.assert_close(step, relative.viewmats[-1], **EXACT)


def test_resized_keeps_where_a_point_falls_in_the_image():
    c, point = two_cameras(), torch.tensor([0.1, 0.2, 5.0], dtype=torch.float64)
    small = c.resized(48, 24)
    pixel, small_pixel = ((k.Ks[0] @ point)[:2] / point[2] for k in (c, small))
    ratio = torch.tensor([48 / 96, 24 / 96], dtype=torch.float64)
    torch.testing.assert_close(small_pixel, pixel * ratio, **EXACT)


@pytest.mark.parametrize(("width", "height"), [(24, 24), (96, 24), (20, 48)])
def test_center_cropped_keeps_pixels_square_and_the_middle_where_it_is(width, height):
    c, point = two_cameras(), torch.tensor([0.1, 0.2, 5.0], dtype=torch.float64)
    cropped = c.center_cropped(width, height)
    pixel, cropped_pixel = ((k.Ks[0] @ point)[:2] / point[2] for k in (c, cropped))
    middle = torch.tensor([c.width, c.height], dtype=torch.float64) / 2
    new_middle = torch.tensor([width, height], dtype=torch.float64) / 2
    # The window touches two sides of the image and leaves neither.
    factor = max(width / c.width, height / c.height)
    torch.testing.assert_close(cropped_pixel - new_middle, factor * (pixel - middle), **EXACT)
    assert (cropped.width, cropped.height) == (width, height)


def test_center_cropped_to_the_same_shape_is_resized():
    c = two_cameras()
    size = (c.width // 2, c.height // 2)
    torch.testing.assert_close(c.center_cropped(*size).Ks, c.resized(*size).Ks, **EXACT)


def test_index_and_concatenate_are_inverse():
    c = two_cameras()
    again = concatenate_cameras([c[0], c[1]])
    assert (again.viewmats == c.viewmats).all()
    with pytest.raises(ValueError, match="one image size"):
        concatenate_cameras([c[0], c[1].resized(10, 10)])


@given(vectors(3.0), vectors(3.0))
def test_look_at_puts_the_target_ahead_and_up_upwards(center, target):
    center, target = (torch.tensor([v], dtype=torch.float64) for v in (center, target))
    up = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    horizontal = float((target - center)[0, [0, 2]].norm())
    if horizontal < 1e-3:
        return
    viewmat = look_at(center, target, up)[0]
    seen = viewmat[:3, :3] @ target[0] + viewmat[:3, 3]
    distance = (target - center).norm()
    # The direction is orthogonalised against up, which loses digits as it turns vertical.
    torch.testing.assert_close(seen, torch.stack([0 * distance, 0 * distance, distance]))
    assert (viewmat[:3, :3] @ up)[1] < 0
    assert torch.linalg.det(viewmat[:3, :3]) == pytest.approx(1.0)


def test_look_at_rejects_a_vertical_view():
    up = torch.tensor([0.0, -1.0, 0.0])
    with pytest.raises(ValueError, match="parallel"):
        look_at(torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 0.0]]), up)


@given(cameras(min_views=2), st.floats(0.01, 100.0))
def test_normalized_cameras_have_the_median_depth_at_one(c, depth):
    normalized, unit = normalize_cameras(c, median_depth=depth)
    assert unit == depth
    assert (normalized.viewmats[0] == torch.eye(4)).all()
    torch.testing.assert_close(
        normalized.scaled(unit).viewmats, c.relative_to_first().viewmats, **EXACT
    )


@given(cameras(min_views=2))
def test_normalized_cameras_without_depth_have_unit_extent(c):
    normalized, unit = normalize_cameras(c)
    extent = float(normalized.centers[1:].norm(dim=1).mean())
    assert unit >= MIN_EXTENT
    assert extent == pytest.approx(1.0) if unit > MIN_EXTENT else extent <= 1.0


def test_normalization_leaves_a_pan_on_the_spot():
    pan = build_cameras([[0, 0.1 * i, 0] for i in range(8)], [[1.0, 2.0, 3.0]] * 8)
    normalized, unit = normalize_cameras(pan)
    assert unit == MIN_EXTENT
    assert float(normalized.centers.norm(dim=1).max()) < 1e-12


@pytest.mark.parametrize("depth", [0.0, -1.0, math.nan, math.inf])
def test_normalization_rejects_an_impossible_depth(depth):
    with pytest.raises(ValueError, match="median_depth"):
        normalize_cameras(two_cameras(), median_depth=depth)


@given(cameras(), st.integers(1, 5))
def test_interpolation_meets_every_camera(c, parts):
    path = interpolate_cameras(c, parts * (c.num_views - 1) + 1)
    torch.testing.assert_close(path.viewmats[::parts], c.viewmats, **EXACT)
    torch.testing.assert_close(path.Ks[::parts], c.Ks, **EXACT)


# Below half a turn between neighbours: at exactly half a turn there are two ways round.
@given(cameras(max_turn=0.8), st.integers(1, 12))
def test_interpolating_the_reversed_cameras_reverses_the_path(c, num_views):
    there, back = interpolate_cameras(c, num_views), interpolate_cameras(reverse(c), num_views)
    if num_views == 1:  # one sample is the first camera, which differs
        return
    torch.testing.assert_close(reverse(back).viewmats, there.viewmats, **EXACT)


@given(cameras(max_turn=0.8), rotations(), vectors(3.0), st.integers(2, 9))
def test_interpolation_does_not_depend_on_the_world_frame(c, rotation, translation, num_views):
    translation = torch.tensor(translation, dtype=torch.float64)
    moved_after = move_world(interpolate_cameras(c, num_views), rotation, translation)
    moved_before = interpolate_cameras(move_world(c, rotation, translation), num_views)
    torch.testing.assert_close(moved_before.viewmats, moved_after.viewmats, **EXACT)


# Up to and including half a turn, where a naive spherical interpolation breaks down.
@given(st.sampled_from([0.0, 1e-9, 1.0, 90.0, 179.999999, 180.0]), unit_vectors(), vectors(2.0))
def test_two_cameras_are_joined_by_the_geodesic_at_constant_speed(degrees, axis, center):
    turn = math.radians(degrees) * axis
    c = build_cameras([[0, 0, 0], turn], [[0, 0, 0], center])
    path = interpolate_cameras(c, 10)
    turned = rotation_angle_degrees(path.viewmats[1:, :3, :3], path.viewmats[:-1, :3, :3])
    # atan2 of a matrix entry of 1e-16 gives 1e-14 degrees; composed rotations add some.
    torch.testing.assert_close(turned, torch.full_like(turned, degrees / 9), rtol=0, atol=1e-10)
    steps = path.centers.diff(dim=0)
    torch.testing.assert_close(steps, c.centers[1:].expand(9, 3) / 9, **EXACT)


def test_a_steady_orbit_stays_an_orbit():
    angles = np.linspace(0, 1.2, 8)
    centers = np.stack([np.sin(angles), 0 * angles, 1 - np.cos(angles)], axis=1)
    orbit = build_cameras(np.stack([0 * angles, -angles, 0 * angles], axis=1), centers)
    path = interpolate_cameras(orbit, 50)
    radii = (path.centers - torch.tensor([0, 0, 1.0])).norm(dim=1)
    # A natural spline has no curvature at its ends, an orbit has: at most 1 % there.
    assert float((radii - 1).abs().max()) < 0.01
    forward = path.camtoworlds[:, :3, 2]
    to_subject = torch.nn.functional.normalize(torch.tensor([0, 0, 1.0]) - path.centers, dim=1)
    assert float((forward * to_subject).sum(dim=1).min()) > math.cos(math.radians(0.5))


def test_interpolation_of_intrinsics_is_linear():
    c = two_cameras()
    c = replace(c, Ks=torch.stack([c.Ks[0], 2 * c.Ks[0]]))
    middle = interpolate_cameras(c, 3).Ks[1]
    torch.testing.assert_close(middle, 1.5 * c.Ks[0], **EXACT)


def test_interpolation_keeps_the_dtype_and_rejects_impossible_requests():
    c = two_cameras().to(torch.float32)
    assert interpolate_cameras(c, 4).viewmats.dtype == torch.float32
    with pytest.raises(ValueError, match="num_views"):
        interpolate_cameras(c, 0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        sample_path(c, torch.tensor([0.0, 1.5]))
    with pytest.raises(ValueError, match="at least one camera"):
        interpolate_cameras(c[[]], 3)


@given(st.floats(0.0, 180.0), unit_vectors(), rotations())
def test_rotation_angle_is_the_length_of_the_rotation_vector(degrees, axis, start):
    turn = Rotation.from_rotvec(degrees * axis, degrees=True)
    a, b = start, start @ torch.from_numpy(turn.as_matrix())
    # Matrix products round to 1e-16; in degrees, 1e-13.
    assert float(rotation_angle_degrees(a, b)) == pytest.approx(degrees, abs=1e-12)


@settings(max_examples=50)
@given(cameras(min_views=2), rotations(), vectors(3.0), st.floats(0.1, 10.0))
def test_camera_errors_vanish_under_a_change_of_frame_and_scale(c, rotation, translation, scale):
    translation = torch.tensor(translation, dtype=torch.float64)
    errors = camera_errors(move_world(c, rotation, translation, scale), c)
    assert float(errors.rotation_degrees.max()) < 1e-10
    assert float(errors.center_distances.max()) < 1e-10
    torch.testing.assert_close(errors.focal_ratios, torch.ones(c.num_views, dtype=torch.float64))


def test_camera_errors_measure_a_known_difference():
    reference = build_cameras([[0, 0, 0]] * 3, [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    turned = [[0, 0, 0], [0, math.radians(3), 0], [0, 0, 0]]
    estimated = build_cameras(turned, [[0, 0, 0], [1, 0, 0], [0, 0, 1]], focal=110.0)
    errors = camera_errors(estimated.resized(48, 48), reference)
    expected = torch.tensor([0, 3, 0], dtype=torch.float64)
    torch.testing.assert_close(errors.rotation_degrees, expected, **EXACT)
    expected = torch.tensor([0, 0, math.sqrt(2)], dtype=torch.float64)
    torch.testing.assert_close(errors.center_distances, expected, **EXACT)
    torch.testing.assert_close(errors.focal_ratios, torch.full_like(expected, 1.1), **EXACT)
    assert errors.scale == pytest.approx(1.0)


def test_camera_errors_do_not_hide_motion_where_the_reference_stands_still():
    pan = build_cameras([[0, 0, 0], [0, 0.3, 0]], [[0, 0, 0], [0, 0, 0]])
    moving = build_cameras([[0, 0, 0], [0, 0.3, 0]], [[0, 0, 0], [0.5, 0, 0]])
    assert float(camera_errors(moving, pan).center_distances[1]) == pytest.approx(0.5)
    assert float(camera_errors(pan, moving).center_distances[1]) == pytest.approx(0.5)
    unaligned = camera_errors(moving.scaled(2.0), moving, align_scale=False)
    assert float(unaligned.center_distances[1]) == pytest.approx(0.5)


def test_camera_errors_reject_different_view_counts():
    with pytest.raises(ValueError, match="expected 1"):
        camera_errors(two_cameras(), two_cameras()[0])
