"""An evaluation keeps what its finished suites have found."""

import dataclasses
import json

import pytest

from videorfsplat.evaluation import evaluation as loading
from videorfsplat.evaluation import run
from videorfsplat.evaluation.suites import SuiteResult


def test_a_suite_that_fails_loses_nothing_of_those_before(evaluation, tmp_path, monkeypatch):
    def run_suite(name, _):
        if name == "generation":
            raise RuntimeError("no memory is left")
        return SuiteResult({"found": name}, {f"{name}_novel_psnr": 30.0})

    # The tree has changed since the code was loaded.
    monkeypatch.setattr(loading, "source_commit", lambda: "another")
    monkeypatch.setattr(run, "load_evaluation", lambda settings: evaluation)
    monkeypatch.setattr(run, "run_suite", run_suite)
    metrics = tmp_path / "metrics.json"
    suites = ("autoencoder", "decoder", "generation")
    with pytest.raises(RuntimeError, match="no memory is left"):
        run.run_evaluation(dataclasses.replace(evaluation.settings, suites=suites, metrics=metrics))
    assert [path.name for path in evaluation.output.iterdir()] == ["report.json"]
    report = json.loads((evaluation.output / "report.json").read_text())
    assert report["suites"] == {name: {"found": name} for name in suites[:2]}
    assert report["metrics"] == {"autoencoder_novel_psnr": 30.0, "decoder_novel_psnr": 30.0}
    assert [bar["name"] for bar in report["bars"]] == ["decoder_novel_psnr"]
    assert report["weights"] == evaluation.model_fingerprint
    assert report["commit"] != "another"
    assert not metrics.exists()
