"""RealEstate10K and ACID: a text file of cameras for each clip, beside frames or a video.

The lines are those of `formats.poses.read_realestate10k` (google.github.io/realestate10k, "Data
format").

Frames are `<time>.png` or `.jpg` in a folder named like the camera file or the video. It lies
beside the camera file, or at the same place of the split below another folder (`frames`, `dataset`,
…) that stands beside or further up. A video is `<clip>.mp4` beside the camera file or in
`video_clips/<id>`, or the whole one by its YouTube id in `videos`; also .webm, .mkv, .mov.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np

from videorfsplat.data.readers.frames import (
    Frames,
    PictureFiles,
    VideoMoments,
    frame_times,
)
from videorfsplat.data.readers.sequence import (
    PosedSequence,
    no_distortion,
    no_points,
    unknown_depths,
)
from videorfsplat.formats.poses import read_realestate10k, realestate10k_cameras

_PICTURES = (".png", ".jpg", ".jpeg")
_VIDEOS = (".mp4", ".webm", ".mkv", ".mov")


def is_camera_file(path: Path) -> bool:
    """Whether a file looks like a clip of this format: a .txt file that starts with an address."""
    if path.suffix != ".txt":
        return False
    with path.open("rb") as file:
        start = file.read(16).removeprefix(b"\xef\xbb\xbf")
    return start.startswith((b"http://", b"https://"))


def read_clip(path: Path, root: Path) -> PosedSequence:
    """Read the clip of one camera file.

    Args:
        path: the camera file.
        root: folder of the data set.

    Raises:
        ValueError: naming the file and what is wrong: a line that is no camera, no frames, a video
            whose frames cannot be told apart.
    """
    address, rows = read_realestate10k(path)
    times = rows[:, 0].round().astype(np.int64)
    frames, kept = _find_frames(path, root, address, times)
    height, width = frames.read(0).shape[:2]
    missing = np.setdiff1d(np.arange(len(rows)), kept)
    rows = rows[kept]
    try:
        cameras = realestate10k_cameras(rows, width, height)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return PosedSequence(
        path.relative_to(root).with_suffix("").as_posix(),
        frames,
        cameras,
        no_distortion(len(rows)),
        unknown_depths(len(rows)),
        no_points(len(rows)),
        tuple(str(time) for time in times[missing]),
    )


def _find_frames(
    path: Path, root: Path, address: str, times: np.ndarray
) -> tuple[Frames, np.ndarray]:
    """The frames that exist, and which of the times they belong to."""
    # Of lines with one time, the first counts: they would be one frame with two cameras.
    _, rising = np.unique(times, return_index=True)
    looked = []
    for folder in _frame_folders(path, root, _video_id(address)):
        looked.append(folder)
        if folder.is_dir():
            found = {int(p.stem): p for p in sorted(folder.iterdir(), reverse=True) if _is_frame(p)}
            kept = rising[np.isin(times[rising], list(found))]
            if len(kept):
                return PictureFiles([found[int(time)] for time in times[kept]]), kept
    for video in _clips(path, root, _video_id(address)):
        looked.append(video)
        if video.is_file():
            return _clip_frames(video, times, rising)
    for video in _whole_videos(path, root, _video_id(address)):
        looked.append(video)
        if video.is_file():
            return VideoMoments(video, (times[rising] / 1e6).tolist()), rising
    places = ", ".join(dict.fromkeys(str(place.relative_to(root)) for place in looked))
    raise ValueError(
        f"{path}: neither frames nor a video of this clip, {address}; looked for {places}"
    )


def _clip_frames(video: Path, times: np.ndarray, rising: np.ndarray) -> tuple[Frames, np.ndarray]:
    """Frames of a video that is named like the clip: the clip alone, or the whole video.

    Raises:
        ValueError: if it is neither: a clip with a margin does not say where its frames are.
    """
    seconds = frame_times(video)
    if len(seconds) == len(times):
        return VideoMoments(video, seconds), np.arange(len(times))
    wanted = times[rising] / 1e6
    if len(seconds) > len(times) and seconds[0] <= wanted[0] and wanted[-1] <= seconds[-1] + 0.1:
        return VideoMoments(video, wanted.tolist()), rising
    raise ValueError(
        f"{video}: {len(seconds)} frames from {seconds[0]:.3f} s to {seconds[-1]:.3f} s for "
        f"{len(times)} cameras from {wanted[0]:.3f} s to {wanted[-1]:.3f} s; cut it to just the "
        "clip's frames, or take the whole video"
    )


def _is_frame(path: Path) -> bool:
    return path.stem.isdecimal() and path.suffix.lower() in _PICTURES


def _video_id(address: str) -> str | None:
    url = urlparse(address)
    video_id = parse_qs(url.query).get("v", [url.path.rsplit("/", 1)[-1]])[0]
    # A name that came from a file must not lead out of the folder.
    return video_id if video_id and Path(video_id).name == video_id else None


def _frame_folders(path: Path, root: Path, video_id: str | None) -> Iterator[Path]:
    yield path.with_suffix("")
    for above in _folders_above(path, root):
        parts = path.relative_to(above).with_suffix("").parts
        for folder in (above / "frames", *_subfolders(above)):
            yield folder.joinpath(*parts)
            # Beside the folder of camera files: RealEstate10K/train and dataset/train.
            yield folder.joinpath(*parts[1:])
            yield folder / path.stem
            if video_id is not None:
                yield folder / video_id


def _clips(path: Path, root: Path, video_id: str | None) -> Iterator[Path]:
    yield from (path.with_suffix(suffix) for suffix in _VIDEOS)
    for above in _folders_above(path, root) if video_id is not None else ():
        for folder in ("video_clips", "videos", "clips"):
            for suffix in _VIDEOS:
                yield above / folder / str(video_id) / f"{path.stem}{suffix}"


def _whole_videos(path: Path, root: Path, video_id: str | None) -> Iterator[Path]:
    for above in _folders_above(path, root) if video_id is not None else ():
        yield from (above / "videos" / f"{video_id}{suffix}" for suffix in _VIDEOS)


def _folders_above(path: Path, root: Path) -> list[Path]:
    """From the file's own folder up to that of the data set."""
    return [folder for folder in path.parents if folder == root or root in folder.parents]


def _subfolders(folder: Path) -> tuple[Path, ...]:
    return _listed(folder, folder.stat().st_mtime_ns)


# A folder of splits has a few folders, but one of camera files has 70,000 files to pass over.
@functools.lru_cache(maxsize=64)
def _listed(folder: Path, changed: int) -> tuple[Path, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(Path(entry.path) for entry in entries if entry.is_dir()))
