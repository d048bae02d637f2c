"""The components of the pipeline, and what each does by itself."""

import os
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from diffusers import AutoencoderKLMochi, DiffusionPipeline, SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.rays import RayFit, cameras_to_raymap, raymaps_to_cameras
from videorfsplat.inference.text import (
    MAX_SEQUENCE_LENGTH,
    TextCondition,
    check_prompts,
    check_text_encoder,
    encode_texts,
)
from videorfsplat.language.choices import Choices
from videorfsplat.language.reading import Reading, read_prompts
from videorfsplat.models import one_frame
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.prompt_reader import PromptReader
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.sampling import schedules
from videorfsplat.sampling.schedules import Timetable
from videorfsplat.sampling.settings import Sampling
from videorfsplat.sampling.solvers import FlowSolver, make_scheduler, scheduler_shift

if TYPE_CHECKING:
    from videorfsplat.language.completion import Completion

Generators = torch.Generator | list[torch.Generator]
Pipeline = TypeVar("Pipeline", bound=DiffusionPipeline)


class SceneComponents(DiffusionPipeline):
    """The parts that make a scene, and what each does without the others.

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
        # Before anything hangs on its layers.
        one_frame.take_single_frames(vae)
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

    @property
    def _execution_device(self) -> torch.device:
        """As the base class; where single parts were placed layer by layer (`device_map`), and
        their weights are nowhere between two calls, the device that their hooks name."""
        device = super()._execution_device
        if device.type != "meta":
            return device
        parts = (part for part in self.components.values() if isinstance(part, nn.Module))
        hooks = (getattr(layer, "_hf_hook", None) for part in parts for layer in part.modules())
        places = (getattr(hook, "execution_device", None) for hook in hooks)
        return next((torch.device(place) for place in places if place is not None), device)

    @classmethod
    def from_pretrained(
        cls: type[Pipeline], pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Pipeline:
        """As the base class, in float32 unless a `dtype` is given, however the weights are stored.

        Without this, transformers would load the text encoder in the precision of its file. Weights
        are read from safetensors only: a pickled file could run any code.
        """
        kwargs.setdefault("use_safetensors", True)
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

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

    def read_prompt(self, prompt: str) -> Reading | None:
        """What a prompt states of a scene; `None` if the model has no reader.

        Raises:
            ValueError: if the prompt is empty, too long or no text.
        """
        check_prompts("prompt", [prompt])
        if not prompt.strip():
            raise ValueError("prompt must not be empty")
        if self.prompt_reader is None:
            return None
        encoder = self.reader_encoder or self.text_encoder
        tokenizer = self.reader_tokenizer or self.tokenizer
        check_text_encoder(tokenizer, encoder)
        device = self._execution_device
        return read_prompts(tokenizer, encoder, self.prompt_reader, [prompt], device)[0]

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
        pixels = (2 * frames - 1).flatten(0, 1).to(self._execution_device, self.vae.dtype)
        latents = one_frame.encode_normalized(self.vae, pixels)
        return latents.unflatten(0, frames.shape[:2]).transpose(1, 2)

    @torch.no_grad()
    def decode_frames(self, latents: Float[Tensor, "b c v h w"], output_type: str = "pt") -> Any:
        """Views of clean latents, as `"pt"`, `"np"` or `"pil"`; also previews `predicted_latents`.

        Returns:
            `[B,V,3,H,W]` in [0, 1], `[B,V,H,W,3]` in [0, 1], or B lists of V images.
        """
        flat = one_frame.denormalize_latents(self.vae, latents.transpose(1, 2).flatten(0, 1))
        pixels = one_frame.decode_frames(self.vae, flat.to(self._execution_device, self.vae.dtype))
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
        dtype, device = self.gaussian_decoder.dtype, self._execution_device
        return self.gaussian_decoder(
            latents.to(device, dtype),
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
        return encode_texts(self.tokenizer, self.text_encoder, prompts, length, device)

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

    def _check_views(self, frames: Float[Tensor, "b v 3 H W"]) -> None:
        self._check_size(*frames.shape[-2:])
        if frames.shape[1] != self.num_views:
            raise ValueError(f"expected {self.num_views} views, got {frames.shape[1]}")
        if not (frames.isfinite().all() and frames.min() >= 0 and frames.max() <= 1):
            raise ValueError("frames must hold values in [0, 1]")

    def _check_size(self, height: int, width: int) -> None:
        multiple = self.vae.spatial_compression_ratio * self.transformer.config.patch_size
        if height < multiple or width < multiple or height % multiple or width % multiple:
            raise ValueError(
                f"height and width must be multiples of {multiple}, got {height} and {width}"
            )
