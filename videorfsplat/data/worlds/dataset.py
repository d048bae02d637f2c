"""Procedural scenes as arrays, as sharded files on disk, and as sheets to look at."""

import json
import logging
import multiprocessing
import os
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageDraw, ImageFont
from safetensors import safe_open
from safetensors.numpy import save
from torch import Tensor

from videorfsplat.data.worlds import captions as captioning
from videorfsplat.data.worlds import tracer
from videorfsplat.data.worlds.appearance import trace_inputs
from videorfsplat.data.worlds.grammar import World, sample_world
from videorfsplat.data.worlds.motions import view_times
from videorfsplat.formats.files import json_object, reading, write_file
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.view_colors import VIEW_COLORS

logger = logging.getLogger(__name__)

HELD_OUT_SEED = 1_000_000_000
"""First seed of the held-out scenes; training uses seeds from 0 and never reaches it."""

SCENES_PER_SHARD = 250

# A novel camera leaves the path by at most this share of the object's distance.
NOVEL_OFFSET = 0.05


@dataclass(frozen=True)
class WorldScene:
    """A rendered world. Lengths are in the scene's unit: the median depth of view 1 is 1."""

    world: World
    frames: UInt8[np.ndarray, "v h w 3"]
    depths: Float32[np.ndarray, "v h w"]
    """z-depth; 0 = sky."""
    cameras: Cameras
    """View 1 is the identity."""
    scale: float
    """Tracer units per scene unit."""
    novel_frames: UInt8[np.ndarray, "k h w 3"]
    novel_depths: Float32[np.ndarray, "k h w"]
    novel_cameras: Cameras


def make_scene(
    seed: int, num_views: int = 8, size: int = 96, extra_views: int = 0, *, supersample: int = 2
) -> WorldScene:
    """Render the world of `seed`: `num_views` along its path, `extra_views` between and near them.

    Raises:
        ValueError: if a count or the size is out of range.
    """
    if num_views < 1 or extra_views < 0 or size < 8:
        raise ValueError(
            "expected num_views >= 1, extra_views >= 0 and size >= 8, "
            f"got {num_views}, {extra_views} and {size}"
        )
    world = sample_world(seed)
    cameras = world.path.cameras(view_times(num_views), size)
    novel = _novel_cameras(world, extra_views, size)
    everything = Cameras(
        torch.cat([cameras.viewmats, novel]),
        cameras.Ks[:1].repeat(num_views + extra_views, 1, 1),
        size,
        size,
    )
    frames, depths = tracer.render(trace_inputs(world), everything, supersample=supersample)
    first = depths[0]
    scale = float(np.median(first[first > 0]))
    normalised = everything.relative_to_first().scaled(1.0 / scale).to(torch.float32)
    depths /= scale
    return WorldScene(
        world=world,
        frames=frames[:num_views],
        depths=depths[:num_views],
        cameras=normalised[:num_views],
        scale=scale,
        novel_frames=frames[num_views:],
        novel_depths=depths[num_views:],
        novel_cameras=normalised[num_views:],
    )


def _novel_cameras(world: World, count: int, size: int) -> Float[Tensor, "k 4 4"]:
    """Poses at even times between the first and last view, moved a little sideways, up and down."""
    rng = np.random.default_rng((world.seed, 1))
    times = [(index + rng.uniform(0.2, 0.8)) / count for index in range(count)]
    if not times:
        return torch.zeros(0, 4, 4, dtype=torch.float64)
    viewmats = world.path.viewmats(times)
    offsets = rng.uniform(-1.0, 1.0, (count, 3)) * (NOVEL_OFFSET * world.path.distance)
    viewmats[:, :3, 3] += torch.from_numpy(offsets)
    return viewmats


# --- shards ---------------------------------------------------------------------------------------


def write_worlds(
    folder: str | os.PathLike[str],
    first_seed: int,
    num_scenes: int,
    *,
    num_views: int = 8,
    size: int = 96,
    extra_views: int = 0,
    processes: int = 1,
    captions_per_scene: int = 4,
    scenes_per_shard: int = SCENES_PER_SHARD,
) -> int:
    """Render the scenes from `first_seed` on into shards in `folder`; returns the scenes written.

    Finished shards are left alone. A shard is `worlds-<first seed>-<scenes>.safetensors` with a
    `.jsonl` of the same name. The safetensors file appears last and at once, so a shard that has
    one is complete and a killed run is continued by calling again.

    Raises:
        ValueError: if a number is out of range, the range of seeds crosses from training into
            held-out seeds, or the folder has shards of other scenes than these: of other views,
            sizes or numbers of captions, or of some of the seeds of a new shard but not all.
    """
    _check_writing(first_seed, num_scenes, processes, scenes_per_shard, captions_per_scene)
    target, end = Path(folder), first_seed + num_scenes
    asked = []
    for start in range(first_seed, end, scenes_per_shard):
        seeds = range(start, min(start + scenes_per_shard, end))
        path = target / f"worlds-{start:010d}-{len(seeds)}.safetensors"
        asked.append(_Shard(path, seeds, num_views, size, extra_views, captions_per_scene))
    missing = _missing_shards(target, asked)
    target.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    written, total = 0, sum(len(shard.seeds) for shard in missing)
    for count in _write_shards(missing, processes):
        written += count
        rate = written / (time.perf_counter() - started)
        logger.info("%d of %d scenes, %.1f per second", written, total, rate)
    return written


def _check_writing(
    first_seed: int, num_scenes: int, processes: int, scenes_per_shard: int, captions_per_scene: int
) -> None:
    smallest = min(num_scenes, processes, scenes_per_shard, captions_per_scene)
    if smallest < 1:
        raise ValueError(
            "scenes, processes, scenes per shard and captions per scene must be at least 1, got "
            f"{num_scenes}, {processes}, {scenes_per_shard} and {captions_per_scene}"
        )
    if first_seed < 0 or first_seed < HELD_OUT_SEED < first_seed + num_scenes:
        raise ValueError(
            f"seeds must be at least 0 and lie on one side of {HELD_OUT_SEED}, "
            f"got {first_seed} to {first_seed + num_scenes - 1}"
        )


@dataclass(frozen=True)
class _Shard:
    """What a shard holds, or is to hold."""

    path: Path
    seeds: range
    num_views: int
    size: int
    extra_views: int
    captions_per_scene: int


# Fields in which all shards of a data set are alike.
_SHAPE = ("num_views", "size", "extra_views")


def _read_shard(path: Path) -> _Shard:
    """What a finished shard holds: by its header, its seeds and its first record."""
    records = path.with_suffix(".jsonl")
    if not records.exists():
        raise ValueError(f"{path.name} has no {records.name} beside it")
    with reading(records), records.open("rb") as lines:
        captions = len(json_object(lines.readline())["captions"])
    with reading(path), safe_open(path, framework="np") as file:
        seeds = file.get_tensor("seeds").tolist()
        _, num_views, _, _, size = file.get_slice("frames").get_shape()
        has_novel = "novel_frames" in list(file.keys())
        extra_views = file.get_slice("novel_frames").get_shape()[1] if has_novel else 0
    return _Shard(path, range(seeds[0], seeds[-1] + 1), num_views, size, extra_views, captions)


def _missing_shards(folder: Path, asked: list[_Shard]) -> list[_Shard]:
    """Those of the shards asked for, all of one kind, that a folder does not have."""
    found = [_read_shard(path) for path in sorted(folder.glob("worlds-*.safetensors"))]
    for shard in found:
        unlike = _unlike(shard, asked[0], (*_SHAPE, "captions_per_scene"))
        if unlike:
            raise ValueError(
                f"{shard.path} differs from what is asked for ({unlike}): write to another folder"
            )
    finished = {shard.seeds for shard in found}
    missing = [shard for shard in asked if shard.seeds not in finished]
    free = max((shard.seeds.stop for shard in found), default=0)
    _check_seeds([*found, *missing], f"write to another folder, or only scenes from seed {free} on")
    return missing


def _unlike(one: _Shard, two: _Shard, names: Sequence[str]) -> str:
    """The fields of these names that differ, with both values."""
    values = [(name, getattr(one, name), getattr(two, name)) for name in names]
    return ", ".join(f"{name}: {a} and {b}" for name, a, b in values if a != b)


def _check_seeds(shards: Sequence[_Shard], advice: str) -> None:
    """Check that no scene is in two shards."""
    for one, two in pairwise(sorted(shards, key=lambda shard: shard.seeds.start)):
        if two.seeds.start < one.seeds.stop:
            raise ValueError(
                f"{one.path.parent}: {one.path.name} and {two.path.name} both have the scene of "
                f"seed {two.seeds.start}: {advice}"
            )


def _write_shards(shards: list[_Shard], processes: int) -> Iterator[int]:
    """Scene counts of the shards, as they are finished."""
    if processes == 1 or len(shards) <= 1:
        yield from map(_write_shard, shards)
        return
    # Forking a process that has started torch's threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield from pool.map(_write_shard, shards)


def _write_shard(shard: _Shard) -> int:
    scenes = [
        make_scene(seed, shard.num_views, shard.size, shard.extra_views) for seed in shard.seeds
    ]
    lines = [json.dumps(_record(scene, shard.captions_per_scene)) for scene in scenes]
    text = "\n".join(lines)
    write_file(shard.path.with_suffix(".jsonl"), f"{text}\n".encode())
    # Last: a shard counts as finished as soon as it is there.
    write_file(shard.path, save(_shard_tensors(scenes)))
    return len(shard.seeds)


def _shard_tensors(scenes: list[WorldScene]) -> dict[str, np.ndarray]:
    tensors = {
        "frames": np.stack([scene.frames.transpose(0, 3, 1, 2) for scene in scenes]),
        "depths": np.stack([scene.depths for scene in scenes]).astype(np.float16),
        "viewmats": np.stack([scene.cameras.viewmats.numpy() for scene in scenes]),
        "Ks": np.stack([scene.cameras.Ks.numpy() for scene in scenes]),
        "scales": np.array([scene.scale for scene in scenes], dtype=np.float32),
        "seeds": np.array([scene.world.seed for scene in scenes], dtype=np.int64),
    }
    if len(scenes[0].novel_frames):
        tensors |= {
            "novel_frames": np.stack([s.novel_frames.transpose(0, 3, 1, 2) for s in scenes]),
            "novel_depths": np.stack([s.novel_depths for s in scenes]).astype(np.float16),
            "novel_viewmats": np.stack([s.novel_cameras.viewmats.numpy() for s in scenes]),
            "novel_Ks": np.stack([s.novel_cameras.Ks.numpy() for s in scenes]),
        }
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _record(scene: WorldScene, captions_per_scene: int) -> dict:
    """One JSON line: seed, captions with what they state, the canonical caption, all attributes."""
    world = scene.world
    rng = np.random.default_rng((world.seed, 2))
    said = [captioning.caption_mentions(world, rng) for _ in range(captions_per_scene)]
    return {
        "seed": world.seed,
        "captions": [text for text, _ in said],
        "mentions": [mentions for _, mentions in said],
        "template": captioning.template_caption(world),
        "attributes": captioning.attributes(world),
    }


def _check_one_kind(shards: Sequence[_Shard]) -> None:
    """Check that shards are one data set: alike in shape, no scene in two of them."""
    advice = "move one of them to another folder"
    for shard in shards[1:]:
        unlike = _unlike(shards[0], shard, _SHAPE)
        if unlike:
            names = f"{shards[0].path.name} and {shard.path.name}"
            raise ValueError(f"{shard.path.parent}: {names} differ ({unlike}): {advice}")
    _check_seeds(shards, advice)


class WorldsDataset:
    """The scenes of a folder that `write_worlds` filled, read by memory map; may be pickled.

    Args:
        folder: with `worlds-*.safetensors` and their `.jsonl` files.

    Raises:
        ValueError: if the folder holds no shard, a shard has no records, or two shards differ in
            their views, sizes or extra views or have a scene in common.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._paths = sorted(self.folder.glob("worlds-*.safetensors"))
        if not self._paths:
            raise ValueError(f"no worlds-*.safetensors in {self.folder}")
        shards = [_read_shard(path) for path in self._paths]
        _check_one_kind(shards)
        self.num_views = shards[0].num_views
        """V, views per scene."""
        self.num_novel_views = shards[0].extra_views
        """Additional views per scene; 0 if there are none."""
        self.size = shards[0].size
        """Pixels along each side of an image."""
        self._counts: list[int] = []
        self._record_ends: list[np.ndarray] = []
        for path in self._paths:
            lines = path.with_suffix(".jsonl").read_bytes().splitlines(keepends=True)
            self._record_ends.append(np.cumsum([0, *(len(line) for line in lines)]))
            self._counts.append(len(lines))
        self._ends = np.cumsum(self._counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict:
        # Open files stay in their process.
        return {name: value for name, value in self.__dict__.items() if name != "_shards"}

    @cached_property
    def _shards(self) -> list:
        return [safe_open(path, framework="pt") for path in self._paths]

    def frames(self, index: int) -> UInt8[Tensor, "v 3 h w"]:
        """sRGB frames of one scene."""
        return self._read("frames", index)

    def depths(self, index: int) -> Float[Tensor, "v h w"]:
        """z-depths of one scene in scene units, float16; 0 = sky."""
        return self._read("depths", index)

    def cameras(self, index: int) -> Cameras:
        """Cameras of one scene; view 1 is the identity."""
        return Cameras(self._read("viewmats", index), self._read("Ks", index), self.size, self.size)

    def novel_frames(self, index: int) -> UInt8[Tensor, "k 3 h w"]:
        """As `frames`, for the additional views."""
        return self._read("novel_frames", index)

    def novel_depths(self, index: int) -> Float[Tensor, "k h w"]:
        """As `depths`, for the additional views."""
        return self._read("novel_depths", index)

    def novel_cameras(self, index: int) -> Cameras:
        """As `cameras`, for the additional views."""
        viewmats, Ks = self._read("novel_viewmats", index), self._read("novel_Ks", index)
        return Cameras(viewmats, Ks, self.size, self.size)

    def scale(self, index: int) -> float:
        """Tracer units per scene unit."""
        return float(self._read("scales", index))

    def seed(self, index: int) -> int:
        """The scene's seed."""
        return int(self._read("seeds", index))

    def captions(self, index: int) -> list[str]:
        """The captions stored with one scene."""
        return self.record(index)["captions"]

    def mentions(self, index: int) -> list[captioning.Mentions]:
        """What each stored caption states."""
        return self.record(index)["mentions"]

    def attributes(self, index: int) -> captioning.Mentions:
        """All labels of one scene."""
        return self.record(index)["attributes"]

    def record(self, index: int) -> dict:
        """Everything stored about one scene besides its tensors."""
        shard, row = self._locate(index)
        start, end = self._record_ends[shard][row : row + 2]
        # Parsed records of many thousand scenes would fill the memory.
        with self._paths[shard].with_suffix(".jsonl").open("rb") as file:
            file.seek(start)
            return json.loads(file.read(end - start))

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, index - int(self._ends[shard]) + self._counts[shard]

    def _read(self, name: str, index: int) -> Tensor:
        shard, row = self._locate(index)
        return self._shards[shard].get_slice(name)[row : row + 1][0]


# --- sheets ---------------------------------------------------------------------------------------


def preview_sheet(
    seeds: Sequence[int],
    path: str | os.PathLike[str],
    *,
    num_views: int = 8,
    size: int = 96,
    zoom: int = 2,
) -> None:
    """Write a PNG: one row of views per seed, each bordered in its colour, captions below.

    Raises:
        ValueError: if there is no seed or there are more views than view colours.
    """
    if not seeds or not 1 <= num_views <= len(VIEW_COLORS):
        raise ValueError(
            f"expected at least one seed and 1 to {len(VIEW_COLORS)} views, "
            f"got {len(seeds)} seeds and {num_views} views"
        )
    rows = [_sheet_row(make_scene(seed, num_views, size), zoom) for seed in seeds]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _sheet_row(scene: WorldScene, zoom: int) -> Image.Image:
    border, text_height = 4, 46
    side = scene.frames.shape[1] * zoom
    cell = side + 2 * border
    row = Image.new("RGB", (len(scene.frames) * (cell + 4), cell + text_height), "white")
    draw = ImageDraw.Draw(row)
    for view, frame in enumerate(scene.frames):
        left = view * (cell + 4)
        draw.rectangle((left, 0, left + cell - 1, cell - 1), fill=VIEW_COLORS[view])
        image = Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)
        row.paste(image, (left + border, border))
    font = ImageFont.load_default(13)
    rng = np.random.default_rng((scene.world.seed, 2))
    texts = [captioning.template_caption(scene.world), captioning.caption(scene.world, rng)]
    width = max(row.width // 7, 20)
    for line, text in enumerate(texts):
        shown = textwrap.shorten(text, width=width, placeholder=" …")
        draw.text((6, cell + 4 + 19 * line), shown, fill="black", font=font)
    return row
