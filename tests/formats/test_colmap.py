import numpy as np
import pycolmap
import pytest
import torch
from hypothesis import given, settings
from scenes import orbit_cameras, random_gaussians
from strategies import cameras

from videorfsplat.formats.axes import cameras_in_axes, gaussians_in_axes
from videorfsplat.formats.colmap import load_colmap, read_colmap, save_colmap


@settings(max_examples=25)
@given(original=cameras())
def test_round_trip(tmp_path_factory, original):
    folder = tmp_path_factory.mktemp("colmap")
    save_colmap(original, folder)
    found = load_colmap(folder, torch.float64)
    # A matrix → a quaternion → a matrix, in double precision.
    torch.testing.assert_close(found.viewmats, original.viewmats, rtol=0, atol=1e-12)
    assert torch.equal(found.Ks, original.Ks)
    assert (found.width, found.height) == (original.width, original.height)


def test_pycolmap_reads_the_same_model(tmp_path):
    original, gaussians = orbit_cameras(), random_gaussians(num=50)
    original.Ks[2, 0, 0] = 55.0
    names = [f"view_{i}.png" for i in range(8)]
    save_colmap(original, tmp_path / "sparse" / "0", names, gaussians)
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert (model.num_cameras(), model.num_images(), model.num_points3D()) == (2, 8, 50)
    images = sorted(model.images.values(), key=lambda image: image.image_id)
    for i, image in enumerate(images):
        assert image.name == names[i]
        pose = image.cam_from_world().matrix()
        np.testing.assert_allclose(pose, original.viewmats[i, :3], atol=1e-6)
        camera = model.cameras[image.camera_id]
        np.testing.assert_allclose(camera.calibration_matrix(), original.Ks[i], rtol=1e-7)
        assert (camera.width, camera.height) == (48, 32)
        np.testing.assert_allclose(image.projection_center(), original.centers[i], atol=1e-6)
        # Reprojection, with COLMAP's own code: pixel centres at +0.5 there as here.
        point = np.array([0.2, -0.1, 3.0])
        pixel = original.Ks[i].double() @ (
            original.viewmats[i, :3, :3].double() @ torch.from_numpy(point)
            + original.viewmats[i, :3, 3].double()
        )
        # float32 poses, at 40 pixels focal length
        np.testing.assert_allclose(image.project_point(point), pixel[:2] / pixel[2], atol=1e-4)
    points = [model.points3D[i + 1] for i in range(50)]
    np.testing.assert_allclose([p.xyz for p in points], gaussians.means, rtol=1e-7)
    colors = gaussians.base_colors.clamp(0, 1) * 255
    np.testing.assert_allclose([p.color for p in points], colors, atol=0.501)


def test_model_that_pycolmap_wrote_is_read(tmp_path):
    original = orbit_cameras()
    save_colmap(original, tmp_path / "ours", [f"{i}.png" for i in range(8)], random_gaussians(9))
    (tmp_path / "theirs").mkdir()
    pycolmap.Reconstruction(tmp_path / "ours").write_text(str(tmp_path / "theirs"))
    found = read_colmap(tmp_path / "theirs")
    assert found.image_names == [f"{i}.png" for i in range(8)]
    torch.testing.assert_close(found.cameras.viewmats, original.viewmats, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.cameras.Ks, original.Ks)


def test_simple_pinhole_is_read(tmp_path):
    save_colmap(orbit_cameras(2), tmp_path)
    (tmp_path / "cameras.txt").write_text("1 SIMPLE_PINHOLE 48 32 40 24 16\n")
    torch.testing.assert_close(load_colmap(tmp_path).Ks, orbit_cameras(2).Ks)


def test_world_axes_are_turned_together(tmp_path):
    original, gaussians = orbit_cameras(), random_gaussians(num=20)
    save_colmap(original, tmp_path, gaussians=gaussians, axes="opengl")
    expected = cameras_in_axes(original, "opengl").viewmats
    torch.testing.assert_close(load_colmap(tmp_path).viewmats, expected, rtol=0, atol=1e-6)
    points = np.loadtxt(tmp_path / "points3D.txt")[:, 1:4]
    np.testing.assert_allclose(points, gaussians_in_axes(gaussians, "opengl").means, rtol=1e-6)


def replace_line(path, index: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[index] = text
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("file", "line", "text", "reason"),
    [
        ("cameras.txt", 2, "1 OPENCV 48 32 40 40 24 16 0 0 0 0", "OPENCV is not PINHOLE or"),
        ("cameras.txt", 2, "1 PINHOLE 48 32 40 40 24", "PINHOLE has 4 parameters, got 3"),
        ("cameras.txt", 2, "1 PINHOLE", "line 3"),
        ("cameras.txt", 2, "1 PINHOLE 48 32 40 nan 24 16", "not finite"),
        ("cameras.txt", 2, "2 PINHOLE 48 32 40 40 24 16", "camera 1 is not in cameras.txt"),
        ("images.txt", 2, "1 1 0 0 0 0 0 0 1", r"images\.txt, line 3"),
        ("images.txt", 2, "1 1 0 0 0 0 0 x 1 a.png", r"images\.txt, line 3"),
        ("images.txt", 2, "1 1 0 0 0 0 0 inf 1 a.png", r"images\.txt, line 3: .*finite"),
        ("images.txt", 2, "1 0 0 0 0 0 0 0 1 a.png", r"images\.txt, line 3: .*zero norm"),
    ],
)
def test_names_the_damaged_line(tmp_path, file, line, text, reason):
    save_colmap(orbit_cameras(2), tmp_path)
    replace_line(tmp_path / file, line, text)
    with pytest.raises(ValueError, match=reason):
        load_colmap(tmp_path)


def test_rejects_models_without_images_or_with_mixed_sizes(tmp_path):
    save_colmap(orbit_cameras(2), tmp_path)
    content = (tmp_path / "images.txt").read_text()
    (tmp_path / "images.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"images\.txt: no images"):
        load_colmap(tmp_path)
    (tmp_path / "images.txt").write_text(content.replace(" 1 001.png", " 2 001.png"))
    with (tmp_path / "cameras.txt").open("a") as file:
        file.write("2 PINHOLE 64 32 40 40 24 16\n")
    with pytest.raises(ValueError, match=r"one size, got \[\(48, 32\), \(64, 32\)\]"):
        load_colmap(tmp_path)
    (tmp_path / "cameras.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"cameras\.txt is not a text file"):
        load_colmap(tmp_path)
    (tmp_path / "cameras.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"cameras\.txt"):
        load_colmap(tmp_path)


@pytest.mark.parametrize("names", [["a.png"], ["a.png", "b c.png"], ["a.png", " "]])
def test_refuses_to_write_bad_names(tmp_path, names):
    with pytest.raises(ValueError, match="name"):
        save_colmap(orbit_cameras(2), tmp_path, names)
    assert list(tmp_path.iterdir()) == []
