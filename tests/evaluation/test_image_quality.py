import math

import pytest
import torch

from videorfsplat.evaluation.image_quality import MAX_PSNR, psnr, ssim


def test_psnr_is_that_of_the_error():
    reference = torch.full((2, 3, 16, 16), 0.5)
    frames = reference + torch.tensor([0.1, 0.01])[:, None, None, None]
    # Rounding of 0.51 in single precision is a few millionths of the difference.
    torch.testing.assert_close(
        psnr(frames, reference), torch.tensor([20.0, 40.0]), atol=1e-3, rtol=0
    )


def test_equal_pictures_have_the_cap_and_similarity_one():
    frames = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert psnr(frames, frames).tolist() == [MAX_PSNR] * 2
    torch.testing.assert_close(ssim(frames, frames), torch.ones(2))


def test_values_outside_the_range_are_seen_as_a_screen_shows_them():
    reference = torch.ones(1, 3, 16, 16)
    assert psnr(reference + 5, reference).tolist() == [MAX_PSNR]
    assert float(ssim(reference + 5, reference)) == pytest.approx(1)


def test_similarity_falls_with_noise_and_is_per_picture():
    generator = torch.Generator().manual_seed(1)
    reference = torch.rand(1, 3, 32, 32, generator=generator).expand(3, -1, -1, -1)
    noise = torch.randn(1, 3, 32, 32, generator=generator)
    frames = reference + torch.tensor([0.0, 0.05, 0.2])[:, None, None, None] * noise
    values = ssim(frames, reference).tolist()
    assert values == sorted(values, reverse=True)
    assert values[2] < 0.9
    assert math.isclose(values[1], float(ssim(frames[1:2], reference[1:2])), rel_tol=1e-5)


def test_similarity_needs_its_window():
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 8, 32))
