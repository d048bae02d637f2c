"""Suite `speed`: how long a generation at default settings takes."""

import statistics

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.generation import time_scene
from videorfsplat.generation_settings import GenerationSettings

_TIMED_GENERATIONS = 3


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Seconds from the sentence to the .ply file, the model being loaded and warm."""
    prompt = held_out_prompts(1, evaluation.settings.seed)[0].text
    settings = GenerationSettings(prompt, model=evaluation.settings.model)
    runs = [time_scene(evaluation.pipeline, settings) for _ in range(1 + _TIMED_GENERATIONS)]
    seconds = [stages["total"] for _, stages in runs[1:]]
    return SuiteResult({"seconds": seconds}, {"seconds_default": statistics.median(seconds)})
