"""The built viewer in a real Chromium, drawing on the CPU."""

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from viewer_page import TIMEOUT_MS, ViewerPage, decode_png
from viewer_scenes import HEIGHT, WIDTH, cloud_scene, gaussians_of, tilted_cameras

from videorfsplat.formats.html import save_html
from videorfsplat.formats.ply import load_ply, save_ply
from videorfsplat.formats.splat_formats import load_splats
from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.rasterization import rasterize
from videorfsplat.ui.scene_folder import SPLATS_NAME

pytestmark = pytest.mark.browser

LIGHT, DARK = (0xF4, 0xF4, 0xF5), (0x10, 0x10, 0x13)
"""`--background` of the two themes."""


def camera_rows(folder: Path, name: str) -> list[Any]:
    return [f["transform_matrix"] for f in json.loads((folder / name).read_text())["frames"]]


def load_cloud(viewer: ViewerPage, **fields: Any) -> dict[str, Any]:
    return viewer.load("cloud.ply", cameras=f"{viewer.site}/cloud.json", **fields)


def dominant(picture: np.ndarray, row: int, column: int) -> str:
    """The name of the strongest channel around a pixel, if it is far ahead of the others."""
    patch = picture[row - 1 : row + 2, column - 1 : column + 2, :3].mean(axis=(0, 1))
    order = np.argsort(patch)
    assert patch[order[2]] > 2 * patch[order[1]], patch
    return ["red", "green", "blue"][order[2]]


def test_shows_the_scenes_axes_where_opencv_has_them(viewer):
    viewer.load("axes.ply", cameras=f"{viewer.site}/axes.json")
    captured = viewer.capture(0, 96, 96)
    # The balls lie at depths 4, 4 and 5; one unit at depth 4 is 28.8 pixels of 96.
    assert dominant(captured, row=48, column=48) == "blue"
    assert dominant(captured, row=48, column=48 + 29) == "red"
    assert dominant(captured, row=48 + 29, column=48) == "green"
    # On screen, in a viewer of another size and shape.
    viewer.resize(480, 480)
    shown = viewer.screenshot()
    assert dominant(shown, 240, 240) == "blue"
    assert dominant(shown, 240, 240 + 144) == "red"


def test_a_camera_shows_what_the_rasteriser_draws(viewer, site_folder):
    viewer.send("setBackground", background="theme")
    loaded = load_cloud(viewer)
    assert (loaded["splats"], loaded["cameras"]) == (1500, 4)
    cameras = load_transforms(site_folder / "cloud.json")
    gaussians = load_ply(site_folder / "cloud.ply")
    background = torch.tensor(LIGHT) / 255
    expected = rasterize(gaussians, cameras, background=background)[0].clamp(0, 1).numpy()
    for index in (0, 3):
        found = viewer.capture(index, cameras.width, cameras.height)[..., :3] / 255
        difference = np.abs(found - expected[index])
        # The viewer cuts each splat off at √8 standard deviations, lowers its opacity by up to
        # e⁻⁴ so that the cut does not show, and sorts by distance instead of depth: measured mean
        # 0.014 (of that 0.010 the background shining through), 99th percentile 0.052.
        assert difference.mean() < 0.018, difference.mean()
        assert np.quantile(difference, 0.99) < 0.065, np.quantile(difference, 0.99)
        # The same test would not pass for a neighbouring camera.
        assert np.abs(found - expected[(index + 1) % 4]).mean() > 0.04


def test_reports_progress_in_bytes_and_then_the_scene(viewer, site_folder):
    size = (site_folder / "cloud.compressed.ply").stat().st_size
    loaded = viewer.load("cloud.compressed.ply", cameras=f"{viewer.site}/cloud.json")
    assert (loaded["splats"], loaded["bytes"]) == (1500, size)
    progress = viewer.messages("progress")
    steps = [(p["stage"], p["received"], p["total"]) for p in progress]
    assert steps[:2] == [("download", 0, None), ("download", 0, size)]
    assert ("download", size, size) in steps
    received = [p["received"] for p in progress]
    assert received == sorted(received)
    assert progress[-1]["stage"] == "prepare"
    expect(viewer.frame.get_by_text("1,500 splats")).to_be_visible()


def test_reports_exact_poses_of_cameras_and_of_the_hand(viewer, site_folder):
    load_cloud(viewer)
    viewer.send("gotoCamera", camera=2)
    viewer.wait_for("cameraSelected", camera=2)
    pose = viewer.pose()
    assert pose["camera"] == 2
    np.testing.assert_allclose(
        pose["transform"], camera_rows(site_folder, "cloud.json")[2], atol=1e-5
    )
    viewer.forget()
    viewer.page.mouse.move(160, 120)
    viewer.page.mouse.down()
    viewer.page.mouse.move(200, 130, steps=4)
    viewer.page.mouse.up()
    viewer.wait_for("cameraSelected", camera=None)
    turned = viewer.pose()
    assert turned["camera"] is None
    assert np.abs(np.array(turned["transform"]) - pose["transform"]).max() > 0.1
    viewer.button("Back to camera 3").click()
    viewer.wait_for("cameraSelected", camera=2)
    np.testing.assert_allclose(viewer.pose()["transform"], pose["transform"], atol=1e-6)


def test_follows_a_pose_of_the_page_without_echoing_it(viewer, site_folder):
    load_cloud(viewer)
    viewer.pose()
    viewer.forget()
    rows = camera_rows(site_folder, "cloud.json")[3]
    viewer.send("setPose", transform=rows, fov=40)
    assert viewer.pose() is None
    viewer.page.mouse.move(160, 120)
    viewer.page.mouse.wheel(0, 0)
    viewer.surface.press("ArrowLeft")
    moved = viewer.wait_for("pose")
    # One step of an arrow key from that pose, not from where the viewer was before.
    assert np.abs(np.array(moved["transform"])[:3, 3] - np.array(rows)[:3, 3]).max() < 0.3
    assert moved["fov"] == pytest.approx(40, abs=1e-3)


def test_a_click_on_a_frustum_shows_its_view(viewer):
    load_cloud(viewer)
    away = [[1, 0, 0, 0], [0, -1, 0, -0.3], [0, 0, -1, -2.5], [0, 0, 0, 1]]
    viewer.send("setPose", transform=away)
    label = viewer.frame.locator(".frustums .label", has_text="2")
    label.wait_for()
    box = label.bounding_box()
    assert box is not None
    viewer.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    viewer.wait_for("cameraSelected", camera=1)
    expect(viewer.button("View from camera 2")).to_have_attribute("aria-pressed", "true")


def test_flies_along_the_cameras(viewer):
    load_cloud(viewer)
    viewer.send("seek", t=0.5)
    viewer.send("play", speed=4)
    viewer.wait_for("playback", playing=True)
    end = viewer.wait_for("playback", playing=False, t=3)
    positions = [m["t"] for m in viewer.messages("playback")]
    assert positions == sorted(positions)
    assert end["t"] == 3
    viewer.wait_for("cameraSelected", camera=3)
    viewer.forget()
    viewer.frame.get_by_role("slider", name="Position along the cameras").fill("1.5")
    viewer.wait_for("playback", playing=False, t=1.5)
    viewer.button("Fly along the cameras").click()
    viewer.wait_for("playback", playing=True, t=1.5)
    viewer.button("Pause").click()
    viewer.wait_for("playback", playing=False)


def test_compares_the_frame_with_the_splats(viewer):
    load_cloud(viewer, camera=1)
    viewer.button("Compare with the frame").click()
    viewer.wait_for("viewChanged")
    divider = viewer.frame.get_by_role("slider", name=re.compile("^Divider"))
    expect(divider).to_have_value("0.5")
    viewer.page.wait_for_timeout(200)
    magenta = (viewer.screenshot() == (255, 0, 255)).all(axis=-1)
    # The frame is 4 : 3 as the viewer is, so it fills it; controls cover some of it.
    assert magenta[90:150, 10 : WIDTH // 2 - 24].mean() > 0.98
    assert magenta[:, WIDTH // 2 + 24 :].mean() == 0
    divider.focus()
    for _ in range(5):
        viewer.page.keyboard.press("ArrowLeft")
    expect(divider).to_have_value("0.45")
    box = viewer.frame.locator(".divider").bounding_box()
    assert box is not None
    viewer.page.mouse.move(box["x"] + box["width"] / 2, 120)
    viewer.page.mouse.down()
    viewer.page.mouse.move(240, 120, steps=3)
    viewer.page.mouse.up()
    expect(divider).to_have_value("0.75")
    assert viewer.messages("viewChanged")[-1]["view"]["divider"] == pytest.approx(0.75, abs=0.01)
    viewer.send("reset")
    viewer.send("setView", view={"compare": False})
    expect(divider).to_be_hidden()


def test_keys_and_wheel_belong_to_the_page_until_the_viewer_has_the_focus(viewer):
    load_cloud(viewer)
    before = viewer.pose()
    viewer.forget()
    viewer.page.get_by_label("outside").focus()
    viewer.page.keyboard.type("wasd 3rb")
    expect(viewer.page.get_by_label("outside")).to_have_value("wasd 3rb")
    viewer.page.mouse.move(160, 120)
    viewer.page.mouse.wheel(0, 40)
    expect(viewer.frame.get_by_text("Click the scene first")).to_be_visible()
    viewer.page.wait_for_function("() => window.scrollY > 0")
    assert viewer.pose() is None
    viewer.page.evaluate("() => window.scrollTo(0, 0)")
    viewer.page.mouse.click(160, 60)
    viewer.page.mouse.wheel(0, -200)
    zoomed = viewer.wait_for("pose")
    assert viewer.page.evaluate("() => window.scrollY") == 0
    assert zoomed["transform"] != before["transform"]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("page.ply", "not-a-scene", "web page instead of a scene"),
        ("cut.ply", "damaged", "ends after 5000 of"),
        ("cloud.json", "unsupported-format", "not a scene file"),
    ],
)
def test_says_what_is_wrong_with_a_file(viewer, content, code, words):
    viewer.send("load", content=f"{viewer.site}/{content}")
    error = viewer.wait_for("error", code=code)
    assert words in error["message"]
    expect(viewer.frame.get_by_role("alert")).to_contain_text(words)


def test_tries_a_missing_file_again(viewer, site_folder):
    late = site_folder / "late.ply"
    viewer.send("load", content=f"{viewer.site}/late.ply")
    viewer.wait_for("error", code="not-found", retry=True)
    shutil.copy(site_folder / "axes.ply", late)
    viewer.button("Try again").click()
    assert viewer.wait_for("loaded")["splats"] == 120
    expect(viewer.frame.get_by_role("alert")).to_be_hidden()
    late.unlink()


def test_shows_a_scene_whose_cameras_cannot_be_used(viewer):
    loaded = viewer.load("axes.ply", cameras=f"{viewer.site}/broken.json")
    assert loaded["cameras"] == 0
    error = viewer.wait_for("error", code="bad-cameras")
    assert "lacks transform_matrix" in error["message"]


def test_refuses_messages_that_do_not_fit(viewer):
    viewer.page.evaluate("() => window.send({ v: 1, type: 'gotoCamera', camera: -1 })")
    error = viewer.wait_for("error", code="bad-message")
    assert "camera must be at least 0" in error["message"]
    viewer.send("gotoCamera", camera=99)
    viewer.page.wait_for_function("() => window.messages.at(-1).message.includes('no camera 100')")


def test_a_new_scene_takes_the_place_of_the_old_one(viewer):
    load_cloud(viewer)
    viewer.send("gotoCamera", camera=1, instant=True)
    before = viewer.pose()
    assert viewer.load("axes.ply", keepView=True)["splats"] == 120
    assert viewer.frame.locator("canvas").count() == 1
    viewer.surface.press("b")
    viewer.page.wait_for_timeout(100)
    assert viewer.pose() is None or viewer.pose()["transform"] == before["transform"]
    assert viewer.messages("error") == []
    viewer.send("clear")
    expect(viewer.frame.locator("canvas")).to_have_count(0)
    expect(viewer.button("View from camera 2")).to_be_visible()


def test_cameras_after_a_scene_are_all_in_view_until_a_hand_moves_it(viewer):
    load_cloud(viewer)
    viewer.send("gotoCamera", camera=1, instant=True)
    viewer.send("clear")
    viewer.send("cameras", cameras=f"{viewer.site}/cloud.json")
    labels = viewer.frame.locator(".frustums .label")
    expect(labels).to_have_count(4)
    for label in labels.all():
        expect(label).to_be_in_viewport()
    viewer.surface.press("ArrowLeft")
    viewer.wait_for("pose", camera=None)
    moved = viewer.pose()["transform"]
    viewer.send("clear")
    viewer.send("cameras", cameras=f"{viewer.site}/cloud.json")
    viewer.page.wait_for_timeout(300)
    assert viewer.pose()["transform"] == moved


def test_a_double_click_makes_its_place_the_middle(viewer):
    viewer.load("axes.ply", cameras=f"{viewer.site}/axes.json")
    viewer.resize(480, 480)
    # One unit at depth 4 is 0.3 of the picture's width.
    viewer.page.mouse.dblclick(240 + 144, 240)
    viewer.wait_for("pose", camera=None)
    back = np.array(viewer.pose()["transform"])[:3, 2]
    # The red ball stands at (1, 0, 4) before view 1, as seen from the origin.
    np.testing.assert_allclose(-back, np.array([1, 0, 4]) / np.sqrt(17), atol=0.02)


def test_says_that_the_graphics_card_was_taken_away(viewer):
    viewer.load("axes.ply")
    viewer.frame.locator("canvas").evaluate(
        "c => c.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    )
    viewer.wait_for("error", code="no-webgl", retry=True)
    viewer.forget()
    viewer.button("Try again").click()
    viewer.wait_for("loaded")


def test_cameras_show_before_there_is_a_scene(viewer, site_folder):
    cameras = json.loads((site_folder / "cloud.json").read_text())
    viewer.send("cameras", cameras=cameras, colors=["#010203"] * 4)
    expect(viewer.button("View from camera 4")).to_be_visible()
    # From outside: from a camera there would be nothing to see.
    assert viewer.pose()["camera"] is None
    for index in range(4):
        label = viewer.frame.locator(".frustums .label").nth(index)
        box = label.bounding_box()
        assert box is not None
        assert 0 < box["x"] < WIDTH
        assert 0 < box["y"] < HEIGHT
    colour = viewer.button("View from camera 4").evaluate(
        "e => getComputedStyle(e).backgroundColor"
    )
    assert colour == "rgb(1, 2, 3)"
    viewer.send("cameras", cameras=None)
    expect(viewer.button("View from camera 4")).to_have_count(0)


def test_splats_can_be_resized_cut_off_and_drawn_as_points(viewer):
    load_cloud(viewer)

    def coverage(**view: Any) -> float:
        viewer.send("setView", view=view)
        return float((viewer.capture(0, 96, 72, transparent=True)[..., 3] / 255).mean())

    whole = coverage()
    assert 0.2 < whole < 1
    assert coverage(splatSize=0.4) < 0.7 * whole
    assert coverage(splatSize=1, opacityCutoff=0.6) < 0.9 * whole
    assert coverage(opacityCutoff=1) == 0
    assert 0 < coverage(opacityCutoff=0, points=True) < 0.5 * whole
    assert coverage(points=False) == pytest.approx(whole)


def test_background_and_theme_follow_the_page(viewer):
    viewer.send("setBackground", background="theme")
    viewer.load("axes.ply", cameras=f"{viewer.site}/axes.json")
    edge = (HEIGHT // 2, 4)

    def expect_colour(colour: tuple[int, int, int]) -> None:
        viewer.page.wait_for_timeout(300)
        found = viewer.screenshot()[edge]
        assert np.abs(found.astype(int) - colour).max() <= 1, found

    viewer.send("setTheme", theme="light")
    expect_colour(LIGHT)
    viewer.send("setTheme", theme="dark")
    expect_colour(DARK)
    viewer.send("setTheme", theme="dark", variables={"background": "rgb(10, 20, 30)"})
    expect_colour((10, 20, 30))
    viewer.send("setBackground", background="transparent")
    expect_colour((0, 255, 0))
    viewer.send("screenshot", id="clear", width=64, height=48)
    assert viewer.wait_for("screenshot", id="clear")["width"] == 64
    viewer.button("Display settings").click()
    viewer.frame.get_by_role("group", name="Background").get_by_label("Light").check()
    assert viewer.wait_for("viewChanged", background="light")["theme"] == "dark"


def test_draws_only_while_something_changes(viewer):
    load_cloud(viewer)
    viewer.pose()
    viewer.page.wait_for_timeout(1500)
    still = viewer.frames_drawn()
    viewer.page.wait_for_timeout(1000)
    assert viewer.frames_drawn() == still
    viewer.send("gotoCamera", camera=2)
    viewer.wait_for("cameraSelected", camera=2)
    viewer.pose()
    assert viewer.frames_drawn() > still


def test_leaves_the_processor_alone_while_nothing_moves_and_answers_the_next_key(viewer):
    """A page that computes beside it would have to wait for a loop at the display's pace.

    Without a scene, as during a run: with one the engine has a loop of its own.
    """
    viewer.send("cameras", cameras=f"{viewer.site}/cloud.json")
    viewer.wait_for("pose")
    count_beats = """() => new Promise((resolve) => {
        const { contentWindow } = document.querySelector('#viewer');
        const ask = contentWindow.requestAnimationFrame;
        let beats = 0;
        contentWindow.requestAnimationFrame = (done) => (beats++, ask.call(contentWindow, done));
        setTimeout(() => {
            contentWindow.requestAnimationFrame = ask;
            resolve(beats);
        }, 500);
    })"""
    assert any(viewer.page.evaluate(count_beats) == 0 for _ in range(20))
    before = viewer.pose()
    viewer.surface.focus()
    viewer.page.keyboard.press("ArrowLeft", delay=200)
    assert viewer.pose()["transform"] != before["transform"]


def test_a_gamepad_wakes_the_viewer_and_is_read_after_a_rest(viewer):
    """Gamepads send an event when they are plugged in, and none when their sticks move."""
    viewer.send("cameras", cameras=f"{viewer.site}/cloud.json")
    viewer.wait_for("pose")
    # Only where the hands are: two viewers may be open.
    viewer.surface.focus()
    pushed_stick = """([plugged, turn]) => {
        const { contentWindow } = document.querySelector('#viewer');
        const buttons = Array(16).fill({ pressed: false, value: 0 });
        const pad = { mapping: 'standard', axes: [0, 0, turn, 0], buttons };
        contentWindow.navigator.getGamepads = () => [null, pad];
        if (!plugged) contentWindow.dispatchEvent(new contentWindow.Event('gamepadconnected'));
    }"""
    for plugged in (False, True, True):
        # Longer than the loop takes to rest.
        viewer.page.wait_for_timeout(1500)
        viewer.forget()
        viewer.page.evaluate(pushed_stick, [plugged, 1])
        viewer.wait_for("pose")
        viewer.page.evaluate(pushed_stick, [True, 0])


def test_steps_instead_of_gliding_for_people_who_want_no_motion(open_page, site):
    page = open_page(f"?content={site}/axes.ply&cameras={site}/cloud.json", reduced_motion="reduce")
    expect(page.get_by_text("120 splats")).to_be_visible(timeout=TIMEOUT_MS)
    slider = page.get_by_role("slider", name="Position along the cameras")
    page.get_by_role("button", name="View from camera 4", exact=True).click()
    expect(slider).to_have_value("3")
    seen = page.evaluate("""async () => {
        const app = window.splatViewer;
        app.seek(0);
        app.receive({ v: 1, type: 'play', speed: 4 });
        const labels = new Set();
        for (let i = 0; i < 400; i++) {
            await new Promise(requestAnimationFrame);
            labels.add(document.querySelector('.camera-button[aria-pressed="true"]')?.textContent);
            if (labels.has('4')) break;
        }
        return [...labels];
    }""")
    assert seen == ["1", "2", "3", "4"]


def test_the_address_chooses_scene_camera_and_look(open_page, site):
    query = f"?content={site}/cloud.ply&cameras={site}/cloud.json&camera=3&theme=dark"
    page = open_page(query)
    pressed = page.get_by_role("button", name="View from camera 4", exact=True)
    expect(pressed).to_have_attribute("aria-pressed", "true", timeout=TIMEOUT_MS)
    expect(page.locator("#viewer")).to_have_attribute("data-theme", "dark")
    page.goto(page.url.replace("camera=3", "t=1.5"))
    slider = page.get_by_role("slider", name="Position along the cameras")
    expect(slider).to_have_value("1.5", timeout=TIMEOUT_MS)
    page.goto(page.url.replace("theme=dark", "theme=pink"))
    expect(page.get_by_role("alert")).to_contain_text("theme must be one of auto, light, dark")


def test_everything_can_be_reached_by_keyboard(viewer):
    load_cloud(viewer)
    viewer.page.get_by_label("outside").focus()
    viewer.page.keyboard.press("Shift+Tab")
    names = []
    script = """() => {
        const inside = document.getElementById('viewer').contentDocument;
        const e = inside.activeElement;
        return document.activeElement.id !== 'viewer' ? null
            : e.getAttribute('aria-label') ?? e.textContent;
    }"""
    while (name := viewer.page.evaluate(script)) is not None:
        names.insert(0, name)
        viewer.page.keyboard.press("Shift+Tab")
    assert names[0].startswith("3D scene")
    wanted = ["Orbit", "Fly", "Reset view", "Compare with the frame", "Show cameras"]
    wanted += ["Display settings", "Save screenshot", "Record a path"]
    wanted += ["Fullscreen", "Help and keys"]
    wanted += ["Fly along the cameras", *(f"View from camera {n}" for n in (1, 2, 3, 4))]
    assert [name for name in wanted if name not in names] == []
    viewer.surface.focus()
    viewer.page.keyboard.press("3")
    viewer.wait_for("cameraSelected", camera=2)
    viewer.page.keyboard.press("]")
    viewer.wait_for("cameraSelected", camera=3)
    viewer.page.keyboard.press("f")
    assert viewer.wait_for("viewChanged")["view"]["mode"] == "fly"
    viewer.forget()
    viewer.page.keyboard.down("w")
    viewer.wait_for("pose", camera=None)
    viewer.page.keyboard.up("w")
    viewer.page.keyboard.press("?")
    help_sheet = viewer.frame.get_by_role("dialog", name="Help and keys")
    expect(help_sheet).to_be_visible()
    viewer.page.keyboard.press("Escape")
    expect(help_sheet).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, site, scheme):
    page = open_page(
        f"?content={site}/axes.ply&cameras={site}/cloud.json&camera=1",
        color_scheme=scheme,
        viewport={"width": 900, "height": 600},
    )
    expect(page.get_by_text("120 splats")).to_be_visible(timeout=TIMEOUT_MS)
    page.get_by_role("button", name="Compare with the frame").click()
    page.get_by_role("button", name="Display settings").click()
    assert_accessible(page)
    page.get_by_role("button", name="Help and keys").click()
    assert_accessible(page)
    page.goto(page.url.replace("axes.ply", "nothing.ply"))
    expect(page.get_by_role("alert")).to_be_visible(timeout=TIMEOUT_MS)
    assert_accessible(page)


def assert_accessible(page: Page) -> None:
    violations = Axe().run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in serious] == []


def test_fits_a_phone(open_page, site):
    page = open_page(
        f"?content={site}/axes.ply&cameras={site}/cloud.json",
        viewport={"width": 390, "height": 640},
        has_touch=True,
        is_mobile=True,
    )
    expect(page.get_by_text("120 splats")).to_be_visible(timeout=TIMEOUT_MS)
    boxes = page.evaluate("""() => [...document.querySelectorAll('button, input')]
        .filter((e) => e.offsetParent !== null && e.checkVisibility())
        .map((e) => [e.ariaLabel ?? e.textContent, e.getBoundingClientRect().toJSON()])""")
    assert len(boxes) > 12
    for name, box in boxes:
        assert box["left"] >= 0, name
        assert box["right"] <= 390, name
        assert box["bottom"] <= 640, name
        assert min(box["width"], box["height"]) >= 20, name
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Fly", exact=True).tap()
    stick = page.locator(".stick")
    expect(stick).to_be_visible()
    before = page.evaluate("() => document.querySelector('.back').disabled")
    box = stick.bounding_box()
    assert before
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    page.mouse.down()
    expect(page.locator(".back")).to_be_enabled()
    page.mouse.up()


def drag(viewer: ViewerPage, dx: int, dy: int = 0) -> None:
    """From the middle of the viewer."""
    viewer.page.mouse.move(WIDTH / 2, HEIGHT / 2)
    viewer.page.mouse.down()
    viewer.page.mouse.move(WIDTH / 2 + dx, HEIGHT / 2 + dy, steps=8)
    viewer.page.mouse.up()


EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenes").iterdir())


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_a_drag_turns_about_the_subject(viewer, site_folder, folder):
    """The pivot is where the axes of the views before and after meet; the subject's depth is that
    of what the rasteriser draws in the middle of the picture."""
    (site_folder / folder.name).symlink_to(folder)
    viewer.load(
        f"{folder.name}/{SPLATS_NAME}", cameras=f"{viewer.site}/{folder.name}/transforms.json"
    )
    before = np.array(viewer.pose()["transform"])
    drag(viewer, 60)
    viewer.wait_for("cameraSelected", camera=None)
    after = np.array(viewer.pose()["transform"])
    forward = np.stack([-before[:3, 2], after[:3, 2]], axis=1)
    pivot = np.linalg.lstsq(forward, after[:3, 3] - before[:3, 3], rcond=None)[0][0]
    camera = load_transforms(folder / "transforms.json").resized(96, 96)[3:4]
    gaussians = load_splats(folder / SPLATS_NAME)
    depths = rasterize(gaussians, camera)[2]["depths"][0, 45:51, 45:51]
    assert pivot == pytest.approx(float(depths.median()), rel=0.1)


def test_opens_at_the_middle_camera_whose_picture_fills_the_canvas(viewer):
    load_cloud(viewer)
    viewer.wait_for("cameraSelected", camera=1)
    viewer.resize(480, 300)
    # The frames are magenta: laid over the splats, all of the canvas is.
    viewer.send("setView", view={"compare": True, "divider": 1})
    viewer.page.wait_for_timeout(300)
    magenta = (viewer.screenshot() == (255, 0, 255)).all(axis=-1)
    # Controls lie over the rest.
    assert magenta[90:-80, 2:340].mean() > 0.98


def test_the_first_flight_ends_at_the_first_touch(viewer):
    load_cloud(viewer, flight=True)
    viewer.wait_for("playback", playing=True)
    viewer.page.wait_for_function(
        "() => window.messages.filter(({ type }) => type === 'playback').length > 5"
    )
    viewer.page.mouse.click(WIDTH / 2, HEIGHT / 2)
    viewer.wait_for("playback", playing=False)
    viewer.pose()
    viewer.forget()
    viewer.page.wait_for_timeout(500)
    assert viewer.messages("pose") == []


def test_there_is_no_flight_for_people_who_want_no_motion(viewer):
    viewer.page.emulate_media(reduced_motion="reduce")
    load_cloud(viewer, flight=True)
    viewer.page.wait_for_timeout(500)
    assert viewer.messages("playback") == []


def test_a_flown_path_comes_back_as_cameras(viewer, tmp_path):
    load_cloud(viewer)
    viewer.button("Record a path").click()
    drag(viewer, 40)
    viewer.pose()
    drag(viewer, -40, 30)
    last = viewer.pose()
    viewer.button("Stop recording").click()
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(viewer.wait_for("recorded")["cameras"]))
    cameras = load_transforms(path)
    assert cameras.num_views >= 3
    flipped = np.array(last["transform"]) @ np.diag([1, -1, -1, 1])
    np.testing.assert_allclose(cameras.camtoworlds[-1], flipped, atol=2e-3)


def test_the_scene_goes_on_behind_the_splats_and_fades_into_it(viewer):
    viewer.load("axes.ply", cameras=f"{viewer.site}/cloud.json")
    viewer.page.wait_for_timeout(300)
    # Every frame is magenta, and so is what lies around the balls, also in a saved picture.
    assert np.abs(viewer.screenshot()[HEIGHT // 2, 4].astype(int) - (255, 0, 255)).max() <= 2
    viewer.send("screenshot", id="shot", width=64, height=48)
    shot = decode_png(viewer.wait_for("screenshot", id="shot")["image"])
    assert np.abs(shot[24, 1, :3].astype(int) - (255, 0, 255)).max() <= 2


@pytest.mark.parametrize("awake", [False, True])
def test_one_finger_scrolls_the_page_until_the_viewer_is_tapped(browser, site, awake):
    context = browser.new_context(viewport={"width": 390, "height": 640}, has_touch=True)
    viewer = ViewerPage(context.new_page(), site)
    load_cloud(viewer)
    if awake:
        viewer.page.touchscreen.tap(WIDTH / 2, HEIGHT / 2)
        expect(viewer.surface).to_have_class(re.compile("awake"))
    session = context.new_cdp_session(viewer.page)
    before = viewer.pose()["transform"]

    def touch(kind: str, *points: dict[str, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [*points]})

    touch("touchStart", {"x": WIDTH / 2, "y": 170})
    for step in range(1, 13):
        touch("touchMove", {"x": WIDTH / 2, "y": 170 - 12 * step})
    touch("touchEnd")
    viewer.page.wait_for_timeout(300)
    has_turned = viewer.pose()["transform"] != before
    assert has_turned == awake
    assert (viewer.page.evaluate("() => scrollY") > 50) == (not awake)
    viewer.check()
    context.close()


def test_two_fingers_zoom_and_one_turns(open_page, site):
    page = open_page(f"?content={site}/axes.ply&cameras={site}/axes.json", has_touch=True)
    expect(page.get_by_text("120 splats")).to_be_visible(timeout=TIMEOUT_MS)
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[int, int]) -> None:
        fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    surface = page.get_by_role("application")
    expect(surface).to_have_css("touch-action", "none")
    picture = page.screenshot()
    touch("touchStart", (130, 120), (190, 120))
    for step in range(1, 6):
        touch("touchMove", (130 - 8 * step, 120), (190 + 8 * step, 120))
    touch("touchEnd")
    expect(page.locator(".back")).to_be_enabled()
    page.wait_for_timeout(500)
    zoomed = page.screenshot()
    assert zoomed != picture
    touch("touchStart", (160, 120))
    for step in range(1, 6):
        touch("touchMove", (160 + 10 * step, 120))
    touch("touchEnd")
    page.wait_for_timeout(500)
    assert page.screenshot() != zoomed


def test_a_screenshot_is_saved_as_a_file(open_page, site, tmp_path):
    page = open_page(f"?content={site}/axes.ply&cameras={site}/axes.json")
    expect(page.get_by_text("120 splats")).to_be_visible(timeout=TIMEOUT_MS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save screenshot").click()
    path = tmp_path / "shot.png"
    download.value.save_as(path)
    assert download.value.suggested_filename == "scene.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_one_file_export_opens_from_disk_without_a_network(browser, tmp_path):
    cameras = tilted_cameras()
    frames = np.full((4, cameras.height, cameras.width, 3), (255, 0, 255), dtype=np.uint8)
    path = tmp_path / "scene.html"
    save_html(cloud_scene(), path, cameras, frames, title="A scene")
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True)
    page = context.new_page()
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(f"{path.as_uri()}?camera=2")
    expect(page.get_by_text("1,500 splats")).to_be_visible(timeout=TIMEOUT_MS)
    camera = page.get_by_role("button", name="View from camera 3", exact=True)
    expect(camera).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Compare with the frame").click()
    expect(page.get_by_role("slider", name=re.compile("^Divider"))).to_be_visible()
    expect(page).to_have_title("A scene")
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


@pytest.mark.parametrize("sandbox", ["", ' sandbox="allow-scripts"'])
def test_a_one_file_export_shows_its_scene_inside_of_a_frame(browser, tmp_path, sandbox):
    path = tmp_path / "scene.html"
    save_html(cloud_scene(), path, tilted_cameras())
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    source = html.escape(path.read_text(encoding="utf-8"))
    frame = f'<iframe{sandbox} width="{WIDTH}" height="{HEIGHT}" srcdoc="{source}"></iframe>'
    page.set_content(frame)
    splats = page.frame_locator("iframe").get_by_text("1,500 splats")
    expect(splats).to_be_visible(timeout=TIMEOUT_MS)
    assert problems == []
    context.close()


@pytest.mark.slow
def test_the_first_picture_of_eight_views_comes_soon(viewer, site_folder):
    num = 8 * 96 * 96
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(num, 3, generator=generator) + torch.tensor([0.0, 0.0, 3.0])
    scene = gaussians_of(means, torch.rand(num, 3, generator=generator), scale=0.01)
    save_ply(Gaussians(**vars(scene)), site_folder / "large.ply")
    seconds = [viewer.load("large.ply")["seconds"] for _ in range(3)]
    assert min(seconds) <= 3, seconds


def test_the_png_of_a_screenshot_has_no_background_when_asked(viewer):
    viewer.load("axes.ply", cameras=f"{viewer.site}/axes.json")
    picture = viewer.capture(0, 48, 48, transparent=True)
    assert picture[2, 2].tolist() == [0, 0, 0, 0]
    red, green, blue, alpha = picture[24, 24]
    assert alpha > 250
    assert blue > 200 > max(red, green)
