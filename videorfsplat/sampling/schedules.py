"""Timetables: which noise level each of the two streams has before and after every step.

t = 1 is pure noise and t = 0 is data. A timetable is plain data, a tuple of `(t_image, t_pose)`
pairs; the pipeline follows it and decides nothing.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BASE_SCHEDULES = ("linear", "linear-quadratic")
# Mochi's own default: the first half of the steps removes this share of the noise.
LINEAR_QUADRATIC_THRESHOLD = 0.025
# Two times that should be equal differ by some 1e-17; rounding keeps "finished" exactly zero.
TIME_DECIMALS = 12


@dataclass(frozen=True)
class TimetableStep:
    """One step: the noise levels it starts from and the ones it reaches."""

    t_image: float
    t_pose: float
    next_t_image: float
    next_t_pose: float

    @property
    def image_moves(self) -> bool:
        """Whether the image stream is denoised in this step."""
        return self.next_t_image != self.t_image

    @property
    def pose_moves(self) -> bool:
        """Whether the pose stream is denoised in this step."""
        return self.next_t_pose != self.t_pose


@dataclass(frozen=True)
class Timetable:
    """The `(t_image, t_pose)` pairs of a run, start and end included.

    Raises:
        ValueError: if there are fewer than two pairs, a time is not in [0, 1] or rises, a step
            moves neither stream, the last pair is not (0, 0), or there are not as many clocks.
    """

    pairs: tuple[tuple[float, float], ...]
    clocks: tuple[tuple[float, float], ...] = ()
    """What both clocks show at each pair: the noise levels before the streams' shifts, as far
    apart as δ says. Without shifts they are the pairs themselves."""

    def __post_init__(self) -> None:
        if not self.clocks:
            object.__setattr__(self, "clocks", self.pairs)
        if len(self.clocks) != len(self.pairs):
            raise ValueError(f"{len(self.pairs)} pairs have {len(self.clocks)} clocks")
        if len(self.pairs) < 2:
            raise ValueError(f"a timetable needs at least two pairs, got {len(self.pairs)}")
        for pair in self.pairs:
            if not all(0.0 <= t <= 1.0 for t in pair):
                raise ValueError(f"times must lie in [0, 1], got {pair}")
        for before, after in itertools.pairwise(self.pairs):
            if after[0] > before[0] or after[1] > before[1] or after == before:
                raise ValueError(f"times must fall from pair to pair, got {before} then {after}")
        if self.pairs[-1] != (0.0, 0.0):
            raise ValueError(f"a timetable must end at (0, 0), got {self.pairs[-1]}")

    @property
    def num_inference_steps(self) -> int:
        """Steps, one fewer than pairs."""
        return len(self.pairs) - 1

    @property
    def image_times(self) -> tuple[float, ...]:
        """The distinct times of the image stream, falling."""
        return tuple(dict.fromkeys(t_image for t_image, _ in self.pairs))

    @property
    def pose_times(self) -> tuple[float, ...]:
        """The distinct times of the pose stream, falling."""
        return tuple(dict.fromkeys(t_pose for _, t_pose in self.pairs))

    def steps(self) -> Iterator[TimetableStep]:
        """The steps in order."""
        for before, after in itertools.pairwise(self.pairs):
            yield TimetableStep(*before, *after)

    def as_rows(self) -> list[dict[str, int | float]]:
        """One row a pair, with keys `step`, `t_image` and `t_pose`, for a table or a plot."""
        return [
            {"step": step, "t_image": t_image, "t_pose": t_pose}
            for step, (t_image, t_pose) in enumerate(self.pairs)
        ]

    def __str__(self) -> str:
        lines = [
            f"{row['step']:4d}  {row['t_image']:7.4f}  {row['t_pose']:7.4f}"
            for row in self.as_rows()
        ]
        return "\n".join(["step  t_image   t_pose", *lines])


def timetable(
    num_inference_steps: int,
    pose_offset: float = 0.2,
    *,
    base: str | Sequence[float] = "linear",
    shift: float = 1.0,
    pose_shift: float = 1.0,
) -> Timetable:
    """The joint timetable: both streams start as noise and end as data.

    The slower stream's clock walks the base schedule and the other's is |δ| ahead of it: for
    δ = `pose_offset` ≥ 0, `t_pose = max(t_image - δ, 0)` (arXiv 2503.15855), so the pose stream
    leaps by δ in the first step and is finished once the image clock is at δ. δ < 0 is the same
    with the streams exchanged. Only then is each clock turned into a noise level by its stream's
    shift: raymaps repeat one path of cameras in every pixel and can be read through noise that
    hides the images, so that equal noise levels are not equal progress.

    Args:
        num_inference_steps: steps, at least 1.
        pose_offset: δ in (-1, 1). Positive is pose-first, 0 synchronous, negative image-first.
        base: times of the slower stream: `"linear"`, `"linear-quadratic"` (Mochi's), or numbers
            falling from 1 to 0.
        shift: flow-matching shift s of the image stream, `t → s·t / (1 + (s - 1)·t)`; above 1
            spends more steps near noise.
        pose_shift: that of the pose stream. With 1 and 1 the times are the paper's.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_pose_offset(pose_offset)
    slow = base_times(num_inference_steps, base)
    fast = [max(round(t - abs(pose_offset), TIME_DECIMALS), 0.0) for t in slow]
    fast[0] = 1.0
    image, pose = (slow, fast) if pose_offset >= 0 else (fast, slow)
    pairs = tuple(zip(_shifted(image, shift), _shifted(pose, pose_shift), strict=True))
    return Timetable(pairs, tuple(zip(image, pose, strict=True)))


def given_cameras_timetable(
    num_inference_steps: int, *, base: str | Sequence[float] = "linear", shift: float = 1.0
) -> Timetable:
    """Cameras are known: t_pose = 0 throughout. Arguments as in `timetable`."""
    pairs = tuple((t, 0.0) for t in base_times(num_inference_steps, base, shift))
    return Timetable(pairs, tuple((t, 0.0) for t in base_times(num_inference_steps, base)))


def given_images_timetable(
    num_inference_steps: int, *, base: str | Sequence[float] = "linear", shift: float = 1.0
) -> Timetable:
    """Views are known: t_image = 0 throughout. Arguments as in `timetable`."""
    pairs = tuple((0.0, t) for t in base_times(num_inference_steps, base, shift))
    return Timetable(pairs, tuple((0.0, t) for t in base_times(num_inference_steps, base)))


def check_start(table: Timetable, *, given_cameras: bool) -> None:
    """Check that both streams start at noise; with given cameras the poses are clean throughout.

    Raises:
        ValueError: naming where it must start, and where it does.
    """
    start = (1.0, 0.0 if given_cameras else 1.0)
    if table.pairs[0] != start or (given_cameras and len(table.pose_times) > 1):
        raise ValueError(f"the timetable must start at {start}, got {table.pairs[0]}")


def check_pose_offset(pose_offset: float) -> None:
    """Check δ.

    Raises:
        ValueError: if it is not a number between -1 and 1, both excluded.
    """
    if not -1.0 < pose_offset < 1.0:
        raise ValueError(f"pose_offset must lie between -1 and 1, got {pose_offset}")


def check_shift(shift: float) -> None:
    """Check a flow-matching shift.

    Raises:
        ValueError: if it is not a positive number.
    """
    if not (math.isfinite(shift) and shift > 0):
        raise ValueError(f"shift must be a positive number, got {shift}")


def base_times(
    num_inference_steps: int, base: str | Sequence[float] = "linear", shift: float = 1.0
) -> list[float]:
    """`num_inference_steps + 1` times from 1 to 0. Arguments as in `timetable`.

    Raises:
        ValueError: if an argument is out of range.
    """
    if num_inference_steps < 1:
        raise ValueError(f"num_inference_steps must be at least 1, got {num_inference_steps}")
    if base == "linear":
        times = [1.0 - k / num_inference_steps for k in range(num_inference_steps + 1)]
    elif base == "linear-quadratic":
        times = _linear_quadratic(num_inference_steps, LINEAR_QUADRATIC_THRESHOLD)
    elif isinstance(base, str):
        raise ValueError(f"base must be one of {BASE_SCHEDULES} or numbers, got {base!r}")
    else:
        times = _custom_times(base, num_inference_steps)
    return _shifted(times, shift)


def _shifted(times: Sequence[float], shift: float) -> list[float]:
    check_shift(shift)
    return [round(shift * t / (1.0 + (shift - 1.0) * t), TIME_DECIMALS) for t in times]


def _linear_quadratic(num_inference_steps: int, threshold: float) -> list[float]:
    """Mochi's: a line up to clean fraction `threshold`, then the parabola that goes on to 1."""
    if num_inference_steps == 1:
        return [1.0, 0.0]
    num_linear = num_inference_steps // 2
    num_quadratic = num_inference_steps - num_linear
    slope = threshold / num_linear
    rest = 1.0 - threshold - slope * num_quadratic
    clean = [slope * k for k in range(num_linear)]
    clean += [
        threshold + slope * k + rest * (k / num_quadratic) ** 2 for k in range(num_quadratic + 1)
    ]
    return [1.0 - fraction for fraction in clean]


def _custom_times(base: Sequence[float], num_inference_steps: int) -> list[float]:
    times = [float(t) for t in base]
    falling = all(after < before for before, after in itertools.pairwise(times))
    if len(times) != num_inference_steps + 1 or times[0] != 1.0 or times[-1] != 0.0 or not falling:
        raise ValueError(
            f"base must hold {num_inference_steps + 1} times falling from 1 to 0, got {times}"
        )
    return times
