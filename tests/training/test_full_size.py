"""From raw recordings and a published Mochi to a trained checkpoint, by one process and by two."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from full_size import (
    POSE_STREAM,
    kill_two,
    launch_two,
    save_mochi,
    training_words,
    write_recordings,
)
from safetensors.torch import load_file
from tiny import tiny_pipeline

from videorfsplat.__main__ import main
from videorfsplat.models.convert_mochi import convert_mochi
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.training.joint import JointTraining, train_joint
from videorfsplat.training.run import RunConfig

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds `mochi`, `data` and `cache`; not to be changed."""
    folder = tmp_path_factory.mktemp("full-size")
    save_mochi(folder / "mochi")
    write_recordings(folder / "data")
    assert main(cache_command(folder, folder / "cache")) == 0
    return folder


def cache_command(folder: Path, output: Path) -> list[str]:
    command = ["data", "cache", folder / "data", "--output", output]
    command += ["--captions", folder / "data/captions.jsonl", "--autoencoder", folder / "mochi"]
    command += ["--text-encoder", folder / "mochi", "--num-views", 3, "--height", 32]
    command += ["--width", 48, "--draws", 2, "--scenes-per-shard", 2, "--verify"]
    return [str(word) for word in command]


def settings(folder: Path, output: Path, run: dict | None = None, **changed) -> dict:
    config = {
        "output": str(output),
        "max_steps": 3,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "ema_decay": 0.5,
        "mixed_precision": "no",
        "log_every": 1,
        "sheet_minutes": 1e9,
    }
    return {
        "run": config | (run or {}),
        "data": str(folder / "cache"),
        "autoencoder": str(folder / "mochi"),
        "text_encoder": str(folder / "mochi"),
        "init": str(folder / "mochi"),
        "num_views": 3,
        "optimizer": "adamw",
        "model": POSE_STREAM,
        **changed,
    }


def train(values: dict) -> Path:
    # Fixtures of the module and its tests differ in precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    values = dict(values)
    return train_joint(JointTraining(RunConfig(**values.pop("run")), **values))


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output / "log.jsonl").read_text().splitlines()]


def test_everything_is_trained_from_mochi_on(folder, tmp_path):
    exported = train(settings(folder, tmp_path / "run", gradient_checkpointing=True))
    model = VideoRFSplatTransformer3DModel.from_pretrained(exported)
    mochi = convert_mochi(folder / "mochi", **POSE_STREAM)
    for stream in ("image_stream", "pose_stream"):
        before, after = getattr(mochi, stream).proj_out, getattr(model, stream).proj_out
        assert 0 < (after.weight - before.weight).abs().max() < 0.1
    assert (model.config["num_views"], list(model.config["sample_size"])) == (3, [4, 6])
    assert min(model.config["pose_latents_std"]) > 0
    assert losses(tmp_path / "run")[0] > 1
    # A sheet of three views for each of four captions.
    lines = (tmp_path / "run/sheet-0000003.txt").read_text().splitlines()
    assert sorted(lines) == ["a blue house", "a green house", "a red house", "a two house"]


def test_gradient_checkpointing_changes_nothing_but_memory(folder, tmp_path):
    train(settings(folder, tmp_path / "plain", {"max_steps": 2}))
    train(settings(folder, tmp_path / "spared", {"max_steps": 2}, gradient_checkpointing=True))
    assert losses(tmp_path / "plain") == losses(tmp_path / "spared")


@pytest.fixture(scope="module")
def lora_run(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("lora")
    run = {"mixed_precision": "bf16"}
    values = settings(folder, output, run, lora_rank=4, image_dtype="bfloat16")
    return train(values), output / "lora"


def test_lora_leaves_the_weights_of_mochi_as_they_are(folder, lora_run):
    exported, lora = lora_run
    model = VideoRFSplatTransformer3DModel.from_pretrained(exported)
    mochi = convert_mochi(folder / "mochi", dtype=torch.bfloat16, **POSE_STREAM)
    found = model.image_stream.state_dict()
    for name, weight in mochi.image_stream.state_dict().items():
        assert torch.equal(found[name].bfloat16(), weight), name
    assert model.pose_stream.proj_out.weight.any()
    assert model.exchanges[0].to_pose.to_out.weight.any()
    layers = load_file(lora / "pytorch_lora_weights.safetensors")
    # Two matrices for each of four layers of each of four blocks.
    assert len(layers) == 2 * 4 * 4
    assert all(".image_stream.transformer_blocks." in name for name in layers)
    assert any(weight.any() for name, weight in layers.items() if "lora_B" in name)


def test_lora_checkpoints_load_by_load_lora_weights(folder, lora_run):
    exported, lora = lora_run
    pipeline = tiny_pipeline()
    pipeline.transformer = VideoRFSplatTransformer3DModel.from_pretrained(exported)
    prompt = {"prompt": "a red house", "num_inference_steps": 2, "output_type": "latent"}

    def latents():
        return pipeline(**prompt, generator=torch.Generator().manual_seed(0)).latents

    plain = latents()
    pipeline.load_lora_weights(lora)
    added = latents()
    assert not torch.equal(plain, added)
    # Merged by hand: W + B A, as the scale is 1.
    layers = load_file(lora / "pytorch_lora_weights.safetensors")
    merged = VideoRFSplatTransformer3DModel.from_pretrained(exported)
    for name in layers:
        if ".lora_A." in name:
            module = merged.get_submodule(name.split(".lora_A.")[0].removeprefix("transformer."))
            with torch.no_grad():
                module.weight += layers[name.replace("lora_A", "lora_B")] @ layers[name]
    pipeline.transformer = merged
    torch.testing.assert_close(latents(), added, rtol=1e-3, atol=1e-4)
    pipeline.transformer = VideoRFSplatTransformer3DModel.from_pretrained(exported)
    assert torch.equal(latents(), plain)


def test_the_command_trains_from_mochi(folder, tmp_path, capsys):
    values = settings(folder, tmp_path / "run", {"max_steps": 1})
    run = values.pop("run")
    words = []
    for name, value in {**run, **values}.items():
        text = json.dumps(value) if isinstance(value, dict) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    assert main(["train", "joint", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == str(tmp_path / "run/model")


OTHER_TEXT = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "pooled_projection_dim": 16,
    "text_embed_dim": 8,
    "time_embed_dim": 16,
    **POSE_STREAM,
}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"init": "no-such-owner/model"}, "no-such-owner/model is no folder, and the hub"),
        ({"model": {"num_layers": 2}}, "decides num_layers"),
        ({"num_views": 4}, "num_views must be from 1 to 3, got 4"),
        ({"init": None, "model": OTHER_TEXT}, "takes token states of 8 numbers, those .* have 16"),
        ({"lora_rank": 2, "lora_targets": "to_x"}, "the attention has no layers to_x"),
        ({"lora_rank": 2, "init": None}, "lora_rank needs init"),
        ({"image_dtype": "bfloat16"}, "it needs lora_rank and"),
        ({"image_dtype": "bfloat16", "lora_rank": 2}, "and mixed_precision bf16"),
        ({"optimizer": "sgd"}, "optimizer must be muon or adamw"),
        (
            {"single_views": 3, "run": {"accumulation_steps": 2}},
            r"single_views must be a multiple of processes times acc.* \(2\), got 3",
        ),
        ({"run": {"tracker": "abacus"}}, "tracker 'abacus' is not installed or unknown"),
        ({"run": {"accumulation_steps": 3}}, r"multiple of processes times acc.* \(3\), got 4"),
    ],
)
def test_bad_settings_are_refused(folder, tmp_path, changed, complaint):
    run = changed.pop("run", None) if "run" in changed else None
    with pytest.raises(ValueError, match=complaint):
        train(settings(folder, tmp_path, run, **changed))
    assert not (tmp_path / "log.jsonl").exists()


def test_a_stale_cache_is_refused_before_training(folder, tmp_path):
    shutil.copytree(folder / "mochi", tmp_path / "mochi")
    shutil.rmtree(tmp_path / "mochi" / "vae")
    other = tiny_pipeline(seed=5)
    other.vae.save_pretrained(tmp_path / "mochi" / "vae")
    with pytest.raises(ValueError, match="a stale cache"):
        train(settings(folder, tmp_path / "run", autoencoder=str(tmp_path / "mochi")))


# --- several processes ----------------------------------------------------------------------------


def launch(values: dict, port: int, **environment: str) -> subprocess.Popen:
    """Two processes of a training run."""
    return launch_two(training_words("joint", values), port, **environment)


@pytest.mark.slow
def test_two_processes_write_the_cache_of_one(folder, tmp_path):
    command = cache_command(folder, tmp_path / "cache")
    assert launch_two(["-m", "videorfsplat", *command], 29620).wait() == 0
    one, two = folder / "cache", tmp_path / "cache"
    names = sorted(path.name for path in one.iterdir())
    assert len(names) == 5  # the manifest, and two shards of two files
    assert sorted(path.name for path in two.iterdir()) == names
    for name in names:
        if name.endswith(".json"):
            assert _read_record(one / name) == _read_record(two / name)
        else:
            # Other numbers of threads sum in another order; embeddings are kept in bfloat16.
            found, expected = load_file(two / name), load_file(one / name)
            torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)


def _read_record(path: Path) -> dict[str, Any]:
    """A record without the checksum of its tensors."""
    return {k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"}


@pytest.fixture(scope="module")
def two_processes(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("two") / "run"
    assert launch(settings(folder, output), 29621).wait() == 0
    return output


@pytest.mark.slow
@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_two_processes_train_as_one_does(folder, two_processes, tmp_path, accumulation_steps):
    train(settings(folder, tmp_path / "one", {"accumulation_steps": accumulation_steps}))
    # Sums in another order; the loss is of order 1.
    assert losses(two_processes) == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = (load_file(path / "model" / WEIGHTS) for path in (tmp_path / "one", two_processes))
    assert one.keys() == two.keys()
    # Adam divides by the size of the gradient: where that is rounding, signs differ. Three steps of
    # 1e-3 at most.
    differences = torch.cat([(one[name] - two[name]).abs().flatten() for name in one])
    assert differences.max() < 6e-3
    assert differences.median() < 1e-5


SHARDED = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}
"""What `accelerate launch --use_fsdp --fsdp_version 2` tells its processes."""


@pytest.fixture(scope="module")
def two_shards(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("shards") / "run"
    assert launch(settings(folder, output), 29624, **SHARDED).wait() == 0
    return output


@pytest.mark.slow
def test_a_model_in_two_shards_trains_as_a_whole_one(two_processes, two_shards):
    assert losses(two_shards) == pytest.approx(losses(two_processes), rel=1e-4)
    one, two = (load_file(path / "model" / WEIGHTS) for path in (two_processes, two_shards))
    assert one.keys() == two.keys()
    differences = torch.cat([(one[name] - two[name]).abs().flatten() for name in one])
    assert differences.max() < 6e-3  # as above
    assert differences.median() < 1e-5
    states = sorted(path.name for path in two_shards.glob("state-*/process-*"))
    assert states == [f"process-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert (two_shards / "sheet-0000003.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_two_processes_killed_and_resumed_end_bit_equal(folder, request, tmp_path, kind):
    environment = {} if kind == "copies" else SHARDED
    expected = request.getfixturevalue("two_processes" if kind == "copies" else "two_shards")
    values = settings(folder, tmp_path / "run", {"save_minutes": 0.0})
    first = launch(values, 29622, **environment)
    while first.poll() is None and not list((tmp_path / "run").glob("state-*")):
        time.sleep(0.01)
    assert first.poll() is None
    kill_two(first, tmp_path / "run.json")
    states = sorted(path.name for path in (tmp_path / "run").glob("state-*"))
    assert states[-1] < "state-0000003"
    assert not (tmp_path / "run/model").exists()
    assert launch(values, 29623, **environment).wait() == 0
    assert losses(tmp_path / "run") == losses(expected)
    one, two = (load_file(path / "model" / WEIGHTS) for path in (tmp_path / "run", expected))
    assert all(torch.equal(one[name], two[name]) for name in two)
