"""A saved toy model with a few-step variant, a scene that it made, and the page of it."""

from pathlib import Path

import pytest
from tiny import save_tiny_few_step, tiny_pipeline

from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.ui.model_host import ModelHost
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.request_files import RequestFiles
from videorfsplat.ui.sampling import sample


@pytest.fixture(scope="session")
def pipeline() -> VideoRFSplatPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="session")
def model_folder(pipeline, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page-model") / "tiny"
    pipeline.save_pretrained(folder)
    save_tiny_few_step(folder)
    return folder


@pytest.fixture(scope="session")
def scene_folder(pipeline, tmp_path_factory) -> Path:
    """To be read only."""
    folder = tmp_path_factory.mktemp("page-scene") / "scene"
    folder.mkdir()
    *_, made = sample(pipeline, GenerationSettings("a red house", num_inference_steps=2), folder)
    assert made == folder
    return folder


@pytest.fixture
def events(model_folder, tmp_path) -> PageEvents:
    return PageEvents(ModelHost(str(model_folder), "cpu"), RequestFiles(tmp_path / "requests"))
