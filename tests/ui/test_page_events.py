"""What the page does, without a browser."""

import asyncio
import html
import os
import re
import shutil
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from coroutines import run_coroutine

from videorfsplat.formats.transforms_json import save_transforms
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.ui.example_scenes import example_scenes_gallery, find_example_scenes
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.page_settings import Fields
from videorfsplat.ui.page_values import SKIP, Activity, Result, Side
from videorfsplat.ui.viewer_protocol import check_message

FIELDS = Fields("a red house", 7, False, False, 2, 0.2, 3, 1.5, 2, "generated", "orbit_left", None)


def result_of(values: tuple[Any, ...]) -> tuple[Activity, Result]:
    count = len(Activity._fields)
    return Activity(*values[:count]), Result(*values[count:])


def opened(events: PageEvents, query: dict[str, str]) -> tuple[str, Fields, Result]:
    request = SimpleNamespace(query_params=query)
    card, *rest = events.open_page(request)  # pyright: ignore[reportArgumentType]
    count = len(Fields._fields)
    return card, Fields(*rest[:count]), Result(*rest[count:])


def query_of(line: str) -> dict[str, str]:
    found = re.search(r'href="\?([^"]*)"', line)
    assert found is not None
    return dict(parse_qsl(html.unescape(found.group(1))))


# What Gradio knows of whoever asks.
VISITOR: Any = SimpleNamespace(session_hash="visitor")
OTHER_VISITOR: Any = SimpleNamespace(session_hash="other")


def descriptions(events: PageEvents) -> list[str]:
    async def said() -> list[str]:
        return [card async for card in events.describe_model()]

    return run_coroutine(said())


def generated(events: PageEvents, fields: Fields = FIELDS) -> list[tuple[Activity, Result]]:
    chosen, _, is_stopped, seed, *rest = events.begin(*fields, None, None)
    activity, _ = result_of(tuple(rest))
    assert activity.stop["interactive"]
    assert not activity.generate["interactive"]
    assert chosen["seed"] == seed
    assert not is_stopped
    return [result_of(values) for values in events.generate(chosen, VISITOR)]


def test_a_run_shows_every_step_and_then_the_scene(events):
    _, *steps, (activity, result) = generated(events)
    assert [step.status.split("<strong>")[1].split("</strong>")[0] for step, _ in steps] == [
        "Step 1 of 2",
        "Step 2 of 2",
    ]
    preview = steps[0][1]
    assert [message["type"] for message in preview.viewer] == ["clear", "cameras"]
    assert preview.frames.count("data:image/webp") == 3
    assert "Made in" in activity.status
    assert "seed 7" in activity.status
    assert activity.generate["interactive"]
    [load] = result.viewer
    check_message(load, "HostMessage")
    assert result.scene in load["content"]
    assert result.frames.count("depth/") == 3
    assert len(result.frustums.data) == 3
    assert "a red house" in result.record
    assert events.files.find(result.scene) is not None


def test_the_seed_used_is_shown_and_reproduces_the_scene(events):
    chosen, _, _, seed, *_ = events.begin(*FIELDS._replace(new_seed=True, seed=None), None, None)
    *_, first = events.generate(chosen, VISITOR)
    again, _, _, same, *_ = events.begin(*FIELDS._replace(seed=seed), None, None)
    *_, second = events.generate(again, VISITOR)
    assert same == seed
    folders = [events.files.root / result_of(values)[1].scene for values in (first, second)]
    pictures = [(folder / "frames" / "000.png").read_bytes() for folder in folders]
    assert pictures[0] == pictures[1]


def test_a_comparison_runs_both_sides_with_one_seed(events):
    variants = (0.0, 3, 1.5, 1, 0.2, 3, 1.5, 1)
    both, _, seed, *_ = events.begin_comparison(*FIELDS._replace(new_seed=True), *variants)
    assert {one["seed"] for one in both} == {seed}
    assert [one["pose_offset"] for one in both] == [0.0, 0.2]
    states = list(events.compare(both, VISITOR))
    start = len(Activity._fields)
    shown = [(Side(*v[start : start + 3]), Side(*v[start + 3 :])) for v in states]
    loads = [[s.viewer for s in sides if isinstance(s.viewer, list)] for sides in shown]
    finished = [viewers[0][0]["content"] for viewers in loads if viewers and len(viewers[0]) == 1]
    assert len(set(finished)) == 2
    assert "Left: step 1 of 2" in states[1][0]
    assert "Compared in" in states[-1][0]


def test_few_steps_are_the_variants_own_and_leave_the_model_as_it_is(events):
    sampling = [2, 0.1, 1.0, 1.0, 1.0]
    assert list(events.take_sampling(True)) == [*sampling, *sampling[2:], *sampling[2:]]
    assert events.take_sampling(False)[:5] == (12, 0.2, 5.0, 1.5, 1.5)
    few = FIELDS._replace(few_step=True, **dict(zip(FIELDS._fields[4:9], sampling, strict=True)))
    scenes = []
    for fields in (few, few._replace(few_step=False), few):
        *_, (_, result) = generated(events, fields)
        assert ("2, few-step variant" in result.record) == fields.few_step
        scenes.append((events.files.root / result.scene / "frames" / "000.png").read_bytes())
    assert scenes[0] == scenes[2] != scenes[1]


def test_fields_are_checked_one_by_one_before_the_line(events):
    answers = dict(
        zip(Fields._fields, events.check_fields(*FIELDS._replace(prompt="", seed=-1)), strict=True)
    )
    wrong = {name: answer["message"] for name, answer in answers.items() if not answer["is_valid"]}
    assert set(wrong) == {"prompt", "seed"}
    assert "Write a sentence" in wrong["prompt"]
    assert all(answer["is_valid"] for answer in events.check_fields(*FIELDS))
    assert len(events.check_fields(*FIELDS, *range(8))) == len(FIELDS) + 8
    drawn = FIELDS._replace(seed=None, new_seed=True)
    assert all(answer["is_valid"] for answer in events.check_fields(*drawn))


def test_cameras_that_cannot_be_used_are_refused_before_the_line(events, tmp_path):
    (tmp_path / "cameras.json").write_text("[]")
    bad = FIELDS._replace(camera_source="file", camera_file=str(tmp_path / "cameras.json"))
    with pytest.raises(gr.Error, match="camera file cannot be read"):
        events.begin(*bad, None, None)
    with pytest.raises(gr.Error, match="Upload a transforms"):
        events.begin_comparison(*bad._replace(camera_file=None), *(0.0, 3, 1.5, 1) * 2)


def test_given_cameras_are_drawn_and_used(events):
    figure, note = events.draw_given_cameras("preset", "spiral", None)
    assert (len(figure.data), note) == (3, "")
    assert events.draw_given_cameras("generated", "spiral", None) == (None, "")
    assert events.draw_given_cameras("file", "spiral", None) == (None, "")
    figure, note = events.draw_given_cameras("file", "spiral", __file__)
    assert figure is None
    assert "must be a transforms.json" in note
    fields = FIELDS._replace(camera_source="preset", preset="spiral")
    *_, (_, result) = generated(events, fields)
    assert "given: spiral" in result.record
    assert "cameras are given" in result.timetable


def test_a_link_fills_the_form_and_shows_the_kept_scene(events):
    *_, (_, result) = generated(events)
    query = query_of(events.share(result.scene, *FIELDS))
    card, fields, shown = opened(events, query)
    assert "shared scene" in card
    assert fields._replace(new_seed=False) == FIELDS
    assert shown.scene == result.scene
    # Another machine, or later: the settings alone.
    shutil.rmtree(events.files.root / result.scene)
    card, fields, shown = opened(events, query)
    assert "Settings of a link" in card
    assert fields == FIELDS
    assert shown.scene == gr.skip()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seed", "x", "seed must be a number"),
        ("num_inference_steps", "500", "num_inference_steps must lie between 1 and 60"),
        ("guidance_scale", "0", "guidance_scale must lie between 1 and 8"),
    ],
)
def test_a_broken_link_says_so(events, key, value, words):
    card, fields, _ = opened(events, {"prompt": "a house", key: value})
    assert "cannot be used" in card
    assert words in card
    assert fields.prompt == gr.skip()


def test_a_link_to_a_scene_along_cameras_of_a_file_asks_for_the_file(events, tmp_path):
    path = tmp_path / "cameras.json"
    save_transforms(trajectory("spiral", num_views=3), path)
    fields = FIELDS._replace(camera_source="file", camera_file=str(path))
    *_, (_, result) = generated(events, fields)
    query = query_of(events.share(result.scene, *fields))
    assert "cameras.json" not in str(query)
    shutil.rmtree(events.files.root / result.scene)
    card, found, shown = opened(events, query)
    assert "Upload its camera file" in card
    assert (found.camera_source, found.camera_file) == ("file", None)
    assert "cameras are given" in shown.timetable


def test_a_link_without_a_scene_has_the_fields(events):
    assert query_of(events.share(None, *FIELDS))["seed"] == "7"
    with pytest.raises(gr.Error, match="Write a sentence"):
        events.share(None, *FIELDS._replace(prompt=""))


def test_scenes_made_earlier_open_at_once(events, scene_folder, tmp_path):
    shutil.copytree(scene_folder, tmp_path / "examples" / "house")
    examples = find_example_scenes(tmp_path / "examples")
    page = PageEvents(events.host, events.files, examples)
    _, _, shown = opened(page, {})
    assert page.files.find(shown.scene) is not None
    picked = gr.EventData(None, {"name": "house"})
    card, *rest = page.open_example(picked)
    assert "Made earlier" in card
    assert rest[0] == "a red house"
    # The model is not even loaded.
    assert not page.host.is_ready
    with pytest.raises(gr.Error, match="gone"):
        page.open_example(gr.EventData(None, {"name": "../house"}))


def test_scenes_made_earlier_are_copied_once_and_live_from_when_they_were_opened(
    events, scene_folder, tmp_path
):
    example = tmp_path / "examples" / "house"
    shutil.copytree(scene_folder, example)
    # As in a checkout of long ago.
    os.utime(example, (0, 0))
    page = PageEvents(events.host, events.files, find_example_scenes(tmp_path / "examples"))
    first, second = opened(page, {})[2], opened(page, {})[2]
    assert first.scene == second.scene
    page.files.prune()
    assert page.files.find(first.scene) is not None


@pytest.mark.parametrize(("steps", "pose_offset"), [(None, 0.2), (24, None), (0, 0.2), (24, -3)])
def test_the_timetable_stays_while_a_number_is_typed(events, steps, pose_offset):
    assert events.draw_timetable(steps, pose_offset, "generated") == gr.skip()
    assert "of 24 steps" in events.draw_timetable(24.0, -0.3, "generated")


def test_the_gallery_escapes_what_it_shows(scene_folder, tmp_path):
    assert find_example_scenes(tmp_path / "none") == []
    assert example_scenes_gallery([]) == ""
    shutil.copytree(scene_folder, tmp_path / "a")
    record = (tmp_path / "a" / "scene.json").read_text()
    (tmp_path / "a" / "scene.json").write_text(record.replace("a red house", "<script>"))
    assert "<script>" not in example_scenes_gallery(find_example_scenes(tmp_path))
    (tmp_path / "a" / "scene.json").write_text("{}")
    with pytest.raises(ValueError, match="not the record of a generated scene"):
        find_example_scenes(tmp_path)


def test_words_are_marked_once_the_model_is_there(events):
    assert events.mark_words("a dragon") == ""
    cards = descriptions(events)
    assert "loading the model" in cards[0]
    assert "tiny" in cards[-1]
    assert "No people" in cards[-1]
    assert "<mark>dragon</mark>" in events.mark_words("a dragon")


def test_a_model_that_cannot_be_loaded_is_said(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    from videorfsplat.ui.model_host import ModelHost
    from videorfsplat.ui.request_files import RequestFiles

    events = PageEvents(ModelHost(str(tmp_path), "cpu"), RequestFiles(tmp_path / "requests"))
    *_, card = descriptions(events)
    assert 'data-state="missing"' in card
    assert "cannot load the model" in card


def test_downloads_need_a_scene(events):
    assert list(events.list_downloads(None, "opencv")) == [""]
    with pytest.raises(gr.Error, match="not kept any more"):
        events.make_film("x" * 22, "")


def test_a_run_that_fails_leaves_the_page_at_rest_with_the_reason_on_it(events):
    chosen, *_ = events.begin(*FIELDS, None, None)
    run = events.generate({**chosen, "trajectory": "nowhere"}, VISITOR)
    states = []
    with pytest.raises(gr.Error, match="unknown trajectory"):
        states.extend(result_of(values) for values in run)
    activity, result = states[-1]
    assert "unknown trajectory" in activity.status
    assert activity.generate["interactive"]
    assert result == Result()


def test_after_a_run_without_result_the_scene_from_before_it_is_back(events):
    *_, (_, result) = generated(events)
    _, previous, *_ = events.begin(*FIELDS, result.scene, None)
    # Stopped at once, and begun again: there is no scene on screen, but one to come back to.
    assert events.begin(*FIELDS, None, previous)[1] == previous == result.scene
    activity, shown = result_of(run_coroutine(events.settle(None, previous, VISITOR)))
    assert "Stopped." in activity.status
    assert activity.generate["interactive"]
    assert shown.scene == result.scene
    assert shown.frames == result.frames
    assert shown.timetable == SKIP
    # A comparison has its own place and leaves the scene where it is.
    _, shown = result_of(run_coroutine(events.settle(result.scene, previous, VISITOR)))
    assert shown == Result()


def test_a_run_that_gave_nothing_is_explained_unless_it_was_stopped(events):
    said = '<div data-state="error">'
    activity, _ = result_of(events.explain(said, False, None, None))
    assert activity == Activity()
    activity, _ = result_of(events.explain('<div data-state="busy">', False, None, None))
    assert "line is full" in activity.status
    assert activity.generate["interactive"]
    activity, _ = result_of(events.explain('<div data-state="busy">', True, None, None))
    assert activity == Activity()


def test_a_stopped_page_rests_when_the_visitors_own_run_has_ended(events):
    chosen, *_ = events.begin(*FIELDS, None, None)
    run = events.generate(chosen, VISITOR)
    next(run)
    is_stopped, *rest = events.stop(VISITOR)
    activity = Activity(*rest)
    assert is_stopped
    assert "Stopping…" in activity.status
    assert not activity.generate["interactive"]
    # Others do not wait for it.
    run_coroutine(events.settle(None, None, OTHER_VISITOR))

    async def settle_while_the_run_ends() -> tuple[Any, ...]:
        settled = asyncio.create_task(events.settle(None, None, VISITOR))
        done, _ = await asyncio.wait([settled], timeout=0.2)
        assert not done
        run.close()
        return await settled

    assert "Stopped." in result_of(run_coroutine(settle_while_the_run_ends()))[0].status
