"""Suite `ablation`: what the timetable, the guidance scales and the number of steps do.

Every point has the same prompts and the same noise, so differences are paired by prompt.
"""

from pathlib import Path
from typing import Any

from videorfsplat.evaluation.ablation_axes import (
    AXES,
    OSCILLATION_OFFSETS,
    PICTURED_OFFSETS,
    Axis,
)
from videorfsplat.evaluation.ablation_figures import (
    draw_scenes,
    plot_axis,
    plot_oscillation,
    write_tables,
)
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.oscillation import measure_oscillation
from videorfsplat.evaluation.prompts import Prompt, held_out_prompts
from videorfsplat.evaluation.real_scenes import reference_features
from videorfsplat.evaluation.scene_figures import (
    frechet_difference,
    frechet_figure,
    scene_differences,
    scene_figures,
)
from videorfsplat.evaluation.scene_measures import measure_scenes
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.sampling.settings import Sampling

_OSCILLATING_PROMPTS = 16
_PICTURED_PROMPTS = 4


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Figures of every point and their differences from the default; plots, tables and pictures."""
    settings = evaluation.settings
    folder = settings.figures or evaluation.output / "figures"
    prompts = held_out_prompts(settings.prompts, settings.seed)
    points = {}
    for axis in AXES:
        points[axis] = _measure_axis(evaluation, axis, prompts)
        # After each axis, for whoever watches a run of hours.
        plot_axis(axis, points[axis], folder / f"{axis.name}.png")
        write_tables(points, evaluation.source, folder / "tables.md")
    oscillation = {
        delta: measure_oscillation(
            evaluation, prompts[:_OSCILLATING_PROMPTS], Sampling(pose_offset=delta)
        )
        for delta in OSCILLATION_OFFSETS
    }
    plot_oscillation(oscillation, folder / "oscillation.png")
    _draw_image_first(evaluation, prompts[:_PICTURED_PROMPTS], folder / "image-first.jpg")
    report = {
        "axes": {axis.name: rows for axis, rows in points.items()},
        "oscillation": {f"{delta:g}": run for delta, run in oscillation.items()},
    }
    return SuiteResult(report, {})


def _measure_axis(
    evaluation: Evaluation, axis: Axis, prompts: list[Prompt]
) -> list[dict[str, Any]]:
    """Value, figures and differences of every point of an axis."""
    tried = prompts[: axis.num_prompts(len(prompts))]
    indices = [prompt.index for prompt in tried]
    reference = reference_features(evaluation, "probe", indices)
    measured = {
        value: measure_scenes(GeneratedScenes(evaluation, "captions", tried, axis.sampling(value)))
        for value in axis.values
    }
    baseline = measured[axis.baseline].records(indices)
    features = {v: m.features("probe_renders", indices) for v, m in measured.items()}
    points = []
    for value, measurements in measured.items():
        records = measurements.records(indices)
        distance = frechet_figure(features[value], reference)
        difference = frechet_difference(features[value], features[axis.baseline], reference)
        points.append(
            {
                "value": value,
                "scenes": len(records),
                "sampling": vars(axis.sampling(value)),
                "figures": scene_figures(records) | {"frechet": distance},
                "differences": scene_differences(records, baseline) | {"frechet": difference},
            }
        )
    return points


def _draw_image_first(evaluation: Evaluation, prompts: list[Prompt], path: Path) -> None:
    """Decoded views of the same prompts and noise, pose-first, synchronous and image-first."""
    runs = {
        delta: GeneratedScenes(evaluation, "captions", prompts, Sampling(pose_offset=delta))
        for delta in PICTURED_OFFSETS
    }
    rows = [
        (f"δ = {delta:g}   {prompt.text}", run.frames(prompt.index))
        for prompt in prompts
        for delta, run in runs.items()
    ]
    draw_scenes(rows, path)
