"""From settings to a recorded scene: what the command line and the page share."""

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from videorfsplat.formats.ply import save_ply
from videorfsplat.formats.video import to_uint8
from videorfsplat.generation.camera_paths import CameraPath, load_camera_path
from videorfsplat.generation.processor import use_free_cores
from videorfsplat.generation.record import (
    StageClock,
    library_versions,
    merge_seconds,
    peak_memory_mb,
)
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.language.completion import Completion
from videorfsplat.pipeline_output import DenoisingStep, VideoRFSplatPipelineOutput
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.rendering.rasterization import DEPTH_RANGE, rasterize


def stream_scene(
    pipeline: VideoRFSplatPipeline, settings: GenerationSettings
) -> Iterator[DenoisingStep | Scene]:
    """Generate one scene step by step: every `DenoisingStep`, then the scene.

    Closing the iterator stops the run.

    The scene's record holds `settings`, `completion` (what was read and filled in, and the caption
    that was drawn; `None` if the prompt was drawn as it is), `seed`, `seconds` (`text`, `denoise`,
    `decode`, `render` and their `total`), `peak_memory_mb`, `cameras_residual` (`None` for given
    cameras), `unit` (lengths of the scene per length of the model), `device` and `versions`.

    Args:
        pipeline: the model that `settings.model` names, or its few-step variant if they ask for it.
        settings: what to generate.

    Raises:
        ValueError: if the trajectory or a setting does not fit the model.
        FileNotFoundError: if the trajectory is a file that does not exist.
    """
    use_free_cores()
    clock = StageClock()
    scales = settings.scales
    path = None if settings.trajectory is None else _given_cameras(pipeline, settings)
    completion = complete_settings(pipeline, settings)
    text = pipeline.encode_prompt(
        completion.caption if completion else settings.prompt,
        do_classifier_free_guidance=scales.needs_negative_text,
    )
    clock.lap("text")
    output = VideoRFSplatPipelineOutput()
    for item in pipeline.stream(
        num_inference_steps=settings.num_inference_steps,
        pose_offset=settings.pose_offset,
        cameras=path and path.cameras,
        camera_unit=path and (path.unit or settings.camera_unit),
        generator=torch.Generator().manual_seed(settings.seed),
        **vars(scales),
        **text._asdict(),
    ):
        if isinstance(item, DenoisingStep):
            clock.lap("denoise")
            yield item
            # What the caller does with a step is not part of the generation.
            clock.skip()
        else:
            clock.lap("decode")
            output = item
    scene = _render_depths(output)
    clock.lap("render")
    record = {
        "settings": settings.to_dict(),
        "completion": asdict(completion) if completion else None,
        "seed": settings.seed,
        "seconds": clock.seconds(),
        "peak_memory_mb": peak_memory_mb(),
        "cameras_residual": output.camera_residuals[0] if output.camera_residuals else None,
        "unit": _unit(output),
        "device": str(pipeline.device),
        "versions": library_versions(),
    }
    yield Scene(scene.gaussians, scene.cameras, scene.frames, scene.depths, record)


def complete_settings(
    pipeline: VideoRFSplatPipeline, settings: GenerationSettings
) -> Completion | None:
    """The full caption that is drawn for a prompt; `None` if the prompt itself is.

    Given cameras move as they do: the caption then says nothing of the camera.
    """
    if not settings.complete:
        return None
    return pipeline.complete_prompt(
        settings.prompt,
        settings.seed,
        settings.choices,
        with_motion=settings.trajectory is None,
    )


def generate_scene(pipeline: VideoRFSplatPipeline, settings: GenerationSettings) -> Scene:
    """Generate one scene: `stream_scene` run to its end."""
    scene = deque(stream_scene(pipeline, settings), maxlen=1).pop()
    assert isinstance(scene, Scene)
    return scene


def time_scene(
    pipeline: VideoRFSplatPipeline, settings: GenerationSettings
) -> tuple[Scene, dict[str, float]]:
    """Generate one scene, and write its .ply file to be thrown away.

    Returns:
        The scene, and the seconds of each stage: those of `stream_scene`, `save`, their `total`.
    """
    scene = generate_scene(pipeline, settings)
    clock = StageClock()
    with tempfile.TemporaryDirectory() as folder:
        save_ply(scene.gaussians, Path(folder) / "scene.ply")
    clock.lap("save")
    return scene, merge_seconds(scene.record["seconds"], clock.seconds())


def _given_cameras(pipeline: VideoRFSplatPipeline, settings: GenerationSettings) -> CameraPath:
    assert settings.trajectory is not None
    height, width = pipeline.default_size
    return load_camera_path(
        settings.trajectory, num_views=pipeline.num_views, width=width, height=height
    )


def _unit(output: VideoRFSplatPipelineOutput) -> float:
    """Lengths of the scene per length of the model."""
    return output.units[0] if output.units else 1.0


@torch.no_grad()
def _render_depths(output: VideoRFSplatPipelineOutput) -> Scene:
    """The scene of a run, with the depths of its Gaussians; on the CPU."""
    assert output.cameras is not None
    assert output.gaussians is not None
    assert isinstance(output.frames, torch.Tensor)
    gaussians, cameras = output.gaussians[0], output.cameras[0]
    near, far = (_unit(output) * depth for depth in DEPTH_RANGE)
    _, _, meta = rasterize(gaussians, cameras.to(gaussians.means.device), near=near, far=far)
    frames = to_uint8(output.frames[0].permute(0, 2, 3, 1))
    return Scene(gaussians.to("cpu"), cameras.to("cpu"), frames, meta["depths"].cpu())
