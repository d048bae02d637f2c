"""From settings to a recorded scene: what the command line and the page share."""

import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch

from videorfsplat.formats.ply import save_ply
from videorfsplat.formats.video import to_uint8
from videorfsplat.generation.camera_paths import load_camera_path
from videorfsplat.generation.processor import use_free_cores
from videorfsplat.generation.record import (
    StageClock,
    library_versions,
    merge_seconds,
    peak_memory_mb,
)
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.pipeline_output import DenoisingStep, VideoRFSplatPipelineOutput
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.rendering.rasterization import rasterize


def stream_scene(
    pipeline: VideoRFSplatPipeline, settings: GenerationSettings
) -> Iterator[DenoisingStep | Scene]:
    """Generate one scene step by step: every `DenoisingStep`, then the scene.

    Closing the iterator stops the run.

    The scene's record holds `settings`, `seed`, `seconds` (`text`, `denoise`, `decode`, `render`
    and their `total`), `peak_memory_mb`, `cameras_residual` (`None` for given cameras), `device`
    and `versions`.

    Args:
        pipeline: the model that `settings.model` names, or its few-step variant if they ask for it.
        settings: what to generate.

    Raises:
        ValueError: if the trajectory or a setting does not fit the model.
        FileNotFoundError: if the trajectory is a file that does not exist.
    """
    use_free_cores()
    clock = StageClock()
    cameras, scales = _given_cameras(pipeline, settings), settings.scales
    text = pipeline.encode_prompt(
        settings.prompt, do_classifier_free_guidance=scales.needs_negative_text
    )
    clock.lap("text")
    output = VideoRFSplatPipelineOutput()
    for item in pipeline.stream(
        num_inference_steps=settings.num_inference_steps,
        pose_offset=settings.pose_offset,
        cameras=cameras,
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
        "seed": settings.seed,
        "seconds": clock.seconds(),
        "peak_memory_mb": peak_memory_mb(),
        "cameras_residual": output.camera_residuals[0] if output.camera_residuals else None,
        "device": str(pipeline.device),
        "versions": library_versions(),
    }
    yield Scene(scene.gaussians, scene.cameras, scene.frames, scene.depths, record)


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


def _given_cameras(pipeline: VideoRFSplatPipeline, settings: GenerationSettings) -> Cameras | None:
    if settings.trajectory is None:
        return None
    height, width = pipeline.default_size
    cameras = load_camera_path(
        settings.trajectory, num_views=pipeline.num_views, width=width, height=height
    )
    if cameras.num_views != pipeline.num_views:
        raise ValueError(
            f"{settings.trajectory}: the model makes {pipeline.num_views} views, "
            f"got {cameras.num_views} cameras"
        )
    return cameras


@torch.no_grad()
def _render_depths(output: VideoRFSplatPipelineOutput) -> Scene:
    """The scene of a run, with the depths of its Gaussians; on the CPU."""
    assert output.cameras is not None
    assert output.gaussians is not None
    assert isinstance(output.frames, torch.Tensor)
    gaussians, cameras = output.gaussians[0], output.cameras[0]
    _, _, meta = rasterize(gaussians, cameras.to(gaussians.means.device))
    frames = to_uint8(output.frames[0].permute(0, 2, 3, 1))
    return Scene(gaussians.to("cpu"), cameras.to("cpu"), frames, meta["depths"].cpu())
