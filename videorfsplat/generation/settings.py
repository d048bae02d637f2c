"""What a generation is asked for: plain data, checked before any model is loaded."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.sampling.schedules import check_pose_offset

MAX_INFERENCE_STEPS = 1000
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class GenerationSettings:
    """Everything that decides what is generated; defaults are the pipeline's.

    Raises:
        ValueError: naming the setting, what it is and what it may be.
    """

    prompt: str
    seed: int = 0
    num_inference_steps: int = 12
    pose_offset: float = 0.2
    """δ, between -1 and 1: positive denoises cameras first, negative images first."""
    guidance_scale: float = 5.0
    """Text → images; 1 is off."""
    pose_guidance_scale: float = 1.5
    """Text → cameras; 1 is off."""
    camera_guidance_scale: float = 1.5
    """Cameras → images; 1 is off."""
    trajectory: str | None = None
    """Name of a preset path or a `transforms.json` file; `None` generates the cameras."""
    model: str = "mini"
    """`mini`, the folder of a saved pipeline, or its id on the hub."""
    few_step: bool = False
    """Use the model's few-step variant, which is made for few steps and no guidance
    (`checkpoint.FewStepSampling`)."""

    def __post_init__(self) -> None:
        for name in ("prompt", "model"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty")
        if len(self.prompt) > MAX_PROMPT_CHARACTERS:
            raise ValueError(
                f"prompt must have at most {MAX_PROMPT_CHARACTERS} characters, "
                f"got {len(self.prompt)}"
            )
        if self.trajectory is not None and not isinstance(self.trajectory, str):
            raise ValueError(f"trajectory must be a name or a file, got {self.trajectory!r:.40}")
        if not isinstance(self.few_step, bool):
            raise ValueError(f"few_step must be true or false, got {self.few_step!r}")
        self._check_whole("seed", 0, MAX_SEED)
        self._check_whole("num_inference_steps", 1, MAX_INFERENCE_STEPS)
        self._check_number("pose_offset")
        check_pose_offset(self.pose_offset)
        for name in ("guidance_scale", "pose_guidance_scale", "camera_guidance_scale"):
            self._check_number(name)
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "GenerationSettings":
        """The settings that `to_dict` gave; absent ones take their defaults.

        Raises:
            ValueError: if a key is unknown, the prompt is missing or a value is out of range.
        """
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        if "prompt" not in values:
            raise ValueError("prompt is missing")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        return asdict(self)

    def _check_whole(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")

    def _check_number(self, name: str) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}")
