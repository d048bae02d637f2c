"""Scenes do not depend on their batch, are made once, and are never mixed."""

import dataclasses

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from videorfsplat.evaluation.evaluation import Evaluation, fingerprint, load_evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.scene_measures import measure_scenes
from videorfsplat.generation.generate import generate_scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.sampling.settings import Sampling

SHORT = Sampling(num_inference_steps=2)


def with_settings(evaluation: Evaluation, **changed) -> Evaluation:
    return dataclasses.replace(
        evaluation, settings=dataclasses.replace(evaluation.settings, **changed)
    )


def test_a_scene_does_not_depend_on_its_batch(evaluation, tmp_path):
    prompts = held_out_prompts(3, 0)
    together = GeneratedScenes(
        with_settings(evaluation, output=tmp_path / "three", batch_size=3), "s", prompts, SHORT
    )
    alone = GeneratedScenes(
        with_settings(evaluation, output=tmp_path / "one", batch_size=1), "s", prompts, SHORT
    )
    for index in range(3):
        # Sums over a batch of another size are rounded in another order.
        torch.testing.assert_close(
            together.latents(index), alone.latents(index), atol=1e-4, rtol=1e-4
        )
        fits = together.ray_fit(index), alone.ray_fit(index)
        torch.testing.assert_close(
            fits[0].cameras.viewmats, fits[1].cameras.viewmats, atol=1e-3, rtol=1e-3
        )


def test_a_scene_is_that_of_the_generate_command(evaluation):
    (prompt, *_) = prompts = held_out_prompts(2, 0)
    scenes = GeneratedScenes(evaluation, "s", prompts, SHORT)
    settings = GenerationSettings(prompt.text, seed=prompt.noise_seed, num_inference_steps=2)
    scene = generate_scene(evaluation.pipeline, settings)
    torch.testing.assert_close(
        scene.cameras.viewmats, scenes.ray_fit(0).cameras.viewmats, atol=1e-3, rtol=1e-3
    )


def test_a_second_run_makes_only_what_is_missing(evaluation):
    first = GeneratedScenes(evaluation, "s", held_out_prompts(2, 0), SHORT)
    times = {path: path.stat().st_mtime_ns for path in first.folder.glob("*.safetensors")}
    second = GeneratedScenes(evaluation, "s", held_out_prompts(3, 0), SHORT)
    assert second.folder == first.folder
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert len(list(second.folder.glob("*.safetensors"))) == 3


def test_samplings_have_folders_of_their_own():
    samplings = [SHORT, Sampling(), Sampling(pose_offset=-0.2), Sampling(guidance_scale=1.0)]
    assert len({sampling.name for sampling in samplings}) == len(samplings)


def test_rejects_scenes_of_another_prompt_or_model(evaluation):
    prompts = held_out_prompts(2, 0)
    GeneratedScenes(evaluation, "s", prompts, SHORT)
    changed = [dataclasses.replace(prompts[0], text="a castle"), prompts[1]]
    with pytest.raises(ValueError, match="expected 'a castle'"):
        GeneratedScenes(evaluation, "s", changed, SHORT)
    other = with_settings(evaluation)
    with torch.no_grad():
        next(other.pipeline.vae.parameters()).add_(1.0)
    with pytest.raises(ValueError, match="another model"):
        GeneratedScenes(other, "s", prompts, SHORT)


def test_scenes_outlive_a_change_of_the_gaussian_decoder_but_not_their_measurements(evaluation):
    prompts = held_out_prompts(2, 0)
    scenes = GeneratedScenes(evaluation, "s", prompts, SHORT)
    measure_scenes(scenes)
    times = {path: path.stat().st_mtime_ns for path in scenes.folder.glob("*.safetensors")}
    changed = with_settings(evaluation)
    with torch.no_grad():
        next(changed.pipeline.gaussian_decoder.parameters()).add_(1.0)
    kept = GeneratedScenes(changed, "s", prompts, SHORT)
    assert {path: path.stat().st_mtime_ns for path in kept.folder.glob("*.safetensors")} == times
    with pytest.raises(ValueError, match="another model"):
        measure_scenes(kept)


def test_bfloat16_scenes_are_nearly_those_of_float32_and_never_mixed_with_them(
    evaluation, tmp_path
):
    prompts = held_out_prompts(2, 0)
    exact = GeneratedScenes(evaluation, "s", prompts, SHORT)
    rounded = load_evaluation(dataclasses.replace(evaluation.settings, dtype="bfloat16"))
    assert rounded.model_fingerprint == evaluation.model_fingerprint
    with pytest.raises(ValueError, match="another dtype"):
        GeneratedScenes(rounded, "s", prompts, SHORT)
    rounded = with_settings(rounded, output=tmp_path / "bfloat16")
    latents = GeneratedScenes(rounded, "s", prompts, SHORT).latents(0)
    error = (latents - exact.latents(0)).norm() / exact.latents(0).norm()
    # A product rounded to 8 bits is off by up to 0.4 %, and there are some ten layers.
    assert 0 < error < 0.04


def test_given_cameras_are_those_of_the_scene(evaluation):
    cameras = [trajectory("orbit_left", num_views=3, width=32, height=32)] * 2
    scenes = GeneratedScenes(evaluation, "given", held_out_prompts(2, 0), SHORT, cameras)
    # Through the rays that the pose stream was given and back.
    fitted, given = scenes.ray_fit(1).cameras, scenes.cameras(1)
    torch.testing.assert_close(fitted.viewmats, given.viewmats, atol=1e-4, rtol=1e-4)


def test_a_fingerprint_changes_with_any_weight():
    model = torch.nn.Linear(4, 4)
    before = fingerprint(model)
    assert before == fingerprint(model)
    with torch.no_grad():
        model.bias[3] += 1e-6
    assert fingerprint(model) != before


def test_a_fingerprint_changes_with_the_solver():
    euler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    again = FlowMatchEulerDiscreteScheduler.from_config(euler.config)
    shifted = FlowMatchEulerDiscreteScheduler(shift=3.5)
    other = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    assert fingerprint(euler) == fingerprint(again)
    assert len({fingerprint(solver) for solver in (euler, shifted, other)}) == 3
