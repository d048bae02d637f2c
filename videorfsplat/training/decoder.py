"""Train the Gaussian decoder: rendered source and novel views, and depth where it is known."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.cameras import Cameras, concatenate_cameras
from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.one_frame import encode_frames, normalize_latents
from videorfsplat.rays import camera_rays
from videorfsplat.rendering import rasterize
from videorfsplat.training.attention import training_attention
from videorfsplat.training.perceptual import PerceptualLoss
from videorfsplat.training.run import RunConfig, StepRandomness, TrainingRun, averaged_weights
from videorfsplat.training.sheets import save_sheet

MINI_DECODER: dict[str, Any] = {"num_attention_layers": 2, "attention_head_dim": 32}
"""Constructor arguments of the bundled model's decoder, besides the autoencoder's."""


@dataclass(frozen=True)
class DecoderTraining:
    """Settings of `train decoder`."""

    run: RunConfig
    data: str
    """Folder of a data set with novel views and depth."""
    autoencoder: str
    init: str | None = None
    """Folder of a decoder to start from."""
    source_views: int = 2
    """Source views rendered a step, drawn from all."""
    novel_views: int = 2
    """Novel views rendered a step."""
    depth_steps: int = 300
    """Steps with depth supervision alone, before anything is rendered."""
    depth_weight: float = 0.5
    perceptual_weight: float = 0.2
    latent_noise: float = 0.02
    """Noise added to latents, as generated ones are never exact."""
    model: dict[str, Any] = field(default_factory=lambda: dict(MINI_DECODER))


@dataclass(frozen=True)
class _Scene:
    latents: Float[Tensor, "1 c v h w"]
    cameras: Cameras
    frames: Float[Tensor, "v 3 H W"]
    depths: Float[Tensor, "v H W"]
    targets: Float[Tensor, "k H W 3"]
    target_cameras: Cameras


class _RawDecoder(nn.Module):
    """The decoder up to its head as the forward pass, which is what a wrapped model must have."""

    def __init__(self, decoder: GaussianDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *arguments: Any) -> Tensor:
        return self.decoder.raw_gaussians(*arguments)


def train_decoder(settings: DecoderTraining) -> Path:
    """Train and export a `GaussianDecoder`.

    Returns:
        The folder of the exported model, `<output>/model`.

    Raises:
        ValueError: if the data set has no novel views.
    """
    dataset = WorldsDataset(settings.data)
    if dataset.num_novel_views < settings.novel_views:
        raise ValueError(
            f"{settings.data} has {dataset.num_novel_views} novel views a scene, "
            f"{settings.novel_views} are asked for"
        )
    vae = AutoencoderKLMochi.from_pretrained(settings.autoencoder, torch_dtype=torch.float32)
    vae.requires_grad_(False).eval()
    torch.manual_seed(settings.run.seed)
    model = _initial_decoder(settings, vae)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.run.learning_rate, weight_decay=0.0, fused=True
    )
    details = {k: v for k, v in vars(settings).items() if k != "run"}
    run = TrainingRun(settings.run, _RawDecoder(model), [optimizer], details)
    device = run.accelerator.device
    vae, perceptual = vae.to(device), PerceptualLoss().to(device)

    def loss(randomness: StepRandomness) -> dict[str, Tensor]:
        rows = randomness.indices(len(dataset), settings.run.batch_size)
        scenes = [_draw_scene(dataset, vae, settings, row, randomness) for row in rows]
        terms = [_scene_terms(settings, run, model, perceptual, scene) for scene in scenes]
        return {name: torch.stack([t[name] for t in terms]).mean() for name in terms[0]}

    def sheet(path: Path) -> None:
        save_sheet(_sheet_rows(dataset, vae, model), path)

    with training_attention(device):
        run.train(loss, sheet)
    folder = run.folder / "model"
    with averaged_weights(run):
        if run.accelerator.is_main_process:
            model.save_pretrained(folder)
    return folder


def _initial_decoder(settings: DecoderTraining, vae: AutoencoderKLMochi) -> GaussianDecoder:
    if settings.init is not None:
        return GaussianDecoder.from_pretrained(settings.init, torch_dtype=torch.float32)
    return GaussianDecoder.from_autoencoder(vae, **settings.model)


@torch.no_grad()
def _draw_scene(
    dataset: WorldsDataset,
    vae: AutoencoderKLMochi,
    settings: DecoderTraining,
    row: int,
    randomness: StepRandomness,
) -> _Scene:
    device = vae.device
    frames = dataset.frames(row).to(device)
    latents = encode_views(vae, frames)
    noise = torch.randn(latents.shape, generator=randomness.generator).to(device)
    sources = torch.randperm(len(frames), generator=randomness.generator)[: settings.source_views]
    novel = torch.randperm(dataset.num_novel_views, generator=randomness.generator)
    novel = novel[: settings.novel_views]
    cameras, novel_cameras = dataset.cameras(row), dataset.novel_cameras(row)
    targets = torch.cat([frames[sources], dataset.novel_frames(row)[novel].to(device)])
    return _Scene(
        latents=latents + settings.latent_noise * noise,
        cameras=cameras.to(device),
        frames=frames.float() / 255,
        depths=dataset.depths(row).to(device).float(),
        targets=targets.permute(0, 2, 3, 1).float() / 255,
        target_cameras=concatenate_cameras([cameras[sources], novel_cameras[novel]]).to(device),
    )


def encode_views(vae: AutoencoderKLMochi, frames: Tensor) -> Float[Tensor, "1 c v h w"]:
    """Normalised latents of uint8 frames [V,3,H,W]."""
    pixels = (frames.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(vae.device.type, torch.bfloat16):
        means = encode_frames(vae, pixels).float().chunk(2, dim=1)[0]
    return normalize_latents(vae, means).transpose(0, 1)[None]


def _scene_terms(
    settings: DecoderTraining,
    run: TrainingRun,
    decoder: GaussianDecoder,
    perceptual: PerceptualLoss,
    scene: _Scene,
) -> dict[str, Tensor]:
    cameras = scene.cameras
    arguments = (cameras.viewmats[None], cameras.Ks[None], cameras.width, cameras.height)
    raw = run.model(scene.latents, *arguments)
    terms = {"depth": _depth_loss(decoder, raw[0], scene)}
    if run.step < settings.depth_steps:
        terms["l1"] = F.l1_loss((raw[0, :, -3:] + 1) / 2, scene.frames)
        return {"loss": terms["l1"] + settings.depth_weight * terms["depth"], **terms}
    gaussians = decoder.activate(raw, *arguments)[0]
    renders, _, _ = rasterize(gaussians, scene.target_cameras)
    terms["l1"] = F.l1_loss(renders, scene.targets)
    images = [2 * x.permute(0, 3, 1, 2) - 1 for x in (renders, scene.targets)]
    terms["perceptual"] = perceptual(*images)
    mse = F.mse_loss(renders.detach().clamp(0, 1), scene.targets)
    total = (
        terms["l1"]
        + settings.depth_weight * terms["depth"]
        + settings.perceptual_weight * terms["perceptual"]
    )
    return {"loss": total, **terms, "psnr": -10 * torch.log10(mse)}


def _depth_loss(decoder: GaussianDecoder, raw: Tensor, scene: _Scene) -> Tensor:
    """Mean distance of inverse depths along the ray; the sky lies at the far end."""
    cameras = scene.cameras
    size = scene.depths.shape[-2:]
    _, rays_d = camera_rays(cameras.viewmats, cameras.Ks, cameras.width, cameras.height, *size)
    forward = cameras.viewmats[:, 2, :3]
    cosines = torch.einsum("vhwi,vi->vhw", rays_d, forward)
    far = decoder.config["far"]
    inverse = torch.where(scene.depths > 0, cosines / scene.depths.clamp(min=1e-6), 0.0)
    predicted = 1 / decoder.depths_along_rays(raw)
    return F.l1_loss(predicted, inverse.clamp(1 / far, 1 / decoder.config["near"]))


@torch.no_grad()
def _sheet_rows(
    dataset: WorldsDataset, vae: AutoencoderKLMochi, decoder: GaussianDecoder, count: int = 4
) -> list[Tensor]:
    """For each of the first scenes: novel views as they are, and as rendered."""
    rows = []
    for row in range(min(len(dataset), count)):
        cameras = dataset.cameras(row).to(vae.device)
        arguments = (cameras.viewmats[None], cameras.Ks[None], cameras.width, cameras.height)
        latents = encode_views(vae, dataset.frames(row).to(vae.device))
        views = concatenate_cameras([cameras[:4], dataset.novel_cameras(row).to(vae.device)])
        renders, _, _ = rasterize(decoder(latents, *arguments)[0], views)
        frames = torch.cat([dataset.frames(row)[:4], dataset.novel_frames(row)])
        rows += [frames.float() / 127.5 - 1, renders.permute(0, 3, 1, 2) * 2 - 1]
    return rows
