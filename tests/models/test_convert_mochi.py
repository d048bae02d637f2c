"""A saved Mochi transformer becomes the image stream, whole and unchanged."""

import json

import pytest
import torch
from diffusers import MochiTransformer3DModel
from diffusers.models.attention_processor import MochiAttnProcessor2_0
from safetensors.torch import load_file, save_file
from tiny import TEXT_WIDTH, tiny_transformer

from videorfsplat.models.convert_mochi import convert_mochi

POSE_STREAM = {
    "pose_num_attention_heads": 2,
    "pose_attention_head_dim": 8,
    "pose_num_layers": 2,
    "pose_pooled_projection_dim": 8,
    "exchange_num_heads": 2,
    "exchange_head_dim": 8,
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def tiny_mochi(**changed) -> MochiTransformer3DModel:
    torch.manual_seed(0)
    config = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 4,
        "pooled_projection_dim": 16,
        "text_embed_dim": TEXT_WIDTH,
        "time_embed_dim": 16,
        "max_sequence_length": 12,
    }
    mochi = MochiTransformer3DModel(**{**config, **changed}).eval()
    torch.nn.init.normal_(mochi.pos_frequencies)  # else zero, and places would not matter
    return mochi


@pytest.fixture
def saved(tmp_path):
    mochi = tiny_mochi()
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
    mochi = tiny_mochi()
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
        convert_mochi(tiny_mochi(activation_fn="geglu"), **POSE_STREAM)
    with pytest.raises(ValueError, match="out_channels"):
        convert_mochi(tiny_mochi(out_channels=24), **POSE_STREAM)


def test_rejects_block_counts_that_do_not_divide():
    with pytest.raises(ValueError, match="multiple of pose_num_layers"):
        convert_mochi(tiny_mochi(), **{**POSE_STREAM, "pose_num_layers": 3})
