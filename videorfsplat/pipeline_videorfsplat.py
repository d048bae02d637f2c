"""Text → views, cameras and Gaussians: the pipeline that follows a timetable."""

import collections
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from diffusers import AutoencoderKLMochi, DiffusionPipeline, SchedulerMixin
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.loaders import Mochi1LoraLoaderMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videorfsplat.geometry.cameras import Cameras, cameras_along, estimate_unit
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.rays import RayFit, cameras_to_raymap, raymaps_to_cameras
from videorfsplat.language.choices import Choices
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.language.reading import Reading, read_prompts
from videorfsplat.models import one_frame
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.lora_names import fit_lora
from videorfsplat.models.prompt_reader import PromptReader
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.pipeline_output import DenoisingStep, VideoRFSplatPipelineOutput
from videorfsplat.sampling import schedules
from videorfsplat.sampling.guidance import GuidancePlan, combine, plan_branches
from videorfsplat.sampling.schedules import Timetable, TimetableStep
from videorfsplat.sampling.settings import GuidanceScales, Sampling
from videorfsplat.sampling.solvers import FlowSolver, make_scheduler, scheduler_shift

if TYPE_CHECKING:
    from videorfsplat.language.completion import Completion

logger = logging.getLogger(__name__)

# Mochi's limit in tokens; a tokenizer with a smaller `model_max_length` sets its own.
MAX_SEQUENCE_LENGTH = 256
# The transformer is told 1000 · (1 - t), as Mochi is.
NUM_TRAIN_TIMESTEPS = 1000
OUTPUT_TYPES = ("scene", "pt", "np", "pil", "latent")

ABSENT_CONDITIONS = ("pooled_prompt_embeds", "add_text_embeds", "add_time_ids", "image")
"""Conditions of other models that callbacks of diffusers ask for; here they are empty tensors."""

Generators = torch.Generator | list[torch.Generator]
Callback = Callable[[DiffusionPipeline, int, float, dict[str, Tensor]], dict[str, Tensor]]


class TextCondition(NamedTuple):
    """The text of each scene in the batch, and what guidance contrasts it with."""

    prompt_embeds: Float[Tensor, "b l d"]
    prompt_attention_mask: Bool[Tensor, "b l"]
    negative_prompt_embeds: Float[Tensor, "b l d"] | None = None
    negative_prompt_attention_mask: Bool[Tensor, "b l"] | None = None

    def without_padding(self) -> "TextCondition":
        """The same up to the longest text: columns that all texts leave empty have no effect."""
        embeds, mask, negative_embeds, negative_mask = self
        used = mask if negative_mask is None else torch.cat([mask, negative_mask])
        places = used.any(dim=0).nonzero()
        length = int(places.max()) + 1 if len(places) else 1
        return TextCondition(
            embeds[:, :length],
            mask[:, :length],
            None if negative_embeds is None else negative_embeds[:, :length],
            None if negative_mask is None else negative_mask[:, :length],
        )


class Streams(NamedTuple):
    """The state of both streams, and the pose noise that camera guidance contrasts poses with."""

    latents: Float[Tensor, "b c v h w"]
    pose_latents: Float[Tensor, "b 6 v hp wp"]
    pose_noise: Float[Tensor, "b 6 v hp wp"]


@dataclass
class StepCallback:
    """What to call after every step, and the tensors that it is given."""

    call: Callback | PipelineCallback | MultiPipelineCallbacks
    names: Sequence[str]


class VideoRFSplatPipeline(DiffusionPipeline, Mochi1LoraLoaderMixin):
    """A sentence becomes views, their cameras and a 3D Gaussian scene.

    Args:
        tokenizer ([`PreTrainedTokenizerBase`]):
            Its `model_max_length` bounds the prompt; `None` where embeddings are always given.
        text_encoder ([`PreTrainedModel`]):
            One encoder for both streams; `None` where embeddings are always given.
        vae ([`AutoencoderKLMochi`]):
            Encodes and decodes each view as a clip of one frame.
        transformer ([`VideoRFSplatTransformer3DModel`]):
            Predicts the velocities (clean - noise) of both streams.
        gaussian_decoder ([`GaussianDecoder`]):
            Turns clean latents and cameras into Gaussians.
        scheduler ([`SchedulerMixin`]):
            Solver of the image stream: a flow-matching scheduler that takes sigmas and one velocity
            a step. Its shift becomes the shift of the timetable's image times.
        pose_scheduler ([`SchedulerMixin`]):
            Solver of the pose stream. Its shift becomes the shift of the timetable's pose times.
        prompt_reader ([`PromptReader`], *optional*):
            Tells what a prompt states (`read_prompt`), for a model of procedural worlds.
        reader_tokenizer ([`PreTrainedTokenizerBase`], *optional*):
            Of `reader_encoder`.
        reader_encoder ([`PreTrainedModel`], *optional*):
            Encodes prompts for the reader, where it reads another encoder's token states than the
            transformer does; `None` where it reads those of `text_encoder`.
        base_schedule (`str`, *optional*, defaults to `"linear"`):
            The walk of the slower stream, as in `videorfsplat.sampling.schedules.timetable`.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae->gaussian_decoder"
    _optional_components = [
        "tokenizer",
        "text_encoder",
        "prompt_reader",
        "reader_tokenizer",
        "reader_encoder",
    ]
    _callback_tensor_inputs = (
        "latents",
        "pose_latents",
        "predicted_latents",
        "predicted_pose_latents",
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
        *ABSENT_CONDITIONS,
    )

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        text_encoder: PreTrainedModel | None,
        vae: AutoencoderKLMochi,
        transformer: VideoRFSplatTransformer3DModel,
        gaussian_decoder: GaussianDecoder,
        scheduler: SchedulerMixin,
        pose_scheduler: SchedulerMixin,
        prompt_reader: PromptReader | None = None,
        reader_tokenizer: PreTrainedTokenizerBase | None = None,
        reader_encoder: PreTrainedModel | None = None,
        base_schedule: str = "linear",
    ):
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            vae=vae,
            transformer=transformer,
            gaussian_decoder=gaussian_decoder,
            scheduler=scheduler,
            pose_scheduler=pose_scheduler,
            prompt_reader=prompt_reader,
            reader_tokenizer=reader_tokenizer,
            reader_encoder=reader_encoder,
        )
        self.register_to_config(base_schedule=base_schedule)
        self.video_processor = VideoProcessor(vae_scale_factor=vae.spatial_compression_ratio)
        self._scales = GuidanceScales()
        self._guidance_scale = 1.0
        self._num_timesteps = 0
        self._current_timestep: float | None = None
        self._attention_kwargs: dict[str, Any] | None = None
        self._interrupt = False

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> "VideoRFSplatPipeline":
        """As the base class, in float32 unless a `dtype` is given, however the weights are stored.

        Without this, transformers would load the text encoder in the precision of its file. Weights
        are read from safetensors only: a pickled file could run any code.
        """
        kwargs.setdefault("use_safetensors", True)
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def load_lora_into_transformer(
        cls, state_dict: dict[str, Tensor], transformer: Any, *args: Any, **kwargs: Any
    ) -> None:
        """As the base class, for LoRAs of this pipeline and of `MochiPipeline`.

        Raises:
            ValueError: if a weight fits no part of the transformer.
        """
        fitted = fit_lora(state_dict, transformer)
        super().load_lora_into_transformer(fitted, transformer, *args, **kwargs)

    @property
    def num_views(self) -> int:
        """V, the number of views that the model makes."""
        return self.transformer.config.num_views

    @property
    def default_size(self) -> tuple[int, int]:
        """Height and width in pixels that the model was trained at."""
        size, factor = self.transformer.config.sample_size, self.vae.spatial_compression_ratio
        height, width = (size, size) if isinstance(size, int) else size
        return height * factor, width * factor

    @property
    def max_sequence_length(self) -> int:
        """Tokens of a prompt; longer ones are cut, with a warning."""
        if self.tokenizer is None:
            return MAX_SEQUENCE_LENGTH
        return min(self.tokenizer.model_max_length, MAX_SEQUENCE_LENGTH)

    @property
    def guidance_scale(self) -> float:
        """Text → images, in the present step; a callback switches guidance by text off by setting
        `_guidance_scale` to 1 or less, as those of diffusers do."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the present step contrasts the text with the negative one."""
        return self._scales.needs_negative_text

    @property
    def attention_kwargs(self) -> dict[str, Any] | None:
        """Of the present run."""
        return self._attention_kwargs

    @property
    def num_timesteps(self) -> int:
        """Steps of the present run, or the last one."""
        return self._num_timesteps

    @property
    def current_timestep(self) -> float | None:
        """What the image stream is told in the present step, 0 (noise) to 1000 (clean); `None`
        between runs."""
        return self._current_timestep

    def set_ip_adapter_scale(self, scale: float) -> None:
        """Nothing: the model has no image adapter. A callback of diffusers calls this."""

    @property
    def interrupt(self) -> bool:
        """Whether the run stops after the present step; set `_interrupt` to make it so."""
        return self._interrupt

    def read_prompt(self, prompt: str) -> Reading | None:
        """What a prompt states of a scene; `None` if the model has no reader.

        Raises:
            ValueError: if the prompt is empty, too long or no text.
        """
        _check_prompts("prompt", [prompt])
        if not prompt.strip():
            raise ValueError("prompt must not be empty")
        if self.prompt_reader is None:
            return None
        encoder = self.reader_encoder or self.text_encoder
        tokenizer = self.reader_tokenizer or self.tokenizer
        _check_text_encoder(tokenizer, encoder)
        return read_prompts(tokenizer, encoder, self.prompt_reader, [prompt])[0]

    def complete_prompt(
        self, prompt: str, seed: int, choices: Choices | None = None, *, with_motion: bool = True
    ) -> "Completion | None":
        """The full caption of a scene that has what a prompt states; the seed decides the rest.

        The model draws `completion.caption` better than a short prompt: it was trained on captions
        that say everything.

        Args:
            prompt: in English.
            seed: the same prompt and seed give the same caption.
            choices: attribute → the value that it shall have instead, or `None` to leave it to the
                seed; values as in `videorfsplat.language.ATTRIBUTE_VALUES`.
            with_motion: `False` says nothing of the camera, for cameras that are given.

        Returns:
            The completion, or `None` if the model has no reader.

        Raises:
            ValueError: as `read_prompt`; if the seed is negative, or an attribute or a value does
                not exist.
        """
        # The worlds bring a compiler along, which nobody needs who gives captions.
        from videorfsplat.language.completion import complete_reading

        reading = self.read_prompt(prompt)
        if reading is None:
            return None
        return complete_reading(
            reading,
            seed,
            choices,
            filled=self.prompt_reader.config.filled,
            with_motion=with_motion,
        )

    def check_inputs(
        self,
        prompt: str | list[str] | None,
        negative_prompt: str | list[str] | None,
        height: int,
        width: int,
        cameras: Cameras | list[Cameras] | None,
        num_scenes_per_prompt: int,
        generator: Generators | None,
        text: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
        output_type: str,
        callback_on_step_end_tensor_inputs: Sequence[str],
        max_sequence_length: int | None = None,
    ) -> None:
        """Check what a caller can get wrong, before any work.

        Raises:
            ValueError: naming the received and the accepted value.
        """
        self._check_size(height, width)
        length, limit = max_sequence_length, self.max_sequence_length
        if length is not None and not 1 <= length <= limit:
            raise ValueError(f"max_sequence_length must lie in [1, {limit}], got {length}")
        _check_text(prompt, negative_prompt, text, length or limit)
        negatives = [negative_prompt] if isinstance(negative_prompt, str) else negative_prompt or []
        if prompt is not None or any(text.strip() for text in negatives):
            _check_text_encoder(self.tokenizer, self.text_encoder)
        if num_scenes_per_prompt < 1:
            raise ValueError(
                f"num_scenes_per_prompt must be at least 1, got {num_scenes_per_prompt}"
            )
        batch_size = _batch_size(prompt, text[0])
        if cameras is not None:
            _check_cameras(cameras, batch_size)
        num_scenes = batch_size * num_scenes_per_prompt
        if isinstance(generator, list) and len(generator) != num_scenes:
            raise ValueError(f"expected {num_scenes} generators, got {len(generator)}")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type must be one of {OUTPUT_TYPES}, got {output_type!r}")
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs must be among {self._callback_tensor_inputs}, "
                f"got {sorted(unknown)}"
            )

    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        negative_prompt: str | list[str] | None = None,
        *,
        do_classifier_free_guidance: bool = True,
        num_scenes_per_prompt: int = 1,
        prompt_embeds: Float[Tensor, "b l d"] | None = None,
        prompt_attention_mask: Bool[Tensor, "b l"] | None = None,
        negative_prompt_embeds: Float[Tensor, "b l d"] | None = None,
        negative_prompt_attention_mask: Bool[Tensor, "b l"] | None = None,
        max_sequence_length: int | None = None,
    ) -> TextCondition:
        """Text embeddings of each scene, scenes of one prompt side by side.

        An empty text is an all-false mask over zero embeddings: the condition that the model knows
        as "no text".

        Args:
            prompt: one or more texts; `None` if `prompt_embeds` is given.
            negative_prompt: what guidance leads away from; no text by default.
            do_classifier_free_guidance: whether the negative side is needed.
            num_scenes_per_prompt: copies of each text.
            prompt_embeds: instead of `prompt`, one row a prompt.
            prompt_attention_mask: of `prompt_embeds`.
            negative_prompt_embeds: instead of `negative_prompt`.
            negative_prompt_attention_mask: of `negative_prompt_embeds`.
            max_sequence_length: tokens that `prompt` is cut or filled to; by default as many as the
                model takes.

        Raises:
            ValueError: if neither or only half of the text is given, or there is no text encoder
                for it.
        """
        if prompt is not None:
            prompts = [prompt] if isinstance(prompt, str) else prompt
            length = max_sequence_length or self.max_sequence_length
            prompt_embeds, prompt_attention_mask = self._encode_text(prompts, length)
        if prompt_embeds is None or prompt_attention_mask is None:
            raise ValueError("give either prompt, or prompt_embeds with prompt_attention_mask")
        if not do_classifier_free_guidance:
            negative_prompt_embeds = negative_prompt_attention_mask = None
        elif negative_prompt_embeds is None:
            negative, (batch_size, length) = negative_prompt or "", prompt_attention_mask.shape
            negatives = [negative] * batch_size if isinstance(negative, str) else negative
            negative_prompt_embeds, negative_prompt_attention_mask = self._encode_text(
                negatives, length
            )

        def per_scene(tensor: Tensor) -> Tensor:
            on_device = tensor.to(self._execution_device)
            return on_device.repeat_interleave(num_scenes_per_prompt, dim=0)

        condition = TextCondition(per_scene(prompt_embeds), per_scene(prompt_attention_mask))
        if negative_prompt_embeds is None or negative_prompt_attention_mask is None:
            return condition
        return condition._replace(
            negative_prompt_embeds=per_scene(negative_prompt_embeds),
            negative_prompt_attention_mask=per_scene(negative_prompt_attention_mask),
        )

    def prepare_latents(
        self,
        batch_size: int,
        height: int,
        width: int,
        generator: Generators | None = None,
        latents: Float[Tensor, "b c v h w"] | None = None,
    ) -> Float[Tensor, "b c v h w"]:
        """Noise of the image stream in float32, drawn or checked.

        Raises:
            ValueError: if `latents` has another shape.
        """
        factor = self.vae.spatial_compression_ratio
        channels = self.transformer.config.in_channels
        shape = (batch_size, channels, self.num_views, height // factor, width // factor)
        return self._prepare_noise("latents", shape, generator, latents)

    def prepare_pose_latents(
        self,
        batch_size: int,
        height: int,
        width: int,
        generator: Generators | None = None,
        pose_latents: Float[Tensor, "b 6 v hp wp"] | None = None,
    ) -> Float[Tensor, "b 6 v hp wp"]:
        """Noise of the pose stream in float32, drawn or checked.

        Raises:
            ValueError: if `pose_latents` has another shape.
        """
        grid = self._pose_grid(height, width)
        shape = (batch_size, self.transformer.config.pose_in_channels, self.num_views, *grid)
        return self._prepare_noise("pose_latents", shape, generator, pose_latents)

    @torch.no_grad()
    def encode_frames(self, frames: Float[Tensor, "b v 3 H W"]) -> Float[Tensor, "b c v h w"]:
        """Normalised latents (the mean of the posterior) of views in [0, 1]."""
        pixels = (2 * frames - 1).flatten(0, 1).to(self.vae.device, self.vae.dtype)
        moments = apply_forward_hook(one_frame.encode_frames)(self.vae, pixels)
        latents = one_frame.normalize_latents(self.vae, moments.float().chunk(2, dim=1)[0])
        return latents.unflatten(0, frames.shape[:2]).transpose(1, 2)

    @torch.no_grad()
    def decode_frames(self, latents: Float[Tensor, "b c v h w"], output_type: str = "pt") -> Any:
        """Views of clean latents, as `"pt"`, `"np"` or `"pil"`; also previews `predicted_latents`.

        Returns:
            `[B,V,3,H,W]` in [0, 1], `[B,V,H,W,3]` in [0, 1], or B lists of V images.
        """
        flat = one_frame.denormalize_latents(self.vae, latents.transpose(1, 2).flatten(0, 1))
        pixels = apply_forward_hook(one_frame.decode_frames)(self.vae, flat.to(self.vae.dtype))
        video = pixels.float().unflatten(0, (len(latents), -1)).transpose(1, 2)
        return self.video_processor.postprocess_video(video, output_type=output_type)

    def encode_cameras(
        self, cameras: list[Cameras], height: int, width: int
    ) -> Float[Tensor, "b 6 v hp wp"]:
        """Normalised raymaps of cameras, on the grid of the pose stream."""
        grid = self._pose_grid(height, width)
        raymaps = torch.stack([cameras_to_raymap(camera, *grid) for camera in cameras])
        mean, std = self._pose_statistics(raymaps)
        return ((raymaps.transpose(1, 2) - mean) / std).to(self._execution_device, torch.float32)

    def recover_cameras(
        self, pose_latents: Float[Tensor, "b 6 v hp wp"], height: int, width: int
    ) -> list[RayFit]:
        """The cameras that explain normalised raymaps best; also previews `predicted_pose_latents`.

        Each scene's cameras are in the frame of its view 1.
        """
        mean, std = self._pose_statistics(pose_latents)
        raymaps = (pose_latents * std + mean).transpose(1, 2)
        return raymaps_to_cameras(raymaps, width, height)

    @torch.no_grad()
    def decode_gaussians(
        self, latents: Float[Tensor, "b c v h w"], cameras: list[Cameras]
    ) -> list[Gaussians]:
        """The Gaussians of each scene, in the frame of its cameras."""
        dtype, device = self.gaussian_decoder.dtype, latents.device
        return self.gaussian_decoder(
            latents.to(dtype),
            torch.stack([camera.viewmats for camera in cameras]).to(device, torch.float32),
            torch.stack([camera.Ks for camera in cameras]).to(device, torch.float32),
            cameras[0].width,
            cameras[0].height,
        )

    def set_solver(self, solver: str) -> None:
        """Take both streams along the same times by another solver, as `make_scheduler` names it.

        Raises:
            ValueError: if there is no such solver.
        """
        for name in ("scheduler", "pose_scheduler"):
            shift = scheduler_shift(getattr(self, name))
            self.register_modules(**{name: make_scheduler(solver, shift)})

    def make_timetable(
        self,
        num_inference_steps: int,
        pose_offset: float = Sampling.pose_offset,
        *,
        given_cameras: bool = False,
    ) -> Timetable:
        """The timetable that a run with these settings follows.

        Raises:
            ValueError: if a setting is out of range.
        """
        schedules.check_pose_offset(pose_offset)
        base, shift = self.config["base_schedule"], scheduler_shift(self.scheduler)
        if given_cameras:
            return schedules.given_cameras_timetable(num_inference_steps, base=base, shift=shift)
        pose_shift = scheduler_shift(self.pose_scheduler)
        return schedules.timetable(
            num_inference_steps, pose_offset, base=base, shift=shift, pose_shift=pose_shift
        )

    def __call__(
        self,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = Sampling.num_inference_steps,
        pose_offset: float = Sampling.pose_offset,
        guidance_scale: float = Sampling.guidance_scale,
        pose_guidance_scale: float = Sampling.pose_guidance_scale,
        camera_guidance_scale: float = Sampling.camera_guidance_scale,
        cameras: Cameras | list[Cameras] | None = None,
        camera_unit: float | None = None,
        timetable: Timetable | None = None,
        num_scenes_per_prompt: int = 1,
        generator: Generators | None = None,
        latents: Float[Tensor, "b c v h w"] | None = None,
        pose_latents: Float[Tensor, "b 6 v hp wp"] | None = None,
        prompt_embeds: Float[Tensor, "p l d"] | None = None,
        prompt_attention_mask: Bool[Tensor, "p l"] | None = None,
        negative_prompt_embeds: Float[Tensor, "p l d"] | None = None,
        negative_prompt_attention_mask: Bool[Tensor, "p l"] | None = None,
        output_type: str = "scene",
        return_dict: bool = True,
        callback_on_step_end: Callback | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> VideoRFSplatPipelineOutput | tuple[Any, ...]:
        r"""Generate scenes.

        Args:
            prompt (`str` or `list[str]`, *optional*):
                What to generate.
            negative_prompt (`str` or `list[str]`, *optional*):
                What guidance leads away from; no text by default.
            height (`int`, *optional*):
                Height of the views in pixels; by default what the model was trained at.
            width (`int`, *optional*):
                Width of the views in pixels; by default what the model was trained at.
            num_inference_steps (`int`, *optional*, defaults to 12):
                Steps.
            pose_offset (`float`, *optional*, defaults to 0.2):
                δ: how far the pose stream is ahead of the image stream; 0 is synchronous, negative
                values put the images ahead. Between -1 and 1.
            guidance_scale (`float`, *optional*, defaults to 5.0):
                Text → images. 1 is off and saves a branch, here and in the next two.
            pose_guidance_scale (`float`, *optional*, defaults to 1.5):
                Text → cameras.
            camera_guidance_scale (`float`, *optional*, defaults to 1.5):
                Cameras → images.
            cameras (`Cameras` or `list[Cameras]`, *optional*):
                Cameras to generate for, one for all prompts or one a prompt, of any number and
                unit. As many as the model has views are taken evenly along each path, in the frame
                of its view 1; images of another shape are cropped to that of the views, about their
                middle. The scene has the unit of the cameras.
            camera_unit (`float`, *optional*):
                The distance from view 1 to the subject in the unit of `cameras`: one length of the
                model. Estimated from the path where it is not given
                (`videorfsplat.geometry.cameras.estimate_unit`); 1 for preset paths.
            timetable (`Timetable`, *optional*):
                Followed instead of the one that `num_inference_steps` and `pose_offset` make.
            num_scenes_per_prompt (`int`, *optional*, defaults to 1):
                Scenes of each prompt, side by side in the batch; other pipelines have
                `num_images_per_prompt` for it.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of the noise, one for all or one a scene.
            latents (`torch.Tensor`, *optional*):
                Noise of the image stream, `[B,C,V,h,w]`.
            pose_latents (`torch.Tensor`, *optional*):
                Noise of the pose stream, `[B,6,V,h,w]`.
            prompt_embeds (`torch.Tensor`, *optional*):
                Instead of `prompt`, as `encode_prompt` makes them, one row a prompt.
            prompt_attention_mask (`torch.Tensor`, *optional*):
                Of `prompt_embeds`.
            negative_prompt_embeds (`torch.Tensor`, *optional*):
                Instead of `negative_prompt`.
            negative_prompt_attention_mask (`torch.Tensor`, *optional*):
                Of `negative_prompt_embeds`.
            output_type (`str`, *optional*, defaults to `"scene"`):
                `"scene"`: frames as a tensor, cameras and Gaussians. `"pt"`, `"np"`, `"pil"`:
                frames in that form, and cameras. `"latent"`: latents only.
            return_dict (`bool`, *optional*, defaults to `True`):
                Whether the output is a `VideoRFSplatPipelineOutput` or a tuple of its values, in
                the order of its fields, `None` where `output_type` did not ask for one.
            callback_on_step_end (`Callable`, *optional*):
                Called as `callback(pipeline, step_index, timestep, tensors)` after every step, with
                the time that the image stream was told in it, 0 (noise) to 1000 (clean). It returns
                a dictionary, whose tensors replace the present ones. Setting
                `pipeline._interrupt = True` ends the run: what the last step predicted is decoded.
                Setting `pipeline._guidance_scale` changes it from the next step on; 1 or less
                switches guidance by text off, of both streams.
            callback_on_step_end_tensor_inputs (`Sequence[str]`, *optional*):
                Tensors that the callback is given: `latents`, `pose_latents`, `predicted_latents`,
                `predicted_pose_latents`, `prompt_embeds`, `prompt_attention_mask` and, in a run
                with guidance by text, `negative_prompt_embeds`, `negative_prompt_attention_mask`.
            max_sequence_length (`int`, *optional*):
                Tokens that a prompt is cut to; by default as many as the model takes.
            attention_kwargs (`dict`, *optional*):
                `{"scale": 0.5}` halves the effect of the LoRA weights that are loaded.

        Returns:
            A `VideoRFSplatPipelineOutput`, or a tuple of its values.

        Raises:
            ValueError: if an input is out of range; before any work.
        """
        steps = self.stream(
            prompt=prompt,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            pose_offset=pose_offset,
            guidance_scale=guidance_scale,
            pose_guidance_scale=pose_guidance_scale,
            camera_guidance_scale=camera_guidance_scale,
            cameras=cameras,
            camera_unit=camera_unit,
            timetable=timetable,
            num_scenes_per_prompt=num_scenes_per_prompt,
            generator=generator,
            latents=latents,
            pose_latents=pose_latents,
            prompt_embeds=prompt_embeds,
            prompt_attention_mask=prompt_attention_mask,
            negative_prompt_embeds=negative_prompt_embeds,
            negative_prompt_attention_mask=negative_prompt_attention_mask,
            output_type=output_type,
            return_dict=return_dict,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            max_sequence_length=max_sequence_length,
            attention_kwargs=attention_kwargs,
        )
        return collections.deque(steps, maxlen=1).pop()

    def stream(
        self,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = Sampling.num_inference_steps,
        pose_offset: float = Sampling.pose_offset,
        guidance_scale: float = Sampling.guidance_scale,
        pose_guidance_scale: float = Sampling.pose_guidance_scale,
        camera_guidance_scale: float = Sampling.camera_guidance_scale,
        cameras: Cameras | list[Cameras] | None = None,
        camera_unit: float | None = None,
        timetable: Timetable | None = None,
        num_scenes_per_prompt: int = 1,
        generator: Generators | None = None,
        latents: Float[Tensor, "b c v h w"] | None = None,
        pose_latents: Float[Tensor, "b 6 v hp wp"] | None = None,
        prompt_embeds: Float[Tensor, "p l d"] | None = None,
        prompt_attention_mask: Bool[Tensor, "p l"] | None = None,
        negative_prompt_embeds: Float[Tensor, "p l d"] | None = None,
        negative_prompt_attention_mask: Bool[Tensor, "p l"] | None = None,
        output_type: str = "scene",
        return_dict: bool = True,
        callback_on_step_end: Callback | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> Iterator[Any]:
        """Generate scenes step by step, with the arguments of `__call__`.

        Yields a `DenoisingStep` after every step and the output last. Closing the iterator stops
        the run. Nothing runs, not even the checks, before the first item is asked for.

        Raises:
            ValueError: if an input is out of range; before any work.
        """
        # 1. Check inputs
        default_height, default_width = self.default_size
        height = default_height if height is None else height
        width = default_width if width is None else width
        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        text_tensors = (
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )
        self.check_inputs(
            prompt,
            negative_prompt,
            height,
            width,
            cameras,
            num_scenes_per_prompt,
            generator,
            text_tensors,
            output_type,
            callback_on_step_end_tensor_inputs,
            max_sequence_length,
        )
        if camera_unit is not None and not (math.isfinite(camera_unit) and camera_unit > 0):
            raise ValueError(f"camera_unit must be positive and finite, got {camera_unit}")
        scales = GuidanceScales(guidance_scale, pose_guidance_scale, camera_guidance_scale)
        table = timetable or self.make_timetable(
            num_inference_steps, pose_offset, given_cameras=cameras is not None
        )
        _check_start(table, (1.0, 1.0 if cameras is None else 0.0))
        solvers = self._make_solvers(table)

        # 2. Prepare the two streams
        batch_size = _batch_size(prompt, prompt_embeds) * num_scenes_per_prompt
        latents = self.prepare_latents(batch_size, height, width, generator, latents)
        pose_noise = self.prepare_pose_latents(batch_size, height, width, generator, pose_latents)
        scene_cameras, units = self._cameras_per_scene(
            cameras, camera_unit, batch_size, height, width
        )
        pose_latents = (
            pose_noise
            if scene_cameras is None
            else self.encode_cameras(scene_cameras, height, width)
        )

        self._interrupt = False
        try:
            # 3. Encode the text
            text = self.encode_prompt(
                prompt,
                negative_prompt,
                do_classifier_free_guidance=scales.needs_negative_text,
                num_scenes_per_prompt=num_scenes_per_prompt,
                prompt_embeds=prompt_embeds,
                prompt_attention_mask=prompt_attention_mask,
                negative_prompt_embeds=negative_prompt_embeds,
                negative_prompt_attention_mask=negative_prompt_attention_mask,
                max_sequence_length=max_sequence_length,
            )

            # 4. Denoise both streams
            streams = Streams(latents, pose_latents, pose_noise)
            callback = None
            if callback_on_step_end is not None:
                callback = StepCallback(callback_on_step_end, callback_on_step_end_tensor_inputs)
            for step in self._denoise(
                streams, text, table, solvers, scales, callback, attention_kwargs
            ):
                yield step
                latents, pose_latents = step.latents, step.pose_latents
                if self._interrupt:
                    latents, pose_latents = step.predicted_latents, step.predicted_pose_latents
                    break

            # 5. Decode
            output = self._decode(
                latents, pose_latents, scene_cameras, units, (height, width), output_type
            )
        finally:
            self._current_timestep = None
            self.maybe_free_model_hooks()
        yield output if return_dict else tuple(vars(output).values())

    def estimate_cameras(
        self,
        frames: Float[Tensor, "b v 3 H W"],
        prompt: str | list[str] | None = None,
        *,
        num_inference_steps: int = 24,
        pose_guidance_scale: float = 1.0,
        generator: Generators | None = None,
        pose_latents: Float[Tensor, "b 6 v hp wp"] | None = None,
    ) -> list[RayFit]:
        """The cameras of given views: the pose stream alone is denoised, with t_image = 0.

        Args:
            frames: views in [0, 1].
            prompt: what they show, one text for all scenes or one a scene, if known.
            num_inference_steps: steps.
            pose_guidance_scale: text → cameras; 1 is off.
            generator: source of the noise, one for all or one a scene.
            pose_latents: noise of the pose stream.

        Raises:
            ValueError: if the number or size of the views or a value does not fit.
        """
        batch_size, num_views, _, height, width = frames.shape
        self._check_size(height, width)
        if num_views != self.num_views:
            raise ValueError(f"expected {self.num_views} views, got {num_views}")
        if not (frames.isfinite().all() and frames.min() >= 0 and frames.max() <= 1):
            raise ValueError("frames must hold values in [0, 1]")
        prompts = [prompt or ""] * batch_size if not isinstance(prompt, list) else prompt
        if len(prompts) != batch_size:
            raise ValueError(f"expected {batch_size} prompts, got {len(prompts)}")
        _check_prompts("prompt", prompts)
        scales = GuidanceScales(pose_guidance_scale=pose_guidance_scale)
        table = schedules.given_images_timetable(
            num_inference_steps,
            base=self.config["base_schedule"],
            shift=scheduler_shift(self.pose_scheduler),
        )
        solvers = self._make_solvers(table)
        noise = self.prepare_pose_latents(batch_size, height, width, generator, pose_latents)
        self._interrupt = False
        try:
            text = self.encode_prompt(
                prompts, do_classifier_free_guidance=scales.needs_negative_text
            )
            streams = Streams(self.encode_frames(frames), noise, noise)
            steps = self._denoise(streams, text, table, solvers, scales)
            last = collections.deque(steps, maxlen=1).pop()
        finally:
            self.maybe_free_model_hooks()
        return self.recover_cameras(last.pose_latents, height, width)

    def _denoise(
        self,
        streams: Streams,
        text: TextCondition,
        table: Timetable,
        solvers: tuple[FlowSolver, FlowSolver],
        scales: GuidanceScales,
        callback: StepCallback | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> Iterator[DenoisingStep]:
        latents, pose_latents, pose_noise = streams
        image_solver, pose_solver = solvers
        shown_text = text.without_padding()
        # A decorator of diffusers hides the method's signature from the type checker.
        progress_bar = self.progress_bar(total=table.num_inference_steps)  # pyright: ignore
        with progress_bar:
            for index, step in enumerate(table.steps()):
                # Anew in every step: runs of one pipeline may take turns.
                self._scales, self._attention_kwargs = scales, attention_kwargs
                self._guidance_scale = scales.guidance_scale
                self._num_timesteps = table.num_inference_steps
                self._current_timestep = NUM_TRAIN_TIMESTEPS * (1 - step.t_image)
                plan = plan_branches(
                    scales,
                    image_moves=step.image_moves,
                    pose_moves=step.pose_moves,
                    pose_is_noise=step.t_pose == 1,
                )
                velocity, pose_velocity = self._predict_velocities(
                    Streams(latents, pose_latents, pose_noise),
                    shown_text,
                    plan,
                    step,
                    attention_kwargs,
                )
                predicted_latents = latents + step.t_image * velocity
                predicted_pose_latents = pose_latents + step.t_pose * pose_velocity
                if step.image_moves:
                    latents = image_solver.step(velocity, latents)
                if step.pose_moves:
                    pose_latents = pose_solver.step(pose_velocity, pose_latents)
                state = DenoisingStep(
                    index=index,
                    num_inference_steps=table.num_inference_steps,
                    t_image=step.next_t_image,
                    t_pose=step.next_t_pose,
                    latents=latents,
                    pose_latents=pose_latents,
                    predicted_latents=predicted_latents,
                    predicted_pose_latents=predicted_pose_latents,
                )
                if callback is not None:
                    text, scales = self._call_back(callback, state, text, scales)
                    shown_text = text.without_padding()
                progress_bar.update()
                yield state
                latents, pose_latents = state.latents, state.pose_latents

    # Here and on the coders rather than on `stream`, whose caller runs between the steps.
    @torch.no_grad()
    def _predict_velocities(
        self,
        streams: Streams,
        text: TextCondition,
        plan: GuidancePlan,
        step: TimetableStep,
        attention_kwargs: dict[str, Any] | None,
    ) -> tuple[Float[Tensor, "b c v h w"], Float[Tensor, "b 6 v hp wp"]]:
        """Guided velocities of both streams: one forward pass with all branches in the batch."""
        latents, pose_latents, pose_noise = streams
        poses, pose_timesteps, embeds, masks = [], [], [], []
        for branch in plan.branches:
            poses.append(pose_latents if branch.has_pose else pose_noise)
            pose_timesteps.append(_timestep(step.t_pose if branch.has_pose else 1.0, latents))
            embeds.append(text.prompt_embeds if branch.has_text else text.negative_prompt_embeds)
            masks.append(
                text.prompt_attention_mask
                if branch.has_text
                else text.negative_prompt_attention_mask
            )
        dtype, count = self.transformer.dtype, len(plan.branches)
        velocities, pose_velocities = self.transformer(
            hidden_states=latents.to(dtype).repeat(count, 1, 1, 1, 1),
            pose_hidden_states=torch.cat(poses).to(dtype),
            encoder_hidden_states=torch.cat(embeds).to(dtype),
            timestep=_timestep(step.t_image, latents).repeat(count),
            pose_timestep=torch.cat(pose_timesteps),
            encoder_attention_mask=torch.cat(masks),
            attention_kwargs=attention_kwargs,
            return_dict=False,
        )
        return combine(plan.image_weights, velocities), combine(plan.pose_weights, pose_velocities)

    def _decode(
        self,
        latents: Float[Tensor, "b c v h w"],
        pose_latents: Float[Tensor, "b 6 v hp wp"],
        cameras: list[Cameras] | None,
        units: list[float],
        size: tuple[int, int],
        output_type: str,
    ) -> VideoRFSplatPipelineOutput:
        output = VideoRFSplatPipelineOutput(latents=latents, pose_latents=pose_latents)
        if output_type == "latent":
            return output
        frames = self.decode_frames(latents, "pt" if output_type == "scene" else output_type)
        residuals = None
        if cameras is None:
            fits = self.recover_cameras(pose_latents, *size)
            cameras, residuals = [fit.cameras for fit in fits], [fit.residual for fit in fits]
        gaussians = self.decode_gaussians(latents, cameras) if output_type == "scene" else None
        return VideoRFSplatPipelineOutput(
            frames=frames,
            cameras=[c.scaled(unit) for c, unit in zip(cameras, units, strict=True)],
            units=units,
            camera_residuals=residuals,
            gaussians=gaussians
            and [g.scaled(unit) for g, unit in zip(gaussians, units, strict=True)],
            latents=latents,
            pose_latents=pose_latents,
        )

    def _call_back(
        self,
        callback: StepCallback,
        step: DenoisingStep,
        text: TextCondition,
        scales: GuidanceScales,
    ) -> tuple[TextCondition, GuidanceScales]:
        """Call back after a step, which takes what is replaced; text and scales of the next one.

        Raises:
            ValueError: if the callback returns what is none of the tensors, or of another shape.
        """
        batch = step.latents.shape[0]
        tensors = vars(step) | text._asdict()
        tensors |= {name: step.latents.new_zeros(batch, 0) for name in ABSENT_CONDITIONS}
        given = {name: tensors[name] for name in callback.names}
        returned = callback.call(self, step.index, self._current_timestep or 0.0, given)
        unknown = returned.keys() - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(f"the callback returned {sorted(unknown)}, which nothing reads")
        is_changed = self._guidance_scale != scales.guidance_scale
        if is_changed:
            scales = scales.with_text(self._guidance_scale)
        if is_changed and not scales.needs_negative_text:
            # Callbacks of diffusers then keep the last row only: in their pipelines the batch has
            # the negative text before the text. Here the two are apart.
            returned = {k: v for k, v in returned.items() if k not in text._fields}
        for name in returned.keys() - set(ABSENT_CONDITIONS):
            _check_replacement(name, returned[name], tensors[name])
            if name in vars(step):
                setattr(step, name, returned[name])
        return text._replace(**{k: v for k, v in returned.items() if k in text._fields}), scales

    def _make_solvers(self, table: Timetable) -> tuple[FlowSolver, FlowSolver]:
        device = self._execution_device
        return (
            FlowSolver(self.scheduler, table.image_times, device),
            FlowSolver(self.pose_scheduler, table.pose_times, device),
        )

    def _encode_text(
        self, prompts: list[str], length: int
    ) -> tuple[Float[Tensor, "p l d"], Bool[Tensor, "p l"]]:
        device = self._execution_device
        if not any(prompt.strip() for prompt in prompts):
            # Nothing to encode, so no text encoder is needed either.
            shape = (len(prompts), length, self.transformer.config.text_embed_dim)
            like = self.transformer if self.text_encoder is None else self.text_encoder
            embeds = torch.zeros(shape, dtype=like.dtype, device=device)
            return embeds, torch.zeros(shape[:2], dtype=torch.bool, device=device)
        _check_text_encoder(self.tokenizer, self.text_encoder)
        tokens = self.tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        is_empty = torch.tensor([not prompt.strip() for prompt in prompts])
        mask = (tokens.attention_mask.bool() & ~is_empty[:, None]).to(device)
        longest = max(len(ids) for ids in self.tokenizer(prompts).input_ids)
        if longest > length:
            logger.warning("the prompt has %d tokens; only the first %d count", longest, length)
        embeds = self.text_encoder(tokens.input_ids.to(device), attention_mask=mask)[0]
        # Attention over nothing, in the rows of empty texts, may be NaN.
        return embeds.masked_fill(~mask[..., None], 0.0), mask

    def _prepare_noise(
        self,
        name: str,
        shape: tuple[int, ...],
        generator: Generators | None,
        given: Tensor | None,
    ) -> Tensor:
        device = self._execution_device
        if given is None:
            return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        if tuple(given.shape) != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {tuple(given.shape)}")
        return given.to(device, torch.float32)

    def _pose_grid(self, height: int, width: int) -> tuple[int, int]:
        stride = self.vae.spatial_compression_ratio
        return height // stride, width // stride

    def _pose_statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        config = self.transformer.config
        mean, std = (
            torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1)
            for values in (config.pose_latents_mean, config.pose_latents_std)
        )
        return mean, std

    def _cameras_per_scene(
        self,
        cameras: Cameras | list[Cameras] | None,
        unit: float | None,
        num_scenes: int,
        height: int,
        width: int,
    ) -> tuple[list[Cameras] | None, list[float]]:
        """One entry a scene: cameras in the model's number, frame, unit and size; their unit."""
        if cameras is None:
            return None, [1.0] * num_scenes
        given = [cameras] if isinstance(cameras, Cameras) else cameras
        copies = num_scenes // len(given)
        units = [estimate_unit(path) if unit is None else unit for path in given]
        fitted = [
            cameras_along(path.to(torch.float64), self.num_views)
            .center_cropped(width, height)
            .relative_to_first()
            .scaled(1 / length)
            .to(torch.float32)
            for path, length in zip(given, units, strict=True)
        ]
        return (
            [path for path in fitted for _ in range(copies)],
            [length for length in units for _ in range(copies)],
        )

    def _check_size(self, height: int, width: int) -> None:
        multiple = self.vae.spatial_compression_ratio * self.transformer.config.patch_size
        if height < multiple or width < multiple or height % multiple or width % multiple:
            raise ValueError(
                f"height and width must be multiples of {multiple}, got {height} and {width}"
            )


def _check_cameras(cameras: Cameras | list[Cameras], num_prompts: int) -> None:
    given = [cameras] if isinstance(cameras, Cameras) else cameras
    if isinstance(cameras, list) and len(cameras) != num_prompts:
        raise ValueError(f"expected cameras for {num_prompts} prompts, got {len(cameras)}")
    if any(path.num_views == 0 for path in given):
        raise ValueError("a path needs at least one camera, got none")


def _timestep(t: float, like: Tensor) -> Float[Tensor, " b"]:
    return torch.full((len(like),), NUM_TRAIN_TIMESTEPS * (1 - t), device=like.device)


def _check_text_encoder(tokenizer: Any, text_encoder: Any) -> None:
    if tokenizer is None or text_encoder is None:
        raise ValueError(
            "the pipeline has no text encoder: give prompt_embeds and prompt_attention_mask"
        )


def _check_replacement(name: str, new: Tensor, old: Tensor | None) -> None:
    """What a callback returns fits into the place of what it was given."""
    if old is None:
        raise ValueError(f"the callback returned {name}, which this run does not have")
    if new.shape != old.shape:
        raise ValueError(
            f"the callback must return {name} of shape {tuple(old.shape)}, got {tuple(new.shape)}"
        )


def _batch_size(prompt: str | list[str] | None, prompt_embeds: Tensor | None) -> int:
    if prompt_embeds is not None:
        return len(prompt_embeds)
    return len(prompt) if isinstance(prompt, list) else 1


def _check_start(table: Timetable, start: tuple[float, float]) -> None:
    if table.pairs[0] != start or (start[1] == 0 and len(table.pose_times) > 1):
        raise ValueError(f"the timetable must start at {start}, got {table.pairs[0]}")


def _check_prompts(name: str, prompts: Any) -> None:
    """A list of texts, each of a sane length."""
    if not isinstance(prompts, list) or not all(isinstance(text, str) for text in prompts):
        raise ValueError(f"{name} must be a text or a list of texts, got {prompts!r}")
    longest = max((len(text) for text in prompts), default=0)
    if longest > MAX_PROMPT_CHARACTERS:
        raise ValueError(
            f"{name} must have at most {MAX_PROMPT_CHARACTERS} characters, got {longest}"
        )


def _check_text(
    prompt: str | list[str] | None,
    negative_prompt: str | list[str] | None,
    text: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    max_sequence_length: int,
) -> None:
    embeds, mask, negative_embeds, negative_mask = text
    if (prompt is None) == (embeds is None):
        raise ValueError("give either prompt or prompt_embeds")
    if negative_prompt is not None and negative_embeds is not None:
        raise ValueError("give at most one of negative_prompt and negative_prompt_embeds")
    if prompt is not None:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        _check_prompts("prompt", prompts)
        if not prompts or not all(text.strip() for text in prompts):
            raise ValueError("prompt must not be empty")
    if isinstance(negative_prompt, list) and len(negative_prompt) != _batch_size(prompt, embeds):
        raise ValueError("negative_prompt must hold as many texts as prompt")
    if negative_prompt is not None:
        negatives = [negative_prompt] if isinstance(negative_prompt, str) else negative_prompt
        _check_prompts("negative_prompt", negatives)
    length = max_sequence_length if embeds is None else embeds.shape[1]
    shape = (_batch_size(prompt, embeds), length)
    _check_embeds("prompt", embeds, mask, shape)
    _check_embeds("negative_prompt", negative_embeds, negative_mask, shape)


def _check_embeds(
    name: str, embeds: Tensor | None, mask: Tensor | None, shape: tuple[int, int]
) -> None:
    """Embeddings and their mask come together, one row a prompt, all of one length."""
    if (embeds is None) != (mask is None):
        raise ValueError(f"{name}_embeds and {name}_attention_mask must be given together")
    if embeds is None or mask is None:
        return
    if tuple(embeds.shape[:2]) != shape or tuple(mask.shape) != shape:
        raise ValueError(
            f"expected {name}_embeds and its mask of shape {shape}, "
            f"got {tuple(embeds.shape[:2])} and {tuple(mask.shape)}"
        )
