"""Train the dual-stream transformer on image latents and raymaps with independent times."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLMochi
from jaxtyping import Float
from torch import Tensor
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    T5EncoderModel,
)

from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.models.convert_mochi import convert_mochi, is_mochi
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.published import component_folder, text_folder
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.solvers import make_scheduler
from videorfsplat.training.attention import training_attention
from videorfsplat.training.export import save_lora, save_model
from videorfsplat.training.flow_matching import TimeDistribution, mix, velocity_loss
from videorfsplat.training.joint_batches import (
    CachedScenes,
    JointBatch,
    JointScenes,
    WorldScenes,
)
from videorfsplat.training.joint_sheets import draw_sheet
from videorfsplat.training.latent_cache import LatentCache
from videorfsplat.training.lora import add_image_lora
from videorfsplat.training.model_arguments import check_model_arguments, check_start
from videorfsplat.training.optimizers import check_optimizer, make_optimizers
from videorfsplat.training.precision import resolve_precision
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    check_share,
    field_defaults,
    field_values,
    training_device,
)
from videorfsplat.training.scene_cache import MANIFEST_NAME, SceneCache, read_manifest
from videorfsplat.training.step_data import StepRandomness

logger = logging.getLogger(__name__)

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
    """Folder of procedural worlds, or of a cache of recorded scenes (`data cache`)."""
    autoencoder: str
    """Folder of an autoencoder, or folder or hub id of a pipeline that has one."""
    text_encoder: str
    """Folder with `tokenizer` and `text_encoder`, or hub id of a pipeline that has them."""
    size: int = 64
    """Pixels a side of the frames of worlds; a cache has its own size."""
    num_views: int = 8
    """1 trains single views drawn from the scenes, else the first views of each scene."""
    single_views: int = 0
    """Single views that each step is trained on beside its scenes: they teach what things look like
    at an eighth of the cost, and in one view the noise hides what eight would still tell."""
    init: str | None = None
    """Folder or hub id of a transformer to start from; Mochi's becomes the image stream."""
    variant: str | None = None
    """Precision of Mochi's stored weights where several are published, such as bf16."""
    pose_weight: float = 0.5
    text_dropout: float = 0.1
    caption_tokens: int | None = None
    """Captions are padded or cut to this many tokens; `None` pads to the longest of the batch."""
    compile_blocks: bool = False
    """Compile the transformer's blocks: minutes at the start, faster steps from then on. Needs
    `caption_tokens`, as every other length would be compiled anew."""
    gradient_checkpointing: bool = False
    """Compute the blocks' activations twice instead of keeping them."""
    optimizer: str = "muon"
    """muon (for matrices, AdamW for the rest) or adamw."""
    lora_rank: int = 0
    """Train the image stream by LoRA of this rank instead of all its weights; 0 is off."""
    lora_targets: str = "to_q to_k to_v to_out.0"
    """Layers of the image stream's attention that LoRA adds to."""
    image_dtype: str = "float32"
    """Precision in which the image stream's own weights are kept; bfloat16 with LoRA only."""
    times: TimeDistribution = field(default_factory=TimeDistribution)
    model: dict[str, Any] = field(default_factory=lambda: dict(MINI_TRANSFORMER))

    def __post_init__(self) -> None:
        check_model_arguments(VideoRFSplatTransformer3DModel, self.model)


def train_joint(settings: JointTraining) -> Path:
    """Train and export a `VideoRFSplatTransformer3DModel`.

    Returns:
        The folder of the exported model, `<output>/model`. With LoRA that model has the weights
        that the image stream started from, and `<output>/lora` holds what was added.

    Raises:
        ValueError: if the scenes have fewer views than asked for, the cached latents do not belong
            to the data and the autoencoder, or the weights to start from are not usable.
    """
    _check_settings(settings)
    scenes, text, vae = _open_data(settings)
    torch.manual_seed(settings.run.seed)
    model = _initial_transformer(settings, scenes)
    _check_texts(settings, scenes, model)
    shift, pose_shift = settings.times.shifts(settings.num_views)
    model.register_to_config(timetable_shift=shift, timetable_pose_shift=pose_shift)
    if settings.lora_rank:
        add_image_lora(model, settings.lora_rank, settings.lora_targets.split())
    if settings.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    optimizers = make_optimizers(settings.optimizer, model, settings.run)
    if settings.compile_blocks:
        model.compile_blocks(dynamic=False)
    run = TrainingRun(settings.run, model, optimizers, *_recorded(settings))
    device = run.accelerator.device
    vae = vae.to(device)
    if text.text_encoder is not None:
        text.text_encoder.to(device)  # pyright: ignore[reportArgumentType]
    pipeline = _sheet_pipeline(vae, text, model, settings)
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(model.config["pose_latents_mean"]).view(shape)
    std = torch.tensor(model.config["pose_latents_std"]).view(shape)

    def part(randomness: StepRandomness, size: int, num_views: int) -> _NoisyScenes:
        batch = scenes.draw(randomness, size, num_views, settings.text_dropout)
        batch = batch._replace(raymaps=(batch.raymaps - mean) / std)
        return _draw_noise(settings.times, batch, randomness, size)

    def draw(randomness: StepRandomness) -> list[_NoisyScenes]:
        parts = [part(randomness, settings.run.batch_size, settings.num_views)]
        if settings.single_views:
            parts.append(part(randomness, settings.single_views, 1))
        return parts

    def loss(parts: list[_NoisyScenes]) -> dict[str, Tensor]:
        terms = _loss_terms(settings, run, scenes, parts[0])
        for single_views in parts[1:]:
            single = _loss_terms(settings, run, scenes, single_views)["image"]
            terms |= {"loss": terms["loss"] + single, "single": single}
        return terms

    def sheet(path: Path) -> None:
        # Its batches have other shapes than the blocks are compiled for.
        with torch.compiler.set_stance("force_eager"):
            draw_sheet(pipeline, scenes, settings.num_views, path)

    with training_attention(device):
        run.train(draw, loss, sheet)
    folder = run.folder / "model"
    with averaged_weights(run):
        if settings.lora_rank:
            save_lora(run, run.folder / "lora")
        save_model(run, folder)
    return folder


class _NoisyScenes(NamedTuple):
    """This process's share of a step's scenes, with all that is random about it."""

    batch: JointBatch
    noise: Float[Tensor, "b c v h w"]
    pose_noise: Float[Tensor, "b 6 v h w"]
    t_image: Float[Tensor, " b"]
    t_pose: Float[Tensor, " b"]
    counts: tuple[Float[Tensor, ""], Float[Tensor, ""]]
    """Samples of the whole batch whose images, and whose cameras, are asked for; a process's share
    of them."""


class _Text(NamedTuple):
    """What turns prompts into embeddings; a cache has done so before and needs no encoder."""

    tokenizer: PreTrainedTokenizerBase
    text_encoder: T5EncoderModel | None


def _check_settings(settings: JointTraining) -> None:
    if settings.single_views < 0:
        raise ValueError(f"single_views must be at least 0, got {settings.single_views}")
    if settings.compile_blocks and settings.caption_tokens is None:
        raise ValueError("compile_blocks needs caption_tokens: blocks are compiled for one length")
    check_optimizer(settings.optimizer)
    if settings.lora_rank < 0:
        raise ValueError(f"lora_rank must be at least 0, got {settings.lora_rank}")
    if settings.lora_rank and settings.init is None:
        raise ValueError("lora_rank needs init: LoRA adds to weights that were trained before")
    if settings.image_dtype not in ("float32", "bfloat16"):
        raise ValueError(f"image_dtype must be float32 or bfloat16, got {settings.image_dtype!r}")
    precision = resolve_precision(settings.run.mixed_precision, training_device())
    mixes = settings.lora_rank and precision == "bf16"
    if settings.image_dtype == "bfloat16" and not mixes:
        raise ValueError(
            "image_dtype bfloat16 is for weights that stay fixed beside others in float32: "
            "it needs lora_rank and mixed_precision bf16"
        )
    check_share("single_views", settings.single_views, settings.run)
    check_run(settings.run, *_recorded(settings))
    # Mochi leaves the pose stream to `model`; a transformer of ours has both.
    if settings.init is not None and not is_mochi(settings.init, settings.variant):
        check_start(settings.init, settings.model, MINI_TRANSFORMER)


def _recorded(settings: JointTraining) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings for the record of a run, and what they are where an older record lacks them."""
    return field_values(settings), field_defaults(JointTraining) | field_defaults(TimeDistribution)


def _open_data(settings: JointTraining) -> tuple[JointScenes, _Text, AutoencoderKLMochi]:
    """The scenes to train on: a cache of recorded ones, or procedural worlds."""
    if (Path(settings.data) / MANIFEST_NAME).exists():
        _check_views(settings.num_views, read_manifest(settings.data)["sampling"]["num_views"])
        vae = _load_autoencoder(settings)
        cache = SceneCache(settings.data, vae)
        for skip in cache.skipped:
            logger.warning("left out of the cache: %s", skip["reason"])
        logger.info("%d samples; %d scenes are left out", len(cache), len(cache.skipped))
        tokenizer = AutoTokenizer.from_pretrained(text_folder(settings.text_encoder, "tokenizer"))
        scenes = CachedScenes(cache, settings.run.output, settings.caption_tokens)
        return scenes, _Text(tokenizer, None), vae
    _check_views(settings.num_views, WorldsDataset(settings.data).num_views)
    vae = _load_autoencoder(settings)
    cache = LatentCache(settings.data, vae, settings.size)
    tokenizer = AutoTokenizer.from_pretrained(text_folder(settings.text_encoder, "tokenizer"))
    text_encoder = T5EncoderModel.from_pretrained(
        text_folder(settings.text_encoder, "text_encoder"), dtype=_text_dtype()
    )
    text_encoder.requires_grad_(False).eval()
    scenes = WorldScenes(cache, tokenizer, text_encoder, settings.caption_tokens)
    return scenes, _Text(tokenizer, text_encoder), vae


def _text_dtype() -> torch.dtype:
    """Of the text encoder: bfloat16 beside a GPU, as in a cache; float32 on CPUs, which are slow at
    anything less."""
    return torch.float32 if training_device().type == "cpu" else torch.bfloat16


def _check_texts(
    settings: JointTraining, scenes: JointScenes, model: VideoRFSplatTransformer3DModel
) -> None:
    expected = model.config["text_embed_dim"]
    if scenes.text_width != expected:
        raise ValueError(
            f"the transformer takes token states of {expected} numbers, those of the scenes in "
            f"{settings.data} have {scenes.text_width}: they are of another text encoder"
        )


def _check_views(asked: int, available: int) -> None:
    if not 1 <= asked <= available:
        raise ValueError(f"num_views must be from 1 to {available}, got {asked}")


def _load_autoencoder(settings: JointTraining) -> AutoencoderKLMochi:
    folder = component_folder(settings.autoencoder, "vae")
    vae = AutoencoderKLMochi.from_pretrained(folder, torch_dtype=torch.float32)
    return vae.requires_grad_(False).eval()


def _initial_transformer(
    settings: JointTraining, scenes: JointScenes
) -> VideoRFSplatTransformer3DModel:
    """A new transformer, or the one to start from, told the number of views and their size."""
    shape: dict[str, Any] = {
        "num_views": settings.num_views,
        "sample_size": list(scenes.latent_size),
    }
    image_dtype = getattr(torch, settings.image_dtype)
    if settings.init is not None and not is_mochi(settings.init, settings.variant):
        folder = component_folder(settings.init, "transformer")
        model = VideoRFSplatTransformer3DModel.from_pretrained(folder, torch_dtype=torch.float32)
        model.register_to_config(**shape)
        if image_dtype != torch.float32:
            model.image_stream.to(image_dtype)
        return model
    mean, std = scenes.raymap_statistics()
    statistics: dict[str, Any] = {"pose_latents_mean": mean, "pose_latents_std": std}
    if settings.init is None:
        return VideoRFSplatTransformer3DModel(**settings.model, **shape, **statistics)
    # Mochi decides the image stream; the pose stream's defaults are the full size.
    config = {} if settings.model == MINI_TRANSFORMER else settings.model
    return convert_mochi(
        settings.init,
        dtype=image_dtype,
        variant=settings.variant,
        **config,
        **shape,
        **statistics,
    )


def _draw_noise(
    times: TimeDistribution, batch: JointBatch, randomness: StepRandomness, size: int
) -> _NoisyScenes:
    """Times and noise for this process's share of `size` scenes."""
    latents, raymaps = batch.latents, batch.raymaps
    drawn = times.draw(randomness.whole(), size, latents.shape[2])
    image_count, pose_count = ((t > 0).sum().clamp(min=1) / randomness.num_processes for t in drawn)
    return _NoisyScenes(
        batch,
        randomness.randn(size, *latents.shape[1:]),
        randomness.randn(size, *raymaps.shape[1:]),
        randomness.share(drawn[0]),
        randomness.share(drawn[1]),
        (image_count, pose_count),
    )


def _loss_terms(
    settings: JointTraining, run: TrainingRun, scenes: JointScenes, drawn: _NoisyScenes
) -> dict[str, Tensor]:
    """Losses of this process's share of the scenes."""
    device = run.accelerator.device
    batch, *others, counts = drawn
    tensors = (batch.latents, batch.raymaps, *others)
    # Pinned memory goes over while the device computes.
    latents, raymaps, noise, pose_noise, t_image, t_pose = (
        x.to(device, non_blocking=True) for x in tensors
    )
    velocity, pose_velocity = run.model(
        mix(latents, noise, t_image),
        mix(raymaps, pose_noise, t_pose),
        scenes.embed(batch).to(device),
        1000 * (1 - t_image),
        1000 * (1 - t_pose),
        (batch.text_mask * batch.is_told).to(device),
        return_dict=False,
    )
    image = velocity_loss(velocity, latents, noise, t_image, counts[0].to(device))
    pose = velocity_loss(pose_velocity, raymaps, pose_noise, t_pose, counts[1].to(device))
    return {"loss": image + settings.pose_weight * pose, "image": image, "pose": pose}


def _sheet_pipeline(
    vae: AutoencoderKLMochi,
    text: _Text,
    model: VideoRFSplatTransformer3DModel,
    settings: JointTraining,
) -> VideoRFSplatPipeline:
    """The model in training as a pipeline that makes frames."""
    shift, pose_shift = settings.times.shifts(settings.num_views)
    pipeline = VideoRFSplatPipeline(
        tokenizer=text.tokenizer,
        text_encoder=text.text_encoder,
        vae=vae,
        transformer=model,
        # Sheets show decoded frames: no Gaussians are made.
        gaussian_decoder=GaussianDecoder.from_autoencoder(
            vae, num_attention_layers=0, attention_head_dim=1
        ),
        scheduler=make_scheduler("euler", shift),
        pose_scheduler=make_scheduler("euler", pose_shift),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
