"""A folded transformer takes new token states as the old one takes their projection."""

import pytest
import torch
from diffusers.loaders import Mochi1LoraLoaderMixin
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from tiny import HEIGHT, MAX_TOKENS, NUM_VIEWS, TEXT_WIDTH, WIDTH, tiny_transformer

from videorfsplat.models.text_projection import fold_state, fold_text_projection
from videorfsplat.training.lora import add_lora_everywhere

NEW_WIDTH = 40


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    model = tiny_transformer()
    for parameter in model.parameters():
        # Weights that start at zero would hide what reaches them.
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def projection() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(TEXT_WIDTH, NEW_WIDTH, generator=generator) / NEW_WIDTH**0.5


def run(model, states: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    height, width = HEIGHT // 8, WIDTH // 8
    with torch.no_grad():
        return model(
            hidden_states=torch.randn(2, 12, NUM_VIEWS, height, width, generator=generator),
            pose_hidden_states=torch.randn(2, 6, NUM_VIEWS, height, width, generator=generator),
            timestep=torch.tensor([0.7, 0.2]),
            pose_timestep=torch.tensor([0.5, 0.9]),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            return_dict=False,
        )


def token_states() -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.randn(2, MAX_TOKENS, NEW_WIDTH, generator=torch.Generator().manual_seed(3))
    mask = torch.ones(2, MAX_TOKENS, dtype=torch.bool)
    mask[1, 5:] = False
    return states, mask


def check_agreement(folded, old, projection) -> None:
    states, mask = token_states()
    found, wanted = run(folded, states, mask), run(old, states @ projection.T, mask)
    for one, two in zip(found, wanted, strict=True):
        # One matrix product where there were two: float32's rounding, through four blocks.
        torch.testing.assert_close(one, two, atol=2e-5, rtol=1e-4)
    changed = run(old, states[:, :, :TEXT_WIDTH], mask)
    assert any((one - two).abs().max() > 1e-3 for one, two in zip(changed, wanted, strict=True))


def test_a_folded_transformer_agrees_with_projecting_first(transformer, projection):
    folded = fold_text_projection(transformer, projection)
    assert folded.config["text_embed_dim"] == NEW_WIDTH
    check_agreement(folded, transformer, projection)


def test_no_weight_of_any_block_changes(transformer, projection):
    state = transformer.state_dict()
    folded = fold_text_projection(transformer, projection).state_dict()
    assert folded.keys() == state.keys()
    changed = {name for name in state if not torch.equal(folded[name], state[name])}
    assert changed
    assert all(".time_embed." in name for name in changed)


def test_a_folded_lora_agrees_with_projecting_first(transformer, projection):
    folded = fold_text_projection(transformer, projection)
    add_lora_everywhere(transformer, rank=3)
    torch.manual_seed(4)
    lora = {
        name: torch.randn_like(value) * 0.2
        for name, value in get_peft_model_state_dict(transformer).items()
    }
    touched = [name for name in lora if "pooler" in name or "caption_proj" in name]
    assert touched
    set_peft_model_state_dict(transformer, lora)
    add_lora_everywhere(folded, rank=3)
    set_peft_model_state_dict(folded, fold_state(lora, projection))
    check_agreement(folded, transformer, projection)


def test_a_saved_lora_is_folded_by_its_prefix(transformer, projection, tmp_path):
    from safetensors.torch import load_file

    add_lora_everywhere(transformer, rank=2)
    layers = get_peft_model_state_dict(transformer)
    Mochi1LoraLoaderMixin.save_lora_weights(tmp_path, transformer_lora_layers=layers)
    saved = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    folded = fold_state(saved, projection, "transformer.")
    plain = fold_state(layers, projection)
    assert folded.keys() == {f"transformer.{name}" for name in plain}
    assert all(torch.equal(folded[f"transformer.{name}"], plain[name]) for name in plain)
    assert any(folded[name].shape != saved[name].shape for name in saved)


def test_the_precision_stays(transformer, projection):
    folded = fold_text_projection(transformer.to(torch.bfloat16), projection)
    assert folded.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(TEXT_WIDTH + 8, 40), (TEXT_WIDTH, 8), (TEXT_WIDTH, 41)])
def test_a_map_that_does_not_fit_is_refused(transformer, shape):
    with pytest.raises(ValueError, match="expected a projection to 16 numbers from as many"):
        fold_text_projection(transformer, torch.zeros(shape))
