"""What was measured is not measured again, and never mixed with what another model made."""

import pytest
import torch

from videorfsplat.evaluation.generated_scenes import Measurements, check_origin


def measure(index: int):
    return {"square": index * index}, {"view": torch.full((2, 3), float(index))}


def refuse(index: int):
    raise AssertionError(f"{index} measured again")


def test_a_second_run_goes_on(tmp_path):
    measured = Measurements(tmp_path / "m", {"model": "a"})
    measured.complete([2, 0], measure)
    again = Measurements(tmp_path / "m", {"model": "a"})
    again.complete([0, 2], refuse)
    again.complete([0, 1, 2], lambda index: measure(index) if index == 1 else refuse(index))
    assert [record["square"] for record in again.records([0, 1, 2])] == [0, 1, 4]
    assert [float(x.mean()) for x in again.features("view", [1, 2])] == [1.0, 2.0]


def test_a_line_that_a_kill_cut_is_measured_again(tmp_path):
    measured = Measurements(tmp_path, {})
    measured.complete([0, 1], measure)
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text()[:-4])
    again = Measurements(tmp_path, {})
    seen = []
    again.complete([0, 1], lambda index: (seen.append(index), measure(index))[1])
    assert seen == [1]
    assert len(path.read_text().splitlines()) == 2


def test_rejects_another_origin(tmp_path):
    check_origin(tmp_path / "scenes", {"model": "a", "seed": 0})
    check_origin(tmp_path / "scenes", {"seed": 0, "model": "a"})
    with pytest.raises(ValueError, match="made with another model; choose another"):
        Measurements(tmp_path / "scenes", {"model": "b", "seed": 0})


def test_values_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        Measurements(tmp_path, {}).complete([0], lambda _: ({"psnr": float("nan")}, {}))
