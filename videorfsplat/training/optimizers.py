"""The optimizers of a transformer."""

import torch
from torch import nn

from videorfsplat.training.muon import Muon


def muon_and_adamw(
    model: nn.Module, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Optimizers for a transformer: Muon (update size matched to AdamW's) for its 2-D weights.

    Embeddings and every other shape go to AdamW, as Muon's orthogonalised update is meant for
    weights that multiply hidden states from both sides.
    """
    embeddings = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim == 2 and id(p) not in embeddings]
    others = [p for p in trained if p.ndim != 2 or id(p) in embeddings]
    muon = Muon(matrices, lr=learning_rate, weight_decay=weight_decay)
    adamw = torch.optim.AdamW(
        others, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.99), fused=True
    )
    return [muon, adamw]


def adamw(
    model: nn.Module, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for all weights that are trained."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.99))
    ]
