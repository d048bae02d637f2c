"""The dual-stream transformer: images and cameras denoised together, each with its own time."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, MochiTransformer3DModel, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.utils import BaseOutput, apply_lora_scale
from jaxtyping import Float
from torch import Tensor, nn

from videorfsplat.models.attention import (
    BatchedMochiAttnProcessor,
    RotaryEmbedding,
    StreamExchange,
)

# Middle and last blocks of two streams share one code, with and without LoRA, in several batch
# sizes each: branches of guidance come and go with the step. torch's own limit, 8, would end the
# run.
_KINDS_OF_BLOCKS = 64


@dataclass
class VideoRFSplatTransformerOutput(BaseOutput):
    """Velocities of both streams, in the direction clean − noise as Mochi predicts it.

    Args:
        sample (`torch.Tensor` of shape `(batch_size, in_channels, num_views, height, width)`):
            Velocity of the image latents.
        pose_sample (`torch.Tensor` of shape `(batch_size, 6, num_views, height, width)`):
            Velocity of the pose latents.
    """

    sample: torch.Tensor
    pose_sample: torch.Tensor


class VideoRFSplatTransformer3DModel(ModelMixin, ConfigMixin, PeftAdapterMixin):
    r"""
    Two Mochi transformers side by side, one for image latents and one for raymaps, that exchange
    information by cross-attention (VideoRFSplat, section 3 and supplement A.1). The defaults are
    the full size: Mochi's 48 blocks of width 3072 and 16 pose blocks of width 256.

    Parameters:
        patch_size (`int`): Patch size of both streams.
        num_attention_heads, attention_head_dim, num_layers, pooled_projection_dim, in_channels:
            The image stream, as in [`MochiTransformer3DModel`].
        pose_num_attention_heads, pose_attention_head_dim, pose_num_layers,
        pose_pooled_projection_dim, pose_in_channels: The pose stream, likewise.
        exchange_num_heads, exchange_head_dim: Heads of the exchange between the streams.
        text_embed_dim (`int`): Width of the text embeddings.
        time_embed_dim (`int`): Width of the sinusoidal time embedding.
        max_sequence_length (`int`): Text tokens supported.
        num_views (`int`): Views of a scene.
        sample_size (`int` or pair): Height and width of the image latents at training.
        pose_latents_mean, pose_latents_std (`tuple` of 6): Statistics that normalise raymaps.
        timetable_shift, timetable_pose_shift (`float`, *optional*): Shifts of the timetable that
            suit the times of training; nothing in the model itself depends on them.

    Raises:
        ValueError: if the image blocks do not divide evenly among the pose blocks, or the raymap
            statistics do not have one value per pose channel.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["MochiTransformerBlock"]
    _repeated_blocks = ["MochiTransformerBlock", "StreamExchange"]
    _skip_layerwise_casting_patterns = ["patch_embed", "norm"]

    @register_to_config
    def __init__(
        self,
        patch_size: int = 2,
        num_attention_heads: int = 24,
        attention_head_dim: int = 128,
        num_layers: int = 48,
        pooled_projection_dim: int = 1536,
        in_channels: int = 12,
        pose_num_attention_heads: int = 4,
        pose_attention_head_dim: int = 64,
        pose_num_layers: int = 16,
        pose_pooled_projection_dim: int = 128,
        pose_in_channels: int = 6,
        exchange_num_heads: int = 4,
        exchange_head_dim: int = 64,
        text_embed_dim: int = 4096,
        time_embed_dim: int = 256,
        max_sequence_length: int = 256,
        num_views: int = 8,
        sample_size: tuple[int, int] | list[int] | int = (40, 64),
        pose_latents_mean: tuple[float, ...] | list[float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        pose_latents_std: tuple[float, ...] | list[float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        timetable_shift: float | None = None,
        timetable_pose_shift: float | None = None,
    ) -> None:
        super().__init__()
        if num_layers % pose_num_layers:
            raise ValueError(
                f"num_layers ({num_layers}) must be a multiple of pose_num_layers "
                f"({pose_num_layers}): the streams meet after every pose block"
            )
        if {len(pose_latents_mean), len(pose_latents_std)} != {pose_in_channels}:
            raise ValueError(
                f"pose_latents_mean and pose_latents_std need {pose_in_channels} values each, "
                f"got {len(pose_latents_mean)} and {len(pose_latents_std)}"
            )
        self.image_stream = _Stream(
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            num_layers=num_layers,
            pooled_projection_dim=pooled_projection_dim,
            in_channels=in_channels,
            text_embed_dim=text_embed_dim,
            time_embed_dim=time_embed_dim,
            max_sequence_length=max_sequence_length,
            patch_size=patch_size,
        )
        _initialize_stream(self.image_stream)
        self.reset_pose_stream()
        self.gradient_checkpointing = False

    def reset_pose_stream(self) -> None:
        """Make all but the image stream, untrained: the pose stream and the exchanges."""
        config: Any = self.config
        self.pose_stream = _Stream(
            num_attention_heads=config.pose_num_attention_heads,
            attention_head_dim=config.pose_attention_head_dim,
            num_layers=config.pose_num_layers,
            pooled_projection_dim=config.pose_pooled_projection_dim,
            in_channels=config.pose_in_channels,
            text_embed_dim=config.text_embed_dim,
            time_embed_dim=config.time_embed_dim,
            max_sequence_length=config.max_sequence_length,
            patch_size=config.patch_size,
        )
        dim = config.num_attention_heads * config.attention_head_dim
        pose_dim = config.pose_num_attention_heads * config.pose_attention_head_dim
        heads = config.exchange_num_heads, config.exchange_head_dim
        # The last pair of blocks is followed by the outputs, which stay independent.
        self.exchanges = nn.ModuleList(
            StreamExchange(dim, pose_dim, *heads) for _ in range(config.pose_num_layers - 1)
        )
        self.exchange_frequencies = nn.Parameter(torch.zeros(3, heads[0], heads[1] // 2))
        _initialize_stream(self.pose_stream)
        initialize_frequencies(self.exchange_frequencies)

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Float[Tensor, "b c v h w"],
        pose_hidden_states: Float[Tensor, "b p v i j"],
        encoder_hidden_states: Float[Tensor, "b l e"],
        timestep: Float[Tensor, " b"],
        pose_timestep: Float[Tensor, " b"],
        encoder_attention_mask: Tensor,
        attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> VideoRFSplatTransformerOutput | tuple[Tensor, Tensor]:
        r"""
        Args:
            hidden_states (`torch.Tensor`):
                Noisy image latents of shape `(batch_size, in_channels, num_views, height, width)`.
            pose_hidden_states (`torch.Tensor`):
                Noisy normalised raymaps of shape `(batch_size, 6, num_views, height, width)`; their
                grid may differ from the image latents'.
            encoder_hidden_states (`torch.Tensor` of shape `(batch_size, length, text_embed_dim)`):
                Text embeddings, shared by both streams.
            timestep, pose_timestep (`torch.Tensor` of shape `(batch_size,)`):
                Mochi's time of each stream: 0 = noise, 1000 = clean.
            encoder_attention_mask (`torch.Tensor` of shape `(batch_size, length)`):
                Which text tokens count; all zero is the empty prompt.
            attention_kwargs (`dict`, *optional*): `scale` multiplies the effect of LoRA weights.
            return_dict (`bool`): Whether to return a [`VideoRFSplatTransformerOutput`].
        """
        # 1. Tokens, conditioning and places of each stream
        image = self.image_stream(
            hidden_states,
            timestep,
            encoder_hidden_states,
            encoder_attention_mask,
        )
        pose = self.pose_stream(
            pose_hidden_states,
            pose_timestep,
            encoder_hidden_states,
            encoder_attention_mask,
        )
        rotary_emb = image.rotary(self.exchange_frequencies)
        pose_rotary_emb = pose.rotary(self.exchange_frequencies)

        # 2. Blocks, with an exchange after each pose block but the last
        blocks_between = len(self.image_stream.transformer_blocks) // len(
            self.pose_stream.transformer_blocks
        )
        for index, pose_block in enumerate(self.pose_stream.transformer_blocks):
            first = index * blocks_between
            for block in self.image_stream.transformer_blocks[first : first + blocks_between]:
                self._run_block(block, image)
            self._run_block(pose_block, pose)
            if index < len(self.exchanges):
                image.hidden_states, pose.hidden_states = self.exchanges[index](
                    image.hidden_states,
                    pose.hidden_states,
                    image.temb,
                    pose.temb,
                    rotary_emb,
                    pose_rotary_emb,
                )

        # 3. Velocities
        sample, pose_sample = image.velocity(), pose.velocity()
        if not return_dict:
            return sample, pose_sample
        return VideoRFSplatTransformerOutput(sample=sample, pose_sample=pose_sample)

    def compile_blocks(self, *, dynamic: bool | None = None) -> None:
        """Compile the blocks, each kind once: minutes at the start, faster from then on.

        Args:
            dynamic: as `torch.compile` takes it; `False` compiles anew for every shape.
        """
        self.compile_repeated_blocks(
            fullgraph=True, dynamic=dynamic, recompile_limit=_KINDS_OF_BLOCKS
        )

    def set_attn_processor(self, processor: Any) -> None:
        """Use one attention processor in every block of both streams."""
        for stream in (self.image_stream, self.pose_stream):
            for block in _blocks(stream):
                block.attn1.processor = processor

    def _run_block(self, block: nn.Module, tokens: "_Tokens") -> None:
        arguments = (
            tokens.hidden_states,
            tokens.encoder_hidden_states,
            tokens.temb,
            tokens.encoder_attention_mask,
            tokens.rotary_emb,
        )
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            assert self._gradient_checkpointing_func is not None
            outputs = self._gradient_checkpointing_func(block, *arguments)
        else:
            outputs = block(*arguments)
        tokens.hidden_states, tokens.encoder_hidden_states = outputs


class _Stream(MochiTransformer3DModel):
    """One of the two streams, whose blocks the whole model runs."""

    # What it begins with is a forward pass of its own: offloading fetches the stream's own weights
    # for one.
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        latents: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
    ) -> "_Tokens":
        """Tokens, conditioning and places."""
        return _Tokens(self, latents, timestep, encoder_hidden_states, encoder_attention_mask)


class _Tokens:
    """One stream's state on its way through the blocks."""

    def __init__(
        self,
        stream: MochiTransformer3DModel,
        latents: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
    ) -> None:
        patch = stream.config["patch_size"]
        self.stream = stream
        self.num_views = latents.shape[2]
        self.grid = latents.shape[3] // patch, latents.shape[4] // patch
        self.encoder_attention_mask = encoder_attention_mask
        self.temb, self.encoder_hidden_states = stream.time_embed(
            timestep, encoder_hidden_states, encoder_attention_mask, hidden_dtype=latents.dtype
        )
        views = latents.permute(0, 2, 1, 3, 4).flatten(0, 1)
        self.hidden_states = (
            stream.patch_embed(views).unflatten(0, (len(latents), -1)).flatten(1, 2)
        )
        self.rotary_emb = self.rotary(stream.pos_frequencies)

    def rotary(self, frequencies: Tensor) -> RotaryEmbedding:
        """Cosines and sines of every token's place."""
        device = self.hidden_states.device
        positions = self.stream.rope._get_positions(
            self.num_views, *self.grid, device=device, dtype=torch.float32
        )
        # Without the embedding's own `forward`, which asks for autocast to float32: torch has none,
        # and warns of that at every run.
        with torch.autocast(device.type, enabled=False):
            angles = torch.einsum("nd,dhf->nhf", positions, frequencies.float())
        return angles.cos(), angles.sin()

    def velocity(self) -> Tensor:
        """The stream's output, unpatched to [b, c, v, h, w]."""
        patch = self.stream.config["patch_size"]
        hidden_states = self.stream.proj_out(self.stream.norm_out(self.hidden_states, self.temb))
        hidden_states = hidden_states.unflatten(1, (self.num_views, *self.grid))
        hidden_states = hidden_states.unflatten(-1, (patch, patch, -1))  # (b, v, h, w, p, q, c)
        return hidden_states.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


def initialize_frequencies(frequencies: nn.Parameter) -> None:
    """Fill rotary frequencies [3, heads, n]: a quarter of each head for views, the rest for space.

    Mochi's positions are 0, 1, 2, … along views and span 192 units over the image (for a square
    one) at any resolution. Wavelengths run geometrically from two steps to twice the extent, where
    a step is one view, or a twelfth of the image.
    """
    with torch.no_grad():
        frequencies.zero_()
        count = frequencies.shape[-1]
        per_axis = (count - 2 * (3 * count // 8), 3 * count // 8, 3 * count // 8)
        start = 0
        for axis, (number, step, extent) in enumerate(
            zip(per_axis, (1.0, 16.0, 16.0), (8.0, 192.0, 192.0), strict=True)
        ):
            wavelengths = torch.logspace(math.log10(2 * step), math.log10(2 * extent), number)
            frequencies[axis, :, start : start + number] = 2 * math.pi / wavelengths
            start += number


def _blocks(stream: MochiTransformer3DModel) -> list[Any]:
    """The stream's blocks, whose class `ModuleList` does not tell a type checker."""
    return list(stream.transformer_blocks)


def _initialize_stream(stream: MochiTransformer3DModel) -> None:
    """Start an untrained stream at identity blocks and zero velocity; batched attention."""
    initialize_frequencies(stream.pos_frequencies)
    for block in _blocks(stream):
        block.attn1.processor = BatchedMochiAttnProcessor()
        modulations = [block.norm1.linear]
        if not block.context_pre_only:
            modulations.append(block.norm1_context.linear)
        for linear in modulations:
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
    nn.init.zeros_(stream.proj_out.weight)
    nn.init.zeros_(stream.proj_out.bias)
