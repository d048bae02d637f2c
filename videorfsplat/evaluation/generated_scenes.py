"""Scenes that are generated once and measured once: both are kept in the folder."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.prompts import Prompt
from videorfsplat.formats.files import write_file
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.rays import RayFit
from videorfsplat.sampling.settings import Sampling

logger = logging.getLogger(__name__)

_REPORTED_EVERY = 16

Measurement = tuple[dict[str, Any], dict[str, Tensor]]
"""A record that can be written as JSON, and features [v,d] of the scene's views by name."""


def check_origin(folder: Path, origin: dict[str, Any]) -> None:
    """Make `folder`, or see that what it holds was made with the same settings and weights.

    Raises:
        ValueError: if it was not.
    """
    path = folder / "origin.json"
    # As it comes back from the file.
    origin = json.loads(json.dumps(origin))
    if path.exists():
        found = json.loads(path.read_text())
        if found != origin:
            changed = [k for k in origin.keys() | found.keys() if origin.get(k) != found.get(k)]
            raise ValueError(
                f"{folder} was made with another {', '.join(sorted(changed))}; "
                "choose another output"
            )
        return
    write_file(path, (json.dumps(origin, indent=2) + "\n").encode())


class Measurements:
    """One JSON line a scene in `records.jsonl`, its features in `features/<index>.safetensors`.

    Args:
        folder: made if needed.
        origin: settings and fingerprints that decide the values.

    Raises:
        ValueError: if the folder holds measurements of another origin.
    """

    def __init__(self, folder: Path, origin: dict[str, Any]) -> None:
        check_origin(folder, origin)
        self._folder = folder
        self._path = folder / "records.jsonl"
        self._records = self._read()

    def complete(self, indices: Sequence[int], measure: Callable[[int], Measurement]) -> None:
        """Measure the scenes among `indices` that have no record yet."""
        missing = [index for index in indices if index not in self._records]
        for done, index in enumerate(missing, 1):
            record, features = measure(index)
            if features:
                save_tensors(self._feature_path(index), features)
            self._append({"index": index, **record})
            if done % _REPORTED_EVERY == 0 or done == len(missing):
                logger.info("%s: %d of %d measured", self._folder.name, done, len(missing))

    def records(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The records of these scenes, in their order."""
        return [self._records[index] for index in indices]

    def features(self, name: str, indices: Sequence[int]) -> list[Float[Tensor, "v d"]]:
        """One kind of feature of each of these scenes, in their order."""
        return [load_file(self._feature_path(index))[name] for index in indices]

    def _feature_path(self, index: int) -> Path:
        return self._folder / "features" / f"{index:06d}.safetensors"

    def _read(self) -> dict[int, dict[str, Any]]:
        if not self._path.exists():
            return {}
        lines = self._path.read_text().splitlines(keepends=True)
        # A line without its end was being written when a run was killed.
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            write_file(self._path, "".join(whole).encode())
        records = [json.loads(line) for line in whole]
        return {record["index"]: record for record in records}

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, allow_nan=False) + "\n"
        with self._path.open("a") as file:
            file.write(line)
        self._records[record["index"]] = json.loads(line)


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file so that a kill leaves none rather than half."""
    on_cpu = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    write_file(path, save(on_cpu, metadata))


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
