"""The page on the bundled model: from a click to a file that other programs open."""

import plyfile
import pytest
from page_driver import PageDriver
from playwright.sync_api import expect

from videorfsplat.ui.model_host import ModelHost
from videorfsplat.ui.page import serve
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.request_files import RequestFiles


@pytest.mark.slow
@pytest.mark.browser
def test_generates_with_the_bundled_model(browser, tmp_path):
    events = PageEvents(ModelHost("mini", "cpu"), RequestFiles(tmp_path / "requests"))
    page = serve(events, tmp_path)
    try:
        visitor = PageDriver(browser, page.local_url.rstrip("/"))
        visitor.generate("a lighthouse by a lake at sunset, the camera moves closer", steps=4)
        loaded = visitor.wait_for_message("loaded")
        path = visitor.download("scene.ply", tmp_path)
        assert len(plyfile.PlyData.read(path)["vertex"]) == loaded["splats"] == 8 * 128 * 128
        expect(visitor.page.locator("#model")).to_contain_text("mini")
        visitor.check()
    finally:
        page.close()
