"""Pictures of a timetable and of cameras.

A timetable is the path of a run through the square of both streams' clocks: images go from noise
(left) to clean (right), cameras from noise (bottom) to clean (top): above the diagonal cameras are
ahead, below it images are. Clocks rather than noise levels, which a model's shifts would press into
one corner.
"""

import html
import json
from typing import Any

from videorfsplat.geometry.view_colors import VIEW_COLORS
from videorfsplat.sampling.schedules import Timetable

_SIDE = 200
_LEFT, _TOP = 34, 10
_RIGHT, _BOTTOM = _LEFT + _SIDE, _TOP + _SIDE
_WIDTH, _HEIGHT = _RIGHT + 10, _BOTTOM + 34


def timetable_svg(table: Timetable, steps_done: int | None = None) -> str:
    """The path as SVG, in the colours of the page's style sheet.

    Args:
        table: the timetable.
        steps_done: steps that a run has taken, marked on the path; `None` outside of a run.

    Raises:
        ValueError: if the timetable has fewer steps than that.
    """
    last = table.num_inference_steps
    if steps_done is not None and not 0 <= steps_done <= last:
        raise ValueError(f"steps_done must lie in [0, {last}], got {steps_done}")
    points = [_point(*pair) for pair in table.clocks]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    walked = " ".join(f"{x:.1f},{y:.1f}" for x, y in points[: (steps_done or 0) + 1])
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in points)
    # Always there, so that a change of place is a movement and not another mark.
    x, y = points[steps_done or 0]
    place = f"transform: translate({x:.1f}px, {y:.1f}px)"
    state = "idle" if steps_done is None else "running"
    return (
        f'<svg class="timetable" data-state="{state}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{describe_timetable(table, steps_done)}">'
        f'<rect class="square" x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" rx="6"/>'
        f'<line class="diagonal" x1="{_LEFT}" y1="{_BOTTOM}" x2="{_RIGHT}" y2="{_TOP}"/>'
        f'<text class="region" x="{_LEFT + 12}" y="{_TOP + 22}">cameras ahead</text>'
        f'<text class="region" x="{_RIGHT - 12}" y="{_BOTTOM - 14}" text-anchor="end">'
        "images ahead</text>"
        f'<polyline class="path" points="{path}"/><polyline class="walked" points="{walked}"/>'
        f'<g class="steps">{dots}</g>'
        f'<circle class="place" r="6" style="{place}"/>'
        f"{_axis_labels()}</svg>"
    )


def describe_timetable(table: Timetable, steps_done: int | None = None) -> str:
    """The picture in words."""
    lead = max((t_image - t_pose for t_image, t_pose in table.clocks), key=abs)
    who = "cameras" if lead > 0 else "images"
    order = "images and cameras together" if lead == 0 else f"{who} ahead by {abs(lead):.2f}"
    steps = table.num_inference_steps
    text = f"Timetable of {steps} step{'s' * (steps > 1)}: {order}"
    if table.pairs[0][1] == 0:
        text = f"Timetable of {steps} step{'s' * (steps > 1)}: cameras are given"
    if steps_done is None:
        return text
    t_image, t_pose = table.pairs[steps_done]
    levels = f"noise of the images {t_image:.2f}, of the cameras {t_pose:.2f}"
    return f"{text}. After step {steps_done}: {levels}"


def _point(t_image: float, t_pose: float) -> tuple[float, float]:
    return _LEFT + _SIDE * (1 - t_image), _BOTTOM - _SIDE * (1 - t_pose)


def _axis_labels() -> str:
    x, y = _LEFT + _SIDE / 2, _TOP + _SIDE / 2
    below = _BOTTOM + 22
    return (
        f'<text class="axis image" x="{x}" y="{below}" text-anchor="middle">'
        "images: noise → clean</text>"
        f'<text class="axis pose" text-anchor="middle" '
        f'transform="translate(18 {y}) rotate(-90)">cameras: noise → clean</text>'
    )


def frustum_plot(cameras: dict[str, Any], points: list[list[float]] | None = None) -> str:
    """Cameras as frustums in 3D, in the colours of their frames, with points of what they see.

    HTML with the data; `frustum_plot.js` draws it where it can be seen.

    Args:
        cameras: contents of a `transforms.json` as the package writes them.
        points: rows of x, y, z in its world and of red, green, blue from 0 to 255; or none.
    """
    frustums = [
        {
            "pose": [[round(value, 4) for value in row] for row in frame["transform_matrix"][:3]],
            "half": _half_angles({**cameras, **frame}),
            "color": VIEW_COLORS[index % len(VIEW_COLORS)],
        }
        for index, frame in enumerate(cameras["frames"])
    ]
    data = json.dumps({"frustums": frustums, "points": points or []}, separators=(",", ":"))
    count = len(frustums)
    return (
        f'<div class="frustum-plot" data-plot="{html.escape(data)}"><canvas role="img" '
        f'aria-label="{count} cameras in 3D around what they see"></canvas>'
        "<p>Drag to turn. Click a camera to look through it.</p></div>"
    )


def _half_angles(intrinsics: dict[str, Any]) -> list[float]:
    """Tangents of half the picture's width and height."""
    return [
        round(intrinsics["w"] / 2 / intrinsics["fl_x"], 4),
        round(intrinsics["h"] / 2 / intrinsics.get("fl_y", intrinsics["fl_x"]), 4),
    ]
