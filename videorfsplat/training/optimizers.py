"""The optimizers of a network, by name."""

import torch
from torch import nn

from videorfsplat.training.muon import Muon
from videorfsplat.training.run import RunConfig

OPTIMIZERS = ("muon", "adamw")


def check_optimizer(name: str) -> None:
    """Raise `ValueError` unless `make_optimizers` knows the name."""
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer must be {' or '.join(OPTIMIZERS)}, got {name!r}")


def make_optimizers(
    name: str, model: nn.Module, run: RunConfig, *, convolutions: bool = False
) -> list[torch.optim.Optimizer]:
    """Optimizers for all weights that are trained.

    Args:
        name: "muon", for matrices with AdamW for the rest, or "adamw".
        model: the network.
        run: its learning rate is that of both, as the size of Muon's updates is matched to AdamW's;
            its weight decay is decoupled, and with Muon of the matrices alone.
        convolutions: whether Muon also takes kernels. A transformer's only ones embed patches; of
            a convolutional network they are all there is.

    Raises:
        ValueError: if the name is none of these.
    """
    check_optimizer(name)
    trained = [p for p in model.parameters() if p.requires_grad]
    if name == "adamw":
        return [_adamw(trained, run.learning_rate, run.weight_decay)]
    # Muon's orthogonalised update is meant for weights that multiply hidden states from both sides.
    embeddings = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }

    def is_matrix(parameter: nn.Parameter) -> bool:
        fits = parameter.ndim == 2 or (convolutions and parameter.ndim > 2)
        return fits and id(parameter) not in embeddings

    matrices = [p for p in trained if is_matrix(p)]
    others = [p for p in trained if not is_matrix(p)]
    muon = Muon(matrices, lr=run.learning_rate, weight_decay=run.weight_decay)
    # Of a LoRA there is nothing but matrices.
    return [muon, _adamw(others, run.learning_rate, weight_decay=0.0)] if others else [muon]


def _adamw(
    parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.99), fused=True
    )
