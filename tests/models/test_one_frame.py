"""One frame in two dimensions is one frame through Mochi's own three-dimensional autoencoder."""

import pytest
import torch
from diffusers import AutoencoderKLMochi

from videorfsplat.models.one_frame import (
    decode_frames,
    denormalize_latents,
    encode_frames,
    normalize_latents,
    take_single_frames,
)

# Summing the kernel over time first changes the order of float32 sums of a few hundred terms.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def mochi_vae(temporal_expansions=(1, 1, 1), attention=False, layers=(1, 1, 1, 1, 1)):
    torch.manual_seed(0)
    vae = AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 64, 64),
        decoder_block_out_channels=(32, 32, 64, 64),
        latent_channels=4,
        layers_per_block=layers,
        temporal_expansions=temporal_expansions,
        add_attention_block=(False, *(attention,) * 4),
        latents_mean=(0.1, -0.2, 0.3, 0.0),
        latents_std=(1.0, 2.0, 0.5, 1.5),
        scaling_factor=0.8,
        out_channels=3,
    ).eval()
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if "norm" in name or name.endswith("bias"):  # else ones and zeros, which hide a mix-up
                parameter.add_(0.2 * torch.randn_like(parameter))
    return vae


def some_frames(number=2, height=16, width=24):
    return torch.rand(number, 3, height, width) * 2 - 1


@pytest.mark.parametrize(
    ("temporal_expansions", "attention", "layers"),
    [
        ((1, 1, 1), False, (0, 1, 1, 1, 2)),
        ((1, 2, 3), True, (1, 1, 1, 1, 1)),
    ],
)
def test_encodes_as_mochi_does(temporal_expansions, attention, layers):
    vae = mochi_vae(temporal_expansions, attention, layers)
    frames = some_frames()
    with torch.no_grad():
        expected = vae.encoder(frames[:, :, None])[0][:, :, 0]
        found = encode_frames(vae, frames)
    assert found.shape == (2, 8, 2, 3)
    torch.testing.assert_close(found, expected, **TOLERANCE)


@pytest.mark.parametrize("temporal_expansions", [(1, 1, 1), (1, 2, 3)])
def test_decodes_as_mochi_does(temporal_expansions):
    vae = mochi_vae(temporal_expansions)
    latents = torch.randn(2, 4, 2, 3)
    with torch.no_grad():
        expected = vae.decode(latents[:, :, None]).sample[:, :, -1]
        found = decode_frames(vae, latents)
    assert found.shape == (2, 3, 16, 24)
    torch.testing.assert_close(found, expected, **TOLERANCE)


def test_gradients_are_those_of_the_three_dimensional_kernels():
    vae = mochi_vae()
    frames, weights = some_frames(1), torch.randn(1, 8, 2, 3)
    kernels = {n: p for n, p in vae.encoder.named_parameters() if p.ndim == 5}

    def gradients(moments):
        return torch.autograd.grad((moments * weights).sum(), list(kernels.values()))

    expected = gradients(vae.encoder(frames[:, :, None])[0][:, :, 0])
    for name, found, other in zip(
        kernels, gradients(encode_frames(vae, frames)), expected, strict=True
    ):
        assert found.abs().max() > 0, name
        torch.testing.assert_close(found, other, rtol=1e-3, atol=1e-3, msg=name)


def test_gradients_reach_every_kernel_of_the_decoder():
    vae = mochi_vae()
    decode_frames(vae, torch.randn(1, 4, 2, 2)).square().sum().backward()
    missing = [n for n, p in vae.decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


@pytest.mark.parametrize(("height", "width"), [(20, 16), (16, 12)])
def test_rejects_sizes_that_are_no_multiple_of_the_compression(height, width):
    with pytest.raises(ValueError, match=f"multiple of 8, got {width}x{height}"):
        encode_frames(mochi_vae(), some_frames(1, height, width))


def test_normalised_latents_are_counted_as_in_mochis_pipeline():
    vae = mochi_vae()
    latents = torch.randn(2, 4, 3, 2, 2)
    expected = (latents[:, 1] + 0.2) / 2.0 * 0.8  # channel 1: mean -0.2, deviation 2
    torch.testing.assert_close(normalize_latents(vae, latents)[:, 1], expected)
    back = denormalize_latents(vae, normalize_latents(vae, latents))
    torch.testing.assert_close(back, latents)


def test_longer_clips_stay_what_they_are():
    vae = mochi_vae((1, 2, 3))
    clip = torch.rand(1, 3, 7, 16, 16) * 2 - 1
    with torch.no_grad():
        expected = vae(clip).sample
        take_single_frames(vae)
        torch.testing.assert_close(vae(clip).sample, expected, rtol=0, atol=0)
