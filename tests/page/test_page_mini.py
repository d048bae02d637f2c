"""The page on the bundled model: from a sentence that it reads to a file that others open."""

import re
from collections.abc import Callable, Iterator

import plyfile
import pytest
from axe_playwright_python.sync_playwright import Axe
from page_driver import PageDriver
from playwright.sync_api import Browser, Locator, expect

from videorfsplat.ui.model_host import ModelHost
from videorfsplat.ui.page import serve
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.request_files import RequestFiles

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mini")
    events = PageEvents(ModelHost("mini", "cpu"), RequestFiles(folder / "requests"))
    page = serve(events, folder)
    yield page.local_url.rstrip("/")
    page.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., PageDriver]]:
    visitors: list[PageDriver] = []

    def open_page(**options: object) -> PageDriver:
        visitors.append(PageDriver(browser, address, **options))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.check()
        visitor.context.close()


def chip(visitor: PageDriver, label: str) -> Locator:
    return visitor.page.get_by_label(label, exact=True)


def state(visitor: PageDriver, label: str) -> Locator:
    return visitor.page.locator("#chips .chip").filter(has=chip(visitor, label))


def expect_chip(visitor: PageDriver, label: str, value: str, how: str) -> None:
    expect(chip(visitor, label)).to_have_value(value)
    expect(state(visitor, label)).to_have_attribute("data-state", how)


def test_generates_with_the_bundled_model(visit, tmp_path):
    visitor = visit()
    visitor.generate("a lighthouse by a lake at sunset, the camera moves closer", steps=4)
    loaded = visitor.wait_for_message("loaded")
    path = visitor.download("scene.ply", tmp_path)
    assert len(plyfile.PlyData.read(path)["vertex"]) == loaded["splats"] == 8 * 128 * 128
    expect(visitor.page.locator("#model")).to_contain_text("mini")


def test_chips_write_into_an_empty_sentence_and_leave_a_typed_one_alone(visit):
    visitor = visit()
    chip(visitor, "Object").select_option("castle")
    chip(visitor, "Ground").select_option("snow")
    expect(visitor.sentence).to_have_value("a castle in the snow")
    chip(visitor, "Colour").select_option("blue")
    expect(visitor.sentence).to_have_value("a blue castle in the snow")
    visitor.write("my own words")
    visitor.button("Surprise me").click()
    expect(visitor.sentence).not_to_have_value("my own words")
    visitor.button("Back to my sentence").click()
    expect(visitor.sentence).to_have_value("my own words")
    chip(visitor, "Time").select_option("night")
    expect(visitor.sentence).to_have_value("my own words")
    expect_chip(visitor, "Time", "night", "chosen")


def test_chips_tell_what_was_read_and_what_the_seed_filled_in(visit):
    visitor = visit()
    visitor.write("A crimson cottage beside a lake")
    expect_chip(visitor, "Object", "house", "read")
    expect_chip(visitor, "Colour", "red", "read")
    expect_chip(visitor, "Ground", "lake", "read")
    expect(state(visitor, "Time")).to_have_attribute("data-state", "")
    visitor.sentence.press("Enter")
    expect(visitor.status).to_contain_text("4 scenes made in")
    expect(state(visitor, "Time")).to_have_attribute("data-state", "filled")
    expect(visitor.page.locator("#frames .drawn-as")).to_contain_text("house")
    # One thing is changed, and the seed of the scene stays.
    seed = re.search(r"seed (\d+)", visitor.page.locator("#visit").inner_text() or "")
    chip(visitor, "Colour").focus()
    chip(visitor, "Colour").select_option("blue")
    expect_chip(visitor, "Colour", "blue", "chosen")
    expect(visitor.page.get_by_text("so the rest of it stays")).to_be_visible()
    visitor.sentence.press("Enter")
    expect(visitor.status).to_contain_text("Made in")
    expect(visitor.page.locator("#frames .drawn-as")).to_contain_text("blue")
    assert seed is not None
    visitor.button("Draw a new one").click()
    expect(visitor.page.get_by_text("so the rest of it stays")).to_be_hidden()
    # What is written later than it was chosen is what is meant.
    visitor.write("A yellow cottage beside a lake")
    expect_chip(visitor, "Colour", "yellow", "read")


def test_things_that_no_world_has_are_said_plainly(visit):
    visitor = visit()
    words = visitor.page.locator("#words")
    visitor.write("a red dragon in the snow")
    expect(words).to_contain_text("No dragon in this model; nearest:")
    visitor.write("Ein rotes Haus auf einer Wiese")
    expect(words).to_contain_text("reads English only")
    visitor.write("我想要一座红色的房子")
    expect(words).to_contain_text("reads English only")
    visitor.write("a red house without trees")
    expect(words).to_contain_text("“without” is not understood")
    visitor.write("a red house")
    expect(words).to_have_text("")


def test_chips_can_be_used_on_a_phone_and_read_to_the_blind(visit):
    visitor = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    visitor.write("a tiny red house")
    expect_chip(visitor, "Size", "small", "read")
    visitor.button("More…").tap()
    # They stand in a row that is pushed aside by a finger.
    assert visitor.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    for box in (one.bounding_box() for one in visitor.page.locator("#chips .chip").all()):
        assert box is None or box["height"] >= 44
    found = Axe().run(visitor.page, "#composer")
    assert found.violations_count == 0, found.generate_report()
