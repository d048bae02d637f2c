"""Text → views, cameras and Gaussians: the pipeline that follows a timetable."""

import collections
from collections.abc import Iterator, Sequence
from typing import Any

from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.loaders import Mochi1LoraLoaderMixin
from jaxtyping import Bool, Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.rays import RayFit
from videorfsplat.inference.callbacks import (
    CALLBACK_TENSORS,
    Callback,
    RunState,
    StepCallback,
    call_back,
)
from videorfsplat.inference.components import Generators, SceneComponents
from videorfsplat.inference.denoising import NUM_TRAIN_TIMESTEPS, Streams, predict_velocities
from videorfsplat.inference.given_cameras import check_cameras, fit_cameras
from videorfsplat.inference.text import (
    TextCondition,
    batch_size,
    check_prompts,
    check_text,
    check_text_encoder,
)
from videorfsplat.models.lora_names import fit_lora
from videorfsplat.pipeline_output import DenoisingStep, VideoRFSplatPipelineOutput
from videorfsplat.sampling import schedules
from videorfsplat.sampling.guidance import plan_branches
from videorfsplat.sampling.schedules import Timetable
from videorfsplat.sampling.settings import GuidanceScales, Sampling
from videorfsplat.sampling.solvers import FlowSolver, scheduler_shift

OUTPUT_TYPES = ("scene", "pt", "np", "pil", "latent")


class VideoRFSplatPipeline(RunState, SceneComponents, Mochi1LoraLoaderMixin):
    """A sentence becomes views, their cameras and a 3D Gaussian scene.

    The components that it is made of are described at `SceneComponents`.
    """

    _callback_tensor_inputs = CALLBACK_TENSORS

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

    def check_inputs(
        self,
        prompt: str | list[str] | None,
        negative_prompt: str | list[str] | None,
        height: int,
        width: int,
        cameras: Cameras | list[Cameras] | None,
        camera_unit: float | None,
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
        check_text(prompt, negative_prompt, text, length or limit)
        negatives = [negative_prompt] if isinstance(negative_prompt, str) else negative_prompt or []
        if prompt is not None or any(text.strip() for text in negatives):
            check_text_encoder(self.tokenizer, self.text_encoder)
        if num_scenes_per_prompt < 1:
            raise ValueError(
                f"num_scenes_per_prompt must be at least 1, got {num_scenes_per_prompt}"
            )
        num_prompts = batch_size(prompt, text[0])
        check_cameras(cameras, camera_unit, num_prompts)
        num_scenes = num_prompts * num_scenes_per_prompt
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
            camera_unit,
            num_scenes_per_prompt,
            generator,
            text_tensors,
            output_type,
            callback_on_step_end_tensor_inputs,
            max_sequence_length,
        )
        scales = GuidanceScales(guidance_scale, pose_guidance_scale, camera_guidance_scale)
        table = timetable or self.make_timetable(
            num_inference_steps, pose_offset, given_cameras=cameras is not None
        )
        schedules.check_start(table, given_cameras=cameras is not None)
        solvers = self._make_solvers(table)

        # 2. Prepare the two streams
        num_scenes = batch_size(prompt, prompt_embeds) * num_scenes_per_prompt
        latents = self.prepare_latents(num_scenes, height, width, generator, latents)
        pose_noise = self.prepare_pose_latents(num_scenes, height, width, generator, pose_latents)
        scene_cameras, units, pose_latents = None, [1.0] * num_scenes, pose_noise
        if cameras is not None:
            scene_cameras, units = fit_cameras(
                cameras, camera_unit, num_scenes, self.num_views, (height, width)
            )
            pose_latents = self.encode_cameras(scene_cameras, height, width)

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
        self._check_views(frames)
        num_scenes, _, _, height, width = frames.shape
        prompts = [prompt or ""] * num_scenes if not isinstance(prompt, list) else prompt
        if len(prompts) != num_scenes:
            raise ValueError(f"expected {num_scenes} prompts, got {len(prompts)}")
        check_prompts("prompt", prompts)
        scales = GuidanceScales(pose_guidance_scale=pose_guidance_scale)
        table = schedules.given_images_timetable(
            num_inference_steps,
            base=self.config["base_schedule"],
            shift=scheduler_shift(self.pose_scheduler),
        )
        solvers = self._make_solvers(table)
        noise = self.prepare_pose_latents(num_scenes, height, width, generator, pose_latents)
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
                velocity, pose_velocity = predict_velocities(
                    self.transformer,
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
                    text, scales = call_back(self, callback, state, text, scales)
                    shown_text = text.without_padding()
                progress_bar.update()
                yield state
                latents, pose_latents = state.latents, state.pose_latents

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
