"""Toy models as a user has them: one with square views and a few-step variant, and a probe."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from tiny import save_tiny_few_step, tiny_pipeline

from videorfsplat.evaluation.evaluation import Evaluation, load_evaluation
from videorfsplat.evaluation.settings import EvaluationSettings
from videorfsplat.models.attribute_probe import AttributeProbe
from videorfsplat.training.probe import probe_attributes


class ToyModels(NamedTuple):
    model: Path
    probe: Path


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> ToyModels:
    """Random weights: three views of 32×32 pixels."""
    folder = tmp_path_factory.mktemp("toy-models")
    pipeline = tiny_pipeline()
    pipeline.transformer.register_to_config(sample_size=(4, 4))
    pipeline.save_pretrained(folder / "model")
    save_tiny_few_step(folder / "model")
    torch.manual_seed(0)
    probe = AttributeProbe(**probe_attributes(), sample_size=32, num_blocks=3, width=16)
    probe.save_pretrained(folder / "probe")
    return ToyModels(folder / "model", folder / "probe")


@pytest.fixture
def evaluation(toy_models: ToyModels, tmp_path: Path) -> Evaluation:
    """Of two prompts, in an empty folder."""
    return load_evaluation(
        EvaluationSettings(
            tmp_path / "evaluation",
            prompts=2,
            model=str(toy_models.model),
            probe=toy_models.probe,
            device="cpu",
        )
    )
