"""Frames of a recording, read one at a time: picture files, or moments of a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import av
import av.container
import numpy as np
from jaxtyping import UInt8

from videorfsplat.formats.video import load_picture

# Half the distance of frames at 30 per second: the nearest frame is the frame that was meant.
MAX_LATENESS = 1 / 60

Picture = UInt8[np.ndarray, "h w 3"]


@runtime_checkable
class Frames(Protocol):
    """Frames in the order in which they were taken."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Picture:
        """One frame as sRGB; a `ValueError` names the file that cannot be read."""
        ...


@dataclass(frozen=True)
class PictureFiles:
    """One file a frame."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Picture:
        """One frame as sRGB."""
        return load_picture(self.paths[index])


@dataclass(frozen=True)
class VideoMoments:
    """Frames of a video at given times."""

    path: Path
    seconds: Sequence[float]
    """Times from the start of the video."""

    def __len__(self) -> int:
        return len(self.seconds)

    def read(self, index: int) -> Picture:
        """The frame nearest to a time.

        Raises:
            ValueError: naming the video, if it is damaged or has no frame at that time.
        """
        wanted = self.seconds[index]
        try:
            with av.open(self.path) as container:
                best = _nearest_frame(container, wanted)
        except (av.FFmpegError, OSError, IndexError) as error:
            raise ValueError(f"{self.path}: not a video, or damaged ({error})") from error
        if best is None or abs(best.time - wanted) > MAX_LATENESS:
            raise ValueError(f"{self.path}: no frame at {wanted:.3f} s")
        return best.to_ndarray(format="rgb24")


def _nearest_frame(container: av.container.InputContainer, wanted: float) -> av.VideoFrame | None:
    """Decode from the last key frame before a time on, until frames get no nearer."""
    stream = container.streams.video[0]
    assert stream.time_base is not None
    container.seek(int(wanted / stream.time_base), stream=stream)
    best = None
    for frame in container.decode(stream):
        if best is None or abs(frame.time - wanted) < abs(best.time - wanted):
            best = frame
        if frame.time >= wanted:
            break
    return best
