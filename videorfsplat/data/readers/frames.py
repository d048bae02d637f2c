"""Frames of a recording, read one at a time: picture files, or moments of a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import av
import av.container
import numpy as np
from jaxtyping import UInt8

from videorfsplat.formats.files import natural_key
from videorfsplat.formats.video import load_picture

# Half the distance of frames at 30 per second: the nearest frame is the frame that was meant.
MAX_LATENESS = 1 / 60

Thing = TypeVar("Thing")

Picture = UInt8[np.ndarray, "_ _ 3"]


@runtime_checkable
class Frames(Protocol):
    """Frames in the order in which they were taken."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Picture:
        """One frame as sRGB; a `ValueError` names the file that cannot be read."""
        ...


def in_order(things: Sequence[Thing], names: Sequence[str]) -> list[Thing]:
    """Things in the natural order of their names; as they come, if names without numbers do not
    tell the order."""
    if not all(any(letter.isdecimal() for letter in name) for name in names):
        return list(things)
    return [things[i] for i in sorted(range(len(things)), key=lambda i: natural_key(names[i]))]


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
    """Times from the video's first frame, whenever its stream says that it starts."""

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
                start = _start(container.streams.video[0])
                best = _nearest_frame(container, start + wanted)
        except (av.FFmpegError, OSError, IndexError) as error:
            raise ValueError(f"{self.path}: not a video, or damaged ({error})") from error
        if best is None or abs(best.time - start - wanted) > MAX_LATENESS:
            raise ValueError(f"{self.path}: no frame at {wanted:.3f} s")
        return best.to_ndarray(format="rgb24")


def frame_times(path: Path) -> list[float]:
    """When each frame of a video is shown, in seconds from its start; nothing is decoded.

    Raises:
        ValueError: naming the video, if it is damaged or has no frames.
    """
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None
            tick = float(stream.time_base)
            stamps = [packet.pts for packet in container.demux(stream)]
            start = _start(stream)
            times = sorted(stamp * tick - start for stamp in stamps if stamp is not None)
    except (av.FFmpegError, OSError, IndexError, TypeError) as error:
        raise ValueError(f"{path}: not a video, or damaged ({error})") from error
    if not times:
        raise ValueError(f"{path}: a video without frames")
    return times


def _start(stream: av.VideoStream) -> float:
    """Seconds on the stream's own clock at which it starts; many recorders begin late."""
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def _nearest_frame(container: av.container.InputContainer, wanted: float) -> av.VideoFrame | None:
    """Decode from the last key frame before a time on, until frames get no nearer."""
    stream = container.streams.video[0]
    assert stream.time_base is not None
    container.seek(int(wanted / stream.time_base), stream=stream)
    best = None
    for frame in container.decode(stream):
        if frame.time is None:
            continue
        if best is None or abs(frame.time - wanted) < abs(best.time - wanted):
            best = frame
        if frame.time >= wanted:
            break
    return best
