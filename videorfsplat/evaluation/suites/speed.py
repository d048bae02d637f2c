"""Suite `speed`: how long a generation at default settings takes."""

import statistics
import tempfile
import time
from pathlib import Path

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.formats.ply import save_ply
from videorfsplat.generation import generate_scene
from videorfsplat.generation_settings import GenerationSettings

_TIMED_GENERATIONS = 3


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Seconds from the sentence to the .ply file, the model being loaded and warm."""
    prompt = held_out_prompts(1, evaluation.settings.seed)[0].text
    settings = GenerationSettings(prompt, model=evaluation.settings.model)
    _, *seconds = [_seconds_of(evaluation, settings) for _ in range(1 + _TIMED_GENERATIONS)]
    return SuiteResult({"seconds": seconds}, {"seconds_default": statistics.median(seconds)})


def _seconds_of(evaluation: Evaluation, settings: GenerationSettings) -> float:
    start = time.perf_counter()
    scene = generate_scene(evaluation.pipeline, settings)
    with tempfile.TemporaryDirectory() as folder:
        save_ply(scene.gaussians, Path(folder) / "scene.ply")
    return round(time.perf_counter() - start, 3)
