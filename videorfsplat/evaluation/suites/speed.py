"""Suite `speed`: how long a generation takes, at default settings or by the few-step variant."""

import statistics

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.generation.generate import time_scene
from videorfsplat.generation.settings import GenerationSettings

_TIMED_GENERATIONS = 3


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Seconds from the sentence to the .ply file, the model being loaded and warm."""
    prompt = held_out_prompts(1, evaluation.settings.seed)[0].text
    asked = evaluation.settings
    settings = GenerationSettings(
        prompt, model=asked.model, few_step=asked.few_step, **vars(asked.sampling)
    )
    runs = [time_scene(evaluation.pipeline, settings) for _ in range(1 + _TIMED_GENERATIONS)]
    seconds = [stages["total"] for _, stages in runs[1:]]
    name = "seconds_few_step" if asked.few_step else "seconds_default"
    return SuiteResult({"seconds": seconds}, {name: statistics.median(seconds)})
