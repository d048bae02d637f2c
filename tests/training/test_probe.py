"""The probe's entry point end to end, and that a probe learns what it is shown."""

import json

import pytest
import torch
from diffusers import AutoencoderKLMochi
from safetensors.torch import load_file
from tiny import tiny_vae

from videorfsplat.data.worlds import WorldsDataset
from videorfsplat.models.attribute_probe import AttributeProbe
from videorfsplat.training.probe import (
    Damage,
    ProbeTraining,
    _draw_views,
    probe_attributes,
    train_probe,
)
from videorfsplat.training.run import RunConfig
from videorfsplat.training.step_data import StepRandomness

TOY_PROBE = {"sample_size": 32, "num_blocks": 3, "width": 16}


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("autoencoder")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny_vae().save_pretrained(folder)
    assert AutoencoderKLMochi.from_pretrained(folder).config["latent_channels"] == 12
    return str(folder)


def run(output, steps: int = 2) -> RunConfig:
    return RunConfig(
        str(output),
        max_steps=steps,
        batch_size=4,
        learning_rate=3e-3,
        warmup_steps=1,
        ema_decay=0.5,
        log_every=1,
        mixed_precision="no",
    )


def test_exports_a_probe_in_half_precision(worlds_folder, autoencoder, tmp_path):
    settings = ProbeTraining(run(tmp_path), worlds_folder, autoencoder, model=TOY_PROBE)
    folder = train_probe(settings)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"loss", "right", "kind"} <= lines[0].keys()
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert weights["queries"].dtype == torch.float16
    probe = AttributeProbe.from_pretrained(folder)
    dataset = WorldsDataset(worlds_folder)
    seen = probe.eval().read(dataset.frames(0)[None].float() / 255)[0]
    assert seen.keys() == dataset.attributes(0).keys() - {"motion"}


@pytest.mark.slow
def test_learns_four_scenes_by_heart(worlds_folder, autoencoder, tmp_path):
    settings = ProbeTraining(run(tmp_path, 60), worlds_folder, autoencoder, 0.0, model=TOY_PROBE)
    train_probe(settings)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum(line["kind"] for line in lines[-10:]) / 10 > 0.8
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]


def test_worlds_have_a_label_for_every_head(worlds_folder):
    probe = AttributeProbe(**probe_attributes(), **TOY_PROBE)
    dataset = WorldsDataset(worlds_folder)
    for index in range(len(dataset)):
        labels = probe.labels(dataset.attributes(index))
        sizes = [head.out_features for head in probe.heads]
        assert all(0 <= label < size for label, size in zip(labels, sizes, strict=True))
    assert "motion" not in probe.choices


def test_degraded_views_are_near_the_true_ones_and_fixed_by_the_step():
    frames = torch.linspace(0, 1, 32).expand(2, 3, 3, 32, 32)
    one, again, other = (
        Damage.draw(frames, StepRandomness(torch.Generator().manual_seed(seed), 0, 1)).of(frames)
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == frames.shape
    assert 0 <= one.min() <= one.max() <= 1
    # A ramp is not changed by blur but at its ends; the noise is at most 0.04.
    assert (one - frames).square().mean().sqrt() < 0.05


def test_two_shares_of_a_batch_are_the_batch_of_one_process(worlds_folder, tmp_path):
    dataset = WorldsDataset(worlds_folder)
    settings = ProbeTraining(run(tmp_path), worlds_folder, "unused")

    def drawn(index: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        randomness = StepRandomness(torch.Generator().manual_seed(5), index, number)
        rows = [0, 0, 1, 1][index::number]
        views = _draw_views(dataset, rows, settings, randomness)
        return views, Damage.draw(views, randomness).of(views)

    whole, parts = drawn(0, 1), [drawn(index, 2) for index in range(2)]
    for value, *shares in zip(whole, *parts, strict=True):
        torch.testing.assert_close(torch.stack(shares, 1).flatten(0, 1), value)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"num_views": 9}, "num_views must be from 1 to 3, got 9"),
        ({"reconstructed_share": 1.5}, r"reconstructed_share must lie in \[0, 1\], got 1.5"),
    ],
)
def test_rejects_settings_that_do_not_fit(worlds_folder, tmp_path, changed, complaint):
    settings = ProbeTraining(run(tmp_path / "run"), worlds_folder, "none", **changed)
    with pytest.raises(ValueError, match=complaint):
        train_probe(settings)
    assert not (tmp_path / "run").exists()
