"""Put trained parts together into one pipeline folder."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from videorfsplat.models.gaussian_decoder import GaussianDecoder
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline


def assemble_pipeline(
    output: str,
    *,
    autoencoder: str,
    text_encoder: str,
    transformer: str,
    gaussian_decoder: str,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Save a pipeline made of exported parts.

    Args:
        output: folder to write, in diffusers' layout.
        autoencoder: folder of an `AutoencoderKLMochi`.
        text_encoder: folder with `tokenizer` and `text_encoder`.
        transformer: folder of a `VideoRFSplatTransformer3DModel`.
        gaussian_decoder: folder of a `GaussianDecoder`.
        dtype: of the stored weights.
    """
    text = Path(text_encoder)
    pipeline = VideoRFSplatPipeline(
        tokenizer=PreTrainedTokenizerFast.from_pretrained(text / "tokenizer"),
        text_encoder=T5EncoderModel.from_pretrained(text / "text_encoder"),
        vae=AutoencoderKLMochi.from_pretrained(autoencoder),
        transformer=VideoRFSplatTransformer3DModel.from_pretrained(transformer),
        gaussian_decoder=GaussianDecoder.from_pretrained(gaussian_decoder),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        pose_scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    )
    pipeline.to(dtype=dtype)
    pipeline.save_pretrained(output)
    return Path(output)
