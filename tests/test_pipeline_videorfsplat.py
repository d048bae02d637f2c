import dataclasses
import inspect
import itertools
import logging
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import (
    AutoencoderKLMochi,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
    callbacks,
)
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback, SDCFGCutoffCallback
from peft import LoraConfig
from tiny import HEIGHT, MAX_TOKENS, NUM_VIEWS, TEXT_WIDTH, WIDTH, tiny_pipeline

from videorfsplat.generation.preview import render_frames
from videorfsplat.geometry.cameras import Cameras, look_at
from videorfsplat.inference.text import TextCondition
from videorfsplat.pipeline_output import DenoisingStep, VideoRFSplatPipelineOutput
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.schedules import (
    Timetable,
    given_cameras_timetable,
    given_images_timetable,
    timetable,
)

PROMPT = "a red house by the lake"
OTHER_PROMPT = "two"
UNGUIDED = {"guidance_scale": 1.0, "pose_guidance_scale": 1.0, "camera_guidance_scale": 1.0}
GUIDED = {"guidance_scale": 3.0, "pose_guidance_scale": 2.0, "camera_guidance_scale": 1.5}
# Batches of another size take other matrix kernels; velocities of size 1 are summed over 4 steps
# with weights of up to 3.
BATCH_TOLERANCE = {"atol": 2e-4, "rtol": 1e-3}


@pytest.fixture(scope="module")
def loaded():
    return tiny_pipeline()


@pytest.fixture
def pipeline(loaded, monkeypatch):
    """One pipeline for all tests; a component that a test replaces is put back."""
    for name in ("scheduler", "pose_scheduler"):
        monkeypatch.setattr(loaded, name, getattr(loaded, name))
    return loaded


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def run(pipeline, prompt=PROMPT, seed=0, **arguments):
    arguments = {"num_inference_steps": 4, "output_type": "latent", **GUIDED, **arguments}
    return pipeline(prompt, generator=seeded(seed), **arguments)


def arc(num_views=NUM_VIEWS, width=WIDTH, height=HEIGHT, focal=50.0):
    """Cameras around a target, in the frame of the first."""
    angles = torch.linspace(0, 0.6, num_views)
    centers = torch.stack([angles.sin(), 0.1 * angles, 1 - angles.cos()], dim=1) * 2
    target, up = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.0, -1.0, 0.0])
    viewmats = look_at(centers, target.expand_as(centers), up)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(viewmats, K.repeat(num_views, 1, 1), width, height).relative_to_first()


def assert_equal_outputs(a, b):
    assert torch.equal(a.latents, b.latents)
    assert torch.equal(a.pose_latents, b.pose_latents)


@pytest.fixture
def calls(pipeline, monkeypatch):
    """What the transformer is told in each forward pass."""
    recorded = []
    forward = pipeline.transformer.forward

    def record(**arguments):
        recorded.append(SimpleNamespace(**arguments))
        return forward(**arguments)

    monkeypatch.setattr(pipeline.transformer, "forward", record)
    return recorded


def make_oracle(pipeline, monkeypatch, latents, pose_latents):
    """The exact velocity towards given data from wherever each stream is."""

    def towards(data, state, timestep):
        t = (1 - timestep / 1000).view(-1, 1, 1, 1, 1)
        # At t = 0 the state is the data and any velocity is right.
        return torch.where(t > 0, (data - state) / t.clamp(min=1e-9), 0.0)

    def forward(hidden_states, pose_hidden_states, timestep, pose_timestep, **_):
        return (
            towards(latents, hidden_states, timestep),
            towards(pose_latents, pose_hidden_states, pose_timestep),
        )

    monkeypatch.setattr(pipeline.transformer, "forward", forward)


# The contract of a diffusers pipeline


def test_the_base_class_of_diffusers_names_the_class_to_load_by(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    # What README and model cards say of it.
    with pytest.raises(AttributeError, match="VideoRFSplatPipeline"):
        DiffusionPipeline.from_pretrained(tmp_path)


def test_a_saved_pipeline_gives_the_same_scene(pipeline, tmp_path):
    expected = run(pipeline, output_type="scene")
    pipeline.save_pretrained(tmp_path)
    loaded = VideoRFSplatPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    actual = run(loaded, output_type="scene")
    assert_equal_outputs(actual, expected)
    assert torch.equal(actual.frames, expected.frames)
    assert torch.equal(actual.gaussians[0].means, expected.gaussians[0].means)
    assert torch.equal(actual.cameras[0].viewmats, expected.cameras[0].viewmats)
    assert loaded.scheduler.config.shift != loaded.pose_scheduler.config.shift
    assert loaded.config["base_schedule"] == pipeline.config["base_schedule"]


def test_weights_stored_in_half_precision_load_as_float32(pipeline, tmp_path):
    stored = tiny_pipeline().to(dtype=torch.float16)
    stored.save_pretrained(tmp_path)
    loaded = VideoRFSplatPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert {module.dtype for module in loaded.components.values() if hasattr(module, "dtype")} == {
        torch.float32
    }
    assert run(loaded).latents.isfinite().all()


def test_runs_in_bfloat16_with_float32_states(pipeline):
    half = tiny_pipeline().to(dtype=torch.bfloat16)
    output = run(half, output_type="scene")
    assert output.latents.dtype == torch.float32
    assert output.frames.isfinite().all()
    # bfloat16 has 8 bits, so 1 % of errors a step; the same noise leads to the same scene.
    reference = run(pipeline).latents
    assert (output.latents - reference).std() < 0.2 * reference.std()


def test_tuple_holds_the_values_of_the_dictionary(pipeline):
    dictionary = run(pipeline, output_type="pt")
    values = run(pipeline, output_type="pt", return_dict=False)
    assert isinstance(dictionary, VideoRFSplatPipelineOutput)
    assert isinstance(values, tuple)
    assert len(values) == len(dataclasses.fields(dictionary)) == 7
    assert torch.equal(values[0], dictionary.frames)
    assert torch.equal(values[1][0].viewmats, dictionary.cameras[0].viewmats)


def test_a_batch_of_three_is_three_single_runs(pipeline):
    prompts = [PROMPT, OTHER_PROMPT, "a green tree"]
    generators = [seeded(seed) for seed in range(3)]
    settings = {"num_inference_steps": 4, "output_type": "latent", **GUIDED}
    batch = pipeline(prompts, generator=generators, **settings)
    for index, prompt in enumerate(prompts):
        single = pipeline(prompt, generator=[seeded(index)], **settings)
        torch.testing.assert_close(batch.latents[index], single.latents[0], **BATCH_TOLERANCE)
        torch.testing.assert_close(
            batch.pose_latents[index], single.pose_latents[0], **BATCH_TOLERANCE
        )


def test_the_seed_decides(pipeline):
    assert_equal_outputs(run(pipeline, seed=3), run(pipeline, seed=3))
    assert not torch.equal(run(pipeline, seed=3).latents, run(pipeline, seed=4).latents)


def test_does_not_touch_the_global_random_state(pipeline):
    before = torch.get_rng_state()
    run(pipeline)
    assert torch.equal(torch.get_rng_state(), before)


def test_given_noise_replaces_the_generator(pipeline):
    expected = run(pipeline, seed=5)
    generator = seeded(5)
    noise = {
        "latents": pipeline.prepare_latents(1, HEIGHT, WIDTH, generator),
        "pose_latents": pipeline.prepare_pose_latents(1, HEIGHT, WIDTH, generator),
    }
    assert_equal_outputs(run(pipeline, seed=6, **noise), expected)


def test_encoded_prompts_are_worth_their_text(pipeline):
    negative = "night"
    condition = pipeline.encode_prompt([PROMPT, OTHER_PROMPT], negative)
    expected = run(pipeline, [PROMPT, OTHER_PROMPT], negative_prompt=negative)
    assert_equal_outputs(run(pipeline, None, **condition._asdict()), expected)


def test_prompt_embeddings_serve_without_negative_ones(pipeline):
    condition = pipeline.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    assert condition.negative_prompt_embeds is None
    embeds = {
        "prompt_embeds": condition.prompt_embeds,
        "prompt_attention_mask": condition.prompt_attention_mask,
    }
    assert_equal_outputs(run(pipeline, None, **embeds), run(pipeline))


def test_two_scenes_of_two_prompts_keep_prompt_and_mask_together(pipeline):
    """The prompts differ in length, so a mask of the wrong prompt would change the scene."""
    noise = pipeline.prepare_latents(1, HEIGHT, WIDTH, seeded(7))
    pose_noise = pipeline.prepare_pose_latents(1, HEIGHT, WIDTH, seeded(8))
    four = run(
        pipeline,
        [PROMPT, OTHER_PROMPT],
        num_scenes_per_prompt=2,
        latents=noise.repeat(4, 1, 1, 1, 1),
        pose_latents=pose_noise.repeat(4, 1, 1, 1, 1),
    )
    singles = [
        run(pipeline, prompt, latents=noise, pose_latents=pose_noise)
        for prompt in (PROMPT, OTHER_PROMPT)
    ]
    assert (singles[0].latents - singles[1].latents).abs().max() > 0.01
    for index, expected in enumerate((singles[0], singles[0], singles[1], singles[1])):
        torch.testing.assert_close(four.latents[index], expected.latents[0], **BATCH_TOLERANCE)


@pytest.mark.parametrize(
    ("output_type", "has_gaussians"),
    [("scene", True), ("pt", False), ("np", False), ("pil", False)],
)
def test_output_types(pipeline, output_type, has_gaussians):
    output = run(pipeline, output_type=output_type, num_scenes_per_prompt=2)
    if output_type == "pil":
        assert [len(views) for views in output.frames] == [NUM_VIEWS] * 2
        assert isinstance(output.frames[0][0], PIL.Image.Image)
        assert output.frames[0][0].size == (WIDTH, HEIGHT)
    elif output_type == "np":
        assert isinstance(output.frames, np.ndarray)
        assert output.frames.shape == (2, NUM_VIEWS, HEIGHT, WIDTH, 3)
    else:
        assert output.frames.shape == (2, NUM_VIEWS, 3, HEIGHT, WIDTH)
        assert output.frames.min() >= 0
        assert output.frames.max() <= 1
    assert [camera.num_views for camera in output.cameras] == [NUM_VIEWS] * 2
    assert len(output.camera_residuals) == 2
    assert (output.gaussians is not None) == has_gaussians


def test_scene_has_its_gaussians_in_the_frame_of_its_cameras(pipeline):
    output = run(pipeline, output_type="scene")
    assert torch.equal(output.cameras[0].viewmats[0], torch.eye(4))
    again = pipeline.decode_gaussians(output.latents, output.cameras)
    assert torch.equal(again[0].means, output.gaussians[0].means)
    output.gaussians[0].check_values()


def test_latent_output_decodes_nothing(pipeline, monkeypatch):
    for component in (pipeline.vae, pipeline.gaussian_decoder):
        monkeypatch.setattr(component, "forward", None)
    monkeypatch.setattr(pipeline, "decode_frames", None)
    output = run(pipeline)
    assert output.frames is None
    assert set(output) == {"latents", "pose_latents"}


# The timetable is followed


@pytest.mark.parametrize("pose_offset", [0.3, 0.0, -0.3])
@pytest.mark.parametrize("steps", [1, 5])
def test_exact_velocity_recovers_data_and_predicts_it_at_every_step(
    pipeline, monkeypatch, pose_offset, steps
):
    data = torch.randn(1, 12, NUM_VIEWS, HEIGHT // 8, WIDTH // 8, generator=seeded(1))
    pose_data = pipeline.encode_cameras([arc()], HEIGHT, WIDTH)
    make_oracle(pipeline, monkeypatch, data, pose_data)
    *states, output = pipeline.stream(
        PROMPT,
        num_inference_steps=steps,
        pose_offset=pose_offset,
        generator=seeded(),
        output_type="pt",
    )
    # float32 rounding of (data - state) / t · t.
    close = {"atol": 1e-4, "rtol": 0}
    assert len(states) == steps
    for state in states:
        torch.testing.assert_close(state.predicted_latents, data, **close)
        torch.testing.assert_close(state.predicted_pose_latents, pose_data, **close)
    torch.testing.assert_close(output.latents, data, **close)
    torch.testing.assert_close(output.pose_latents, pose_data, **close)
    torch.testing.assert_close(output.cameras[0].viewmats, arc().viewmats, atol=1e-3, rtol=0)
    torch.testing.assert_close(output.cameras[0].Ks, arc().Ks, atol=0, rtol=1e-3)
    assert output.camera_residuals[0] < 1e-3


@pytest.mark.parametrize("pose_offset", [0.3, -0.3])
def test_the_model_is_told_the_timetable(pipeline, calls, pose_offset):
    run(pipeline, pose_offset=pose_offset, num_inference_steps=5, **UNGUIDED)
    shift, pose_shift = pipeline.scheduler.config.shift, pipeline.pose_scheduler.config.shift
    table = timetable(5, pose_offset, shift=shift, pose_shift=pose_shift)
    assert table == pipeline.make_timetable(5, pose_offset)
    told = [(float(call.timestep[0]), float(call.pose_timestep[0])) for call in calls]
    expected = [(1000 - 1000 * t_image, 1000 - 1000 * t_pose) for t_image, t_pose in table.pairs]
    assert np.allclose(told, expected[:-1], atol=1e-3)


@pytest.mark.parametrize("pose_offset", [0.6, -0.6])
def test_a_finished_stream_does_not_change(pipeline, pose_offset):
    states = list(
        pipeline.stream(
            PROMPT,
            num_inference_steps=6,
            pose_offset=pose_offset,
            generator=seeded(),
            output_type="latent",
        )
    )[:-1]
    ahead = "pose_latents" if pose_offset > 0 else "latents"
    t_ahead = "t_pose" if pose_offset > 0 else "t_image"
    finished = [getattr(state, ahead) for state in states if getattr(state, t_ahead) == 0]
    assert len(finished) >= 3
    for latents in finished[1:]:
        assert torch.equal(latents, finished[0])
    # The last finished states are predictions of themselves, too.
    assert torch.equal(getattr(states[-1], f"predicted_{ahead}"), finished[0])


@pytest.mark.parametrize(("shift", "pose_shift"), [(1.0, 1.0), (3.0, 3.0), (3.0, 8.0)])
def test_synchronous_run_is_plain_euler_with_plain_guidance(pipeline, shift, pose_shift):
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift, invert_sigmas=True)
    pipeline.pose_scheduler = FlowMatchEulerDiscreteScheduler(shift=pose_shift, invert_sigmas=True)
    text = pipeline.encode_prompt(PROMPT)
    generator = seeded()
    latents = pipeline.prepare_latents(1, HEIGHT, WIDTH, generator)
    poses = pipeline.prepare_pose_latents(1, HEIGHT, WIDTH, generator)
    clock = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0], dtype=torch.float64)
    image, pose = (s * clock / (1 + (s - 1) * clock) for s in (shift, pose_shift))
    for step in range(4):
        told = [1000 - 1000 * t[step : step + 1].float() for t in (image, pose)]
        with torch.no_grad():
            (v, p), (v0, p0) = (
                pipeline.transformer(latents, poses, embeds, *told, mask, return_dict=False)
                for embeds, mask in (text[:2], text[2:])
            )
        latents = latents + float(image[step] - image[step + 1]) * (v0 + 3 * (v - v0))
        poses = poses + float(pose[step] - pose[step + 1]) * (p0 + 2 * (p - p0))
    scales = {**GUIDED, "camera_guidance_scale": 1.0}
    output = run(pipeline, pose_offset=0.0, **scales)
    torch.testing.assert_close(output.latents, latents, **BATCH_TOLERANCE)
    torch.testing.assert_close(output.pose_latents, poses, **BATCH_TOLERANCE)


def test_asynchronous_timetable_with_equal_times_is_synchronous(pipeline):
    pipeline.pose_scheduler = pipeline.scheduler
    equal = Timetable(tuple((t, t) for t, _ in pipeline.make_timetable(4, 0.4).pairs))
    assert_equal_outputs(run(pipeline, timetable=equal), run(pipeline, pose_offset=0.0))
    ahead = run(pipeline, pose_offset=0.4)
    assert not torch.equal(ahead.latents, run(pipeline, pose_offset=0.0).latents)


def test_another_solver_serves_either_stream(pipeline, monkeypatch):
    """A multistep solver in the other time direction is exact on straight paths as well."""
    unipc = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    pipeline.scheduler = unipc
    data = torch.randn(1, 12, NUM_VIEWS, HEIGHT // 8, WIDTH // 8, generator=seeded(1))
    pose_data = torch.randn(1, 6, NUM_VIEWS, HEIGHT // 8, WIDTH // 8, generator=seeded(2))
    make_oracle(pipeline, monkeypatch, data, pose_data)
    output = run(pipeline, **UNGUIDED)
    torch.testing.assert_close(output.latents, data, atol=1e-4, rtol=0)
    pipeline.scheduler, pipeline.pose_scheduler = FlowMatchEulerDiscreteScheduler(), unipc
    output = run(pipeline, **UNGUIDED)
    torch.testing.assert_close(output.pose_latents, pose_data, atol=1e-4, rtol=0)


def test_refuses_a_solver_that_cannot_follow(pipeline, calls):
    pipeline.pose_scheduler = FlowMatchHeunDiscreteScheduler()
    with pytest.raises(ValueError, match="FlowMatchHeunDiscreteScheduler cannot follow"):
        run(pipeline)
    assert not calls


# Guidance


@pytest.mark.parametrize(
    ("scales", "pose_offset", "branches"),
    [
        ((1.0, 1.0, 1.0), 0.2, [1, 1, 1, 1]),
        ((3.0, 1.0, 1.0), 0.2, [2, 2, 2, 2]),
        # The poses of the first step are noise, and cannot be contrasted with noise.
        ((3.0, 1.0, 1.5), 0.2, [2, 3, 3, 3]),
        ((1.0, 1.0, 1.5), 0.2, [1, 2, 2, 2]),
        # After two steps the poses are finished, and their guidance costs nothing.
        ((1.0, 3.0, 1.0), 0.5, [2, 2, 1, 1]),
        ((1.0, 3.0, 1.0), 0.0, [2, 2, 2, 2]),
        # After two steps the images are.
        ((3.0, 1.0, 1.5), -0.5, [2, 3, 1, 1]),
    ],
)
def test_guidance_costs_the_fewest_branches_in_one_pass(
    pipeline, calls, scales, pose_offset, branches
):
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    run(pipeline, pose_offset=pose_offset, **dict(zip(GUIDED, scales, strict=True)))
    assert [len(call.hidden_states) for call in calls] == branches


def test_without_guidance_the_negative_text_is_not_encoded(pipeline, monkeypatch):
    encoded = []
    forward = pipeline.text_encoder.forward
    monkeypatch.setattr(
        pipeline.text_encoder,
        "forward",
        lambda ids, **rest: encoded.append(len(ids)) or forward(ids, **rest),
    )
    run(pipeline, negative_prompt="night", **UNGUIDED)
    assert encoded == [1]
    run(pipeline, negative_prompt="night")
    assert encoded == [1, 1, 1]
    run(pipeline)
    assert encoded == [1, 1, 1, 1]


def test_camera_guidance_contrasts_with_the_initial_pose_noise(pipeline, calls):
    noise = pipeline.prepare_pose_latents(1, HEIGHT, WIDTH, seeded(4))
    run(pipeline, pose_latents=noise, **{**UNGUIDED, "camera_guidance_scale": 2.0})
    for call in calls[1:]:
        assert not torch.equal(call.pose_hidden_states[0], noise[0])
        assert torch.equal(call.pose_hidden_states[1], noise[0])
        assert call.pose_timestep[0] > 0
        assert call.pose_timestep[1] == 0
        assert torch.equal(call.hidden_states[0], call.hidden_states[1])


def test_branch_without_text_has_an_empty_mask(pipeline, calls):
    run(pipeline, **{**UNGUIDED, "guidance_scale": 2.0})
    masks = calls[0].encoder_attention_mask
    assert masks[0].any()
    assert not masks[1].any()
    assert not calls[0].encoder_hidden_states[1].any()


@pytest.mark.parametrize("name", list(GUIDED))
def test_every_scale_matters(pipeline, name):
    stronger = run(pipeline, **{**GUIDED, name: 6.0})
    output = run(pipeline)
    stream = "pose_latents" if name == "pose_guidance_scale" else "latents"
    assert (stronger[stream] - output[stream]).abs().max() > 1e-3


# Steps, previews, cancellation


def test_stream_yields_every_step_and_then_the_output(pipeline):
    settings = {"num_inference_steps": 4, "output_type": "latent", **GUIDED}
    *states, output = pipeline.stream(PROMPT, generator=seeded(), **settings)
    assert all(isinstance(state, DenoisingStep) for state in states)
    assert [state.index for state in states] == [0, 1, 2, 3]
    pairs = [(state.t_image, state.t_pose) for state in states]
    assert pairs == list(pipeline.make_timetable(4, 0.2).pairs[1:])
    assert torch.equal(states[-1].latents, output.latents)
    # The same sum, by the solver and by the prediction.
    torch.testing.assert_close(states[-1].predicted_latents, states[-1].latents)
    assert_equal_outputs(output, run(pipeline))


def test_call_has_the_arguments_of_stream(pipeline):
    call, stream = (
        [(p.name, p.default, p.kind) for p in inspect.signature(method).parameters.values()]
        for method in (type(pipeline).__call__, type(pipeline).stream)
    )
    assert call == stream
    with pytest.raises(TypeError, match="nonsense"):
        pipeline(PROMPT, nonsense=1)


def test_any_step_previews_frames_and_cameras(pipeline):
    for state in itertools.islice(pipeline.stream(PROMPT, num_inference_steps=3), 3):
        frames = pipeline.decode_frames(state.predicted_latents, "pil")
        assert frames[0][0].size == (WIDTH, HEIGHT)
        fit = pipeline.recover_cameras(state.predicted_pose_latents, HEIGHT, WIDTH)[0]
        assert fit.cameras.num_views == NUM_VIEWS
        assert math.isfinite(fit.residual)


@pytest.mark.parametrize(
    "names", [["latents"], [], ["predicted_latents", "predicted_pose_latents", "pose_latents"]]
)
def test_callback_sees_only_declared_tensors(pipeline, names):
    seen = []

    def callback(pipe, step, timestep, tensors):
        seen.append((pipe, step, timestep, set(tensors)))
        return tensors

    expected = run(pipeline)
    output = run(pipeline, callback_on_step_end=callback, callback_on_step_end_tensor_inputs=names)
    assert [entry[0] for entry in seen] == [pipeline] * 4
    assert [entry[1] for entry in seen] == [0, 1, 2, 3]
    assert all(entry[3] == set(names) for entry in seen)
    assert_equal_outputs(output, expected)


def test_callback_replaces_latents(pipeline):
    def zero_at_the_end(pipe, step, timestep, tensors):
        return {name: torch.zeros_like(value) for name, value in tensors.items()}

    output = run(
        pipeline,
        callback_on_step_end=zero_at_the_end,
        callback_on_step_end_tensor_inputs=["latents", "pose_latents"],
    )
    assert not output.latents.any()
    assert not output.pose_latents.any()


def test_replaced_latents_are_what_the_next_step_starts_from(pipeline, calls):
    replacement = torch.full((1, 12, NUM_VIEWS, HEIGHT // 8, WIDTH // 8), 0.5)
    run(pipeline, callback_on_step_end=lambda *_: {"latents": replacement})
    assert not torch.equal(calls[0].hidden_states[:1], replacement)
    assert torch.equal(calls[1].hidden_states[:1], replacement)


def test_interruption_stops_after_the_step_and_keeps_its_prediction(pipeline, calls):
    predicted = []

    def stop_at_two(pipe, step, timestep, tensors):
        predicted.append(tensors["predicted_latents"])
        pipe._interrupt = step == 1
        return {}

    output = run(
        pipeline,
        callback_on_step_end=stop_at_two,
        callback_on_step_end_tensor_inputs=["predicted_latents"],
    )
    assert len(calls) == 2
    assert torch.equal(output.latents, predicted[1])
    run(pipeline)
    assert len(calls) == 6


def test_closing_the_stream_stops_the_run_and_frees_the_models(pipeline, calls, monkeypatch):
    freed = []
    monkeypatch.setattr(pipeline, "maybe_free_model_hooks", lambda: freed.append(len(calls)))
    stream = pipeline.stream(PROMPT, num_inference_steps=4, generator=seeded())
    next(stream)
    next(stream)
    stream.close()
    assert len(calls) == 2
    assert freed == [2]


def test_streams_do_not_share_solver_state(pipeline):
    """Two runs that take turns end as they would alone."""
    settings = {"num_inference_steps": 4, "output_type": "latent", **GUIDED}
    first = pipeline.stream(PROMPT, generator=seeded(0), **settings)
    second = pipeline.stream(PROMPT, generator=seeded(1), **settings)
    *_, (a, b) = zip(first, second, strict=True)
    assert_equal_outputs(a, run(pipeline, seed=0))
    assert_equal_outputs(b, run(pipeline, seed=1))


def test_gradients_are_off_inside_and_as_before_outside(pipeline):
    stream = pipeline.stream(PROMPT, num_inference_steps=2, generator=seeded())
    state = next(stream)
    assert torch.is_grad_enabled()
    assert not state.latents.requires_grad


# Given cameras and given frames


def test_given_cameras_are_kept_and_told_as_clean(pipeline, calls):
    output = run(pipeline, cameras=arc(), camera_unit=1.0, output_type="scene")
    assert torch.equal(output.cameras[0].viewmats, arc().viewmats)
    assert torch.equal(output.cameras[0].Ks, arc().Ks)
    assert output.camera_residuals is None
    raymaps = pipeline.encode_cameras([arc()], HEIGHT, WIDTH)
    assert torch.equal(output.pose_latents, raymaps)
    assert len(calls) == 4
    for call in calls:
        # Camera guidance is on from the first step, since the poses are not noise.
        assert len(call.hidden_states) == 3
        assert torch.equal(call.pose_hidden_states[:1], raymaps)
        assert call.pose_timestep[0] == 1000


def test_given_cameras_are_taken_to_the_first_view_and_the_size(pipeline):
    moved = look_at(
        torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1, 3), torch.tensor([0.0, -1.0, 0.0])
    )
    elsewhere = Cameras(arc().viewmats @ moved, arc().Ks, WIDTH, HEIGHT).resized(96, 64)
    output = run(pipeline, cameras=elsewhere, output_type="pt")
    # A rotation and its inverse in float32.
    torch.testing.assert_close(output.cameras[0].viewmats, arc().viewmats, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.cameras[0].Ks, arc().Ks)
    assert (output.cameras[0].width, output.cameras[0].height) == (WIDTH, HEIGHT)


def test_given_cameras_of_wider_images_are_cropped_rather_than_squeezed(pipeline):
    wide = Cameras(arc().viewmats, arc().Ks.clone(), WIDTH + 20, HEIGHT)
    wide.Ks[:, 0, 2] += 10
    output = run(pipeline, cameras=wide, output_type="pt")
    torch.testing.assert_close(output.cameras[0].Ks, arc().Ks)


def test_each_prompt_may_have_its_cameras(pipeline):
    cameras = [arc(focal=40.0), arc(focal=60.0)]
    output = run(
        pipeline,
        [PROMPT, OTHER_PROMPT],
        cameras=cameras,
        num_scenes_per_prompt=2,
        output_type="pt",
    )
    assert [float(camera.Ks[0, 0, 0]) for camera in output.cameras] == [40.0, 40.0, 60.0, 60.0]


@pytest.mark.parametrize("scale", [1e-6, 0.01, 100.0])
def test_given_cameras_of_any_unit_give_one_scene_in_their_unit(pipeline, scale):
    one, other = (
        run(pipeline, cameras=arc().to(torch.float64).scaled(s), output_type="scene")
        for s in (1.0, scale)
    )
    # The target is 2 away. The unit is found in double precision.
    assert one.units[0] == pytest.approx(2, rel=1e-5)
    assert other.units[0] == pytest.approx(2 * scale, rel=1e-5)
    torch.testing.assert_close(other.latents, one.latents, rtol=1e-4, atol=1e-4)
    for name in ("means", "scales"):
        values = (getattr(o.gaussians[0], name) for o in (one, other))
        first, second = values
        torch.testing.assert_close(second / scale, first, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        other.cameras[0].centers / scale, one.cameras[0].centers, rtol=1e-4, atol=1e-5
    )
    # What is seen is the same: a path whose unit is misread gave pictures at 14 dB.
    first, second = (
        render_frames(output.gaussians[0], output.cameras[0]).astype(float)
        for output in (one, other)
    )
    assert first.std() > 1
    assert 10 * math.log10(255**2 / max(((first - second) ** 2).mean(), 1e-9)) > 40


def test_who_knows_the_unit_states_it(pipeline):
    output = run(pipeline, cameras=arc(), camera_unit=4.0, output_type="pt")
    quartered = run(pipeline, cameras=arc().scaled(0.25), camera_unit=1.0, output_type="pt")
    assert torch.equal(output.pose_latents, quartered.pose_latents)
    torch.testing.assert_close(output.cameras[0].centers, 4 * quartered.cameras[0].centers)
    for unit in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="camera_unit must be positive and finite"):
            run(pipeline, cameras=arc(), camera_unit=unit)


@pytest.mark.parametrize("count", [1, 2, NUM_VIEWS + 1, 40])
def test_views_are_taken_evenly_along_paths_of_any_number(pipeline, count):
    output = run(pipeline, cameras=arc(count), camera_unit=1.0, output_type="pt")
    assert output.cameras[0].num_views == NUM_VIEWS
    for view, position in ((0, 0), (NUM_VIEWS - 1, count - 1)):
        torch.testing.assert_close(
            output.cameras[0].viewmats[view], arc(count).viewmats[position], rtol=0, atol=1e-5
        )


def test_the_same_seed_gives_the_same_image_noise_with_and_without_cameras(pipeline, calls):
    run(pipeline)
    run(pipeline, cameras=arc())
    assert torch.equal(calls[0].hidden_states[0], calls[4].hidden_states[0])


def test_rays_of_cameras_give_the_cameras_back(pipeline):
    fit = pipeline.recover_cameras(pipeline.encode_cameras([arc()], HEIGHT, WIDTH), HEIGHT, WIDTH)[
        0
    ]
    torch.testing.assert_close(fit.cameras.viewmats, arc().viewmats, atol=1e-4, rtol=0)
    torch.testing.assert_close(fit.cameras.Ks, arc().Ks, atol=0, rtol=1e-4)


def test_frames_give_the_cameras_of_an_exact_model(pipeline, calls, monkeypatch):
    frames = torch.rand(2, NUM_VIEWS, 3, HEIGHT, WIDTH, generator=seeded(3))
    cameras = [arc(focal=40.0), arc(focal=60.0)]
    latents = pipeline.encode_frames(frames)
    told = []
    make_oracle(pipeline, monkeypatch, latents, pipeline.encode_cameras(cameras, HEIGHT, WIDTH))
    oracle = pipeline.transformer.forward
    monkeypatch.setattr(
        pipeline.transformer,
        "forward",
        lambda **arguments: told.append(SimpleNamespace(**arguments)) or oracle(**arguments),
    )
    fits = pipeline.estimate_cameras(frames, num_inference_steps=3, generator=seeded())
    for fit, camera in zip(fits, cameras, strict=True):
        torch.testing.assert_close(fit.cameras.viewmats, camera.viewmats, atol=1e-3, rtol=0)
        torch.testing.assert_close(fit.cameras.Ks, camera.Ks, atol=0, rtol=1e-3)
    assert len(told) == 3
    for call in told:
        assert torch.equal(call.hidden_states, latents)
        assert (call.timestep == 1000).all()
        assert not call.encoder_attention_mask.any()


def test_frames_and_prompt_guide_the_cameras(pipeline, calls):
    frames = torch.rand(1, NUM_VIEWS, 3, HEIGHT, WIDTH, generator=seeded(3))
    pipeline.estimate_cameras(
        frames, PROMPT, num_inference_steps=2, pose_guidance_scale=2.0, generator=seeded()
    )
    assert [len(call.hidden_states) for call in calls] == [2, 2]
    assert calls[0].encoder_attention_mask[0].any()


def test_frames_are_encoded_as_the_autoencoder_does(pipeline):
    frames = torch.rand(1, NUM_VIEWS, 3, HEIGHT, WIDTH, generator=seeded(3))
    vae = pipeline.vae
    with torch.no_grad():
        latents = pipeline.encode_frames(frames)
        for view in range(NUM_VIEWS):
            clip = 2 * frames[:, view, :, None] - 1
            mean = vae.encode(clip).latent_dist.mean
            offset, spread = (
                torch.tensor(vae.config[name]).view(1, -1, 1, 1, 1)
                for name in ("latents_mean", "latents_std")
            )
            expected = (mean - offset) / spread * vae.config["scaling_factor"]
            # Another order of float32 sums in the convolutions, divided by a spread of about 1.
            torch.testing.assert_close(latents[:, :, view], expected[:, :, 0], atol=1e-4, rtol=1e-3)
            decoded = vae.decode(mean).sample[:, :, 0]
            torch.testing.assert_close(
                pipeline.decode_frames(latents)[:, view],
                (decoded / 2 + 0.5).clamp(0, 1),
                atol=1e-3,
                rtol=0,
            )


def test_an_autoencoder_that_expands_time_serves_too(pipeline, monkeypatch):
    mochi = AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    ).eval()
    monkeypatch.setattr(pipeline, "vae", mochi)
    assert run(pipeline, output_type="pt").frames.shape == (1, NUM_VIEWS, 3, HEIGHT, WIDTH)


def test_offloaded_autoencoder_is_fetched_for_its_fast_path(pipeline, monkeypatch):
    fetched = []
    hook = SimpleNamespace(pre_forward=lambda module: fetched.append(module))
    pipeline.vae._hf_hook = hook
    try:
        latents = pipeline.encode_frames(torch.rand(1, NUM_VIEWS, 3, HEIGHT, WIDTH))
        pipeline.decode_frames(latents)
    finally:
        del pipeline.vae._hf_hook
    assert fetched == [pipeline.vae, pipeline.vae]


# Text


def test_empty_text_is_zero_and_masked_in_any_company(pipeline):
    alone = pipeline.encode_prompt("", do_classifier_free_guidance=False)
    together = pipeline.encode_prompt(["", PROMPT, "  "], do_classifier_free_guidance=False)
    assert alone.prompt_embeds.shape == (1, MAX_TOKENS, TEXT_WIDTH)
    assert not alone.prompt_embeds.any()
    assert not alone.prompt_attention_mask.any()
    for row in (0, 2):
        assert torch.equal(together.prompt_embeds[row], alone.prompt_embeds[0])
        assert torch.equal(together.prompt_attention_mask[row], alone.prompt_attention_mask[0])
    assert together.prompt_embeds[1].any()


def test_padding_that_no_text_needs_is_left_out(pipeline, calls, monkeypatch):
    prompts = [PROMPT, OTHER_PROMPT]
    found = run(pipeline, prompts)
    longest = max(len(ids) for ids in pipeline.tokenizer(prompts).input_ids)
    assert longest < MAX_TOKENS
    assert {call.encoder_hidden_states.shape[1] for call in calls} == {longest}
    monkeypatch.setattr(TextCondition, "without_padding", lambda text: text)
    padded = run(pipeline, prompts)
    assert calls[-1].encoder_hidden_states.shape[1] == MAX_TOKENS
    torch.testing.assert_close(found.latents, padded.latents, **BATCH_TOLERANCE)
    torch.testing.assert_close(found.pose_latents, padded.pose_latents, **BATCH_TOLERANCE)


def test_long_prompts_are_cut_with_a_warning(pipeline, caplog):
    with caplog.at_level(logging.WARNING, "videorfsplat.inference.text"):
        condition = pipeline.encode_prompt("tree " * 40)
        assert "41 tokens; only the first 12 count" in caplog.text
    assert condition.prompt_attention_mask.all()


def test_number_of_scenes_repeats_rows_side_by_side(pipeline):
    one = pipeline.encode_prompt([PROMPT, OTHER_PROMPT])
    two = pipeline.encode_prompt([PROMPT, OTHER_PROMPT], num_scenes_per_prompt=2)
    for single, double in zip(one, two, strict=True):
        assert torch.equal(double, single[[0, 0, 1, 1]])


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "prompt must not be empty"),
        ({"prompt": " \n"}, "prompt must not be empty"),
        ({"prompt": []}, "prompt must not be empty"),
        ({"prompt": [PROMPT, ""]}, "prompt must not be empty"),
        ({"prompt": None}, "either prompt or prompt_embeds"),
        ({"prompt": "a" * 2001}, "at most 2000 characters, got 2001"),
        ({"negative_prompt": "a" * 2001}, "at most 2000 characters, got 2001"),
        ({"negative_prompt": ["a", "b"]}, "as many texts as prompt"),
        ({"prompt_embeds": torch.zeros(1, 4, 16)}, "either prompt or prompt_embeds"),
        (
            {"prompt": None, "prompt_embeds": torch.zeros(1, 4, 16)},
            "prompt_attention_mask must be given together",
        ),
        (
            {
                "negative_prompt_embeds": torch.zeros(1, 4, 16),
                "negative_prompt_attention_mask": torch.zeros(1, 4, dtype=torch.bool),
            },
            r"of shape \(1, 12\)",
        ),
        ({"guidance_scale": math.nan}, "guidance_scale must be a finite number, got nan"),
        ({"pose_guidance_scale": -1.0}, "pose_guidance_scale must be at least 0"),
        ({"camera_guidance_scale": math.inf}, "camera_guidance_scale must be a finite number"),
        ({"pose_offset": 1.0}, "pose_offset must lie between -1 and 1, got 1.0"),
        ({"pose_offset": math.nan}, "pose_offset must lie between -1 and 1, got nan"),
        ({"pose_offset": math.nan, "cameras": arc()}, "pose_offset must lie between -1 and 1"),
        ({"num_inference_steps": 0}, "num_inference_steps must be at least 1, got 0"),
        ({"num_scenes_per_prompt": 0}, "num_scenes_per_prompt must be at least 1, got 0"),
        ({"height": 40}, "multiples of 16, got 40 and 48"),
        ({"width": 0}, "multiples of 16, got 32 and 0"),
        ({"cameras": arc()[[]]}, "a path needs at least one camera"),
        ({"cameras": [arc(), arc()]}, "expected cameras for 1 prompts, got 2"),
        ({"cameras": arc(), "timetable": timetable(3)}, r"start at \(1.0, 0.0\)"),
        ({"timetable": given_cameras_timetable(3)}, r"start at \(1.0, 1.0\)"),
        ({"timetable": given_images_timetable(3)}, r"start at \(1.0, 1.0\)"),
        ({"generator": [seeded(), seeded()]}, "expected 1 generators, got 2"),
        ({"latents": torch.zeros(1, 12, 2, 4, 6)}, r"expected latents of shape \(1, 12, 3, 4, 6\)"),
        ({"pose_latents": torch.zeros(1, 6, 3, 2, 2)}, "expected pose_latents of shape"),
        ({"output_type": "video"}, "output_type must be one of"),
        (
            {"callback_on_step_end_tensor_inputs": ["latents", "timetable"]},
            r"must be among .* got \['timetable'\]",
        ),
    ],
)
def test_rejects_bad_input_before_any_work(pipeline, monkeypatch, arguments, message):
    for component in (pipeline.transformer, pipeline.text_encoder):
        monkeypatch.setattr(component, "forward", None)
    arguments = {"prompt": PROMPT, **arguments}
    with pytest.raises(ValueError, match=message):
        pipeline(**arguments)


@pytest.mark.parametrize(
    ("frames", "arguments", "message"),
    [
        (torch.rand(1, 2, 3, HEIGHT, WIDTH), {}, "expected 3 views, got 2"),
        (torch.rand(1, 3, 3, 24, WIDTH), {}, "multiples of 16"),
        (torch.full((1, 3, 3, HEIGHT, WIDTH), math.nan), {}, r"values in \[0, 1\]"),
        (torch.full((1, 3, 3, HEIGHT, WIDTH), -1.0), {}, r"values in \[0, 1\]"),
        (torch.rand(1, 3, 3, HEIGHT, WIDTH), {"prompt": ["a", "b"]}, "expected 1 prompts, got 2"),
        (torch.rand(1, 3, 3, HEIGHT, WIDTH), {"pose_guidance_scale": -1.0}, "at least 0"),
        (torch.rand(1, 3, 3, HEIGHT, WIDTH), {"num_inference_steps": 0}, "at least 1"),
    ],
)
def test_rejects_bad_frames_before_any_work(pipeline, monkeypatch, frames, arguments, message):
    for component in (pipeline.transformer, pipeline.text_encoder):
        monkeypatch.setattr(component, "forward", None)
    with pytest.raises(ValueError, match=message):
        pipeline.estimate_cameras(frames, **arguments)


# The package


def test_importing_the_package_loads_no_heavy_module():
    code = (
        "import sys, videorfsplat; heavy = {'torch', 'numpy', 'diffusers', 'transformers'}; "
        "assert not heavy & set(sys.modules); from videorfsplat import Cameras; "
        "assert 'torch' in sys.modules and 'diffusers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_the_classes_of_their_modules():
    import videorfsplat

    assert videorfsplat.VideoRFSplatPipeline is VideoRFSplatPipeline
    for name in videorfsplat.__all__:
        assert getattr(videorfsplat, name).__name__ == name
        assert name in dir(videorfsplat)
    with pytest.raises(AttributeError, match="nonsense"):
        videorfsplat.nonsense  # noqa: B018


# --- the contract of diffusers --------------------------------------------------------------------


def shipped_callbacks() -> list[type[PipelineCallback]]:
    found = vars(callbacks).values()
    return [c for c in found if isinstance(c, type) and issubclass(c, PipelineCallback)]


def test_diffusers_ships_the_callbacks_that_are_tested():
    assert len(shipped_callbacks()) >= 6


@pytest.mark.parametrize("kind", shipped_callbacks(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("is_list", [False, True])
@pytest.mark.parametrize("prompts", [PROMPT, [PROMPT, "a lake"]], ids=["one", "two"])
def test_every_callback_of_diffusers_runs(pipeline, calls, kind, is_list, prompts):
    if kind is PipelineCallback:
        # The base class is for others to fill in.
        kind = type("Own", (kind,), {"tensor_inputs": [], "callback_fn": lambda *words: words[-1]})
    callback = kind(cutoff_step_ratio=None, cutoff_step_index=1)
    callback = MultiPipelineCallbacks([callback]) if is_list else callback
    pipeline(
        prompts,
        num_inference_steps=4,
        generator=seeded(),
        callback_on_step_end=callback,
        output_type="latent",
        **GUIDED,
    )
    branches = [len(call.hidden_states) for call in calls]
    cuts_off = "CFGCutoff" in kind.__name__
    scenes = 1 if prompts is PROMPT else 2
    # In the first step poses are noise, so that camera guidance has nothing to contrast.
    assert branches[:2] == [2 * scenes, 3 * scenes]
    # Guidance by text is off from the step after the cut; that by cameras goes on.
    assert branches[2:] == [2 * scenes if cuts_off else 3 * scenes] * 2


def test_a_run_whose_text_guidance_is_cut_off_goes_on_as_one_without_it(pipeline):
    cut = SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)
    settings = {"num_inference_steps": 2, "output_type": "latent", "camera_guidance_scale": 2.0}
    states = []

    def cut_and_look(pipe, index, timestep, tensors):
        states.append((tensors.pop("latents"), tensors.pop("pose_latents")))
        return cut(pipe, index, timestep, tensors)

    names = ["latents", "pose_latents", "prompt_embeds"]
    pipeline.scheduler = pipeline.pose_scheduler = FlowMatchEulerDiscreteScheduler()
    found = pipeline(
        PROMPT,
        guidance_scale=4.0,
        pose_guidance_scale=2.0,
        generator=seeded(),
        callback_on_step_end=cut_and_look,
        callback_on_step_end_tensor_inputs=names,
        **settings,
    )

    def start_there(pipe, index, timestep, tensors):
        return dict(zip(names, states[0], strict=False)) if index == 0 else {}

    wanted = pipeline(
        PROMPT,
        guidance_scale=1.0,
        pose_guidance_scale=1.0,
        generator=seeded(),
        callback_on_step_end=start_there,
        **settings,
    )
    torch.testing.assert_close(found.latents, wanted.latents)
    torch.testing.assert_close(found.pose_latents, wanted.pose_latents)


def test_callbacks_are_told_the_time_of_their_step(pipeline, calls):
    seen = []

    def look(pipe, index, timestep, tensors):
        seen.append((timestep, pipe.current_timestep, pipe.num_timesteps, pipe.guidance_scale))
        return {}

    pipeline(PROMPT, num_inference_steps=3, generator=seeded(), callback_on_step_end=look, **GUIDED)
    told = [float(call.timestep[0]) for call in calls]
    assert [row[0] for row in seen] == [row[1] for row in seen] == pytest.approx(told)
    assert [row[2] for row in seen] == [3] * 3
    assert [row[3] for row in seen] == [GUIDED["guidance_scale"]] * 3
    assert pipeline.current_timestep is None


def test_callbacks_replace_the_text(pipeline, calls):
    other = pipeline.encode_prompt("a lake", do_classifier_free_guidance=False)

    def replace_text(pipe, index, timestep, tensors):
        return {"prompt_embeds": other.prompt_embeds, "prompt_attention_mask": other[1]}

    run(pipeline, callback_on_step_end=replace_text)
    length = calls[1].encoder_hidden_states.shape[1]
    assert not torch.equal(
        calls[0].encoder_hidden_states[:1, :length], other.prompt_embeds[:, :length]
    )
    assert torch.equal(calls[1].encoder_hidden_states[:1], other.prompt_embeds[:, :length])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"prompt_embed": torch.zeros(1)}, "prompt_embed.*nothing reads"),
        ({"latents": torch.zeros(1)}, r"latents of shape \(1, 12, .*got \(1,\)"),
        ({"negative_prompt_embeds": torch.zeros(1)}, "which this run does not have"),
    ],
    ids=["name", "shape", "absent"],
)
def test_callbacks_cannot_return_what_does_not_fit(pipeline, returned, message):
    with pytest.raises(ValueError, match=message):
        pipeline(
            PROMPT,
            num_inference_steps=2,
            guidance_scale=1.0,
            pose_guidance_scale=1.0,
            callback_on_step_end=lambda *_: returned,
        )


def test_given_embeddings_and_guidance_need_no_text_encoder(pipeline):
    text = pipeline.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    parts = pipeline.components | {"text_encoder": None, "tokenizer": None}
    bare = VideoRFSplatPipeline(**parts)
    settings = {"num_inference_steps": 2, "guidance_scale": 4.0, "output_type": "latent"}
    given = {"prompt_embeds": text.prompt_embeds, "prompt_attention_mask": text[1]}
    found = bare(**given, generator=seeded(), **settings)
    wanted = pipeline(PROMPT, generator=seeded(), **settings)
    assert torch.equal(found.latents, wanted.latents)
    for arguments in ({"prompt": PROMPT}, {**given, "negative_prompt": "fog"}):
        with pytest.raises(ValueError, match="the pipeline has no text encoder"):
            bare(**arguments, **settings)


def test_prompts_may_be_cut_shorter(pipeline, calls):
    short = pipeline.encode_prompt("a red house", max_sequence_length=2)
    assert short.prompt_embeds.shape[1] == short.negative_prompt_embeds.shape[1] == 2
    pipeline("a red house", num_inference_steps=1, max_sequence_length=2)
    assert calls[0].encoder_hidden_states.shape[1] == 2
    for length in (0, pipeline.max_sequence_length + 1):
        with pytest.raises(ValueError, match="max_sequence_length must lie in"):
            pipeline(PROMPT, max_sequence_length=length)


@pytest.mark.parametrize("output_type", ["scene", "pt", "latent"])
def test_a_tuple_has_every_field_at_its_place(pipeline, output_type):
    settings = {"num_inference_steps": 1, "output_type": output_type}
    output = pipeline(PROMPT, generator=seeded(), **settings)
    values = pipeline(PROMPT, generator=seeded(), return_dict=False, **settings)
    assert len(values) == 7
    names = ("frames", "cameras", "camera_residuals", "gaussians", "latents", "pose_latents")
    names += ("units",)
    for name, value in zip(names, values, strict=True):
        assert (value is None) == (getattr(output, name) is None), name
    assert torch.equal(values[4], output.latents)


def test_attention_arguments_scale_the_lora():
    settings = {"num_inference_steps": 1, "output_type": "latent"}
    pipeline = tiny_pipeline()
    plain = pipeline(PROMPT, generator=seeded(), **settings).latents
    pipeline.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    for name, weight in pipeline.transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, generator=seeded())
    whole = pipeline(PROMPT, generator=seeded(), **settings).latents
    none = pipeline(PROMPT, generator=seeded(), attention_kwargs={"scale": 0.0}, **settings).latents
    assert not torch.equal(whole, plain)
    assert torch.equal(none, plain)


def test_importing_the_model_leaves_the_process_as_it_was():
    script = (
        "from diffusers import MochiTransformer3DModel; import diffusers.loaders.peft, jaxtyping; "
        "import warnings; before = list(warnings.filters); "
        "import videorfsplat.models.transformer_videorfsplat; "
        "assert warnings.filters == before"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
