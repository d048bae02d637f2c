"""How fast the CPU rasteriser is: numba beside the torch reference, same scene, same run."""

import math
import time
from typing import Any

import numba
import torch

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.rasterization import Backend, rasterize


def rasterizer_benchmark(
    num_gaussians: int = 131072, size: int = 128, *, repeats: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Time both CPU backends on one view of pixel-sized Gaussians, forward and backward.

    The scene is like a decoder's output: eight layers of Gaussians, each about as wide as a pixel,
    at varied depths and opacities. Times are the best of `repeats` (the reference: of 2), after one
    warm-up that compiles the kernels.

    Returns:
        `seconds` by backend and pass, `rasterizer_speedup_over_torch` with `forward` and
        `backward`, the largest difference between the two renders, and the setting.
    """
    gaussians, camera = _make_scene(num_gaussians, size, seed)
    _time_backend(gaussians, camera, "numba", 1)
    seconds = {
        "numba": _time_backend(gaussians, camera, "numba", repeats),
        "torch": _time_backend(gaussians, camera, "torch", 2),
    }
    with torch.no_grad():
        renders = [rasterize(gaussians, camera, backend=b)[0] for b in ("numba", "torch")]
    return {
        "num_gaussians": num_gaussians,
        "size": size,
        "numba_threads": numba.get_num_threads(),
        "torch_threads": torch.get_num_threads(),
        "seconds": seconds,
        "rasterizer_speedup_over_torch": {
            p: seconds["torch"][p] / seconds["numba"][p] for p in ("forward", "backward")
        },
        "max_render_difference": float((renders[0] - renders[1]).abs().max()),
    }


def _make_scene(num_gaussians: int, size: int, seed: int) -> tuple[Gaussians, Cameras]:
    """Gaussians spread over the image of one camera, depths 1 to 8, about a pixel wide there."""
    generator = torch.Generator().manual_seed(seed)
    focal = float(size)
    depths = 1 + 7 * torch.rand(num_gaussians, generator=generator)
    slopes = (torch.rand(num_gaussians, 2, generator=generator) - 0.5) * size / focal
    pixel = (depths / focal)[:, None]
    widths = torch.exp(0.3 * torch.randn(num_gaussians, 3, generator=generator))
    quats = torch.randn(num_gaussians, 4, generator=generator)
    gaussians = Gaussians(
        means=torch.cat([slopes, torch.ones(num_gaussians, 1)], dim=1) * depths[:, None],
        quats=torch.nn.functional.normalize(quats, dim=-1),
        scales=pixel * widths,
        opacities=torch.rand(num_gaussians, generator=generator),
        sh=torch.randn(num_gaussians, 1, 3, generator=generator),
    )
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return gaussians, Cameras(torch.eye(4)[None], K[None], size, size)


def _time_backend(
    gaussians: Gaussians, camera: Cameras, backend: Backend, repeats: int
) -> dict[str, float]:
    """Best seconds of the forward pass without a graph, and of the backward pass alone."""
    leaves = Gaussians(**{k: v.clone().requires_grad_() for k, v in vars(gaussians).items()})
    best = {"forward": math.inf, "backward": math.inf}
    for _ in range(repeats):
        with torch.no_grad():
            start = time.perf_counter()
            rasterize(gaussians, camera, backend=backend)
            best["forward"] = min(best["forward"], time.perf_counter() - start)
        renders, alphas, meta = rasterize(leaves, camera, backend=backend)
        loss = renders.square().mean() + alphas.mean() + meta["depths"].mean()
        start = time.perf_counter()
        loss.backward()
        best["backward"] = min(best["backward"], time.perf_counter() - start)
    return best
