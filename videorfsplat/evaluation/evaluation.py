"""What every suite works with: the models, the settings, and the folder of what was made."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from videorfsplat.evaluation.measures import ImageNetFeatures
from videorfsplat.evaluation.reports import Source, source_commit
from videorfsplat.evaluation.settings import EvaluationSettings
from videorfsplat.generation.loading import LOADING_ERRORS, load_pipeline
from videorfsplat.generation.memory import MemorySettings
from videorfsplat.models.attribute_probe import AttributeProbe
from videorfsplat.models.configurations import read_configuration
from videorfsplat.models.fingerprint import add_weights
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.solvers import Scheduler


@dataclass(frozen=True)
class Evaluation:
    """The models of an evaluation and its settings."""

    settings: EvaluationSettings
    # The type checker does not see that the pipeline's wrapped `__call__` is bound.
    pipeline: Any
    probe: AttributeProbe

    @property
    def output(self) -> Path:
        """Folder of what was made."""
        return self.settings.output

    @property
    def indices(self) -> range:
        """Of the prompts and their worlds."""
        return range(self.settings.prompts)

    @property
    def num_views(self) -> int:
        """V, views of a scene."""
        return self.pipeline.num_views

    @property
    def size(self) -> int:
        """Pixels along each side of a view.

        Raises:
            ValueError: if the model's views are not square, as those of the worlds are.
        """
        height, width = self.pipeline.default_size
        if height != width:
            raise ValueError(f"the worlds are square, the model makes {width}×{height} pixels")
        return height

    @cached_property
    def imagenet(self) -> ImageNetFeatures:
        """Loaded when first asked for."""
        return ImageNetFeatures().to(self.pipeline.device)

    @cached_property
    def model_fingerprint(self) -> str:
        """Of all that the pipeline's scenes come from."""
        return fingerprint(*self._deciding_parts.values(), self._pipeline_settings)

    @cached_property
    def source(self) -> Source:
        """What gives the figures of this evaluation."""
        return {
            "command": self.settings.command,
            "commit": source_commit(),
            "weights": self.model_fingerprint,
        }

    @cached_property
    def latents_origin(self) -> dict[str, Any]:
        """What decides the latents of a scene: all of the model but the Gaussian decoder."""
        parts = self._deciding_parts
        others = [part for name, part in parts.items() if name != "gaussian_decoder"]
        return {"model": fingerprint(*others, self._pipeline_settings), **self._computed_with}

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What decides what is measured of a scene."""
        judges = {"probe": fingerprint(self.probe)}
        return {"model": self.model_fingerprint, **judges, **self._computed_with}

    @property
    def _deciding_parts(self) -> dict[str, Any]:
        """Parts of the pipeline; what reads prompts counts where they are completed."""
        skipped = () if self.settings.complete else _READER_PARTS
        parts = self.pipeline.components.items()
        return {name: part for name, part in parts if part is not None and name not in skipped}

    @property
    def _computed_with(self) -> dict[str, Any]:
        settings = self.settings
        names = ("seed", "dtype", "compile", "complete")
        return {name: getattr(settings, name) for name in names}

    @property
    def _pipeline_settings(self) -> dict[str, Any]:
        parts = self.pipeline.components
        return {k: v for k, v in _public(self.pipeline.config).items() if k not in parts}

    def drawn_text(self, prompt: str, seed: int, *, with_motion: bool = True) -> str:
        """What the model is given for a prompt: its completion by the seed, or itself."""
        completed = None
        if self.settings.complete:
            completed = self.pipeline.complete_prompt(prompt, seed, with_motion=with_motion)
        return completed.caption if completed else prompt

    def view_features(
        self, name: str, frames: Float[Tensor, "v 3 H W"]
    ) -> dict[str, Float[Tensor, "v d"]]:
        """Probe and ImageNet features of views in [0, 1], as `probe_<name>`, `imagenet_<name>`."""
        with torch.no_grad():
            return {
                f"probe_{name}": self.probe.features(frames),
                f"imagenet_{name}": self.imagenet(frames),
            }


_READER_PARTS = ("prompt_reader", "reader_tokenizer", "reader_encoder")


def load_evaluation(settings: EvaluationSettings) -> Evaluation:
    """Load the models.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: naming a model that is damaged, or whose views are not square.
    """
    memory = MemorySettings(compile=settings.compile)
    pipeline = load_pipeline(settings.model, settings.device, memory, few_step=settings.few_step)
    pipeline.set_progress_bar_config(disable=True)
    evaluation = Evaluation(settings, pipeline, _load_probe(settings.probe, pipeline))
    # Before the weights are rounded, so that a model has one fingerprint in every dtype.
    _ = evaluation.size, evaluation.origin, evaluation.latents_origin
    # The code that was loaded is to be named, not what the tree is when a suite has finished.
    _ = evaluation.source
    if settings.dtype != EvaluationSettings.dtype:
        pipeline.transformer.to(getattr(torch, settings.dtype))
    return evaluation


def fingerprint(*parts: nn.Module | Scheduler | PreTrainedTokenizerBase | dict[str, Any]) -> str:
    """Sixteen digits that change with any weight, setting or word."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{type(part).__name__} {_settings_of(part)}".encode())
        if isinstance(part, nn.Module):
            add_weights(digest, part)
    return digest.hexdigest()[:16]


def _settings_of(part: Any) -> list[tuple[str, Any]]:
    if isinstance(part, PreTrainedTokenizerBase):
        return sorted(part.get_vocab().items())
    config = part if isinstance(part, dict) else getattr(part, "config", {})
    values = config.to_dict() if isinstance(config, PreTrainedConfig) else dict(config)
    return sorted(_public(values).items())


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what tells where the values come from, or how they are kept."""
    where = ("transformers_version", "dtype")
    return {k: v for k, v in config.items() if not k.startswith("_") and k not in where}


def _load_probe(folder: Path, pipeline: VideoRFSplatPipeline) -> AttributeProbe:
    read_configuration(folder / "config.json", AttributeProbe)
    try:
        probe = AttributeProbe.from_pretrained(folder, torch_dtype=torch.float32)
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot load the probe {folder}: {reason}") from error
    # A decorator of diffusers hides the signature of `to` from the type checker.
    probe.to(pipeline.device)  # pyright: ignore
    return probe.eval()
