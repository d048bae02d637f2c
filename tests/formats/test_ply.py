import contextlib
import io

import numpy as np
import pytest
import torch
import trimesh
from gaussforge import GaussForge
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement
from scenes import assert_same_gaussians, orbit_cameras, random_gaussians

from videorfsplat.formats.axes import cameras_in_axes, check_axes, gaussians_in_axes
from videorfsplat.formats.ply import load_ply, parse_ply, ply_bytes, save_ply
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.rasterization import rasterize

# Sign of each real spherical harmonic of 3DGS when y and z change sign, by parity in (y, z).
SH_SIGNS = (1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1)


def edit(data: bytes, change) -> bytes:
    """The PLY `data` with the vertex table that `change` returns."""
    ply = PlyData.read(io.BytesIO(data))
    table = change(np.array(ply["vertex"].data))
    stream = io.BytesIO()
    PlyData([PlyElement.describe(table, "vertex")], byte_order="<").write(stream)
    return stream.getvalue()


def set_value(name: str, value: float):
    def change(table: np.ndarray) -> np.ndarray:
        table[name][3] = value
        return table

    return change


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_reading_returns_what_was_written(tmp_path, degree):
    gaussians = random_gaussians(degree=degree)
    save_ply(gaussians, tmp_path / "new" / "scene.ply")
    assert_same_gaussians(load_ply(tmp_path / "new" / "scene.ply"), gaussians)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["scene.ply"]


def test_layout_is_that_of_inria():
    gaussians = random_gaussians(num=5, degree=1)
    ply = PlyData.read(io.BytesIO(ply_bytes(gaussians, comments=["a café\nby night"])))
    table = ply["vertex"].data
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{i}" for i in range(9)]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert list(table.dtype.names) == names
    assert all(table.dtype[name] == np.dtype("<f4") for name in names)
    # Logarithms and logits to float32 rounding; all of red comes before green in f_rest.
    np.testing.assert_allclose(np.exp(table["scale_1"]), gaussians.scales[:, 1], rtol=1e-6)
    logit = gaussians.opacities.double().logit()
    np.testing.assert_allclose(table["opacity"], logit, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(table["f_rest_2"], gaussians.sh[:, 3, 0])
    np.testing.assert_array_equal(table["f_rest_3"], gaussians.sh[:, 1, 1])
    np.testing.assert_array_equal(table["rot_0"], gaussians.quats[:, 0])
    assert ply.comments[0].startswith("world axes: opencv")
    assert ply.comments[1] == r"a caf\xe9\nby night"


def test_other_loaders_open_it(tmp_path):
    gaussians = random_gaussians(num=50, degree=1)
    save_ply(gaussians, tmp_path / "scene.ply")
    cloud = trimesh.load(tmp_path / "scene.ply")
    np.testing.assert_array_equal(np.asarray(cloud.vertices, np.float32), gaussians.means)
    info = GaussForge().read((tmp_path / "scene.ply").read_bytes(), "ply")["data"]
    assert info["numPoints"] == 50


@settings(max_examples=25)
@given(st.floats(0, 1), st.floats(1e-6, 1e3), st.floats(-50, 50))
def test_every_opacity_scale_and_colour_survives(opacity, scale, coefficient):
    gaussians = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), scale, dtype=torch.float64).float(),
        opacities=torch.tensor([opacity]),
        sh=torch.full((1, 1, 3), coefficient),
    )
    found = parse_ply(ply_bytes(gaussians), "file")
    # The clamp costs 1e-6; the rounding of a float32 logit of size 14 costs 1e-6 · p (1 − p).
    assert abs(found.opacities.item() - gaussians.opacities.item()) <= 1.2e-6
    # A float32 logarithm of size 14 is wrong by 5e-7.
    torch.testing.assert_close(found.scales, gaussians.scales, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.sh, gaussians.sh, rtol=0, atol=0)


def test_opengl_axes_are_stated_in_the_file_and_undone_on_reading():
    gaussians = random_gaussians(degree=3)
    data = ply_bytes(gaussians, axes="opengl")
    table = PlyData.read(io.BytesIO(data))["vertex"].data
    np.testing.assert_array_equal(table["y"], -gaussians.means[:, 1])
    assert_same_gaussians(parse_ply(data, "file"), gaussians)


def test_rejects_unknown_axes():
    with pytest.raises(ValueError, match=r"opencv.*opengl.*blender"):
        check_axes("blender")


def test_half_turn_of_harmonics_follows_their_parity():
    gaussians = random_gaussians(degree=3)
    turned = gaussians_in_axes(gaussians, "opengl")
    expected = gaussians.sh * torch.tensor(SH_SIGNS)[:, None]
    # float32 rounding of the 16 × 16 rotation matrix
    torch.testing.assert_close(turned.sh, expected, rtol=0, atol=1e-6)


def test_scene_from_reread_file_renders_the_same_from_all_views():
    gaussians, cameras = random_gaussians(num=400, degree=2), orbit_cameras()
    found = parse_ply(ply_bytes(gaussians), "file")
    before, after = (rasterize(g, cameras, backend="torch")[0] for g in (gaussians, found))
    assert before.std() > 0.05
    # Relative rounding of 2e-6 in each Gaussian, and hundreds of them over one another.
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)


def test_turned_world_renders_the_same_through_turned_cameras():
    gaussians, cameras = random_gaussians(num=400, degree=2), orbit_cameras()
    before = rasterize(gaussians, cameras, backend="torch")[0]
    turned = gaussians_in_axes(gaussians, "opengl"), cameras_in_axes(cameras, "opengl")
    torch.testing.assert_close(rasterize(*turned, backend="torch")[0], before, rtol=0, atol=1e-4)
    # Without the cameras the picture must change, or the comparison says nothing.
    assert (rasterize(turned[0], cameras, backend="torch")[0] - before).abs().max() > 0.1


def test_quaternions_are_normalised():
    gaussians = random_gaussians(num=5)

    def scale_quats(table: np.ndarray) -> np.ndarray:
        for i in range(4):
            table[f"rot_{i}"] *= 7.5
        return table

    found = parse_ply(edit(ply_bytes(gaussians), scale_quats), "file")
    torch.testing.assert_close(found.quats, gaussians.quats)


def test_infinite_logits_are_opacities_of_zero_and_one():
    data = edit(ply_bytes(random_gaussians(num=5)), set_value("opacity", np.inf))
    assert parse_ply(data, "file").opacities[3] == 1


def test_empty_scene_round_trips():
    empty = random_gaussians(num=4)[:0]
    assert len(parse_ply(ply_bytes(empty), "file")) == 0


def test_ascii_and_big_endian_files_are_read():
    gaussians = random_gaussians(num=20, degree=1)
    ply = PlyData.read(io.BytesIO(ply_bytes(gaussians)))
    for options in ({"text": True}, {"byte_order": ">"}):
        stream = io.BytesIO()
        PlyData([PlyElement.describe(np.array(ply["vertex"].data), "vertex")], **options).write(
            stream
        )
        # Text has 8 digits.
        assert_same_gaussians(parse_ply(stream.getvalue(), "file"), gaussians, 1e-5)


@pytest.mark.parametrize("name", ["x", "f_dc_1", "scale_1", "rot_3"])
def test_names_the_missing_property(name):
    def drop(table: np.ndarray) -> np.ndarray:
        return np.array(
            table[[n for n in table.dtype.names if n != name]].tolist(),
            dtype=[(n, "<f4") for n in table.dtype.names if n != name],
        )

    data = edit(ply_bytes(random_gaussians(num=5)), drop)
    with pytest.raises(ValueError, match=f"my.ply: not a 3DGS PLY: property {name} is missing"):
        parse_ply(data, "my.ply")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("x", np.nan, "means"),
        ("opacity", np.nan, "opacities"),
        ("scale_1", np.inf, "scales"),
        ("scale_1", 200.0, "scales"),
        ("rot_2", np.nan, "quat"),
        ("f_dc_0", -np.inf, "sh"),
    ],
)
def test_rejects_values_that_are_not_finite(name, value, reason):
    data = edit(ply_bytes(random_gaussians(num=5)), set_value(name, value))
    with pytest.raises(ValueError, match=rf"my\.ply: {reason}.* not finite"):
        parse_ply(data, "my.ply", strict=True)


def test_rejects_a_zero_quaternion():
    def zero(table: np.ndarray) -> np.ndarray:
        for i in range(4):
            table[f"rot_{i}"][2] = 0
        return table

    with pytest.raises(ValueError, match=r"quaternion .* is zero"):
        parse_ply(edit(ply_bytes(random_gaussians(num=5)), zero), "file", strict=True)


def test_rejects_a_mesh_and_a_wrong_number_of_coefficients(tmp_path):
    trimesh.creation.box().export(tmp_path / "box.ply")
    with pytest.raises(ValueError, match="of face is a list, as in a mesh"):
        load_ply(tmp_path / "box.ply")
    rest = [(f"f_rest_{i}", "<f4") for i in range(7)]
    stream = io.BytesIO()
    PlyData([PlyElement.describe(np.zeros(2, dtype=rest), "vertex")]).write(stream)
    with pytest.raises(ValueError, match="7 properties f_rest"):
        parse_ply(stream.getvalue(), "file")


@settings(max_examples=25)
@given(st.data())
def test_damaged_bytes_never_raise_anything_but_value_error(data):
    content = ply_bytes(random_gaussians(num=3))
    cut = data.draw(st.integers(0, len(content) - 1))
    position = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255))
    with pytest.raises(ValueError, match="file"):
        parse_ply(content[:cut], "file")
    with contextlib.suppress(ValueError):
        found = parse_ply(content[:position] + bytes([byte]) + content[position + 1 :], "file")
        found.check_values()


@pytest.mark.parametrize("count", [10**9, 10**15, 10**30, -1])
def test_header_that_promises_too_much_is_damaged(count):
    content = ply_bytes(random_gaussians(num=3)).replace(
        b"element vertex 3", f"element vertex {count}".encode()
    )
    with pytest.raises(ValueError, match="file"):
        parse_ply(content, "file")
    text = content.replace(b"binary_little_endian", b"ascii")
    with pytest.raises(ValueError, match="file"):
        parse_ply(text, "file")


def test_refuses_to_write_values_out_of_range(tmp_path):
    gaussians = random_gaussians(num=5)
    gaussians.opacities[2] = 1.5
    with pytest.raises(ValueError, match="opacities"):
        save_ply(gaussians, tmp_path / "scene.ply")
    wide = random_gaussians(num=5).to(torch.float64)
    wide.means[0, 0] = 1e300
    with pytest.raises(ValueError, match="x holds a value that is not finite in float32"):
        save_ply(wide, tmp_path / "scene.ply")
    assert list(tmp_path.iterdir()) == []
