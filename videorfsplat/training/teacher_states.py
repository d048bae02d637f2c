"""Where a model's own sampler passes: what a few-step variant learns to reach in fewer steps."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from videorfsplat.formats.files import write_file
from videorfsplat.models.fingerprint import weights_hash
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.schedules import Timetable
from videorfsplat.sampling.settings import GuidanceScales, Sampling
from videorfsplat.training.run import processes

logger = logging.getLogger(__name__)

# Noise of training prompts; evaluation counts its own from 0 (`evaluation.prompts.noise_seed`).
_FIRST_NOISE_SEED = 2**40


@dataclass(frozen=True)
class Teaching:
    """How the teacher samples, and in how many steps the variant is to do the same.

    Raises:
        ValueError: if the steps do not divide, or a setting is out of range.
    """

    num_inference_steps: int = 4
    """Steps of the variant."""
    teacher_steps: int = Sampling.num_inference_steps
    """Steps of the teacher; a multiple of the variant's."""
    pose_offset: float = Sampling.pose_offset
    """δ of both."""
    guidance_scale: float = Sampling.guidance_scale
    """Text → images of the teacher; the variant has no guidance."""
    pose_guidance_scale: float = Sampling.pose_guidance_scale
    """Text → cameras of the teacher."""
    camera_guidance_scale: float = Sampling.camera_guidance_scale
    """Cameras → images of the teacher."""

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1 or self.teacher_steps % self.num_inference_steps:
            raise ValueError(
                "teacher_steps must be a multiple of num_inference_steps, "
                f"got {self.teacher_steps} and {self.num_inference_steps}"
            )
        _ = self.teacher

    @property
    def stride(self) -> int:
        """Steps of the teacher in one of the variant's."""
        return self.teacher_steps // self.num_inference_steps

    @property
    def variant(self) -> Sampling:
        """What the variant is made for."""
        return Sampling(
            num_inference_steps=self.num_inference_steps,
            pose_offset=self.pose_offset,
            **vars(GuidanceScales()),
        )

    @property
    def teacher(self) -> Sampling:
        """How the teacher samples."""
        values = dict(vars(self))
        values["num_inference_steps"] = values.pop("teacher_steps")
        return Sampling(**values)

    def timetable(self, pipeline: VideoRFSplatPipeline) -> Timetable:
        """What the variant follows.

        Raises:
            ValueError: if the teacher's times do not pass through it.
        """
        table = pipeline.make_timetable(self.num_inference_steps, self.pose_offset)
        teacher = pipeline.make_timetable(self.teacher_steps, self.pose_offset)
        met = torch.tensor(teacher.pairs[:: self.stride], dtype=torch.float64)
        if not torch.allclose(met, torch.tensor(table.pairs, dtype=torch.float64)):
            raise ValueError(
                f"the times of {self.teacher_steps} steps do not pass through those of "
                f"{self.num_inference_steps}, by the model's base schedule; choose other steps"
            )
        return table


class Transition(NamedTuple):
    """One scene before and after a step of the variant."""

    latents: Float[Tensor, "2 c v h w"]
    pose_latents: Float[Tensor, "2 6 v hp wp"]
    prompt_embeds: Float[Tensor, "l d"]


class TeacherStates:
    """A generation of the teacher for each prompt, kept at the times of the variant's steps.

    One file a scene, in float16; what an earlier run made is not made again. Several processes
    share the work, and wait for each other.

    Args:
        folder: of the files.
        pipeline: the teacher.
        prompts: one a scene.
        teaching: how it samples.
        seed: of the noise, which is a scene's own whatever the batches are.
        batch_size: scenes generated at once.

    Raises:
        ValueError: if the folder holds states of another prompt, teacher or setting.
    """

    def __init__(
        self,
        folder: Path,
        # A type checker does not see that the pipeline's wrapped `__call__` is bound: hence `Any`.
        pipeline: Any,
        prompts: Sequence[str],
        teaching: Teaching,
        seed: int,
        batch_size: int,
    ) -> None:
        self.folder, self.prompts, self.teaching, self.seed = folder, prompts, teaching, seed
        self._made_with = json.dumps(
            {**vars(teaching), "seed": seed, "weights": weights_hash(pipeline.transformer)}
        )
        missing = [index for index in range(len(prompts)) if not self._is_there(index)]
        state = processes()
        mine = missing[state.process_index :: state.num_processes]
        for start in range(0, len(mine), batch_size):
            indices = mine[start : start + batch_size]
            self._generate(pipeline, indices)
            logger.info("teacher: %d of %d scenes", start + len(indices), len(mine))
        state.wait_for_everyone()

    def __len__(self) -> int:
        return len(self.prompts)

    def noise(self, index: int) -> torch.Generator:
        """The source of a scene's noise."""
        return torch.Generator().manual_seed(_FIRST_NOISE_SEED * (self.seed + 1) + index)

    def read(self, index: int, step: int) -> Transition:
        """A scene before and after a step."""
        around = slice(step, step + 2)
        with safe_open(self._path(index), framework="pt") as file:
            return Transition(
                file.get_slice("latents")[around].float(),
                file.get_slice("pose_latents")[around].float(),
                file.get_tensor("prompt_embeds").float(),
            )

    def _is_there(self, index: int) -> bool:
        path = self._path(index)
        if not path.exists():
            return False
        with safe_open(path, framework="pt") as file:
            found = file.metadata()
        if found != self._metadata(index):
            changed = [k for k, v in self._metadata(index).items() if found.get(k) != v]
            raise ValueError(f"{path} has another {', '.join(changed)}; choose another output")
        return True

    def _metadata(self, index: int) -> dict[str, str]:
        return {"prompt": self.prompts[index], "made_with": self._made_with}

    def _generate(self, pipeline: Any, indices: list[int]) -> None:
        generators = [self.noise(index) for index in indices]
        states = {
            "latents": [pipeline.prepare_latents(len(indices), *pipeline.default_size, generators)],
            "pose_latents": [
                pipeline.prepare_pose_latents(len(indices), *pipeline.default_size, generators)
            ],
        }

        def keep(
            _: DiffusionPipeline, step: int, __: float, tensors: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            if (step + 1) % self.teaching.stride == 0:
                for name, tensor in tensors.items():
                    states[name].append(tensor)
            return {}

        text = pipeline.encode_prompt([self.prompts[index] for index in indices])
        pipeline(
            **text._asdict(),
            **{name: noise for name, (noise,) in states.items()},
            **self.teaching.teacher.to_dict(),
            output_type="latent",
            callback_on_step_end=keep,
            callback_on_step_end_tensor_inputs=tuple(states),
        )
        stacked = {name: torch.stack(tensors, dim=1) for name, tensors in states.items()}
        for row, index in enumerate(indices):
            length = int(text.prompt_attention_mask[row].sum())
            tensors = {name: tensor[row] for name, tensor in stacked.items()}
            tensors["prompt_embeds"] = text.prompt_embeds[row, :length]
            halves = {name: t.half().cpu().contiguous() for name, t in tensors.items()}
            write_file(self._path(index), save(halves, self._metadata(index)))

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:07d}.safetensors"
