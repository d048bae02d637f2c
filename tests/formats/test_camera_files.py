"""Paths that people give: every format that we write, and 31 dialects of transforms.json."""

import itertools
import json
import logging
import math

import numpy as np
import pytest
import torch
from scenes import orbit_cameras, toy_scene

from videorfsplat.formats.camera_files import read_camera_file
from videorfsplat.formats.transforms_json import save_transforms
from videorfsplat.geometry.cameras import camera_errors


@pytest.mark.parametrize(
    "name", ["a.json", "a.npz", "a.tum", "a.glb", "a.html", "colmap", "a.zip", "mine.bin", "s.json"]
)
def test_every_format_that_we_write_is_a_path(tmp_path, name):
    scene = toy_scene()
    if name == "mine.bin":  # contents tell the format
        scene.export(tmp_path / "a.npz")
        (tmp_path / "a.npz").rename(tmp_path / name)
    else:
        scene.export(tmp_path / name)
    found = read_camera_file(tmp_path / name).cameras
    assert found.viewmats.dtype == torch.float64
    errors = camera_errors(found, scene.cameras, align_scale=False)
    # float32 in some files
    assert errors.rotation_degrees.max() < 1e-3
    assert errors.center_distances.max() < 1e-4
    if name != "a.tum":  # has no intrinsics
        torch.testing.assert_close(found.Ks, scene.cameras.Ks.double())


def test_a_scene_folder_and_a_realestate10k_file_are_paths(tmp_path):
    scene = toy_scene()
    scene.save(tmp_path / "scene")
    assert read_camera_file(tmp_path / "scene").cameras.num_views == 8
    rows = [
        " ".join(map(str, [i, 0.6, 1.1, 0.5, 0.5, 0, 0, *viewmat[:3].flatten().tolist()]))
        for i, viewmat in enumerate(scene.cameras.viewmats)
    ]
    text = "\n".join(["\ufeffhttps://www.youtube.com/watch?v=x", *rows])
    (tmp_path / "clip.txt").write_text(text, encoding="utf-8")
    found = read_camera_file(tmp_path / "clip.txt").cameras
    errors = camera_errors(found, scene.cameras, align_scale=False)
    assert errors.center_distances.max() < 1e-4


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n", b"PK\x03\x04", b"glTF", b"<!doctype html>"]
)
def test_other_files_are_refused_with_what_is_taken(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"^.*/a\b"):
        read_camera_file(tmp_path / "a")


# --- dialects of transforms.json ------------------------------------------------------------------

CAMERAS = orbit_cameras(12).to(torch.float64)


def frames(**values) -> list[dict]:
    camtoworlds = CAMERAS.camtoworlds.numpy().copy()
    camtoworlds[:, :3, 1:3] *= -1
    names = [f"./images/frame_{i:05d}.jpg" for i in range(12)]
    return [
        {"file_path": name, "transform_matrix": matrix.tolist(), **values}
        for name, matrix in zip(names, camtoworlds, strict=True)
    ]


SIZE = {"w": 48, "h": 32}
FOCAL = {"fl_x": 40.0, "fl_y": 40.0, "cx": 24.0, "cy": 16.0}
ANGLE = {"camera_angle_x": 2 * math.atan(24 / 40)}
RADIAL = {"k1": 0.03, "k2": -0.01, "p1": 1e-4, "p2": -2e-4}
NGP = {"aabb_scale": 16, "scale": 0.33, "offset": [0.5, 0.5, 0.5]}
ONLY_MATRICES = [{"transform_matrix": f["transform_matrix"]} for f in frames()]
BLENDER_FRAMES = [
    {**frame, "file_path": f"./train/r_{i}", "rotation": 0.0125} for i, frame in enumerate(frames())
]

DIALECTS = {
    "ngp_colmap2nerf": ANGLE | SIZE | FOCAL | RADIAL | NGP | {"camera_angle_y": 0.8},
    "ngp_without_lens": SIZE | FOCAL | NGP,
    "ngp_angle_and_size": ANGLE | SIZE | NGP,
    "ngp_is_fisheye_false": SIZE | FOCAL | NGP | {"is_fisheye": False},
    "ngp_sharpness": SIZE | FOCAL | {"frames": frames(sharpness=123.4)},
    "ngp_k3_k4": SIZE | FOCAL | RADIAL | {"k3": 0.1, "k4": -0.2, "is_fisheye": False},
    "ngp_rolling_shutter": SIZE | FOCAL | {"rolling_shutter": [0, 0, 0, 0], "up": [0, 0, 1]},
    "nerfstudio_pinhole": SIZE | FOCAL | {"camera_model": "PINHOLE"},
    "nerfstudio_opencv": SIZE | FOCAL | RADIAL | {"camera_model": "OPENCV"},
    "nerfstudio_opencv_zero": SIZE | FOCAL | {"camera_model": "OPENCV", "k1": 0.0, "k2": 0.0},
    "nerfstudio_simple_radial": SIZE | FOCAL | {"camera_model": "SIMPLE_RADIAL", "k1": 0.01},
    "nerfstudio_radial": SIZE | FOCAL | {"camera_model": "RADIAL", "k1": 0.01, "k2": 0.01},
    "nerfstudio_full_opencv": SIZE | FOCAL | RADIAL | {"camera_model": "FULL_OPENCV", "k5": 0.1},
    "nerfstudio_perspective": SIZE | FOCAL | {"camera_model": "perspective"},
    "nerfstudio_per_frame": {"frames": frames(**SIZE, **FOCAL, **RADIAL), "camera_model": "OPENCV"},
    "nerfstudio_applied_transform": SIZE
    | FOCAL
    | {"applied_transform": [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]], "applied_scale": 0.5},
    "nerfstudio_depths": SIZE | FOCAL | {"frames": frames(depth_file_path="d.png", mask_path="m")},
    "nerfstudio_ply": SIZE | FOCAL | {"ply_file_path": "sparse_pc.ply", "orientation_override": 0},
    "polycam": {"frames": frames(**SIZE, **FOCAL, blur_score=3.1), "camera_model": "OPENCV"},
    "polycam_per_frame_zoom": {
        "frames": [
            {**frame, **SIZE, **FOCAL, "fl_x": 40.0 + i, "fl_y": 40.0 + i}
            for i, frame in enumerate(frames())
        ]
    },
    "record3d": SIZE | FOCAL | {"camera_model": "OPENCV", "k1": 0, "frames": frames(timestamp=1.5)},
    "luma": SIZE | FOCAL | RADIAL | {"camera_model": "OPENCV", "frames": frames(sharpness="12.1")},
    "blender": ANGLE | {"frames": BLENDER_FRAMES},
    "blender_strings": {"camera_angle_x": str(ANGLE["camera_angle_x"]), "frames": BLENDER_FRAMES},
    "blender_nulls": ANGLE | {"fl_x": None, "w": None, "h": None, "frames": BLENDER_FRAMES},
    "only_fl_x": SIZE | {"fl_x": 40.0},
    "without_size": FOCAL,
    "without_names": SIZE | FOCAL | {"frames": ONLY_MATRICES},
    "three_rows": SIZE
    | FOCAL
    | {"frames": [{**f, "transform_matrix": f["transform_matrix"][:3]} for f in frames()]},
    "nerfstudio_fisheye": SIZE | FOCAL | RADIAL | {"camera_model": "OPENCV_FISHEYE"},
    "nerfstudio_panorama": SIZE | FOCAL | {"camera_model": "EQUIRECTANGULAR"},
}
REFUSED = {"nerfstudio_fisheye": "OPENCV_FISHEYE", "nerfstudio_panorama": "EQUIRECTANGULAR"}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_are_followed_but_for_fisheyes_and_panoramas(tmp_path, caplog, name):
    content = {"frames": frames()} | DIALECTS[name]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"{REFUSED[name]}.* is not a pinhole camera"):
            read_camera_file(tmp_path / "transforms.json")
        return
    with caplog.at_level(logging.WARNING):
        found = read_camera_file(tmp_path / "transforms.json", strict=True)
    errors = camera_errors(found.cameras, CAMERAS, align_scale=False)
    assert errors.rotation_degrees.max() < 1e-4
    assert errors.center_distances.max() < 1e-6
    # Half the picture's width is 24 / 40 of the focal length in all of them.
    tangents = found.cameras.width / 2 / found.cameras.Ks[:, 0, 0]
    assert float(tangents[0]) == pytest.approx(0.6)
    is_distorted = any(value for key, value in content.items() if key in ("k1", "k2", "k5"))
    is_distorted |= "k1" in content["frames"][0]
    assert ("distortion is ignored" in caplog.text) == is_distorted


def test_there_are_thirty_one_dialects_of_which_two_are_refused():
    assert (len(DIALECTS), len(REFUSED)) == (31, 2)


# --- far away, and of any unit --------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "offset"), itertools.product([1e-4, 1.0, 1e4], [0.0, 5e6]))
def test_paths_far_from_the_origin_keep_their_shape(tmp_path, scale, offset):
    moved = CAMERAS.scaled(scale)
    shift = torch.tensor([offset, -offset, offset / 3]).double()
    moved.viewmats[:, :3, 3] -= moved.viewmats[:, :3, :3] @ shift
    save_transforms(moved, tmp_path / "a.json")
    found = read_camera_file(tmp_path / "a.json").cameras
    errors = camera_errors(found.scaled(1 / scale), CAMERAS, align_scale=False)
    # Doubles have 9 digits after the point at 5e6, some of which inversions cost.
    assert errors.center_distances.max() < 1e-12 * max(offset, 1) / scale + 1e-6
    assert np.isfinite(errors.scale)
