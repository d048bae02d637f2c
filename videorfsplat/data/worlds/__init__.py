"""Procedural worlds: seeded scenes, sentences about them, rendered views with exact depth."""

from videorfsplat.data.worlds.dataset import (
    HELD_OUT_SEED,
    WorldScene,
    WorldsDataset,
    make_scene,
    preview_sheet,
    write_worlds,
)
from videorfsplat.data.worlds.grammar import World, sample_world

__all__ = [
    "HELD_OUT_SEED",
    "World",
    "WorldScene",
    "WorldsDataset",
    "make_scene",
    "preview_sheet",
    "sample_world",
    "write_worlds",
]
