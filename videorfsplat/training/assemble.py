"""Put trained parts together into one pipeline folder."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLMochi
from transformers import AutoTokenizer, T5EncoderModel

from videorfsplat.formats.files import share
from videorfsplat.models.gaussian_decoder import GaussianDecoder
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
        text_encoder: folder of a `T5EncoderModel`.
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
        text_encoder=T5EncoderModel.from_pretrained(text_encoder, dtype=dtype),
        vae=AutoencoderKLMochi.from_pretrained(vae, **loaded),
        transformer=model,
        gaussian_decoder=GaussianDecoder.from_pretrained(gaussian_decoder, **loaded),
        scheduler=make_scheduler(solver, _first_given(trained)),
        pose_scheduler=make_scheduler(solver, _first_given(pose_trained)),
    )
    # Libraries keep some layers in float32 when they load.
    pipeline.to(dtype=dtype)
    pipeline.save_pretrained(output)
    share(output)
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
