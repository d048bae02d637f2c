"""Every entry point, end to end on four small scenes: data in, an exported model out."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLMochi
from PIL import Image
from tiny import save_tiny_bert, save_tiny_text, tiny_pipeline

from videorfsplat.__main__ import main
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.one_frame import encode_frames
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.training.autoencoder import (
    MINI_AUTOENCODER,
    AutoencoderTraining,
    train_autoencoder,
)
from videorfsplat.training.decoder import DecoderTraining, train_decoder
from videorfsplat.training.flow_matching import TimeDistribution
from videorfsplat.training.joint import JointTraining, _open_data, train_joint
from videorfsplat.training.probe import ProbeTraining, train_probe
from videorfsplat.training.run import RunConfig
from videorfsplat.training.sheets import save_sheet
from videorfsplat.training.text_encoder import TextEncoderTraining, train_text_encoder

TOY_AUTOENCODER = {
    **MINI_AUTOENCODER,
    "encoder_block_out_channels": (32, 32, 32, 32),
    "decoder_block_out_channels": (32, 32, 32, 32),
    "layers_per_block": (0, 1, 1, 1, 1),
}
TOY_TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "pooled_projection_dim": 16,
    "pose_num_attention_heads": 2,
    "pose_attention_head_dim": 8,
    "pose_num_layers": 2,
    "pose_pooled_projection_dim": 8,
    "exchange_num_heads": 2,
    "exchange_head_dim": 8,
    "text_embed_dim": 16,
    "time_embed_dim": 16,
    "max_sequence_length": 32,
}


def two_steps(output, batch_size=2) -> RunConfig:
    return RunConfig(
        output=str(output),
        max_steps=2,
        batch_size=batch_size,
        warmup_steps=1,
        ema_decay=0.5,
        log_every=1,
    )


@pytest.fixture(scope="module")
def autoencoder(worlds_folder, tmp_path_factory) -> Path:
    run = two_steps(tmp_path_factory.mktemp("autoencoder"), batch_size=4)
    return train_autoencoder(
        AutoencoderTraining(run, worlds_folder, crop=16, model=TOY_AUTOENCODER)
    )


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory) -> Path:
    return save_tiny_text(tmp_path_factory.mktemp("text"))


def check_log(model_folder: Path, *terms: str) -> None:
    """Two lines with all terms, all finite."""
    lines = (model_folder.parent / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    for line in map(json.loads, lines):
        assert {"loss", "grad_norm", "seconds"} <= line.keys()
        assert all(math.isfinite(value) for value in line.values())
    assert set(terms) <= json.loads(lines[-1]).keys()


def sheet_size(model_folder: Path) -> tuple[int, int]:
    with Image.open(model_folder.parent / "sheet-0000002.png") as sheet:
        return sheet.size


def test_train_autoencoder(autoencoder, worlds_folder):
    check_log(autoencoder, "l1", "gradient", "perceptual", "kl", "psnr")
    assert sheet_size(autoencoder) == (4 * 32 * 2, 2 * 32 * 2)  # four scenes, in and out, zoom 2
    vae = AutoencoderKLMochi.from_pretrained(autoencoder)
    assert len(vae.config["latents_mean"]) == len(vae.config["latents_std"]) == 12
    assert min(vae.config["latents_std"]) > 0
    # The statistics are those of the exported weights on the data's first views.
    from videorfsplat.data.worlds import WorldsDataset

    dataset = WorldsDataset(worlds_folder)
    frames = torch.stack([dataset.frames(index)[0] for index in range(4)]).float() / 127.5 - 1
    with torch.no_grad():
        means = encode_frames(vae, frames)[:, :12]
    expected = torch.tensor(vae.config["latents_mean"])
    torch.testing.assert_close(means.mean((0, 2, 3)), expected, rtol=1e-4, atol=1e-5)


def test_a_fixed_encoder_stays_bit_for_bit(autoencoder, worlds_folder, tmp_path):
    settings = AutoencoderTraining(
        two_steps(tmp_path), worlds_folder, crop=16, train_encoder=False, init=str(autoencoder)
    )
    marked = AutoencoderKLMochi.from_pretrained(autoencoder)
    # Unlike anything that this data has: the latent space is that of other data.
    marked.register_to_config(latents_mean=[0.5] * 12, latents_std=[2.0] * 12)
    marked.save_pretrained(tmp_path / "other")
    settings = replace(settings, init=str(tmp_path / "other"))
    trained = AutoencoderKLMochi.from_pretrained(train_autoencoder(settings))
    before, after = marked.state_dict(), trained.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert trained.config.latents_mean == marked.config.latents_mean
    assert trained.config.latents_std == marked.config.latents_std


@pytest.mark.parametrize("crop", [12, 40, 0])
def test_rejects_a_crop_that_cannot_be_taken(worlds_folder, tmp_path, crop):
    settings = AutoencoderTraining(two_steps(tmp_path / "run"), worlds_folder, crop=crop)
    with pytest.raises(ValueError, match=f"multiple of 8 up to 32, got {crop}"):
        train_autoencoder(settings)
    assert not (tmp_path / "run").exists()


def test_worlds_take_the_texts_of_a_pipeline_in_the_precision_of_the_processor(
    worlds_folder, autoencoder, tmp_path, monkeypatch
):
    pipeline = tiny_pipeline()
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(tmp_path / "pipeline")
    # The hub is asked for an id as for any part of a published pipeline.
    monkeypatch.setattr(
        "videorfsplat.models.published._fetch", lambda hub_id, *_: tmp_path / "pipeline"
    )
    settings = JointTraining(
        two_steps(tmp_path / "run"), worlds_folder, str(autoencoder), "someone/a-model", 32, 3
    )
    scenes, text, _ = _open_data(settings)
    assert text.text_encoder is scenes.text_encoder
    assert {weight.dtype for weight in scenes.text_encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize("num_views", [1, 3])
def test_train_joint(worlds_folder, autoencoder, text_encoder, tmp_path, num_views):
    times = TimeDistribution(mean=0.3, pose_mean=1.1)
    settings = JointTraining(
        two_steps(tmp_path),
        worlds_folder,
        str(autoencoder),
        str(text_encoder),
        size=32,
        num_views=num_views,
        times=times,
        model=TOY_TRANSFORMER,
    )
    folder = train_joint(settings)
    check_log(folder, "image", "pose")
    # Sixteen prompts: a row of views each, or two rows of single views.
    rows, columns = (2, 8) if num_views == 1 else (16, num_views)
    assert sheet_size(folder) == (columns * 32 * 2, rows * 32 * 2)
    assert len((tmp_path / "sheet-0000002.txt").read_text().splitlines()) == 16
    model = VideoRFSplatTransformer3DModel.from_pretrained(folder)
    assert model.config["num_views"] == num_views
    assert list(model.config["sample_size"]) == [4, 4]
    assert min(model.config["pose_latents_std"]) > 0
    kept = (model.config["timetable_shift"], model.config["timetable_pose_shift"])
    assert kept == pytest.approx(times.shifts(num_views))
    assert model.image_stream.proj_out.weight.any()
    assert model.pose_stream.proj_out.weight.any()


def test_train_joint_from_single_views_to_several(
    worlds_folder, autoencoder, text_encoder, tmp_path
):
    torch.manual_seed(0)
    start = VideoRFSplatTransformer3DModel(**TOY_TRANSFORMER, pose_latents_std=(2.0,) * 6)
    start.save_pretrained(tmp_path / "start")
    settings = JointTraining(
        two_steps(tmp_path / "run"),
        worlds_folder,
        str(autoencoder),
        str(text_encoder),
        size=16,
        num_views=2,
        init=str(tmp_path / "start"),
    )
    model = VideoRFSplatTransformer3DModel.from_pretrained(train_joint(settings))
    # The statistics of the weights it started from stay; views and size are the new ones.
    assert list(model.config["pose_latents_std"]) == [2.0] * 6
    assert model.config["num_views"] == 2
    assert list(model.config["sample_size"]) == [2, 2]
    # Two steps have not led far away.
    before = start.image_stream.patch_embed.proj.weight
    assert 0 < (model.image_stream.patch_embed.proj.weight - before).abs().max() < 0.1


def test_train_joint_with_single_views_beside_scenes(
    worlds_folder, autoencoder, text_encoder, tmp_path
):
    settings = JointTraining(
        two_steps(tmp_path),
        worlds_folder,
        str(autoencoder),
        str(text_encoder),
        size=16,
        num_views=2,
        single_views=3,
        model=TOY_TRANSFORMER,
    )
    check_log(train_joint(settings), "image", "pose", "single")
    for line in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines()):
        parts = line["image"] + settings.pose_weight * line["pose"] + line["single"]
        assert line["loss"] == pytest.approx(parts, rel=1e-4)  # five digits are written


def test_train_joint_rejects_more_views_than_there_are(worlds_folder, tmp_path):
    settings = JointTraining(two_steps(tmp_path), worlds_folder, "none", "none", num_views=8)
    with pytest.raises(ValueError, match="num_views must be from 1 to 3, got 8"):
        train_joint(settings)


def test_train_decoder(worlds_folder, autoencoder, tmp_path):
    settings = DecoderTraining(
        two_steps(tmp_path, batch_size=1),
        worlds_folder,
        str(autoencoder),
        depth_steps=1,  # then one step on rendered views
        model={"num_attention_layers": 1, "attention_head_dim": 16},
    )
    folder = train_decoder(settings)
    check_log(folder, "l1", "depth", "perceptual", "psnr")
    # Four scenes, true and rendered rows of three views and two novel ones.
    assert sheet_size(folder) == (5 * 32 * 2, 8 * 32 * 2)
    decoder = GaussianDecoder.from_pretrained(folder)
    vae = AutoencoderKLMochi.from_pretrained(autoencoder)
    assert list(decoder.config["latents_mean"]) == list(vae.config["latents_mean"])
    start = GaussianDecoder.from_autoencoder(vae, **settings.model)
    assert not torch.equal(decoder.trunk.proj_out.weight, start.trunk.proj_out.weight)
    assert decoder.rays_in.weight.any()


def test_train_decoder_rejects_more_novel_views_than_there_are(worlds_folder, tmp_path):
    settings = DecoderTraining(two_steps(tmp_path), worlds_folder, "none", novel_views=5)
    with pytest.raises(ValueError, match="has 2 novel views a scene, 5 are asked for"):
        train_decoder(settings)


def test_a_sheet_is_rows_of_frames_enlarged(tmp_path):
    row = torch.stack([torch.full((3, 2, 4), value) for value in (-1.0, 0.0, 2.0)])
    save_sheet([row, row.flip(0)], tmp_path / "sheet.png", zoom=3)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 4 * 3, 2 * 2 * 3)
        places = [(0, 0), (12, 0), (35, 5), (0, 6), (35, 11)]
        assert [sheet.getpixel(place)[0] for place in places] == [0, 128, 255, 255, 0]


@pytest.mark.parametrize("part", ["autoencoder", "decoder", "joint", "probe"])
def test_an_argument_that_the_model_does_not_take_is_named_before_any_work(part, tmp_path, capsys):
    options = ["--output", tmp_path / "run", "--data", tmp_path / "nowhere", "--max-steps", 1]
    folders = {"decoder": ["--autoencoder"], "probe": ["--autoencoder"]}
    folders["joint"] = ["--autoencoder", "--text-encoder"]
    options += [word for name in folders.get(part, []) for word in (name, tmp_path / "nowhere")]
    words = ["train", part, *options, "--batch-size", 1, "--model", '{"widht": 3}']
    assert main([*map(str, words)]) == 2
    assert "takes no widht; it takes " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


NOWHERE = {"data": "nowhere", "autoencoder": "nowhere"}
ENTRIES = {
    train_autoencoder: (AutoencoderTraining, {"data": "nowhere"}),
    train_text_encoder: (TextEncoderTraining, {"pretrained": "nowhere", "captions": 1}),
    train_decoder: (DecoderTraining, NOWHERE),
    train_joint: (JointTraining, {**NOWHERE, "text_encoder": "nowhere"}),
    train_probe: (ProbeTraining, NOWHERE),
}


@pytest.mark.parametrize("train", ENTRIES)
def test_a_run_is_checked_before_its_data_is_opened(train, tmp_path):
    settings_class, folders = ENTRIES[train]
    settings = settings_class(two_steps(tmp_path), **folders)
    (tmp_path / "config.json").write_text('{"seed": 7}')
    with pytest.raises(ValueError, match=r"other settings .*seed: 7 → 0"):
        train(settings)
    run = replace(settings.run, accumulation_steps=3)
    with pytest.raises(ValueError, match=r"multiple of processes times .* \(3\), got 2"):
        train(replace(settings, run=run))


def test_a_changed_setting_is_refused_before_latents_are_cached(
    worlds_folder, autoencoder, tmp_path
):
    data = shutil.copytree(worlds_folder, tmp_path / "data")
    before = [*data.glob("latents-*")]
    run = two_steps(tmp_path / "run")
    settings = JointTraining(run, str(data), str(autoencoder), "nowhere", size=24, num_views=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text('{"pose_weight": 2.0}')
    with pytest.raises(ValueError, match=r"pose_weight: 2\.0 → 0\.5"):
        train_joint(settings)
    assert [*data.glob("latents-*")] == before


@pytest.mark.parametrize(
    ("settings_class", "folders"), [ENTRIES[train_autoencoder], ENTRIES[train_decoder]]
)
def test_a_model_to_start_from_has_arguments_of_its_own(settings_class, folders, tmp_path):
    chosen = {**folders, "init": "start"}
    settings_class(two_steps(tmp_path), **chosen)
    model = TOY_AUTOENCODER if settings_class is AutoencoderTraining else {"far": 50.0}
    with pytest.raises(ValueError, match="no effect together with init: start has"):
        settings_class(two_steps(tmp_path), **chosen, model=model)


def test_a_transformer_to_start_from_has_arguments_of_its_own(tmp_path):
    VideoRFSplatTransformer3DModel(**TOY_TRANSFORMER).save_pretrained(tmp_path / "start")
    folders = {**NOWHERE, "text_encoder": "nowhere", "init": str(tmp_path / "start")}
    settings = JointTraining(two_steps(tmp_path / "run"), **folders, model=TOY_TRANSFORMER)
    with pytest.raises(ValueError, match=r"no effect together with init: .*start has"):
        train_joint(settings)


class Stopped(Exception):
    """Raised where a run would begin."""


@pytest.mark.parametrize("part", ["text_encoder", "probe"])
def test_the_weight_decay_is_that_of_the_run(
    part, worlds_folder, autoencoder, tmp_path, monkeypatch
):
    def stop(config, model, optimizers, details):
        (optimizer,) = optimizers
        raise Stopped({group["weight_decay"] for group in optimizer.param_groups})

    monkeypatch.setattr(f"videorfsplat.training.{part}.TrainingRun", stop)
    run = replace(two_steps(tmp_path / "run"), weight_decay=0.3)
    if part == "probe":
        model = {"sample_size": 32, "num_blocks": 3, "width": 16}
        train, settings = train_probe, ProbeTraining(run, worlds_folder, str(autoencoder))
        settings = replace(settings, model=model)
    else:
        train, bert = train_text_encoder, str(save_tiny_bert(tmp_path / "bert"))
        settings = TextEncoderTraining(run, bert, captions=1, vocabulary_size=1500)
    with pytest.raises(Stopped, match=r"^\{0\.3\}$"):
        train(settings)
