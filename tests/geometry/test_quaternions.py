"""Quaternions against scipy's."""

import math

import pytest
import torch
from hypothesis import given
from scipy.spatial.transform import Rotation
from strategies import rotations
from torch import Tensor

from videorfsplat.geometry.quaternions import multiply_quats, quats_to_rotations, rotations_to_quats


def scipy_quats(rotations: Tensor) -> Tensor:
    return torch.from_numpy(Rotation.from_matrix(rotations.numpy()).as_quat(scalar_first=True))


@given(rotations(), rotations())
def test_products_of_quaternions_are_products_of_rotations(one, two):
    found = quats_to_rotations(multiply_quats(scipy_quats(one), scipy_quats(two)))
    torch.testing.assert_close(found, one @ two, rtol=0, atol=1e-9)


def test_one_rotation_turns_many():
    many = scipy_quats(torch.from_numpy(Rotation.random(5, rng=0).as_matrix()))
    found = multiply_quats(many[0], many[None])
    assert found.shape == (1, 5, 4)
    for quat, product in zip(many, found[0], strict=True):
        torch.testing.assert_close(product, multiply_quats(many[0], quat))


@given(rotations())
def test_quaternions_of_rotations_are_scipys_up_to_sign(rotation):
    found = rotations_to_quats(rotation[None])[0]
    assert abs(float(found @ scipy_quats(rotation))) == pytest.approx(1, abs=1e-9)


def test_quaternions_of_half_turns():
    # The trace is -1 here, where the form that divides by the real part fails.
    turns = Rotation.from_rotvec(math.pi * torch.eye(3).double().numpy()).as_matrix()
    found = rotations_to_quats(torch.from_numpy(turns)).abs()
    expected = torch.eye(4, dtype=torch.float64)[1:]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@given(rotations())
def test_matrices_of_quaternions_of_any_length_are_scipys(rotation):
    torch.testing.assert_close(
        quats_to_rotations(3 * scipy_quats(rotation)), rotation, rtol=0, atol=1e-9
    )
