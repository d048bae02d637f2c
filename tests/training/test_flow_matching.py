"""Training asks for what a scheduler steps along; times are drawn with the stated masses."""

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from videorfsplat.sampling.schedules import base_times
from videorfsplat.training.flow_matching import TimeDistribution, mix, velocity_loss
from videorfsplat.training.step_data import StepRandomness


def randomness(seed: int = 0) -> StepRandomness:
    return StepRandomness(torch.Generator().manual_seed(seed), 0, 1)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_scheduler_steps_along_the_trained_velocity(shift):
    clean, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True, shift=shift)
    scheduler.set_timesteps(5)
    state = noise
    assert float(scheduler.timesteps[0]) == 0.0
    for timestep in scheduler.timesteps:
        # The time that training tells is 1000·(1 − t).
        t = (1 - timestep / 1000).expand(2)
        torch.testing.assert_close(state, mix(clean, noise, t), rtol=1e-5, atol=1e-5)
        state = scheduler.step(clean - noise, timestep, state).prev_sample
    torch.testing.assert_close(state, clean, rtol=1e-5, atol=1e-5)


def test_the_ends_of_the_mix_are_data_and_noise():
    clean, noise = torch.randn(2, 3), torch.randn(2, 3)
    mixed = mix(clean, noise, torch.tensor([0.0, 1.0]))
    assert torch.equal(mixed[0], clean[0])
    assert torch.equal(mixed[1], noise[1])


@pytest.mark.parametrize("num_views", [1, 8])
def test_times_have_the_stated_masses(num_views):
    times = TimeDistribution(0.5, 0.8, 1.5, 0.6, pose_clean=0.1, pose_noise=0.15, image_clean=0.05)
    t_image, t_pose = times.draw(randomness(), 40_000, num_views)
    # Three standard deviations of a share of 40,000 are at most 0.006.
    assert float((t_pose == 0).float().mean()) == pytest.approx(0.1, abs=0.006)
    assert float((t_pose == 1).float().mean()) == pytest.approx(0.15, abs=0.006)
    assert float((t_image == 0).float().mean()) == pytest.approx(0.05, abs=0.006)
    given = (t_pose == 0) | (t_pose == 1)
    assert not (given & (t_image == 0)).any()
    inner = ~given & (t_image != 0)
    logits = torch.stack([t_image[inner], t_pose[inner]]).double().logit()
    means = torch.tensor([0.5, 1.5]).double() + 0.5 * math.log(num_views)
    torch.testing.assert_close(logits.mean(1), means, rtol=0, atol=0.02)
    torch.testing.assert_close(logits.std(1), torch.tensor([0.8, 0.6]).double(), rtol=0, atol=0.02)
    assert abs(float(torch.corrcoef(logits)[0, 1])) < 0.02


@pytest.mark.parametrize("num_views", [1, 8])
def test_sampling_spends_its_middle_where_training_does(num_views):
    times = TimeDistribution(pose_clean=0, pose_noise=0, image_clean=0)
    drawn = times.draw(randomness(), 40_000, num_views)
    for t, shift in zip(drawn, times.shifts(num_views), strict=True):
        # A median of 40,000 draws is off by at most 0.005 in three deviations.
        assert base_times(2, shift=shift)[1] == pytest.approx(float(t.median()), abs=0.01)


def test_the_loss_is_the_squared_error_of_the_streams_that_are_not_given():
    clean, noise = torch.randn(3, 2, 2), torch.randn(3, 2, 2)
    velocity = clean - noise
    t = torch.tensor([0.0, 0.5, 1.0])
    assert velocity_loss(velocity, clean, noise, t) == 0
    velocity[0] += 100
    assert velocity_loss(velocity, clean, noise, t) == 0
    velocity[1] += 2
    assert float(velocity_loss(velocity, clean, noise, t)) == pytest.approx(2.0)  # (4 + 0) / 2


def test_nothing_is_asked_when_everything_is_given():
    velocity = torch.randn(2, 3, requires_grad=True)
    loss = velocity_loss(velocity, torch.randn(2, 3), torch.randn(2, 3), torch.zeros(2))
    loss.backward()
    assert loss.detach() == 0
    assert velocity.grad is not None
    assert not velocity.grad.any()
