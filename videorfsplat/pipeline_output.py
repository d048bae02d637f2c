"""What the pipeline hands over: one state after every step, and the scenes at the end."""

from dataclasses import dataclass

import numpy as np
import PIL.Image
from diffusers.utils import BaseOutput
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians


@dataclass
class DenoisingStep:
    """The state after one step.

    `latents` and `pose_latents` may be replaced by whoever receives the step: the next step starts
    from them. The predictions are what both streams would become if their present velocity were
    exact: clean data at any time, ready for `decode_frames` and `recover_cameras`.
    """

    index: int
    """From 0."""
    num_inference_steps: int
    t_image: float
    """Noise level that the image stream has reached: 1 noise, 0 data."""
    t_pose: float
    """The same of the pose stream."""
    latents: Float[Tensor, "b c v h w"]
    pose_latents: Float[Tensor, "b 6 v hp wp"]
    predicted_latents: Float[Tensor, "b c v h w"]
    predicted_pose_latents: Float[Tensor, "b 6 v hp wp"]


@dataclass
class VideoRFSplatPipelineOutput(BaseOutput):
    """Generated scenes; what `output_type` did not ask for is `None`.

    Args:
        frames (`torch.Tensor`, `np.ndarray` or `list[list[PIL.Image.Image]]`):
            The views of each scene: `[B,V,3,H,W]` in [0, 1], `[B,V,H,W,3]` in [0, 1], or images.
        cameras (`list[Cameras]`):
            The cameras of each scene, in the frame of its view 1 and the unit of given cameras.
        camera_residuals (`list[float]`):
            How far each scene's generated rays are from its cameras, as `RayFit.residual`; `None`
            for given cameras.
        gaussians (`list[Gaussians]`):
            Each scene's Gaussians, in the frame and unit of `cameras`.
        latents (`torch.Tensor`):
            Normalised image latents `[B,C,V,h,w]`.
        pose_latents (`torch.Tensor`):
            Normalised raymaps `[B,6,V,h,w]`.
        units (`list[float]`):
            Lengths of each scene per length of the model: those of given cameras, 1 for generated
            ones.
    """

    frames: Tensor | np.ndarray | list[list[PIL.Image.Image]] | None = None
    cameras: list[Cameras] | None = None
    camera_residuals: list[float] | None = None
    gaussians: list[Gaussians] | None = None
    latents: Tensor | None = None
    pose_latents: Tensor | None = None
    units: list[float] | None = None
