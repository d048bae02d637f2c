"""The dual-stream transformer: two clocks, an exchange in both directions, places, sizes, files."""

import pytest
import torch
from diffusers import MochiTransformer3DModel
from tiny import TEXT_WIDTH, tiny_transformer
from torch import nn

from videorfsplat.models.transformer_videorfsplat import (
    VideoRFSplatTransformer3DModel,
    initialize_frequencies,
)


def trained_transformer() -> VideoRFSplatTransformer3DModel:
    """As if trained: nothing is zero, so that every path is open."""
    torch.manual_seed(0)
    model = tiny_transformer()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model


def some_inputs(pose_grid=(4, 6), batch=2, views=3) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(batch, 5, dtype=torch.long)
    mask[-1, 3:] = 0
    return {
        "hidden_states": torch.randn(batch, 12, views, 4, 6),
        "pose_hidden_states": torch.randn(batch, 6, views, *pose_grid),
        "encoder_hidden_states": torch.randn(batch, 5, TEXT_WIDTH),
        "timestep": torch.tensor([200.0, 700.0])[:batch],
        "pose_timestep": torch.tensor([900.0, 100.0])[:batch],
        "encoder_attention_mask": mask,
    }


def run(model, **inputs):
    with torch.no_grad():
        return model(**inputs, return_dict=False)


@pytest.mark.parametrize(
    "changed",
    ["hidden_states", "pose_hidden_states", "encoder_hidden_states", "timestep", "pose_timestep"],
)
def test_every_input_reaches_both_velocities(changed):
    model, inputs = trained_transformer(), some_inputs()
    value = inputs[changed]
    other = {**inputs, changed: value + (300.0 if value.ndim == 1 else torch.randn_like(value))}
    for one, two in zip(run(model, **inputs), run(model, **other), strict=True):
        # The gates and exchanges here are small; float32 noise is a thousand times smaller.
        assert (one - two).abs().max() > 1e-4


def test_without_the_exchange_the_streams_do_not_know_each_other():
    model, inputs = trained_transformer(), some_inputs()
    for exchange in model.exchanges:
        nn.init.zeros_(exchange.to_image.to_out.weight)
        nn.init.zeros_(exchange.to_pose.to_out.weight)
    sample, pose_sample = run(model, **inputs)
    pose = torch.randn_like(inputs["pose_hidden_states"])
    other = {**inputs, "pose_hidden_states": pose, "pose_timestep": torch.zeros(2)}
    assert torch.equal(run(model, **other)[0], sample)
    images = torch.randn_like(inputs["hidden_states"])
    other = {**inputs, "hidden_states": images, "timestep": torch.zeros(2)}
    assert torch.equal(run(model, **other)[1], pose_sample)


def test_no_exchange_follows_the_last_blocks():
    model, inputs = trained_transformer(), some_inputs()
    assert len(model.exchanges) == len(model.pose_stream.transformer_blocks) - 1
    before = run(model, **inputs)
    # What the last blocks of one stream do is unseen by the other.
    nn.init.normal_(model.pose_stream.transformer_blocks[-1].ff.net[2].weight)
    after = run(model, **inputs)
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    before = after
    nn.init.normal_(model.image_stream.transformer_blocks[-1].ff.net[2].weight)
    after = run(model, **inputs)
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])


def test_a_new_model_is_silent():
    torch.manual_seed(0)
    for velocity in run(tiny_transformer(), **some_inputs()):
        assert not velocity.any()


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_places_matter_along_every_axis(axis):
    model, inputs = trained_transformer(), some_inputs()
    # A transformer without places would give the rolled output for the rolled input.
    step = 1 if axis == 2 else 2  # whole patches
    names = ("hidden_states", "pose_hidden_states")
    rolled = {**inputs, **{name: inputs[name].roll(step, axis) for name in names}}
    for one, two in zip(run(model, **inputs), run(model, **rolled), strict=True):
        assert (one.roll(step, axis) - two).abs().max() > 1e-4
    for frequencies in (
        model.image_stream.pos_frequencies,
        model.pose_stream.pos_frequencies,
        model.exchange_frequencies,
    ):
        nn.init.zeros_(frequencies)
    for one, two in zip(run(model, **inputs), run(model, **rolled), strict=True):
        # The same numbers, attended in another order.
        torch.testing.assert_close(one.roll(step, axis), two, rtol=1e-4, atol=1e-4)


def test_the_exchange_alone_carries_places():
    model, inputs = trained_transformer(), some_inputs()
    before = run(model, **inputs)
    with torch.no_grad():
        model.exchange_frequencies.mul_(0.5)
    for one, two in zip(run(model, **inputs), before, strict=True):
        assert (one - two).abs().max() > 1e-5


def test_the_pose_grid_may_differ():
    sample, pose_sample = run(trained_transformer(), **some_inputs(pose_grid=(2, 2)))
    assert sample.shape == (2, 12, 3, 4, 6)
    assert pose_sample.shape == (2, 6, 3, 2, 2)


def test_a_batch_is_its_samples():
    model, inputs = trained_transformer(), some_inputs()
    together = run(model, **inputs)
    for index in range(2):
        alone = run(model, **{name: value[index : index + 1] for name, value in inputs.items()})
        for one, two in zip(together, alone, strict=True):
            # Other shapes take other matrix kernels in float32.
            torch.testing.assert_close(one[index : index + 1], two, rtol=1e-4, atol=1e-4)


def test_the_output_class_holds_the_tuple():
    model, inputs = trained_transformer(), some_inputs()
    with torch.no_grad():
        output = model(**inputs)
    sample, pose_sample = run(model, **inputs)
    assert torch.equal(output.sample, sample)
    assert torch.equal(output.pose_sample, pose_sample)


def test_saving_and_loading_changes_nothing(tmp_path):
    model, inputs = trained_transformer(), some_inputs()
    model.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("*.safetensors")]
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".safetensors", ".json")]
    loaded = VideoRFSplatTransformer3DModel.from_pretrained(tmp_path).eval()
    assert dict(loaded.config)["pose_latents_std"] == [0.3, 0.2, 0.1, 0.5, 0.4, 0.3]
    for one, two in zip(run(loaded, **inputs), run(model, **inputs), strict=True):
        assert torch.equal(one, two)


def test_gradient_checkpointing_changes_no_gradient():
    model, inputs = trained_transformer(), some_inputs()

    def gradients():
        model.zero_grad()
        sample, pose_sample = model(**inputs, return_dict=False)
        (sample.square().sum() + pose_sample.square().sum()).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    expected = gradients()
    forwards = []
    for block in model.image_stream.transformer_blocks:
        block.register_forward_pre_hook(lambda *_: forwards.append(1))
    model.enable_gradient_checkpointing()
    found = gradients()
    assert len(forwards) == 8  # four blocks, each once more in the backward pass
    assert expected.keys() == found.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], msg=name)


def test_the_full_size_has_ten_billion_parameters():
    with torch.device("meta"):
        model = VideoRFSplatTransformer3DModel()
        mochi = MochiTransformer3DModel()

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(model.image_stream) == count(mochi) == 10_027_677_744
    assert count(model) == 10_192_262_472
    assert len(model.image_stream.transformer_blocks) == 48
    assert len(model.pose_stream.transformer_blocks) == 16
    assert len(model.exchanges) == 15


def test_frequencies_share_the_head_among_the_axes():
    parameter = nn.Parameter(torch.ones(3, 2, 16))
    initialize_frequencies(parameter)
    frequencies = parameter.detach()
    used = frequencies != 0
    # Every pair of channels turns along one axis only.
    assert (used.sum(0) == 1).all()
    assert used.sum((1, 2)).tolist() == [8, 12, 12]
    assert float(frequencies[0].max()) == pytest.approx(torch.pi)  # two views
    assert float(frequencies[1].max()) == pytest.approx(torch.pi / 16)  # a sixth of 192


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_layers": 6, "pose_num_layers": 4}, "multiple of pose_num_layers"),
        ({"pose_latents_std": (1.0,) * 5}, "6 values each, got 6 and 5"),
    ],
)
def test_rejects_a_config_that_cannot_be_built(config, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        VideoRFSplatTransformer3DModel(**config)
