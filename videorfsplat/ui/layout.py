"""The components of the page, by column and tab; `page.py` wires them."""

import json
from types import SimpleNamespace
from typing import Any

import gradio as gr

from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.ui import example_scenes, frame_strip, share_link
from videorfsplat.ui.example_scenes import ExampleScene
from videorfsplat.ui.given_cameras import PRESETS, UPLOAD_SUFFIXES
from videorfsplat.ui.page_files import read_asset
from videorfsplat.ui.page_settings import CAMERA_SOURCES, RANGES, Fields, Variant
from videorfsplat.ui.splat_viewer import SplatViewer
from videorfsplat.ui.status_card import message_card

PROMPTS: dict[str, str] = {
    "Red house": "a red house with a blue roof on a green meadow, the camera orbits to the left",
    "Lighthouse": "a lighthouse with white stripes by a lake at sunset, camera moving closer",
    "Snowman": "a snowman with a red scarf in the snow, with two pine trees beside it",
    "Balloon": "a yellow hot air balloon over a field of flowers in the afternoon",
}
"""Sentences in the words of the small model, by what their buttons say."""

AXES_CHOICES = [("OpenCV (+y down)", "opencv"), ("OpenGL (+y up)", "opengl")]
OWN_CAMERAS = ""
"""The path of a film along the scene's own cameras."""

PLAIN: dict[str, Any] = {"apply_default_css": False}


def ask_column(has_few_step: bool) -> SimpleNamespace:
    """Sentence, buttons, status and settings, of which the few-step variant is one if there is one.

    `form` has the inputs in the order of `Fields`, `schedule` those that decide the timetable.
    """
    c = SimpleNamespace()
    with gr.Column(elem_id="composer"):
        c.prompt = gr.Textbox(
            label="Sentence",
            placeholder=f"Such as: {PROMPTS['Red house']}",
            lines=3,
            max_lines=6,
            max_length=MAX_PROMPT_CHARACTERS,
        )
        c.unknown = gr.HTML(**PLAIN)
        with gr.Row(elem_id="chips"):
            for name, prompt in PROMPTS.items():
                chip = gr.Button(name, size="sm", min_width=0)
                chip.click(None, None, c.prompt, js=f"() => {json.dumps(prompt)}")
        with gr.Row(elem_id="actions"):
            c.generate = gr.Button(
                "Generate", variant="primary", scale=3, min_width=0, elem_id="generate"
            )
            c.stop = gr.Button("Stop", interactive=False, scale=1, min_width=0)
        c.is_stopped = gr.State(False)
        c.status = gr.HTML(
            message_card("Ready.", "Write a sentence, then press Generate."),
            elem_id="status",
            js_on_load=read_asset("queue_words.js"),
            **PLAIN,
        )
        # Where there is room for one column only.
        gr.HTML('<a class="to-settings" href="#settings">Settings, below the scene</a>', **PLAIN)
    with gr.Column(elem_id="settings"):
        _settings(c, has_few_step)
    c.form = [getattr(c, name) for name in Fields._fields]
    c.sampling = [c.num_inference_steps, *(getattr(c, name) for name in Variant._fields)]
    c.schedule = [c.num_inference_steps, c.pose_offset, c.camera_source]
    return c


def scene_tab(examples: list[ExampleScene]) -> SimpleNamespace:
    """Viewer, frames, cameras, run record and downloads."""
    c = SimpleNamespace()
    c.viewer = SplatViewer("scene", "3D scene", "Write a sentence, then press Generate.")
    c.frames = gr.HTML(frame_strip.NO_FRAMES, js_on_load=frame_strip.on_load("scene"), **PLAIN)
    gallery = example_scenes.example_scenes_gallery(examples)
    c.examples = gr.HTML(gallery, js_on_load=example_scenes.ON_LOAD, **PLAIN)
    with gr.Row(elem_id="details"):
        with gr.Column(min_width=280):
            gr.HTML("<h2>Cameras</h2>", **PLAIN)
            c.frustums = gr.Plot(show_label=False, elem_classes="frustums", elem_id="frustums")
            gr.HTML("<h2>Run record</h2>", **PLAIN)
            c.record = gr.HTML(elem_id="record", **PLAIN)
        with gr.Column(min_width=280):
            gr.HTML("<h2>Downloads</h2>", **PLAIN)
            _downloads(c)
    # Names of the scene that is shown, and of the one from before the run that goes on.
    c.scene, c.previous = gr.State(None), gr.State(None)
    return c


def compare_tab() -> SimpleNamespace:
    """Two sets of settings and their scenes, seen by one camera."""
    c = SimpleNamespace()
    with gr.Row(elem_id="compare-head"):
        gr.HTML(
            "<p>One sentence, one seed, two settings: synchronous against cameras first, unless "
            "you change it. Turn one scene and the other turns with it.</p>",
            **PLAIN,
        )
        c.compare = gr.Button("Compare", variant="primary", scale=0, min_width=140)
    c.sides, c.variants = [], []
    with gr.Row(elem_id="pair"):
        for name, pose_offset in (("left", 0.0), ("right", GenerationSettings.pose_offset)):
            with gr.Column(min_width=280):
                with gr.Row(elem_classes="variant"):
                    sliders = [_offset_slider(pose_offset)]
                    timetable = gr.HTML(elem_classes="timetable-box", min_width=0, **PLAIN)
                with gr.Accordion("Guidance", open=False):
                    sliders += _guidance_sliders()
                viewer = SplatViewer(name, f"3D scene, {name}", "Press Compare.", group="pair")
                frames = gr.HTML(
                    frame_strip.NO_FRAMES, js_on_load=frame_strip.on_load(name), **PLAIN
                )
            c.variants += sliders
            c.sides.append(SimpleNamespace(timetable=timetable, viewer=viewer, frames=frames))
    return c


def _settings(c: SimpleNamespace, has_few_step: bool) -> None:
    with gr.Row(elem_id="seed-row"):
        c.seed = gr.Number(0, label="Seed", precision=0, min_width=0)
        c.new_seed = gr.Checkbox(True, label="Randomise", min_width=0)
    c.few_step = gr.Checkbox(
        False,
        label="Few steps",
        info="A variant that needs no guidance: several times as fast, hardly worse.",
        visible=has_few_step,
    )
    c.num_inference_steps = gr.Slider(
        *RANGES["num_inference_steps"],
        GenerationSettings.num_inference_steps,
        step=1,
        label="Steps",
    )
    c.pose_offset = _offset_slider(
        GenerationSettings.pose_offset,
        "Above 0, cameras are denoised ahead of the images; below 0, behind them.",
    )
    c.timetable = gr.HTML(elem_classes="timetable-box", **PLAIN)
    with gr.Accordion("Guidance", open=False):
        scales = _guidance_sliders()
        c.guidance_scale, c.pose_guidance_scale, c.camera_guidance_scale = scales
    with gr.Accordion("Given cameras", open=False):
        c.camera_source = gr.Radio(
            list(CAMERA_SOURCES.items()), value="generated", label="Where the cameras come from"
        )
        presets = [(label, name) for name, label in PRESETS.items()]
        c.preset = gr.Dropdown(presets, value="orbit_left", label="Path", visible=False)
        c.camera_file = gr.File(
            label="Cameras: transforms.json, .npz, .tum, .glb, COLMAP .zip, any unit and number",
            file_types=[*UPLOAD_SUFFIXES],
            visible=False,
            height=120,
        )
        c.given_note = gr.HTML(**PLAIN)
        c.given = gr.Plot(show_label=False, visible=False, elem_classes="frustums")
    c.model = gr.HTML(elem_id="model", **PLAIN)


def _offset_slider(value: float, info: str | None = None) -> gr.Slider:
    return gr.Slider(
        *RANGES["pose_offset"],
        value,
        step=0.05,
        label="Timestep offset δ",
        info=info,
        min_width=0,
    )


def _guidance_sliders() -> list[gr.Slider]:
    """Text → images, text → cameras, cameras → images."""
    return [
        gr.Slider(
            *RANGES[name], getattr(GenerationSettings, name), step=0.25, label=label, info=info
        )
        for name, label, info in (
            ("guidance_scale", "Sentence → images", "How literally; 1 is off, faster."),
            ("pose_guidance_scale", "Sentence → cameras", "For “orbits”, “rises” and such."),
            ("camera_guidance_scale", "Cameras → images", "How strictly views keep to them."),
        )
    ]


def _downloads(c: SimpleNamespace) -> None:
    c.axes = gr.Radio(AXES_CHOICES, value="opencv", label="World axes of the files")
    c.downloads = gr.HTML(elem_id="downloads", **PLAIN)
    with gr.Row(elem_id="film-row"):
        paths = [("Its cameras", OWN_CAMERAS), *((label, name) for name, label in PRESETS.items())]
        c.path = gr.Dropdown(paths, value=OWN_CAMERAS, label="Film path", min_width=0)
        c.make_film = gr.Button("Make film", min_width=0)
    c.film = gr.HTML(**PLAIN)
    c.share = gr.Button("Share this scene")
    c.link = gr.HTML(js_on_load=share_link.ON_LOAD, **PLAIN)
