"""One HTML file that shows a scene: the viewer, the splats, the cameras and their frames inside.

It opens from disk or in a frame, without a server or a network: its content policy allows no
request at all. The licences of the code that it holds stand in its head.
"""

import base64
import html
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from videorfsplat.formats.files import write_file
from videorfsplat.formats.splat_formats import save_splats
from videorfsplat.formats.transforms_json import transforms_dict
from videorfsplat.formats.viewer_folder import VIEWER_FOLDER
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians

FRAME_QUALITY = 92
"""WebP quality of the frames; at this one the eye finds no difference beside the splats."""

_STYLE_TAG = '<link rel="stylesheet" href="viewer.css" />'
_SCRIPT_TAG = '<script src="viewer.js"></script>'
_TITLE_TAG = "<title>Splat viewer</title>"
_CAMERAS_TAG = '<script type="application/json" id="embedded-cameras">'
_SCRIPT_END = "</script>"

# The engine sorts splats in a worker that it builds from its own text, hence blob:.
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; connect-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def save_html(
    gaussians: Gaussians,
    path: str | Path,
    cameras: Cameras | None = None,
    frames: UInt8[np.ndarray, "v h w 3"] | None = None,
    *,
    title: str = "Splat scene",
) -> None:
    """Write a page that shows the scene, as a compressed PLY (quantised, see `splat_formats`).

    Args:
        gaussians: the scene, world frame; at least one.
        path: file; its folder is made if needed.
        cameras: V cameras to draw, view from and fly along.
        frames: their pictures, to compare the splats with.
        title: of the page.

    Raises:
        FileNotFoundError: if the viewer is not built.
        ValueError: if there is nothing to show, or `frames` are given without as many `cameras`.
    """
    num_views = 0 if cameras is None else cameras.num_views
    if frames is not None and len(frames) != num_views:
        raise ValueError(f"expected {num_views} frames, one per camera, got {len(frames)}")
    head = f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}" />'
    head += f"\n{_comment(_read('LICENSES.txt'))}"
    page = _replace(_read("index.html"), _TITLE_TAG, f"<title>{html.escape(title)}</title>\n{head}")
    page = _replace(page, _STYLE_TAG, f"<style>{_read('viewer.css')}</style>")
    scene = base64.b64encode(_compressed_ply(gaussians)).decode()
    parts = [f'<script type="text/plain" id="embedded-scene">{scene}</script>']
    if cameras is not None:
        urls = None if frames is None else [webp_url(frame, FRAME_QUALITY, 6) for frame in frames]
        content = transforms_dict(cameras, urls)
        text = _without_tags(json.dumps(content, separators=(",", ":")))
        parts.append(f"{_CAMERAS_TAG}{text}{_SCRIPT_END}")
    parts.append(f"<script>{_script_for_html(_read('viewer.js'))}</script>")
    write_file(path, _replace(page, _SCRIPT_TAG, "\n".join(parts)).encode())


def embedded_cameras(page: bytes) -> bytes:
    """The `transforms.json` in a page that `save_html` wrote.

    Raises:
        ValueError: if the page holds none.
    """
    _, tag, rest = page.partition(_CAMERAS_TAG.encode())
    if not tag:
        raise ValueError("no cameras in this page")
    return rest.partition(_SCRIPT_END.encode())[0]


def _read(name: str) -> str:
    path = VIEWER_FOLDER / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: build the viewer with `npm ci && npm run build` in viewer/"
        )
    return path.read_text(encoding="utf-8")


def _replace(page: str, tag: str, by: str) -> str:
    if page.count(tag) != 1:
        raise ValueError(f"{VIEWER_FOLDER / 'index.html'} should have {tag} once")
    return page.replace(tag, by)


def _compressed_ply(gaussians: Gaussians) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.compressed.ply"
        save_splats(gaussians, path)
        return path.read_bytes()


def webp_url(frame: UInt8[np.ndarray, "h w 3"], quality: int, method: int = 4) -> str:
    """A picture as an address that holds it.

    Args:
        frame: sRGB.
        quality: of WebP, 0 to 100.
        method: of WebP, 0 (fast) to 6 (small).
    """
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "WEBP", quality=quality, method=method)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _comment(text: str) -> str:
    text = text.replace("-->", "-- >").replace("--!>", "-- !>")
    return f"<!--\n{text}\n-->"


def _without_tags(text: str) -> str:
    """JSON that no HTML parser takes for the end of its element."""
    return text.replace("<", "\\u003c")


def _script_for_html(script: str) -> str:
    """JavaScript inside an element ends at the first `</script`, in a string or not."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
