"""The choice of a backend, and agreement of the numba backend with the reference."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
import torch
from splat_scenes import (
    FIELDS,
    awkward_gaussians,
    backward_of_random_loss,
    circling_cameras,
    random_gaussians,
    with_gradients,
)

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.bench import rasterizer_benchmark
from videorfsplat.rendering.rasterization import _choose_backend, rasterize


def run(gaussians: Gaussians, cameras: Cameras, backend, dtype=torch.float64, device="cpu"):
    """Outputs, and gradients of a random loss, of one backend."""
    leaves = with_gradients(gaussians.to(device), dtype)
    background = torch.tensor([0.2, 0.5, 0.9], device=device)
    renders, alphas, meta = rasterize(
        leaves, cameras.to(device), backend=backend, background=background
    )
    backward_of_random_loss(renders, alphas, meta["depths"])
    outputs = {"renders": renders, "alphas": alphas, "depths": meta["depths"]}
    return {
        **{name: value.detach().cpu() for name, value in outputs.items()},
        **{name: getattr(leaves, name).grad.cpu() for name in FIELDS},
    }


@pytest.mark.parametrize("degree", [0, 1, 3])
@pytest.mark.parametrize(("width", "height"), [(37, 21), (8, 16), (7, 50), (1, 1)])
def test_numba_agrees_with_torch_in_double(degree: int, width: int, height: int):
    gaussians = awkward_gaussians(300, degree, seed=degree)
    cameras = circling_cameras(3, width, height)
    expected, found = (run(gaussians, cameras, backend) for backend in ("torch", "numba"))
    for name in expected:
        # The gradients of huge or tiny Gaussians cancel: relative to the largest of their kind.
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-8, atol=1e-10 * max(scale, 1.0), msg=name
        )


def test_numba_agrees_with_torch_in_float():
    gaussians, cameras = random_gaussians(2000, seed=4), circling_cameras(2, 40, 30)
    expected = run(gaussians, cameras, "torch")
    found = run(gaussians, cameras, "numba", torch.float32)
    for name in expected:
        # float32 carries a few Gaussians across a threshold: 1/255 of a colour, on few values.
        error = (found[name] - expected[name]).abs() / expected[name].abs().max()
        assert error.max() < 1e-2, name
        assert error.quantile(0.99) < 1e-4, name


def test_dense_scene_leaves_tiles_early_and_still_agrees():
    gaussians, cameras = random_gaussians(3000, seed=6), circling_cameras(1, 24, 24)
    gaussians.scales.mul_(2)
    gaussians.opacities.sqrt_()
    expected, found = (run(gaussians, cameras, backend) for backend in ("torch", "numba"))
    assert expected["alphas"].median() > 0.999
    for name in expected:
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-7, atol=1e-9 * max(scale, 1.0), msg=name
        )


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two numba threads")
def test_result_does_not_depend_on_the_number_of_threads():
    gaussians, cameras = awkward_gaussians(3000), circling_cameras(3, 40, 40)
    before = numba.get_num_threads()
    results = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        results.append(run(gaussians, cameras, "numba", torch.float32))
    numba.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(other[name], results[0][name]) for name in other)


def test_without_gradients_the_result_is_the_same():
    gaussians, cameras = awkward_gaussians(200), circling_cameras(10, 20, 20)
    expected = run(gaussians, cameras, "numba")["renders"]
    with torch.no_grad():
        found, _, meta = rasterize(gaussians, cameras, background=torch.tensor([0.2, 0.5, 0.9]))
    assert meta["backend"] == "numba"
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rendered_in_single(dtype: torch.dtype):
    gaussians = with_gradients(random_gaussians(100), dtype)
    cameras = circling_cameras(1, 16, 16)
    for backend in ("torch", "numba"):
        renders, alphas, _ = rasterize(gaussians, cameras, backend=backend)
        renders.sum().backward()
        assert renders.dtype == alphas.dtype == torch.float32
        assert gaussians.means.grad is not None
        assert gaussians.means.grad.dtype == dtype
        single = Gaussians(**{name: getattr(gaussians, name).detach().float() for name in FIELDS})
        expected, _, _ = rasterize(single, cameras, backend=backend)
        torch.testing.assert_close(renders, expected, rtol=0, atol=0)


def test_cameras_that_require_gradients_are_refused_except_by_torch():
    gaussians, cameras = random_gaussians(20), circling_cameras(1, 16, 16)
    viewmats = cameras.viewmats.clone().requires_grad_()
    moving = Cameras(viewmats, cameras.Ks, 16, 16)
    for backend in ("auto", "numba"):
        with pytest.raises(ValueError, match="no camera gradients"):
            rasterize(gaussians, moving, backend=backend)
    rasterize(gaussians, moving, backend="torch")[0].sum().backward()
    assert viewmats.grad is not None
    assert (viewmats.grad != 0).any()


def test_rejects_backends_that_cannot_run():
    gaussians, cameras = random_gaussians(3), circling_cameras(1, 8, 8)
    with pytest.raises(ValueError, match="needs cuda tensors, got cpu"):
        rasterize(gaussians, cameras, backend="gsplat")
    with pytest.raises(ValueError, match="needs cpu tensors, got meta"):
        rasterize(gaussians.to("meta"), cameras, backend="numba")
    with pytest.raises(ValueError, match="share a device"):
        rasterize(gaussians.to("meta"), cameras, backend="torch")
    with pytest.raises(ValueError, match="backend must be"):
        _choose_backend("cuda", torch.device("cpu"))


def test_benchmark_reports_both_passes():
    report = rasterizer_benchmark(num_gaussians=400, size=24, repeats=1)
    assert set(report["rasterizer_speedup_over_torch"]) == {"forward", "backward"}
    assert all(ratio > 0 for ratio in report["rasterizer_speedup_over_torch"].values())
    # float32 may carry a Gaussian across the threshold: that changes a pixel by 1/255 of a colour.
    assert report["max_render_difference"] < 2e-2


@pytest.mark.gpu
@pytest.mark.parametrize("degree", [0, 2])
def test_gsplat_agrees_with_torch(degree: int):
    gaussians, cameras = random_gaussians(2000, degree, seed=4), circling_cameras(2, 40, 30)
    expected = run(gaussians, cameras, "torch")
    found = run(gaussians, cameras, "auto", torch.float32, device="cuda")
    for name in expected:
        error = (found[name] - expected[name]).abs() / expected[name].abs().max()
        assert error.max() < 1e-2, name
        assert error.quantile(0.99) < 1e-3, name


def test_numba_leaves_torch_its_threads():
    """Of a new process: the first kernel starts numba's threads."""
    program = """
import torch
torch.set_num_threads(1)
from splat_scenes import circling_cameras, random_gaussians
from videorfsplat.rendering.rasterization import rasterize
rasterize(random_gaussians(3, 0), circling_cameras(1, 8, 8), backend="numba")
print(torch.get_num_threads())
"""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": path}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environment, text=True).split() == ["1"]
