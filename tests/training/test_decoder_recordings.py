"""The Gaussian decoder on recordings: held-back frames, depth at points, broken scenes named."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from full_size import launch_two, training_words, write_recordings
from PIL import Image
from recordings import film, write_nerfstudio
from tiny import tiny_vae

from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.training.bad_samples import read_this_or_next
from videorfsplat.training.decoder import (
    DecoderTraining,
    _draw_scenes,
    _encode,
    train_decoder,
)
from videorfsplat.training.decoder_scenes import RecordedViews, open_decoder_scenes
from videorfsplat.training.run import RunConfig
from videorfsplat.training.step_data import StepRandomness

SAMPLING = ViewSampling(num_views=3, height=32, width=48)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two clips, a broken nerfstudio folder, a whole one, a COLMAP folder; in this order."""
    root = tmp_path_factory.mktemp("recordings")
    write_recordings(root)
    write_nerfstudio(film(), root / "hall")
    path = root / "hall/images/frame_00003.png"
    path.write_bytes(path.read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("autoencoder")
    torch.manual_seed(0)
    tiny_vae().save_pretrained(folder)
    return str(folder)


def settings(output, data, autoencoder, **changed) -> DecoderTraining:
    run = RunConfig(
        output=str(output), max_steps=2, batch_size=2, warmup_steps=1, ema_decay=0.5, log_every=1
    )
    model = {"num_attention_layers": 1, "attention_head_dim": 16, "far": 50.0}
    chosen = {"sampling": SAMPLING, "model": model, **changed}
    return DecoderTraining(run, str(data), autoencoder, **chosen)


def log_of(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_trains_on_rendered_views_and_held_back_frames(data, autoencoder, tmp_path):
    asked = settings(tmp_path, data, autoencoder, depth_steps=1)
    folder = train_decoder(asked)
    first, second = log_of(tmp_path)
    assert "psnr" not in first
    assert {"l1", "depth", "perceptual", "psnr"} <= second.keys()
    assert all(math.isfinite(value) for line in (first, second) for value in line.values())
    with Image.open(tmp_path / "sheet-0000002.png") as sheet:
        # Four scenes, true and rendered rows of three views and two held back.
        assert sheet.size == (5 * 48 * 2, 8 * 32 * 2)
    decoder = GaussianDecoder.from_pretrained(folder)
    start = GaussianDecoder.from_autoencoder(tiny_vae(), **asked.model)
    assert not torch.equal(decoder.trunk.proj_out.weight, start.trunk.proj_out.weight)
    recorded = json.loads((tmp_path / "config.json").read_text())
    assert (recorded["num_views"], recorded["height"]) == (3, 32)


@pytest.mark.slow
def test_two_processes_train_one_decoder(data, autoencoder, tmp_path):
    asked = settings(tmp_path / "run", data, autoencoder, depth_steps=1)
    assert launch_two(training_words("decoder", asdict(asked)), 29631).wait() == 0
    assert [line["step"] for line in log_of(tmp_path / "run")] == [1, 2]
    assert all(math.isfinite(v) for line in log_of(tmp_path / "run") for v in line.values())
    decoder = GaussianDecoder.from_pretrained(tmp_path / "run/model")
    assert decoder.rays_in.weight.any()


def test_without_depth_the_colours_alone_are_taught(data, autoencoder, tmp_path):
    train_decoder(settings(tmp_path, data / "clips", autoencoder, depth_steps=2, novel_views=0))
    for line in log_of(tmp_path):
        assert line["depth"] == 0.0
        assert line["loss"] == line["l1"] > 0


def test_depth_is_known_at_the_points_of_a_model_only(data, tmp_path):
    scenes = RecordedViews(data, SAMPLING, 2, tmp_path)
    names = [scene.name for scene in scenes.scenes]
    assert names == ["clips/train/a", "clips/train/b", "hall", "room", "vase"]
    for place, name in enumerate(names):
        if name != "hall":
            known = (~scenes.read(place, generator()).depths.isnan()).sum()
            assert (known > 30) if name == "vase" else (known == 0)


def test_views_follow_the_generator(data, tmp_path):
    scenes = RecordedViews(data, SAMPLING, 2, tmp_path)
    first, again, other = (scenes.read(0, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.novel_frames, again.novel_frames)
    assert torch.equal(first.cameras.viewmats, again.cameras.viewmats)
    assert not torch.equal(first.cameras.viewmats, other.cameras.viewmats)


def test_two_shares_of_a_batch_are_the_batch_of_one_process(data, tmp_path):
    scenes, vae = RecordedViews(data, SAMPLING, 2, tmp_path), tiny_vae()
    asked = settings(tmp_path, data, "unused", source_views=1, novel_views=1)

    def drawn(index: int, number: int) -> list:
        rows = [(scenes, 0), (scenes, 0)][index::number]
        shares = _draw_scenes(rows, vae, asked, StepRandomness(generator(), index, number))
        return [_encode(scene, vae) for scene in shares]

    whole = drawn(0, 1)
    for one, two in zip(whole, drawn(0, 2) + drawn(1, 2), strict=True):
        torch.testing.assert_close(one.latents, two.latents)
        assert torch.equal(one.targets, two.targets)
    # One recording twice: of other windows, with other noise.
    assert not torch.equal(whole[0].cameras.viewmats, whole[1].cameras.viewmats)


def test_a_scene_that_cannot_be_read_is_replaced_and_named(data, tmp_path):
    # Eight views and two held back are all ten frames.
    scenes = RecordedViews(
        data, ViewSampling(num_views=8, height=32, width=48), 2, tmp_path / "run"
    )
    views = scenes.read(2, generator())
    assert torch.equal(views.frames, scenes.read(3, generator()).frames)
    (line,) = (tmp_path / "run/bad-samples.jsonl").read_text().splitlines()
    assert json.loads(line)["sample"] == 2
    assert "hall/images/frame_00003.png: not a picture, or damaged" in json.loads(line)["error"]


def test_nothing_readable_is_an_error(tmp_path):
    def read(index):
        raise ValueError(f"scene {index} is torn")

    with pytest.raises(ValueError, match="none of 3 samples can be read; the last: scene 0 is"):
        read_this_or_next(read, 1, 3, tmp_path)
    lines = (tmp_path / "bad-samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["sample"] for line in lines] == [1, 2, 0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such folder"),
        ("notes.txt", "no scenes; expected transforms.json"),
        ("manifest.json", "a cache of latents, without frames: name the folder of the recordings"),
    ],
)
def test_folders_of_something_else_are_refused(tmp_path, content, complaint):
    folder = tmp_path / "data"
    if content:
        folder.mkdir()
        (folder / content).write_text("{}")
    with pytest.raises(ValueError, match=complaint):
        open_decoder_scenes(folder, SAMPLING, 2, tmp_path / "run")
    assert not (tmp_path / "run").exists()
