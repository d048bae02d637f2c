"""From the name of a model to a pipeline on its device."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from videorfsplat.generation.checkpoint import few_step_folder, find_model
from videorfsplat.generation.memory import MemorySettings
from videorfsplat.models.configurations import check_saved_pipeline, load_tokenizers
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline

# What libraries raise for weights that are damaged or do not fit. All other files are checked
# before, so that a `TypeError` or a `KeyError` is a fault in a program, and shows itself.
LOADING_ERRORS = (OSError, ValueError, RuntimeError, SafetensorError)


def load_pipeline(
    model: str = "mini",
    device: str = "auto",
    memory: MemorySettings | None = None,
    lora: str | None = None,
    *,
    few_step: bool = False,
) -> VideoRFSplatPipeline:
    """Load a saved pipeline, in float32 unless told otherwise.

    Args:
        model: `mini`, a folder, or a hub id.
        device: torch's name of it; "auto" is CUDA if there is one, else the CPU.
        memory: how weights are kept.
        lora: folder or hub id of LoRA weights for the image stream.
        few_step: load the model's few-step variant, for the sampling of `few_step_sampling(model)`.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: naming the model, if it is damaged or brings no such variant, or the device, if
            it cannot be used.
    """
    source = find_model(model)
    if few_step and lora is not None:
        raise ValueError(
            "a few-step variant belongs to the model as it is: leave out few_step or lora"
        )
    variant = few_step_folder(model) if few_step else None
    target = choose_device(device)
    memory = memory or MemorySettings()
    if memory.offload == "model" and target.type == "cpu":
        raise ValueError("offload model moves parts to an accelerator, but the device is the CPU")
    tokenizers = {}
    if isinstance(source, Path):
        check_saved_pipeline(source)
        tokenizers = load_tokenizers(source)
    try:
        pipeline = VideoRFSplatPipeline.from_pretrained(
            source, dtype=getattr(torch, memory.dtype), **tokenizers
        )
        if lora is not None:
            pipeline.load_lora_weights(lora, use_safetensors=True)
        if variant is not None:
            _become_few_step(pipeline, variant)
    except LOADING_ERRORS as error:
        raise _cannot_load(f"the model {model}", error) from error
    return arrange(pipeline, target, memory)


def few_step_pipeline(pipeline: VideoRFSplatPipeline, model: str) -> VideoRFSplatPipeline:
    """The few-step variant of a loaded model, beside it: they share all but the transformer.

    Args:
        pipeline: as `load_pipeline` gave it; stays as it is.
        model: its name.

    Raises:
        ValueError: if the model brings no few-step variant, or one that is damaged.
    """
    folder = few_step_folder(model)
    # Without what may hang on the other one, such as hooks.
    transformer = type(pipeline.transformer).from_config(pipeline.transformer.config)
    transformer.load_state_dict(pipeline.transformer.state_dict())
    transformer.to(pipeline.transformer.device, pipeline.transformer.dtype).eval()
    parts = pipeline.components | {"transformer": transformer}
    variant = VideoRFSplatPipeline(**parts, base_schedule=pipeline.config["base_schedule"])
    try:
        _become_few_step(variant, folder)
    except LOADING_ERRORS as error:
        raise _cannot_load(str(folder), error) from error
    # Set by `set_progress_bar_config`, if that was called.
    variant.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return variant


def _become_few_step(pipeline: VideoRFSplatPipeline, folder: Path) -> None:
    # Named: older versions of diffusers do not look for it where the hub is out of reach.
    pipeline.load_lora_weights(
        str(folder), weight_name="pytorch_lora_weights.safetensors", use_safetensors=True
    )
    pipeline.fuse_lora(components=["transformer"])
    pipeline.unload_lora_weights()
    pipeline.set_solver("euler")


def _cannot_load(what: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"cannot load {what}: {reason}")


def arrange(
    pipeline: VideoRFSplatPipeline, device: torch.device, memory: MemorySettings
) -> VideoRFSplatPipeline:
    """The pipeline on a device, its weights kept as asked for."""
    if memory.fp8:
        pipeline.transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, memory.dtype)
        )
    if memory.compile:
        pipeline.transformer.compile_blocks()
    if memory.tiling:
        pipeline.vae.enable_slicing()
        pipeline.vae.enable_tiling()
    if memory.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
        return pipeline
    if memory.offload == "group":
        pipeline.enable_group_offload(
            onload_device=device,
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
        )
        return pipeline
    return pipeline.to(device)


def choose_device(device: str) -> torch.device:
    """torch's device by name; `auto` is CUDA if there is one, else the CPU.

    Raises:
        ValueError: if there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but torch sees no CUDA device")
    return chosen
