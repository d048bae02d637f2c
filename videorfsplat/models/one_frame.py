"""Views through Mochi's video autoencoder, each as a clip of one frame.

Mochi's causal convolutions pad time by repeating the first frame. In a clip of one frame every tap
of the kernel therefore sees that frame, and the 3-D convolution equals a 2-D convolution with the
kernel summed over time, at a third of the operations. Only single layers are told so: the
autoencoder's own forward passes run, block by block, and whatever hangs on them (offloading, parts
on other devices, FSDP) does its work.

With Mochi's own expansion of time, (1, 2, 3), the decoder makes six frames, of which the last is
the view.
"""

from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import (
    CogVideoXCausalConv3d,
    CogVideoXSafeConv3d,
)
from diffusers.models.autoencoders.autoencoder_kl_mochi import (
    MochiChunkedGroupNorm3D,
    MochiDecoder3D,
    MochiEncoder3D,
    MochiUpBlock3D,
)
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def encode_frames(
    vae: AutoencoderKLMochi, frames: Float[Tensor, "n 3 H W"]
) -> Float[Tensor, "n c2 h w"]:
    """Posterior moments of each frame: mean, then log-variance, over the channel axis.

    Args:
        vae: the autoencoder; gradients reach its three-dimensional kernels.
        frames: values in [-1, 1].

    Raises:
        ValueError: if the size is not a multiple of the autoencoder's spatial compression.
    """
    factor = vae.spatial_compression_ratio
    height, width = frames.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(f"frame size must be a multiple of {factor}, got {width}x{height}")
    take_single_frames(vae)
    (posterior,) = vae.encode(frames[:, :, None], return_dict=False)
    return posterior.parameters[:, :, 0]


def decode_frames(
    vae: AutoencoderKLMochi, latents: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n 3 H W"]:
    """Frames in about [-1, 1] (not clamped) from latents in the autoencoder's own scale."""
    take_single_frames(vae)
    return vae.decode(latents[:, :, None], return_dict=False)[0][:, :, -1]


def take_single_frames(model: nn.Module) -> None:
    """Let a model's layers compute clips of one frame in two dimensions.

    Longer clips, weights and results stay what they are. Layers that a hook already hangs on are
    left alone: they compute one frame as they compute others.
    """
    for module in model.modules():
        if type(module) is MochiChunkedGroupNorm3D and not _is_hooked(module):
            module.__class__ = _Norm
        if (
            type(module) is CogVideoXCausalConv3d
            and module.pad_mode == "replicate"
            and not _is_hooked(module)
            and not _is_hooked(module.conv)
        ):
            module.__class__ = _CausalConv
            module.conv.__class__ = _Conv
        if isinstance(module, MochiEncoder3D | MochiDecoder3D | MochiUpBlock3D):
            for layer in module.children():
                if type(layer) is nn.Linear and not _is_hooked(layer):
                    layer.__class__ = _Pointwise


def _is_hooked(module: nn.Module) -> bool:
    """Whether a hook of accelerate or diffusers keeps the forward pass that it replaced."""
    return "forward" in vars(module)


class _CausalConv(CogVideoXCausalConv3d):
    """Of one frame, pads its sides only."""

    # The base class says that it returns a tensor.
    def forward(self, inputs: Tensor, conv_cache: Tensor | None = None) -> Any:
        if inputs.shape[2] != 1:
            return super().forward(inputs, conv_cache)
        sides = (self.width_pad, self.width_pad, self.height_pad, self.height_pad)
        frame = inputs[:, :, 0]
        if any(sides):
            frame = F.pad(frame, sides, mode="replicate")
        return self.conv(frame[:, :, None]), None


class _Norm(MochiChunkedGroupNorm3D):
    """One frame needs no parts that are joined again."""

    def forward(self, x: Any = None) -> Tensor:
        return super().forward(x) if x.shape[2] != 1 else self.norm_layer(x[:, :, 0])[:, :, None]


class _Pointwise(nn.Linear):
    """Takes the pixels [b, 1, h, w, c] of one frame as the picture that they are a view of."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 5 or input.shape[1] != 1:
            return super().forward(input)
        picture = input[:, 0].movedim(-1, 1)
        picture = F.conv2d(picture, self.weight[:, :, None, None], self.bias)
        return picture.movedim(1, -1)[:, None]


class _Conv(CogVideoXSafeConv3d):
    """One frame is what every tap of the kernel sees."""

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[2] != 1:
            return super().forward(input)
        kernel, stride = self.weight.sum(2), self.stride[1:]
        return F.conv2d(input[:, :, 0], kernel, self.bias, stride=stride)[:, :, None]


def encode_normalized(
    vae: AutoencoderKLMochi, frames: Float[Tensor, "n 3 H W"]
) -> Float[Tensor, "n c h w"]:
    """Normalised latents of frames in [-1, 1] in float32: the mean of each posterior."""
    return normalize_latents(vae, encode_frames(vae, frames).float().chunk(2, dim=1)[0])


def normalize_latents(
    vae: AutoencoderKLMochi, latents: Float[Tensor, "b c *size"]
) -> Float[Tensor, "b c *size"]:
    """Latents with mean 0 and deviation 1 per channel, by the statistics in the config."""
    mean, std = _latent_statistics(vae, latents)
    return (latents - mean) * (vae.config["scaling_factor"] / std)


def denormalize_latents(
    vae: AutoencoderKLMochi, latents: Float[Tensor, "b c *size"]
) -> Float[Tensor, "b c *size"]:
    """The inverse of `normalize_latents`."""
    mean, std = _latent_statistics(vae, latents)
    return latents * (std / vae.config["scaling_factor"]) + mean


def _latent_statistics(vae: AutoencoderKLMochi, latents: Tensor) -> tuple[Tensor, Tensor]:
    shape = (1, -1) + (1,) * (latents.ndim - 2)
    mean = torch.tensor(vae.config["latents_mean"], dtype=latents.dtype, device=latents.device)
    std = torch.tensor(vae.config["latents_std"], dtype=latents.dtype, device=latents.device)
    return mean.view(shape), std.view(shape)
