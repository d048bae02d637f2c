"""The picture of the timetable against the timetable."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.sampling.schedules import given_cameras_timetable, timetable
from videorfsplat.ui.plots import describe_timetable, timetable_svg

SHIFTS = {"shift": 7.7, "pose_shift": 34.5}
"""Of the bundled model: noise levels of both streams are far from each other even with δ = 0."""


def parts_of(svg: str) -> tuple[dict[str, str], list[tuple[float, float]], list[list[str]]]:
    """Attributes of the root, centres of the dots, points of path and walked path."""
    root = ElementTree.fromstring(svg)
    dots = root.find("./g[@class='steps']")
    assert dots is not None
    centers = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in dots]
    lines = [line.attrib["points"].split() for line in root.iter("polyline")]
    return root.attrib, centers, lines


@given(st.integers(1, 60), st.floats(-0.5, 0.5))
def test_one_dot_a_pair_from_both_noisy_to_both_clean(steps, pose_offset):
    _, centers, (path, walked) = parts_of(timetable_svg(timetable(steps, pose_offset)))
    assert len(centers) == len(path) == steps + 1
    assert len(walked) == 1
    # Down and left is noise: nothing ever goes back, so x rises and y (downwards) falls.
    assert centers == sorted(centers, key=lambda dot: (dot[0], -dot[1]))
    assert centers[-1][0] - centers[0][0] == centers[0][1] - centers[-1][1] > 0


@given(st.integers(1, 60), st.floats(0.05, 0.5))
def test_cameras_ahead_lie_above_the_diagonal_and_images_ahead_below(steps, pose_offset):
    def heights(offset: float) -> list[float]:
        _, dots, _ = parts_of(timetable_svg(timetable(steps, offset, **SHIFTS)))
        (x, y), *_ = dots
        return [(y - dot[1]) - (dot[0] - x) for dot in dots]

    # Coordinates are written with one decimal.
    assert min(heights(pose_offset)) >= -0.11
    assert max(heights(-pose_offset)) <= 0.11
    assert all(abs(height) < 0.11 for height in heights(0.0))


def test_the_place_walks_along_the_path():
    table = timetable(8, 0.2)
    for done in (0, 3, 8):
        root, centers, (path, walked) = parts_of(timetable_svg(table, done))
        assert walked == path[: done + 1]
        x, y = centers[done]
        assert f"translate({x:.1f}px, {y:.1f}px)" in timetable_svg(table, done)
        assert root["data-state"] == "running"


def test_says_in_words_who_is_ahead():
    assert "cameras ahead by 0.20" in describe_timetable(timetable(20, 0.2))
    assert "images ahead by 0.30" in describe_timetable(timetable(20, -0.3))
    assert "together" in describe_timetable(timetable(20, 0.0))
    assert "images ahead by 0.30" in describe_timetable(timetable(20, -0.3, **SHIFTS))
    assert "together" in describe_timetable(timetable(20, 0.0, **SHIFTS))
    assert "given" in describe_timetable(given_cameras_timetable(20))
    words = describe_timetable(timetable(10, 0.2), 5)
    assert "After step 5: noise of the images 0.50, of the cameras 0.30" in words


@pytest.mark.parametrize("done", [-1, 11])
def test_rejects_steps_that_do_not_exist(done):
    with pytest.raises(ValueError, match=r"steps_done must lie in \[0, 10\]"):
        timetable_svg(timetable(10), done)
