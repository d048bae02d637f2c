"""GLB (binary glTF): the cameras as frustums and as glTF cameras, the Gaussians as points.

glTF has +y up: its world is the package's after half a turn about x. Its cameras look along −z.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from trimesh.exchange.gltf import export_glb
from trimesh.path import Path3D
from trimesh.path.entities import Line

from videorfsplat.formats.axes import HALF_TURN
from videorfsplat.formats.files import write_file
from videorfsplat.formats.point_cloud import gaussians_to_points
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.view_colors import VIEW_COLORS


def save_glb(
    cameras: Cameras,
    path: str | Path,
    gaussians: Gaussians | None = None,
    *,
    frustum_size: float = 0.1,
) -> None:
    """Write one node `view_1`, `view_2`, … a camera, with a line frustum and a glTF camera in it.

    A glTF camera cannot have its principal point off the centre or pixels that are not square, so
    `K`, `width` and `height` stand in the `extras` of its node as well. View i has colour i of
    `VIEW_COLORS`.

    Args:
        cameras: V cameras.
        path: file; its folder is made if needed.
        gaussians: their centres and base colours become the node `points`.
        frustum_size: distance of the frustums' base from the camera, world units.

    Raises:
        ValueError: if `frustum_size` is not positive and finite.
    """
    if not (math.isfinite(frustum_size) and frustum_size > 0):
        raise ValueError(f"frustum_size must be positive and finite, got {frustum_size}")
    scene = trimesh.Scene()
    Ks = cameras.Ks.detach().double().cpu().numpy()
    for i, camtoworld in enumerate(_camtoworlds_gltf(cameras)):
        frustum = _frustum(Ks[i], cameras.width, cameras.height, frustum_size)
        frustum.colors = np.tile(_view_color(i), (len(frustum.entities), 1))
        name = f"view_{i + 1}"
        scene.add_geometry(frustum, node_name=name, geom_name=name, transform=camtoworld)
    if gaussians is not None and len(gaussians):
        scene.add_geometry(_points(gaussians), node_name="points", geom_name="points")

    def finish(tree: dict[str, Any]) -> None:
        _add_cameras(tree, Ks, cameras.width, cameras.height)
        _make_unlit(tree)

    write_file(path, export_glb(scene, tree_postprocessor=finish))


def _camtoworlds_gltf(cameras: Cameras) -> Float[np.ndarray, "v 4 4"]:
    """Camera→world with both sides' axes turned from OpenCV's to glTF's."""
    turn = np.diag([*HALF_TURN, 1.0])
    return turn @ cameras.camtoworlds.detach().double().cpu().numpy() @ turn


def _frustum(K: np.ndarray, width: int, height: int, size: float) -> Path3D:
    """The rays through the picture's corners and the base, in glTF's camera axes."""
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)])
    rays = np.linalg.solve(K, corners.T).T * HALF_TURN * size
    vertices = np.concatenate([np.zeros((1, 3)), rays])
    lines = [Line([0, 1]), Line([0, 2]), Line([0, 3]), Line([0, 4]), Line([1, 2, 3, 4, 1])]
    return Path3D(entities=lines, vertices=vertices, process=False)


def _points(gaussians: Gaussians) -> trimesh.PointCloud:
    means, colors = gaussians_to_points(gaussians)
    rgba = np.concatenate([_srgb_to_linear(colors), np.full((len(colors), 1), 255, np.uint8)], 1)
    return trimesh.PointCloud(means * HALF_TURN, colors=rgba)


def _view_color(view: int) -> np.ndarray:
    """RGBA of a view, linear; colours repeat after the last."""
    color = VIEW_COLORS[view % len(VIEW_COLORS)].lstrip("#")
    rgb = np.frombuffer(bytes.fromhex(color), dtype=np.uint8)
    return np.append(_srgb_to_linear(rgb), np.uint8(255))


def _srgb_to_linear(colors: np.ndarray) -> np.ndarray:
    """sRGB bytes → linear bytes (IEC 61966-2-1); glTF takes vertex colours as linear."""
    values = colors / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 255).astype(np.uint8)


def _add_cameras(tree: dict[str, Any], Ks: np.ndarray, width: int, height: int) -> None:
    """Give each node `view_i` a child `camera_i`; trimesh itself writes one camera at most."""
    nodes = {node.get("name"): node for node in tree["nodes"]}
    tree["cameras"] = []
    for i, K in enumerate(Ks):
        perspective = {
            "yfov": 2 * math.atan(height / (2 * K[1, 1])),
            "aspectRatio": (width / K[0, 0]) / (height / K[1, 1]),
            "znear": 0.01,
        }
        tree["cameras"].append({"type": "perspective", "perspective": perspective})
        nodes[f"view_{i + 1}"].setdefault("children", []).append(len(tree["nodes"]))
        extras = {"K": K.tolist(), "width": width, "height": height}
        tree["nodes"].append({"name": f"camera_{i + 1}", "camera": i, "extras": extras})


def _make_unlit(tree: dict[str, Any]) -> None:
    """Lines and points have no normals; without this, many viewers shade them to black."""
    unlit = "KHR_materials_unlit"
    tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", []), unlit})
    # Copies, because the material is a constant of trimesh's module.
    tree["materials"] = [{**m, "extensions": {unlit: {}}} for m in tree.get("materials", [])]
