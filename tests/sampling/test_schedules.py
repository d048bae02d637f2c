import math

import pytest
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.sampling.schedules import (
    Timetable,
    TimetableStep,
    base_times,
    given_cameras_timetable,
    given_images_timetable,
    timetable,
)

STEPS = st.integers(1, 60)
OFFSETS = st.floats(-0.99, 0.99)
BASES = st.sampled_from(["linear", "linear-quadratic"])
SHIFTS = st.floats(0.2, 8.0)
# Times are rounded to 12 decimals.
EXACT = 1e-11


@given(STEPS, OFFSETS, BASES, SHIFTS, SHIFTS)
def test_starts_as_noise_ends_as_data_and_never_rises(steps, offset, base, shift, pose_shift):
    table = timetable(steps, offset, base=base, shift=shift, pose_shift=pose_shift)
    assert table.pairs[0] == (1.0, 1.0)
    assert table.pairs[-1] == (0.0, 0.0)
    assert len(table.pairs) == steps + 1 == table.num_inference_steps + 1
    for times in zip(*table.pairs, strict=True):
        assert list(times) == sorted(times, reverse=True)


@given(STEPS, BASES, SHIFTS)
def test_offset_zero_is_synchronous(steps, base, shift):
    table = timetable(steps, 0.0, base=base, shift=shift, pose_shift=shift)
    assert all(t_image == t_pose for t_image, t_pose in table.pairs)


@given(STEPS, st.floats(0.0, 0.99), BASES)
def test_pose_is_ahead_by_the_offset_and_finished_at_it(steps, offset, base):
    table = timetable(steps, offset, base=base)
    for t_image, t_pose in table.pairs[1:]:
        assert t_pose == pytest.approx(max(t_image - offset, 0.0), abs=EXACT)
        if t_image <= offset:
            assert t_pose == 0.0


@given(STEPS, OFFSETS, BASES, SHIFTS, SHIFTS)
def test_shifts_bend_the_times_and_leave_the_offset_of_the_clocks(
    steps, offset, base, shift, pose_shift
):
    clocks = timetable(steps, offset, base=base)
    table = timetable(steps, offset, base=base, shift=shift, pose_shift=pose_shift)
    for times, bent in zip(clocks.pairs, table.pairs, strict=True):
        for t, s, noise_level in zip(times, (shift, pose_shift), bent, strict=True):
            assert noise_level == pytest.approx(s * t / (1 + (s - 1) * t), abs=EXACT)


@given(STEPS, OFFSETS, BASES, SHIFTS, SHIFTS)
def test_negative_offset_exchanges_the_streams(steps, offset, base, shift, pose_shift):
    table = timetable(steps, offset, base=base, shift=shift, pose_shift=pose_shift)
    mirrored = timetable(steps, -offset, base=base, shift=pose_shift, pose_shift=shift)
    assert table.pairs == tuple((t_image, t_pose) for t_pose, t_image in mirrored.pairs)


@given(STEPS, OFFSETS)
def test_steps_chain_and_distinct_times_count_the_moves(steps, offset):
    table = timetable(steps, offset)
    chain = list(table.steps())
    assert [(s.t_image, s.t_pose) for s in chain] == list(table.pairs[:-1])
    assert [(s.next_t_image, s.next_t_pose) for s in chain] == list(table.pairs[1:])
    assert sum(s.image_moves for s in chain) == len(table.image_times) - 1
    assert sum(s.pose_moves for s in chain) == len(table.pose_times) - 1


@pytest.mark.parametrize("steps", [2, 3, 24, 64])
def test_linear_quadratic_is_mochis(steps):
    # diffusers computes the same polynomial in another order of operations.
    assert base_times(steps, "linear-quadratic")[:-1] == pytest.approx(
        linear_quadratic_schedule(steps, 0.025), abs=1e-10
    )


@given(STEPS, SHIFTS)
def test_shift_multiplies_the_noise_to_data_ratio(steps, shift):
    for plain, shifted in zip(base_times(steps), base_times(steps, shift=shift), strict=True):
        assert shifted * (1 - plain) == pytest.approx(shift * plain * (1 - shifted), abs=1e-9)


def test_known_streams_stay_data():
    cameras = given_cameras_timetable(4, shift=2.0)
    images = given_images_timetable(4, shift=2.0)
    assert {t_pose for _, t_pose in cameras.pairs} == {0.0}
    assert {t_image for t_image, _ in images.pairs} == {0.0}
    assert cameras.image_times == images.pose_times == tuple(base_times(4, shift=2.0))
    assert not any(step.pose_moves for step in cameras.steps())
    assert all(step.image_moves for step in cameras.steps())


def test_worked_example_in_numbers_rows_and_print():
    table = timetable(4, 0.3)
    assert table.pairs == ((1.0, 1.0), (0.75, 0.45), (0.5, 0.2), (0.25, 0.0), (0.0, 0.0))
    assert table.as_rows()[1] == {"step": 1, "t_image": 0.75, "t_pose": 0.45}
    assert str(table).splitlines()[2].split() == ["1", "0.7500", "0.4500"]
    assert list(table.steps())[3] == TimetableStep(0.25, 0.0, 0.0, 0.0)


def test_custom_base_is_walked_by_the_slower_stream():
    assert timetable(2, -0.25, base=[1.0, 0.5, 0.0]).pairs == ((1.0, 1.0), (0.25, 0.5), (0.0, 0.0))


@pytest.mark.parametrize("offset", [math.nan, 1.0, -1.0, 7.0, math.inf])
def test_rejects_offsets_out_of_range(offset):
    with pytest.raises(ValueError, match="pose_offset must lie between -1 and 1"):
        timetable(4, offset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_inference_steps": 0}, "at least 1, got 0"),
        ({"num_inference_steps": 4, "shift": 0.0}, "shift must be a positive number"),
        ({"num_inference_steps": 4, "shift": math.nan}, "shift must be a positive number"),
        ({"num_inference_steps": 4, "pose_shift": -1.0}, "shift must be a positive number"),
        ({"num_inference_steps": 4, "base": "cosine"}, "got 'cosine'"),
        ({"num_inference_steps": 2, "base": [1.0, 0.0]}, "3 times falling from 1 to 0"),
        ({"num_inference_steps": 2, "base": [1.0, 1.0, 0.0]}, "3 times falling from 1 to 0"),
        ({"num_inference_steps": 2, "base": [1.0, math.nan, 0.0]}, "3 times falling from 1 to 0"),
    ],
)
def test_rejects_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        timetable(**arguments)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (((1.0, 1.0),), "at least two pairs"),
        (((1.0, 1.0), (0.5, 0.5)), r"end at \(0, 0\)"),
        (((1.0, 1.0), (1.0, 1.0), (0.0, 0.0)), "must fall"),
        (((1.0, 0.5), (0.5, 0.6), (0.0, 0.0)), "must fall"),
        (((1.5, 1.0), (0.0, 0.0)), r"in \[0, 1\]"),
        (((math.nan, 1.0), (0.0, 0.0)), r"in \[0, 1\]"),
    ],
)
def test_rejects_pairs_that_are_no_timetable(pairs, message):
    with pytest.raises(ValueError, match=message):
        Timetable(pairs)


@given(st.integers(1, 60), st.floats(-0.9, 0.9), st.floats(1.0, 40.0), st.floats(1.0, 40.0))
def test_clocks_are_the_timetable_without_shifts(steps, pose_offset, shift, pose_shift):
    table = timetable(steps, pose_offset, shift=shift, pose_shift=pose_shift)
    assert table.clocks == timetable(steps, pose_offset).pairs
    assert (
        given_cameras_timetable(steps, shift=shift).clocks == given_cameras_timetable(steps).pairs
    )


def test_rejects_clocks_of_another_length():
    with pytest.raises(ValueError, match="2 pairs have 3 clocks"):
        Timetable(((1.0, 1.0), (0.0, 0.0)), ((1.0, 1.0), (0.5, 0.5), (0.0, 0.0)))
