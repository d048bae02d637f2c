"""Distil a few-step variant: a LoRA with which a few Euler steps go where the guided sampler goes.

The teacher is the model itself, as it samples by default: many steps of a multistep solver, with
guidance. The student starts from the same weights and learns, at the time of each of its steps, the
straight line to where the teacher is some steps later. What guidance adds is in that line, so the
student needs one branch where the teacher needs three. States are the teacher's own, from noise to
data (as in progressive distillation, Salimans & Ho 2022, but along whole generations); the losses
are plain squared errors.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.generation.checkpoint import FEW_STEP_FOLDER, find_model, save_few_step_sampling
from videorfsplat.generation.prompt_list import read_prompt_lines
from videorfsplat.inference.denoising import NUM_TRAIN_TIMESTEPS
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.schedules import Timetable
from videorfsplat.training.attention import training_attention
from videorfsplat.training.export import save_lora
from videorfsplat.training.joint_batches import pad_texts
from videorfsplat.training.lora import add_lora_everywhere
from videorfsplat.training.optimizers import check_optimizer, make_optimizers
from videorfsplat.training.precision import low_precision
from videorfsplat.training.run import (
    RunConfig,
    TrainingRun,
    averaged_weights,
    check_run,
    field_values,
    processes,
)
from videorfsplat.training.sheets import save_sheet
from videorfsplat.training.step_data import StepRandomness
from videorfsplat.training.teacher_states import TeacherStates, Teaching

_SHEET_PROMPTS = 8


@dataclass(frozen=True)
class FewStepTraining:
    """Settings of `train few-step`."""

    run: RunConfig
    prompts: str
    """File with a prompt a line: what the teacher generates."""
    model: str = "mini"
    """Teacher, and start of the student: `mini`, the folder of a saved pipeline, or a hub id."""
    rank: int = 64
    """Of the LoRA, which every linear layer of both streams gets."""
    teacher_batch_size: int = 8
    """Scenes that the teacher generates at once."""
    pose_weight: float = 0.5
    optimizer: str = "muon"
    """muon or adamw."""
    compile_blocks: bool = False
    """Compile the transformer's blocks: minutes at the start, faster steps from then on."""
    caption_tokens: int | None = None
    """Prompts are padded or cut to this many tokens; `None` pads to the longest of the batch."""
    teaching: Teaching = field(default_factory=Teaching)


def train_few_step(settings: FewStepTraining) -> Path:
    """Generate what the teacher teaches, train the student, and write `<output>/few_step`.

    Returns:
        The folder with the LoRA and its sampling, to be put into the model's own folder.

    Raises:
        ValueError: if a setting is out of range, the file holds no prompts, or the output holds
            something of another run.
    """
    prompts = _check_settings(settings)
    pipeline = VideoRFSplatPipeline.from_pretrained(find_model(settings.model))
    pipeline.to(processes().device)
    pipeline.set_progress_bar_config(disable=True)
    timetable = settings.teaching.timetable(pipeline)
    model, folder = pipeline.transformer, Path(settings.run.output)
    if settings.compile_blocks:
        # Prompts of a batch are as long as the longest, and branches of guidance come and go.
        model.compile_blocks()
    with low_precision(pipeline.device):
        states = TeacherStates(
            folder / "teacher",
            pipeline,
            prompts,
            settings.teaching,
            settings.run.seed,
            settings.teacher_batch_size,
        )
    pipeline.set_solver("euler")
    torch.manual_seed(settings.run.seed)
    add_lora_everywhere(model, settings.rank)
    optimizers = make_optimizers(settings.optimizer, model, settings.run)
    if settings.compile_blocks:
        model.compile_blocks(dynamic=False)
    run = TrainingRun(settings.run, model, optimizers, field_values(settings))

    def draw(randomness: StepRandomness) -> _Lines:
        return _draw_lines(settings, states, timetable, randomness)

    def loss(lines: _Lines) -> dict[str, Tensor]:
        return _loss_terms(settings, run, lines)

    def sheet(path: Path) -> None:
        # Its batches have other shapes than the blocks are compiled for.
        with torch.compiler.set_stance("force_eager"):
            _draw_sheet(pipeline, states, path)

    with training_attention(run.accelerator.device):
        run.train(draw, loss, sheet)
    variant = folder / FEW_STEP_FOLDER
    with averaged_weights(run):
        save_lora(run, variant, torch.float16)
    if run.accelerator.is_main_process:
        save_few_step_sampling(settings.teaching.variant, variant)
    return variant


def _check_settings(settings: FewStepTraining) -> list[str]:
    """The prompts, if everything else is right too."""
    if settings.rank < 1 or settings.teacher_batch_size < 1:
        raise ValueError(
            "rank and teacher_batch_size must be at least 1, "
            f"got {settings.rank} and {settings.teacher_batch_size}"
        )
    if settings.compile_blocks and settings.caption_tokens is None:
        raise ValueError("compile_blocks needs caption_tokens: blocks are compiled for one length")
    check_optimizer(settings.optimizer)
    check_run(settings.run, field_values(settings))
    find_model(settings.model)
    return read_prompt_lines(Path(settings.prompts))


class _Lines(NamedTuple):
    """This process's share of a step: one step of the variant in each of its scenes."""

    latents: Float[Tensor, "2 b c v h w"]
    pose_latents: Float[Tensor, "2 b 6 v hp wp"]
    prompt_embeds: Float[Tensor, "b l d"]
    prompt_attention_mask: Tensor
    times: Float[Tensor, "b 2"]
    """Of images and poses, where the lines begin."""
    passed: Float[Tensor, "b 2"]
    counts: Float[Tensor, "2"]
    """Lines of the whole batch along which each stream moves; a process's share of them."""


def _draw_lines(
    settings: FewStepTraining,
    states: TeacherStates,
    timetable: Timetable,
    randomness: StepRandomness,
) -> _Lines:
    """This process's share; every step of the variant has its equal part of a batch."""
    batch_size = settings.run.batch_size
    steps = torch.arange(batch_size) % settings.teaching.num_inference_steps
    times = torch.tensor(timetable.pairs)
    passed = times[steps] - times[steps + 1]
    counts = (passed > 0).sum(dim=0).clamp(min=1) / randomness.num_processes
    steps = randomness.share(steps)
    rows = randomness.indices(len(states), batch_size)
    batch = [states.read(*place) for place in zip(rows, steps.tolist(), strict=True)]
    embeds, mask = pad_texts([one.prompt_embeds for one in batch], settings.caption_tokens)
    return _Lines(
        torch.stack([one.latents for one in batch], dim=1),
        torch.stack([one.pose_latents for one in batch], dim=1),
        embeds,
        mask,
        times[steps],
        randomness.share(passed),
        counts,
    )


def _loss_terms(settings: FewStepTraining, run: TrainingRun, lines: _Lines) -> dict[str, Tensor]:
    """Losses of this process's share."""
    device = run.accelerator.device
    latents, pose_latents, embeds, mask, times, passed, counts = (
        tensor.to(device, non_blocking=True) for tensor in lines
    )
    before, after = latents
    pose_before, pose_after = pose_latents
    t_image, t_pose = times.unbind(dim=1)
    velocity, pose_velocity = run.model(
        before,
        pose_before,
        embeds,
        NUM_TRAIN_TIMESTEPS * (1 - t_image),
        NUM_TRAIN_TIMESTEPS * (1 - t_pose),
        mask,
        return_dict=False,
    )
    image = line_loss(velocity, before, after, passed[:, 0], counts[0])
    pose = line_loss(pose_velocity, pose_before, pose_after, passed[:, 1], counts[1])
    return {"loss": image + settings.pose_weight * pose, "image": image, "pose": pose}


def line_loss(
    velocity: Float[Tensor, "b *rest"],
    before: Float[Tensor, "b *rest"],
    after: Float[Tensor, "b *rest"],
    passed: Float[Tensor, " b"],
    count: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Mean squared error to the velocity of the straight line between two states.

    Args:
        velocity: as predicted at the first state; clean - noise.
        before: the first state.
        after: the second state.
        passed: the noise level of the first less that of the second; where it is 0 the stream
            rests, and nothing is asked.
        count: what the sum over samples is divided by.
    """
    moves = passed > 0
    time = torch.where(moves, passed, 1.0).view(-1, *(1,) * (before.ndim - 1))
    errors = (velocity.float() - (after - before) / time).square().flatten(1).mean(1)
    return (errors * moves).sum() / count


# A type checker does not see that the pipeline's wrapped `__call__` is bound: hence `Any`.
def _draw_sheet(pipeline: Any, states: TeacherStates, path: Path) -> None:
    """Scenes of the first prompts, each as the teacher made it and, below, as the student does."""
    rows = []
    for index, prompt in enumerate(states.prompts[:_SHEET_PROMPTS]):
        taught = states.read(index, states.teaching.num_inference_steps - 1).latents[1:]
        rows.append(pipeline.decode_frames(taught.to(pipeline.device)))
        output = pipeline(
            prompt,
            generator=states.noise(index),
            output_type="pt",
            **states.teaching.variant.to_dict(),
        )
        rows.append(output.frames)
    save_sheet([frames[0] * 2 - 1 for frames in rows], path)
