"""Which parameters go to which optimizer."""

import pytest
import torch
from torch import nn

from videorfsplat.training.muon import Muon
from videorfsplat.training.optimizers import make_optimizers
from videorfsplat.training.run import RunConfig


@pytest.mark.parametrize("convolutions", [False, True])
def test_matrices_go_to_muon_and_the_rest_to_adamw(convolutions):
    model = nn.ModuleDict(
        {"linear": nn.Linear(3, 4), "embedding": nn.Embedding(5, 3), "conv": nn.Conv2d(2, 2, 3)}
    )
    model["frozen"] = nn.Linear(3, 3).requires_grad_(False)
    run = RunConfig("unused", max_steps=1, batch_size=1)
    muon, adamw = make_optimizers("muon", model, run, convolutions=convolutions)
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)

    def names(optimizer):
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        return {name for name, parameter in model.named_parameters() if id(parameter) in held}

    matrices, vectors = {"linear.weight"}, {"linear.bias", "embedding.weight", "conv.bias"}
    (matrices if convolutions else vectors).add("conv.weight")
    assert names(muon) == matrices
    assert names(adamw) == vectors
    (only,) = make_optimizers("adamw", model, run)
    assert names(only) == matrices | vectors
