import itertools

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from videorfsplat.sampling.schedules import base_times, timetable
from videorfsplat.sampling.solvers import FlowSolver, make_scheduler, scheduler_shift

FLOW_UNIPC = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SOLVERS = [
    FlowMatchEulerDiscreteScheduler(),
    FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    make_scheduler("euler", 3.0),
    UniPCMultistepScheduler(**FLOW_UNIPC),
    make_scheduler("unipc", 5.0),
]


@pytest.mark.parametrize("scheduler", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_exact_velocity_recovers_the_data(scheduler, steps):
    noise, clean = torch.randn(2, 1, 3, 2, 2, 2).unbind(0)
    times = timetable(steps, 0.3).pose_times
    solver = FlowSolver(scheduler, times)
    sample = noise
    for _ in times[1:]:
        sample = solver.step(clean - noise, sample)
    # UniPC starts 1e-6 below pure noise.
    torch.testing.assert_close(sample, clean, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scheduler", SOLVERS, ids=lambda s: type(s).__name__)
def test_a_sample_put_in_place_of_the_last_one_is_followed(scheduler):
    """From the middle of the straight path of one pair onto that of another."""
    noise, clean, other_noise, other_clean = torch.randn(4, 1, 3, 2, 2, 2).unbind(0)
    times = base_times(8)
    solver, sample = FlowSolver(scheduler, times), noise
    for _ in times[:4]:
        sample = solver.step(clean - noise, sample)
    sample = (1 - times[4]) * other_clean + times[4] * other_noise
    for _ in times[5:]:
        sample = solver.step(other_clean - other_noise, sample)
    torch.testing.assert_close(sample, other_clean, atol=1e-4, rtol=0)


def test_euler_is_the_explicit_rule_on_a_curved_field():
    """x' = t·x, so that the shift of the scheduler, were it applied, would change the result."""
    times = base_times(5, shift=3.0)
    solver = FlowSolver(FlowMatchEulerDiscreteScheduler(shift=3.0), times)
    sample = expected = torch.ones(1, 1, 1, 1, 1)
    for t, next_t in itertools.pairwise(times):
        sample = solver.step(t * sample, sample)
        expected = expected + (t - next_t) * t * expected
    torch.testing.assert_close(sample, expected, atol=1e-6, rtol=0)


def test_multistep_solver_is_nearer_the_solution_than_euler():
    """Data of variance s² have an affine velocity, whose flow maps standard noise to s times it."""
    variance = 0.25

    def solve(scheduler, steps):
        times = base_times(steps)
        solver, sample = FlowSolver(scheduler, times), torch.ones(1, 1, 1, 1, 1)
        for t in times[:-1]:
            spread = (1 - t) ** 2 * variance + t**2
            sample = solver.step(sample * ((1 - t) * variance - t) / spread, sample)
        return float(sample)

    euler, unipc = (solve(s, 12) - variance**0.5 for s in (SOLVERS[0], SOLVERS[3]))
    assert abs(unipc) < 0.3 * abs(euler)


def test_leaves_the_given_scheduler_alone():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    before = scheduler.timesteps.clone()
    FlowSolver(scheduler, (1.0, 0.0)).step(torch.ones(1, 1, 1, 1, 1), torch.ones(1, 1, 1, 1, 1))
    assert torch.equal(scheduler.timesteps, before)
    assert scheduler.step_index is None
    assert scheduler_shift(scheduler) == 3.0


@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_a_made_scheduler_keeps_its_shift(solver):
    assert scheduler_shift(make_scheduler(solver, 7.688)) == 7.688


def test_makes_no_other_scheduler():
    with pytest.raises(ValueError, match="solver must be unipc or euler, got 'heun'"):
        make_scheduler("heun", 1.0)


def test_a_stream_that_never_moves_needs_no_steps():
    FlowSolver(FlowMatchEulerDiscreteScheduler(), (0.0,))


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchHeunDiscreteScheduler(),
        DDIMScheduler(),
        DPMSolverMultistepScheduler(**FLOW_UNIPC),
    ],
    ids=lambda s: type(s).__name__,
)
def test_refuses_classes_that_take_no_sigmas(scheduler):
    with pytest.raises(ValueError, match=f"{type(scheduler).__name__} cannot follow a timetable"):
        FlowSolver(scheduler, base_times(4))


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
        FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
        FlowMatchEulerDiscreteScheduler(shift_terminal=0.1),
        UniPCMultistepScheduler(use_flow_sigmas=True),
    ],
)
def test_refuses_settings_that_leave_the_timetable(scheduler):
    with pytest.raises(ValueError, match="leaves the timetable"):
        FlowSolver(scheduler, base_times(4))
