"""Views through Mochi's video autoencoder, each as a clip of one frame.

Mochi's causal convolutions pad time by repeating the first frame. In a clip of one frame every tap
of the kernel therefore sees that frame, and the 3-D convolution equals a 2-D convolution with the
kernel summed over time. That path is exact for the encoder of any configuration, and for the
decoder wherever no block expands time; with Mochi's own (1, 2, 3) the decoder makes six frames of
which the last is kept, so the class's own path is taken there.
"""

from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from diffusers.models.attention_processor import Attention
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from diffusers.models.autoencoders.autoencoder_kl_mochi import (
    MochiChunkedGroupNorm3D,
    MochiDecoder3D,
    MochiDownBlock3D,
    MochiMidBlock3D,
    MochiResnetBlock3D,
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
    encoder = vae.encoder
    hidden_states = encoder.fourier_features(frames[:, :, None])[:, :, 0]
    hidden_states = _pointwise(encoder.proj_in, hidden_states)
    hidden_states = _layers(encoder.block_in, hidden_states)
    for block in _members(encoder.down_blocks):
        hidden_states = _down_block(block, hidden_states)
    hidden_states = _layers(encoder.block_out, hidden_states)
    hidden_states = encoder.nonlinearity(_group_norm(encoder.norm_out, hidden_states))
    return _pointwise(encoder.proj_out, hidden_states)


def decode_frames(
    vae: AutoencoderKLMochi, latents: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n 3 H W"]:
    """Frames in about [-1, 1] (not clamped) from latents in the autoencoder's own scale."""
    if not decodes_one_frame_exactly(vae):
        return vae.decode(latents[:, :, None], return_dict=False)[0][:, :, -1]
    return _pointwise(vae.decoder.proj_out, decoder_features(vae.decoder, latents))


def decodes_one_frame_exactly(vae: AutoencoderKLMochi) -> bool:
    """Whether the decoder keeps one frame one frame, so that the two-dimensional path holds."""
    return vae.temporal_compression_ratio == 1


def decoder_features(
    decoder: MochiDecoder3D, latents: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n d H W"]:
    """What the decoder's last linear layer sees, for a decoder that does not expand time."""
    return decoder_tail(decoder, decoder_stem(decoder, latents))


def decoder_stem(
    decoder: MochiDecoder3D, latents: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n d h w"]:
    """The decoder's part at latent resolution."""
    weight = decoder.conv_in.weight[:, :, 0]
    hidden_states = F.conv2d(latents, weight, decoder.conv_in.bias)
    return _layers(decoder.block_in, hidden_states)


def decoder_tail(
    decoder: MochiDecoder3D, hidden_states: Float[Tensor, "n d h w"]
) -> Float[Tensor, "n e H W"]:
    """The decoder's part from latent to pixel resolution, up to its last linear layer."""
    for block in _members(decoder.up_blocks):
        hidden_states = _up_block(block, hidden_states)
    return decoder.nonlinearity(_layers(decoder.block_out, hidden_states))


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


def _members(modules: nn.ModuleList) -> list[Any]:
    """The modules of a list, whose classes `ModuleList` does not tell a type checker."""
    return list(modules)


def _pointwise(linear: nn.Linear, hidden_states: Tensor) -> Tensor:
    return F.conv2d(hidden_states, linear.weight[:, :, None, None], linear.bias)


def _conv(conv: CogVideoXCausalConv3d, hidden_states: Tensor) -> Tensor:
    padding = (conv.width_pad, conv.width_pad, conv.height_pad, conv.height_pad)
    if any(padding):
        hidden_states = F.pad(hidden_states, padding, mode="replicate")
    weight = conv.conv.weight.sum(2)
    return F.conv2d(hidden_states, weight, conv.conv.bias, stride=conv.conv.stride[1:])


def _group_norm(norm: MochiChunkedGroupNorm3D, hidden_states: Tensor) -> Tensor:
    return norm.norm_layer(hidden_states)


def _resnet(block: MochiResnetBlock3D, inputs: Tensor) -> Tensor:
    hidden_states = _conv(block.conv1, block.nonlinearity(_group_norm(block.norm1, inputs)))
    hidden_states = _conv(block.conv2, block.nonlinearity(_group_norm(block.norm2, hidden_states)))
    return inputs + hidden_states


def _attention(attention: Attention, hidden_states: Tensor) -> Tensor:
    # Attention is over time only; over one frame the softmax is 1 and the value passes through.
    assert attention.to_v is not None
    assert attention.to_out is not None
    hidden_states = _pointwise(attention.to_v, hidden_states)
    return _pointwise(_members(attention.to_out)[0], hidden_states)


def _layers(
    block: MochiDownBlock3D | MochiMidBlock3D | MochiUpBlock3D, hidden_states: Tensor
) -> Tensor:
    norms = getattr(block, "norms", [None] * len(block.resnets))
    attentions = getattr(block, "attentions", [None] * len(block.resnets))
    for resnet, norm, attention in zip(_members(block.resnets), norms, attentions, strict=True):
        hidden_states = _resnet(resnet, hidden_states)
        if attention is not None:
            hidden_states = hidden_states + _attention(attention, _group_norm(norm, hidden_states))
    return hidden_states


def _down_block(block: MochiDownBlock3D, hidden_states: Tensor) -> Tensor:
    return _layers(block, _conv(block.conv_in, hidden_states))


def _up_block(block: MochiUpBlock3D, hidden_states: Tensor) -> Tensor:
    hidden_states = _pointwise(block.proj, _layers(block, hidden_states))
    return F.pixel_shuffle(hidden_states, block.spatial_expansion)
