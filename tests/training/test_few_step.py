"""The few-step variant: what the teacher leaves, what the student is asked for, and its use."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_pipeline

from videorfsplat.__main__ import main
from videorfsplat.generation.checkpoint import few_step_sampling, has_few_step
from videorfsplat.generation.loading import few_step_pipeline, load_pipeline
from videorfsplat.training.few_step import FewStepTraining, line_loss, train_few_step
from videorfsplat.training.run import RunConfig
from videorfsplat.training.teacher_states import TeacherStates, Teaching

PROMPTS = ["a red house", "two blue trees by the lake at night", "a green hill"]
TEACHING = Teaching(num_inference_steps=2, teacher_steps=6)
PLAIN = {"guidance_scale": 1.0, "pose_guidance_scale": 1.0, "camera_guidance_scale": 1.0}


def settings(folder: Path, model: Path, max_steps: int = 2, **values) -> FewStepTraining:
    prompts = folder / "prompts.txt"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    prompts.write_text("\n".join(PROMPTS) + "\n")
    run = RunConfig(
        str(folder / "run"), max_steps, batch_size=4, warmup_steps=1, ema_decay=0.5, log_every=1
    )
    values = {"rank": 2, "teacher_batch_size": 2, "teaching": TEACHING, **values}
    return FewStepTraining(run, str(prompts), str(model), **values)


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("few-step-model") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory) -> Path:
    """A model folder with a few-step variant in it."""
    folder = tmp_path_factory.mktemp("few-step-run")
    variant = train_few_step(settings(folder, model))
    target = tmp_path_factory.mktemp("few-step-trained") / "tiny"
    tiny_pipeline().save_pretrained(target)
    variant.rename(target / "few_step")
    return target


@pytest.fixture
def states(model, tmp_path) -> TeacherStates:
    return TeacherStates(tmp_path, load_pipeline(str(model), "cpu"), PROMPTS, TEACHING, 0, 2)


def test_states_lead_from_the_noise_to_what_the_pipeline_makes(model, states):
    pipeline = load_pipeline(str(model), "cpu")
    for index, prompt in enumerate(PROMPTS):
        output = pipeline(
            prompt, generator=states.noise(index), output_type="latent", num_inference_steps=6
        )
        generator = states.noise(index)
        noise = pipeline.prepare_latents(1, *pipeline.default_size, generator)
        pose_noise = pipeline.prepare_pose_latents(1, *pipeline.default_size, generator)
        first, last = states.read(index, 0), states.read(index, 1)
        # Files are in float16, whose spacing at 4 is 0.004.
        close = {"rtol": 0, "atol": 4e-3}
        torch.testing.assert_close(first.latents[:1], noise, **close)
        torch.testing.assert_close(first.pose_latents[:1], pose_noise, **close)
        torch.testing.assert_close(first.latents[1], last.latents[0])
        torch.testing.assert_close(last.latents[1:], output.latents, **close)
        torch.testing.assert_close(last.pose_latents[1:], output.pose_latents, **close)


def test_states_are_made_once_and_belong_to_their_prompts(model, tmp_path, states):
    path = tmp_path / "0000001.safetensors"
    before = path.stat().st_mtime_ns
    pipeline = load_pipeline(str(model), "cpu")
    TeacherStates(tmp_path, pipeline, PROMPTS, TEACHING, 0, 2)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="another prompt"):
        TeacherStates(tmp_path, pipeline, [PROMPTS[0], "a lake"], TEACHING, 0, 2)
    with pytest.raises(ValueError, match="another made_with"):
        TeacherStates(tmp_path, pipeline, PROMPTS, replace(TEACHING, guidance_scale=2.0), 0, 2)


def test_teacher_without_guidance_and_with_as_many_steps_leaves_nothing_to_learn(model, tmp_path):
    teaching = Teaching(num_inference_steps=3, teacher_steps=3, **PLAIN)
    # δ ends the pose stream early, so that one step asks nothing of it.
    teaching = replace(teaching, pose_offset=0.4)
    train_few_step(settings(tmp_path, model, max_steps=1, teaching=teaching))
    # The toy model's scheduler is Euler's, as the variant's. What remains are the halves of the
    # files, which a step of a third of the time turns into three times their spacing.
    assert log_of(tmp_path)[0]["loss"] < 1e-4


def test_training_brings_the_student_towards_its_teacher(model, tmp_path):
    asked = settings(tmp_path, model, max_steps=40, rank=8)
    run = replace(asked.run, learning_rate=3e-2)
    train_few_step(replace(asked, run=run))
    losses = [line["loss"] for line in log_of(tmp_path)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_line_loss_asks_for_the_line_and_nothing_of_a_stream_that_rests():
    before, after = torch.randn(2, 3, 1, 2, 2), torch.randn(2, 3, 1, 2, 2)
    passed = torch.tensor([0.25, 0.0])
    velocity = torch.stack([(after[0] - before[0]) / 0.25 + 2, torch.full_like(before[1], 7.0)])
    assert line_loss(velocity, before, after, passed, torch.tensor(1.0)).item() == pytest.approx(4)


def test_variant_is_the_model_with_the_lora_added(model, trained):
    layers = load_file(trained / "few_step" / "pytorch_lora_weights.safetensors")
    assert {weight.dtype for weight in layers.values()} == {torch.float16}
    plain, variant = (load_pipeline(str(trained), "cpu", few_step=few) for few in (False, True))
    prefix, moved = "transformer.", 0
    weights = dict(plain.transformer.named_parameters())
    for name, weight in variant.transformer.named_parameters():
        layer = prefix + name.removesuffix(".weight")
        expected = weights[name]
        if f"{layer}.lora_A.weight" in layers and name.endswith(".weight"):
            down, up = (layers[f"{layer}.lora_{part}.weight"].float() for part in "AB")
            expected = expected + up @ down
            moved += bool((up @ down).any())
        torch.testing.assert_close(weight, expected)
    linear = [m for m in plain.transformer.modules() if isinstance(m, torch.nn.Linear)]
    assert len(layers) == 2 * len(linear)
    assert moved > len(linear) / 2


def test_variant_beside_the_model_leaves_it_as_it_is(trained):
    pipeline, alone = (load_pipeline(str(trained), "cpu") for _ in range(2))
    variant = few_step_pipeline(pipeline, str(trained))
    assert variant.vae is pipeline.vae
    sampling = few_step_sampling(str(trained)).to_dict()
    loaded = load_pipeline(str(trained), "cpu", few_step=True)

    def latents(pipe, **values):
        generator = torch.Generator().manual_seed(1)
        return pipe("a red house", generator=generator, output_type="latent", **values).latents

    assert torch.equal(latents(variant, **sampling), latents(loaded, **sampling))
    assert torch.equal(
        latents(pipeline, num_inference_steps=2), latents(alone, num_inference_steps=2)
    )
    assert not torch.equal(latents(pipeline, **sampling), latents(variant, **sampling))


def test_generate_takes_the_sampling_of_the_variant_unless_told_otherwise(
    trained, tmp_path, capsys
):
    words = [
        "generate",
        "a red house",
        "--model",
        str(trained),
        "--few-step",
        "--no-video",
        "--json",
    ]
    assert main([*words, "--output", str(tmp_path / "a")]) == 0
    found = json.loads(capsys.readouterr().out)["settings"]
    expected = {"few_step": True, "num_inference_steps": 2, "pose_offset": 0.2, **PLAIN}
    assert {name: found[name] for name in expected} == expected
    assert main([*words, "--output", str(tmp_path / "b"), "--steps", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["num_inference_steps"] == 3


def test_models_without_a_variant_say_so(model, trained, tmp_path, capsys):
    assert has_few_step(str(trained))
    assert not has_few_step(str(model))
    words = ["generate", "a red house", "--output", str(tmp_path / "a"), "--few-step"]
    assert main([*words, "--model", str(model)]) != 0
    assert "has no few-step variant" in capsys.readouterr().err
    with pytest.raises(ValueError, match="leave out few_step or lora"):
        load_pipeline(str(trained), "cpu", lora="more", few_step=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rank": 0}, "rank and teacher_batch_size"),
        ({"compile_blocks": True}, "needs caption_tokens"),
        ({"optimizer": "sgd"}, "optimizer must be"),
    ],
)
def test_settings_are_checked_before_models_are_loaded(changed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_few_step(settings(tmp_path, tmp_path / "no-model", **changed))


def test_steps_that_do_not_divide_and_schedules_that_do_not_meet_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="multiple"):
        Teaching(num_inference_steps=4, teacher_steps=6)
    pipeline = tiny_pipeline()
    pipeline.register_to_config(base_schedule="linear-quadratic")
    pipeline.save_pretrained(tmp_path / "model")
    teaching = Teaching(num_inference_steps=3, teacher_steps=6)
    with pytest.raises(ValueError, match="choose other steps"):
        train_few_step(settings(tmp_path, tmp_path / "model", teaching=teaching))
    # Where half of the steps are on each side of the bend, they meet.
    assert Teaching(4, 24).timetable(pipeline).num_inference_steps == 4
