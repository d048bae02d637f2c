"""A folder that is damaged is told in words; a fault in the program is not taken for one."""

import json
from pathlib import Path

import pytest
from tiny import save_tiny_few_step, tiny_pipeline

from videorfsplat.generation.loading import few_step_pipeline, load_pipeline
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline

MISSING = object()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    save_tiny_few_step(folder)
    return folder


@pytest.fixture
def change(model):
    """Replace a file, or one value in it, until the end of the test."""
    kept = {}

    def replace(name: str, key: str | None, value) -> Path:
        path = model / name
        kept[path] = path.read_bytes()
        content = value
        if key is not None:
            content = json.loads(kept[path]) | {key: value}
            if value is MISSING:
                del content[key]
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    yield replace
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        *(
            (name, None, content)
            for name in (
                "model_index.json",
                "transformer/config.json",
                "gaussian_decoder/config.json",
                "vae/config.json",
                "text_encoder/config.json",
                "scheduler/scheduler_config.json",
                "tokenizer/tokenizer_config.json",
                "tokenizer/tokenizer.json",
            )
            for content in (b"", b"[]", b"null", b"\xff\xfe")
        ),
        ("model_index.json", "_class_name", MISSING),
        ("model_index.json", "base_schedule", []),
        ("model_index.json", "vae", None),
        ("model_index.json", "vae", ["diffusers"]),
        ("model_index.json", "vae", ["diffusers", "NoSuchClass"]),
        ("model_index.json", "vae", ["no_such_library", "AutoencoderKLMochi"]),
        ("model_index.json", "vae", [["diffusers"], {}]),
        ("transformer/config.json", "num_layers", "x"),
        ("transformer/config.json", "num_layers", None),
        ("transformer/config.json", "num_layers", True),
        ("transformer/config.json", "pose_latents_mean", [None]),
        ("gaussian_decoder/config.json", "block_out_channels", []),
        ("gaussian_decoder/config.json", "near", {}),
        ("vae/config.json", "layers_per_block", {}),
        ("scheduler/scheduler_config.json", "shift", "x"),
        ("text_encoder/config.json", "dense_act_fn", "x"),
        ("text_encoder/config.json", "model_type", []),
        ("text_encoder/config.json", "d_model", "x"),
        ("tokenizer/tokenizer_config.json", "eos_token", -1),
        ("tokenizer/tokenizer_config.json", "extra_ids", "x"),
        ("tokenizer/tokenizer.json", None, b"{}"),
    ],
)
def test_a_damaged_file_is_named(model, change, name, key, value):
    path = change(name, key, value)
    with pytest.raises(ValueError, match=path.parent.name) as refused:
        load_pipeline(str(model), "cpu")
    assert str(path.parent) in str(refused.value)


def test_what_a_configuration_must_be_is_said(model, change):
    path = change("gaussian_decoder/config.json", "num_attention_layers", "two")
    with pytest.raises(ValueError, match="num_attention_layers must be int, got 'two'") as refused:
        load_pipeline(str(model), "cpu")
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("name", ["transformer", "vae", "gaussian_decoder", "text_encoder"])
def test_weights_that_are_cut_off_are_told_in_words(model, change, name):
    weights = next((model / name).glob("*.safetensors"))
    content = weights.read_bytes()
    change(str(weights.relative_to(model)), None, content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"cannot load the model {model}"):
        load_pipeline(str(model), "cpu")


@pytest.mark.parametrize("fault", [TypeError, KeyError, AttributeError, IndexError])
def test_a_fault_in_the_program_is_not_taken_for_a_bad_folder(model, monkeypatch, fault):
    def faulty(*_, **__):
        raise fault("num_layers")

    pipeline = load_pipeline(str(model), "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(VideoRFSplatPipeline, "load_lora_into_transformer", faulty)
        with pytest.raises(fault):
            few_step_pipeline(pipeline, str(model))
        with pytest.raises(fault):
            load_pipeline(str(model), "cpu", few_step=True)
    monkeypatch.setattr(VideoRFSplatPipeline, "register_modules", faulty)
    with pytest.raises(fault):
        load_pipeline(str(model), "cpu")
