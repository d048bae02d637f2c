"""What a run costs and what it ran on: seconds by stage, peak memory, versions."""

import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from videorfsplat import __version__


class StageClock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self.skip()

    def skip(self) -> None:
        """Count from now on."""
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last call to `stage`."""
        before = self._last
        self.skip()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + self._last - before

    def seconds(self) -> dict[str, float]:
        """Seconds of every stage, and `total`."""
        rounded = {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}
        return rounded | {"total": round(sum(self._seconds.values()), 3)}


def merge_seconds(*parts: dict[str, float]) -> dict[str, float]:
    """Stages of all parts in the order in which they run, and one total."""
    stages = {k: v for part in parts for k, v in part.items() if k != "total"}
    order = ("load", "text", "denoise", "decode", "render", "preview", "save")
    ordered = {stage: stages[stage] for stage in order if stage in stages}
    return ordered | {"total": round(sum(stages.values()), 3)}


def peak_memory_mb() -> float:
    """The most memory this process ever held (MB of 2²⁰ bytes), without that of a GPU."""
    status = Path("/proc/self/status")
    # Linux: rusage would also count the process that started this one.
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return round(int(lines["VmHWM"].split()[0]) / 1024, 1)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource  # of POSIX systems only

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def library_versions() -> dict[str, str]:
    """Of this package, Python and the libraries that decide a result."""
    packages = ("torch", "diffusers", "transformers", "numba")
    return {
        "videorfsplat": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
