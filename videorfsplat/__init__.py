"""VideoRFSplat: a sentence becomes eight views, their cameras and a 3D Gaussian scene.

The public names are imported when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videorfsplat.generation.scene import Scene as Scene
    from videorfsplat.geometry.cameras import Cameras as Cameras
    from videorfsplat.geometry.gaussians import Gaussians as Gaussians
    from videorfsplat.models.gaussian_decoder import GaussianDecoder as GaussianDecoder
    from videorfsplat.models.transformer_videorfsplat import (
        VideoRFSplatTransformer3DModel as VideoRFSplatTransformer3DModel,
    )
    from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline as VideoRFSplatPipeline
    from videorfsplat.rendering.rasterization import rasterize as rasterize

__version__ = "0.2.0"

_MODULE_OF = {
    "Cameras": "videorfsplat.geometry.cameras",
    "GaussianDecoder": "videorfsplat.models.gaussian_decoder",
    "Gaussians": "videorfsplat.geometry.gaussians",
    "Scene": "videorfsplat.generation.scene",
    "VideoRFSplatPipeline": "videorfsplat.pipeline_videorfsplat",
    "VideoRFSplatTransformer3DModel": "videorfsplat.models.transformer_videorfsplat",
    "rasterize": "videorfsplat.rendering.rasterization",
}
__all__ = [
    "Cameras",
    "GaussianDecoder",
    "Gaussians",
    "Scene",
    "VideoRFSplatPipeline",
    "VideoRFSplatTransformer3DModel",
    "rasterize",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
