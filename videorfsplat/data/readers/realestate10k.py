"""RealEstate10K and ACID: a text file of cameras for each clip, beside frames or a video.

The first line is the address of the video. Every other line holds 19 numbers: a time in
microseconds; fx, fy, cx, cy as shares of the image's width and height; two zeros; the 3×4 matrix
[R|t] row by row, world→camera with OpenCV axes (google.github.io/realestate10k, "Data format").

Frames are looked for as `<time>.png` or `.jpg` in a folder named like the camera file, beside it or
at the same place below a folder `frames`; a video as `<clip>.mp4` beside the camera file, or by its
YouTube id in a folder `videos`. Either folder lies beside the camera file or further up.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import torch

from videorfsplat.data.readers.frames import Frames, PictureFiles, VideoMoments
from videorfsplat.data.readers.sequence import (
    PosedSequence,
    no_distortion,
    no_points,
    unknown_depths,
)
from videorfsplat.geometry.cameras import Cameras

_COLUMNS = 19
_SUFFIXES = (".png", ".jpg", ".jpeg")


def is_camera_file(path: Path) -> bool:
    """Whether a file looks like a clip of this format: a .txt file that starts with an address."""
    if path.suffix != ".txt":
        return False
    with path.open("rb") as file:
        return file.read(8).startswith((b"http://", b"https://"))


def read_clip(path: Path, root: Path) -> PosedSequence:
    """Read the clip of one camera file.

    Args:
        path: the camera file.
        root: folder of the data set.

    Raises:
        ValueError: naming the file and what is wrong: a line that is no camera, no frames.
    """
    address, rows = _read_lines(path)
    times = rows[:, 0].round().astype(np.int64)
    frames, kept = _find_frames(path, root, address, times)
    height, width = frames.read(0).shape[:2]
    rows = rows[kept]
    viewmats = np.tile(np.eye(4), (len(rows), 1, 1))
    viewmats[:, :3] = rows[:, 7:].reshape(-1, 3, 4)
    Ks = np.tile(np.eye(3), (len(rows), 1, 1))
    Ks[:, [0, 1, 0, 1], [0, 1, 2, 2]] = rows[:, 1:5] * (width, height, width, height)
    try:
        cameras = Cameras(torch.from_numpy(viewmats), torch.from_numpy(Ks), width, height)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return PosedSequence(
        path.relative_to(root).with_suffix("").as_posix(),
        frames,
        cameras,
        no_distortion(len(rows)),
        unknown_depths(len(rows)),
        no_points(len(rows)),
        tuple(str(time) for time in np.delete(times, kept)),
    )


def _read_lines(path: Path) -> tuple[str, np.ndarray]:
    """The address, and the cameras in the order of time."""
    try:
        address, *lines = path.read_text(encoding="utf-8").splitlines()
    except ValueError as error:
        raise ValueError(f"{path}: empty, or not a text file") from error
    rows = []
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split()]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if len(row) != _COLUMNS or not np.isfinite(row).all():
            raise ValueError(f"{path}, line {number}: expected {_COLUMNS} finite numbers")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: no cameras")
    table = np.array(rows)
    return address.strip(), table[np.argsort(table[:, 0], kind="stable")]


def _find_frames(
    path: Path, root: Path, address: str, times: np.ndarray
) -> tuple[Frames, np.ndarray]:
    """The frames that exist, and which of the times they belong to."""
    for folder in _frame_folders(path, root):
        if folder.is_dir():
            found = {int(p.stem): p for p in folder.iterdir() if _is_frame(p)}
            kept = np.flatnonzero(np.isin(times, list(found)))
            if not len(kept):
                raise ValueError(f"{folder}: none of the frames that {path.name} lists")
            return PictureFiles([found[int(time)] for time in times[kept]]), kept
    for video in _videos(path, root, address):
        if video.is_file():
            return VideoMoments(video, (times / 1e6).tolist()), np.arange(len(times))
    raise ValueError(f"{path}: neither frames nor a video of this clip, {address}")


def _is_frame(path: Path) -> bool:
    return path.stem.isdigit() and path.suffix.lower() in _SUFFIXES


def _frame_folders(path: Path, root: Path) -> Iterator[Path]:
    yield path.with_suffix("")
    for folder in _folders_above(path, root):
        yield folder / "frames" / path.relative_to(folder).with_suffix("")
        yield folder / "frames" / path.stem


def _videos(path: Path, root: Path, address: str) -> Iterator[Path]:
    yield path.with_suffix(".mp4")
    url = urlparse(address)
    video_id = parse_qs(url.query).get("v", [url.path.rsplit("/", 1)[-1]])[0]
    # A name that came from a file must not lead out of the folder.
    if video_id and Path(video_id).name == video_id:
        for folder in _folders_above(path, root):
            yield folder / "videos" / f"{video_id}.mp4"


def _folders_above(path: Path, root: Path) -> list[Path]:
    """From the file's own folder up to that of the data set."""
    return [folder for folder in path.parents if folder == root or root in folder.parents]
