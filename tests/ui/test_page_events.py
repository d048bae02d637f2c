"""What the page does, without a browser."""

import asyncio
import html
import json
import os
import re
import shutil
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gradio as gr
import pytest
from coroutines import run_coroutine

from videorfsplat.formats.transforms_json import save_transforms, transforms_dict
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.language.reading import Reading, Stated
from videorfsplat.ui.example_scenes import example_scenes_gallery, find_example_scenes
from videorfsplat.ui.given_cameras import FILE_TRAJECTORY
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.page_settings import Fields
from videorfsplat.ui.page_values import SKIP, Activity, Result
from videorfsplat.ui.sentence import chosen_json
from videorfsplat.ui.share_link import scene_page
from videorfsplat.ui.viewer_protocol import check_message

FIELDS = Fields(
    "a red house",
    7,
    False,
    "full",
    False,
    2,
    0.2,
    3,
    1.5,
    2,
    "generated",
    None,
    None,
    chosen_json(),
)


def result_of(values: tuple[Any, ...]) -> tuple[Activity, Result]:
    count = len(Activity._fields)
    return Activity(*values[:count]), Result(*values[count:])


def opened(events: PageEvents, query: dict[str, str]) -> tuple[str, Fields, Result]:
    request = SimpleNamespace(query_params=query)
    card, *rest = events.open_page(request)  # pyright: ignore[reportArgumentType]
    count = len(Fields._fields)
    return card, Fields(*rest[:count]), Result(*rest[count:])


def query_of(line: str) -> dict[str, str]:
    found = re.search(r'value="(http[^"]*)"', line)
    assert found is not None
    parts = urlsplit(html.unescape(found.group(1)))
    name = parts.path.removeprefix("/s/").strip("/")
    return dict(parse_qsl(parts.query)) | ({"scene": name} if name else {})


# What Gradio knows of whoever asks.
VISITOR: Any = SimpleNamespace(
    session_hash="visitor", request=SimpleNamespace(base_url="http://here/")
)
OTHER_VISITOR: Any = SimpleNamespace(session_hash="other")


def descriptions(events: PageEvents) -> list[str]:
    async def said() -> list[str]:
        return [card async for card in events.describe_model()]

    return run_coroutine(said())


def generated(events: PageEvents, fields: Fields = FIELDS) -> list[tuple[Activity, Result]]:
    chosen, _, is_stopped, seed, _, *rest = events.begin(*fields, None, None)
    activity, _ = result_of(tuple(rest))
    assert activity.stop["interactive"]
    assert not activity.generate["interactive"]
    assert chosen[0]["seed"] == seed
    assert not is_stopped
    return [result_of(values) for values in events.generate(chosen, VISITOR)]


def test_a_run_shows_every_step_and_then_the_scene(events):
    _, *steps, (_, result), (activity, _) = generated(events)
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
    assert "3 cameras in 3D" in result.frustums
    assert "a red house" in result.record
    assert events.files.find(result.scene) is not None


def test_the_seed_used_is_shown_and_reproduces_the_scene(events):
    chosen, _, _, seed, *_ = events.begin(*FIELDS._replace(new_seed=True, seed=None), None, None)
    *_, first, _ = events.generate(chosen, VISITOR)
    again, _, _, same, *_ = events.begin(*FIELDS._replace(seed=seed), None, None)
    *_, second, _ = events.generate(again, VISITOR)
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
    loads = [value for values in states for value in values[-3:-1] if isinstance(value, list)]
    assert len({messages[0]["content"] for messages in loads}) == 2
    assert "A: step 1 of 2" in states[1][0]
    assert "Compared in" in states[-1][0]
    figures = states[-1][-1]
    assert figures.count("data-keep") == 2
    assert "<td>+0.00</td><td>+0.20</td>" in figures


def test_few_steps_are_the_variants_own_and_leave_the_model_as_it_is(events):
    fast = FIELDS._replace(quality="fast", num_inference_steps=3)
    assert "of 2 steps" in events.draw_timetable("fast", 3, 0.2, "generated")
    scenes = []
    for fields in (fast, FIELDS, fast):
        *_, (_, result), _ = generated(events, fields)
        assert ("2, few-step variant" in result.record) == (fields.quality == "fast")
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
    bad = FIELDS._replace(cameras="file", camera_file=str(tmp_path / "cameras.json"))
    with pytest.raises(gr.Error, match="camera file cannot be read"):
        events.begin(*bad, None, None)
    with pytest.raises(gr.Error, match="Upload a transforms"):
        events.begin_comparison(*bad._replace(camera_file=None), *(0.0, 3, 1.5, 1) * 2)


def test_given_cameras_are_drawn_and_used(events):
    plot, note = events.draw_given_cameras("spiral", None)
    assert "3 cameras in 3D" in plot
    assert note == ""
    assert events.draw_given_cameras("generated", None) == ("", "")
    assert "No cameras yet" in events.draw_given_cameras("file", None)[1]
    plot, note = events.draw_given_cameras("file", __file__)
    assert plot == ""
    assert "must be a transforms.json" in note
    fields = FIELDS._replace(cameras="spiral")
    *_, (_, result), _ = generated(events, fields)
    assert "given: spiral" in result.record
    assert "cameras are given" in result.timetable


def test_a_link_fills_the_form_and_shows_the_kept_scene(events):
    *_, (_, result), _ = generated(events)
    line = events.share(result.scene, VISITOR, *FIELDS)
    assert "Kept until" in line
    query = query_of(line)
    card, fields, shown = opened(events, query)
    assert "by its link" in card
    assert fields._replace(new_seed=False) == FIELDS
    assert shown.scene == result.scene
    # Another machine, or later: the settings alone.
    shutil.rmtree(events.files.root / result.scene)
    card, fields, shown = opened(events, query)
    assert "gone after a day" in card
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
    fields = FIELDS._replace(cameras="file", camera_file=str(path))
    *_, (_, result), _ = generated(events, fields)
    query = query_of(events.share(result.scene, VISITOR, *fields))
    assert "cameras.json" not in str(query)
    shutil.rmtree(events.files.root / result.scene)
    card, found, shown = opened(events, query)
    assert "Upload its camera file" in card
    assert (found.cameras, found.camera_file) == ("file", None)
    assert "cameras are given" in shown.timetable


def test_a_link_without_a_scene_has_the_fields(events):
    assert query_of(events.share(None, VISITOR, *FIELDS))["seed"] == "7"
    with pytest.raises(gr.Error, match="Write a sentence"):
        events.share(None, VISITOR, *FIELDS._replace(prompt=""))


def test_scenes_made_earlier_open_at_once(events, scene_folder, tmp_path):
    shutil.copytree(scene_folder, tmp_path / "examples" / "house")
    examples = find_example_scenes(tmp_path / "examples")
    page = PageEvents(events.host, events.files, examples)
    _, _, shown = opened(page, {})
    assert page.files.find(shown.scene) is not None
    picked = gr.EventData(None, {"name": "house"})
    card, *rest = page.open_example(picked)
    assert "Made earlier" in card
    # What was typed and set is the visitor's: an example fills the scene's places only.
    result = Result(*rest)
    assert "a red house" in result.record
    assert result.timetable == SKIP
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
    assert events.draw_timetable("full", steps, pose_offset, "generated") == gr.skip()
    assert "of 24 steps" in events.draw_timetable("full", 24.0, -0.3, "generated")


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


def test_cameras_that_are_left_out_are_counted_and_some_named(events, tmp_path):
    path = tmp_path / "mine.json"
    save_transforms(trajectory("orbit_left"), path)
    content = json.loads(path.read_text())
    for frame in content["frames"][:5]:
        frame["transform_matrix"][0][0] = float("nan")
    path.write_text(json.dumps(content))
    plot, note = events.draw_given_cameras(FILE_TRAJECTORY, str(path))
    assert "frustum-plot" in plot
    assert "5 of the file&#x27;s cameras are left out" in note
    assert "and 2 more" in note
    assert str(tmp_path) not in note


def test_a_sentence_is_read_once_the_model_is_there(events, monkeypatch):
    assert events.read_sentence("a dragon") == ""
    descriptions(events)
    # The toy model has no reader.
    assert events.read_sentence("a dragon") == ""
    reading = Reading("a dragon", {"kind": Stated("horse", 0.9)}, "near", "dragon")
    monkeypatch.setattr(events.host.pipeline(), "read_prompt", lambda _: reading)
    assert "No dragon in this model; nearest: horse." in events.read_sentence("a dragon")
    for nothing in ("", "  ", None, 7, "x" * 5000):
        assert events.read_sentence(nothing) == ""


def test_a_choice_keeps_the_seed_of_the_scene_shown_and_makes_one_scene(events):
    chips = '{"choices": {"main_color": "blue"}, "seed": 5}'
    fields = FIELDS._replace(chips=chips, new_seed=True, several=True, quality="full")
    [settings] = events.begin(*fields, None, None)[0]
    assert (settings["seed"], settings["choices"]) == (5, {"main_color": "blue"})
    for wrong in ("no JSON", '{"choices": {"main_color": "loud"}, "seed": 5}'):
        with pytest.raises(gr.Error, match=r"choices|chips"):
            events.begin(*fields._replace(chips=wrong), None, None)


def test_several_seeds_of_one_sentence_are_a_choice_that_can_be_opened(events):
    states = generated(events, FIELDS._replace(quality="fast", several=True))
    shown = [result.scene for _, result in states if isinstance(result.scene, str)]
    picks = [result.picks for _, result in states if isinstance(result.picks, str)]
    # The first is shown at once, and stays while the others are made.
    assert len(shown) == 1
    assert [one.count("data-scene") for one in picks] == [1, 2, 3, 4]
    assert "4 scenes made" in states[-1][0].status
    names = re.findall(r'data-scene="([^"]+)"', picks[-1])
    seeds = [events.files.find(name) and name for name in names]
    assert len(set(seeds)) == 4
    _, _, *rest = events.open_kept(gr.EventData(None, {"scene": names[3]}))
    assert Result(*rest).scene == names[3]
    with pytest.raises(gr.Error, match="not kept any more"):
        events.open_kept(gr.EventData(None, {"scene": "../escape"}))


def test_two_scenes_of_a_visit_are_compared(events):
    names = []
    for seed in (1, 2):
        *_, (_, result), _ = generated(events, FIELDS._replace(seed=seed))
        names.append(result.scene)
    pair = {"a": names[0], "b": names[1]}
    left, right, figures = events.compare_kept(gr.EventData(None, pair))
    assert [names[0] in left[0]["content"], names[1] in right[0]["content"]] == [True, True]
    assert "<td>1</td><td>2</td>" in figures


def test_a_flown_path_becomes_given_cameras(events):
    cameras = transforms_dict(trajectory("spiral", num_views=3), ["a.png", "b.png", "c.png"])
    source, path, note = events.take_recorded_path(gr.EventData(None, cameras))
    assert "3 cameras" in note
    *_, (_, result), _ = generated(events, FIELDS._replace(cameras=source, camera_file=path))
    assert "given: transforms.json" in result.record
    with pytest.raises(gr.Error, match="2 to 1000 cameras"):
        events.take_recorded_path(gr.EventData(None, {"frames": []}))


def test_a_scene_has_a_page_with_its_own_words_and_picture(events):
    *_, (_, result), _ = generated(events)
    page = scene_page(events.files.root / result.scene, "http://here/", "prompt=a+red+house")
    assert '<meta property="og:title" content="a red house"/>' in page
    assert 'property="og:image" content="http://here/gradio_api/file=' in page
    assert f"scene={result.scene}" in page


def test_a_model_that_cannot_be_loaded_is_said(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    from videorfsplat.ui.model_host import ModelHost
    from videorfsplat.ui.request_files import RequestFiles

    events = PageEvents(ModelHost(str(tmp_path), "cpu"), RequestFiles(tmp_path / "requests"))
    *_, card = descriptions(events)
    assert 'data-state="missing"' in card
    assert "model_index.json is damaged" in card
    assert str(tmp_path) not in card


def test_downloads_need_a_scene(events):
    assert events.list_downloads(None, "opencv") == ""
    with pytest.raises(gr.Error, match="not kept any more"):
        events.make_film("x" * 22, "")


def test_a_run_that_fails_leaves_the_page_at_rest_with_the_reason_on_it(events):
    chosen, *_ = events.begin(*FIELDS, None, None)
    run = events.generate([{**chosen[0], "trajectory": "nowhere"}], VISITOR)
    states = []
    with pytest.raises(gr.Error, match="unknown trajectory"):
        states.extend(result_of(values) for values in run)
    activity, result = states[-1]
    assert "unknown trajectory" in activity.status
    assert activity.generate["interactive"]
    assert result == Result()


def test_after_a_run_without_result_the_scene_from_before_it_is_back(events):
    *_, (_, result), _ = generated(events)
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
