"""Plots, pictures and tables of the ablation."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from videorfsplat.evaluation.ablation_axes import Axis
from videorfsplat.evaluation.bootstrap import Figure
from videorfsplat.evaluation.source import Source, short_commit
from videorfsplat.formats.files import write_file
from videorfsplat.formats.video import to_uint8
from videorfsplat.geometry.view_colors import VIEW_COLORS

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
