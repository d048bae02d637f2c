"""Latents of a data set, computed once the autoencoder stands."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLMochi
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.formats.files import reading, write_tensors
from videorfsplat.geometry.rays import cameras_to_raymap
from videorfsplat.models.fingerprint import weights_hash
from videorfsplat.models.one_frame import encode_normalized
from videorfsplat.training.precision import low_precision
from videorfsplat.training.run import processes


def autoencoder_hash(vae: AutoencoderKLMochi) -> str:
    """Fingerprint of the encoder's weights and the latent statistics."""
    statistics = {k: vae.config[k] for k in ("latents_mean", "latents_std", "scaling_factor")}
    return weights_hash(vae.encoder, json.dumps(statistics, default=list))


class LatentCache:
    """Normalised latents [n,V,12,h,w] and raymaps [n,V,6,h,w] of a data set, in memory.

    Written to `latents-<size>.safetensors` beside the data at first use, in float16; more scenes
    are encoded when the data set has grown. Of several processes the first one encodes.

    Args:
        folder: of the data set.
        vae: the autoencoder; the cache belongs to its weights.
        size: frames are resized to this many pixels a side before encoding.

    Raises:
        ValueError: if the cache was made by another autoencoder, or of other scenes.
    """

    def __init__(self, folder: str, vae: AutoencoderKLMochi, size: int) -> None:
        self.dataset = WorldsDataset(folder)
        with processes().main_process_first():
            cached = _read_or_encode(self.dataset, vae, size)
        self.latents: Float[Tensor, "n v c h w"] = cached["latents"]
        self.raymaps: Float[Tensor, "n v 6 h w"] = cached["raymaps"]

    def __len__(self) -> int:
        return len(self.latents)


def _read_or_encode(
    dataset: WorldsDataset, vae: AutoencoderKLMochi, size: int
) -> dict[str, Tensor]:
    """Latents and raymaps of all scenes; the file beside the data has them afterwards."""
    path = dataset.folder / f"latents-{size}.safetensors"
    fingerprint = autoencoder_hash(vae)
    cached = _read(path, fingerprint)
    start = len(cached["latents"]) if cached else 0
    if cached:
        _check_scenes(path, cached["raymaps"], dataset)
    if start < len(dataset):
        added = _encode(dataset, vae, size, start)
        cached = {k: torch.cat([cached[k], added[k]]) for k in added} if cached else added
        write_tensors(path, cached, {"autoencoder": fingerprint})
    return cached


def _read(path: Path, fingerprint: str) -> dict[str, Tensor]:
    if not path.exists():
        return {}
    with reading(path), safe_open(path, framework="pt") as file:
        made_by = (file.metadata() or {}).get("autoencoder")
    if made_by != fingerprint:
        raise ValueError(f"{path} holds latents of another autoencoder; delete it to encode anew")
    with reading(path):
        cached = load_file(path)
        if len(cached["latents"]) != len(cached["raymaps"]):
            raise ValueError("latents and raymaps of different numbers; delete it to encode anew")
    return cached


def _check_scenes(path: Path, raymaps: Float[Tensor, "n v 6 h w"], dataset: WorldsDataset) -> None:
    """The last cached scene still has its place: none was put before it or taken away."""
    last = len(raymaps) - 1
    if last < len(dataset):
        cameras = dataset.cameras(last)
        expected = cameras_to_raymap(cameras, *raymaps.shape[-2:]).half()
        if expected.shape == raymaps[last].shape and torch.equal(expected, raymaps[last]):
            return
    raise ValueError(f"{path} holds latents of other scenes; delete it to encode anew")


@torch.no_grad()
def _encode(
    dataset: WorldsDataset, vae: AutoencoderKLMochi, size: int, start: int
) -> dict[str, Tensor]:
    factor = vae.spatial_compression_ratio
    latents, raymaps = [], []
    for index in range(start, len(dataset)):
        frames = dataset.frames(index).to(vae.device).float() / 127.5 - 1
        if frames.shape[-1] != size:
            frames = F.interpolate(frames, (size, size), mode="bilinear", antialias=True)
        frames = frames.contiguous(memory_format=torch.channels_last)
        with low_precision(vae.device):
            latents.append(encode_normalized(vae, frames).half().cpu())
        cameras = dataset.cameras(index)
        raymaps.append(cameras_to_raymap(cameras, size // factor, size // factor).half())
    return {"latents": torch.stack(latents), "raymaps": torch.stack(raymaps).contiguous()}
