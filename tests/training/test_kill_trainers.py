"""Every training goes on bit for bit after a kill -9 at a random moment; see `kill_trainers.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kill_trainers import TRAININGS


@pytest.mark.slow
def test_every_training_goes_on_bit_for_bit():
    program = Path(__file__).with_name("kill_trainers.py")
    path = os.pathsep.join([str(program.parents[1]), os.environ.get("PYTHONPATH", "")])
    # A process of its own: it forks, and threads of other tests would not come along. Torch and
    # numba have different numbers of threads, as on many machines.
    result = subprocess.run(
        [sys.executable, program, "--kills", "1"],
        env={**os.environ, "PYTHONPATH": path, "NUMBA_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    # A library that loads a network says so in between.
    lines = [line for line in result.stdout.splitlines() if line.split(":")[0] in TRAININGS]
    assert lines == [f"{name}: 1 of 1 went on bit for bit" for name in TRAININGS], result.stdout
    assert result.returncode == 0
