"""Train the autoencoder on single views."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.formats.files import exporting
from videorfsplat.models.one_frame import decode_frames, encode_frames
from videorfsplat.training.model_arguments import check_model_arguments, check_start
from videorfsplat.training.optimizers import check_optimizer, make_optimizers
from videorfsplat.training.perceptual import PerceptualLoss
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    field_values,
)
from videorfsplat.training.sheets import save_sheet
from videorfsplat.training.step_data import StepRandomness

MINI_AUTOENCODER: dict[str, Any] = {
    "encoder_block_out_channels": (32, 32, 64, 96),
    "decoder_block_out_channels": (32, 64, 96, 128),
    "latent_channels": 12,
    "layers_per_block": (0, 1, 1, 2, 2),
    "temporal_expansions": (1, 1, 1),
    "add_attention_block": (False, False, False, False, False),
}
"""Constructor arguments of the bundled model's `AutoencoderKLMochi`."""


@dataclass(frozen=True)
class AutoencoderTraining:
    """Settings of `train autoencoder`."""

    run: RunConfig
    data: str
    """Folder of a data set whose `frames(index)` are uint8 [V,3,H,W]."""
    crop: int = 64
    """Side of the random square crop that a step sees; the network is convolutional."""
    perceptual_weight: float = 0.5
    perceptual_share: float = 0.25
    """Part of the batch that the perceptual term sees: its network costs more than the model."""
    gradient_weight: float = 0.5
    kl_weight: float = 1e-4
    train_encoder: bool = True
    """False keeps the latent space, so that models trained on it stay valid."""
    init: str | None = None
    """Folder of an autoencoder to start from."""
    optimizer: str = "muon"
    """muon (for matrices and kernels, AdamW for the rest) or adamw."""
    model: dict[str, Any] = field(default_factory=lambda: dict(MINI_AUTOENCODER))

    def __post_init__(self) -> None:
        check_model_arguments(AutoencoderKLMochi, self.model)
        check_start(self.init, self.model, MINI_AUTOENCODER)
        check_optimizer(self.optimizer)


class _Reconstruction(nn.Module):
    """Encoder and decoder as one forward pass, which is what a wrapped model must have."""

    def __init__(self, vae: AutoencoderKLMochi) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        posterior = DiagonalGaussianDistribution(encode_frames(self.vae, frames).float())
        latents = posterior.mean + posterior.std * noise
        return decode_frames(self.vae, latents).float(), posterior.kl().mean() / noise[0].numel()


def train_autoencoder(settings: AutoencoderTraining) -> Path:
    """Train and export an `AutoencoderKLMochi`, its latent statistics in its config.

    Returns:
        The folder of the exported model, `<output>/model`.

    Raises:
        ValueError: if the crop is larger than the frames, or no multiple of the compression.
    """
    check_run(settings.run, field_values(settings))
    dataset = WorldsDataset(settings.data)
    torch.manual_seed(settings.run.seed)
    vae = _initial_autoencoder(settings)
    factor = vae.spatial_compression_ratio
    if settings.crop % factor or not 0 < settings.crop <= dataset.size:
        raise ValueError(
            f"crop must be a multiple of {factor} up to {dataset.size}, got {settings.crop}"
        )
    vae.encoder.requires_grad_(settings.train_encoder)
    model = _Reconstruction(vae)
    optimizers = make_optimizers(settings.optimizer, vae, settings.run, convolutions=True)
    run = TrainingRun(settings.run, model, optimizers, field_values(settings))
    perceptual = PerceptualLoss().to(run.accelerator.device)

    def draw(randomness: StepRandomness) -> tuple[Tensor, Tensor]:
        frames = _crops(dataset, settings, randomness)
        side = settings.crop // factor
        channels = vae.config["latent_channels"]
        return frames, randomness.randn(settings.run.batch_size, channels, side, side)

    def loss(drawn: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        frames, noise = (x.to(run.accelerator.device, non_blocking=True) for x in drawn)
        decoded, kl = run.model(frames, noise)
        return _loss_terms(settings, perceptual, frames, decoded, kl)

    def sheet(path: Path) -> None:
        frames = _first_views(dataset, min(len(dataset), 16)).to(run.accelerator.device)
        save_sheet(
            [frames, decode_frames(vae, encode_frames(vae, frames).chunk(2, dim=1)[0])], path
        )

    run.train(draw, loss, sheet)
    with averaged_weights(run), torch.no_grad():
        if settings.train_encoder:
            _measure_latents(vae, dataset)
        return _export(vae, run)


def _initial_autoencoder(settings: AutoencoderTraining) -> AutoencoderKLMochi:
    if settings.init is not None:
        return AutoencoderKLMochi.from_pretrained(settings.init, torch_dtype=torch.float32)
    return AutoencoderKLMochi(**settings.model)


def _crops(
    dataset: WorldsDataset, settings: AutoencoderTraining, randomness: StepRandomness
) -> Float[Tensor, "n 3 s s"]:
    scenes = randomness.indices(len(dataset), settings.run.batch_size)
    places = randomness.rand(settings.run.batch_size, 4).tolist()
    crops = []
    for scene, (view, top, left, mirrored) in zip(scenes, places, strict=True):
        frames = dataset.frames(scene)
        frame = frames[int(view * len(frames))]
        rows, columns = (size - settings.crop for size in frame.shape[-2:])
        top, left = round(top * rows), round(left * columns)
        crop = frame[:, top : top + settings.crop, left : left + settings.crop]
        crops.append(crop.flip(-1) if mirrored < 0.5 else crop)
    frames = torch.stack(crops).float() / 127.5 - 1
    return frames.contiguous(memory_format=torch.channels_last)


def _loss_terms(
    settings: AutoencoderTraining,
    perceptual: PerceptualLoss,
    frames: Tensor,
    decoded: Tensor,
    kl: Tensor,
) -> dict[str, Tensor]:
    seen = max(1, round(len(frames) * settings.perceptual_share))
    terms = {
        "l1": F.l1_loss(decoded, frames),
        "gradient": _gradient_distance(decoded, frames),
        "perceptual": perceptual(decoded[:seen], frames[:seen]),
        "kl": kl,
    }
    total = (
        terms["l1"]
        + settings.gradient_weight * terms["gradient"]
        + settings.perceptual_weight * terms["perceptual"]
        + settings.kl_weight * terms["kl"]
    )
    mse = F.mse_loss(decoded.clamp(-1, 1), frames)
    return {"loss": total, "psnr": 10 * torch.log10(4 / mse), **terms}


def _gradient_distance(a: Tensor, b: Tensor) -> Tensor:
    difference = a - b
    horizontal = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    vertical = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return horizontal + vertical


def _first_views(dataset: WorldsDataset, count: int) -> Float[Tensor, "n 3 H W"]:
    frames = [dataset.frames(index)[0] for index in range(count)]
    return torch.stack(frames).float() / 127.5 - 1


def _measure_latents(vae: AutoencoderKLMochi, dataset: WorldsDataset) -> None:
    """Put mean and deviation of each latent channel into the configuration."""
    views = _first_views(dataset, min(len(dataset), 512)).to(vae.device)
    means = torch.cat([encode_frames(vae, part).chunk(2, dim=1)[0] for part in views.split(32)])
    vae.register_to_config(
        latents_mean=means.mean((0, 2, 3)).tolist(), latents_std=means.std((0, 2, 3)).tolist()
    )


def _export(vae: AutoencoderKLMochi, run: TrainingRun) -> Path:
    """Save the averaged model."""
    folder = run.folder / "model"
    if run.accelerator.is_main_process:
        with exporting(folder):
            vae.save_pretrained(folder)
    return folder
