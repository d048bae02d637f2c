"""One rasteriser behind one function: gsplat's vocabulary and semantics on every device."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.gsplat_backend import accumulate_gsplat
from videorfsplat.rendering.numba_backend import accumulate_numba
from videorfsplat.rendering.torch_backend import accumulate_torch

Backend = Literal["auto", "torch", "numba", "gsplat"]

_BACKENDS: dict[str, Callable[..., Tensor]] = {
    "torch": accumulate_torch,
    "numba": accumulate_numba,
    "gsplat": accumulate_gsplat,
}


DEPTH_RANGE = (0.01, 1e3)
"""Depths that are rendered, in units of the distance to the subject, which models take for 1. The
near end is gsplat's, the far one beyond any surroundings."""


def rasterize(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    backend: Backend = "auto",
    background: Float[Tensor, "3"] | None = None,
    near: float = DEPTH_RANGE[0],
    far: float = DEPTH_RANGE[1],
) -> tuple[Float[Tensor, "v H W 3"], Float[Tensor, "v H W 1"], dict[str, Any]]:
    """Render every view: colours, opacity and depth, differentiable with respect to the Gaussians.

    The semantics are those of `gsplat.rasterization` 1.5.3 in classic mode (`conventions.py`).

    Computes and answers in float64 for float64 Gaussians, else in float32.

    Args:
        gaussians: N Gaussians, world frame; N = 0 is allowed.
        cameras: V cameras on the same device, any precision.
        backend: "auto" takes gsplat for CUDA tensors and numba for CPU tensors. "torch" is the
            reference; only it gives gradients with respect to the cameras.
        background: linear RGB behind everything; black if None.
        near: camera z below which a Gaussian is skipped, positive.
        far: camera z above which a Gaussian is skipped.

    Returns:
        `renders` [V,H,W,3] (linear RGB on the background), `alphas` [V,H,W,1], and a dictionary
        with `depths` [V,H,W,1], the expected camera z Σwz / Σw (gsplat's "ED"; 0 where nothing is
        seen), and the `backend` that ran.

    Raises:
        ValueError: for an unknown backend, a backend that cannot run on the tensors' device,
            cameras that require a gradient which the backend does not give, or an empty range of
            depths.
    """
    name = _choose_backend(backend, gaussians.means.device)
    _check_inputs(gaussians, cameras, name, background, near, far)
    dtype = torch.float64 if gaussians.means.dtype == torch.float64 else torch.float32
    sums = _BACKENDS[name](gaussians.to(dtype), cameras.to(dtype), near=near, far=far)
    renders, alphas, depth_sums = sums.split([3, 1, 1], dim=-1)
    if background is not None:
        renders = renders + (1 - alphas) * background.to(renders)
    return renders, alphas, {"depths": depth_sums / alphas.clamp_min(1e-10), "backend": name}


def _choose_backend(backend: str, device: torch.device) -> str:
    if backend == "auto":
        return "gsplat" if device.type == "cuda" else "numba"
    if backend not in _BACKENDS:
        raise ValueError(f"backend must be auto, {', '.join(_BACKENDS)}, got {backend!r}")
    return backend


def _check_inputs(
    gaussians: Gaussians,
    cameras: Cameras,
    backend: str,
    background: Tensor | None,
    near: float,
    far: float,
) -> None:
    device = gaussians.means.device
    required = {"numba": "cpu", "gsplat": "cuda"}.get(backend)
    if required is not None and device.type != required:
        raise ValueError(f"the {backend} backend needs {required} tensors, got {device}")
    if cameras.viewmats.device != device:
        raise ValueError(
            f"Gaussians and cameras must share a device, got {device} and {cameras.viewmats.device}"
        )
    if backend != "torch" and (cameras.viewmats.requires_grad or cameras.Ks.requires_grad):
        raise ValueError(
            f"the {backend} backend gives no camera gradients: detach them or use 'torch'"
        )
    if not 0 < near < far:
        raise ValueError(f"expected 0 < near < far, got near={near} and far={far}")
    if background is not None and background.shape != (3,):
        raise ValueError(f"expected a background of shape (3,), got {tuple(background.shape)}")
