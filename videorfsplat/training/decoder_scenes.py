"""What the Gaussian decoder is trained on: views of scenes, and others that are held back."""

from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videorfsplat.data.readers.folders import find_scenes
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.data.readers.views import draw_sample, point_depths
from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.training.bad_samples import read_this_or_next
from videorfsplat.training.scene_cache import MANIFEST_NAME


class SceneViews(NamedTuple):
    """One scene, in the frame and unit of its view 1."""

    frames: UInt8[Tensor, "v 3 h w"]
    cameras: Cameras
    depths: Float[Tensor, "v h w"]
    """z-depth; 0 = sky, NaN = unknown."""
    novel_frames: UInt8[Tensor, "k 3 h w"]
    """Held back: rendered and compared, never encoded."""
    novel_cameras: Cameras
    latents: Float[Tensor, "1 c v h w"] | None = None
    """Normalised, if the frames were decoded from them; else the frames are encoded."""


@runtime_checkable
class DecoderScenes(Protocol):
    """Where scenes come from."""

    def __len__(self) -> int: ...

    def read(self, index: int, generator: torch.Generator) -> SceneViews:
        """One scene; `generator` draws what is not fixed by the data."""
        ...


class WorldViews:
    """Procedural worlds, whose views were chosen when they were made; depth is known everywhere.

    Args:
        folder: of the data set.
        novel_views: that a scene must have.

    Raises:
        ValueError: if the scenes have fewer novel views.
    """

    def __init__(self, folder: str | Path, novel_views: int) -> None:
        self.dataset = WorldsDataset(folder)
        if self.dataset.num_novel_views < novel_views:
            raise ValueError(
                f"{folder} has {self.dataset.num_novel_views} novel views a scene, "
                f"{novel_views} are asked for"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, index: int, generator: torch.Generator) -> SceneViews:
        """One scene, with all its novel views."""
        dataset = self.dataset
        return SceneViews(
            dataset.frames(index),
            dataset.cameras(index),
            dataset.depths(index),
            dataset.novel_frames(index),
            dataset.novel_cameras(index),
        )


class RecordedViews:
    """Recordings: other views at every reading; depth is known where COLMAP has points.

    A scene that cannot be read is replaced by the next one and written down.

    Args:
        folder: of the data set.
        sampling: how views are chosen.
        novel_views: frames held back, between the first and the last view.
        run_folder: for the list of bad samples.

    Raises:
        ValueError: if the folder holds no recordings.
    """

    def __init__(
        self,
        folder: str | Path,
        sampling: ViewSampling,
        novel_views: int,
        run_folder: str | Path,
    ) -> None:
        self.scenes = find_scenes(folder)
        self.sampling, self.novel_views, self.run_folder = sampling, novel_views, run_folder

    def __len__(self) -> int:
        return len(self.scenes)

    def read(self, index: int, generator: torch.Generator) -> SceneViews:
        """One scene."""
        seed = int(torch.randint(2**62, (), generator=generator))
        return read_this_or_next(
            lambda place: self._draw(place, seed), index, len(self), self.run_folder
        )

    def _draw(self, index: int, seed: int) -> SceneViews:
        sequence = self.scenes[index].read()
        rng = np.random.default_rng(seed)
        sample = draw_sample(sequence, self.sampling, rng, self.novel_views)
        depths = point_depths(sample.points, sample.cameras)
        return SceneViews(
            sample.frames, sample.cameras, depths, sample.novel_frames, sample.novel_cameras
        )


def open_decoder_scenes(
    folder: str | Path, sampling: ViewSampling, novel_views: int, run_folder: str | Path
) -> DecoderScenes:
    """The scenes of a folder of procedural worlds or of recordings; arguments as `RecordedViews`.

    Raises:
        ValueError: if the folder holds neither, or a cache of latents, or scenes with fewer novel
            views.
    """
    folder = Path(folder)
    if (folder / MANIFEST_NAME).exists():
        raise ValueError(
            f"{folder} is a cache of latents, without frames: name the folder of the recordings"
        )
    if any(folder.glob("worlds-*.safetensors")):
        return WorldViews(folder, novel_views)
    return RecordedViews(folder, sampling, novel_views, run_folder)
