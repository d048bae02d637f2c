"""Which parameters go to which optimizer."""

import torch
from torch import nn

from videorfsplat.training.muon import Muon
from videorfsplat.training.optimizers import muon_and_adamw


def test_matrices_go_to_muon_and_the_rest_to_adamw():
    model = nn.ModuleDict(
        {"linear": nn.Linear(3, 4), "embedding": nn.Embedding(5, 3), "conv": nn.Conv2d(2, 2, 3)}
    )
    model["frozen"] = nn.Linear(3, 3).requires_grad_(False)
    muon, adamw = muon_and_adamw(model, learning_rate=0.1, weight_decay=0.01)
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)

    def names(optimizer):
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        return {name for name, parameter in model.named_parameters() if id(parameter) in held}

    assert names(muon) == {"linear.weight"}
    assert names(adamw) == {"linear.bias", "embedding.weight", "conv.weight", "conv.bias"}
