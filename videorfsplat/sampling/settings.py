"""How scenes are sampled: plain data, checked before any model is loaded."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from videorfsplat.sampling.schedules import check_pose_offset

# The transformer is told times from 0 to 1000: more steps would hardly differ.
MAX_INFERENCE_STEPS = 1000
MAX_NUMBER = 1e30
"""Of scales and lengths: far from where float32 ends."""


@dataclass(frozen=True)
class GuidanceScales:
    """The three scales; 1 is off.

    Raises:
        ValueError: if a scale is no number, negative or not finite.
    """

    guidance_scale: float = 1.0
    """Text → images."""
    pose_guidance_scale: float = 1.0
    """Text → cameras."""
    camera_guidance_scale: float = 1.0
    """Cameras → images."""

    def __post_init__(self) -> None:
        for name, scale in vars(self).items():
            check_number(name, scale)
            if scale < 0:
                raise ValueError(f"{name} must be at least 0, got {scale}")

    def with_text(self, guidance_scale: float) -> "GuidanceScales":
        """With another scale of text → images; 1 or less switches guidance by text off, in both
        streams."""
        if guidance_scale > 1:
            return replace(self, guidance_scale=guidance_scale)
        return replace(self, guidance_scale=1.0, pose_guidance_scale=1.0)

    @property
    def needs_negative_text(self) -> bool:
        """Whether any step can need a branch without the text."""
        return self.guidance_scale != 1 or self.pose_guidance_scale != 1


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How both streams are denoised: the pipeline's arguments of these names, and its defaults.

    Raises:
        ValueError: naming the setting, what it is and what it may be.
    """

    num_inference_steps: int = 12
    """Denoising steps."""
    pose_offset: float = 0.2
    """δ, between -1 and 1: positive denoises cameras first, negative images first."""
    guidance_scale: float = 5.0
    """Text → images; 1 is off."""
    pose_guidance_scale: float = 1.5
    """Text → cameras; 1 is off."""
    camera_guidance_scale: float = 1.5
    """Cameras → images; 1 is off."""

    def __post_init__(self) -> None:
        check_whole("num_inference_steps", self.num_inference_steps, 1, MAX_INFERENCE_STEPS)
        check_number("pose_offset", self.pose_offset)
        check_pose_offset(self.pose_offset)
        _ = self.scales

    @property
    def scales(self) -> GuidanceScales:
        """The three of guidance."""
        return GuidanceScales(**{f.name: getattr(self, f.name) for f in fields(GuidanceScales)})

    @property
    def name(self) -> str:
        """A name for files, different for different samplings."""
        return (
            f"steps{self.num_inference_steps}-delta{self.pose_offset:g}"
            f"-text{self.guidance_scale:g}-pose{self.pose_guidance_scale:g}"
            f"-camera{self.camera_guidance_scale:g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        return asdict(self)


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Check that a setting is a whole number in a range.

    Raises:
        ValueError: naming the setting, what it is and what it may be.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r:.40}")


def check_number(name: str, value: Any) -> None:
    """Check that a setting is a finite number.

    Raises:
        ValueError: naming the setting and what it is.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # A whole number of hundreds of digits is beyond what a float can be.
    if not is_number or not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ValueError(f"{name} must be a finite number, got {value!r:.40}")
