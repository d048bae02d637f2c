"""Muon against torch's own, which iterates in bfloat16."""

import pytest
import torch
from torch import nn

from videorfsplat.training import muon
from videorfsplat.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(64, 24), (24, 64), (32, 32)])
def test_singular_values_become_about_one_and_singular_vectors_stay(shape):
    generator = torch.Generator().manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(3, *shape, generator=generator), full_matrices=False)
    # Its author gives the quintic for singular values down to a hundredth of the norm.
    given = torch.logspace(0, -1, u.shape[-1])
    found = orthogonalise(u @ torch.diag(given) @ vh)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    in_its_basis = u.mT @ found @ vh.mT
    off_diagonal = in_its_basis - torch.diag_embed(in_its_basis.diagonal(dim1=1, dim2=2))
    # bfloat16, where the device has it, keeps three digits.
    assert off_diagonal.abs().max() < 0.05


@pytest.mark.parametrize("iterate", [muon._iterate, muon._iterate_small_side])
@pytest.mark.parametrize("shape", [(24, 64), (32, 32)])
def test_both_ways_are_the_iteration_in_full_precision(iterate, shape):
    """In float32, whatever the device prefers: in bfloat16 the small singular values here drown."""
    generator = torch.Generator().manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(3, *shape, generator=generator), full_matrices=False)
    given = u @ torch.diag(torch.logspace(0, -4, u.shape[-1])) @ vh
    given = given / given.norm(dim=(1, 2), keepdim=True)
    expected = given.double()
    for _ in range(5):
        gram = expected @ expected.mT
        expected = 3.4445 * expected + (-4.775 * gram + 2.0315 * gram @ gram) @ expected
    # Rounding grows as small singular values do, 3.4 times a step: 500 times in all.
    torch.testing.assert_close(iterate(given), expected.float(), rtol=0, atol=500 * 1e-6)


def test_steps_as_the_optimizer_of_torch():
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(shape, generator=generator) for shape in ((30, 12), (6, 25), (6, 25))]
    ours = [nn.Parameter(start.clone()) for start in starts]
    theirs = [nn.Parameter(start.clone()) for start in starts]
    optimizers = [
        Muon(ours, lr=1e-2, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b, start in zip(ours, theirs, starts, strict=True):
        moved = (a - start).detach()
        # The difference is that of bfloat16 in theirs: about a hundredth of the update.
        assert (a - b).norm() < 0.03 * moved.norm()


def test_a_kernel_steps_as_the_matrix_of_its_outputs():
    start = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel, matrix = nn.Parameter(start.clone()), nn.Parameter(start.flatten(1).clone())
    kernel.grad = start.sin()
    matrix.grad = start.sin().flatten(1)
    for parameter in (kernel, matrix):
        Muon([parameter], lr=1e-2).step()
    assert not torch.equal(kernel, start)
    assert torch.equal(kernel.flatten(1), matrix)


def test_rejects_vectors():
    with pytest.raises(ValueError, match="Muon takes matrices"):
        Muon([nn.Parameter(torch.zeros(3))])
