import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
import torch
from scenes import assert_same_gaussians, toy_scene

from videorfsplat.formats.colmap import load_colmap
from videorfsplat.formats.ply import load_ply
from videorfsplat.formats.poses import load_npz
from videorfsplat.formats.splat_formats import load_splats
from videorfsplat.formats.transforms_json import load_transforms, read_transforms
from videorfsplat.generation import scene as scene_module
from videorfsplat.generation.scene import Scene
from videorfsplat.rendering.rasterization import rasterize


@pytest.fixture
def folder(tmp_path):
    toy_scene().save(tmp_path / "scene")
    return tmp_path / "scene"


def edit_json(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("with_depths", [True, False])
def test_loading_returns_what_was_saved(tmp_path, with_depths):
    original = toy_scene(with_depths=with_depths)
    original.save(tmp_path / "a" / "scene")
    found = Scene.load(tmp_path / "a" / "scene")
    assert_same_gaussians(found.gaussians, original.gaussians)
    torch.testing.assert_close(found.cameras.viewmats, original.cameras.viewmats)
    assert torch.equal(found.cameras.Ks, original.cameras.Ks)
    np.testing.assert_array_equal(found.frames, original.frames)
    assert found.record == original.record
    if original.depths is None:
        assert found.depths is None
    else:
        assert found.depths is not None
        assert torch.equal(found.depths, original.depths)


def test_folder_has_the_documented_files(folder):
    frames = {f"frames/{i:03d}.png" for i in range(8)}
    names = {"scene.ply", "transforms.json", "scene.json", "depths.safetensors"}
    assert set(contents(folder)) == frames | names
    assert os.listdir(folder.parent) == ["scene"]
    description = json.loads((folder / "scene.json").read_text())
    assert (description["format"], description["version"]) == ("videorfsplat-scene", 1)
    transforms = read_transforms(folder / "transforms.json")
    assert transforms.ply_path == "scene.ply"
    assert all((folder / path).is_file() for path in transforms.image_paths)
    # The folder is as open as any other: what it was written in is closed.
    (folder.parent / "other").mkdir()
    assert folder.stat().st_mode == (folder.parent / "other").stat().st_mode


def test_loaded_scene_renders_the_same(folder):
    original, found = toy_scene(), Scene.load(folder)
    before, after = (
        rasterize(s.gaussians, s.cameras, backend="torch")[0] for s in (original, found)
    )
    assert before.std() > 0.05
    # Relative rounding of 2e-6 in each Gaussian, and hundreds of them over one another.
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)


def test_saving_over_a_scene_leaves_nothing_of_it_but_foreign_files(folder):
    for name in ("preview.mp4", "latents.safetensors"):
        (folder / name).write_bytes(b"of the old scene")
    (folder / "notes.txt").write_text("mine")
    new = toy_scene(num_views=3, with_depths=False)
    new.save(folder)
    frames = {f"frames/{i:03d}.png" for i in range(3)}
    names = {"scene.ply", "transforms.json", "scene.json", "notes.txt"}
    assert set(contents(folder)) == frames | names
    assert os.listdir(folder.parent) == ["scene"]
    np.testing.assert_array_equal(Scene.load(folder).frames, new.frames)


def test_failure_while_writing_leaves_the_old_scene(folder, monkeypatch):
    before = contents(folder)

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(scene_module, "save_transforms", fail)
    with pytest.raises(OSError, match="no space left"):
        toy_scene(num_views=3).save(folder)
    with pytest.raises(OSError, match="no space left"):
        toy_scene(num_views=3).save(folder.parent / "new")
    assert contents(folder) == before
    assert os.listdir(folder.parent) == ["scene"]


def test_failure_while_replacing_is_noticed_by_the_next_reader(folder, monkeypatch):
    real_replace = os.replace

    def fail_late(source, target):
        if str(target).endswith("transforms.json") and "scene/transforms" in str(target):
            if str(source).endswith(".part"):
                return real_replace(source, target)
            raise OSError("unplugged")
        return real_replace(source, target)

    monkeypatch.setattr(os, "replace", fail_late)
    with pytest.raises(OSError, match="unplugged"):
        toy_scene(num_views=3).save(folder)
    with pytest.raises(FileNotFoundError, match=r"not a scene folder: scene\.json is missing"):
        Scene.load(folder)
    assert os.listdir(folder.parent) == ["scene"]
    monkeypatch.undo()
    toy_scene(num_views=3).save(folder)
    assert Scene.load(folder).cameras.num_views == 3
    assert not (folder / "scene.unfinished").exists()


@pytest.mark.parametrize(
    "name",
    ["transforms.json", "scene.ply", "preview.mp4", "latents.safetensors", "frames/000.png"],
)
def test_leaves_a_folder_alone_that_is_no_scene(tmp_path, name):
    theirs = tmp_path / "theirs" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    with pytest.raises(ValueError, match=r"is no scene folder, and its .* would be lost"):
        toy_scene().save(tmp_path / "theirs")
    assert theirs.read_text() == "theirs"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]


def test_refuses_a_folder_within_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        toy_scene().save(tmp_path / "file" / "a" / "scene")


@pytest.mark.parametrize("record", [{"a": {1, 2}}, {"a": float("nan")}, {"tensor": torch.zeros(1)}])
def test_refuses_records_that_are_not_json_before_writing(tmp_path, record):
    with pytest.raises(ValueError, match="record cannot be written as JSON"):
        replace(toy_scene(), record=record).save(tmp_path / "scene")
    assert list(tmp_path.iterdir()) == []


def test_refuses_bad_gaussians_before_touching_the_folder(folder):
    before = contents(folder)
    broken = toy_scene()
    broken.gaussians.means[0, 0] = float("nan")
    with pytest.raises(ValueError, match="means"):
        broken.save(folder)
    assert contents(folder) == before


def test_refuses_a_file_as_folder(tmp_path):
    (tmp_path / "scene").write_text("a file")
    with pytest.raises(ValueError, match="is a file"):
        toy_scene().save(tmp_path / "scene")


def test_rejects_parts_that_do_not_fit():
    good = toy_scene()
    with pytest.raises(ValueError, match=r"expected uint8 frames of shape \(8, 32, 48, 3\)"):
        replace(good, frames=good.frames[:3])
    with pytest.raises(ValueError, match=r"expected depths of shape \(8, 32, 48, 1\)"):
        replace(good, depths=torch.zeros(8, 16, 48, 1))


@pytest.mark.parametrize(
    "name", ["scene.json", "scene.ply", "transforms.json", "depths.safetensors"]
)
def test_names_the_missing_or_damaged_file(folder, name):
    good = (folder / name).read_bytes()
    for bad in (b"", b"garbage", good[: len(good) // 2]):
        (folder / name).write_bytes(bad)
        with pytest.raises(ValueError, match=name):
            Scene.load(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Scene.load(folder)


def test_names_missing_frames_and_folders(folder):
    (folder / "frames" / "004.png").unlink()
    with pytest.raises(ValueError, match="do not belong together: expected uint8 frames"):
        Scene.load(folder)
    with pytest.raises(FileNotFoundError, match="no such scene folder"):
        Scene.load(folder.parent / "nothing")
    with pytest.raises(FileNotFoundError, match="not a scene folder"):
        Scene.load(folder.parent)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version 2, this program reads 1"),
        ({"version": None}, "version None"),
        ({"format": "other"}, "expected .format.: .videorfsplat-scene."),
        ({"record": []}, "wrong kind: record"),
        ({"num_gaussians": 3}, "says num_gaussians = 3, found 300"),
        ({"num_views": 9}, "says num_views = 9, found 8"),
    ],
)
def test_rejects_other_versions_and_descriptions(folder, changes, reason):
    edit_json(folder / "scene.json", **changes)
    with pytest.raises(ValueError, match=reason):
        Scene.load(folder)


def test_rejects_descriptions_with_missing_keys(folder):
    (folder / "scene.json").write_text('{"format": "videorfsplat-scene", "version": 1}')
    with pytest.raises(ValueError, match=r"missing .*num_gaussians, num_views, "):
        Scene.load(folder)


@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".spz", ".sog", ".splat"])
def test_exports_gaussians(tmp_path, suffix):
    path = toy_scene(degree=0).export(tmp_path / f"x{suffix}")
    assert len(load_splats(path)) == 300


def test_exports_cameras(tmp_path):
    scene = toy_scene()
    for name, load in [("transforms.json", load_transforms), ("cameras.npz", load_npz)]:
        found = load(scene.export(tmp_path / name))
        torch.testing.assert_close(found.viewmats, scene.cameras.viewmats)
    rows = np.loadtxt(scene.export(tmp_path / "cameras.tum"))
    np.testing.assert_allclose(rows[:, 1:4], scene.cameras.centers, atol=1e-6)


def test_exports_glb_and_film(tmp_path):
    scene = toy_scene()
    assert scene.export(tmp_path / "scene.glb").read_bytes().startswith(b"glTF")
    assert scene.export(tmp_path / "views.mp4").read_bytes()[4:8] == b"ftyp"


def test_exports_a_page_that_names_the_prompt(tmp_path):
    scene = replace(toy_scene(), record={"settings": {"prompt": "a <red> house"}})
    assert "<title>a &lt;red&gt; house</title>" in scene.export(tmp_path / "x.html").read_text()
    nameless = replace(scene, record={}).export(tmp_path / "y.html")
    assert "<title>Scene</title>" in nameless.read_text()


def test_exports_a_colmap_folder_and_the_same_in_a_zip(tmp_path):
    scene = toy_scene()
    folder = scene.export(tmp_path / "colmap")
    assert sorted(p.name for p in folder.iterdir()) == ["images", "sparse"]
    model = pycolmap.Reconstruction(folder / "sparse" / "0")
    for image in model.images.values():
        assert (folder / "images" / image.name).is_file()
    visible = int((scene.gaussians.opacities >= 0.1).sum())
    assert 0 < visible == model.num_points3D() < 300
    torch.testing.assert_close(
        load_colmap(folder / "sparse" / "0").viewmats, scene.cameras.viewmats, rtol=0, atol=1e-6
    )
    archive = zipfile.ZipFile(scene.export(tmp_path / "colmap.zip"))
    files = {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")}
    assert files == contents(folder)
    assert sorted(os.listdir(tmp_path)) == ["colmap", "colmap.zip"]


def test_export_turns_gaussians_and_cameras_alike(tmp_path):
    scene = toy_scene()
    for name in ("x.ply", "t.json"):
        scene.export(tmp_path / name, axes="opengl")
    # Both files say so, and both are turned back.
    assert "opengl" in (tmp_path / "t.json").read_text()
    assert b"opengl" in (tmp_path / "x.ply").read_bytes()
    assert_same_gaussians(load_ply(tmp_path / "x.ply"), scene.gaussians)
    found = load_transforms(tmp_path / "t.json").viewmats
    torch.testing.assert_close(found, scene.cameras.viewmats)


def test_rejects_unknown_formats(tmp_path):
    with pytest.raises(ValueError, match=r"x\.obj: unknown format, expected \.compressed\.ply, "):
        toy_scene().export(tmp_path / "x.obj")
    assert list(tmp_path.iterdir()) == []
