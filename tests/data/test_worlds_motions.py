"""Camera paths: motion words agree with where the camera goes; the object stays in the frame."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videorfsplat.data.worlds.grammar import main_shape, sample_world
from videorfsplat.data.worlds.motions import MOTIONS, CameraPath, amplitude_range, view_times

SIGN = {"left": -1, "right": 1, "up": -1, "down": 1, "in": 1, "out": -1}


@st.composite
def paths(draw, motion: str) -> CameraPath:
    low, high = amplitude_range(motion)
    return CameraPath(
        motion=motion,
        amplitude=draw(st.floats(low, high)),
        fov=draw(st.floats(42.0, 58.0)),
        elevation=draw(st.floats(22.0, 28.0) if motion == "crane_down" else st.floats(4.0, 8.0)),
        distance=draw(st.floats(4.0, 9.0)),
        target=(0.0, draw(st.floats(0.7, 1.4)), 0.0),
        subject_radius=draw(st.floats(0.4, 1.2)),
    )


@pytest.mark.parametrize("motion", MOTIONS)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_motion_words_agree_with_the_camera(motion, data):
    """Seen from view 1 (+x right, +y down, +z forward) each view goes on in the named direction."""
    path = data.draw(paths(motion))
    cameras = path.cameras(view_times(8), 64).relative_to_first()
    family, direction = motion.split("_")
    axis = {"left": 0, "right": 0, "up": 1, "down": 1, "in": 2, "out": 2}[direction]
    if family == "pan":
        moving = cameras.camtoworlds[:, :3, 2]  # the view direction turns, the camera stays
        torch.testing.assert_close(cameras.centers, torch.zeros(8, 3, dtype=torch.float64))
    else:
        moving = cameras.centers
    assert (SIGN[direction] * moving[:, axis].diff() > 0).all()
    assert abs(moving[-1, axis]) > 0.05 * (1.0 if family == "pan" else path.distance)
    if family in ("truck", "dolly"):
        others = [other for other in range(3) if other != axis]
        assert moving[:, others].abs().max() < 1e-9
        assert (cameras.viewmats[:, :3, :3] - torch.eye(3)).abs().max() < 1e-9


@settings(deadline=None, max_examples=15)
@given(data=st.data(), motion=st.sampled_from(["orbit_left", "orbit_right"]))
def test_an_orbit_keeps_distance_and_aim(data, motion):
    path = data.draw(paths(motion))
    cameras = path.cameras(view_times(8), 64)
    target = torch.tensor([*path.target, 1.0], dtype=torch.float64)
    seen = cameras.viewmats @ target
    assert seen[:, :2].abs().max() < 1e-9
    torch.testing.assert_close(seen[:, 2], torch.full((8,), path.distance, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(0, 120))
def test_the_object_stays_in_the_frame_and_is_large_in_view_one(seed):
    world = sample_world(seed)
    shape = main_shape(world.kind)
    cameras = world.path.cameras(view_times(8), 100)
    middle = torch.tensor([*world.path.target, 1.0], dtype=torch.float64)
    points = cameras.viewmats @ middle
    pixels = (cameras.Ks @ points[:, :3, None])[..., 0]
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert (points[:, 2] > 1.5).all()
    assert (pixels[0] - 50).abs().max() < 1e-6
    # The middle keeps a tenth of the image to the border; the paths leave room for the width.
    assert pixels.min() > 10
    assert pixels.max() < 90
    width = 2 * world.path.subject_radius
    extent = max(shape.high[1] - shape.low[1], width)
    share = extent * float(cameras.Ks[0, 0, 0]) / world.path.distance / 100
    assert 0.33 < share < 0.68


def test_one_focal_per_scene():
    cameras = sample_world(5).path.cameras(view_times(8), 96)
    assert (cameras.Ks == cameras.Ks[:1]).all()
    assert float(cameras.Ks[0, 0, 0]) == float(cameras.Ks[0, 1, 1])


def test_rejects_an_unknown_motion():
    with pytest.raises(ValueError, match="zoom"):
        amplitude_range("zoom")


def test_view_times_are_even():
    assert view_times(1) == [0.0]
    np.testing.assert_allclose(np.diff(view_times(8)), 1 / 7)
