"""The cameras of a scene as frustums in a plotly figure, in the colours of their frames."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from videorfsplat.geometry.view_colors import VIEW_COLORS

# Share of the cameras' extent, or the unit of length where they stand still.
_FRUSTUM_DEPTH = 0.22
_MIN_EXTENT = 0.5

# Corners of the image from the camera's centre and back, then round, then the mark of its top.
_LINE = [(0, 0, 0), (-1, -1, 1), (1, -1, 1), (0, 0, 0), (1, 1, 1), (-1, 1, 1), (0, 0, 0)]
_LINE += [(-1, -1, 1), (-1, 1, 1), (1, 1, 1), (1, -1, 1), (0, -1.35, 1), (-1, -1, 1)]


def frustum_figure(cameras: dict[str, Any]) -> go.Figure:
    """One line a camera; the trace number is the camera's.

    The plot is upright: the world's −y, which the first camera has above it, points up.

    Args:
        cameras: contents of a `transforms.json` as the package writes them.
    """
    camtoworlds = np.array([frame["transform_matrix"] for frame in cameras["frames"]])
    centers = camtoworlds[:, :3, 3]
    extent = max(float(np.ptp(centers, axis=0).max()), _MIN_EXTENT)
    figure = go.Figure()
    for index, (frame, camtoworld) in enumerate(zip(cameras["frames"], camtoworlds, strict=True)):
        corners = _image_corners({**cameras, **frame}) * _FRUSTUM_DEPTH * extent
        # OpenGL camera axes look along −z with y up.
        world = corners * [1, -1, -1] @ camtoworld[:3, :3].T + camtoworld[:3, 3]
        color = VIEW_COLORS[index % len(VIEW_COLORS)]
        figure.add_trace(
            go.Scatter3d(
                x=world[:, 0],
                y=world[:, 2],
                z=-world[:, 1],
                mode="lines",
                line={"color": color, "width": 5},
                name=f"camera {index + 1}",
                hoverinfo="name",
            )
        )
    return figure.update_layout(_layout(centers, extent))


def _image_corners(intrinsics: dict[str, Any]) -> np.ndarray:
    """The frustum's line at depth 1, OpenCV camera axes."""
    x = (np.array([0, intrinsics["w"]]) - intrinsics["cx"]) / intrinsics["fl_x"]
    y = (np.array([0, intrinsics["h"]]) - intrinsics["cy"]) / intrinsics["fl_y"]
    middle, half = np.array([x.mean(), y.mean(), 0]), np.array([np.ptp(x) / 2, np.ptp(y) / 2, 1])
    line = np.array(_LINE, dtype=float)
    return line * half + middle * line[:, 2:]


def _layout(centers: np.ndarray, extent: float) -> dict[str, Any]:
    """A cube around the cameras, without axes; the same view whatever moves in it."""
    low, high = centers.min(axis=0), centers.max(axis=0)
    middle, reach = (low + high) / 2, (0.5 + _FRUSTUM_DEPTH) * extent
    hidden = {"visible": False}

    def axis(value: float) -> dict[str, Any]:
        return {**hidden, "range": [float(value - reach), float(value + reach)]}

    return {
        "scene": {
            "xaxis": axis(middle[0]),
            "yaxis": axis(middle[2]),
            "zaxis": axis(-middle[1]),
            "aspectmode": "cube",
            "camera": {"eye": {"x": 0.65, "y": -1.0, "z": 0.6}},
        },
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "height": 280,
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "uirevision": "frustums",
    }
