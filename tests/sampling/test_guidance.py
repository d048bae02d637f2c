import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.sampling.guidance import Branch, combine, plan_branches
from videorfsplat.sampling.settings import GuidanceScales

FULL, NO_TEXT = Branch(True, True), Branch(False, True)
NO_POSE = Branch(True, False)
SCALES = st.floats(0.0, 12.0)


def velocities(plan, seed=0):
    """Distinct velocities of all branches, and those of the plan as one batch of two each."""
    generator = torch.Generator().manual_seed(seed)
    per_branch = {
        branch: torch.randn(2, 3, 2, 2, 2, generator=generator)
        for branch in (FULL, NO_TEXT, NO_POSE)
    }
    return per_branch, torch.cat([per_branch[branch] for branch in plan.branches])


@given(SCALES, SCALES)
def test_each_condition_is_contrasted_with_its_absence_while_the_other_stays(text, camera):
    plan = plan_branches(GuidanceScales(guidance_scale=text, camera_guidance_scale=camera))
    v, batch = velocities(plan)
    expected = v[FULL] + (text - 1) * (v[FULL] - v[NO_TEXT]) + (camera - 1) * (v[FULL] - v[NO_POSE])
    # float32 sums of at most three terms of size 24.
    torch.testing.assert_close(combine(plan.image_weights, batch), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["guidance_scale", "pose_guidance_scale", "camera_guidance_scale"])
@given(scales=st.tuples(SCALES, SCALES, SCALES))
def test_nothing_jumps_where_a_scale_is_off(name, scales):
    """A scale of 1 leaves branches out; a scale beside 1 weighs them by next to nothing."""
    names = [field.name for field in fields(GuidanceScales)]
    values = dict(zip(names, scales, strict=True))
    off, beside = (
        plan_branches(GuidanceScales(**values | {name: value})) for value in (1.0, 1.0 + 1e-6)
    )
    (v, one), (_, two) = velocities(off), velocities(beside)
    assert v.keys() >= set(off.branches)
    for stream in ("image_weights", "pose_weights"):
        found = combine(getattr(beside, stream), two)
        expected = combine(getattr(off, stream), one)
        # The step of 1e-6, and rounding.
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@given(SCALES, SCALES, SCALES)
def test_pose_velocity_is_plain_text_guidance(text, pose, camera):
    plan = plan_branches(GuidanceScales(text, pose, camera))
    v, batch = velocities(plan)
    expected = v[NO_TEXT] + pose * (v[FULL] - v[NO_TEXT])
    torch.testing.assert_close(combine(plan.pose_weights, batch), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("scales", "branches"),
    [
        ((1.0, 1.0, 1.0), {FULL}),
        ((4.0, 1.0, 1.0), {FULL, NO_TEXT}),
        ((1.0, 4.0, 1.0), {FULL, NO_TEXT}),
        ((4.0, 3.0, 1.0), {FULL, NO_TEXT}),
        ((1.0, 1.0, 2.0), {FULL, NO_POSE}),
        ((4.0, 1.0, 2.0), {FULL, NO_TEXT, NO_POSE}),
        ((4.0, 4.0, 2.0), {FULL, NO_TEXT, NO_POSE}),
        ((3.0, 1.0, 3.0), {FULL, NO_TEXT, NO_POSE}),
        ((0.0, 1.0, 1.0), {FULL, NO_TEXT}),
        ((0.0, 0.0, 1.0), {NO_TEXT}),
    ],
)
def test_branches_are_the_fewest(scales, branches):
    plan = plan_branches(GuidanceScales(*scales))
    assert set(plan.branches) == branches
    assert len(plan.branches) == len(branches)


@given(SCALES, SCALES, SCALES)
def test_a_stream_that_does_not_move_costs_nothing(text, pose, camera):
    scales = GuidanceScales(text, pose, camera)
    without_pose = GuidanceScales(guidance_scale=text, camera_guidance_scale=camera)
    without_image = GuidanceScales(pose_guidance_scale=pose)
    image_only = plan_branches(scales, pose_moves=False)
    pose_only = plan_branches(scales, image_moves=False)
    assert image_only == plan_branches(without_pose, pose_moves=False)
    assert pose_only == plan_branches(without_image, image_moves=False)
    assert not any(image_only.pose_weights)
    assert not any(pose_only.image_weights)


@given(SCALES, SCALES)
def test_pose_noise_needs_no_contrast_with_pose_noise(text, camera):
    scales = GuidanceScales(guidance_scale=text, camera_guidance_scale=camera)
    plan = plan_branches(scales, pose_is_noise=True)
    assert plan == plan_branches(GuidanceScales(guidance_scale=text))


@given(SCALES, SCALES, SCALES)
def test_equal_branches_pass_through(text, pose, camera):
    plan = plan_branches(GuidanceScales(text, pose, camera))
    velocity = torch.randn(1, 2, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    batch = velocity.repeat(len(plan.branches), 1, 1, 1, 1)
    # Weights sum to 1; up to 24 of cancellation in float32.
    torch.testing.assert_close(combine(plan.image_weights, batch), velocity, atol=2e-5, rtol=0)
    torch.testing.assert_close(combine(plan.pose_weights, batch), velocity, atol=2e-5, rtol=0)


def test_single_branch_is_returned_bit_for_bit():
    velocity = torch.randn(2, 3, 2, 2, 2)
    plan = plan_branches(GuidanceScales())
    assert torch.equal(combine(plan.image_weights, velocity), velocity)


def test_branch_of_the_other_stream_has_no_influence():
    plan = plan_branches(GuidanceScales(pose_guidance_scale=3.0))
    v, batch = velocities(plan)
    batch[plan.branches.index(NO_TEXT) * 2 :] = math.nan
    assert torch.equal(combine(plan.image_weights, batch), v[FULL])


def test_combines_in_float32():
    batch = torch.ones(2, 1, 1, 1, 1, dtype=torch.bfloat16)
    assert combine((3.0, -2.0), batch).dtype == torch.float32


@pytest.mark.parametrize("name", ["guidance_scale", "pose_guidance_scale", "camera_guidance_scale"])
@pytest.mark.parametrize("value", [math.nan, -0.5, math.inf])
def test_rejects_scales_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be (a finite number|at least 0)"):
        GuidanceScales(**{name: value})
