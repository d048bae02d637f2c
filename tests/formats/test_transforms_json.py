import json
import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from PIL import Image
from scenes import orbit_cameras
from strategies import build_cameras, cameras

from videorfsplat.formats import transforms_json
from videorfsplat.formats.transforms_json import (
    load_transforms,
    read_transforms,
    save_transforms,
)
from videorfsplat.geometry.cameras import Cameras


@pytest.fixture
def content(tmp_path) -> dict:
    save_transforms(orbit_cameras(3), tmp_path / "good.json")
    return json.loads((tmp_path / "good.json").read_text())


def load_text(folder, text: str) -> Cameras:
    (folder / "bad.json").write_text(text)
    return load_transforms(folder / "bad.json")


@settings(max_examples=25)
@given(original=cameras())
def test_double_precision_round_trip(tmp_path_factory, original):
    path = tmp_path_factory.mktemp("transforms") / "transforms.json"
    save_transforms(original, path)
    found = load_transforms(path, torch.float64)
    # Two inversions of a rotation and a translation of length up to 4, in double precision.
    torch.testing.assert_close(found.viewmats, original.viewmats, rtol=0, atol=1e-13)
    assert torch.equal(found.Ks, original.Ks)
    assert (found.width, found.height) == (original.width, original.height)


def test_single_precision_round_trip_changes_no_bit_but_zeros(tmp_path):
    original = orbit_cameras()
    save_transforms(original, tmp_path / "transforms.json")
    found = load_transforms(tmp_path / "transforms.json")
    assert torch.equal(found.Ks, original.Ks)
    # What is zero may come back as 1e-17.
    torch.testing.assert_close(found.viewmats, original.viewmats, rtol=0, atol=1e-15)


def test_files_are_nerfstudio_s(tmp_path):
    """A camera at (1, 2, 3) that looks along +z with +y down, written by hand."""
    original = build_cameras([(0.0, 0.0, 0.0)], [(1.0, 2.0, 3.0)], 50.0, 64, 48)
    save_transforms(original, tmp_path / "t.json", ["images/a.png"], "scene.ply")
    content = json.loads((tmp_path / "t.json").read_text())
    assert {k: content[k] for k in ("fl_x", "fl_y", "cx", "cy", "w", "h")} == {
        "fl_x": 50,
        "fl_y": 50,
        "cx": 32,
        "cy": 24,
        "w": 64,
        "h": 48,
    }
    assert content["camera_model"] == "PINHOLE"
    assert content["ply_file_path"] == "scene.ply"
    assert content["frames"][0]["file_path"] == "images/a.png"
    expected = [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]]
    np.testing.assert_array_equal(content["frames"][0]["transform_matrix"], expected)
    found = read_transforms(tmp_path / "t.json")
    assert (found.image_paths, found.ply_path) == (["images/a.png"], "scene.ply")


@settings(max_examples=25)
@given(original=cameras(min_views=2))
def test_a_point_projects_where_nerfstudio_puts_it(tmp_path_factory, original):
    """With the formula of OpenGL cameras, from the numbers in the file alone."""
    path = tmp_path_factory.mktemp("transforms") / "transforms.json"
    save_transforms(original, path)
    content = json.loads(path.read_text())
    point = np.array([0.3, -0.2, 5.0, 1.0])
    for viewmat, K, frame in zip(original.viewmats, original.Ks, content["frames"], strict=True):
        x, y, z, _ = np.linalg.inv(frame["transform_matrix"]) @ point
        in_camera = viewmat.numpy() @ point
        if abs(in_camera[2]) < 1e-3:
            continue
        pixel = K.numpy() @ in_camera[:3] / in_camera[2]
        found = content["fl_x"] * x / -z + content["cx"], content["fl_y"] * -y / -z + content["cy"]
        np.testing.assert_allclose(found, pixel[:2], rtol=1e-8, atol=1e-6)


def test_intrinsics_stand_with_each_frame_when_they_differ(tmp_path):
    zoomed = orbit_cameras(3)
    zoomed.Ks[1, 0, 0] = 55.0
    save_transforms(zoomed, tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    assert "fl_x" not in content
    assert torch.equal(load_transforms(tmp_path / "t.json").Ks, zoomed.Ks)


def test_a_frame_overrides_shared_intrinsics(tmp_path, content):
    content["frames"][1]["fl_x"] = 123.0
    found = load_text(tmp_path, json.dumps(content))
    assert found.Ks[:, 0, 0].tolist() == [40.0, 123.0, 40.0]
    assert found.Ks[:, 1, 1].tolist() == [40.0, 40.0, 40.0]


def test_world_axes_are_stated_and_undone(tmp_path):
    original = orbit_cameras()
    save_transforms(original, tmp_path / "gl.json", axes="opengl")
    save_transforms(original, tmp_path / "cv.json")
    centers = []
    for name in ("gl.json", "cv.json"):
        frames = json.loads((tmp_path / name).read_text())["frames"]
        centers.append(np.array([frame["transform_matrix"] for frame in frames])[:, :3, 3])
    np.testing.assert_allclose(centers[0], centers[1] * (1, -1, -1))
    found = load_transforms(tmp_path / "gl.json")
    torch.testing.assert_close(found.viewmats, original.viewmats, rtol=0, atol=1e-15)


def test_files_without_our_keys_are_read(tmp_path, content):
    del content[transforms_json.CONVENTIONS_KEY], content["camera_model"]
    content["w"] = 48.0
    content["applied_transform"] = [[1, 0, 0, 0]]
    assert load_text(tmp_path, json.dumps(content)).width == 48


def test_distortion_is_refused_unless_told_otherwise(tmp_path, content):
    content |= {"camera_model": "OPENCV", "k1": 0.0, "p2": 0.0}
    load_text(tmp_path, json.dumps(content))
    content["k1"] = 0.03
    with pytest.raises(ValueError, match=r"bad\.json: frame 1: lens distortion \(k1 = 0\.03\)"):
        load_text(tmp_path, json.dumps(content))
    load_transforms(tmp_path / "bad.json", ignore_distortion=True)
    content["camera_model"] = "OPENCV_FISHEYE"
    with pytest.raises(ValueError, match="OPENCV_FISHEYE"):
        load_text(tmp_path, json.dumps(content))


def test_rejects_contents_that_are_not_transforms(tmp_path):
    for text, reason in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 200_000, "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[1, 2]", "expected a JSON object, got list"),
        ("{}", "frames is missing or empty"),
        ('{"frames": []}', "frames is missing or empty"),
        ('{"frames": {"a": 1}}', "frames is missing or empty"),
        ('{"frames": [3]}', "frame 1: not a JSON object"),
        ('{"frames": [{}]}', "frame 1: file_path is missing"),
    ]:
        with pytest.raises(ValueError, match=rf"bad\.json: {reason}"):
            load_text(tmp_path, text)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"bytes\.json: not JSON"):
        load_transforms(tmp_path / "bytes.json")


@pytest.mark.parametrize("key", ["fl_x", "fl_y", "cx", "cy", "w", "h"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("forty", "must be a number"),
        ([40], "must be a number"),
        (True, "must be a number"),
        (math.nan, "must be finite"),
        (math.inf, "must be finite"),
        (10**400, "must be finite"),
    ],
)
def test_rejects_bad_intrinsics(tmp_path, content, key, value, reason):
    content[key] = value
    with pytest.raises(ValueError, match=rf"bad\.json: frame 1: {key} .*{reason}"):
        load_text(tmp_path, json.dumps(content))


@pytest.mark.parametrize("value", [0, -3, 40.5, 10**6])
def test_rejects_bad_sizes(tmp_path, content, value):
    content["w"] = value
    with pytest.raises(ValueError, match="whole numbers from 1 to 16384"):
        load_text(tmp_path, json.dumps(content))


def test_frames_of_other_sizes_are_stretched_to_the_first(tmp_path, content):
    content["frames"][2] |= {"w": 96, "fl_x": 80.0, "cx": 48.0}
    (tmp_path / "t.json").write_text(json.dumps(content))
    found = read_transforms(tmp_path / "t.json")
    assert found.sizes == [(48, 32), (48, 32), (96, 32)]
    assert torch.equal(found.cameras.Ks[2], found.cameras.Ks[0])


def test_rejects_focal_lengths_that_are_not_positive(tmp_path, content):
    content["fl_y"] = -40
    with pytest.raises(ValueError, match=r"bad\.json: frame 1: focal lengths must be positive"):
        load_text(tmp_path, json.dumps(content))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m * 1.1, "not a rotation"),
        (lambda m: m * np.array([-1, 1, 1, 1]), "not a rotation"),
        (lambda m: m * 0, "last row"),
        (lambda m: np.diag([0.0, 1, 1, 1]), "not a rotation"),
        (lambda m: np.diag([1.0, 1, 1, 2]), "last row"),
        (lambda m: m[:2], "missing or not 4x4"),
        (lambda m: m[:, :3], "missing or not 4x4"),
        (lambda m: m[0], "missing or not 4x4"),
        (lambda m: m + np.nan, "must be finite"),
    ],
)
def test_rejects_matrices_that_are_no_pose(tmp_path, content, change, reason):
    frame = content["frames"][1]
    matrix = change(np.array(frame["transform_matrix"]))
    if reason == "not a rotation":
        matrix[3] = (0, 0, 0, 1)
    frame["transform_matrix"] = matrix.tolist()
    with pytest.raises(ValueError, match=rf"bad\.json: frame 2: .*{reason}"):
        load_text(tmp_path, json.dumps(content))


def test_rejects_matrices_that_are_no_numbers(tmp_path, content):
    for value in (None, "identity", {}, [[1, 0, 0, "a"]] * 4, [[]] * 4, [1, 2, 3, 4]):
        content["frames"][0]["transform_matrix"] = value
        with pytest.raises(ValueError, match=r"bad\.json: frame 1: transform_matrix"):
            load_text(tmp_path, json.dumps(content))


def test_rejects_other_wrong_kinds(tmp_path, content):
    with pytest.raises(ValueError, match="ply_file_path"):
        load_text(tmp_path, json.dumps(content | {"ply_file_path": 3}))
    for value in ([], "opencv", {"world_axes": "up"}, {"world_axes": ["opencv"]}):
        with pytest.raises(ValueError, match="axes"):
            load_text(tmp_path, json.dumps(content | {transforms_json.CONVENTIONS_KEY: value}))


def test_reads_no_more_than_the_limits(tmp_path, content, monkeypatch):
    monkeypatch.setattr(transforms_json, "MAX_FRAMES", 2)
    with pytest.raises(ValueError, match=r"bad\.json: 3 frames, at most 2"):
        load_text(tmp_path, json.dumps(content))
    monkeypatch.setattr(transforms_json, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match=r"bad\.json: \d+ bytes, at most 10"):
        load_text(tmp_path, json.dumps(content))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        load_transforms(tmp_path / "none.json")


def test_refuses_to_write_a_wrong_number_of_paths(tmp_path):
    with pytest.raises(ValueError, match="expected 8 image paths, got 1"):
        save_transforms(orbit_cameras(), tmp_path / "t.json", ["a.png"])
    assert list(tmp_path.iterdir()) == []


# --- what other tools write -----------------------------------------------------------------------


def test_a_bad_frame_costs_no_other(tmp_path, content, caplog):
    content["frames"][1]["transform_matrix"][0][3] = math.nan
    (tmp_path / "t.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        found = read_transforms(tmp_path / "t.json")
    assert found.cameras.num_views == 2
    assert len(found.left_out) == 1
    assert "1 of 3 frames left out: frame 2: transform_matrix must be finite" in caplog.text
    with pytest.raises(ValueError, match="frame 2: transform_matrix must be finite"):
        read_transforms(tmp_path / "t.json", strict=True)


def test_an_angle_a_picture_and_the_middle_stand_in_for_intrinsics(tmp_path, content):
    for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
        del content[key]
    content["camera_angle_x"] = 2 * math.atan(24 / 40)
    content["frames"] = [{**f, "file_path": f"images/{i}"} for i, f in enumerate(content["frames"])]
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"frame 1: w, h is missing, and its picture 'images/0'"):
        load_transforms(tmp_path / "t.json")
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("RGB", (48, 32)).save(tmp_path / "images" / f"{i}.png")
    found = load_transforms(tmp_path / "t.json")
    assert (found.width, found.height) == (48, 32)
    torch.testing.assert_close(found.Ks, orbit_cameras(3).Ks)


def test_one_line_names_all_that_is_missing(tmp_path, content):
    for key in ("fl_x", "fl_y", "w", "h"):
        del content[key]
    with pytest.raises(ValueError, match=r"frame 1: w, h, fl_x is missing"):
        load_text(tmp_path, json.dumps(content))


def test_strings_and_nulls_are_taken_for_what_they_mean(tmp_path, content):
    content |= {"fl_x": "40", "fl_y": None, "k1": None, "camera_model": None}
    for frame in content["frames"]:
        frame["fl_x"] = None
    assert load_text(tmp_path, json.dumps(content)).Ks[:, 1, 1].tolist() == [40.0] * 3


@pytest.mark.parametrize("place", ["file", "frame"])
@pytest.mark.parametrize(
    "flag", [{"is_fisheye": True}, {"equirectangular": True}, {"latlong": 1}, {"ftheta_p0": 0.1}]
)
def test_flags_of_other_cameras_are_seen(tmp_path, content, flag, place):
    target = content if place == "file" else content["frames"][0]
    target |= flag
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"frame 1: {next(iter(flag))} says that it is not a pin"):
        read_transforms(tmp_path / "t.json", ignore_distortion=True, strict=True)
    target |= dict.fromkeys(flag, False)
    (tmp_path / "t.json").write_text(json.dumps(content))
    assert load_transforms(tmp_path / "t.json").num_views == 3


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, content):
    (tmp_path / "t.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert load_transforms(tmp_path / "t.json").num_views == 3
