"""The page's endpoints for programs: gradio_client, HTTP and MCP."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

import gradio as gr
from pydantic import ValidationError, validate_call

from videorfsplat.generation.checkpoint import few_step_settings
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui import page_settings, scene_folder
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.run_status import SamplingStep
from videorfsplat.ui.words_for_errors import errors_in_words

T = TypeVar("T")


class File(TypedDict):
    """A file that clients fetch; gradio_client puts the path of its copy here."""

    path: str
    orig_name: str
    meta: dict


class SceneFiles(TypedDict):
    """A generated scene."""

    name: str
    """What `/download` and `/film` take; kept for a day at most."""
    ply: File
    """The Gaussians."""
    cameras: File
    """nerfstudio's transforms.json."""
    frames: list[File]
    """The views."""
    record: dict
    """Settings, seed, seconds, versions."""


class Progress(TypedDict):
    """The state after a step; the last one has the scene."""

    step: int
    num_inference_steps: int
    seconds_left: float
    scene: SceneFiles | None


class ComparisonProgress(TypedDict):
    """The state after a step of either run; the last one has both scenes."""

    run: int
    """0 or 1."""
    step: int
    num_inference_steps: int
    scenes: list[SceneFiles]


class PromptReading(TypedDict):
    """What a sentence states."""

    stated: dict
    """Attributes of a scene and their values."""
    certainty: dict
    """The same attributes, from 0 to 1."""
    relation: str
    """named, near (no world has the thing: the nearest is drawn), none or foreign."""
    name: str
    """The sentence's own words for the main object."""
    notes: list[str]
    """What cannot be drawn as said."""


class Endpoints:
    """What programs can ask of the page; docstrings and types are the schema that they see.

    Args:
        events: the page's handlers.
    """

    def __init__(self, events: PageEvents) -> None:
        self._events = events

    def generate(
        self,
        prompt: str,
        seed: int = 0,
        num_inference_steps: int = GenerationSettings.num_inference_steps,
        pose_offset: float = GenerationSettings.pose_offset,
        guidance_scale: float = GenerationSettings.guidance_scale,
        pose_guidance_scale: float = GenerationSettings.pose_guidance_scale,
        camera_guidance_scale: float = GenerationSettings.camera_guidance_scale,
        trajectory: str = "",
        choices: dict | None = None,
        complete: bool = True,
    ) -> Iterator[Progress]:
        """Make a 3D Gaussian scene, its views and their cameras from a sentence.

        Args:
            prompt: what the scene shows, such as "a red house in the snow"
            seed: of the noise; the same seed and settings give the same scene
            num_inference_steps: denoising steps, 1 to 60
            pose_offset: timestep offset δ, -0.5 to 0.5; above 0 cameras are ahead of images
            guidance_scale: sentence to images, 1 to 8; 1 is off
            pose_guidance_scale: sentence to cameras, 1 to 5; 1 is off
            camera_guidance_scale: cameras to images, 1 to 5; 1 is off
            trajectory: preset camera path such as orbit_left; empty generates the cameras
            choices: attributes and the values that they shall have over the sentence's, such as
                {"main_color": "blue"}; null leaves one to the seed
            complete: let the seed fill in what the sentence leaves open
        """
        values = {
            "prompt": prompt,
            "seed": seed,
            "num_inference_steps": num_inference_steps,
            "pose_offset": pose_offset,
            "guidance_scale": guidance_scale,
            "pose_guidance_scale": pose_guidance_scale,
            "camera_guidance_scale": camera_guidance_scale,
            "trajectory": trajectory,
            "choices": choices or {},
            "complete": complete,
        }
        yield from self._generate(values)

    def generate_few_step(
        self,
        prompt: str,
        seed: int = 0,
        trajectory: str = "",
        choices: dict | None = None,
        complete: bool = True,
    ) -> Iterator[Progress]:
        """Make a 3D Gaussian scene by the model's few-step variant: several times as fast.

        Args:
            prompt: what the scene shows, such as "a red house in the snow"
            seed: of the noise; the same seed gives the same scene
            trajectory: preset camera path such as orbit_left; empty generates the cameras
            choices: attributes and the values that they shall have over the sentence's, such as
                {"main_color": "blue"}; null leaves one to the seed
            complete: let the seed fill in what the sentence leaves open
        """
        values = {
            "prompt": prompt,
            "seed": seed,
            "trajectory": trajectory,
            "choices": choices or {},
            "complete": complete,
        }
        yield from self._generate(few_step_settings(self._events.host.model) | values)

    def compare(
        self,
        prompt: str,
        seed: int = 0,
        num_inference_steps: int = GenerationSettings.num_inference_steps,
        pose_offsets: tuple[float, float] = (0.0, GenerationSettings.pose_offset),
    ) -> Iterator[ComparisonProgress]:
        """Make a sentence's scene twice, with the same seed and two timestep offsets.

        Args:
            prompt: what the scenes show
            seed: of the noise of both
            num_inference_steps: denoising steps of each, 1 to 60
            pose_offsets: δ of the first and of the second, -0.5 to 0.5
        """
        with errors_in_words("Not compared"):
            scenes: list[SceneFiles] = []
            values = {"prompt": prompt, "seed": seed, "num_inference_steps": num_inference_steps}
            both = [
                page_settings.settings_from_values(
                    {**values, "pose_offset": pose_offset}, self._events.host.model
                )
                for pose_offset in pose_offsets
            ]
            for run, settings in enumerate(both):
                done, total = 0, settings.num_inference_steps
                for item in self._events.sample(settings):
                    if isinstance(item, SamplingStep):
                        done = item.index + 1
                    else:
                        scenes = [*scenes, _scene_files(item)]
                    yield ComparisonProgress(
                        run=run, step=done, num_inference_steps=total, scenes=scenes
                    )

    def download(
        self, name: str, file_name: str = "scene.spz", axes: Literal["opencv", "opengl"] = "opencv"
    ) -> File:
        """A file of a generated scene.

        Args:
            name: of the scene, as /generate gave it
            file_name: scene.ply, scene.compressed.ply, scene.spz, scene.sog, scene.splat,
                transforms.json, scene-colmap.zip, cameras.tum, cameras.npz, scene.glb, film.mp4,
                scene.html or scene.json
            axes: world axes; opencv has +y down, opengl +y up
        """
        from videorfsplat.ui.downloads import make_download

        with errors_in_words("No file"), self._events.added_to(name) as folder:
            return _file(self._events.host.run(make_download, folder, file_name, axes))

    def film(self, name: str, path: str = "") -> File:
        """A film of a generated scene.

        Args:
            name: of the scene, as /generate gave it
            path: preset camera path such as spiral; empty follows the scene's cameras
        """
        from videorfsplat.ui.downloads import make_film

        with errors_in_words("No film"), self._events.added_to(name) as folder:
            return _file(self._events.host.run(make_film, folder, path or None))

    def timetable(
        self,
        num_inference_steps: int = GenerationSettings.num_inference_steps,
        pose_offset: float = GenerationSettings.pose_offset,
    ) -> list[dict]:
        """The noise levels of images and cameras before and after every step.

        Args:
            num_inference_steps: denoising steps
            pose_offset: timestep offset δ
        """
        with errors_in_words("No timetable"):
            asked = {"num_inference_steps": num_inference_steps, "pose_offset": pose_offset}
            page_settings.check_ranges(asked)
            table = self._events.host.timetable(
                num_inference_steps, pose_offset, given_cameras=False
            )
            return table.as_rows()

    def read_prompt(self, prompt: str) -> PromptReading:
        """What the model reads in a sentence, before anything is made of it.

        Args:
            prompt: the sentence, in English
        """
        host = self._events.host
        with errors_in_words("Not read"):
            page_settings.check_prompt(prompt)
            reading = host.run(host.pipeline().read_prompt, prompt)
            if reading is None:
                raise ValueError("This model has no prompt reader: it takes a sentence as it is.")
        return PromptReading(
            stated=reading.values,
            certainty={name: stated.certainty for name, stated in reading.stated.items()},
            relation=reading.relation,
            name=reading.name,
            notes=list(reading.notes),
        )

    def _generate(self, values: dict[str, Any]) -> Iterator[Progress]:
        with errors_in_words("Not generated"):
            settings = page_settings.settings_from_values(values, self._events.host.model)
            for item in self._events.sample(settings):
                if isinstance(item, SamplingStep):
                    yield _progress(item)
                else:
                    steps = settings.num_inference_steps
                    yield Progress(
                        step=steps,
                        num_inference_steps=steps,
                        seconds_left=0.0,
                        scene=_scene_files(item),
                    )


def add_endpoints(events: PageEvents, sampler: dict[str, Any]) -> None:
    """Add the endpoints to the page that is being built.

    Args:
        events: the page's handlers.
        sampler: the queue settings that all runs share.
    """
    endpoints = Endpoints(events)
    _add_run(endpoints.generate, Progress, sampler)
    if events.host.has_few_step:
        _add_run(endpoints.generate_few_step, Progress, sampler)
    _add_run(endpoints.compare, ComparisonProgress, sampler)
    for method in (
        endpoints.download,
        endpoints.film,
        endpoints.timetable,
        endpoints.read_prompt,
    ):
        gr.api(_told_to_programs(method), api_name=method.__name__)


def _add_run(method: Callable[..., Iterator[Any]], update: type, sampler: dict[str, Any]) -> None:
    """An endpoint that tells its progress."""

    taking = _told_to_programs(method)

    @functools.wraps(taking)
    def run(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from taking(*args, **kwargs)

    # The schema is read from the return annotation, which says Iterator for a generator.
    signature = inspect.signature(method).replace(return_annotation=update)
    run.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
    gr.api(run, api_name=method.__name__, **sampler)


def _told_to_programs(method: Callable[..., T]) -> Callable[..., T]:
    """The method with its arguments checked by their types, and described each in one line, of
    which programs would see only the first."""
    checked = validate_call(method)
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> T:
        try:
            return checked(**signature.bind(*args, **kwargs).arguments)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise gr.Error("; ".join(problems), title="Not taken", print_exception=False) from error

    # What is indented below an argument goes on about it.
    call.__doc__ = re.sub(r"\n {16,}", " ", method.__doc__ or "")
    return call


def _progress(step: SamplingStep) -> Progress:
    return Progress(
        step=step.index + 1,
        num_inference_steps=step.num_inference_steps,
        seconds_left=round(step.seconds_left, 1),
        scene=None,
    )


def _scene_files(folder: Path) -> SceneFiles:
    return SceneFiles(
        name=folder.name,
        ply=_file(folder / "scene.ply"),
        cameras=_file(folder / "transforms.json"),
        frames=[_file(path) for path in sorted((folder / "frames").glob("*.png"))],
        record=scene_folder.read_scene_record(folder)["record"],
    )


def _file(path: Path) -> File:
    return File(path=str(path), orig_name=path.name, meta={"_type": "gradio.FileData"})
