"""Put trained parts together into one pipeline folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from safetensors.torch import load_file, save
from transformers import AutoTokenizer

from videorfsplat.formats.files import exporting, read_json_object, write_file
from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.prompt_reader import PromptReader
from videorfsplat.models.published import load_text_encoder
from videorfsplat.models.text_projection import fold_state, fold_text_projection
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.solvers import make_scheduler
from videorfsplat.training.flow_matching import TimeDistribution


def assemble_pipeline(
    output: Path,
    *,
    vae: Path,
    tokenizer: Path,
    text_encoder: Path,
    transformer: Path,
    gaussian_decoder: Path,
    shift: float | None = None,
    pose_shift: float | None = None,
    solver: str = "unipc",
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Save a pipeline made of exported parts.

    Args:
        output: folder to write, in diffusers' layout.
        vae: folder of an `AutoencoderKLMochi`.
        tokenizer: folder of the text encoder's tokenizer.
        text_encoder: folder of a transformers encoder: T5's, or one of BERT's kind.
        transformer: folder of a `VideoRFSplatTransformer3DModel`.
        gaussian_decoder: folder of a `GaussianDecoder`.
        shift: of the timetable's image times; `None` is that which the transformer was trained
            with, or of the default training times, if it does not say.
        pose_shift: of the timetable's pose times, likewise.
        solver: of both streams (`make_scheduler`).
        dtype: of the stored weights.
    """
    # Loaded as they are to be stored: at full size, float32 would take twice the memory.
    loaded: dict[str, Any] = {"torch_dtype": dtype}
    model = VideoRFSplatTransformer3DModel.from_pretrained(transformer, **loaded)
    default, pose_default = TimeDistribution().shifts(model.config["num_views"])
    trained = (shift, model.config["timetable_shift"], default)
    pose_trained = (pose_shift, model.config["timetable_pose_shift"], pose_default)
    pipeline = VideoRFSplatPipeline(
        tokenizer=AutoTokenizer.from_pretrained(tokenizer),
        text_encoder=load_text_encoder(text_encoder, dtype),
        vae=AutoencoderKLMochi.from_pretrained(vae, **loaded),
        transformer=model,
        gaussian_decoder=GaussianDecoder.from_pretrained(gaussian_decoder, **loaded),
        scheduler=make_scheduler(solver, _first_given(trained)),
        pose_scheduler=make_scheduler(solver, _first_given(pose_trained)),
    )
    # Libraries keep some layers in float32 when they load.
    pipeline.to(dtype=dtype)
    with exporting(output):
        pipeline.save_pretrained(output)
        for path in output.glob("*/config.json"):
            _drop_origin(path)
    return output


def _first_given(values: tuple[float | None, ...]) -> float:
    return next(value for value in values if value is not None)


def _drop_origin(path: Path) -> None:
    """Forget the folder that a part was loaded from, which is not there on other machines."""
    values = json.loads(path.read_bytes())
    values.pop("_name_or_path", None)
    path.write_text(json.dumps(values, indent=2) + "\n")


def add_prompt_reader(
    model: Path, text: Path, output: Path, filled: list[str] | None = None
) -> Path:
    """Save a model with a reader of prompts, which has a text encoder of its own.

    Args:
        model: folder of a pipeline.
        text: what `train text-encoder` exported: `tokenizer`, `text_encoder`, `prompt_reader`.
        output: folder to write.
        filled: as `PromptReader` takes it.

    Raises:
        OSError: if a part is missing, or `output` is there already.
    """
    shutil.copytree(model, output)
    parts = {"tokenizer": "reader_tokenizer", "text_encoder": "reader_encoder"}
    _save_text(text, output, parts | {"prompt_reader": "prompt_reader"}, filled)
    return output


def exchange_text_encoder(model: Path, text: Path, output: Path) -> Path:
    """Save a model with another text encoder, which was taught to give the old one's states.

    The map between the two goes into the transformer, and into the LoRA of a few-step variant.

    Args:
        model: folder of a pipeline.
        text: what `train text-encoder` exported with a teacher: `tokenizer`, `text_encoder`,
            `prompt_reader` and `text_projection.safetensors`.
        output: folder to write.

    Raises:
        ValueError: if the map does not fit the transformer.
        OSError: if a part is missing, or `output` is there already.
    """
    projection = load_file(text / "text_projection.safetensors")["weight"]
    shutil.copytree(model, output)
    transformer = VideoRFSplatTransformer3DModel.from_pretrained(
        model / "transformer", torch_dtype=torch.float32
    )
    with exporting(output):
        fold_text_projection(transformer, projection).half().save_pretrained(output / "transformer")
    names = ("tokenizer", "text_encoder", "prompt_reader")
    _save_text(text, output, dict(zip(names, names, strict=True)))
    lora = output / "few_step" / "pytorch_lora_weights.safetensors"
    if lora.exists():
        folded = fold_state(load_file(lora), projection, "transformer.")
        write_file(lora, save(folded, metadata={"format": "pt"}))
    return output


def _save_text(
    text: Path, output: Path, names: dict[str, str], filled: list[str] | None = None
) -> None:
    """Put what `train text-encoder` exported into a pipeline's folder, under these names."""
    for name in names.values():
        shutil.rmtree(output / name, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(text / "tokenizer")
    encoder = load_text_encoder(text / "text_encoder", torch.float16)
    reader = PromptReader.from_pretrained(text / "prompt_reader")
    reader.register_to_config(filled=filled)
    with exporting(output):
        tokenizer.save_pretrained(output / names["tokenizer"])
        encoder.save_pretrained(output / names["text_encoder"])
        reader.half().save_pretrained(output / names["prompt_reader"])
        for path in output.glob("*/config.json"):
            _drop_origin(path)
    index = read_json_object(output / "model_index.json")
    index[names["tokenizer"]] = ["transformers", type(tokenizer).__name__]
    index[names["text_encoder"]] = ["transformers", type(encoder).__name__]
    index[names["prompt_reader"]] = [PromptReader.__module__, PromptReader.__name__]
    text_of_index = json.dumps(dict(sorted(index.items())), indent=2)
    write_file(output / "model_index.json", f"{text_of_index}\n".encode())
