import json
import struct

import numpy as np
import pytest
import trimesh
from scenes import orbit_cameras, random_gaussians

from videorfsplat.formats.glb import save_glb
from videorfsplat.geometry.view_colors import VIEW_COLORS

TO_GLTF = np.array([1.0, -1.0, -1.0])


def json_of(path) -> dict:
    data = path.read_bytes()
    magic, version, length, json_length = struct.unpack("<4sIII", data[:16])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    return json.loads(data[20 : 20 + json_length])


def to_srgb(linear: np.ndarray) -> np.ndarray:
    values = linear / 255
    small = values <= 0.0031308
    return np.where(small, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055) * 255


def test_frustums_stand_where_the_cameras_are(tmp_path):
    cameras = orbit_cameras()
    save_glb(cameras, tmp_path / "scene.glb", frustum_size=0.25)
    scene = trimesh.load(tmp_path / "scene.glb")
    for i in range(8):
        transform, name = scene.graph[f"view_{i + 1}"]
        vertices = trimesh.transform_points(scene.geometry[name].vertices, transform)
        # float32 in the file
        apex = cameras.centers[i].numpy() * TO_GLTF
        np.testing.assert_allclose(transform[:3, 3], apex, atol=1e-6)
        assert np.linalg.norm(vertices - apex, axis=1).min() < 1e-6
        # Every other vertex is a corner of the picture at depth 0.25: it projects onto it.
        in_world = vertices[np.linalg.norm(vertices - apex, axis=1) > 1e-3] * TO_GLTF
        viewmat = cameras.viewmats[i].double().numpy()
        in_camera = in_world @ viewmat[:3, :3].T + viewmat[:3, 3]
        np.testing.assert_allclose(in_camera[:, 2], 0.25, atol=1e-5)
        pixels = in_camera @ cameras.Ks[i].double().numpy().T / in_camera[:, 2:]
        corners = {tuple(np.round(p).astype(int) + 0) for p in pixels[:, :2]}
        assert corners == {(0, 0), (48, 0), (48, 32), (0, 32)}
        np.testing.assert_allclose(pixels, np.round(pixels), atol=1e-3)


def test_each_view_has_its_colour(tmp_path):
    save_glb(orbit_cameras(9), tmp_path / "scene.glb")
    scene = trimesh.load(tmp_path / "scene.glb")
    data, content = (tmp_path / "scene.glb").read_bytes(), json_of(tmp_path / "scene.glb")
    start = 28 + struct.unpack("<I", data[12:16])[0]
    for i in range(9):
        mesh = next(m for m in content["meshes"] if m["name"] == f"view_{i + 1}")
        accessor = content["accessors"][mesh["primitives"][0]["attributes"]["COLOR_0"]]
        view = content["bufferViews"][accessor["bufferView"]]
        offset = start + view["byteOffset"]
        colors = np.frombuffer(data, np.uint8, accessor["count"] * 4, offset).reshape(-1, 4)
        assert (colors == colors[0]).all()
        hexadecimal = VIEW_COLORS[i % 8].lstrip("#")
        expected = np.frombuffer(bytes.fromhex(hexadecimal), np.uint8)
        # A byte of linear light is up to 13 bytes of sRGB near black, where the curve is steepest.
        np.testing.assert_allclose(to_srgb(colors[0, :3]), expected, atol=7)
    assert len(scene.geometry) == 9


def test_gltf_cameras_have_the_field_of_view(tmp_path):
    cameras = orbit_cameras(2)
    save_glb(cameras, tmp_path / "scene.glb")
    content = json_of(tmp_path / "scene.glb")
    assert len(content["cameras"]) == 2
    for i in range(2):
        perspective = content["cameras"][i]["perspective"]
        assert perspective["yfov"] == pytest.approx(2 * np.arctan(16 / 40))
        assert perspective["aspectRatio"] == pytest.approx(1.5)
        index, node = next((k, n) for k, n in enumerate(content["nodes"]) if n.get("camera") == i)
        assert node["extras"] == {"K": cameras.Ks[i].tolist(), "width": 48, "height": 32}
        parent = next(n for n in content["nodes"] if index in n.get("children", []))
        assert parent["name"] == f"view_{i + 1}"
        # glTF cameras look along −z of their node.
        matrix = np.array(parent["matrix"]).reshape(4, 4).T
        forward = cameras.viewmats[i, 2, :3].numpy() * TO_GLTF
        np.testing.assert_allclose(-matrix[:3, 2], forward, atol=1e-6)


def test_points_are_the_gaussians(tmp_path):
    gaussians = random_gaussians(num=60)
    save_glb(orbit_cameras(2), tmp_path / "scene.glb", gaussians)
    cloud = trimesh.load(tmp_path / "scene.glb").geometry["points"]
    np.testing.assert_allclose(cloud.vertices, gaussians.means.numpy() * TO_GLTF, atol=1e-6)
    expected = gaussians.base_colors.clamp(0, 1).numpy() * 255
    found = to_srgb(np.asarray(cloud.colors)[:, :3])
    # Half a byte of linear light, and half a byte of the colours themselves.
    np.testing.assert_allclose(found, expected, atol=8)
    assert json_of(tmp_path / "scene.glb")["extensionsUsed"] == ["KHR_materials_unlit"]


def test_writing_leaves_trimesh_as_it_was(tmp_path):
    save_glb(orbit_cameras(2), tmp_path / "scene.glb", random_gaussians(num=5))
    plain = trimesh.Scene(trimesh.PointCloud(np.zeros((2, 3)), colors=np.zeros((2, 4), np.uint8)))
    assert b"unlit" not in plain.export(file_type="glb")


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_rejects_a_size_that_is_not_positive(tmp_path, size):
    with pytest.raises(ValueError, match="frustum_size"):
        save_glb(orbit_cameras(2), tmp_path / "scene.glb", frustum_size=size)
