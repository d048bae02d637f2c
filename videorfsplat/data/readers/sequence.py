"""What every reader gives: one recorded scene, its frames in order, and their cameras."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.data.readers.frames import Frames
from videorfsplat.geometry.cameras import Cameras

Points = tuple[Float[Tensor, "_ 3"], ...]
"""A set of points for each view."""


@dataclass(frozen=True)
class PosedSequence:
    """One recorded scene.

    Raises:
        ValueError: if the numbers of frames, cameras, lenses, depths and sets of points differ.
    """

    name: str
    """Path of the scene relative to the folder of the data set, with `/`."""
    frames: Frames
    cameras: Cameras
    """At the image size that the metadata states; files may be smaller by a common factor."""
    distortion: Float[Tensor, "v 6"]
    """k1, k2, k3, k4, p1, p2 of OpenCV's lens; zero is a pinhole."""
    median_depths: Float[Tensor, " v"]
    """Of each view, in the unit of the cameras; NaN where unknown."""
    points: Points
    """World points that each view sees; none where the recording has none."""
    missing: tuple[str, ...] = field(default=())
    """Frames that the metadata lists and the folder lacks."""
    left_out: tuple[str, ...] = field(default=())
    """What was wrong with frames that cannot be used."""
    sizes: tuple[tuple[int, int], ...] = field(default=())
    """Width and height that the metadata states of each frame, if they may differ; `cameras` are
    stretched to one size."""

    def __post_init__(self) -> None:
        counts = {
            len(self.frames),
            self.cameras.num_views,
            len(self.distortion),
            len(self.median_depths),
            len(self.points),
        }
        counts |= {len(self.sizes)} if self.sizes else set()
        if len(counts) != 1:
            raise ValueError(f"{self.name}: frames and cameras differ in number, {sorted(counts)}")

    def __len__(self) -> int:
        return len(self.frames)

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of a frame, as the metadata states them."""
        return self.sizes[index] if self.sizes else (self.cameras.width, self.cameras.height)


def no_distortion(num_views: int) -> Float[Tensor, "v 6"]:
    """The lens of a pinhole."""
    return torch.zeros(num_views, 6, dtype=torch.float64)


def unknown_depths(num_views: int) -> Float[Tensor, " v"]:
    """Depths of a recording without points."""
    return torch.full((num_views,), torch.nan, dtype=torch.float64)


def no_points(num_views: int) -> Points:
    """Points of a recording without any."""
    return (torch.zeros(0, 3, dtype=torch.float64),) * num_views
