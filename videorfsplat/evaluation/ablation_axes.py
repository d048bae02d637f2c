"""The ablation's axes: one setting at a time is changed from the default."""

from dataclasses import dataclass, replace
from typing import Any

from videorfsplat.sampling.settings import Sampling

OSCILLATION_OFFSETS = (0.2, 0.0, -0.2)
PICTURED_OFFSETS = (0.2, 0.0, -0.4)


@dataclass(frozen=True)
class Axis:
    """One setting, the values it takes, and the sampling in which everything else stays."""

    name: str
    """For files."""
    label: str
    """For plots."""
    setting: str
    """A field of `Sampling`."""
    values: tuple[float, ...]
    base: Sampling
    prompt_share: float
    """Part of the evaluation's prompts that each value is tried on."""

    @property
    def baseline(self) -> float:
        """The value that the others are compared with."""
        return getattr(self.base, self.setting)

    def sampling(self, value: float) -> Sampling:
        """The base with this value."""
        changed: dict[str, Any] = {self.setting: value}
        return replace(self.base, **changed)

    def num_prompts(self, prompts: int) -> int:
        """Prompts of each value, of so many in the evaluation."""
        return max(2, round(self.prompt_share * prompts))


_STEPS = (4, 6, 12, 24, 50, 200)

AXES: tuple[Axis, ...] = (
    Axis("delta", "δ", "pose_offset", (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4), Sampling(), 1.0),
    Axis(
        "camera-guidance",
        "camera guidance scale",
        "camera_guidance_scale",
        (1.0, 1.5, 2.0, 3.0),
        Sampling(),
        0.25,
    ),
    Axis(
        "image-guidance",
        "text guidance scale of images",
        "guidance_scale",
        (1.0, 2.0, 3.0, 5.0, 7.0),
        Sampling(),
        0.25,
    ),
    Axis("steps", "steps", "num_inference_steps", _STEPS, Sampling(), 0.25),
    Axis(
        "steps-synchronous",
        "steps at δ = 0",
        "num_inference_steps",
        _STEPS,
        Sampling(pose_offset=0.0),
        0.25,
    ),
)
"""The line of δ, then one axis at a time."""
