"""The perceptual distance: zero for equals, grows with the change, teaches one side only."""

import pytest
import torch

from videorfsplat.training.perceptual import PerceptualLoss


@pytest.fixture(scope="module")
def perceptual() -> PerceptualLoss:
    return PerceptualLoss()


def some_frames() -> torch.Tensor:
    waves = torch.linspace(0, 12, 32).sin()
    return (waves[:, None] * waves).expand(2, 3, 32, 32).clone()


def test_equal_images_are_at_distance_zero(perceptual):
    assert float(perceptual(some_frames(), some_frames())) == 0


def test_more_change_is_more_distance(perceptual):
    frames = some_frames()
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    distances = [float(perceptual(frames + s * noise, frames)) for s in (0.02, 0.1, 0.5)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_only_the_first_argument_is_taught(perceptual):
    frames = (some_frames() + 0.1).requires_grad_()
    reference = some_frames().requires_grad_()
    perceptual(frames, reference).backward()
    assert frames.grad is not None
    assert torch.isfinite(frames.grad).all()
    assert frames.grad.any()
    assert reference.grad is None
    assert all(p.grad is None and not p.requires_grad for p in perceptual.parameters())


def test_the_network_stays_in_evaluation_mode(perceptual):
    perceptual.train()
    assert not any(module.training for module in perceptual.modules())
