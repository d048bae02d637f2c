"""A run as plain data."""

import json
import pickle
from dataclasses import replace

import pytest

from videorfsplat.generation.generate import generate_scene
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui.run_status import SamplingStep
from videorfsplat.ui.sampling import sample

SETTINGS = GenerationSettings("a red house", seed=3, num_inference_steps=4)


@pytest.fixture
def forward_passes(pipeline, monkeypatch) -> list[int]:
    """Grows by one with every pass of the transformer."""
    passes: list[int] = []
    forward = pipeline.transformer.forward

    def counted(*args, **kwargs):
        passes.append(1)
        return forward(*args, **kwargs)

    monkeypatch.setattr(pipeline.transformer, "forward", counted)
    return passes


def test_every_step_comes_with_its_clocks_and_then_the_scene(pipeline, tmp_path):
    *steps, folder = sample(pipeline, SETTINGS, tmp_path)
    assert [step.index for step in steps] == [0, 1, 2, 3]
    table = pipeline.make_timetable(4, SETTINGS.pose_offset)
    assert [(step.t_image, step.t_pose) for step in steps] == list(table.pairs[1:])
    assert steps[-1].seconds_left == 0
    assert folder == tmp_path


def test_the_first_step_previews_all_frames_and_cameras(pipeline, tmp_path):
    first = next(sample(pipeline, SETTINGS, tmp_path))
    assert isinstance(first, SamplingStep)
    assert first.preview is not None
    assert len(first.preview.frames) == len(first.preview.cameras["frames"]) == 3
    assert all(frame.startswith("data:image/webp;base64,") for frame in first.preview.frames)
    # What goes to another process must be plain.
    assert pickle.loads(pickle.dumps(first)) == first


def test_the_last_step_has_no_preview_even_if_it_is_the_first(pipeline, tmp_path):
    step, folder = sample(pipeline, replace(SETTINGS, num_inference_steps=1), tmp_path)
    assert isinstance(step, SamplingStep)
    assert step.preview is None
    assert folder == tmp_path


def test_the_folder_holds_the_scene_that_the_command_line_would_make(pipeline, tmp_path):
    *_, folder = sample(pipeline, SETTINGS, tmp_path)
    scene, expected = Scene.load(folder), generate_scene(pipeline, SETTINGS)
    assert (scene.frames == expected.frames).all()
    assert len(list((tmp_path / "depth").glob("*.png"))) == 3
    assert (tmp_path / "scene.compressed.ply").stat().st_size > 0


def test_closing_stops_the_model(pipeline, tmp_path, forward_passes):
    run = sample(pipeline, SETTINGS, tmp_path)
    next(run)
    run.close()
    assert len(forward_passes) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_record_names_no_folder_of_this_machine(pipeline, tmp_path):
    settings = GenerationSettings("a house", num_inference_steps=1, model=str(tmp_path / "tiny"))
    *_, folder = sample(pipeline, settings, tmp_path)
    text = (folder / "scene.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["record"]["settings"]["model"] == "tiny"
