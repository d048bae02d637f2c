"""Videos whose stream starts late: times count from their first frame."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from videorfsplat.data.readers.frames import VideoMoments, frame_times

FRAMES = 40


def write_video(path: Path, first: int) -> None:
    """Forty frames at 10 a second, key frames every 12, from the given frame's time on."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "12", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((32, 32, 3), 6 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = first + index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("ending", ["mkv", "ts"])
def test_a_stream_that_starts_late_gives_the_same_frames(tmp_path, ending):
    paths = [tmp_path / f"{name}.{ending}" for name in ("at-once", "late")]
    for path, first in zip(paths, (0, 73), strict=True):
        write_video(path, first)
    with av.open(paths[1]) as container:
        stream = container.streams.video[0]
        assert stream.start_time * stream.time_base > 7
    plain, late = (frame_times(path) for path in paths)
    assert late == pytest.approx(plain, abs=2e-3)
    assert plain[0] == 0
    moments = [VideoMoments(path, plain) for path in paths]
    for index in (0, 1, 11, 12, 13, 30, FRAMES - 1):
        expected, found = (moment.read(index) for moment in moments)
        assert np.array_equal(found, expected)
        # What is drawn is the index; h264 is lossy.
        assert abs(float(found.mean()) - 6 * index) < 4
