"""From image latents and cameras to 3D Gaussians, one per pixel of every view."""

import math
from typing import Any

import torch
from diffusers import AutoencoderKLMochi, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.autoencoder_kl_mochi import MochiDecoder3D
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.quaternions import multiply_quats, rotations_to_quats
from videorfsplat.geometry.rays import camera_rays
from videorfsplat.geometry.spherical_harmonics import SH_C0
from videorfsplat.models.attention import attend
from videorfsplat.models.one_frame import take_single_frames

# Channels of the head: inverse depth 1, opacity 1, scale 3, quaternion 4, colour 3.
_HEAD_CHANNELS = (1, 1, 3, 4, 3)


class GaussianDecoder(ModelMixin, ConfigMixin):
    r"""
    Mochi's image decoder as a trunk, told each view's rays, with attention over the tokens of all
    views at latent resolution, and a head that gives one Gaussian per pixel (SplatFlow's decoder is
    the template; here depth needs no latents of its own, and scales grow with depth).

    Parameters:
        latent_channels (`int`): Channels of the image latents.
        block_out_channels, layers_per_block: As `decoder_block_out_channels` and `layers_per_block`
            of [`AutoencoderKLMochi`].
        num_attention_layers (`int`): Attention layers over all views.
        attention_head_dim (`int`): Width of an attention head.
        near, far (`float`): Range of depth along the ray, in scene units.
        smoothing (`float`): Pixels by which every Gaussian is blurred, in all directions: the 3D
            smoothing filter of Mip-Splatting (Yu et al. 2024), for the view it comes from. Without
            it, what the rasteriser's own blur covers opens into gaps in larger pictures.
        latents_mean, latents_std (`tuple`), scaling_factor (`float`): The autoencoder's statistics,
            which undo the normalisation of the latents.
    """

    _no_split_modules = ["MochiResnetBlock3D"]

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 12,
        block_out_channels: tuple[int, ...] | list[int] = (128, 256, 512, 768),
        layers_per_block: tuple[int, ...] | list[int] = (3, 3, 4, 6, 3),
        num_attention_layers: int = 3,
        attention_head_dim: int = 64,
        near: float = 0.2,
        far: float = 20.0,
        smoothing: float = 0.45,
        latents_mean: tuple[float, ...] | list[float] = (0.0,) * 12,
        latents_std: tuple[float, ...] | list[float] = (1.0,) * 12,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < near < far:
            raise ValueError(f"expected 0 < near < far, got near={near} and far={far}")
        if not (math.isfinite(smoothing) and smoothing >= 0):
            raise ValueError(f"smoothing must be a number of at least 0, got {smoothing}")
        width = block_out_channels[-1]
        if width % attention_head_dim:
            raise ValueError(
                f"attention_head_dim must divide the trunk's width {width}, "
                f"got {attention_head_dim}"
            )
        self.trunk = MochiDecoder3D(
            in_channels=latent_channels,
            out_channels=sum(_HEAD_CHANNELS),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=tuple(layers_per_block),
            temporal_expansions=(1,) * (len(block_out_channels) - 1),
            spatial_expansions=(2,) * (len(block_out_channels) - 1),
        )
        take_single_frames(self.trunk)
        self.trunk.proj_out = _Head(block_out_channels[0], sum(_HEAD_CHANNELS))
        self.rays_in = nn.Conv2d(6, width, kernel_size=1)
        for parameter in self.rays_in.parameters():
            nn.init.zeros_(parameter)
        self.attentions = nn.ModuleList(
            _ViewAttention(width, attention_head_dim) for _ in range(num_attention_layers)
        )
        self.register_buffer("_mean", torch.tensor(latents_mean).view(-1, 1, 1), persistent=False)
        std = torch.tensor(latents_std).view(-1, 1, 1) / scaling_factor
        self.register_buffer("_std", std, persistent=False)
        _initialize_head(self.trunk.proj_out)

    @classmethod
    def from_autoencoder(cls, vae: AutoencoderKLMochi, **config: Any) -> "GaussianDecoder":
        """A decoder whose trunk and colours start as the autoencoder's image decoder.

        Args:
            vae: the autoencoder.
            config: constructor arguments that the autoencoder does not decide.
        """
        decoder = cls(
            latent_channels=vae.config["latent_channels"],
            block_out_channels=tuple(vae.config["decoder_block_out_channels"]),
            layers_per_block=tuple(vae.config["layers_per_block"]),
            latents_mean=tuple(vae.config["latents_mean"]),
            latents_std=tuple(vae.config["latents_std"]),
            scaling_factor=vae.config["scaling_factor"],
            **config,
        )
        decoder.copy_autoencoder(vae)
        return decoder

    @torch.no_grad()
    def copy_autoencoder(self, vae: AutoencoderKLMochi) -> None:
        """Overwrite the trunk with the autoencoder's decoder, the head's colours with its output.

        Raises:
            ValueError: if the autoencoder's decoder and the trunk are not of one shape; nothing is
                copied then.
        """
        source, target = vae.decoder.state_dict(), self.trunk.state_dict()
        if source.keys() != target.keys():
            names = ", ".join(sorted(source.keys() ^ target.keys()))
            raise ValueError(f"autoencoder and trunk differ in their layers: {names}")
        places = {name: _place_in_trunk(name, target[name]) for name in source}
        values = {name: _as_one_frame(name, source[name], len(target[name])) for name in source}
        for name, place in places.items():
            if place.shape != values[name].shape:
                raise ValueError(
                    f"{name}: expected {tuple(place.shape)}, got {tuple(values[name].shape)}"
                )
        for name, place in places.items():
            place.copy_(values[name])

    def forward(
        self,
        latents: Float[Tensor, "b c v h w"],
        viewmats: Float[Tensor, "b v 4 4"],
        Ks: Float[Tensor, "b v 3 3"],
        width: int,
        height: int,
    ) -> list[Gaussians]:
        r"""
        One `Gaussians` per scene, in the world frame of the cameras, views in order, rows first.

        Args:
            latents (`torch.Tensor` of shape `(batch_size, channels, num_views, height, width)`):
                Normalised image latents.
            viewmats, Ks: World→camera matrices, and intrinsics in pixels of `width` × `height`.
            width, height (`int`): Image size that the intrinsics speak of.
        """
        raw = self.raw_gaussians(latents, viewmats, Ks, width, height)
        return self.activate(raw, viewmats, Ks, width, height)

    def activate(
        self,
        raw: Float[Tensor, "b v 12 H W"],
        viewmats: Float[Tensor, "b v 4 4"],
        Ks: Float[Tensor, "b v 3 3"],
        width: int,
        height: int,
    ) -> list[Gaussians]:
        """Gaussians of raw outputs; arguments as `forward`."""
        rows, columns = raw.shape[-2:]
        rays_o, rays_d = camera_rays(viewmats, Ks, width, height, rows, columns)
        pixel = width / columns / Ks[..., 0, 0]
        return [
            self._activate_scene(raw[b], rays_o[b], rays_d[b], viewmats[b], pixel[b])
            for b in range(len(raw))
        ]

    def raw_gaussians(
        self,
        latents: Float[Tensor, "b c v h w"],
        viewmats: Float[Tensor, "b v 4 4"],
        Ks: Float[Tensor, "b v 3 3"],
        width: int,
        height: int,
    ) -> Float[Tensor, "b v 12 H W"]:
        """The head's outputs per pixel, before activation, in float32."""
        batch, views = latents.shape[0], latents.shape[2]
        # Geometry keeps full precision also where the network runs in less.
        with torch.autocast(latents.device.type, enabled=False):
            rays_o, rays_d = camera_rays(viewmats, Ks, width, height, *latents.shape[-2:])
            raymaps = torch.cat([rays_d, torch.linalg.cross(rays_o, rays_d)], dim=-1)
        frames = latents.transpose(1, 2).flatten(0, 1)
        frames = frames * self._std.to(frames.dtype) + self._mean.to(frames.dtype)
        raymaps = raymaps.to(frames.dtype).movedim(-1, 2).flatten(0, 1)
        trunk = self.trunk
        hidden_states, _ = trunk.block_in(trunk.conv_in(frames[:, :, None]))
        hidden_states = hidden_states[:, :, 0] + self.rays_in(raymaps)
        for attention in self.attentions:
            hidden_states = attention(hidden_states, views)
        hidden_states = hidden_states[:, :, None]
        for block in (*trunk.up_blocks, trunk.block_out):
            hidden_states, _ = block(hidden_states)
        raw = trunk.proj_out(trunk.nonlinearity(hidden_states[:, :, 0]))
        return raw.unflatten(0, (batch, views))

    def depths_along_rays(self, raw: Float[Tensor, "*v 12 H W"]) -> Float[Tensor, "*v H W"]:
        """Depth along the unit ray of raw outputs: inverse depth linear between far and near."""
        near, far = self.config["near"], self.config["far"]
        share = torch.sigmoid(raw[..., 0, :, :])
        return 1 / (share * (1 / near - 1 / far) + 1 / far)

    def _activate_scene(
        self, raw: Tensor, rays_o: Tensor, rays_d: Tensor, viewmats: Tensor, pixel: Tensor
    ) -> Gaussians:
        depths = self.depths_along_rays(raw)[..., None]
        _, opacities, scales, quats, colors = raw.movedim(1, -1).split(_HEAD_CHANNELS, dim=-1)
        # At zero six tenths of a pixel; the range is a factor of ten. Blurs add by their squares.
        sizes = 0.6 * torch.exp(math.log(10) * torch.tanh(scales))
        sizes = torch.sqrt(sizes.square() + self.config["smoothing"] ** 2)
        sizes = sizes * pixel[:, None, None, None]
        local = F.normalize(quats, dim=-1)
        turned = multiply_quats(rotations_to_quats(viewmats[:, :3, :3].mT)[:, None, None], local)
        return Gaussians(
            means=(rays_o + rays_d * depths).flatten(0, 2),
            quats=turned.flatten(0, 2),
            scales=(sizes * depths).flatten(0, 2),
            opacities=torch.sigmoid(opacities).flatten(),
            sh=(colors / 2 / SH_C0).flatten(0, 2)[:, None],
        )


class _Head(nn.Linear):
    """Of each pixel; adds its bias in float32, from which depths differ little."""

    def forward(self, input: Float[Tensor, "n c H W"]) -> Float[Tensor, "n 12 H W"]:
        raw = F.conv2d(input, self.weight[:, :, None, None])
        return raw.float() + self.bias.float()[:, None, None]


class _ViewAttention(nn.Module):
    """Self-attention over the tokens of all views of a scene, zero-initialised."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm = nn.GroupNorm(32, width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm_q = nn.RMSNorm(head_dim, eps=1e-5)
        self.norm_k = nn.RMSNorm(head_dim, eps=1e-5)
        self.to_out = nn.Linear(width, width)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(
        self, hidden_states: Float[Tensor, "bv c h w"], views: int
    ) -> Float[Tensor, "bv c h w"]:
        tokens = self.norm(hidden_states).unflatten(0, (-1, views))
        tokens = tokens.permute(0, 1, 3, 4, 2).flatten(1, 3)
        query, key, value = self.to_qkv(tokens).unflatten(2, (-1, 3 * self.head_dim)).chunk(3, -1)
        output = self.to_out(attend(self.norm_q(query), self.norm_k(key), value))
        output = output.unflatten(1, (views, *hidden_states.shape[-2:])).flatten(0, 1)
        return hidden_states + output.permute(0, 3, 1, 2)


def _place_in_trunk(name: str, parameter: Tensor) -> Tensor:
    """Where an autoencoder's weight goes: its own place, or the rows of the head's colours."""
    return parameter[-3:] if name.startswith("proj_out") else parameter


def _as_one_frame(name: str, value: Tensor, size: int) -> Tensor:
    """The weight, or of an up-projection [c·t·2·2, …] the rows that make the last of its t frames.

    Args:
        name: of the weight.
        value: the autoencoder's.
        size: rows of an up-projection that makes one frame.
    """
    if not name.endswith((".proj.weight", ".proj.bias")) or len(value) % size:
        return value
    rows = value.unflatten(0, (-1, len(value) // size, 4))
    return rows[:, -1].flatten(0, 1)


def _initialize_head(proj_out: nn.Linear) -> None:
    """Gaussians of pixel size at middle depth, mostly opaque, unrotated; colours as they come."""
    with torch.no_grad():
        proj_out.weight[:9].mul_(0.1)
        proj_out.bias.zero_()
        proj_out.bias[0] = -2.0  # with near 0.2 and far 20 this is a depth of about 1.5
        proj_out.bias[1] = 1.0
        proj_out.bias[5] = 1.0  # real part of the quaternion
