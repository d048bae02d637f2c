"""The Gaussian decoder on scenes that the model made: written by the command, read, trained."""

import dataclasses
import json
import math

import pytest
import torch
from tiny import HEIGHT, NUM_VIEWS, WIDTH, tiny_pipeline

from videorfsplat.__main__ import main
from videorfsplat.data.worlds.dataset import write_worlds
from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.generation.loading import load_pipeline
from videorfsplat.generation.scene import LATENTS_NAME, RECORD_NAME, Scene
from videorfsplat.training.decoder import DecoderTraining, train_decoder
from videorfsplat.training.generated_views import GeneratedViews
from videorfsplat.training.run import RunConfig


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def generated(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    prompts = folder / "prompts.txt"
    prompts.write_text("a red house\na blue lake\n")
    words = ["generate", "--prompts", prompts, "--output", folder / "scenes", "--model", model]
    options = ["--steps", "2", "--no-video", "--latents", "--device", "cpu"]
    assert main([*map(str, words), *options]) == 0
    return folder / "scenes"


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_frames_are_those_of_the_latents(model, generated):
    pipeline = load_pipeline(model, "cpu")
    views = GeneratedViews(generated, novel_views=2).read(1, generator(0))
    decoded = pipeline.decode_frames(views.latents)[0]
    # Frames are kept in 8 bits: half a level, and rounding in the convolutions.
    torch.testing.assert_close(decoded, views.frames / 255, atol=0.6 / 255, rtol=0)
    assert views.frames.shape == (len(decoded), 3, HEIGHT, WIDTH)


def test_draws_half_of_the_views_or_more_and_holds_back_the_others(generated):
    scenes = GeneratedViews(generated, novel_views=1)
    cameras = load_transforms(generated / "000000/transforms.json")
    whole = Scene.load(generated / "000000").frames
    counts = set()
    for seed in range(20):
        views = scenes.read(0, generator(seed))
        places = [_place(viewmat, cameras) for viewmat in views.cameras.viewmats]
        assert places == sorted(places)
        assert (views.frames.permute(0, 2, 3, 1).numpy() == whole[places]).all()
        (held_back,) = (_place(viewmat, cameras) for viewmat in views.novel_cameras.viewmats)
        assert held_back not in places or len(places) == NUM_VIEWS
        assert views.depths.isnan().all()
        counts.add(len(places))
    assert counts == {2, 3}


def _place(viewmat, cameras) -> int:
    (place,) = (cameras.viewmats == viewmat).flatten(1).all(1).nonzero()
    return int(place)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_batch_takes_its_share_of_generated_scenes(generated, model, tmp_path, share):
    write_worlds(tmp_path / "worlds", 0, 2, num_views=NUM_VIEWS, size=32, extra_views=2)
    run = RunConfig(output=str(tmp_path / "run"), max_steps=1, batch_size=2, log_every=1)
    asked = DecoderTraining(
        run,
        str(tmp_path / "worlds"),
        model,
        init=model,
        depth_steps=0,
        generated=str(generated),
        generated_share=share,
    )
    train_decoder(asked)
    (line,) = (json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines())
    assert all(math.isfinite(value) for value in line.values())
    # Depth is known in worlds, and of generated scenes it is not.
    assert (line["depth"] == 0) == (share == 1)


def test_a_run_from_before_the_optimizer_could_be_chosen_goes_on_by_adamw(model, tmp_path):
    write_worlds(tmp_path / "worlds", 0, 2, num_views=NUM_VIEWS, size=32, extra_views=2)
    run = RunConfig(output=str(tmp_path / "run"), max_steps=1, batch_size=1)
    asked = DecoderTraining(run, str(tmp_path / "worlds"), model, init=model, optimizer="adamw")
    train_decoder(asked)
    record = tmp_path / "run/config.json"
    settings = json.loads(record.read_text())
    del settings["optimizer"]
    record.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="optimizer"):
        train_decoder(dataclasses.replace(asked, optimizer="muon"))
    train_decoder(asked)


def test_scenes_without_latents_and_unfinished_ones_are_passed_over(generated, tmp_path):
    with pytest.raises(ValueError, match=r"no scenes with latents\.safetensors: make some"):
        GeneratedViews(tmp_path, 1)
    for name, files in (("a", [LATENTS_NAME]), ("b", [LATENTS_NAME, RECORD_NAME])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    assert [scene.name for scene in GeneratedViews(tmp_path, 1).scenes] == ["b"]


def test_a_share_lies_between_nothing_and_all(tmp_path):
    with pytest.raises(ValueError, match=r"generated_share must lie in \[0, 1\], got 1.5"):
        DecoderTraining(RunConfig(str(tmp_path), 1, 1), "data", "model", generated_share=1.5)
