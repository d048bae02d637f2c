"""Which names of a LoRA file are taken, and which are refused rather than ignored."""

import pytest
import torch
from tiny import tiny_pipeline

from videorfsplat.models.lora_names import fit_lora

MODULE = "image_stream.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def weights(pipeline, prefix: str) -> dict[str, torch.Tensor]:
    weight = pipeline.transformer.get_submodule(MODULE).weight
    return {
        f"{prefix}.lora_A.weight": torch.ones(2, weight.shape[1]),
        f"{prefix}.lora_B.weight": torch.ones(weight.shape[0], 2),
    }


@pytest.mark.parametrize("name", [MODULE, MODULE.removeprefix("image_stream.")])
def test_names_of_ours_and_of_mochi_reach_the_image_stream(pipeline, name):
    given = weights(pipeline, f"transformer.{name}")
    assert list(fit_lora(given, pipeline.transformer)) == list(
        weights(pipeline, f"transformer.{MODULE}")
    )
    pipeline.load_lora_weights(given, adapter_name="a")
    try:
        layer = pipeline.transformer.get_submodule(MODULE)
        assert torch.equal(layer.lora_A["a"].weight, torch.ones_like(layer.lora_A["a"].weight))
    finally:
        pipeline.unload_lora_weights()


@pytest.mark.parametrize(
    "name",
    [f"diffusion_model.{MODULE}", MODULE, "lora_unet_transformer_blocks_0_to_q", "transformer.x"],
)
def test_a_lora_that_fits_nothing_is_refused(pipeline, name):
    with pytest.raises(ValueError, match="nothing of the LoRA fits"):
        pipeline.load_lora_weights(weights(pipeline, name))


def test_a_lora_that_fits_in_part_is_refused(pipeline):
    given = weights(pipeline, f"transformer.{MODULE}") | weights(pipeline, "transformer.other")
    with pytest.raises(ValueError, match="2 of 4 weights of the LoRA fit no part"):
        pipeline.load_lora_weights(given)
