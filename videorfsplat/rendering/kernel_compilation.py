"""Compile the numba kernels in a process of their own while a model loads.

The first picture on a new machine waits for the compiler, one core's work of the same length as
loading the model, which keeps only one core busy too. As a module this compiles what a picture
needs into numba's cache on disk; where it is there already, that takes a second.
"""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
# Two minutes on a slow and busy core.
_MOST_SECONDS = 600.0
_process: "subprocess.Popen[bytes] | None" = None


def start_compiling() -> None:
    """Begin to compile the kernels of a picture in float32, if this process did not begin yet."""
    global _process
    if _process is None:
        # A failure is no loss and not hidden: whoever renders compiles, and meets it again.
        _process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=_ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def wait_for_kernels() -> None:
    """Wait until the kernels that `start_compiling` began are in the cache, or for too long."""
    if _process is not None:
        try:
            _process.wait(_MOST_SECONDS)
        except subprocess.TimeoutExpired:
            # Whoever renders compiles then.
            _process.kill()


def _compile() -> None:
    """Draw one Gaussian."""
    import numpy as np

    from videorfsplat.rendering import numba_layout as at
    from videorfsplat.rendering.numba_compositing import composite
    from videorfsplat.rendering.numba_pairs import pair_with_tiles

    def array(*values: float) -> np.ndarray:
        return np.array(values, np.float32)

    width, height = at.TILE_WIDTH, at.TILE_HEIGHT
    pairs = pair_with_tiles(
        means=array(0, 0, 1)[None],
        quats=array(1, 0, 0, 0)[None],
        scales=array(0.1, 0.1, 0.1)[None],
        opacities=array(0.5),
        colors=array(1, 1, 1)[None, None],
        viewmats=np.eye(4, dtype=np.float32)[None],
        lenses=array(width, width, width / 2, height / 2, -1, 1, -1, 1)[None],
        limits=array(0.01, 10, width, height),
    )
    sums = np.empty((1, height, width, 5), np.float32)
    tile_ends = np.empty_like(pairs.starts)
    composite(pairs.splats, pairs.gaussian_ids, pairs.starts, pairs.ends, tile_ends, sums)


if __name__ == "__main__":
    _compile()
