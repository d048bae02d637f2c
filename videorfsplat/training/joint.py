"""Train the dual-stream transformer on image latents and raymaps with independent times."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from videorfsplat.data.worlds.captions import template_caption
from videorfsplat.data.worlds.dataset import HELD_OUT_SEED, WorldsDataset
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.training.attention import training_attention
from videorfsplat.training.flow_matching import TimeDistribution, mix, velocity_loss
from videorfsplat.training.latent_cache import LatentCache
from videorfsplat.training.optimizers import muon_and_adamw
from videorfsplat.training.run import RunConfig, StepRandomness, TrainingRun, averaged_weights
from videorfsplat.training.sheets import save_sheet

MINI_TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 8,
    "attention_head_dim": 32,
    "num_layers": 8,
    "pooled_projection_dim": 128,
    "in_channels": 12,
    "pose_num_attention_heads": 4,
    "pose_attention_head_dim": 32,
    "pose_num_layers": 4,
    "pose_pooled_projection_dim": 64,
    "exchange_num_heads": 4,
    "exchange_head_dim": 32,
    "text_embed_dim": 256,
    "max_sequence_length": 64,
}
"""Constructor arguments of the bundled model's transformer."""


@dataclass(frozen=True)
class JointTraining:
    """Settings of `train joint`."""

    run: RunConfig
    data: str
    """Folder of a data set."""
    autoencoder: str
    text_encoder: str
    """Folder with `tokenizer` and `text_encoder`."""
    size: int = 64
    """Pixels a side of the frames."""
    num_views: int = 8
    """1 trains single views drawn from the scenes, else the first views of each scene."""
    init: str | None = None
    """Folder of a transformer to start from."""
    pose_weight: float = 0.5
    text_dropout: float = 0.1
    compile_blocks: bool = False
    """Compile the transformer's blocks: minutes at the start, faster steps from then on."""
    times: TimeDistribution = field(default_factory=TimeDistribution)
    model: dict[str, Any] = field(default_factory=lambda: dict(MINI_TRANSFORMER))


class _Batches:
    """Draws what a step needs: clean latents of both streams and text embeddings."""

    def __init__(
        self,
        settings: JointTraining,
        cache: LatentCache,
        tokenizer: PreTrainedTokenizerFast,
        text_encoder: T5EncoderModel,
        statistics: tuple[Tensor, Tensor],
    ) -> None:
        self.settings, self.cache = settings, cache
        self.tokenizer, self.text_encoder = tokenizer, text_encoder
        self.mean, self.std = statistics

    def draw(
        self, randomness: StepRandomness
    ) -> tuple[Tensor, Tensor, Float[Tensor, "b l e"], Tensor]:
        batch_size = self.settings.run.batch_size
        rows = torch.tensor(randomness.indices(len(self.cache), batch_size))
        choices = randomness.rand(batch_size, 3)
        latents, raymaps = self._views(rows, choices[:, 0])
        captions = []
        for row, choice in zip(rows.tolist(), choices[:, 1].tolist(), strict=True):
            said = self.cache.dataset.captions(row)
            captions.append(said[int(choice * len(said))])
        embeds, mask = self._embed(captions)
        mask = mask * (choices[:, 2:] >= self.settings.text_dropout).long()
        return latents.float(), (raymaps.float() - self.mean) / self.std, embeds, mask

    def _views(self, rows: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [b,12,v,h,w] and raymaps [b,6,v,h,w]; a single view is seen from itself."""
        latents, raymaps = self.cache.latents, self.cache.raymaps
        if self.settings.num_views == 1:
            views = (choice * latents.shape[1]).long()
            return latents[rows, views, :, None], raymaps[rows, :1].transpose(1, 2)
        views = slice(self.settings.num_views)
        return latents[rows, views].transpose(1, 2), raymaps[rows, views].transpose(1, 2)

    @torch.no_grad()
    def _embed(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
        tokens = tokens.to(self.text_encoder.device)
        ids, mask = tokens["input_ids"], tokens["attention_mask"]
        return self.text_encoder(ids, attention_mask=mask).last_hidden_state, mask


def train_joint(settings: JointTraining) -> Path:
    """Train and export a `VideoRFSplatTransformer3DModel`.

    Returns:
        The folder of the exported model, `<output>/model`.

    Raises:
        ValueError: if the scenes have fewer views than asked for, or the cached latents do not
            belong to the data and the autoencoder.
    """
    available = WorldsDataset(settings.data).num_views
    if not 1 <= settings.num_views <= available:
        raise ValueError(f"num_views must be from 1 to {available}, got {settings.num_views}")
    vae = AutoencoderKLMochi.from_pretrained(settings.autoencoder, torch_dtype=torch.float32)
    vae.requires_grad_(False).eval()
    cache = LatentCache(settings.data, vae, settings.size)
    folder = Path(settings.text_encoder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    text_encoder = (
        T5EncoderModel.from_pretrained(folder / "text_encoder").requires_grad_(False).eval()
    )
    torch.manual_seed(settings.run.seed)
    model = _initial_transformer(settings, cache)
    optimizers = muon_and_adamw(model, settings.run.learning_rate, settings.run.weight_decay)
    if settings.compile_blocks:
        model.compile_repeated_blocks(fullgraph=True)
    details = {k: v for k, v in vars(settings).items() if k not in ("run", "times")}
    run = TrainingRun(settings.run, model, optimizers, {**details, **vars(settings.times)})
    device = run.accelerator.device
    vae, text_encoder = vae.to(device), text_encoder.to(device)
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(model.config["pose_latents_mean"]).view(shape)
    std = torch.tensor(model.config["pose_latents_std"]).view(shape)
    batches = _Batches(settings, cache, tokenizer, text_encoder, (mean, std))
    pipeline = VideoRFSplatPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        transformer=model,
        # Sheets show decoded frames: no Gaussians are made.
        gaussian_decoder=GaussianDecoder.from_autoencoder(
            vae, num_attention_layers=0, attention_head_dim=1
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        pose_scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    )
    pipeline.set_progress_bar_config(disable=True)

    def loss(randomness: StepRandomness) -> dict[str, Tensor]:
        return _loss_terms(settings, run, batches, randomness)

    with training_attention(device):
        run.train(loss, lambda path: _draw_sheet(pipeline, settings, path))
    folder = run.folder / "model"
    with averaged_weights(run):
        if run.accelerator.is_main_process:
            run.bare_model.save_pretrained(folder)
    return folder


def _initial_transformer(
    settings: JointTraining, cache: LatentCache
) -> VideoRFSplatTransformer3DModel:
    """A new transformer, or the one to start from, told the number of views and their size."""
    shape = {"num_views": settings.num_views, "sample_size": list(cache.latents.shape[-2:])}
    if settings.init is not None:
        model = VideoRFSplatTransformer3DModel.from_pretrained(
            settings.init, torch_dtype=torch.float32
        )
        model.register_to_config(**shape)
        return model
    raymaps = cache.raymaps[:2000].float()
    return VideoRFSplatTransformer3DModel(
        **settings.model,
        **shape,
        pose_latents_mean=raymaps.mean((0, 1, 3, 4)).tolist(),
        pose_latents_std=raymaps.std((0, 1, 3, 4)).tolist(),
    )


def _loss_terms(
    settings: JointTraining, run: TrainingRun, batches: _Batches, randomness: StepRandomness
) -> dict[str, Tensor]:
    device, size = run.accelerator.device, settings.run.batch_size
    latents, raymaps, embeds, mask = batches.draw(randomness)
    t_image, t_pose = settings.times.draw(randomness, size)
    noise = randomness.randn(size, *latents.shape[1:])
    pose_noise = randomness.randn(size, *raymaps.shape[1:])
    latents, raymaps, noise, pose_noise, t_image, t_pose = (
        value.to(device) for value in (latents, raymaps, noise, pose_noise, t_image, t_pose)
    )
    velocity, pose_velocity = run.model(
        mix(latents, noise, t_image),
        mix(raymaps, pose_noise, t_pose),
        embeds,
        1000 * (1 - t_image),
        1000 * (1 - t_pose),
        mask.to(device),
        return_dict=False,
    )
    image = velocity_loss(velocity, latents, noise, t_image)
    pose = velocity_loss(pose_velocity, raymaps, pose_noise, t_pose)
    return {"loss": image + settings.pose_weight * pose, "image": image, "pose": pose}


# A type checker does not see that the pipeline's wrapped `__call__` is bound: hence `Any`.
def _draw_sheet(pipeline: Any, settings: JointTraining, path: Path) -> None:
    """Sixteen fixed held-out prompts from fixed noise, a row a prompt (single views: one grid)."""
    prompts = [template_caption(sample_world(HELD_OUT_SEED + i)) for i in range(16)]
    output = pipeline(
        prompts,
        height=settings.size,
        width=settings.size,
        num_inference_steps=16,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    )
    frames = output.frames * 2 - 1
    if settings.num_views == 1:
        frames = frames[:, 0].unflatten(0, (2, 8))
    save_sheet(list(frames), path)
    path.with_suffix(".txt").write_text("\n".join(prompts) + "\n")
