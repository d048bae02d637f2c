"""The components of the page, by column and tab; `page.py` wires them."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui import example_scenes, scene_folder, share_link
from videorfsplat.ui.example_scenes import ExampleScene
from videorfsplat.ui.given_cameras import PRESETS, UPLOAD_SUFFIXES
from videorfsplat.ui.page_files import read_asset
from videorfsplat.ui.page_settings import (
    CAMERA_CHOICES,
    GENERATED,
    MAX_SENTENCE_CHARACTERS,
    RANGES,
    SEEDS_AT_ONCE,
    Fields,
)
from videorfsplat.ui.run_status import message_card
from videorfsplat.ui.sentence import CAN_DRAW, SentenceChips
from videorfsplat.ui.splat_viewer import SplatViewer, show_scene_messages

PLACEHOLDER = "a red house with a blue roof on a green meadow, the camera orbits to the left"

AXES_CHOICES = [("OpenCV (+y down)", "opencv"), ("OpenGL (+y up)", "opengl")]
OWN_CAMERAS = ""
"""The path of a film along the scene's own cameras."""

PLAIN: dict[str, Any] = {"apply_default_css": False}


def ask_column(has_few_step: bool, attributes: Mapping[str, Sequence[str]]) -> SimpleNamespace:
    """Sentence, buttons, status and, closed at first, the settings of those who know the method.

    `form` has the inputs in the order of `Fields`, `schedule` those that decide the timetable.
    """
    c = SimpleNamespace()
    with gr.Column(elem_id="composer"):
        c.prompt = gr.Textbox(
            label="Describe a scene",
            placeholder=f"Such as: {PLACEHOLDER}",
            info="Enter generates, Shift+Enter breaks the line.",
            lines=2,
            max_lines=4,
            max_length=MAX_SENTENCE_CHARACTERS,
            elem_id="sentence",
        )
        c.words = gr.HTML(elem_id="words", **PLAIN)
        gr.HTML(f'<p class="can-draw">{CAN_DRAW}</p>', **PLAIN)
        c.chips = SentenceChips(attributes)
        with gr.Row(elem_id="quality-row"):
            c.quality = gr.Radio(
                [("Fast", "fast"), ("Full", "full")],
                value="fast" if has_few_step else "full",
                label="Quality",
                show_label=False,
                container=False,
                min_width=0,
                elem_id="quality",
                interactive=has_few_step,
            )
            c.several = gr.Checkbox(
                has_few_step,
                label=f"{SEEDS_AT_ONCE} to choose from",
                container=False,
                min_width=0,
                interactive=has_few_step,
                elem_id="several",
            )
        c.cameras = gr.Dropdown(
            CAMERA_CHOICES, value=GENERATED, label="Camera path", filterable=False, elem_id="path"
        )
        with gr.Row(elem_id="actions"):
            c.generate = gr.Button("Generate", variant="primary", min_width=0, elem_id="generate")
            c.stop = gr.Button("Stop", min_width=0, elem_id="stop")
        c.is_stopped = gr.State(False)
        c.status = gr.HTML(
            message_card("Ready.", "Write a sentence, or let the chips write it."),
            elem_id="status",
            js_on_load=read_asset("queue_words.js"),
            **PLAIN,
        )
        c.picks = gr.HTML(elem_id="picks", js_on_load=read_asset("picks.js"), **PLAIN)
        c.model = gr.HTML(elem_id="model", **PLAIN)
    with gr.Accordion("Advanced", open=False, elem_id="settings"):
        _settings(c)
    c.form = [getattr(c, name) for name in Fields._fields]
    c.schedule = [c.quality, c.num_inference_steps, c.pose_offset, c.cameras]
    return c


def scene_tab(examples: list[ExampleScene]) -> SimpleNamespace:
    """Viewer, what it can be had as, frames, scenes of this visit and made earlier, cameras."""
    c = SimpleNamespace()
    first = examples[0] if examples else None
    c.viewer = SplatViewer(
        "scene",
        "3D scene",
        "Write a sentence, then press Generate.",
        value=show_scene_messages(first.folder) if first else [],
        poster=first.poster if first else "",
    )
    with gr.Row(elem_id="keep"):
        c.downloads = gr.HTML(
            elem_id="downloads", js_on_load=read_asset("downloads.js"), min_width=0, **PLAIN
        )
        c.link = gr.HTML(
            share_link.share_buttons(), js_on_load=share_link.ON_LOAD, elem_id="share", **PLAIN
        )
    c.frames = gr.HTML(
        scene_folder.NO_FRAMES,
        js_on_load=scene_folder.on_load("scene"),
        elem_id="frames",
        **PLAIN,
    )
    c.visit = gr.HTML(elem_id="visit", js_on_load=read_asset("visit.js"), **PLAIN)
    gallery = example_scenes.example_scenes_gallery(examples)
    c.examples = gr.HTML(gallery, js_on_load=example_scenes.ON_LOAD, **PLAIN)
    with gr.Row(elem_id="details"):
        with gr.Column(min_width=280):
            gr.HTML("<h2>Cameras</h2>", **PLAIN)
            c.frustums = gr.HTML(
                elem_id="frustums", js_on_load=read_asset("frustum_plot.js"), **PLAIN
            )
        with gr.Column(min_width=280):
            gr.HTML("<h2>Film</h2>", **PLAIN)
            _film(c)
            c.record = gr.HTML(elem_id="record", **PLAIN)
            with gr.Accordion("World axes of the files", open=False):
                c.axes = gr.Radio(AXES_CHOICES, value="opencv", show_label=False, container=False)
    # Names of the scene that is shown, and of the one from before the run that goes on.
    c.scene, c.previous = gr.State(None), gr.State(None)
    return c


def compare_tab() -> SimpleNamespace:
    """Two scenes seen by one camera, with a divider between them."""
    c = SimpleNamespace()
    c.pick = gr.HTML(elem_id="compare-pick", js_on_load=read_asset("compare_pick.js"), **PLAIN)
    with gr.Row(elem_id="pair"):
        c.viewers = [
            SplatViewer(name, f"3D scene, {side}", empty, group="pair")
            for name, side, empty in (
                ("left", "A", "Choose two scenes of this visit, or compare two settings below."),
                ("right", "B", ""),
            )
        ]
        gr.HTML(
            '<input type="range" min="0" max="100" value="50" '
            'aria-label="Divider: A on its left, B on its right"/>',
            js_on_load=read_asset("split.js"),
            elem_id="split",
            **PLAIN,
        )
    c.figures = gr.HTML(elem_id="compare-figures", **PLAIN)
    c.variants, c.timetables = [], []
    with gr.Accordion("Compare two settings of one sentence and seed", open=False):
        with gr.Row():
            for side, pose_offset in (("A", 0.0), ("B", GenerationSettings.pose_offset)):
                with gr.Column(min_width=240):
                    gr.HTML(f"<h2>{side}</h2>", **PLAIN)
                    c.variants += [_offset_slider(pose_offset), *_guidance_sliders()]
                    c.timetables.append(gr.HTML(elem_classes="timetable-box", **PLAIN))
        c.compare = gr.Button("Compare", variant="primary", elem_id="compare")
    return c


def _settings(c: SimpleNamespace) -> None:
    with gr.Row(elem_id="seed-row"):
        c.seed = gr.Number(0, label="Seed", precision=0, min_width=0)
        c.new_seed = gr.Checkbox(True, label="Randomise", min_width=0)
    gr.HTML(
        '<p class="can-draw">Steps, δ and guidance are those of <b>Full</b>: moving one chooses it.'
        "</p>",
        **PLAIN,
    )
    c.num_inference_steps = gr.Slider(
        *RANGES["num_inference_steps"],
        GenerationSettings.num_inference_steps,
        step=1,
        label="Steps",
        elem_classes="sampling",
    )
    c.pose_offset = _offset_slider(
        GenerationSettings.pose_offset,
        "Above 0, cameras are denoised ahead of the images; below 0, behind them.",
    )
    c.timetable = gr.HTML(elem_classes="timetable-box", **PLAIN)
    scales = _guidance_sliders()
    c.guidance_scale, c.pose_guidance_scale, c.camera_guidance_scale = scales
    c.camera_file = gr.File(
        label="Cameras: transforms.json, .npz, .tum, .glb, COLMAP .zip, any unit and number",
        file_types=[*UPLOAD_SUFFIXES],
        height=110,
        elem_id="camera-file",
    )
    c.camera_unit = gr.Number(
        None,
        label="Distance to the subject, in the unit of the file",
        info="From its first camera. Left empty, it is estimated.",
        min_width=0,
        elem_id="camera-unit",
    )
    c.given_note = gr.HTML(**PLAIN)
    c.given = gr.HTML(elem_id="given", js_on_load=read_asset("frustum_plot.js"), **PLAIN)


def _offset_slider(value: float, info: str | None = None) -> gr.Slider:
    return gr.Slider(
        *RANGES["pose_offset"],
        value,
        step=0.05,
        label="Timestep offset δ",
        info=info,
        min_width=0,
        elem_classes="sampling",
    )


def _guidance_sliders() -> list[gr.Slider]:
    """Text → images, text → cameras, cameras → images."""
    return [
        gr.Slider(
            *RANGES[name],
            getattr(GenerationSettings, name),
            step=0.25,
            label=label,
            info=info,
            elem_classes="sampling",
        )
        for name, label, info in (
            ("guidance_scale", "Guidance: sentence → images", "How literally; 1 is off, faster."),
            (
                "pose_guidance_scale",
                "Guidance: sentence → cameras",
                "For “orbits”, “rises” and such.",
            ),
            (
                "camera_guidance_scale",
                "Guidance: cameras → images",
                "How strictly views keep to them.",
            ),
        )
    ]


def _film(c: SimpleNamespace) -> None:
    with gr.Row(elem_id="film-row"):
        paths = [("Its cameras", OWN_CAMERAS), *((label, name) for name, label in PRESETS.items())]
        c.path = gr.Dropdown(paths, value=OWN_CAMERAS, label="Film path", min_width=0)
        c.make_film = gr.Button("Make film", min_width=0)
    c.film = gr.HTML(**PLAIN)
