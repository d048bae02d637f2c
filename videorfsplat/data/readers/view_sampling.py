"""The rules by which views of a recording become a training scene: plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ViewSampling:
    """How scenes are made of recordings.

    Raises:
        ValueError: naming a setting that is out of range.
    """

    num_views: int = 8
    height: int = 320
    width: int = 512
    """Size of the frames in pixels; multiples of 16."""
    min_baseline: float = 0.1
    """Smallest mean distance of the other views from view 1, as a share of the median depth of view
    1 where that is known, else of the extent of the whole recording."""
    max_turn: float = 60.0
    """Largest angle between neighbouring views in degrees."""

    def __post_init__(self) -> None:
        if self.num_views < 2:
            raise ValueError(f"num_views must be at least 2, got {self.num_views}")
        # The autoencoder shrinks by 8, the transformer's patches by 2.
        if min(self.height, self.width) < 16 or self.height % 16 or self.width % 16:
            raise ValueError(
                f"height and width must be multiples of 16, got {self.height} and {self.width}"
            )
        if not 0 <= self.min_baseline < 1 or not 0 < self.max_turn <= 180:
            raise ValueError(
                "min_baseline must lie in [0, 1) and max_turn in (0, 180], "
                f"got {self.min_baseline} and {self.max_turn}"
            )
