import json
from pathlib import Path

import pytest
import torch

from videorfsplat.geometry.cameras import Cameras, rotation_angle_degrees, sample_path
from videorfsplat.formats.viewer_folder import VIEWER_FOLDER
from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.ui.viewer_protocol import (
    check_message,
    host_message,
    message_types,
    protocol_version,
)
from videorfsplat.geometry.view_colors import VIEW_COLORS

HERE = Path(__file__).parent
EXAMPLES = json.loads((HERE / "message_examples.json").read_text())


@pytest.mark.parametrize("example", EXAMPLES["valid"], ids=lambda e: str(e["message"]["type"]))
def test_takes_what_the_viewer_takes(example):
    check_message(example["message"], example["direction"])


@pytest.mark.parametrize("example", EXAMPLES["invalid"], ids=lambda e: e["problem"])
def test_refuses_what_the_viewer_refuses(example):
    with pytest.raises(ValueError, match=r"message|type"):
        check_message(example["message"], example["direction"])


def test_every_message_type_has_an_example():
    for direction in ("HostMessage", "ViewerMessage"):
        shown = {e["message"]["type"] for e in EXAMPLES["valid"] if e["direction"] == direction}
        assert shown == set(message_types(direction))


def test_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"gotoCamera\['camera'\]: -1 is less than"):
        host_message("gotoCamera", camera=-1)
    with pytest.raises(ValueError, match=r"has type cameras, capture, .*, got \{'v': 1"):
        host_message("explode")
    with pytest.raises(ValueError, match="got 3"):
        check_message(3, "ViewerMessage")


def test_builds_messages_without_gaps():
    message = host_message("load", content="scene.ply", cameras=None, camera=None)
    expected = {"v": 1, "type": "load", "content": "scene.ply", "cameras": None}
    assert message == expected
    assert protocol_version() == 1


def test_the_viewer_colours_the_views_as_the_package_does():
    assert tuple(EXAMPLES["view_colors"]) == VIEW_COLORS
    script = (VIEWER_FOLDER / "viewer.js").read_text()
    assert all(f'"{color}"' in script for color in VIEW_COLORS)


def test_the_path_reference_is_the_path_of_the_package(tmp_path):
    reference = json.loads((HERE / "path_reference.json").read_text())

    def cameras_of(frames) -> Cameras:
        shared = {"w": 96, "h": 96, "cx": 48, "cy": 48}
        frames = [{**shared, "fl_y": f["fl_x"], "file_path": "-", **f} for f in frames]
        path = tmp_path / "transforms.json"
        path.write_text(json.dumps({"frames": frames}))
        return load_transforms(path, torch.float64)

    samples = [
        {"transform_matrix": s["transform"], "fl_x": s["fl_x"]} for s in reference["samples"]
    ]
    expected = cameras_of(samples)
    positions = torch.tensor([s["t"] for s in reference["samples"]], dtype=torch.float64)
    found = sample_path(cameras_of(reference["cameras"]["frames"]), positions)
    # The file's cameras were made in float32, so their rotations are orthonormal to 1e-7 only.
    torch.testing.assert_close(found.centers, expected.centers, atol=1e-6, rtol=0)
    rotations = found.viewmats[:, :3, :3], expected.viewmats[:, :3, :3]
    assert rotation_angle_degrees(*rotations).max() < 1e-5
    torch.testing.assert_close(found.Ks, expected.Ks)
