"""Latents and text embeddings of recorded scenes, computed once: in shards, resumable, checked.

A cache is a folder with `manifest.json`, which says what it was made of, and pairs of
`shard-<number>.safetensors` and `.json`. The second of a pair is written last: with it, a shard is
finished.
"""

import hashlib
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLMochi
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5EncoderModel

from videorfsplat.data.readers.folders import SceneSource
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.data.readers.views import SceneSample, draw_sample
from videorfsplat.formats.files import json_object, read_json_object, reading, write_file
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.rays import cameras_to_raymap
from videorfsplat.models.fingerprint import weights_hash
from videorfsplat.models.one_frame import encode_normalized
from videorfsplat.models.published import component_folder, text_folder
from videorfsplat.training.latent_cache import autoencoder_hash

logger = logging.getLogger(__name__)

MANIFEST_NAME = "manifest.json"
FORMAT = "videorfsplat-cache"
VERSION = 1
# Mochi's limit, for any text encoder.
MAX_TOKENS = 256
"""Mochi's limit of a caption."""


@dataclass(frozen=True)
class CachePlan:
    """What a cache is to hold.

    Raises:
        ValueError: if a count is below 1 or the seed is negative.
    """

    sampling: ViewSampling
    draws: int = 1
    """Samples of each scene, with views of their own."""
    seed: int = 0
    scenes_per_shard: int = 64

    def __post_init__(self) -> None:
        if min(self.draws, self.scenes_per_shard) < 1 or self.seed < 0:
            raise ValueError(
                "draws and scenes_per_shard must be at least 1 and seed at least 0, "
                f"got {self.draws}, {self.scenes_per_shard} and {self.seed}"
            )


def write_scene_cache(
    folder: str | Path,
    scenes: list[SceneSource],
    captions: dict[str, list[str]],
    plan: CachePlan,
    vae: AutoencoderKLMochi,
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: T5EncoderModel,
    *,
    process_index: int = 0,
    num_processes: int = 1,
) -> None:
    """Write this process's shards of a cache; finished ones are left alone.

    A scene that cannot be used is left out; the shard's file and the log name it and the reason.

    Args:
        folder: of the cache.
        scenes: to encode.
        captions: by scene.
        plan: what to sample.
        vae: encodes frames, on its own device.
        tokenizer: of the text encoder.
        text_encoder: encodes captions, on its own device.
        process_index: of this process.
        num_processes: that write the cache together.

    Raises:
        ValueError: if the folder holds a cache of something else.
    """
    folder = Path(folder)
    manifest = _manifest(scenes, captions, plan, vae, text_encoder)
    _claim_folder(folder, manifest)
    for number in range(process_index, manifest["shards"], num_processes):
        if not _shard(folder, number, "json").exists():
            first = number * plan.scenes_per_shard
            part = scenes[first : first + plan.scenes_per_shard]
            writer = _ShardWriter(captions, plan, vae, tokenizer, text_encoder)
            for place, scene in enumerate(part, first):
                writer.add(scene, place)
            writer.finish(folder, number)
            logger.info("shard %d of %d", number + 1, manifest["shards"])


def load_encoders(
    autoencoder: str, text_encoder: str, device: torch.device
) -> tuple[AutoencoderKLMochi, PreTrainedTokenizerBase, T5EncoderModel]:
    """Autoencoder, tokenizer and text encoder, from folders or hub ids.

    The text encoder is in bfloat16 but on a CPU, which is slow at it.

    Raises:
        ValueError: naming what cannot be found.
    """
    vae: Any = AutoencoderKLMochi.from_pretrained(
        component_folder(autoencoder, "vae"), torch_dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(text_folder(text_encoder, "tokenizer"))
    encoder: Any = T5EncoderModel.from_pretrained(
        text_folder(text_encoder, "text_encoder"),
        dtype=torch.float32 if device.type == "cpu" else torch.bfloat16,
    )
    return vae.eval().to(device), tokenizer, encoder.eval().to(device)


def _manifest(
    scenes: list[SceneSource],
    captions: dict[str, list[str]],
    plan: CachePlan,
    vae: AutoencoderKLMochi,
    text_encoder: T5EncoderModel,
) -> dict[str, Any]:
    listed = [[scene.name, captions.get(scene.name)] for scene in scenes]
    return {
        "format": FORMAT,
        "version": VERSION,
        "autoencoder": autoencoder_hash(vae),
        "text_encoder": weights_hash(text_encoder),
        "scenes": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
        "num_scenes": len(scenes),
        "shards": math.ceil(len(scenes) / plan.scenes_per_shard),
        **asdict(plan),
    }


def _claim_folder(folder: Path, manifest: dict[str, Any]) -> None:
    path = folder / MANIFEST_NAME
    if path.exists():
        found = read_manifest(folder)
        changed = sorted(k for k in manifest if found.get(k) != manifest[k])
        if changed:
            raise ValueError(
                f"{path}: this cache was made with other settings ({', '.join(changed)}); "
                "choose another folder"
            )
    # Every process writes the same bytes.
    write_file(path, json.dumps(manifest, indent=2).encode())


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """What a cache was made of.

    Raises:
        ValueError: naming the file, if it is missing or of another format or version.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        manifest = read_json_object(path)
    except OSError as error:
        raise ValueError(f"{path}: no cache ({error})") from error
    kind = (manifest.get("format"), manifest.get("version"))
    if kind != (FORMAT, VERSION):
        raise ValueError(f"{path}: expected {FORMAT} version {VERSION}, got {kind[0]} {kind[1]}")
    return manifest


def _shard(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"shard-{number:06d}.{suffix}"


class _ShardWriter:
    """Collects the samples of one shard."""

    def __init__(
        self,
        captions: dict[str, list[str]],
        plan: CachePlan,
        vae: AutoencoderKLMochi,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: T5EncoderModel,
    ) -> None:
        self.captions, self.plan, self.vae = captions, plan, vae
        self.tokenizer, self.text_encoder = tokenizer, text_encoder
        self.samples: list[dict[str, Any]] = []
        self.skipped: list[dict[str, str]] = []
        self.said: list[str] = []
        self.tensors: dict[str, list[Tensor]] = {
            name: [] for name in ("latents", "viewmats", "Ks", "texts")
        }

    def add(self, scene: SceneSource, place: int) -> None:
        """Encode a scene, or note why not; `place` among all scenes fixes its views."""
        try:
            if scene.name not in self.captions:
                raise ValueError(f"{scene.name}: no captions")
            sequence = scene.read()
            samples = [
                draw_sample(
                    sequence, self.plan.sampling, np.random.default_rng([self.plan.seed, place, i])
                )
                for i in range(self.plan.draws)
            ]
            latents = [self._encode(sample) for sample in samples]
            texts = [self._embed(text) for text in self.captions[scene.name]]
        except ValueError as error:
            logger.warning("skipped: %s", error)
            self.skipped.append({"scene": scene.name, "reason": str(error)})
            return
        first = len(self.tensors["texts"])
        self.tensors["texts"] += texts
        self.said += self.captions[scene.name]
        for sample, encoded in zip(samples, latents, strict=True):
            self.tensors["latents"].append(encoded)
            self.tensors["viewmats"].append(sample.cameras.viewmats)
            self.tensors["Ks"].append(sample.cameras.Ks)
            self.samples.append(
                {
                    "scene": scene.name,
                    "frames": sample.indices,
                    "unit": sample.unit,
                    "captions": [first, first + len(texts)],
                }
            )

    def finish(self, folder: Path, number: int) -> None:
        """Write both files of the shard."""
        lengths = [len(text) for text in self.tensors["texts"]]
        content = {
            name: torch.cat(parts) if name == "texts" else torch.stack(parts)
            for name, parts in self.tensors.items()
            if parts
        }
        data = save({name: tensor.contiguous() for name, tensor in content.items()})
        write_file(_shard(folder, number, "safetensors"), data)
        record = {
            "samples": self.samples,
            "caption_ends": np.cumsum(lengths, dtype=int).tolist(),
            "captions": self.said,
            "skipped": self.skipped,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        write_file(_shard(folder, number, "json"), json.dumps(record).encode())

    @torch.no_grad()
    def _encode(self, sample: SceneSample) -> Float[Tensor, "v c h w"]:
        frames = sample.frames.to(self.vae.device).float() / 127.5 - 1
        latents = encode_normalized(self.vae, frames.to(self.vae.dtype)).half().cpu()
        if not latents.isfinite().all():
            raise ValueError(f"{sample.name}: its latents are not finite")
        return latents

    @torch.no_grad()
    def _embed(self, caption: str) -> Float[Tensor, "l d"]:
        """States of the tokens of a caption, without padding."""
        longest = min(self.tokenizer.model_max_length, MAX_TOKENS)
        tokens = self.tokenizer(
            caption, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.text_encoder.device)
        states = self.text_encoder(tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return states.last_hidden_state[0].bfloat16().cpu()


_RECORD_TYPES = {
    "samples": list,
    "caption_ends": list,
    "captions": list,
    "skipped": list,
    "bytes": int,
    "sha256": str,
}


@dataclass(frozen=True)
class CachedSample:
    """One training sample."""

    scene: str
    latents: Float[Tensor, "v c h w"]
    """Normalised."""
    raymaps: Float[Tensor, "v 6 h w"]
    captions: list[str]
    texts: list[Float[Tensor, "_ d"]]
    """Token states of every caption."""


class SceneCache:
    """Reads what `write_scene_cache` wrote; shards are opened when they are first needed.

    Args:
        folder: of the cache.
        vae: the autoencoder that the latents must be of.
        verify: compare every shard with its checksum, which reads the whole cache.

    Raises:
        ValueError: if the cache is of another autoencoder, unfinished, empty or damaged.
    """

    def __init__(
        self, folder: str | Path, vae: AutoencoderKLMochi, *, verify: bool = False
    ) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(folder)
        if self.manifest["autoencoder"] != autoencoder_hash(vae):
            raise ValueError(
                f"{self.folder / MANIFEST_NAME}: a stale cache, its latents are of another "
                "autoencoder; encode the data anew into another folder"
            )
        self._records = [self._record(i) for i in range(self.manifest["shards"])]
        if verify:
            for number, record in enumerate(self._records):
                self._verify(number, record)
        self._rows = [
            (number, row)
            for number, record in enumerate(self._records)
            for row in range(len(record["samples"]))
        ]
        if not self._rows:
            reasons = "; ".join(skip["reason"] for skip in self.skipped[:3])
            raise ValueError(f"{self.folder}: a cache without samples ({reasons})")

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Scenes that were left out: `scene` and `reason`."""
        return [skip for record in self._records for skip in record["skipped"]]

    @property
    def num_views(self) -> int:
        """V, views a sample."""
        return self.manifest["sampling"]["num_views"]

    @cached_property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        height, width = self._shape("latents")[-2:]
        return height, width

    @cached_property
    def text_width(self) -> int:
        """Length of a token's state."""
        return self._shape("texts")[-1]

    def _shape(self, name: str) -> list[int]:
        """Shape of a tensor in the first shard that has samples."""
        path = _shard(self.folder, self._rows[0][0], "safetensors")
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_slice(name).get_shape()
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error

    def sample(self, index: int) -> CachedSample:
        """One sample.

        Raises:
            ValueError: naming the shard, if it is damaged, or the scene, if a value is not finite.
        """
        number, row = self._rows[index]
        path, record = _shard(self.folder, number, "safetensors"), self._records[number]
        about = record["samples"][row]
        try:
            with safe_open(path, framework="pt") as file:
                parts = [file.get_slice(name)[row] for name in ("latents", "viewmats", "Ks")]
                texts = [file.get_slice("texts")[a:b] for a, b in _captions(record, about)]
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        latents, viewmats, Ks = parts
        if not all(tensor.isfinite().all() for tensor in (*parts, *texts)):
            raise ValueError(f"{path}: {about['scene']} has values that are not finite")
        sampling = self.manifest["sampling"]
        cameras = Cameras(viewmats, Ks, sampling["width"], sampling["height"])
        raymaps = cameras_to_raymap(cameras, *latents.shape[-2:])
        captions = record["captions"][slice(*about["captions"])]
        return CachedSample(about["scene"], latents, raymaps, captions, texts)

    def _record(self, number: int) -> dict[str, Any]:
        path = _shard(self.folder, number, "json")
        try:
            with reading(path):
                record = json_object(path.read_bytes())
                for key, kind in _RECORD_TYPES.items():
                    if not isinstance(record[key], kind):
                        raise ValueError(f"{key} is {record[key]!r:.40}")
            size = _shard(self.folder, number, "safetensors").stat().st_size
        except FileNotFoundError as error:
            raise ValueError(
                f"{self.folder}: shard {number + 1} of {self.manifest['shards']} is missing "
                f"({path.stem}); finish the cache first"
            ) from error
        if size != record["bytes"]:
            raise ValueError(
                f"{path.with_suffix('.safetensors')} has {size} bytes, expected {record['bytes']}"
            )
        return record

    def _verify(self, number: int, record: dict[str, Any]) -> None:
        path = _shard(self.folder, number, "safetensors")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != record["sha256"]:
            raise ValueError(f"{path} is damaged: its checksum is not the recorded one")


def _captions(record: dict[str, Any], sample: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """First and last row of each caption of a sample."""
    ends = record["caption_ends"]
    for caption in range(*sample["captions"]):
        yield ends[caption - 1] if caption else 0, ends[caption]
