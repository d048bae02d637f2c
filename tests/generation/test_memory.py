"""What trades for memory changes where weights are, and results no more than precision allows."""

import pytest
import torch
from accelerate.hooks import CpuOffload
from tiny import tiny_pipeline

from videorfsplat.generation.loading import load_pipeline
from videorfsplat.generation.memory import MemorySettings
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return str(folder)


def latents(model: str, **changed) -> torch.Tensor:
    return latents_of(load_pipeline(model, "cpu", MemorySettings(**changed)))


def latents_of(pipeline: VideoRFSplatPipeline) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    output = pipeline("a red house", num_inference_steps=2, generator=generator)
    assert all(gaussians.means.isfinite().all() for gaussians in output.gaussians)
    return output.latents if output.latents is not None else output.frames


def test_offloading_groups_of_layers_changes_nothing(model):
    assert torch.equal(latents(model, offload="group"), latents(model))


def test_every_part_is_fetched_before_it_works(model, monkeypatch):
    """A part's weights are no numbers until its hook fetches it: as if they were elsewhere."""
    pipeline = load_pipeline(model, "cpu")
    parts = [pipeline.components[name] for name in pipeline.model_cpu_offload_seq.split("->")]
    weights = {part: [p.detach().clone() for p in part.parameters()] for part in parts}
    fetched = []

    def fetch(hook, part, *arguments, **options):
        fetched.append(part)
        for parameter, weight in zip(part.parameters(), weights[part], strict=True):
            parameter.data.copy_(weight)
        return arguments, options

    monkeypatch.setattr(CpuOffload, "pre_forward", fetch)
    pipeline.enable_model_cpu_offload(device="cpu")
    for part in parts:
        for parameter in part.parameters():
            parameter.data.fill_(torch.nan)
    assert torch.equal(latents_of(pipeline), latents(model))
    assert list(dict.fromkeys(fetched)) == parts


def test_decoding_singly_changes_nothing_at_one_tile(model):
    torch.testing.assert_close(latents(model, tiling=True), latents(model))


def test_lower_precision_changes_little(model):
    exact = latents(model)
    # bfloat16 has 8 bits and float8_e4m3 4, over two steps of a few layers with random weights.
    for tolerance, changed in ((0.1, {"dtype": "bfloat16"}), (0.5, {"fp8": True})):
        found = latents(model, **changed).float()
        assert found.isfinite().all()
        assert 0 < (found - exact).abs().mean() < tolerance * exact.abs().mean()


def test_fp8_weights_are_kept_in_8_bits(model):
    pipeline = load_pipeline(model, "cpu", MemorySettings(fp8=True))
    blocks = pipeline.transformer.image_stream.transformer_blocks
    assert torch.float8_e4m3fn in {weight.dtype for weight in blocks.parameters()}


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked_types")
def test_compiled_blocks_are_whole_graphs_and_change_nothing(model, monkeypatch):
    # Blocks are traced as for any backend; kernels would take minutes to build here.
    compiled = []

    def traced(*arguments, **options):
        compiled.append(options)
        return torch_compile(*arguments, **options, backend="eager")

    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    torch.testing.assert_close(latents(model, compile=True), latents(model))
    assert len(compiled) == 4 + 2 + 1  # image blocks, pose blocks, the exchange between those
    assert all(options["fullgraph"] for options in compiled)


@pytest.mark.parametrize("changed", [{"dtype": "int4"}, {"offload": "disk"}])
def test_unknown_settings_are_refused(changed):
    with pytest.raises(ValueError, match=f"{next(iter(changed))} must be one of"):
        MemorySettings(**changed)


def test_offloading_whole_parts_needs_an_accelerator(model):
    with pytest.raises(ValueError, match="the device is the CPU"):
        load_pipeline(model, "cpu", MemorySettings(offload="model"))
