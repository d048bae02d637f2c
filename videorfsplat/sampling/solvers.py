"""One stream's solver: a diffusers flow-matching scheduler that is made to follow a timetable.

Velocities here are the transformer's, clean - noise, whichever direction the scheduler counts in.
"""

import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

# Any diffusers scheduler: their common base declares neither `config` nor `step`.
Scheduler = Any
# Schedulers keep sigmas in float32 and UniPC starts 1e-6 below 1, which puts its path off by 3e-6.
# One that rescales the times is off by more than 0.01 already at a shift of 1.05.
PATH_TOLERANCE = 1e-3


class FlowSolver:
    """Takes one stream through times that fall to 0; a single time means it never moves.

    The scheduler is copied, because `step` keeps a position; the copy has no shift, because that is
    in the timetable already (`scheduler_shift`).

    Raises:
        ValueError: if the scheduler does not follow the times.
    """

    def __init__(
        self, scheduler: Scheduler, times: Sequence[float], device: torch.device | str = "cpu"
    ):
        self._times = times
        self._sign = 1.0 if scheduler.config.get("invert_sigmas", False) else -1.0
        self._scheduler = _without_shift(scheduler)
        self._start("cpu")
        self._check_path()
        self._start(device)

    def step(self, velocity: Tensor, sample: Tensor) -> Tensor:
        """The sample at the next time; `velocity` is clean - noise at the present one.

        A sample other than the one that the last step gave is a new start.
        """
        # Solvers of several steps would lead it back to where theirs comes from.
        if self._sample is not None and not torch.equal(sample, self._sample):
            self._start(velocity.device, self._index)
        timestep = self._scheduler.timesteps[self._index]
        self._index += 1
        velocity = self._sign * velocity
        sample = self._scheduler.step(velocity, timestep, sample, return_dict=False)[0]
        self._sample = sample
        return sample

    def _start(self, device: torch.device | str, index: int = 0) -> None:
        self._index = index
        self._sample: Tensor | None = None
        # Schedulers append the final 0 themselves, and do not take an empty list.
        if len(self._times) > 1:
            self._scheduler.set_timesteps(sigmas=np.array(self._times[:-1]), device=device)
            self._scheduler.set_begin_index(index)

    def _check_path(self) -> None:
        """The exact velocity of one number must keep it on the line from noise to clean."""
        noise, clean = torch.full((1, 1, 1, 1, 1), -1.0), torch.full((1, 1, 1, 1, 1), 2.0)
        sample = noise
        for t, next_t in itertools.pairwise(self._times):
            sample = self.step((clean - sample) / t, sample)
            error = (sample - (1 - next_t) * clean - next_t * noise).abs().item()
            if not error < PATH_TOLERANCE:
                raise ValueError(
                    f"{type(self._scheduler).__name__} leaves the timetable at t = {next_t:.4f} by "
                    f"{error:.2g}; expected a deterministic flow-matching scheduler that takes the "
                    "given sigmas as they are"
                )


def make_scheduler(solver: str, shift: float) -> Scheduler:
    """A solver of one stream, made for times shifted towards noise.

    Args:
        solver: `unipc`, of second order (Zhao et al. 2023), or `euler`, as Mochi's.
        shift: of the timetable.

    Raises:
        ValueError: if `solver` is neither.
    """
    if solver == "unipc":
        return UniPCMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=round(shift, 3),
            solver_order=2,
        )
    if solver == "euler":
        return FlowMatchEulerDiscreteScheduler(shift=round(shift, 3), invert_sigmas=True)
    raise ValueError(f"solver must be unipc or euler, got {solver!r}")


def scheduler_shift(scheduler: Scheduler) -> float:
    """The flow-matching shift that a scheduler is set to; 1 leaves times as they are."""
    return getattr(scheduler, "shift", scheduler.config.get("flow_shift", 1.0))


def _without_shift(scheduler: Scheduler) -> Scheduler:
    """A fresh copy whose shift is 1.

    Raises:
        ValueError: if the class takes no sigmas, or asks for velocities between the given times.
    """
    takes_sigmas = "sigmas" in inspect.signature(scheduler.set_timesteps).parameters
    if not takes_sigmas or scheduler.order != 1:
        raise ValueError(
            f"{type(scheduler).__name__} cannot follow a timetable; expected a flow-matching "
            "scheduler with set_timesteps(sigmas=…) and one velocity a step, such as "
            "FlowMatchEulerDiscreteScheduler or UniPCMultistepScheduler"
        )
    shifts = {name: 1.0 for name in ("shift", "flow_shift") if name in scheduler.config}
    return type(scheduler).from_config(scheduler.config, **shifts)
