"""The prompt reader reads tokens, not padding, and comes back as it was saved."""

import pytest
import torch

from videorfsplat.models.prompt_reader import RELATIONS, PromptReader

# Not in alphabetical order, in which a saved configuration comes back.
ATTRIBUTES = {"time": ["night", "day", "dawn"], "kind": ["tree", "house"], "size": ["small"]}
SECONDARY, COLORS = ["rock", "bush"], ["red", "gray", "blue", "pink"]


@pytest.fixture
def reader() -> PromptReader:
    torch.manual_seed(0)
    return PromptReader(
        ATTRIBUTES, SECONDARY, COLORS, text_embed_dim=8, num_attention_heads=2, max_count=2
    ).eval()


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))


def parts(output) -> list[torch.Tensor]:
    return [*output.choices, output.counts, output.colors, output.relation, output.names]


def test_shapes_follow_what_can_be_read(reader, states):
    read = reader(states, torch.ones(2, 5, dtype=torch.long))
    # By name: kind, size, time; one class more says that nothing is stated.
    assert [part.shape for part in read.choices] == [(2, 3), (2, 2), (2, 4)]
    assert read.counts.shape == (2, len(SECONDARY), 3)
    assert read.colors.shape == (2, len(COLORS))
    assert read.relation.shape == (2, len(RELATIONS))
    assert read.names.shape == (2, 5)


def test_padding_does_not_matter(reader, states):
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    changed = states.clone()
    changed[1, 3:] = 100.0
    longer = torch.cat([changed, torch.full((2, 4, 8), -50.0)], dim=1)
    wanted = parts(reader(states, mask))
    for other, cover in [(changed, mask), (longer, torch.nn.functional.pad(mask, (0, 4)))]:
        *found, names = parts(reader(other, cover))
        for one, two in zip(found, wanted, strict=False):
            torch.testing.assert_close(one, two)
        torch.testing.assert_close(names[:, :5][mask > 0], wanted[-1][mask > 0])


def test_sentences_of_a_batch_do_not_mix(reader, states):
    mask = torch.ones(2, 5, dtype=torch.long)
    alone = [parts(reader(states[i : i + 1], mask[:1])) for i in range(2)]
    for index, whole in enumerate(parts(reader(states, mask))):
        torch.testing.assert_close(whole, torch.cat([rows[index] for rows in alone]))


def test_it_is_read_as_it_was_saved(reader, states, tmp_path):
    reader.save_pretrained(tmp_path)
    loaded = PromptReader.from_pretrained(tmp_path).eval()
    assert loaded.attribute_names == reader.attribute_names == sorted(ATTRIBUTES)
    mask = torch.ones(2, 5, dtype=torch.long)
    for one, two in zip(parts(loaded(states, mask)), parts(reader(states, mask)), strict=True):
        assert torch.equal(one, two)
    # Values keep their order, which is that of the classes.
    assert {name: [*values] for name, values in loaded.config["attributes"].items()} == ATTRIBUTES
    assert [*loaded.config["secondary"]] == SECONDARY


def test_it_attends_as_torch_does(reader, states):
    """Its weights are those of `nn.MultiheadAttention`, by name and place."""
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    reader.attention.load_state_dict(theirs.state_dict())
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    queries = torch.randn(2, 3, 8)
    expected, _ = theirs(queries, states, states, key_padding_mask=mask == 0)
    torch.testing.assert_close(reader.attention(queries, states, mask != 0), expected)
