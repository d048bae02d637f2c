"""Measures of scenes whose answer is known."""

import pytest
import torch

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.figures import (
    SCENE_FIGURES,
    frechet_difference,
    frechet_figure,
    of_ceiling,
    scene_differences,
    scene_figures,
)
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.scene_measures import held_out_views, measure_scenes, render_views
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.sampling.settings import Sampling


def record(**changed):
    return {
        "attributes": {"kind": [True], "time": [False]},
        "frame_attributes": {"kind": [True]},
        "stated_motion": "orbit_left",
        "motion": "orbit_left",
        "source_psnr": 20.0,
        "consistency_psnr": 20.0,
        "consistency_ssim": 0.5,
        "rotation_error_degrees": 0.5,
        **changed,
    }


def test_every_scene_gets_what_the_figures_need(evaluation: Evaluation):
    prompts = held_out_prompts(2, 0)
    scenes = GeneratedScenes(evaluation, "captions", prompts, Sampling(num_inference_steps=2))
    measured = measure_scenes(scenes)
    records = measured.records([0, 1])
    figures = scene_figures(records)
    assert figures.keys() == SCENE_FIGURES.keys()
    for prompt, found in zip(prompts, records, strict=True):
        stated = {
            name for name, value in prompt.mentions.items() if value not in ("unmentioned", [])
        }
        assert found["attributes"].keys() == found["frame_attributes"].keys() == stated - {"motion"}
        assert (found["stated_motion"] is not None) == ("motion" in stated)
    assert measured.features("probe_renders", [0])[0].shape == (3, 16)
    assert measured.features("imagenet_frames", [1])[0].shape == (3, 320)


def test_held_out_views_do_not_see_what_they_are_compared_with(evaluation: Evaluation):
    cameras = trajectory("orbit_left", num_views=3, width=32, height=32)
    latents = torch.randn(1, 12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    changed = latents.clone()
    changed[:, :, 1] += 1.0
    one, two = (held_out_views(evaluation, x, cameras) for x in (latents, changed))
    assert one.shape == (1, 3, 32, 32)
    assert torch.equal(one, two)
    # The other views do count.
    changed[:, :, 2] += 1.0
    assert not torch.equal(one, held_out_views(evaluation, changed, cameras))


def test_renders_are_views(evaluation: Evaluation):
    cameras = trajectory("pan_left", num_views=3, width=32, height=32)
    latents = torch.randn(1, 12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    (gaussians,) = evaluation.pipeline.decode_gaussians(latents, [cameras])
    views = render_views(gaussians, cameras)
    assert views.shape == (3, 3, 32, 32)
    assert 0 <= views.min() < views.max() <= 1


def test_figures_are_shares_of_what_was_stated():
    records = [
        record(),
        record(motion="truck_left", rotation_error_degrees=2.0),
        record(motion="orbit_right", attributes={"kind": [False], "time": [True, True]}),
        record(stated_motion=None, motion="still", consistency_psnr=24.0),
    ]
    values = {name: figure["value"] for name, figure in scene_figures(records).items()}
    # Figures keep six digits.
    assert values["attributes"] == pytest.approx(5 / 9, rel=1e-5)
    assert values["kind"] == 0.75
    assert values["motion"] == pytest.approx(1 / 3, rel=1e-5)
    assert values["motion_direction"] == pytest.approx(2 / 3, rel=1e-5)
    assert values["cameras_fitted"] == 0.75
    assert values["consistency_psnr"] == 21.0


def test_the_ceiling_is_what_the_probe_sees_in_real_scenes():
    made = [record(attributes={"kind": [True], "time": [False]})] * 2
    real = [record(attributes={"kind": [True], "time": [True]})] * 2
    assert of_ceiling(made, real)["value"] == 0.5
    assert of_ceiling(real, real)["value"] == 1.0


def test_differences_are_paired():
    # Scenes are far from each other, but each gains the same.
    psnrs = (10.0, 20.0, 40.0)
    before, after = ([record(consistency_psnr=p + gain) for p in psnrs] for gain in (0.0, 1.0))
    difference = scene_differences(after, before)["consistency_psnr"]
    assert difference == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_scenes_are_nearer_to_their_like():
    generator = torch.Generator().manual_seed(0)
    real, alike, other = (
        list(torch.randn(20, 4, 8, generator=generator) + shift) for shift in (0, 0, 1)
    )
    near, far = frechet_figure(alike, real), frechet_figure(other, real)
    # A shift by 1 in 8 dimensions.
    assert far["value"] - near["value"] == pytest.approx(8, abs=2.5)
    assert near["high"] < far["low"]
    difference = frechet_difference(other, alike, real)
    assert difference["value"] == pytest.approx(far["value"] - near["value"], rel=1e-5)
    assert difference["low"] > 0
    assert frechet_difference(alike, alike, real) == {"value": 0.0, "low": 0.0, "high": 0.0}
