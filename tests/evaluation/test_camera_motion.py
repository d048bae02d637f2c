"""Motions are told from geometry: true paths of worlds and presets, their mirror images, noise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.data.worlds.motions import MOTIONS, view_times
from videorfsplat.evaluation.camera_motion import STILL, camera_motion, direction
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.trajectories import trajectory

MIRRORED = {"left": "right", "right": "left"}


def world_cameras(seed: int) -> tuple[str, Cameras]:
    """Cameras in units of the subject's distance, which is near a scene's unit."""
    path = sample_world(seed).path
    cameras = path.cameras(view_times(8), 96).relative_to_first()
    return path.motion, cameras.scaled(1 / path.distance)


@given(st.integers(0, 100_000), st.floats(0.6, 1.5))
def test_the_motion_of_every_world_is_told_in_any_usual_unit(seed, unit):
    motion, cameras = world_cameras(seed)
    assert camera_motion(cameras.scaled(unit)) == motion


@pytest.mark.parametrize("motion", MOTIONS)
def test_presets_are_what_their_names_say(motion):
    assert camera_motion(trajectory(motion)) == motion


@given(st.integers(0, 100_000))
def test_a_mirror_exchanges_left_and_right_only(seed):
    motion, cameras = world_cameras(seed)
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = Cameras(flip @ cameras.viewmats @ flip, cameras.Ks, 96, 96)
    family, _, word = motion.partition("_")
    assert camera_motion(mirrored) == f"{family}_{MIRRORED.get(word, word)}"


@given(st.integers(0, 100_000), st.integers(0, 1000))
def test_small_errors_of_the_last_camera_change_nothing(seed, noise):
    motion, cameras = world_cameras(seed)
    viewmats = cameras.viewmats.clone()
    generator = torch.Generator().manual_seed(noise)
    # A hundredth of the subject's distance; the smallest true motion is more than a tenth.
    viewmats[-1, :3, 3] += 0.01 * torch.rand(3, generator=generator, dtype=torch.float64)
    assert camera_motion(Cameras(viewmats, cameras.Ks, 96, 96)) == motion


def test_cameras_at_rest_have_no_direction():
    still = trajectory("orbit_left", amount=0.0)
    assert camera_motion(still) == STILL
    assert direction(STILL) == STILL
    assert {direction(motion) for motion in MOTIONS} == {"left", "right", "up", "down", "in", "out"}
