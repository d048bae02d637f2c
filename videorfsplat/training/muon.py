"""Muon: momentum whose matrices are orthogonalised, with update sizes matched to AdamW's."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import DTensor

from videorfsplat.training.precision import multiplies_bfloat16

# Coefficients of the quintic iteration, as torch.optim.Muon and its author have them.
_COEFFICIENTS = (3.4445, -4.775, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """As `torch.optim.Muon` with Nesterov momentum and `adjust_lr_fn="match_rms_adamw"`.

    torch's iterates in bfloat16, one matrix after the other. On a CPU without bfloat16 products
    that took 34 s a step where a forward and backward pass took 6; here the iteration runs in the
    precision that the device multiplies well, for all matrices of one shape at once.

    Args:
        params: matrices, or convolution kernels, which count as matrices [out, in · taps].
        lr: learning rate, as for AdamW.
        weight_decay: decoupled, as in AdamW.
        momentum: of the running sum of gradients.

    Raises:
        ValueError: if a parameter is a vector, or, at the first step, if it is sharded.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(f"Muon takes matrices, got shape {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; closures are not supported, as nothing here uses them."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    ahead = self._momentum(parameter, group["momentum"]).flatten(1)
                    by_shape[ahead.shape].append((parameter, ahead))
            for shape, pairs in by_shape.items():
                # An orthogonal update has entries of 1/sqrt(longer side); AdamW's are near 0.2.
                size = 0.2 * max(shape) ** 0.5 * group["lr"]
                updates = orthogonalise(torch.stack([ahead for _, ahead in pairs]))
                for (parameter, _), update in zip(pairs, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-size)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        """The gradient looked at one step ahead (Nesterov)."""
        gradient = parameter.grad
        assert gradient is not None
        if isinstance(gradient, DTensor):
            raise ValueError("Muon needs whole matrices: use adamw where weights are sharded")
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        return gradient.lerp(buffer, momentum)


def orthogonalise(matrices: Float[Tensor, "n a b"]) -> Float[Tensor, "n a b"]:
    """Matrices with the same singular vectors and all singular values near 1, between 0.7 and 1.2.

    Five steps of the quintic Newton-Schulz iteration of Muon (Jordan et al. 2024).
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    states = matrices.mT if is_tall else matrices
    dtype = torch.bfloat16 if multiplies_bfloat16(matrices.device) else torch.float32
    states = states.to(dtype)
    states = states / states.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    # On the small side the products are fewer, but there are more of them to lose digits in.
    is_long = states.shape[2] >= 2 * states.shape[1]
    iterate = _iterate_small_side if is_long and dtype == torch.float32 else _iterate
    states = iterate(states).to(matrices.dtype)
    return states.mT if is_tall else states


def _iterate(states: Float[Tensor, "n a b"]) -> Float[Tensor, "n a b"]:
    """X ← (α + β·XXᵀ + γ·(XXᵀ)²) X."""
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = states @ states.mT
        states = a * states + (b * gram + c * gram @ gram) @ states
    return states


def _iterate_small_side(states: Float[Tensor, "n a b"]) -> Float[Tensor, "n a b"]:
    """The same, as one a × a factor of all steps: its parts and the Gram matrices commute."""
    a, b, c = _COEFFICIENTS
    gram = states @ states.mT
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor = identity.expand_as(gram)
    for step in range(_ITERATIONS):
        part = a * identity + b * gram + c * gram @ gram
        factor = part @ factor if step else part
        if step < _ITERATIONS - 1:
            gram = part @ gram @ part
    return factor @ states
