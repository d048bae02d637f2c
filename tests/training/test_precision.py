"""Where training works in bfloat16."""

import pytest
import torch
from torch import nn

from videorfsplat.training.precision import low_precision, multiplies_bfloat16, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, False),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),  # Arm
    ],
)
def test_follows_the_instructions_of_the_cpu(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert multiplies_bfloat16(CPU) == expected
    dtype = torch.bfloat16 if expected else torch.float32
    with low_precision(CPU):
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_other_devices_have_it():
    assert multiplies_bfloat16(torch.device("cuda"))


@pytest.mark.parametrize(("has_it", "expected"), [(True, "bf16"), (False, "no")])
def test_auto_is_what_the_device_has(monkeypatch, has_it, expected):
    name = "videorfsplat.training.precision.multiplies_bfloat16"
    monkeypatch.setattr(name, lambda device: has_it)
    assert resolve_precision("auto", CPU) == expected
    assert resolve_precision("no", CPU) == "no"
    assert resolve_precision("bf16", CPU) == "bf16"
