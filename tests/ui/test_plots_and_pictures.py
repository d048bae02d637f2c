"""Frustums, depths, frames and cards."""

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from videorfsplat.formats.transforms_json import transforms_dict
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.geometry.view_colors import VIEW_COLORS
from videorfsplat.ui.depth_pictures import color_depths, write_depth_pictures
from videorfsplat.ui.frame_strip import frame_strip
from videorfsplat.ui.frustum_plot import frustum_figure
from videorfsplat.ui.sampling_updates import SamplingStep
from videorfsplat.ui.status_card import format_seconds, message_card, progress_card


def test_one_frustum_a_camera_at_its_centre_in_its_colour():
    cameras = trajectory("orbit_right")
    figure = frustum_figure(transforms_dict(cameras))
    assert len(figure.data) == 8
    for trace, center, color in zip(figure.data, cameras.centers, VIEW_COLORS, strict=True):
        x, y, z = center.tolist()
        # The plot has z up and y into the distance.
        np.testing.assert_allclose([trace.x[0], trace.y[0], trace.z[0]], [x, z, -y], atol=1e-6)
        assert trace.line.color == color


def test_frustums_look_where_the_cameras_look():
    cameras = trajectory("crane_up")
    figure = frustum_figure(transforms_dict(cameras))
    for trace, camtoworld in zip(figure.data, cameras.camtoworlds, strict=True):
        corners = np.stack([trace.x, -trace.z, trace.y], axis=-1)[[1, 2, 4, 5]]
        axis = corners.mean(axis=0) - camtoworld[:3, 3].numpy()
        forward = camtoworld[:3, 2].numpy()
        assert axis @ forward / np.linalg.norm(axis) > 0.9999


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
    html = frame_strip(["a.png", "b.png"], ["c.png", "d.png"])
    assert html.count("<button") == 2
    assert html.index('src="a.png"') < html.index('src="c.png"') < html.index('src="b.png"')
    assert f"--view: {VIEW_COLORS[1]}" in html
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
