"""How many threads compute: as many as there are cores free of others' work at the moment.

Two OpenMP threads wait for each other after every operation, and spin while they wait. Where the
cores are shared, the one that is there spins while the other waits for its turn, and both hardly
move: one thread is then many times as fast as two.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

_STAT = Path("/proc/stat")
# Long enough for a few of the kernel's ticks of 10 ms, short beside the shortest run.
_LOOK_SECONDS = 0.05
# Work of others that leaves a core as good as free.
_LITTLE_WORK = 0.3
# Of /proc/stat: all but idle, iowait and the guests, which are counted in user and nice.
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)
# What torch takes by itself.
_MOST_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class ProcessorTimes:
    """What the cores of this process have done so far, in seconds."""

    at: float
    """When."""
    busy: float
    """All of them, for anybody."""
    own: float
    """For this process."""


def free_cores(before: ProcessorTimes, after: ProcessorTimes, cores: int) -> int:
    """Cores that others left free in between, at least 1."""
    seconds = max(after.at - before.at, 1e-9)
    others = max(0.0, (after.busy - before.busy) - (after.own - before.own)) / seconds
    return max(1, min(cores, int(cores - others + _LITTLE_WORK)))


def use_free_cores() -> int:
    """Let torch compute on the cores that are free now; returns the number of its threads.

    A number that the environment sets (`OMP_NUM_THREADS`) stays, and so does torch's own where the
    system does not tell what its cores do.
    """
    if "OMP_NUM_THREADS" in os.environ or not _STAT.is_file():
        return torch.get_num_threads()
    cores = sorted(os.sched_getaffinity(0))
    before = _times(cores)
    time.sleep(_LOOK_SECONDS)
    # More threads than torch would take by itself are of no use: it counts whole cores.
    most = min(len(cores), _MOST_THREADS)
    threads = min(most, free_cores(before, _times(cores), len(cores)))
    torch.set_num_threads(threads)
    return threads


def _times(cores: list[int]) -> ProcessorTimes:
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in _STAT.read_text(encoding="ascii").splitlines():
        name, *values = line.split()
        if name in wanted:
            ticks += sum(int(values[column]) for column in _BUSY_COLUMNS)
    busy = ticks / os.sysconf("SC_CLK_TCK")
    return ProcessorTimes(time.monotonic(), busy, time.process_time())
