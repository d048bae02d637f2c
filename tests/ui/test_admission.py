"""How long those who wait are told to wait, by a clock of the test's own."""

from statistics import median

import numpy as np
import pytest

from videorfsplat.ui.admission import RunDurations, seconds_until_result

STEPS = (2, 4, 8, 12, 60)


def learned(runs: list[tuple[int, float]]) -> RunDurations:
    durations = RunDurations()
    durations.add(0, 4, 1000.0)  # the model is loaded
    for steps, seconds in runs:
        durations.add(0, steps, seconds)
    return durations


@pytest.mark.parametrize(
    ("runs", "steps", "expected"),
    [
        ([], 4, None),
        ([(4, 2.0)], 8, 4.0),  # of one number of steps: in proportion
        ([(2, 3.0), (4, 5.0)], 10, 11.0),  # 1 s and 1 s a step
        ([(2, 0.3), (4, 0.3), (8, 0.3)], 60, 0.3),  # steps cost nothing
        ([(2, 0.32), (4, 0.3), (8, 0.31)], 60, 0.31),  # nor do they earn anything
        ([(2, 1.0), (4, 2.0), (8, 4.0)], 60, 30.0),  # nothing but steps
        ([(2, 3.0), (4, 5.0), (2, 3.0), (8, 9.0), (4, 25.0)], 10, 11.0),  # one was held up
    ],
)
def test_runs_take_what_runs_took(runs, steps, expected):
    found = learned(runs).estimate(0, steps)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_a_machine_that_gets_slower_is_believed_after_three_runs():
    runs = [(steps, 1.0 + steps) for steps in (2, 4, 8, 2, 4, 8, 2, 4)]
    slow = [(steps, 3 * (1.0 + steps)) for steps in (8, 2, 4)]
    assert learned(runs).estimate(0, 10) == pytest.approx(11)
    assert learned(runs + slow).estimate(0, 10) == pytest.approx(33, rel=0.1)


def test_endpoints_that_choose_their_steps_go_by_their_own_runs():
    durations = learned([(4, 2.0)])
    assert durations.estimate(7, None) is None
    durations.add(7, None, 3.0)
    assert durations.estimate(7, None) == 3.0
    assert durations.estimate(0, 4) == 2.0


@pytest.mark.parametrize(
    ("running", "coming", "expected"),
    [
        ([], [3.0], 3.0),
        ([(10.0, 4.0)], [3.0, 2.0], 11.0),
        ([(10.0, 20.0)], [3.0], 5.0),  # overdue: not done yet all the same
        ([(None, 4.0)], [3.0], None),
        ([(10.0, 4.0)], [3.0, None, 1.0], None),
    ],
)
def test_a_wait_is_the_rest_of_this_run_and_all_that_come_before(running, coming, expected):
    assert seconds_until_result(running, coming) == expected


@pytest.mark.parametrize("seed", range(5))
def test_waits_are_told_within_a_third_on_a_machine_that_others_use_too(seed):
    """Thirty visitors; each run's time varies by a quarter, and one in ten is held up."""
    random = np.random.default_rng(seed)
    steps = random.choice(STEPS[:4], 50)
    true = (0.5 + 0.3 * steps) * np.exp(random.normal(0, 0.25, 50))
    true[random.random(50) < 0.1] += 2.0
    durations = learned(list(zip(steps[:20].tolist(), true[:20], strict=True)))
    errors = []
    for current in range(20, 49):
        # Told when a run begins, as on the page.
        times = [durations.estimate(0, int(count)) for count in steps[current:]]
        for place in range(1, len(times)):
            told = seconds_until_result([(times[0], 0.0)], times[1 : place + 1])
            assert told is not None
            waited = true[current : current + place + 1].sum()
            errors.append(abs(told - waited) / waited)
        durations.add(0, int(steps[current]), float(true[current]))
    assert median(errors) < 0.3
