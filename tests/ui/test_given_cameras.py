"""Presets and uploaded camera files."""

import json

import pytest

from videorfsplat.formats.transforms_json import save_transforms
from videorfsplat.geometry.trajectories import TRAJECTORIES, trajectory
from videorfsplat.ui.given_cameras import MAX_UPLOAD_BYTES, PRESETS, load_given_cameras


def test_every_trajectory_has_a_name_on_the_page():
    assert tuple(PRESETS) == TRAJECTORIES
    assert len(set(PRESETS.values())) == len(PRESETS)


def test_reads_presets_and_files(tmp_path):
    assert load_given_cameras("spiral", 8, 64, 64)[0].num_views == 8
    save_transforms(trajectory("orbit_left"), tmp_path / "mine.json")
    assert load_given_cameras(str(tmp_path / "mine.json"), 8, 64, 64)[0].num_views == 8


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cameras.pdf", b"{}", "must be a transforms.json"),
        ("cameras.json", b"", "has 0 bytes"),
        ("cameras.json", b"x" * (MAX_UPLOAD_BYTES + 1), "bytes; between"),
        ("cameras.json", b"\x89PNG", "cannot be read: not JSON"),
        ("cameras.json", b"[]", "cannot be read: expected a JSON object"),
        ("cameras.json", json.dumps({"frames": [{}]}).encode(), "cannot be read"),
    ],
)
def test_refuses_bad_uploads_in_words(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as refusal:
        load_given_cameras(str(path), 8, 64, 64)
    # Where the upload lies on the server is nobody's business.
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize("count", [1, 5, 30])
def test_takes_as_many_cameras_as_the_model_has_views(tmp_path, count):
    save_transforms(trajectory("orbit_left", num_views=count), tmp_path / "mine.json")
    assert load_given_cameras(str(tmp_path / "mine.json"), 8, 64, 64)[0].num_views == 8


def test_says_that_an_upload_is_gone(tmp_path):
    with pytest.raises(ValueError, match="Upload it again"):
        load_given_cameras(str(tmp_path / "mine.json"), 8, 64, 64)


def test_a_bad_camera_of_a_file_is_left_out_and_named(tmp_path):
    path = tmp_path / "mine.json"
    save_transforms(trajectory("orbit_left"), path)
    content = json.loads(path.read_text())
    content["frames"][3]["transform_matrix"][0][0] = float("nan")
    path.write_text(json.dumps(content))
    cameras, [reason] = load_given_cameras(str(path), 8, 64, 64)
    assert cameras.num_views == 8
    assert "frame" in reason
    assert str(tmp_path) not in reason
