"""Scenes that the model itself made, for the Gaussian decoder: their latents are not the encoder's.

Generated latents lie beside those of real views, and their views agree less. A decoder that has
only seen encoded views spreads what it is unsure of over several depths.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.formats.video import load_frames
from videorfsplat.generation.scene import FRAMES_NAME, LATENTS_NAME, RECORD_NAME, TRANSFORMS_NAME
from videorfsplat.training.decoder_scenes import SceneViews


class GeneratedViews:
    """The scenes of a folder that `generate --prompts … --latents` filled.

    A reading draws some of the views, between half of them and all, and holds back the others; the
    autoencoder's decoded views are what both are compared with.

    Args:
        folder: of the scene folders.
        novel_views: views returned besides, from the whole scene.

    Raises:
        ValueError: if no scene in it has latents.
    """

    def __init__(self, folder: str | Path, novel_views: int) -> None:
        found = sorted(path.parent for path in Path(folder).glob(f"*/{LATENTS_NAME}"))
        # The latents appear last, and whole. Without a record they are of a scene being replaced.
        self.scenes = [scene for scene in found if (scene / RECORD_NAME).is_file()]
        if not self.scenes:
            raise ValueError(
                f"{folder} has no scenes with {LATENTS_NAME}: make some with generate --prompts "
                "FILE --latents"
            )
        self.novel_views = novel_views

    def __len__(self) -> int:
        return len(self.scenes)

    def read(self, index: int, generator: torch.Generator) -> SceneViews:
        """One scene, its depths unknown."""
        scene = self.scenes[index]
        frames = torch.from_numpy(load_frames(scene / FRAMES_NAME)).permute(0, 3, 1, 2)
        cameras = load_transforms(scene / TRANSFORMS_NAME)
        latents = load_file(scene / LATENTS_NAME)["latents"]
        views = len(frames)
        order = torch.randperm(views, generator=generator)
        kept = int(torch.randint((views + 1) // 2, views + 1, (), generator=generator))
        chosen = order[:kept].sort().values
        # Those held back first; with all views kept, any.
        novel = order.flip(0)[: self.novel_views]
        return SceneViews(
            frames[chosen],
            cameras[chosen],
            torch.full((kept, *frames.shape[-2:]), torch.nan),
            frames[novel],
            cameras[novel],
            latents[None, :, chosen],
        )
