"""Threads by the work that others do at the moment."""

import os
import subprocess
import sys

import pytest

from videorfsplat.generation.processor import ProcessorTimes, free_cores


@pytest.mark.parametrize(
    ("cores", "busy", "own", "free"),
    [
        (2, 0.0, 0.0, 2),
        # What this process does itself does not count.
        (2, 2.0, 2.0, 2),
        (2, 0.25, 0.0, 2),
        (2, 1.0, 0.0, 1),
        # However much others do, somebody has to compute.
        (2, 2.0, 0.0, 1),
        (16, 5.5, 1.0, 11),
    ],
)
def test_cores_that_others_use_are_not_free(cores, busy, own, free):
    before = ProcessorTimes(10.0, 100.0, 5.0)
    after = ProcessorTimes(11.0, 100.0 + busy, 5.0 + own)
    assert free_cores(before, after, cores) == free


SCRIPT = """
import torch
from videorfsplat.generation.processor import use_free_cores
torch.ones(64, 64) @ torch.ones(64, 64)
print(use_free_cores(), torch.get_num_threads())
"""


def threads_of(**environment: str) -> list[int]:
    """In a process of its own, as threads are a state of the whole process."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in said.stdout.split()]


def test_beside_a_busy_process_on_every_core_there_is_one_thread():
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in os.sched_getaffinity(0)
    ]
    try:
        assert threads_of() == [1, 1]
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_number_that_the_environment_sets_stays():
    assert threads_of(OMP_NUM_THREADS="2") == [2, 2]
