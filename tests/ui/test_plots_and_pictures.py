"""Frustums, depths, frames and cards."""

import html
import json
import re

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from videorfsplat.formats.transforms_json import transforms_dict
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.geometry.view_colors import VIEW_COLORS
from videorfsplat.ui.plots import frustum_plot
from videorfsplat.ui.run_status import SamplingStep, format_seconds, message_card, progress_card
from videorfsplat.ui.scene_folder import (
    color_depths,
    file_stem,
    frame_strip,
    write_depth_pictures,
)


def data_of(plot: str) -> dict:
    found = re.search('data-plot="([^"]*)"', plot)
    assert found is not None
    return json.loads(html.unescape(found.group(1)))


def test_one_frustum_a_camera_where_it_is_in_its_colour_with_points_of_the_scene():
    cameras = trajectory("orbit_right")
    data = data_of(frustum_plot(transforms_dict(cameras), [[0, 0, 1, 255, 0, 0]]))
    assert [frustum["color"] for frustum in data["frustums"]] == list(VIEW_COLORS)
    assert data["points"] == [[0, 0, 1, 255, 0, 0]]
    for frustum, camtoworld in zip(data["frustums"], cameras.camtoworlds, strict=True):
        # Camera axes as OpenGL has them, in four digits.
        opencv = np.array(frustum["pose"]) * [1, -1, -1, 1]
        np.testing.assert_allclose(opencv, camtoworld[:3], atol=1e-4)
        width, height = frustum["half"]
        assert width / height == pytest.approx(cameras.width / cameras.height, rel=1e-3)


def test_nearer_is_lighter_and_unseen_is_far():
    depths = np.array([[[0.5, 1.0, 2.0, 4.0, 8.0, 0.0]]])
    brightness = color_depths(depths)[0, 0].astype(int).sum(axis=-1)
    assert (np.diff(brightness[:5]) < 0).all()
    assert brightness[5] <= brightness[4]
    assert color_depths(np.zeros((1, 2, 2))).shape == (1, 2, 2, 3)


def test_depth_pictures_lie_beside_the_frames(tmp_path):
    assert write_depth_pictures(tmp_path) == []
    depths = np.random.default_rng(0).uniform(1, 5, (3, 8, 12, 1)).astype(np.float32)
    save_file({"depths": depths}, tmp_path / "depths.safetensors")
    paths = write_depth_pictures(tmp_path)
    assert [path.name for path in paths] == ["000.png", "001.png", "002.png"]
    assert Image.open(paths[0]).size == (12, 8)
    assert write_depth_pictures(tmp_path) == paths


def test_frames_and_depths_stand_side_by_side_in_the_colour_of_their_view():
    strip = frame_strip(["a.png", "b.png"], ["c.png", "d.png"])
    assert strip.count("<button") == 2
    assert strip.index('src="a.png"') < strip.index('src="c.png"') < strip.index('src="b.png"')
    assert f"--view: {VIEW_COLORS[1]}" in strip
    with pytest.raises(ValueError, match="expected 2 depth pictures, got 1"):
        frame_strip(["a.png", "b.png"], ["c.png"])


def test_cards_say_step_clocks_and_time_left():
    card = progress_card(SamplingStep(6, 24, 0.75, 0.55, 12.4))
    assert "Step 7 of 24" in card
    assert "about 12 s left" in card
    assert 'aria-valuenow="7"' in card
    assert "t = 0.75" in card
    assert "t = 0.55" in card
    assert "making the scene" in progress_card(SamplingStep(23, 24, 0.0, 0.0, 0.0))
    assert "Left: step 1 of 4" in progress_card(SamplingStep(0, 4, 0.9, 0.9, 1.0), "Left")
    assert "&lt;b&gt;" in message_card("<b>")
    assert [format_seconds(s) for s in (0.2, 5, 150)] == ["less than a second", "5 s", "2 min"]


@pytest.mark.parametrize(
    ("prompt", "stem"),
    [
        ("a red house with a blue roof, the camera orbits", "red-house-blue-roof-seed7"),
        ("Ein Haus im Schnee: ../../etc/passwd", "ein-haus-im-schnee-etc-seed7"),
        ("一座红房子", "seed7"),
    ],
)
def test_files_are_named_by_sentence_and_seed(prompt, stem):
    assert file_stem({"prompt": prompt, "seed": 7}) == stem
