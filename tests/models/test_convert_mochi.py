"""A saved Mochi transformer becomes the image stream, whole and unchanged."""

import json
import shutil
import weakref

import pytest
import torch
from diffusers.models.attention_processor import MochiAttnProcessor2_0
from full_size import POSE_STREAM, save_mochi, toy_mochi
from safetensors.torch import load_file, save_file
from tiny import TEXT_WIDTH, tiny_transformer

from videorfsplat.models import published as published_module
from videorfsplat.models.convert_mochi import convert_mochi

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def saved(tmp_path):
    mochi = toy_mochi()
    mochi.save_pretrained(tmp_path / "mochi")
    return mochi, tmp_path / "mochi"


def test_the_image_velocity_is_mochis_bit_for_bit(saved):
    mochi, folder = saved
    model = convert_mochi(folder, **POSE_STREAM).eval()
    model.set_attn_processor(MochiAttnProcessor2_0())
    latents, text = torch.randn(2, 12, 3, 4, 6), torch.randn(2, 7, TEXT_WIDTH)
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
    times = torch.tensor([300.0, 900.0])
    with torch.no_grad():
        expected = mochi(latents, text, times, mask).sample
        pose = torch.randn(2, 6, 3, 4, 6)
        found = model(latents, pose, text, times, torch.tensor([0.0, 500.0]), mask).sample
    assert expected.abs().max() > 0
    assert torch.equal(found, expected)


def test_every_weight_of_mochi_is_taken_and_none_is_left_on_meta(saved):
    mochi, folder = saved
    model = convert_mochi(folder, **POSE_STREAM)
    expected, found = mochi.state_dict(), model.image_stream.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    everything = [*model.parameters(), *model.buffers()]
    assert not any(tensor.is_meta for tensor in everything)
    assert model.config["pose_num_layers"] == 2
    assert model.config["num_layers"] == 4


def test_reads_the_transformer_of_a_whole_pipeline(saved, tmp_path):
    mochi, folder = saved
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    folder.rename(pipeline / "transformer")
    (pipeline / "model_index.json").write_text(json.dumps({"_class_name": "MochiPipeline"}))
    model = convert_mochi(pipeline, **POSE_STREAM)
    assert torch.equal(model.image_stream.proj_out.weight, mochi.proj_out.weight)


def test_takes_a_loaded_transformer():
    mochi = toy_mochi()
    model = convert_mochi(mochi, **POSE_STREAM)
    assert torch.equal(model.image_stream.proj_out.weight, mochi.proj_out.weight)


def test_rejects_another_class(tmp_path):
    tiny_transformer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a VideoRFSplatTransformer3DModel"):
        convert_mochi(tmp_path, **POSE_STREAM)


def test_rejects_missing_weights(saved):
    _, folder = saved
    weights = load_file(folder / WEIGHTS)
    del weights["transformer_blocks.1.attn1.to_q.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing.*transformer_blocks\.1\.attn1\.to_q"):
        convert_mochi(folder, **POSE_STREAM)


def test_rejects_superfluous_weights(saved):
    _, folder = saved
    weights = load_file(folder / WEIGHTS) | {"extra.weight": torch.zeros(2)}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"left over.*extra\.weight"):
        convert_mochi(folder, **POSE_STREAM)


def test_rejects_another_kind_of_block():
    with pytest.raises(ValueError, match="activation_fn must be 'swiglu', got 'geglu'"):
        convert_mochi(toy_mochi(activation_fn="geglu"), **POSE_STREAM)
    with pytest.raises(ValueError, match="out_channels"):
        convert_mochi(toy_mochi(out_channels=24), **POSE_STREAM)


def test_rejects_block_counts_that_do_not_divide():
    with pytest.raises(ValueError, match="multiple of pose_num_layers"):
        convert_mochi(toy_mochi(), **{**POSE_STREAM, "pose_num_layers": 3})


# --- as published: a whole pipeline, in shards ----------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A toy Mochi pipeline that diffusers saved itself, its transformer in several shards."""
    folder = tmp_path_factory.mktemp("published")
    mochi = toy_mochi()
    save_mochi(folder, mochi)
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 3
    return folder, mochi


@pytest.fixture
def copied(published, tmp_path):
    shutil.copytree(published[0], tmp_path / "mochi")
    return tmp_path / "mochi"


def test_a_published_pipeline_is_taken_over_shard_by_shard(published, monkeypatch):
    folder, mochi = published
    loaded, alive = [], []

    def watched(path):
        # What an earlier shard held is by now held by the model alone, or by nothing.
        alive.append(sum(name_of() is not None for name_of in shards))
        weights = ShardOfWeights(load_file(path))
        loaded.append({name: weight.data_ptr() for name, weight in weights.items()})
        shards.append(weakref.ref(weights))
        return weights

    class ShardOfWeights(dict):
        pass

    shards: list[weakref.ref] = []
    monkeypatch.setattr(published_module, "load_file", watched)
    model = convert_mochi(folder, **POSE_STREAM)
    expected, found = mochi.state_dict(), model.image_stream.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert len(loaded) == len(list((folder / "transformer").glob("*.safetensors")))
    # The model holds the very memory that was read: there is no second copy.
    places = {name: place for shard in loaded for name, place in shard.items()}
    assert places == {name: weight.data_ptr() for name, weight in found.items()}
    assert max(alive) <= 1


def test_weights_can_be_taken_in_half_precision(published):
    model = convert_mochi(published[0], dtype=torch.bfloat16, **POSE_STREAM)
    assert {p.dtype for p in model.image_stream.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.pose_stream.parameters()} == {torch.float32}


def test_a_variant_is_found_by_its_name(tmp_path):
    mochi = toy_mochi()
    mochi.to(torch.bfloat16).save_pretrained(tmp_path, variant="bf16", max_shard_size="50KB")
    with pytest.raises(ValueError, match="holds no weights"):
        convert_mochi(tmp_path, **POSE_STREAM)
    model = convert_mochi(tmp_path, variant="bf16", **POSE_STREAM)
    assert model.image_stream.proj_out.weight.dtype == torch.bfloat16
    assert torch.equal(model.image_stream.proj_out.weight, mochi.proj_out.weight)


def test_a_missing_shard_is_named(copied):
    path = sorted((copied / "transformer").glob("*.safetensors"))[1]
    path.unlink()
    with pytest.raises(ValueError, match=f"{path.name} is missing, although the index lists it"):
        convert_mochi(copied, **POSE_STREAM)


def test_a_damaged_shard_is_named(copied):
    path = sorted((copied / "transformer").glob("*.safetensors"))[1]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        convert_mochi(copied, **POSE_STREAM)


def test_a_config_that_does_not_fit_the_weights_is_named(copied):
    path = copied / "transformer" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"attention_head_dim": 32}))
    with pytest.raises(
        ValueError, match=r"transformer does not fit its own config: size mismatch for pos_freq"
    ):
        convert_mochi(copied, **POSE_STREAM)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        convert_mochi(copied, **POSE_STREAM)
    path.unlink()
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        convert_mochi(copied, **POSE_STREAM)


@pytest.mark.parametrize("source", ["no-such-owner/no-such-model", "not a hub id", "a/b/c"])
def test_a_wrong_hub_id_is_named(source):
    with pytest.raises(ValueError, match=f"{source} is no folder, and the hub did not give it"):
        convert_mochi(source, **POSE_STREAM)


def test_what_the_checkpoint_decides_cannot_be_set(published):
    with pytest.raises(ValueError, match="decides num_layers: leave them out"):
        convert_mochi(published[0], num_layers=2, **POSE_STREAM)
