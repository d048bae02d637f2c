"""Train the Gaussian decoder: rendered source and novel views, and depth where it is known."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLMochi
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.formats.files import exporting
from videorfsplat.geometry.cameras import Cameras, concatenate_cameras
from videorfsplat.geometry.rays import camera_rays
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.one_frame import encode_normalized
from videorfsplat.models.published import component_folder
from videorfsplat.rendering.rasterization import rasterize
from videorfsplat.training.attention import training_attention
from videorfsplat.training.decoder_scenes import DecoderScenes, SceneViews, open_decoder_scenes
from videorfsplat.training.generated_views import GeneratedViews
from videorfsplat.training.model_arguments import check_model_arguments, check_start
from videorfsplat.training.optimizers import check_optimizer, make_optimizers
from videorfsplat.training.perceptual import PerceptualLoss
from videorfsplat.training.precision import low_precision
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    field_defaults,
    field_values,
)
from videorfsplat.training.sheets import save_sheet
from videorfsplat.training.step_data import StepRandomness

MINI_DECODER: dict[str, Any] = {"num_attention_layers": 2, "attention_head_dim": 32}
"""Constructor arguments of the bundled model's decoder, besides the autoencoder's."""


@dataclass(frozen=True)
class DecoderTraining:
    """Settings of `train decoder`."""

    run: RunConfig
    data: str
    """Folder of procedural worlds with novel views, or of recordings."""
    autoencoder: str
    """Folder of an autoencoder, or folder or hub id of a pipeline that has one."""
    init: str | None = None
    """Folder of a decoder to start from, or of a pipeline that has one."""
    source_views: int = 2
    """Source views rendered a step, drawn from all."""
    novel_views: int = 2
    """Novel views rendered a step; of recordings, frames held back."""
    depth_steps: int = 300
    """Steps on the views' depth and colours alone, before anything is rendered."""
    depth_weight: float = 0.5
    """Of the depth where it is known: everywhere in worlds, at the points of COLMAP's models, else
    nowhere."""
    perceptual_weight: float = 0.2
    latent_noise: float = 0.02
    """Most noise added to a scene's latents, as generated ones are never exact; drawn anew from 0
    to this deviation."""
    generated: str | None = None
    """Folder of scenes that the model made (`generate --prompts … --latents`), trained on too."""
    generated_share: float = 0.5
    """Of these among all scenes of a batch, on average."""
    optimizer: str = "muon"
    """muon (for matrices and kernels, AdamW for the rest) or adamw."""
    sampling: ViewSampling = field(default_factory=ViewSampling)
    """Of recordings; worlds have views and a size of their own."""
    model: dict[str, Any] = field(default_factory=lambda: dict(MINI_DECODER))

    def __post_init__(self) -> None:
        check_model_arguments(GaussianDecoder, self.model)
        check_start(self.init, self.model, MINI_DECODER)
        check_optimizer(self.optimizer)
        if not 0 <= self.generated_share <= 1:
            raise ValueError(f"generated_share must lie in [0, 1], got {self.generated_share}")


class _Drawn(NamedTuple):
    """One scene, with all that is random about it; on the CPU."""

    views: SceneViews
    noise: Float[Tensor, "1 c v h w"]
    """Added to the latents."""
    targets: UInt8[Tensor, "k 3 H W"]
    target_cameras: Cameras


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
        ValueError: if the data set has too few novel views or no scenes, or a part to start from is
            not there.
    """
    check_run(settings.run, *_recorded(settings))
    scenes = open_decoder_scenes(
        settings.data, settings.sampling, settings.novel_views, settings.run.output
    )
    generated = None
    if settings.generated is not None:
        generated = GeneratedViews(settings.generated, settings.novel_views)
    folder = component_folder(settings.autoencoder, "vae")
    vae = AutoencoderKLMochi.from_pretrained(folder, torch_dtype=torch.float32)
    vae.requires_grad_(False).eval()
    torch.manual_seed(settings.run.seed)
    model = _initial_decoder(settings, vae)
    optimizers = make_optimizers(settings.optimizer, model, settings.run, convolutions=True)
    run = TrainingRun(settings.run, _RawDecoder(model), optimizers, *_recorded(settings))
    device = run.accelerator.device
    vae, perceptual = vae.to(device), PerceptualLoss().to(device)

    def draw(randomness: StepRandomness) -> list[_Drawn]:
        rows = _draw_rows(scenes, generated, settings, randomness)
        return _draw_scenes(rows, vae, settings, randomness)

    def loss(drawn: list[_Drawn]) -> dict[str, Tensor]:
        on_device = [_encode(scene, vae) for scene in drawn]
        terms = [_scene_terms(settings, run, model, perceptual, scene) for scene in on_device]
        return {name: torch.stack([t[name] for t in terms]).mean() for name in terms[0]}

    def sheet(path: Path) -> None:
        save_sheet(_sheet_rows(scenes, vae, model), path)

    with training_attention(device):
        run.train(draw, loss, sheet)
    folder = run.folder / "model"
    with averaged_weights(run):
        if run.accelerator.is_main_process:
            with exporting(folder):
                model.save_pretrained(folder)
    return folder


def _recorded(settings: DecoderTraining) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings for the record of a run, and what they are where an older record lacks them."""
    defaults = field_defaults(DecoderTraining) | field_defaults(ViewSampling)
    defaults["optimizer"] = "adamw"  # the only one there was before it could be chosen
    return field_values(settings), defaults


def _initial_decoder(settings: DecoderTraining, vae: AutoencoderKLMochi) -> GaussianDecoder:
    if settings.init is not None:
        folder = component_folder(settings.init, "gaussian_decoder")
        return GaussianDecoder.from_pretrained(folder, torch_dtype=torch.float32)
    return GaussianDecoder.from_autoencoder(vae, **settings.model)


def _draw_rows(
    scenes: DecoderScenes,
    generated: GeneratedViews | None,
    settings: DecoderTraining,
    randomness: StepRandomness,
) -> list[tuple[DecoderScenes, int]]:
    """This process's scenes of a batch: where each is read from, and its place there."""
    count = settings.run.batch_size
    rows = randomness.indices(len(scenes), count)
    if generated is None:
        return [(scenes, row) for row in rows]
    others, lots = randomness.indices(len(generated), count), randomness.rand(count)
    return [
        (generated, other) if lot < settings.generated_share else (scenes, row)
        for row, other, lot in zip(rows, others, lots, strict=True)
    ]


def _draw_scenes(
    rows: list[tuple[DecoderScenes, int]],
    vae: AutoencoderKLMochi,
    settings: DecoderTraining,
    randomness: StepRandomness,
) -> list[_Drawn]:
    generators = randomness.generators(settings.run.batch_size)
    return [
        _draw_scene(scenes, row, vae, settings, generator)
        for (scenes, row), generator in zip(rows, generators, strict=True)
    ]


def _draw_scene(
    scenes: DecoderScenes,
    row: int,
    vae: AutoencoderKLMochi,
    settings: DecoderTraining,
    generator: torch.Generator,
) -> _Drawn:
    views = scenes.read(row, generator)
    factor = vae.spatial_compression_ratio
    count, _, height, width = views.frames.shape
    size = (1, vae.config["latent_channels"], count, height // factor, width // factor)
    level = settings.latent_noise * torch.rand((), generator=generator)
    noise = level * torch.randn(size, generator=generator)
    sources = torch.randperm(count, generator=generator)[: settings.source_views]
    novel = torch.randperm(len(views.novel_frames), generator=generator)[: settings.novel_views]
    return _Drawn(
        views,
        noise,
        torch.cat([views.frames[sources], views.novel_frames[novel]]),
        concatenate_cameras([views.cameras[sources], views.novel_cameras[novel]]),
    )


@torch.no_grad()
def _encode(drawn: _Drawn, vae: AutoencoderKLMochi) -> _Scene:
    """A drawn scene on the autoencoder's device, with its latents."""
    views, device = drawn.views, vae.device
    frames = views.frames.to(device, non_blocking=True)
    latents = encode_views(vae, frames) if views.latents is None else views.latents.to(device)
    targets = drawn.targets.to(device, non_blocking=True)
    return _Scene(
        latents=latents + drawn.noise.to(device, non_blocking=True),
        cameras=views.cameras.to(device),
        frames=frames.float() / 255,
        depths=views.depths.to(device, non_blocking=True).float(),
        targets=targets.permute(0, 2, 3, 1).float() / 255,
        target_cameras=drawn.target_cameras.to(device),
    )


def encode_views(vae: AutoencoderKLMochi, frames: Tensor) -> Float[Tensor, "1 c v h w"]:
    """Normalised latents of uint8 frames [V,3,H,W]."""
    pixels = (frames.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    with low_precision(vae.device):
        latents = encode_normalized(vae, pixels)
    return latents.transpose(0, 1)[None]


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
    """Mean distance of known inverse depths along the ray; the sky lies at the far end."""
    cameras = scene.cameras
    size = scene.depths.shape[-2:]
    _, rays_d = camera_rays(cameras.viewmats, cameras.Ks, cameras.width, cameras.height, *size)
    forward = cameras.viewmats[:, 2, :3]
    cosines = torch.einsum("vhwi,vi->vhw", rays_d, forward)
    far = decoder.config["far"]
    inverse = torch.where(scene.depths > 0, cosines / scene.depths.clamp(min=1e-6), 0.0)
    predicted = 1 / decoder.depths_along_rays(raw)
    errors = (predicted - inverse.clamp(1 / far, 1 / decoder.config["near"])).abs()
    known = ~scene.depths.isnan()
    return errors.where(known, 0.0).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def _sheet_rows(
    scenes: DecoderScenes, vae: AutoencoderKLMochi, decoder: GaussianDecoder, count: int = 4
) -> list[Tensor]:
    """For each of the first scenes: novel views as they are, and as rendered."""
    rows = []
    for row in range(min(len(scenes), count)):
        # Every sheet shows the same views.
        views = scenes.read(row, torch.Generator().manual_seed(row))
        cameras = views.cameras.to(vae.device)
        arguments = (cameras.viewmats[None], cameras.Ks[None], cameras.width, cameras.height)
        latents = encode_views(vae, views.frames.to(vae.device))
        shown = concatenate_cameras([cameras[:4], views.novel_cameras.to(vae.device)])
        renders, _, _ = rasterize(decoder(latents, *arguments)[0], shown)
        frames = torch.cat([views.frames[:4], views.novel_frames])
        rows += [frames.float() / 127.5 - 1, renders.permute(0, 3, 1, 2) * 2 - 1]
    return rows
