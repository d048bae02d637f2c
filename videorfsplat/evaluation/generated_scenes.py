"""Generated scenes on disk, as the latents of both streams: made once, measured by any suite."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.measurements import check_origin, save_tensors
from videorfsplat.evaluation.prompts import Prompt
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.rays import RayFit
from videorfsplat.sampling.settings import Sampling

logger = logging.getLogger(__name__)


class GeneratedScenes:
    """The scenes of a list of prompts under one sampling; those that are missing are generated.

    Args:
        evaluation: with the model.
        name: of the folder, with the sampling's name after it.
        prompts: what to generate.
        sampling: how.
        cameras: given ones, one entry a prompt; generated if absent.

    Raises:
        ValueError: if the folder holds scenes of another model or other prompts.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        name: str,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        cameras: Sequence[Cameras] | None = None,
    ) -> None:
        self.evaluation = evaluation
        self.name = f"{name}-{sampling.name}"
        self.sampling = sampling
        self.prompts = {prompt.index: prompt for prompt in prompts}
        self.folder = evaluation.output / "scenes" / self.name
        self._given = None
        if cameras is not None:
            self._given = dict(zip(self.prompts, cameras, strict=True))
        check_origin(self.folder, evaluation.latents_origin)
        self._check_prompts()
        self._generate()

    @property
    def indices(self) -> list[int]:
        """Of the prompts."""
        return list(self.prompts)

    def latents(self, index: int) -> Float[Tensor, "1 c v h w"]:
        """Clean image latents of one scene, normalised."""
        return self._read(index)["latents"].to(self.evaluation.pipeline.device)[None]

    def frames(self, index: int) -> Float[Tensor, "v 3 H W"]:
        """Decoded views of one scene in [0, 1]."""
        return self.evaluation.pipeline.decode_frames(self.latents(index))[0]

    def cameras(self, index: int) -> Cameras:
        """The cameras of one scene, given or recovered from its rays."""
        if self._given is not None:
            return self._given[index]
        return self.ray_fit(index).cameras

    def ray_fit(self, index: int) -> RayFit:
        """The cameras that explain the generated rays of one scene."""
        pose_latents = self._read(index)["pose_latents"][None]
        return self.evaluation.pipeline.recover_cameras(
            pose_latents.to(self.evaluation.pipeline.device), *self._size
        )[0]

    @property
    def _size(self) -> tuple[int, int]:
        return self.evaluation.size, self.evaluation.size

    def _check_prompts(self) -> None:
        for prompt in self.prompts.values():
            path = self._path(prompt.index)
            if path.exists():
                with safe_open(path, framework="pt") as file:
                    made_from = (file.metadata() or {}).get("prompt")
                if made_from != prompt.text:
                    raise ValueError(
                        f"{path} was made from {made_from!r}, expected {prompt.text!r}; "
                        "choose another output"
                    )

    def _generate(self) -> None:
        missing = [p for p in self.prompts.values() if not self._path(p.index).exists()]
        size = self.evaluation.settings.batch_size
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            given = None if self._given is None else [self._given[p.index] for p in batch]
            output = self.evaluation.pipeline(
                [
                    self.evaluation.drawn_text(p.text, p.noise_seed, with_motion=given is None)
                    for p in batch
                ],
                cameras=given,
                # A generator each, so that a scene does not depend on its batch.
                generator=[torch.Generator().manual_seed(p.noise_seed) for p in batch],
                output_type="latent",
                **vars(self.sampling),
            )
            for row, prompt in enumerate(batch):
                latents = {
                    "latents": output.latents[row],
                    "pose_latents": output.pose_latents[row],
                }
                save_tensors(self._path(prompt.index), latents, {"prompt": prompt.text})
            logger.info("%s: %d of %d generated", self.name, start + len(batch), len(missing))

    def _read(self, index: int) -> dict[str, Tensor]:
        return load_file(self._path(index))

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"
