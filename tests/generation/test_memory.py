"""What trades for memory changes where weights are, and results no more than precision allows."""

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import CpuOffload, UserCpuOffloadHook
from diffusers.hooks.group_offloading import ModuleGroup
from diffusers.pipelines import pipeline_utils
from tiny import HEIGHT, NUM_VIEWS, TEXT_WIDTH, WIDTH, tiny_pipeline
from torch import nn

from videorfsplat.generation.loading import arrange, load_pipeline
from videorfsplat.generation.memory import MemorySettings
from videorfsplat.models.prompt_reader import PromptReader
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


def with_reader(model: str) -> VideoRFSplatPipeline:
    pipeline = load_pipeline(model, "cpu")
    torch.manual_seed(0)
    values = {"kind": ["house", "tree"], "time": ["day", "night"]}
    reader = PromptReader(values, ["rock"], ["red"], TEXT_WIDTH, num_attention_heads=2).eval()
    pipeline.register_modules(prompt_reader=reader)
    return pipeline


def everything_of(pipeline: VideoRFSplatPipeline) -> list[torch.Tensor]:
    """What every part of a pipeline computes."""
    pipeline.set_progress_bar_config(disable=True)
    reading = pipeline.read_prompt("a red house")
    output = pipeline(
        "a red house", num_inference_steps=1, generator=torch.Generator().manual_seed(0)
    )
    encoded = pipeline.encode_frames(output.frames)
    certainties = torch.tensor([stated.certainty for stated in reading.stated.values()])
    gaussians = vars(output.gaussians[0]).values()
    return [output.frames, output.latents, encoded, certainties, *gaussians]


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for one, two in zip(found, expected, strict=True):
        assert torch.equal(one, two)


def test_every_layer_is_fetched_before_it_works(model, monkeypatch):
    """A layer's weights are no numbers until its group's hook fetches them."""
    kept: dict[nn.Parameter, torch.Tensor] = {}

    def parameters(group: ModuleGroup) -> list[nn.Parameter]:
        own = [p for module in group.modules for p in module.parameters()]
        return [*own, *(p for p in group.parameters or [] if isinstance(p, nn.Parameter))]

    def fetch(group: ModuleGroup) -> None:
        for parameter in parameters(group):
            parameter.data.copy_(kept[parameter])

    def put_away(group: ModuleGroup) -> None:
        for parameter in parameters(group):
            kept.setdefault(parameter, parameter.detach().clone())
            parameter.data.fill_(torch.nan)

    expected = everything_of(with_reader(model))
    monkeypatch.setattr(ModuleGroup, "onload_", fetch)
    monkeypatch.setattr(ModuleGroup, "offload_", put_away)
    pipeline = with_reader(model)
    weights = {
        parameter
        for part in pipeline.components.values()
        if isinstance(part, nn.Module)
        for parameter in part.parameters()
    }
    arrange(pipeline, torch.device("cpu"), MemorySettings(offload="group"))
    assert kept.keys() == weights
    assert_same(everything_of(pipeline), expected)


def test_weights_that_are_elsewhere_between_layers_change_nothing(model):
    pipeline = with_reader(model)
    expected = everything_of(pipeline)
    # As `enable_sequential_cpu_offload`, which wants a device with a number.
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    assert next(pipeline.vae.parameters()).is_meta
    assert_same(everything_of(pipeline), expected)


def test_what_is_given_goes_where_the_parts_work(model, monkeypatch):
    """`meta` stands for a device that no input is on; there shapes are computed only."""
    monkeypatch.setattr(pipeline_utils, "empty_device_cache", lambda *_: None)
    monkeypatch.setattr(UserCpuOffloadHook, "offload", lambda _: None)
    pipeline = load_pipeline(model, "cpu")
    pipeline.enable_model_cpu_offload(device="meta")
    latents = pipeline.encode_frames(torch.rand(1, NUM_VIEWS, 3, HEIGHT, WIDTH))
    assert latents.is_meta
    assert pipeline.decode_frames(torch.zeros(latents.shape)).is_meta


def test_coders_with_layers_on_the_disk_change_nothing(model, tmp_path):
    pipeline = with_reader(model)
    expected = everything_of(pipeline)
    maps = {
        "vae": {"encoder": "cpu", "decoder": "disk"},
        "gaussian_decoder": {"trunk": "disk", "rays_in": "cpu", "attentions": "cpu"},
    }
    for name, device_map in maps.items():
        part = type(pipeline.components[name])
        placed = part.from_pretrained(
            f"{model}/{name}", device_map=device_map, offload_folder=str(tmp_path / name)
        )
        assert any(parameter.is_meta for parameter in placed.parameters())
        pipeline.register_modules(**{name: placed})
    for found, wanted in zip(everything_of(pipeline), expected, strict=True):
        # Layers with hooks from the start compute one frame in three dimensions.
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


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
