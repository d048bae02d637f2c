"""Scenes that come with the code: small, and whole again when somebody wants their files."""

import numpy as np

from videorfsplat.generation.scene import Scene
from videorfsplat.geometry.gaussians import prune_gaussians
from videorfsplat.ui.downloads import make_download
from videorfsplat.ui.packed_scene import load_packed_scene, pack_scene
from videorfsplat.ui.scene_folder import frames_of
from videorfsplat.ui.splat_viewer import show_scene_messages


def test_a_packed_scene_is_shown_as_the_whole_one(scene_folder, tmp_path):
    pack_scene(scene_folder, tmp_path / "packed")
    names = {path.name for path in (tmp_path / "packed").iterdir()}
    assert names == {
        "scene.compressed.ply",
        "transforms.json",
        "scene.json",
        "points.json",
        "frames",
        "depth",
    }
    assert frames_of(tmp_path / "packed").count("depth/") == 3
    [load] = show_scene_messages(tmp_path / "packed")
    assert load["content"].endswith("packed/scene.compressed.ply")


def test_it_is_whole_again_when_its_files_are_made(scene_folder, tmp_path):
    pack_scene(scene_folder, tmp_path / "packed")
    path = make_download(tmp_path / "packed", "scene.spz")
    assert path.stat().st_size > 0
    whole, again = Scene.load(scene_folder), load_packed_scene(tmp_path / "packed")
    assert again.record == whole.record
    np.testing.assert_array_equal(again.frames, whole.frames)
    visible = prune_gaussians(whole.gaussians)
    assert len(again.gaussians) == len(visible)
    # The order differs. Centres keep 10 bits of the box of 256 neighbours.
    extent = float((visible.means.amax(0) - visible.means.amin(0)).max())
    np.testing.assert_allclose(
        again.gaussians.means.mean(0), visible.means.mean(0), atol=extent / 1000
    )
