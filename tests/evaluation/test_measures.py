import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.data.worlds.captions import (
    attributes,
    caption_mentions,
)
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.data.worlds.motions import MOTIONS, view_times
from videorfsplat.evaluation.measures import (
    MAX_PSNR,
    STILL,
    camera_motion,
    count_right,
    count_stated,
    direction,
    psnr,
    score_attributes,
    shares_by_attribute,
    ssim,
)
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.trajectories import trajectory


@given(st.integers(0, 10_000))
def test_a_perfect_probe_is_right_about_every_caption(seed):
    world = sample_world(seed)
    _, mentions = caption_mentions(world, np.random.default_rng(seed))
    score = score_attributes(mentions, attributes(world))
    assert "motion" not in score
    assert score["kind"] == [True]
    assert count_right(score) == count_stated(score) >= 1


@given(st.integers(0, 10_000))
def test_a_probe_that_sees_another_world_is_wrong_where_they_differ(seed):
    world, other = sample_world(seed), sample_world(seed + 1)
    _, mentions = caption_mentions(world, np.random.default_rng(seed))
    score = score_attributes(mentions, attributes(other))
    for name in score.keys() & {"kind", "ground", "time", "main_color"}:
        assert score[name] == [attributes(world)[name] == attributes(other)[name]]


@pytest.mark.parametrize(
    ("stated", "seen", "flags"),
    [
        (["rock", "rock"], ["rock"], [False]),
        (["rock", "rock"], ["rock", "rock"], [True]),
        (["rock"], ["rock", "rock"], [False]),
        (["rock", "bush"], ["bush", "fence"], [False, True]),
    ],
)
def test_secondary_objects_count_by_kind(stated, seen, flags):
    mentions = {"secondary": stated, "secondary_color": []}
    assert score_attributes(mentions, {"secondary": seen}) == {"secondary": flags}


def test_a_stated_secondary_color_must_be_there():
    mentions = {"secondary": [], "secondary_color": ["red", "blue"]}
    score = score_attributes(mentions, {"secondary_color": ["blue", "blue"]})
    assert score == {"secondary_color": [False, True]}


def test_shares_are_over_what_was_stated():
    scores = [{"kind": [True], "secondary": [True, False]}, {"kind": [False]}, {}]
    assert shares_by_attribute(scores) == {"kind": 0.5, "secondary": 0.5}


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


def test_psnr_is_that_of_the_error():
    reference = torch.full((2, 3, 16, 16), 0.5)
    frames = reference + torch.tensor([0.1, 0.01])[:, None, None, None]
    # Rounding of 0.51 in single precision is a few millionths of the difference.
    torch.testing.assert_close(
        psnr(frames, reference), torch.tensor([20.0, 40.0]), atol=1e-3, rtol=0
    )


def test_equal_pictures_have_the_cap_and_similarity_one():
    frames = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert psnr(frames, frames).tolist() == [MAX_PSNR] * 2
    torch.testing.assert_close(ssim(frames, frames), torch.ones(2))


def test_values_outside_the_range_are_seen_as_a_screen_shows_them():
    reference = torch.ones(1, 3, 16, 16)
    assert psnr(reference + 5, reference).tolist() == [MAX_PSNR]
    assert float(ssim(reference + 5, reference)) == pytest.approx(1)


def test_similarity_falls_with_noise_and_is_per_picture():
    generator = torch.Generator().manual_seed(1)
    reference = torch.rand(1, 3, 32, 32, generator=generator).expand(3, -1, -1, -1)
    noise = torch.randn(1, 3, 32, 32, generator=generator)
    frames = reference + torch.tensor([0.0, 0.05, 0.2])[:, None, None, None] * noise
    values = ssim(frames, reference).tolist()
    assert values == sorted(values, reverse=True)
    assert values[2] < 0.9
    assert math.isclose(values[1], float(ssim(frames[1:2], reference[1:2])), rel_tol=1e-5)


def test_similarity_needs_its_window():
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 8, 32))
