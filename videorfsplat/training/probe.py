"""Train the attribute probe on views of procedural worlds, as they are and as a model makes them.

The probe must judge generated views as fairly as rendered ones. So part of what it sees went
through the autoencoder, and all of it is blurred and made noisy by a random amount.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLMochi
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from videorfsplat.data.worlds.caption_words import (
    ATTRIBUTE_VALUES,
)
from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.formats.files import exporting
from videorfsplat.models.attribute_probe import AttributeProbe
from videorfsplat.models.one_frame import decode_frames, encode_frames
from videorfsplat.training.model_arguments import check_model_arguments
from videorfsplat.training.optimizers import make_optimizers
from videorfsplat.training.precision import low_precision
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    field_values,
)
from videorfsplat.training.step_data import StepRandomness

COUNTED = ("secondary", "secondary_color")
"""Attributes of which a world has several."""
# The motion belongs to the cameras, which tell it exactly.
_UNSEEN = ("motion",)

# What a generated view may lack in sharpness, as the side of the image that it is shrunk to and
# enlarged from, and what it may have in noise (of values in [0, 1]).
_SMALLEST_SHARE = 0.5
_MOST_NOISE = 0.04


@dataclass(frozen=True)
class ProbeTraining:
    """Settings of `train probe`."""

    run: RunConfig
    data: str
    """Folder of a data set."""
    autoencoder: str
    """Folder of the autoencoder whose reconstructions the probe is shown too."""
    reconstructed_share: float = 0.25
    """Part of the scenes of a step that went through the autoencoder."""
    num_views: int = 2
    """Views of a scene that a step shows, drawn from all."""
    model: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments of the probe besides its attributes."""

    def __post_init__(self) -> None:
        check_model_arguments(AttributeProbe, self.model)


def probe_attributes() -> dict[str, dict[str, list[str]]]:
    """The attributes of procedural worlds that views show, as constructor arguments of a probe."""
    seen = {k: list(v) for k, v in ATTRIBUTE_VALUES.items() if k not in _UNSEEN}
    return {
        "choices": {name: values for name, values in seen.items() if name not in COUNTED},
        "counts": {name: seen[name] for name in COUNTED},
    }


def train_probe(settings: ProbeTraining) -> Path:
    """Train and export an `AttributeProbe`, in half precision.

    Returns:
        The folder of the exported model, `<output>/model`.

    Raises:
        ValueError: if the scenes have fewer views than asked for, or a share is not in [0, 1].
    """
    details = field_values(settings)
    check_run(settings.run, details)
    dataset = WorldsDataset(settings.data)
    if not 1 <= settings.num_views <= dataset.num_views:
        raise ValueError(
            f"num_views must be from 1 to {dataset.num_views}, got {settings.num_views}"
        )
    if not 0 <= settings.reconstructed_share <= 1:
        raise ValueError(
            f"reconstructed_share must lie in [0, 1], got {settings.reconstructed_share}"
        )
    vae = AutoencoderKLMochi.from_pretrained(settings.autoencoder, torch_dtype=torch.float32)
    vae.requires_grad_(False).eval()
    torch.manual_seed(settings.run.seed)
    probe = AttributeProbe.from_imagenet(**probe_attributes(), **settings.model)
    optimizers = make_optimizers("adamw", probe, settings.run)
    run = TrainingRun(settings.run, probe, optimizers, details)
    device = run.accelerator.device
    vae = vae.to(device)
    labels = torch.tensor([probe.labels(dataset.attributes(i)) for i in range(len(dataset))])
    kind = list(probe.choices).index("kind")

    num_choices = len(probe.choices)

    def draw(randomness: StepRandomness) -> tuple[Tensor, Damage, Tensor]:
        rows = randomness.indices(len(dataset), settings.run.batch_size)
        frames = _draw_views(dataset, rows, settings, randomness)
        return frames, Damage.draw(frames, randomness), labels[rows]

    def loss(drawn: tuple[Tensor, Damage, Tensor]) -> dict[str, Tensor]:
        frames, damage, stated = drawn
        frames = frames.to(device, non_blocking=True)
        count = round(settings.reconstructed_share * len(frames))
        frames = torch.cat([_reconstructed(vae, frames[:count]), frames[count:]])
        terms = _loss_terms(run.model(damage.of(frames)), stated.to(device), num_choices)
        right = terms.pop("right")
        return {**terms, "right": right.mean(), "kind": right[kind]}

    run.train(draw, loss)
    folder = run.folder / "model"
    with averaged_weights(run):
        if run.accelerator.is_main_process:
            with exporting(folder):
                probe.half().save_pretrained(folder)
            probe.float()
    return folder


class Damage(NamedTuple):
    """What makes views less sharp than rendered ones: one amount of each for the whole batch."""

    blur: float
    noise: float
    grain: Float[Tensor, "b v 3 H W"]

    @classmethod
    def draw(cls, frames: Float[Tensor, "b v 3 H W"], randomness: StepRandomness) -> "Damage":
        """For this process's share of views."""
        blur, noise = randomness.whole().rand(2).tolist()
        count = len(frames) * randomness.num_processes
        return cls(blur, noise, randomness.randn(count, *frames.shape[1:]))

    def of(self, frames: Float[Tensor, "b v 3 H W"]) -> Float[Tensor, "b v 3 H W"]:
        """The views, blurred and made noisy."""
        flat, size = frames.flatten(0, 1), frames.shape[-2:]
        share = _SMALLEST_SHARE + (1 - _SMALLEST_SHARE) * self.blur
        small = [round(side * share) for side in size]
        flat = F.interpolate(flat, small, mode="bilinear", antialias=True)
        flat = F.interpolate(flat, size, mode="bilinear")
        views = flat.unflatten(0, frames.shape[:2])
        return (views + self.noise * _MOST_NOISE * self.grain.to(views.device)).clamp(0, 1)


def _draw_views(
    dataset: WorldsDataset, rows: list[int], settings: ProbeTraining, randomness: StepRandomness
) -> Float[Tensor, "b v 3 H W"]:
    """Some views of each scene, half of the scenes mirrored: no attribute tells left from right."""
    drawn = []
    for row, generator in zip(rows, randomness.generators(settings.run.batch_size), strict=True):
        order = torch.randperm(dataset.num_views, generator=generator)
        views = dataset.frames(row)[order[: settings.num_views]]
        is_mirrored = bool(torch.rand((), generator=generator) < 0.5)
        drawn.append(views.flip(-1) if is_mirrored else views)
    return torch.stack(drawn).float() / 255


@torch.no_grad()
def _reconstructed(
    vae: AutoencoderKLMochi, frames: Float[Tensor, "b v 3 H W"]
) -> Float[Tensor, "b v 3 H W"]:
    if not len(frames):
        return frames
    with low_precision(vae.device):
        moments = encode_frames(vae, 2 * frames.flatten(0, 1) - 1)
        decoded = decode_frames(vae, moments.chunk(2, dim=1)[0]).float()
    return ((decoded + 1) / 2).clamp(0, 1).unflatten(0, frames.shape[:2])


def _loss_terms(
    logits: list[Tensor], labels: Int[Tensor, "b n"], num_choices: int
) -> dict[str, Tensor]:
    """The loss, of which choices and counts are half each, and the share `right` of every head."""
    parts = [part.float() for part in logits]
    losses = torch.stack([F.cross_entropy(part, labels[:, i]) for i, part in enumerate(parts)])
    right = torch.stack([part.argmax(1) == labels[:, i] for i, part in enumerate(parts)])
    # Most counts are zero and easy: in one mean they would outweigh the kind of the main object.
    loss = losses[:num_choices].mean() + losses[num_choices:].mean()
    return {"loss": loss, "right": right.float().mean(dim=1)}
