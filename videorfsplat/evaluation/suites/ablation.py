"""Suite `ablation`: what δ, the guidance scales and the number of steps do; its plots and tables.

Every point has the same prompts and the same noise, so differences are paired by prompt.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.figures import (
    Figure,
    frechet_difference,
    frechet_figure,
    scene_differences,
    scene_figures,
)
from videorfsplat.evaluation.generated_scenes import GeneratedScenes, Measurement, Measurements
from videorfsplat.evaluation.prompts import Prompt, held_out_prompts
from videorfsplat.evaluation.reports import Source, short_commit
from videorfsplat.evaluation.scene_measures import measure_scenes, reference_features
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.formats.files import write_file
from videorfsplat.formats.video import to_uint8
from videorfsplat.geometry.cameras import Cameras, camera_errors
from videorfsplat.geometry.view_colors import VIEW_COLORS
from videorfsplat.pipeline_output import DenoisingStep
from videorfsplat.sampling.settings import Sampling

OSCILLATION_OFFSETS = (0.2, 0.0, -0.2)
PICTURED_OFFSETS = (0.2, 0.0, -0.4)


@dataclass(frozen=True)
class Axis:
    """One setting, the values it takes, and the sampling in which everything else stays."""

    name: str
    """For files."""
    label: str
    """For plots."""
    setting: str
    """A field of `Sampling`."""
    values: tuple[float, ...]
    base: Sampling
    prompt_share: float
    """Part of the evaluation's prompts that each value is tried on."""

    @property
    def baseline(self) -> float:
        """The value that the others are compared with."""
        return getattr(self.base, self.setting)

    def sampling(self, value: float) -> Sampling:
        """The base with this value."""
        changed: dict[str, Any] = {self.setting: value}
        return replace(self.base, **changed)

    def num_prompts(self, prompts: int) -> int:
        """Prompts of each value, of so many in the evaluation."""
        return max(2, round(self.prompt_share * prompts))


_STEPS = (4, 6, 12, 24, 50, 200)

AXES: tuple[Axis, ...] = (
    Axis("delta", "δ", "pose_offset", (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4), Sampling(), 1.0),
    Axis(
        "camera-guidance",
        "camera guidance scale",
        "camera_guidance_scale",
        (1.0, 1.5, 2.0, 3.0),
        Sampling(),
        0.25,
    ),
    Axis(
        "image-guidance",
        "text guidance scale of images",
        "guidance_scale",
        (1.0, 2.0, 3.0, 5.0, 7.0),
        Sampling(),
        0.25,
    ),
    Axis("steps", "steps", "num_inference_steps", _STEPS, Sampling(), 0.25),
    Axis(
        "steps-synchronous",
        "steps at δ = 0",
        "num_inference_steps",
        _STEPS,
        Sampling(pose_offset=0.0),
        0.25,
    ),
)
"""The line of δ, then one axis at a time."""


PLOTTED: dict[str, str] = {
    "attributes": "captioned attributes seen in renders",
    "kind": "kind of the main object seen in renders",
    "motion_direction": "camera moves in the captioned direction",
    "consistency_psnr": "held-out views, PSNR (dB)",
    "rotation_error_degrees": "rotation error of the ray fit (degrees)",
    "frechet": "Fréchet distance of renders, probe features",
}
"""The figures that plots and tables show, with their labels."""

_BORDER = 3
_LINE_HEIGHT = 16
_LETTER_WIDTH = 6.5


def plot_axis(axis: Axis, points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A panel for each figure of `PLOTTED`, with 95 % intervals.

    Args:
        axis: what was changed.
        points: `value` and `figures` of each value of the axis.
        path: PNG file to write.
    """
    plot = Plot(figsize=(11, 6), layout="constrained")
    plot.suptitle(f"{axis.label} ({points[0]['scenes']} prompts a point)")
    for panel, (name, label) in zip(plot.subplots(2, 3).flat, PLOTTED.items(), strict=True):
        known = [p for p in points if p["figures"][name]["value"] is not None]
        (line,) = panel.plot(
            [p["value"] for p in known], [p["figures"][name]["value"] for p in known], marker="o"
        )
        for point in known:
            figure = point["figures"][name]
            # Of its own, for the interval of a biased statistic may leave out the value.
            ends = [x for x in (figure["low"], figure["high"]) if x is not None]
            panel.plot([point["value"]] * len(ends), ends, marker="_", color=line.get_color())
        panel.axvline(axis.baseline, color="gray", linewidth=0.8, linestyle=":")
        if axis.setting == "num_inference_steps":
            panel.set_xscale("log")
        panel.set_title(label, fontsize=9)
        panel.set_xlabel(axis.label, fontsize=9)
    _save(plot, path)


def plot_oscillation(runs: Mapping[float, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Change of the predicted cameras from step to step, and their distance from the last ones.

    Args:
        runs: what `measure_oscillation` found for each δ.
        path: PNG file to write.
    """
    plot = Plot(figsize=(11, 4), layout="constrained")
    panels: list[Axes] = list(plot.subplots(1, 2))
    for delta, run in runs.items():
        for panel, name in zip(panels, ("change_degrees", "final_degrees"), strict=True):
            panel.plot(run["t_image"], run[name], marker=".", label=f"δ = {delta:g}")
    for panel, title in zip(panels, ("from the step before", "from the last step"), strict=True):
        panel.set_title(f"rotation of predicted cameras {title} (degrees)", fontsize=9)
        panel.set_xlabel("t of the images before the step")
        panel.invert_xaxis()
        panel.legend()
    _save(plot, path)


def draw_scenes(rows: Sequence[tuple[str, Float[Tensor, "v 3 H W"]]], path: Path) -> None:
    """A row of views a scene, each bordered in its colour, with a line of text above.

    Args:
        rows: text and views in [0, 1] of each scene.
        path: picture file to write.
    """
    strips = [_strip(text, views) for text, views in rows]
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88)


def write_tables(
    report: Mapping[Axis, Sequence[Mapping[str, Any]]], source: Source, path: Path
) -> None:
    """One Markdown table an axis: a row a value, figures with 95 % intervals.

    A star marks a paired difference from the default whose interval leaves out zero.

    Args:
        report: `value`, `scenes`, `figures` and `differences` of each value of each axis.
        source: what gave them, told above the tables.
        path: Markdown file to write.
    """
    parts = []
    for axis, points in report.items():
        heads = [axis.label, "prompts", *PLOTTED.values()]
        lines = [f"## {axis.label}", "", _row(heads), _row(["---"] * len(heads))]
        for point in points:
            cells = [_cell(point, name) for name in PLOTTED]
            lines.append(_row([f"{point['value']:g}", str(point["scenes"]), *cells]))
        parts.append("\n".join(lines))
    given = (
        f"Given by `{source['command']}`, commit {short_commit(source['commit'])}, "
        f"weights {source['weights']}."
    )
    note = (
        "Intervals are 95 % bootstrap intervals; those of the Fréchet distance, which grows when "
        "scenes are drawn twice, are corrected for it and may leave out the value. * differs from "
        "the default, paired by prompt."
    )
    text = "\n\n".join(["# Ablation", given, note, *parts])
    write_file(path, f"{text}\n".encode())


def _cell(point: Mapping[str, Any], name: str) -> str:
    figure: Figure = point["figures"][name]
    if figure["value"] is None:
        return "–"
    difference: Figure | None = point["differences"].get(name)
    star = "*" if difference is not None and _leaves_out_zero(difference) else ""
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3g}{star}"
    return f"{figure['value']:.3g} [{figure['low']:.3g}, {figure['high']:.3g}]{star}"


def _leaves_out_zero(difference: Figure) -> bool:
    low, high = difference["low"], difference["high"]
    return low is not None and high is not None and (low > 0 or high < 0)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _strip(text: str, views: Float[Tensor, "v 3 H W"]) -> Image.Image:
    pictures = [
        ImageOps.expand(Image.fromarray(view), _BORDER, fill=VIEW_COLORS[index])
        for index, view in enumerate(to_uint8(views.permute(0, 2, 3, 1)))
    ]
    width = sum(picture.width for picture in pictures)
    lines = textwrap.wrap(text, max(int(width / _LETTER_WIDTH), 1))
    top = _LINE_HEIGHT * len(lines)
    strip = Image.new("RGB", (width, top + pictures[0].height), "white")
    # Pillow's own font has no δ.
    font = ImageFont.truetype(findfont("DejaVu Sans"), 11)
    for index, line in enumerate(lines):
        ImageDraw.Draw(strip).text((4, _LINE_HEIGHT * index + 1), line, fill="black", font=font)
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, top))
        left += picture.width
    return strip


def _save(plot: Plot, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(path, dpi=100)


STEP_ERRORS = ("change_degrees", "change_distance", "final_degrees", "final_distance")
"""Mean over views of the rotation and the way between the cameras that a step predicts and those of
the step before (`change`; 0 in the first step) or of the last step (`final`)."""


def measure_oscillation(
    evaluation: Evaluation, prompts: Sequence[Prompt], sampling: Sampling
) -> dict[str, list[float]]:
    """Of each step: `t_image` and `t_pose` at its start, and the median over prompts of each error.

    Args:
        evaluation: with the model.
        prompts: what to generate; the noise is that of the other suites.
        sampling: how.
    """
    by_index = {prompt.index: prompt for prompt in prompts}

    def measure(index: int) -> Measurement:
        return {"steps": _predicted_cameras(evaluation, by_index[index], sampling)}, {}

    folder = evaluation.output / "measured" / f"oscillation-{sampling.name}"
    measured = Measurements(folder, evaluation.latents_origin)
    measured.complete(list(by_index), measure)
    paths = [record["steps"] for record in measured.records(list(by_index))]
    times = {name: [step[name] for step in paths[0]] for name in ("t_image", "t_pose")}
    errors = {
        name: np.median([[step[name] for step in path] for path in paths], axis=0).tolist()
        for name in STEP_ERRORS
    }
    return times | errors


def _predicted_cameras(
    evaluation: Evaluation, prompt: Prompt, sampling: Sampling
) -> list[dict[str, float]]:
    pipeline, size = evaluation.pipeline, (evaluation.size, evaluation.size)
    table = pipeline.make_timetable(sampling.num_inference_steps, sampling.pose_offset)
    cameras: list[Cameras] = []
    stream = pipeline.stream(
        prompt.text,
        generator=torch.Generator().manual_seed(prompt.noise_seed),
        output_type="latent",
        **vars(sampling),
    )
    for item in stream:
        if isinstance(item, DenoisingStep):
            (fit,) = pipeline.recover_cameras(item.predicted_pose_latents, *size)
            cameras.append(fit.cameras)
    steps: list[dict[str, Any]] = []
    for index, (step, predicted) in enumerate(zip(table.steps(), cameras, strict=True)):
        errors = {
            "change": _differences(predicted, cameras[max(index - 1, 0)]),
            "final": _differences(predicted, cameras[-1]),
        }
        named = {f"{kind}_{unit}": value for kind, d in errors.items() for unit, value in d.items()}
        steps.append({"t_image": step.t_image, "t_pose": step.t_pose, **named})
    return steps


def _differences(cameras: Cameras, reference: Cameras) -> dict[str, float]:
    # Lengths count as they are: how far the cameras reach is part of what is predicted.
    errors = camera_errors(cameras, reference, align_scale=False)
    return {
        "degrees": float(errors.rotation_degrees.mean()),
        "distance": float(errors.center_distances.mean()),
    }


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
