"""Frames as pictures and as a film."""

import io
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from videorfsplat.formats.files import natural_key, write_file


def to_uint8(renders: Float[Tensor, "v h w 3"]) -> UInt8[np.ndarray, "v h w 3"]:
    """Pictures in [0, 1] as bytes; values outside are clamped."""
    return renders.detach().float().cpu().clamp(0, 1).mul(255).round().byte().numpy()


def save_video(
    frames: UInt8[np.ndarray, "t h w 3"], path: str | Path, fps: int | float = 24, *, crf: int = 16
) -> None:
    """Write an H.264 mp4 that browsers play while it loads (yuv420p, index in front).

    Odd sizes grow by one repeated row or column, because yuv420p has colours for 2×2 pixels.

    Args:
        frames: T pictures.
        path: file; its folder is made if needed.
        fps: pictures per second.
        crf: x264's constant quality, 0 (lossless) to 51.

    Raises:
        ValueError: if there is no frame, or `fps` or `crf` is out of range.
    """
    if frames.size == 0:
        raise ValueError(f"a film needs frames, got shape {frames.shape}")
    if not 0.1 <= fps <= 1000:
        raise ValueError(f"fps must lie in [0.1, 1000], got {fps}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must lie in [0, 51], got {crf}")
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    # Not in memory: to move its index to the front, the muxer opens its file a second time.
    with tempfile.TemporaryDirectory() as folder:
        _encode(frames, Path(folder) / "film.mp4", fps, crf)
        write_file(path, (Path(folder) / "film.mp4").read_bytes())


def _encode(frames: UInt8[np.ndarray, "t h w 3"], path: Path, fps: int | float, crf: int) -> None:
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        # 1001 is the denominator of broadcast rates such as 29.97.
        rate = Fraction(fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())


def save_frames(frames: UInt8[np.ndarray, "v h w 3"], folder: str | Path) -> list[Path]:
    """Write `000.png`, `001.png`, … into `folder`, made if needed; lossless. Returns the paths."""
    paths = [Path(folder) / f"{i:03d}.png" for i in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, format="PNG")
        write_file(path, stream.getvalue())
    return paths


def check_frames_folder(folder: str | Path, num_frames: int) -> None:
    """Check that `save_frames` would leave nothing else of a sequence in the folder.

    Raises:
        ValueError: naming a picture of a longer sequence, which would look like one of this.
    """
    for path in sorted(Path(folder).glob("*.png")):
        if path.stem.isdigit() and int(path.stem) >= num_frames:
            raise ValueError(
                f"{path} is of another sequence, longer than {num_frames}: "
                "delete that one or choose another folder"
            )


def load_frames(folder: str | Path) -> UInt8[np.ndarray, "v h w 3"]:
    """Read the PNG files of `folder`, in the natural order of their names.

    Raises:
        ValueError: naming the file or folder: no pictures, a damaged one, sizes that differ.
    """
    paths = sorted(Path(folder).glob("*.png"), key=lambda path: natural_key(path.name))
    if not paths:
        raise ValueError(f"{folder}: no PNG pictures")
    frames = [load_picture(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise ValueError(f"{path}: size {frame.shape}, expected {frames[0].shape}")
    return np.stack(frames)


def load_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read one picture file as sRGB.

    Raises:
        ValueError: naming the file, if it is missing, no picture, or damaged.
    """
    try:
        # From bytes: of a file, Pillow would take memory for whatever length a chunk claims.
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return np.asarray(image.convert("RGB"))
    # Pillow's decoders agree on no exception for damaged files.
    except Exception as error:
        raise ValueError(f"{path}: not a picture, or damaged ({error})") from error
