import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scenes import orbit_cameras
from scipy.spatial.transform import Rotation
from strategies import build_cameras, cameras

from videorfsplat.formats.poses import load_npz, save_npz, save_tum


def test_npz_keeps_every_bit(tmp_path):
    original = orbit_cameras()
    save_npz(original, tmp_path / "cameras.npz")
    found = load_npz(tmp_path / "cameras.npz")
    assert torch.equal(found.viewmats, original.viewmats)
    assert torch.equal(found.Ks, original.Ks)
    assert (found.width, found.height) == (48, 32)


def test_npz_states_its_axes_and_is_turned_back(tmp_path):
    original = orbit_cameras()
    save_npz(original, tmp_path / "cameras.npz", axes="opengl")
    with np.load(tmp_path / "cameras.npz") as arrays:
        assert str(arrays["world_axes"]) == "opengl"
        np.testing.assert_array_equal(arrays["viewmats"][:, :, 1], -original.viewmats[:, :, 1])
    torch.testing.assert_close(load_npz(tmp_path / "cameras.npz").viewmats, original.viewmats)


@settings(max_examples=25)
@given(original=cameras())
def test_tum_lines_are_camera_poses(tmp_path_factory, original):
    path = tmp_path_factory.mktemp("tum") / "cameras.tum"
    save_tum(original, path)
    rows = np.loadtxt(path, ndmin=2)
    np.testing.assert_array_equal(rows[:, 0], np.arange(original.num_views))
    np.testing.assert_allclose(rows[:, 1:4], original.centers, atol=1e-12)
    rotations = Rotation.from_quat(rows[:, 4:8]).as_matrix()  # scipy's order is xyzw as well
    np.testing.assert_allclose(rotations, original.viewmats[:, :3, :3].mT, atol=1e-12)


def test_tum_of_a_known_camera(tmp_path):
    """Turned a right angle about y: (x, y, z, w) = (0, √½, 0, √½)."""
    known = build_cameras([(0.0, np.pi / 2, 0.0)], [(1.0, 2.0, 3.0)])
    save_tum(known, tmp_path / "cameras.tum")
    row = np.loadtxt(tmp_path / "cameras.tum")
    np.testing.assert_allclose(row, [0, 1, 2, 3, 0, 0.5**0.5, 0, 0.5**0.5], atol=1e-15)


def test_rejects_files_that_hold_no_cameras(tmp_path):
    path = tmp_path / "cameras.npz"
    np.savez(path, viewmats=np.eye(4)[None])
    with pytest.raises(ValueError, match=r"cameras\.npz: not a camera file .*world_axes"):
        load_npz(path)
    save_npz(orbit_cameras(), path)
    good = path.read_bytes()
    for bad in (b"", b"garbage", good[:100], good[: len(good) // 2]):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"cameras\.npz: not a camera file"):
            load_npz(path)
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(path, viewmats=pickled, Ks=pickled, width=1, height=1, world_axes="opencv")
    with pytest.raises(ValueError, match="not a camera file"):
        load_npz(path)
