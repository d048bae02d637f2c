"""The page in a real Chromium, as a person uses it."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, expect
from tiny import HEIGHT, NUM_VIEWS, WIDTH

from videorfsplat.formats.ply import load_ply
from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.rendering.rasterization import rasterize

pytestmark = pytest.mark.browser


def rotation_of(pose: dict[str, Any]) -> np.ndarray:
    return np.array(pose["transform"])[:3, :3]


STAGE = (0xEC, 0xEC, 0xE9)
"""The colour behind the splats, in the light theme."""


def share_of_scene(visitor) -> float:
    """Share of the middle of the viewer, as a person sees it, that is not its background."""
    frame = visitor.page.locator("iframe.splat-frame").first
    expect(frame).to_be_visible()
    visitor.wait_for_rest()
    picture = np.asarray(Image.open(io.BytesIO(frame.screenshot())).convert("RGB"), dtype=int)
    height, width, _ = picture.shape
    middle = picture[height // 4 : -height // 4, width // 4 : -width // 4]
    return float((np.abs(middle - STAGE).max(axis=-1) > 16).mean())


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_opens_with_a_scene_made_earlier_before_any_sampling(visit, site):
    visitor = visit()
    assert visitor.wait_for_message("loaded")["splats"] == 400
    assert share_of_scene(visitor) > 0.05
    expect(visitor.page.locator(".frame-strip").first.locator("button")).to_have_count(NUM_VIEWS)
    expect(visitor.page.locator("#model")).to_contain_text("This is the small model")
    expect(visitor.page.locator(".downloads a")).to_have_count(13)
    assert site.steps == 0


def test_sliders_redraw_the_timetable(visit):
    visitor = visit()
    path = visitor.timetable.locator(".path")
    before = path.get_attribute("points")
    visitor.set_slider("Timestep offset δ", -0.3)
    expect(visitor.timetable).to_have_attribute("aria-label", re.compile("images ahead by 0.30"))
    visitor.set_slider("Steps", 10)
    expect(visitor.timetable).to_have_attribute("aria-label", re.compile("of 10 steps"))
    expect(visitor.timetable.locator(".steps circle")).to_have_count(11)
    assert path.get_attribute("points") != before


def test_few_steps_take_the_settings_of_the_variant_and_give_them_back(visit):
    visitor = visit()
    few = visitor.page.get_by_label("Few steps", exact=True)
    steps = visitor.page.locator("#settings").get_by_label("number input for Steps")
    few.check()
    expect(steps).to_have_value("2")
    expect(visitor.timetable).to_have_attribute("aria-label", re.compile("of 2 steps"))
    visitor.generate("a red house", steps=2)
    expect(visitor.page.locator("#record")).to_contain_text("2, few-step variant")
    few.uncheck()
    expect(steps).to_have_value("12")


def test_a_number_can_be_typed_key_by_key(visit):
    """With "-" alone, or nothing, a slider has no value for a moment."""
    visitor = visit()
    field = visitor.page.locator("#settings").get_by_label("number input for Timestep offset δ")
    field.press("Control+a")
    field.press("Delete")
    field.press_sequentially("-0.35", delay=120)
    field.press("Tab")
    expect(visitor.timetable).to_have_attribute("aria-label", re.compile("images ahead by 0.35"))
    expect(visitor.page.locator(".toast-body")).to_have_count(0)


def test_a_run_is_not_disturbed_by_another_sentence_or_example(visit, site):
    visitor = visit()
    site.hold(after=1)
    visitor.begin("a red house", steps=60)
    expect(visitor.status).to_contain_text("Step 1 of 60")
    visitor.write("a blue house")
    visitor.page.get_by_label("Sentence", exact=True).press("Shift+Enter")
    visitor.page.locator(".example-scenes button").first.click(force=True)
    visitor.page.wait_for_timeout(500)
    expect(visitor.status).to_contain_text("Step 1 of 60")
    expect(visitor.page.get_by_label("Sentence", exact=True)).to_have_value("a blue house")
    assert site.prompts == ["a red house"]
    stop(visitor, site)


def test_after_a_stopped_run_the_scene_from_before_is_back(visit, site):
    visitor = visit()
    expect(visitor.page.locator(".downloads a")).to_have_count(13)
    record = visitor.page.locator("#record")
    expect(record).to_contain_text("a red house")
    site.hold(after=1)
    visitor.begin("a blue tree", steps=60)
    expect(visitor.status).to_contain_text("Step 1 of 60")
    expect(visitor.page.locator(".downloads a")).to_have_count(0)
    expect(record).to_be_empty()
    stop(visitor, site)
    assert visitor.wait_for_message("loaded")["splats"] == 400
    expect(record).to_contain_text("a red house")
    expect(visitor.page.locator(".downloads a")).to_have_count(13)
    # The sentence of the run is still there to be tried again.
    expect(visitor.page.get_by_label("Sentence", exact=True)).to_have_value("a blue tree")


def test_from_a_click_to_a_ply_that_other_programs_open(visit, tmp_path):
    visitor = visit()
    visitor.generate("a red house", steps=3)
    expect(visitor.page.locator("#record")).to_contain_text("a red house")
    expect(visitor.timetable).to_have_attribute("data-state", "running")
    expect(visitor.page.locator("#frustums .js-plotly-plot")).to_be_visible()
    path = visitor.download("scene.ply", tmp_path)
    assert len(plyfile.PlyData.read(path)["vertex"]) == NUM_VIEWS * WIDTH * HEIGHT
    expect(visitor.page.locator(".downloads a")).to_have_count(13)


def test_shows_step_clocks_frames_and_frustums_while_sampling(visit, site):
    visitor = visit()
    site.hold(after=3)
    visitor.begin(steps=60)
    progress = visitor.page.get_by_role("progressbar", name="Denoising")
    expect(progress).to_have_attribute("aria-valuenow", "3")
    expect(progress).to_have_attribute("aria-valuemax", "60")
    expect(visitor.status).to_contain_text(re.compile(r"Step 3 of 60.*left.*images.*cameras"))
    frames = visitor.page.locator(".frame-strip").first.locator("img")
    expect(frames).to_have_count(NUM_VIEWS)
    expect(frames.first).to_have_attribute("src", re.compile("^data:image/webp"))
    viewer = visitor.page.frame_locator("iframe.splat-frame").first
    labels = viewer.locator(".frustums .label")
    expect(labels).to_have_count(NUM_VIEWS)
    for label in labels.all():
        expect(label).to_be_in_viewport()
    # The beginning and three steps.
    expect(visitor.timetable.locator(".walked")).to_have_attribute(
        "points", re.compile(r"^\S+ \S+ \S+ \S+$")
    )


def test_a_plot_that_is_gone_holds_no_graphics(visit, site):
    visitor = visit()
    shown = visitor.page.locator("#frustums .js-plotly-plot")
    expect(shown.locator("canvas").first).to_be_attached()
    plot = shown.element_handle()
    site.hold(after=1)
    visitor.begin(steps=60)
    expect(shown).to_have_count(0)
    visitor.page.wait_for_function("(plot) => !plot.querySelector('canvas')", arg=plot)
    stop(visitor, site)


def stop(visitor, site) -> None:
    """Press Stop; the step that the model is held in ends after the server knows of it."""
    # Between two steps a run would end at once.
    site.wait_until(lambda: site.is_held)
    cancels = site.cancels
    visitor.button("Stop").click()
    site.wait_until(lambda: site.cancels > cancels)
    expect(visitor.status).to_contain_text("Stopping…")
    expect(visitor.button("Generate")).to_be_disabled()
    site.let_go()
    expect(visitor.status).to_contain_text("Stopped.")


def test_stop_stops_the_model_within_a_step(visit, site):
    visitor = visit()
    site.hold(after=2)
    visitor.begin(steps=60)
    expect(visitor.status).to_contain_text("Step 2 of 60")
    site.wait_until(lambda: site.steps == 3)
    stop(visitor, site)
    site.wait_until(lambda: site.running == 0)
    # The one that was running ended, and none came after it.
    assert site.steps == 3
    expect(visitor.status).to_contain_text("Stopped.")


def test_generate_works_the_moment_it_can_be_pressed_after_stop(visit, site):
    visitor = visit()
    site.hold(after=1)
    visitor.begin("a red house", steps=3)
    expect(visitor.status).to_contain_text("Step 1 of 3")
    stop(visitor, site)
    visitor.button("Generate").click()
    expect(visitor.status).to_contain_text("Made in")
    assert site.prompts == ["a red house", "a red house"]


def test_whoever_waits_sees_their_place_and_can_leave(visit, site):
    first, second = visit(), visit()
    site.hold(after=1)
    first.begin("a red house", steps=60)
    expect(first.status).to_contain_text("Step 1 of 60")
    second.begin("a blue house", steps=60)
    expect(second.page.locator(".queue-words")).to_contain_text("Place 1 of 1 in line")
    second.button("Stop").click()
    expect(second.status).to_contain_text("Stopped")
    expect(second.page.locator(".queue-words")).to_be_empty()
    stop(first, site)
    # Whoever had not left the line would come before this one.
    first.generate("a red tree")
    assert site.prompts == ["a red house", "a red tree"]
    expect(second.status).to_contain_text("Stopped")


def test_three_visitors_are_served_in_turn_each_with_their_own_scene(visit, site):
    visitors = {prompt: visit() for prompt in ("a red house", "a blue house", "a red tree")}
    before = {folder.name for folder in site.events.files.root.iterdir()}
    site.hold()
    for place, (prompt, visitor) in enumerate(visitors.items()):
        visitor.begin(prompt, steps=2)
        if place == 0:
            site.wait_until(lambda: site.running == 1)
        else:
            words = f"Place {place} of {place} in line"
            expect(visitor.page.locator(".queue-words")).to_contain_text(words)
    site.let_go()
    for prompt, visitor in visitors.items():
        expect(visitor.status).to_contain_text("Made in")
        expect(visitor.page.locator("#record")).to_contain_text(prompt)
    assert site.prompts == list(visitors)
    # Besides the scene made earlier, each page asked for the files of one folder: its own.
    asked = [
        re.findall(r"(?:@|%40)results/([\w-]{22})/", " ".join(v.requests))
        for v in visitors.values()
    ]
    own = [set(folders) - before for folders in asked]
    assert [len(folders) for folders in own] == [1, 1, 1]
    assert len(set.union(*own)) == 3
    # And there is no list of them.
    root = f"{site.address}/gradio_api/file={site.events.files.root}"
    for address in (root, f"{root}/", f"{root}/{'x' * 22}/scene.ply"):
        assert next(iter(visitors.values())).page.request.get(address).status in (403, 404)


def test_compares_two_settings_seen_by_one_camera(visit):
    visitor = visit()
    visitor.write("a red house")
    visitor.set_slider("Steps", 2)
    visitor.page.get_by_role("tab", name="Compare").click()
    pictures = visitor.page.locator("#pair svg.timetable")
    expect(pictures).to_have_count(2)
    expect(pictures.first).to_have_attribute("aria-label", re.compile("together"))
    expect(pictures.last).to_have_attribute("aria-label", re.compile("cameras ahead by 0.20"))
    visitor.button("Compare").click()
    expect(visitor.status).to_contain_text("Compared in")
    for viewer in ("left", "right"):
        visitor.wait_for_message("loaded", viewer)
    left, right = (visitor.page.locator("#pair iframe").nth(i) for i in (0, 1))
    left.scroll_into_view_if_needed()
    box = left.bounding_box()
    assert box is not None
    visitor.page.mouse.move(box["x"] + 120, box["y"] + 150)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + 260, box["y"] + 170, steps=6)
    visitor.page.mouse.up()
    visitor.wait_for_rest("left")
    first, *_, turned = (rotation_of(pose) for pose in visitor.messages("pose", "left"))
    # The one that followed says where it is as soon as a hand moves it: one small step further.
    visitor.forget()
    right.content_frame.get_by_role("application").press("ArrowLeft")
    followed = rotation_of(visitor.wait_for_message("pose", "right"))
    assert np.abs(followed - turned).max() < 0.3
    assert np.abs(first - turned).max() > 0.4


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.json", b"{not json", "cannot be read: not JSON"),
        ("empty.json", b'{"frames": []}', "cannot be read: frames is missing or empty"),
    ],
)
def test_bad_camera_files_are_refused_in_words(visit, site, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    visitor = visit()
    visitor.write("a red house")
    visitor.page.get_by_role("button", name="Given cameras").click()
    visitor.page.get_by_label("My file").check()
    visitor.page.locator("#settings input[type=file]").set_input_files(path)
    expect(visitor.page.get_by_text(words).first).to_be_visible()
    # Also where the part of the form that says so is closed.
    visitor.page.get_by_role("button", name="Given cameras").click()
    expect(visitor.page.get_by_text(words).first).to_be_hidden()
    visitor.button("Generate").click()
    expect(visitor.page.locator(".toast-body")).to_contain_text(words)
    expect(visitor.page.get_by_label("Sentence", exact=True)).to_have_value("a red house")
    assert site.prompts == []


def test_a_preset_shows_its_frustums_and_gives_the_cameras(visit):
    visitor = visit()
    visitor.page.get_by_role("button", name="Given cameras").click()
    visitor.page.get_by_label("Preset path").check()
    expect(visitor.page.locator("#settings .js-plotly-plot")).to_be_visible()
    expect(visitor.timetable).to_have_attribute("aria-label", re.compile("cameras are given"))
    visitor.generate()
    expect(visitor.page.locator("#record")).to_contain_text("given: orbit_left")


def test_a_share_link_reproduces_settings_seed_and_result(visit):
    visitor = visit()
    visitor.set_slider("Timestep offset δ", -0.15)
    visitor.generate("a blue house by the lake")
    seed = visitor.page.get_by_label("Seed", exact=True).input_value()
    visitor.button("Share this scene").click()
    link = visitor.page.get_by_role("link", name="Link to this scene")
    query = link.get_attribute("href") or ""
    assert "scene=" in query
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.button("Copy").click()
    expect(visitor.button("Copied")).to_be_visible()
    copied = visitor.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == f"{visitor.address}/{query}"
    other = visit(query)
    expect(other.page.get_by_label("Sentence", exact=True)).to_have_value(
        "a blue house by the lake"
    )
    expect(other.page.get_by_label("Seed", exact=True)).to_have_value(seed)
    expect(other.page.get_by_label("Randomise")).not_to_be_checked()
    expect(other.timetable).to_have_attribute("aria-label", re.compile("images ahead by 0.15"))
    other.wait_for_message("loaded")
    expect(other.page.locator("#record")).to_contain_text(seed)


def page_width(visitor) -> int:
    return visitor.page.evaluate("() => document.documentElement.scrollWidth")


def test_fits_a_phone(visit):
    visitor = visit(**PHONE)
    visitor.generate()
    assert page_width(visitor) <= 390
    places = [
        box["y"]
        for selector in ("#composer", ".splat-viewer", "#settings")
        if (box := visitor.page.locator(selector).first.bounding_box()) is not None
    ]
    # Sentence, then scene, then settings.
    assert places == sorted(places)
    assert len(places) == 3
    for button in ("Generate", "Stop"):
        box = visitor.button(button).bounding_box()
        assert box is not None
        assert box["height"] >= 44
    visitor.page.get_by_role("tab", name="Compare").click()
    expect(visitor.page.locator("#pair svg.timetable")).to_have_count(2)
    assert page_width(visitor) <= 390
    left, right = (visitor.page.locator("#pair iframe").nth(i).bounding_box() for i in (0, 1))
    assert left is not None
    assert right is not None
    assert right["y"] >= left["y"] + left["height"]


def test_works_with_the_keyboard_alone(visit, site):
    """From the sentence to a stopped run, to a scene, to a camera and to a file."""
    visitor = visit()
    page = visitor.page
    site.hold(after=1)

    def tab_to(wanted: Locator, key: str = "Tab") -> None:
        for _ in range(100):
            page.keyboard.press(key)
            if wanted.evaluate("(element) => element === element.ownerDocument.activeElement"):
                return
        raise AssertionError(f"{key} does not reach {wanted}")

    page.get_by_label("Sentence", exact=True).focus()
    page.keyboard.type("a red house by the lake")
    tab_to(visitor.button("Generate"))
    page.keyboard.press("Enter")
    expect(visitor.status).to_contain_text(f"Step 1 of {GenerationSettings.num_inference_steps}")
    tab_to(visitor.button("Stop"))
    page.keyboard.press("Enter")
    site.wait_until(lambda: site.cancels == 1)
    site.let_go()
    expect(visitor.status).to_contain_text("Stopped.")
    tab_to(visitor.button("Generate"), key="Shift+Tab")
    visitor.forget()
    page.keyboard.press("Enter")
    expect(visitor.status).to_contain_text("Made in")
    visitor.wait_for_message("loaded")
    viewer = page.frame_locator("iframe.splat-frame").first
    tab_to(viewer.get_by_role("button", name="View from camera 3"))
    page.keyboard.press("Enter")
    visitor.wait_for_message("cameraSelected", camera=2)
    tab_to(page.get_by_role("button", name="View 2"))
    page.keyboard.press("Enter")
    visitor.wait_for_message("cameraSelected", camera=1)
    expect(page.locator(".downloads a")).to_have_count(13)
    tab_to(page.locator(".downloads a").first)
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename == "scene.ply"


def serious_findings(visitor) -> list[str]:
    found = Axe().run(visitor.page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in serious]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, theme):
    visitor = visit(f"?__theme={theme}")
    visitor.generate()
    visitor.page.get_by_role("button", name="Guidance").first.click()
    assert serious_findings(visitor) == []
    visitor.page.get_by_role("tab", name="Compare").click()
    visitor.set_slider("Steps", 1)
    visitor.button("Compare").click()
    expect(visitor.status).to_contain_text("Compared in")
    visitor.wait_for_message("loaded", "right")
    assert serious_findings(visitor) == []


def test_the_viewer_follows_the_theme(visit):
    visitor = visit(color_scheme="light")
    frame = visitor.page.frame_locator("iframe.splat-frame").first
    root = frame.locator("#viewer")
    expect(root).to_have_attribute("data-theme", "light")
    visitor.page.get_by_role("button", name="Switch between light and dark").click()
    expect(root).to_have_attribute("data-theme", "dark")
    visitor.page.reload()
    visitor.wait_until_open()
    expect(visitor.page.locator("body")).to_have_class(re.compile("dark"))


def test_a_camera_shows_what_the_rasteriser_draws(visit, tmp_path):
    visitor = visit()
    visitor.wait_for_message("loaded")
    gaussians = load_ply(visitor.download("scene.ply", tmp_path))
    cameras = load_transforms(visitor.download("transforms.json", tmp_path))
    background = torch.tensor(STAGE) / 255
    expected = rasterize(gaussians, cameras, background=background)[0].clamp(0, 1).numpy()
    found = visitor.capture(1, WIDTH, HEIGHT)[..., :3] / 255
    # The viewer's own tests say what differs (cut-off, order) and that it is 0.014 on average.
    assert np.abs(found - expected[1]).mean() < 0.02
    assert np.abs(found - expected[2]).mean() > 0.06


def test_frames_and_viewer_are_linked(visit):
    visitor = visit()
    visitor.wait_for_message("loaded")
    visitor.forget()
    second = visitor.page.get_by_role("button", name="View 2")
    second.click()
    visitor.wait_for_message("cameraSelected", camera=1)
    expect(second).to_have_attribute("aria-pressed", "true")


def test_a_frustum_in_the_plot_shows_its_camera(visit):
    visitor = visit()
    visitor.wait_for_message("loaded")
    mouse = visitor.page.mouse
    plot = visitor.page.locator("#frustums .js-plotly-plot")
    plot.scroll_into_view_if_needed()
    plot.evaluate("""(plot) => {
        plot.on('plotly_hover', ({ points: [point] }) => { window.hovered = point.curveNumber; });
        plot.on('plotly_unhover', () => { window.hovered = null; });
    }""")
    box = plot.bounding_box()
    assert box is not None

    def hovered_at(x: int) -> int | None:
        mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
        # plotly looks for the mouse when it draws.
        visitor.page.wait_for_timeout(60)
        return visitor.page.evaluate("() => window.hovered")

    hovered = {x: hovered_at(x) for x in range(60, int(box["width"]) - 60, 6)}
    camera = next(camera for camera in hovered.values() if camera is not None)
    # A line is hovered from farther away than it can be clicked: the click goes to its middle.
    places = [x for x, found in hovered.items() if found == camera]
    hovered_at(places[len(places) // 2])
    visitor.forget()
    mouse.down()
    visitor.wait_for_message("cameraSelected", camera=camera)
    mouse.up()


def test_a_scene_made_earlier_opens_from_the_gallery(visit):
    visitor = visit("?prompt=a+blue+tree&num_inference_steps=7")
    expect(visitor.page.get_by_label("Sentence", exact=True)).to_have_value("a blue tree")
    assert visitor.messages("loaded") == []
    visitor.page.locator(".example-scenes button").first.click()
    assert visitor.wait_for_message("loaded")["splats"] == 400
    expect(visitor.page.get_by_label("Sentence", exact=True)).to_have_value("a red house")
    expect(visitor.timetable).to_have_attribute("aria-label", re.compile("of 2 steps"))
    expect(visitor.page.locator(".downloads a")).to_have_count(13)


def test_words_the_model_never_saw_are_marked(visit):
    visitor = visit()
    visitor.write("a red dragon in the kitchen")
    marks = visitor.page.locator(".unknown-words mark")
    expect(marks).to_have_text(["dragon", "kitchen"])
    visitor.write("a red house")
    expect(marks).to_have_count(0)


def test_an_empty_sentence_is_refused_at_the_field(visit, site):
    visitor = visit()
    visitor.write("  ")
    visitor.button("Generate").click()
    refusal = visitor.page.locator("#composer").get_by_text("Write a sentence first.")
    expect(refusal).to_be_visible()
    assert site.steps == 0


def test_a_film_is_made_along_a_path(visit):
    visitor = visit()
    visitor.wait_for_message("loaded")
    visitor.button("Make film").click()
    expect(visitor.page.locator(".film video")).to_be_visible()
    saved = visitor.page.get_by_role("link", name=re.compile("Save the film"))
    assert Path(saved.get_attribute("download") or "").suffix == ".mp4"


def test_settings_survive_as_json_in_the_record(visit, tmp_path):
    visitor = visit()
    visitor.generate("a tree at night")
    expect(visitor.page.locator(".downloads a")).to_have_count(13)
    record = json.loads(visitor.download("scene.json", tmp_path).read_text())["record"]
    assert record["settings"]["prompt"] == "a tree at night"
    assert record["seconds"]["total"] > 0
