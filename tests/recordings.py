"""Procedural scenes written as data sets publish recordings.

Shares no code with the package's readers and writers: numbers are put down as the formats'
documentation says.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pycolmap
import torch
from PIL import Image

from videorfsplat.data.worlds.appearance import trace_inputs
from videorfsplat.data.worlds.grammar import World, sample_world
from videorfsplat.data.worlds.motions import view_times
from videorfsplat.data.worlds.tracer import render
from videorfsplat.geometry.cameras import Cameras

ORBIT_SEED = next(s for s in range(100) if sample_world(s).motion == "orbit_left")


@dataclass(frozen=True)
class Recording:
    """A world filmed with a real camera's flaws: wide frames, a principal point off the middle."""

    world: World
    cameras: Cameras
    """In the tracer's frame and unit."""
    frames: np.ndarray
    depths: np.ndarray


@functools.cache
def film(num_frames: int = 10, width: int = 100, height: int = 60) -> Recording:
    world = sample_world(ORBIT_SEED)
    viewmats = world.path.cameras(view_times(num_frames), 64).viewmats.double()
    K = torch.tensor([[90.0, 0, width / 2 + 3], [0, 90.0, height / 2 - 2], [0, 0, 1]]).double()
    cameras = Cameras(viewmats, K.repeat(num_frames, 1, 1), width, height)
    return Recording(world, cameras, *render(trace_inputs(world), cameras, supersample=3))


def rerender(recording: Recording, first: int, cameras: Cameras, unit: float) -> np.ndarray:
    """What the world looks like to cameras that a reader gave, whose view 1 is frame `first`."""
    return _retrace(recording, first, cameras, unit)[0]


def rerender_depths(
    recording: Recording, first: int, cameras: Cameras, unit: float
) -> torch.Tensor:
    """Its depths to such cameras, in their unit."""
    return torch.from_numpy(_retrace(recording, first, cameras, unit)[1]) / unit


def _retrace(recording: Recording, first: int, cameras: Cameras, unit: float):
    start = recording.cameras.viewmats[first]
    viewmats = cameras.to(torch.float64).scaled(unit).viewmats @ start
    seen = Cameras(viewmats, cameras.Ks.double(), cameras.width, cameras.height)
    return render(trace_inputs(recording.world), seen, supersample=3)


def write_realestate10k(recording: Recording, root: Path, name: str = "clip", split: str = "train"):
    """A camera file in `root/<split>`, frames in `root/frames/<split>/<clip>/<time>.png`."""
    path = write_camera_file(recording, root / split / f"{name}.txt")
    folder = root / "frames" / split / name
    folder.mkdir(parents=True)
    for time, frame in zip(times(recording), recording.frames, strict=True):
        Image.fromarray(frame).save(folder / f"{time}.png")
    return path


def times(recording: Recording) -> list[int]:
    """Microseconds, 25 frames a second, starting late in the video."""
    return [1_000_000 + 40_000 * i for i in range(len(recording.frames))]


def write_camera_file(recording: Recording, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cameras = recording.cameras
    lines = ["https://www.youtube.com/watch?v=abc-DEF_123"]
    for time, viewmat, K in zip(times(recording), cameras.viewmats, cameras.Ks, strict=True):
        intrinsics = (
            K[0, 0] / cameras.width,
            K[1, 1] / cameras.height,
            K[0, 2] / cameras.width,
            K[1, 2] / cameras.height,
        )
        numbers = [*intrinsics, 0, 0, *viewmat[:3].flatten()]
        lines.append(" ".join([str(time), *(f"{float(n):.9f}" for n in numbers)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_video(recording: Recording, path: Path) -> None:
    """The frames from second 1 on, after as much black; nearly lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    black = np.zeros_like(recording.frames[0])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "g": "7"})
        stream.height, stream.width = recording.frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        for frame in [*[black] * 25, *recording.frames]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_nerfstudio(recording: Recording, folder: Path, shrink: int = 1) -> Path:
    """As DL3DV: OpenGL cameras, a world turned as `applied_transform` says, pictures shrunk."""
    applied = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], dtype=float)
    cameras = recording.cameras
    pictures = folder / ("images" if shrink == 1 else f"images_{shrink}")
    pictures.mkdir(parents=True)
    frames = []
    for i, viewmat in enumerate(cameras.viewmats.numpy()):
        camtoworld = applied @ np.linalg.inv(viewmat)
        camtoworld[:3, 1:3] *= -1
        frames.append(
            {
                "file_path": f"images/frame_{i + 1:05d}.png",
                "transform_matrix": camtoworld.tolist(),
                "colmap_im_id": i + 1,
            }
        )
        picture = Image.fromarray(recording.frames[i])
        picture.save(pictures / f"frame_{i + 1:05d}.png")
    K = cameras.Ks[0] * shrink
    content = {
        "w": cameras.width * shrink,
        "h": cameras.height * shrink,
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        "camera_model": "OPENCV",
        "frames": frames[::-1],
        "applied_transform": applied[:3].tolist(),
    }
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def write_colmap(recording: Recording, folder: Path, binary: bool = True) -> Path:
    """As MVImgNet: `images/001.jpg` …, a SIMPLE_RADIAL camera, points with their tracks."""
    (folder / "images").mkdir(parents=True)
    sparse = folder / "sparse" / "0"
    sparse.mkdir(parents=True)
    cameras = recording.cameras
    K = cameras.Ks[0]
    assert K[0, 0] == K[1, 1]
    params = f"{float(K[0, 0])} {float(K[0, 2])} {float(K[1, 2])} 0.0"
    (sparse / "cameras.txt").write_text(
        f"7 SIMPLE_RADIAL {cameras.width} {cameras.height} {params}\n"
    )
    images, points = [], []
    for i, viewmat in enumerate(cameras.viewmats.numpy()):
        name = f"{i + 1:03d}.png"
        Image.fromarray(recording.frames[i]).save(folder / "images" / name)
        quat = pycolmap.Rotation3d(viewmat[:3, :3]).quat  # x, y, z, w
        pose = [quat[3], *quat[:3], *viewmat[:3, 3]]
        # Every image sees points of its own: a grid of pixels with their exact depth.
        seen = []
        for v in range(2, cameras.height, 6):
            for u in range(2, cameras.width, 6):
                depth = float(recording.depths[i, v, u])
                if depth == 0:
                    continue
                ray = np.linalg.inv(K.numpy()) @ (u + 0.5, v + 0.5, 1.0)
                place = np.linalg.inv(viewmat) @ (*(ray * depth), 1.0)
                points.append((len(points) + 1, place[:3], i + 1, len(seen)))
                seen += [(u + 0.5, v + 0.5, len(points)), (0.5, 0.5, -1)]
        # Images are numbered backwards: their names give the order.
        number = len(cameras.viewmats) - i
        images.append(f"{number} {' '.join(repr(float(p)) for p in pose)} 7 {name}")
        images.append(" ".join(f"{x} {y} {point}" for x, y, point in seen))
    (sparse / "images.txt").write_text("# comment\n" + "\n".join(images) + "\n")
    count = len(cameras.viewmats)
    lines = [
        f"{n} {x!r} {y!r} {z!r} 9 9 9 0.1 {count + 1 - image} {2 * (place // 2)}"
        for n, (x, y, z), image, place in ((n, map(float, p), i, s) for n, p, i, s in points)
    ]
    (sparse / "points3D.txt").write_text("\n".join(lines) + "\n")
    if binary:
        pycolmap.Reconstruction(str(sparse)).write_binary(str(sparse))
        for path in sparse.glob("*.txt"):
            path.unlink()
    return folder
