"""What a run tells the page: plain data that can cross to another process."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preview:
    """What both streams predict the result to be."""

    frames: tuple[str, ...]
    """One picture a view, as `data:` addresses."""
    cameras: dict[str, Any]
    """Contents of a `transforms.json`."""


@dataclass(frozen=True)
class SamplingStep:
    """The state after a step."""

    index: int
    """From 0."""
    num_inference_steps: int
    t_image: float
    """Noise level that the images have reached: 1 noise, 0 data."""
    t_pose: float
    """The same of the cameras."""
    seconds_left: float
    """Until the last step, at the pace so far."""
    preview: Preview | None = None
    """In some steps only: previews take time as well."""

    @property
    def is_last(self) -> bool:
        """Whether no step follows."""
        return self.index + 1 == self.num_inference_steps
