"""Scene: what a generation makes, and the versioned folder it is kept in."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from videorfsplat.formats.axes import Axes
from videorfsplat.formats.colmap import save_colmap
from videorfsplat.formats.files import check_can_write, write_tensors
from videorfsplat.formats.glb import save_glb
from videorfsplat.formats.html import save_html
from videorfsplat.formats.ply import load_ply, save_ply
from videorfsplat.formats.poses import save_npz, save_tum
from videorfsplat.formats.splat_formats import SUFFIXES, save_splats
from videorfsplat.formats.transforms_json import load_transforms, save_transforms
from videorfsplat.formats.video import (
    check_frames_folder,
    load_frames,
    save_frames,
    save_video,
)
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians, prune_gaussians

logger = logging.getLogger(__name__)

FORMAT = "videorfsplat-scene"
VERSION = 1

PLY_NAME = "scene.ply"
TRANSFORMS_NAME = "transforms.json"
FRAMES_NAME = "frames"
DEPTHS_NAME = "depths.safetensors"
PREVIEW_NAME = "preview.mp4"
LATENTS_NAME = "latents.safetensors"
"""Normalised image latents `latents` [C,V,h,w] that the frames were decoded from, if kept."""
RECORD_NAME = "scene.json"
# Stands in for the record while a scene is replaced: the folder is ours, but no scene.
_UNFINISHED_NAME = "scene.unfinished"

POINT_OPACITY = 0.1
"""Gaussians less opaque than this are no points in GLB and COLMAP, where points have no opacity."""


@dataclass(frozen=True)
class Scene:
    """A generated scene: its Gaussians, the cameras that see it, and its views.

    Raises:
        ValueError: if numbers of views or sizes disagree.
    """

    gaussians: Gaussians
    """World frame."""
    cameras: Cameras
    """V cameras with the size of the frames."""
    frames: UInt8[np.ndarray, "v h w 3"]
    """The generated views."""
    depths: Float[Tensor, "_ _ _ 1"] | None = None
    """[V,H,W,1], along the camera's z axis, world units."""
    record: dict[str, Any] = field(default_factory=dict)
    """How it was made: settings, seed, timings, versions. Must be JSON."""

    def __post_init__(self) -> None:
        expected = (self.cameras.num_views, self.cameras.height, self.cameras.width)
        if self.frames.dtype != np.uint8 or self.frames.shape != (*expected, 3):
            raise ValueError(
                f"expected uint8 frames of shape {(*expected, 3)}, "
                f"got {self.frames.dtype} of shape {self.frames.shape}"
            )
        if self.depths is not None and self.depths.shape != (*expected, 1):
            raise ValueError(
                f"expected depths of shape {(*expected, 1)}, got {tuple(self.depths.shape)}"
            )

    def save(self, folder: str | Path) -> None:
        """Write the scene folder: `scene.ply`, `transforms.json`, `frames/`, `scene.json`, and
        `depths.safetensors` if there are depths.

        Everything is first written beside `folder`, so a failure leaves `folder` as it was. An
        existing scene in it is replaced with its preview and latents; other files are left alone.

        Raises:
            ValueError: if a value is out of range, the record is not JSON, or `folder` cannot take
                a scene (`check_scene_folder`).
        """
        folder = Path(folder)
        check_scene_folder(folder)
        description = self._describe()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            # A folder inside, because the temporary one itself is closed to other users.
            staging = Path(temporary) / "scene"
            staging.mkdir()
            self._write(staging, description)
            _publish(staging, folder)

    @classmethod
    def load(cls, folder: str | Path) -> "Scene":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if the folder or one of its files is missing.
            ValueError: naming the file: damaged, of another format or version, or not fitting the
                others.
        """
        folder = Path(folder)
        description = _read_description(folder / RECORD_NAME)
        gaussians = load_ply(folder / PLY_NAME, strict=True)
        cameras = load_transforms(folder / TRANSFORMS_NAME)
        frames = load_frames(folder / FRAMES_NAME)
        depths = _load_depths(folder / DEPTHS_NAME) if description["has_depths"] else None
        try:
            scene = cls(gaussians, cameras, frames, depths, description["record"])
        except ValueError as error:
            raise ValueError(f"{folder}: its files do not belong together: {error}") from error
        found = scene._describe()
        for key, value in found.items():
            if value != description[key]:
                raise ValueError(
                    f"{folder}: {RECORD_NAME} says {key} = {description[key]}, found {value}"
                )
        return scene

    def export(self, path: str | Path, *, axes: Axes = "opencv") -> Path:
        """Write the scene, or its cameras, for other programs; the name of `path` says what.

        - `.ply`, `.compressed.ply`, `.spz`, `.sog`, `.splat`: the Gaussians;
        - `.glb`: frustums and a point cloud, always +y up as glTF demands;
        - `.json`: nerfstudio's transforms.json;
        - `.npz`, `.tum`: camera matrices; camera centres and quaternions;
        - `.zip`, or a name without suffix: COLMAP folder, `images/` and `sparse/0/`;
        - `.mp4`: the views, one after the other;
        - `.html`: the viewer with this scene in one file, which works offline; always seen upright.

        Args:
            path: file or folder to write.
            axes: world axes of the file.

        Returns:
            `path`.

        Raises:
            ValueError: if the name says none of these.
        """
        path = Path(path)
        if path.name.lower().endswith(SUFFIXES):
            save_splats(self.gaussians, path, axes=axes)
        elif path.suffix.lower() in _EXPORTERS:
            _EXPORTERS[path.suffix.lower()](self, path, axes)
        else:
            known = ", ".join([*SUFFIXES, *filter(None, _EXPORTERS)])
            raise ValueError(f"{path}: unknown format, expected {known} or a folder")
        return path

    def _describe(self) -> dict[str, Any]:
        """The contents of `scene.json`."""
        try:
            record = json.loads(json.dumps(self.record, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the record cannot be written as JSON: {error}") from error
        return {
            "format": FORMAT,
            "version": VERSION,
            "num_gaussians": len(self.gaussians),
            "num_views": self.cameras.num_views,
            "width": self.cameras.width,
            "height": self.cameras.height,
            "has_depths": self.depths is not None,
            "record": record,
        }

    def _write(self, folder: Path, description: dict[str, Any]) -> None:
        save_ply(self.gaussians, folder / PLY_NAME)
        paths = save_frames(self.frames, folder / FRAMES_NAME)
        names = [f"{FRAMES_NAME}/{path.name}" for path in paths]
        save_transforms(self.cameras, folder / TRANSFORMS_NAME, names, PLY_NAME)
        if self.depths is not None:
            depths = self.depths.detach().float().cpu().contiguous()
            write_tensors(folder / DEPTHS_NAME, {"depths": depths})
        (folder / RECORD_NAME).write_text(json.dumps(description, indent=2), encoding="utf-8")


def check_scene_folder(folder: Path) -> None:
    """Check that a scene can be saved there.

    Raises:
        ValueError: if files cannot be written there (`check_can_write`), or it is no scene but
            holds files of a scene's names, which would be lost.
    """
    check_can_write(folder)
    if (folder / RECORD_NAME).is_file() or (folder / _UNFINISHED_NAME).is_file():
        return
    names = (PLY_NAME, TRANSFORMS_NAME, FRAMES_NAME, DEPTHS_NAME, PREVIEW_NAME, LATENTS_NAME)
    taken = [name for name in names if (folder / name).exists()]
    if taken:
        raise ValueError(
            f"{folder} is no scene folder, and its {', '.join(taken)} would be lost: "
            "choose another folder"
        )


def _publish(staging: Path, folder: Path) -> None:
    """Move the finished files to their place."""
    if not folder.exists():
        os.replace(staging, folder)
        return
    # Without its scene.json the folder is no scene, so nobody reads a mixture of old and new.
    (folder / _UNFINISHED_NAME).touch()
    (folder / RECORD_NAME).unlink(missing_ok=True)
    for name in (DEPTHS_NAME, PREVIEW_NAME, LATENTS_NAME):
        (folder / name).unlink(missing_ok=True)
    for old in (folder / FRAMES_NAME).glob("*.png"):
        old.unlink()
    files = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: path == Path(RECORD_NAME)):
        (folder / file).parent.mkdir(exist_ok=True)
        os.replace(staging / file, folder / file)
    (folder / _UNFINISHED_NAME).unlink()


def _read_description(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such scene folder")
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is not a scene folder: {path.name} is missing")
    try:
        description = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f'{path}: expected "format": "{FORMAT}"')
    if description.get("version") != VERSION:
        raise ValueError(
            f"{path}: version {description.get('version')!r:.40}, this program reads {VERSION}"
        )
    keys = ("num_gaussians", "num_views", "width", "height", "has_depths", "record")
    missing = [key for key in keys if key not in description]
    if missing or not isinstance(description["record"], dict):
        raise ValueError(
            f"{path}: missing or of the wrong kind: {', '.join(missing or ['record'])}"
        )
    return description


def _load_depths(path: Path) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        depths = load_file(path)["depths"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path}: not depths, or damaged ({error})") from error
    if not depths.is_floating_point() or not depths.isfinite().all():
        raise ValueError(f"{path}: depths must be finite numbers")
    return depths


def _export_glb(scene: Scene, path: Path, axes: Axes) -> None:
    save_glb(scene.cameras, path, prune_gaussians(scene.gaussians, POINT_OPACITY))


def _export_transforms(scene: Scene, path: Path, axes: Axes) -> None:
    save_transforms(scene.cameras, path, axes=axes)


def _export_npz(scene: Scene, path: Path, axes: Axes) -> None:
    save_npz(scene.cameras, path, axes=axes)


def _export_tum(scene: Scene, path: Path, axes: Axes) -> None:
    save_tum(scene.cameras, path, axes=axes)


def _export_colmap(scene: Scene, folder: Path, axes: Axes) -> None:
    """The layout that COLMAP, nerfstudio and 3DGS's trainer expect."""
    check_frames_folder(folder / "images", scene.cameras.num_views)
    images = save_frames(scene.frames, folder / "images")
    points = prune_gaussians(scene.gaussians, POINT_OPACITY)
    names = [image.name for image in images]
    save_colmap(scene.cameras, folder / "sparse" / "0", names, points, axes=axes)


def _export_colmap_zip(scene: Scene, path: Path, axes: Axes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        folder = Path(temporary) / "colmap"
        _export_colmap(scene, folder, axes)
        archive = shutil.make_archive(str(Path(temporary) / "archive"), "zip", folder)
        os.replace(archive, path)


def _export_video(scene: Scene, path: Path, axes: Axes) -> None:
    # Half a second a view: these are eight pictures, not a film.
    save_video(scene.frames, path, fps=2)


def _export_html(scene: Scene, path: Path, axes: Axes) -> None:
    settings = scene.record.get("settings")
    prompt = settings.get("prompt") if isinstance(settings, dict) else None
    title = prompt if isinstance(prompt, str) else "Scene"
    save_html(scene.gaussians, path, scene.cameras, scene.frames, title=title)


_EXPORTERS: dict[str, Callable[[Scene, Path, Axes], None]] = {
    ".glb": _export_glb,
    ".json": _export_transforms,
    ".npz": _export_npz,
    ".tum": _export_tum,
    ".zip": _export_colmap_zip,
    ".mp4": _export_video,
    ".html": _export_html,
    "": _export_colmap,
}
