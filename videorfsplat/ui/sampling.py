"""A run of the model as a stream of plain data: every step, previews now and then, the folder."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from videorfsplat.formats.html import webp_url
from videorfsplat.formats.splat_formats import save_splats
from videorfsplat.formats.transforms_json import transforms_dict
from videorfsplat.formats.video import to_uint8
from videorfsplat.generation.generate import stream_scene
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.pipeline_output import DenoisingStep
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.ui.run_status import Preview, SamplingStep
from videorfsplat.ui.scene_folder import SPLATS_NAME, write_depth_pictures, write_points

PREVIEW_QUALITY = 80
"""Of WebP: a preview is looked at for a second."""

PREVIEW_SHARE = 0.05
"""Most of a run's time that may go into previews, but for the first one, which always comes where
another step follows."""


def sample(
    pipeline: VideoRFSplatPipeline, settings: GenerationSettings, folder: Path
) -> Iterator[SamplingStep | Path]:
    """Generate a scene into `folder`: every `SamplingStep`, then the folder.

    Closing the iterator stops the run. The folder then holds what `Scene.save` writes, a
    compressed PLY for the viewer and pictures of the depths.

    Raises:
        ValueError: if a setting does not fit the model.
    """
    start = time.perf_counter()
    preview_seconds = last_preview_seconds = 0.0
    for item in stream_scene(pipeline, settings):
        if isinstance(item, Scene):
            _save(item, folder)
            yield folder
            return
        now = time.perf_counter()
        allowed = PREVIEW_SHARE * (now - start)
        preview = None
        # After the last step the scene itself is next.
        is_last = item.index + 1 == item.num_inference_steps
        is_due = item.index == 0 or preview_seconds + last_preview_seconds <= allowed
        if is_due and not is_last:
            preview = _preview(pipeline, item)
            last_preview_seconds = time.perf_counter() - now
            preview_seconds += last_preview_seconds
        yield _plain(item, time.perf_counter() - start, preview)


def _plain(step: DenoisingStep, elapsed: float, preview: Preview | None) -> SamplingStep:
    done = step.index + 1
    return SamplingStep(
        index=step.index,
        num_inference_steps=step.num_inference_steps,
        t_image=step.t_image,
        t_pose=step.t_pose,
        seconds_left=elapsed / done * (step.num_inference_steps - done),
        preview=preview,
    )


def _preview(pipeline: VideoRFSplatPipeline, step: DenoisingStep) -> Preview:
    """The predicted frames, and the predicted cameras without them."""
    frames = pipeline.decode_frames(step.predicted_latents)[0].permute(0, 2, 3, 1)
    fit = pipeline.recover_cameras(step.predicted_pose_latents, *frames.shape[1:3])[0]
    pictures = tuple(webp_url(frame, PREVIEW_QUALITY) for frame in to_uint8(frames))
    return Preview(pictures, transforms_dict(fit.cameras, list(pictures)))


def _save(scene: Scene, folder: Path) -> None:
    replace(scene, record=_without_paths(scene.record)).save(folder)
    save_splats(scene.gaussians, folder / SPLATS_NAME)
    write_depth_pictures(folder)
    write_points(scene.gaussians, folder)


def _without_paths(record: dict[str, Any]) -> dict[str, Any]:
    """The record without folders of this machine: it goes to strangers."""
    settings = dict(record["settings"])
    for key in ("model", "trajectory"):
        settings[key] = settings[key] and Path(settings[key]).name
    return {**record, "settings": settings}
