"""What a callback of diffusers reads and sets in a run, and calling it after a step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers import DiffusionPipeline
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from torch import Tensor

from videorfsplat.inference.text import TextCondition
from videorfsplat.pipeline_output import DenoisingStep
from videorfsplat.sampling.settings import GuidanceScales

ABSENT_CONDITIONS = ("pooled_prompt_embeds", "add_text_embeds", "add_time_ids", "image")
"""Conditions of other models that callbacks of diffusers ask for; here they are empty tensors."""

CALLBACK_TENSORS = (
    "latents",
    "pose_latents",
    "predicted_latents",
    "predicted_pose_latents",
    *TextCondition._fields,
    *ABSENT_CONDITIONS,
)
"""What a callback may be given and may replace."""

Callback = Callable[[DiffusionPipeline, int, float, dict[str, Tensor]], dict[str, Tensor]]


@dataclass
class StepCallback:
    """What to call after every step, and the tensors that it is given."""

    call: Callback | PipelineCallback | MultiPipelineCallbacks
    names: Sequence[str]


class RunState:
    """The part of a pipeline that tells of its present run, by the names that diffusers uses."""

    _scales = GuidanceScales()
    _guidance_scale = 1.0
    _num_timesteps = 0
    _current_timestep: float | None = None
    _attention_kwargs: dict[str, Any] | None = None
    _interrupt = False

    @property
    def guidance_scale(self) -> float:
        """Text → images, in the present step; a callback switches guidance by text off by setting
        `_guidance_scale` to 1 or less, as those of diffusers do."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the present step contrasts the text with the negative one."""
        return self._scales.needs_negative_text

    @property
    def attention_kwargs(self) -> dict[str, Any] | None:
        """Of the present run."""
        return self._attention_kwargs

    @property
    def num_timesteps(self) -> int:
        """Steps of the present run, or the last one."""
        return self._num_timesteps

    @property
    def current_timestep(self) -> float | None:
        """What the image stream is told in the present step, 0 (noise) to 1000 (clean); `None`
        between runs."""
        return self._current_timestep

    def set_ip_adapter_scale(self, scale: float) -> None:
        """Nothing: the model has no image adapter. A callback of diffusers calls this."""

    @property
    def interrupt(self) -> bool:
        """Whether the run stops after the present step; set `_interrupt` to make it so."""
        return self._interrupt


def call_back(
    pipeline: Any,
    callback: StepCallback,
    step: DenoisingStep,
    text: TextCondition,
    scales: GuidanceScales,
) -> tuple[TextCondition, GuidanceScales]:
    """Call back after a step, which takes what is replaced; text and scales of the next one.

    Args:
        pipeline: in the run, as `RunState` describes it.
        callback: what to call.
        step: the state after the step.
        text: of the step.
        scales: of the step.

    Raises:
        ValueError: if the callback returns what is none of the tensors, or of another shape.
    """
    batch = step.latents.shape[0]
    tensors = vars(step) | text._asdict()
    tensors |= {name: step.latents.new_zeros(batch, 0) for name in ABSENT_CONDITIONS}
    given = {name: tensors[name] for name in callback.names}
    returned = callback.call(pipeline, step.index, pipeline.current_timestep or 0.0, given)
    unknown = returned.keys() - set(CALLBACK_TENSORS)
    if unknown:
        raise ValueError(f"the callback returned {sorted(unknown)}, which nothing reads")
    is_changed = pipeline.guidance_scale != scales.guidance_scale
    if is_changed:
        scales = scales.with_text(pipeline.guidance_scale)
    if is_changed and not scales.needs_negative_text:
        # Callbacks of diffusers then keep the last row only: in their pipelines the batch has
        # the negative text before the text. Here the two are apart.
        returned = {k: v for k, v in returned.items() if k not in text._fields}
    for name in returned.keys() - set(ABSENT_CONDITIONS):
        _check_replacement(name, returned[name], tensors[name])
        if name in vars(step):
            setattr(step, name, returned[name])
    return text._replace(**{k: v for k, v in returned.items() if k in text._fields}), scales


def _check_replacement(name: str, new: Tensor, old: Tensor | None) -> None:
    """What a callback returns fits into the place of what it was given."""
    if old is None:
        raise ValueError(f"the callback returned {name}, which this run does not have")
    if new.shape != old.shape:
        raise ValueError(
            f"the callback must return {name} of shape {tuple(old.shape)}, got {tuple(new.shape)}"
        )
