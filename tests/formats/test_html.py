import base64
import json
import re

import numpy as np
import pytest
import torch

from videorfsplat.formats import html as html_format
from videorfsplat.formats.html import save_html
from videorfsplat.formats.splat_formats import load_splats
from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians


def scene(num: int = 50) -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    return Gaussians(
        means=torch.randn(num, 3, generator=generator),
        quats=torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=-1),
        scales=torch.rand(num, 3, generator=generator) * 0.1 + 0.01,
        opacities=torch.rand(num, generator=generator) * 0.9 + 0.05,
        sh=torch.randn(num, 1, 3, generator=generator) * 0.5,
    )


def cameras(num: int = 2) -> Cameras:
    viewmats = torch.eye(4).repeat(num, 1, 1)
    viewmats[:, 0, 3] = torch.arange(num)
    K = torch.tensor([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]])
    return Cameras(viewmats, K.repeat(num, 1, 1), 16, 12)


def element(page: str, identity: str) -> str | None:
    found = re.search(rf'<script type="[^"]*" id="{identity}">(.*?)</script>', page, re.DOTALL)
    return found and found[1]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("html") / "new" / "scene.html"
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
    save_html(scene(), path, cameras(), frames, title="A <b> & </title>")
    return path.read_text(encoding="utf-8")


def test_the_scene_is_inside(page, tmp_path):
    path = tmp_path / "scene.compressed.ply"
    path.write_bytes(base64.b64decode(element(page, "embedded-scene") or ""))
    found = load_splats(path)
    assert len(found) == 50
    # Compressed PLY changes the order; its centres have 10 bits of a box about 5 wide.
    distances = torch.cdist(found.means, scene().means).amin(dim=1)
    assert distances.max() < 0.01


def test_the_cameras_and_their_frames_are_inside(page, tmp_path):
    text = element(page, "embedded-cameras") or ""
    path = tmp_path / "transforms.json"
    path.write_text(text)
    found = load_transforms(path)
    torch.testing.assert_close(found.viewmats, cameras().viewmats)
    torch.testing.assert_close(found.Ks, cameras().Ks)
    for frame in json.loads(text)["frames"]:
        assert frame["file_path"].startswith("data:image/webp;base64,")


def test_nothing_is_fetched(page):
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!data:)', page.split("<script", 1)[0])
    assert "viewer.js" not in page.split("<script", 1)[0]


def test_the_licences_of_the_bundled_code_are_inside(page):
    notice = page[page.index("<!--") : page.index("-->")]
    texts = (html_format.VIEWER_FOLDER / "LICENSES.txt").read_text(encoding="utf-8")
    assert notice.count("Copyright") == texts.count("Copyright") > 0
    for words in ("supersplat-viewer", "Permission is hereby granted", "THE SOFTWARE IS PROVIDED"):
        assert words in notice
    # Of the comment nothing else of the page is part.
    assert "<title>" not in notice


def test_the_title_cannot_close_its_element(page):
    assert "<title>A &lt;b&gt; &amp; &lt;/title&gt;</title>" in page


def test_a_scene_needs_no_cameras_and_cameras_need_no_frames(tmp_path):
    save_html(scene(), tmp_path / "a.html")
    assert element((tmp_path / "a.html").read_text(), "embedded-cameras") is None
    save_html(scene(), tmp_path / "b.html", cameras())
    text = element((tmp_path / "b.html").read_text(), "embedded-cameras") or ""
    assert all("file_path" not in frame for frame in json.loads(text)["frames"])


def test_scripts_cannot_end_their_element_early():
    text = "a = '</script>'; b = '<!--'"
    assert html_format._script_for_html(text) == "a = '<\\/script>'; b = '<\\!--'"
    assert "<" not in html_format._without_tags('{"a": "</script>"}')
    assert json.loads(html_format._without_tags('{"a": "</script>"}')) == {"a": "</script>"}


def test_rejects_frames_without_their_cameras(tmp_path):
    frames = np.zeros((3, 12, 16, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="expected 2 frames, one per camera, got 3"):
        save_html(scene(), tmp_path / "a.html", cameras(), frames)
    with pytest.raises(ValueError, match="expected 0 frames"):
        save_html(scene(), tmp_path / "a.html", None, frames)


def test_says_that_the_viewer_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(html_format, "VIEWER_FOLDER", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="npm run build"):
        save_html(scene(), tmp_path / "a.html")
