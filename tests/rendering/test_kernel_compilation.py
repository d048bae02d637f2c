"""Kernels compiled beside are those that a picture needs, all of them."""

import json
import os
import subprocess
import sys

# Starts the other process, renders, and says what the kernels found in the cache.
SCRIPT = """
import json
import torch
from videorfsplat.rendering import kernel_compilation
kernel_compilation.start_compiling()
kernel_compilation.start_compiling()
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering import numba_backend, numba_pairs
from videorfsplat.rendering.rasterization import rasterize
K = torch.tensor([[90.0, 0.0, 48.0], [0.0, 90.0, 48.0], [0.0, 0.0, 1.0]])
cameras = Cameras(torch.eye(4)[None], K[None], 96, 96)
means = torch.rand(50, 3) + torch.tensor([-0.5, -0.5, 1.0])
quats, scales = torch.randn(50, 4), torch.full((50, 3), 0.1)
rasterize(Gaussians(means, quats, scales, torch.full((50,), 0.5), torch.rand(50, 1, 3)), cameras)
kernels = numba_pairs.project, numba_pairs.count_pairs, numba_pairs.fill_pairs
kernels += (numba_backend.composite,)
found = [sum(kernel.stats.cache_hits.values()) for kernel in kernels]
missed = [sum(kernel.stats.cache_misses.values()) for kernel in kernels]
print(json.dumps([found, missed]))
"""


def test_rendering_finds_every_kernel_compiled(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    found, missed = json.loads(run.stdout)
    assert found == [1, 1, 1, 1]
    assert missed == [0, 0, 0, 0]


def test_compiles_without_torch():
    script = """
import runpy, sys
runpy.run_module("videorfsplat.rendering.kernel_compilation", run_name="__main__")
assert "numba" in sys.modules
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
