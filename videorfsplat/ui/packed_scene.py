"""Scene folders small enough to come with the code: splats compressed, depths as pictures only."""

import shutil
from dataclasses import replace
from pathlib import Path

from videorfsplat.formats.ply import save_ply
from videorfsplat.formats.splat_formats import load_splats, save_splats
from videorfsplat.generation.scene import PLY_NAME, Scene
from videorfsplat.geometry.gaussians import prune_gaussians
from videorfsplat.ui.scene_folder import SPLATS_NAME, write_depth_pictures, write_points


def pack_scene(folder: Path, target: Path) -> None:
    """Write the scene of a folder to `target` in a tenth of its size.

    What is left out: Gaussians that nobody sees, and the depths but for their pictures.

    Raises:
        ValueError: if the scene is damaged.
    """
    scene = Scene.load(folder)
    depths = write_depth_pictures(folder)
    scene = replace(scene, gaussians=prune_gaussians(scene.gaussians), depths=None)
    scene.save(target)
    save_splats(scene.gaussians, target / SPLATS_NAME)
    write_points(scene.gaussians, target)
    (target / PLY_NAME).unlink()
    (target / "depth").mkdir(exist_ok=True)
    for path in depths:
        shutil.copy(path, target / "depth")


def load_packed_scene(folder: Path) -> Scene:
    """The scene of a folder; if it was packed, its `scene.ply` is first made again.

    Raises:
        FileNotFoundError: if a file of it is missing.
        ValueError: if a file of it is damaged.
    """
    path = folder / PLY_NAME
    if not path.is_file():
        save_ply(load_splats(folder / SPLATS_NAME), path)
    return Scene.load(folder)
