import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.geometry.cameras import Cameras, rotation_angle_degrees
from videorfsplat.geometry.trajectories import TRAJECTORIES, fly_through, trajectory

# World directions in the frame of view 1, when it looks straight ahead.
RIGHT, UP, FORWARD = torch.eye(3) * torch.tensor([1.0, -1.0, 1.0])
SUBJECT = torch.tensor([0.0, 0.0, 1.0])

# Single precision, lengths near 1.
ROUNDING = 1e-6


def level(name: str, **settings) -> Cameras:
    return trajectory(name, elevation_degrees=0.0, **settings)


def forwards(c: Cameras) -> torch.Tensor:
    return c.camtoworlds[:, :3, 2]


def is_rising(values: torch.Tensor) -> bool:
    return bool((values.diff() > 0).all())


def angle_to_subject(c: Cameras) -> torch.Tensor:
    to_subject = torch.nn.functional.normalize(SUBJECT - c.centers, dim=1)
    return torch.linalg.cross(forwards(c), to_subject).norm(dim=1)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_every_path_starts_at_the_identity_and_moves_evenly(name):
    c = trajectory(name, num_views=20)
    assert c.num_views == 20
    assert (c.viewmats[0] == torch.eye(4)).all()
    steps = c.centers.diff(dim=0).norm(dim=1) + torch.deg2rad(
        rotation_angle_degrees(c.viewmats[1:, :3, :3], c.viewmats[:-1, :3, :3])
    )
    assert float(steps.min()) > 0
    assert float(steps.max()) < 0.15  # no jump: the longest path takes 1.9 in 19 steps


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("truck_left", -RIGHT),
        ("truck_right", RIGHT),
        ("dolly_in", FORWARD),
        ("dolly_out", -FORWARD),
    ],
)
def test_trucks_and_dollies_are_straight_and_keep_the_view_direction(name, direction):
    c = level(name)
    along = c.centers @ direction
    assert is_rising(along)
    torch.testing.assert_close(c.centers, along[:, None] * direction, atol=ROUNDING, rtol=0)
    torch.testing.assert_close(forwards(c), FORWARD.expand(8, 3), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("elevation", [0.0, 10.0, -20.0])
@pytest.mark.parametrize(("name", "side"), [("orbit_left", -RIGHT), ("orbit_right", RIGHT)])
def test_orbits_circle_the_subject_on_their_side(name, side, elevation):
    c = trajectory(name, elevation_degrees=elevation)
    assert is_rising(c.centers @ side)
    distances = (c.centers - SUBJECT).norm(dim=1)
    torch.testing.assert_close(distances, torch.ones(8), atol=ROUNDING, rtol=0)
    assert float(angle_to_subject(c).max()) < ROUNDING


@pytest.mark.parametrize(("name", "side"), [("pan_left", -RIGHT), ("pan_right", RIGHT)])
def test_pans_turn_on_the_spot_to_their_side(name, side):
    c = trajectory(name)
    assert float(c.centers.norm(dim=1).max()) < ROUNDING
    assert is_rising(forwards(c) @ side)


@pytest.mark.parametrize(("name", "side"), [("crane_up", UP), ("crane_down", -UP)])
def test_cranes_move_vertically_and_keep_the_subject_in_the_middle(name, side):
    c = level(name)
    height = c.centers @ side
    assert is_rising(height)
    torch.testing.assert_close(c.centers, height[:, None] * side, atol=ROUNDING, rtol=0)
    assert float(angle_to_subject(c).max()) < ROUNDING
    assert is_rising(trajectory(name).centers @ side)


def test_the_vertical_tilts_with_the_elevation():
    """A camera that looks down by e has the vertical e away from its own, towards the subject."""
    c = trajectory("crane_up", elevation_degrees=30.0)
    direction = torch.nn.functional.normalize(c.centers[-1], dim=0)
    expected = torch.tensor([0.0, -math.cos(math.radians(30)), -math.sin(math.radians(30))])
    torch.testing.assert_close(direction, expected, atol=ROUNDING, rtol=0)


def test_a_spiral_goes_round_the_view_axis_and_widens():
    c = trajectory("spiral", num_views=33)
    x, y, z = c.centers.unbind(-1)
    assert is_rising(torch.hypot(x, y))
    assert float(z.abs().max()) < ROUNDING
    for side in (x, -x, y, -y):
        assert float(side.max()) > 0.03
    assert float(angle_to_subject(c).max()) < ROUNDING


def test_a_walk_goes_forward_and_sways():
    c = level("walk", num_views=33)
    x, y, z = c.centers.unbind(-1)
    assert is_rising(z)
    assert float(x.max()) > 0.02
    assert float(x.min()) < -0.02
    assert float(y.max() - y.min()) < 0.03


@given(st.sampled_from(TRAJECTORIES), st.floats(0.1, 1.0))
def test_amount_multiplies_the_motion(name, amount):
    part, whole = level(name, amount=amount), level(name)
    turned = [rotation_angle_degrees(c.viewmats[-1, :3, :3], torch.eye(3)) for c in (part, whole)]
    moved = [c.centers[-1].norm() for c in (part, whole)]
    if "orbit" in name or "pan" in name:
        assert float(turned[0]) == pytest.approx(amount * float(turned[1]), rel=1e-3)
    else:
        assert float(moved[0]) == pytest.approx(amount * float(moved[1]), rel=1e-3)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_amount_zero_stands_still(name):
    still = trajectory(name, amount=0.0).viewmats
    torch.testing.assert_close(still, torch.eye(4).expand(8, 4, 4), atol=ROUNDING, rtol=0)


def test_the_field_of_view_is_that_of_the_longer_side():
    for width, height in [(512, 320), (320, 512)]:
        c = trajectory("walk", num_views=1, width=width, height=height, fov_degrees=90.0)
        assert float(c.Ks[0, 0, 0]) == float(c.Ks[0, 1, 1]) == pytest.approx(256)
        assert c.Ks[0, :2, 2].tolist() == [width / 2, height / 2]


def test_rejects_what_is_out_of_range():
    with pytest.raises(ValueError, match=r"unknown trajectory 'zoom'.*orbit_left.*walk"):
        trajectory("zoom")
    for settings in (
        {"num_views": 0},
        {"fov_degrees": 5.0},
        {"fov_degrees": math.nan},
        {"amount": -0.1},
        {"amount": math.inf},
        {"elevation_degrees": 90.0},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} must lie in"):
            trajectory("walk", **settings)


def test_fly_through_goes_there_and_back_without_a_jump():
    c = trajectory("orbit_left")
    video = fly_through(c, 48)
    assert video.num_views == 48
    torch.testing.assert_close(video.viewmats[0], c.viewmats[0], atol=ROUNDING, rtol=0)
    torch.testing.assert_close(video.viewmats[24], c.viewmats[-1], atol=ROUNDING, rtol=0)
    closed = torch.cat([video.centers, video.centers[:1]])
    steps = closed.diff(dim=0).norm(dim=1)
    assert float(steps[0]) == pytest.approx(float(steps[-1]), abs=1e-5)
    assert float(steps[0]) < 0.2 * float(steps.max())  # it starts and ends slowly


def test_fly_through_one_way_ends_at_the_last_camera():
    c = trajectory("dolly_in")
    video = fly_through(c, 15, there_and_back=False)
    torch.testing.assert_close(video.viewmats[::2], c.viewmats, atol=ROUNDING, rtol=0)
    with pytest.raises(ValueError, match="num_frames"):
        fly_through(c, 0)
