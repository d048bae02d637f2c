"""What only a GPU can prove runs through on a CPU, and keeps what it has."""

import json
from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState

from videorfsplat.__main__ import main
from videorfsplat.evaluation import gpu_check


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def read(output) -> list[dict]:
    return [json.loads(line) for line in (output / gpu_check.RESULTS).read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_accelerate", "unchecked_types")
def test_every_check_runs_at_toy_size(tmp_path, capsys):
    words = ["gpu-check", "--output", str(tmp_path), "--minutes", "60", "--device", "cpu", "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    lines = read(tmp_path)
    assert report["lines"] == len(lines)
    assert not report["errors"]
    assert list(dict.fromkeys(line["check"] for line in lines)) == list(gpu_check.CHECKS)
    assert all(line["card"] == "CPU, toy size" and line["versions"]["torch"] for line in lines)
    by_check = {name: [x for x in lines if x["check"] == name] for name in gpu_check.CHECKS}
    agreement = by_check["rasterizer agreement"]
    assert [(line["sh_degree"], line["agrees"]) for line in agreement] == [
        (degree, True) for degree in range(4)
    ]
    (training,) = by_check["training and resume"]
    assert training["largest_difference_after_resume"] == 0
    steps = [line for line in by_check["full size"] if line["what"] == "step"]
    assert [line["branches"] for line in steps if not line["compiled"]] == [1, 2, 3]
    assert all(line["tflop"] >= 0 and line["predicted_peak_gigabytes"] >= 0 for line in steps)
    refused = [line for line in by_check["memory settings"] if "refused" in line]
    assert [line["memory"] for line in refused] == [{"offload": "model"}]
    (burst,) = by_check["training burst"]
    pieces = list((tmp_path / burst["average"]).glob("*.safetensors"))
    assert pieces
    assert all(piece.stat().st_size < 16e6 for piece in pieces)


def test_what_fails_is_a_line_and_costs_nothing_else(tmp_path, monkeypatch):
    def failing(run):
        yield {"first": 1.5, "bad": float("nan")}
        raise RuntimeError("no kernel\nimage")

    def fine(run):
        yield {"second": 2}

    monkeypatch.setattr(gpu_check, "CHECKS", {"one": failing, "two": fine})
    report = gpu_check.check_gpu(tmp_path, 1, torch.device("cpu"))
    assert report["errors"] == {"one": "RuntimeError: no kernel image"}
    lines = read(tmp_path)
    assert [line["check"] for line in lines] == ["one", "one", "two"]
    assert lines[0]["bad"] == "nan"
    monkeypatch.setattr(gpu_check.time, "monotonic", iter([0.0, 61.0, 61.0]).__next__)
    gpu_check.check_gpu(tmp_path, 1, torch.device("cpu"))
    assert [line.get("skipped") for line in read(tmp_path)] == ["the minutes are over"] * 2


def test_what_a_machine_lacks_is_told(capsys, monkeypatch):
    monkeypatch.setattr(gpu_check.shutil, "which", lambda name: None)
    assert main(["gpu-check", "--needs", "--json"]) == 0
    assert "nvcc" in json.loads(capsys.readouterr().out)


def test_it_asks_for_a_folder(capsys):
    assert main(["gpu-check"]) == 2
    assert "--output is missing" in capsys.readouterr().err
