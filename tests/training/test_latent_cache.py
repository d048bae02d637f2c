"""The latent cache belongs to one autoencoder and one list of scenes, and grows with the data."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_vae
from torch.nn import functional as F

from videorfsplat.geometry.rays import raymap_to_cameras
from videorfsplat.models.one_frame import encode_frames, normalize_latents
from videorfsplat.training import latent_cache
from videorfsplat.training.latent_cache import LatentCache, autoencoder_hash


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    vae = tiny_vae()
    vae.register_to_config(latents_mean=[0.1] * 12, latents_std=[0.5] * 12)
    return vae


@pytest.fixture
def shards(worlds_folder):
    """Names of the first and of the second shard, two scenes each."""
    return sorted(path.stem for path in Path(worlds_folder).glob("worlds-*.safetensors"))[:2]


def copy_shard(worlds_folder, stem, target):
    for suffix in (".safetensors", ".jsonl"):
        shutil.copy(Path(worlds_folder, stem + suffix), target)


@pytest.fixture
def encoded(monkeypatch):
    """Counts the scenes that are encoded."""
    calls = []
    real = latent_cache.encode_normalized

    def counting(vae, frames):
        calls.append(len(frames))
        return real(vae, frames)

    monkeypatch.setattr(latent_cache, "encode_normalized", counting)
    return calls


def test_holds_normalised_latents_and_raymaps(worlds_folder, shards, vae, tmp_path):
    copy_shard(worlds_folder, shards[0], tmp_path)
    cache = LatentCache(str(tmp_path), vae, 16)
    assert len(cache) == 2
    assert cache.latents.shape == (2, 3, 12, 2, 2)
    assert cache.raymaps.shape == (2, 3, 6, 2, 2)
    frames = cache.dataset.frames(1).float() / 127.5 - 1
    frames = F.interpolate(frames, (16, 16), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = normalize_latents(vae, encode_frames(vae, frames)[:, :12])
    # The encoder ran in bfloat16, of 8 bits.
    torch.testing.assert_close(cache.latents[1].float(), expected, rtol=0.1, atol=0.1)
    cameras = cache.dataset.cameras(1)
    found = raymap_to_cameras(cache.raymaps[1].double(), cameras.width, cameras.height)
    # Raymaps in float16, of 11 bits.
    torch.testing.assert_close(found.cameras.viewmats.float(), cameras.viewmats, rtol=0, atol=2e-2)


def test_a_second_use_encodes_nothing(worlds_folder, shards, vae, tmp_path, encoded):
    copy_shard(worlds_folder, shards[0], tmp_path)
    first = LatentCache(str(tmp_path), vae, 32)
    assert encoded == [3, 3]
    second = LatentCache(str(tmp_path), vae, 32)
    assert encoded == [3, 3]
    assert torch.equal(first.latents, second.latents)
    assert not list(tmp_path.glob("*.partial"))


def test_of_several_processes_one_encodes(
    worlds_folder, shards, vae, tmp_path, encoded, monkeypatch
):
    copy_shard(worlds_folder, shards[0], tmp_path)
    firsts, processes = [], latent_cache.processes

    @contextmanager
    def main_process_first() -> Iterator[None]:
        """As another process than the main one meets it."""
        with monkeypatch.context() as main_process:
            main_process.setattr(latent_cache, "processes", processes)
            firsts.append(LatentCache(str(tmp_path), vae, 32))
        yield

    other = SimpleNamespace(main_process_first=main_process_first)
    monkeypatch.setattr(latent_cache, "processes", lambda: other)
    cache = LatentCache(str(tmp_path), vae, 32)
    assert encoded == [3, 3]
    assert torch.equal(cache.latents, firsts[0].latents)


def test_growth_encodes_only_what_is_new(worlds_folder, shards, vae, tmp_path, encoded):
    copy_shard(worlds_folder, shards[0], tmp_path)
    before = LatentCache(str(tmp_path), vae, 32)
    copy_shard(worlds_folder, shards[1], tmp_path)
    grown = LatentCache(str(tmp_path), vae, 32)
    assert encoded == [3] * 4
    assert torch.equal(grown.latents[:2], before.latents)
    on_disk = load_file(tmp_path / "latents-32.safetensors")
    assert torch.equal(on_disk["latents"], grown.latents)
    assert torch.equal(on_disk["raymaps"], grown.raymaps)


def test_refuses_latents_of_another_autoencoder(worlds_folder, shards, vae, tmp_path):
    copy_shard(worlds_folder, shards[0], tmp_path)
    LatentCache(str(tmp_path), vae, 32)
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="another autoencoder"):
        LatentCache(str(tmp_path), tiny_vae(), 32)


def test_names_latents_that_are_cut(worlds_folder, shards, vae, tmp_path):
    copy_shard(worlds_folder, shards[0], tmp_path)
    path = tmp_path / "latents-32.safetensors"
    for content in (b"", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"latents-32\.safetensors"):
            LatentCache(str(tmp_path), vae, 32)


def test_refuses_latents_of_other_scenes(worlds_folder, shards, vae, tmp_path):
    copy_shard(worlds_folder, shards[1], tmp_path)
    LatentCache(str(tmp_path), vae, 32)
    # Scenes put in front would shift the captions against the latents.
    copy_shard(worlds_folder, shards[0], tmp_path)
    with pytest.raises(ValueError, match="other scenes"):
        LatentCache(str(tmp_path), vae, 32)


def test_refuses_latents_of_scenes_that_are_gone(worlds_folder, shards, vae, tmp_path):
    for stem in shards:
        copy_shard(worlds_folder, stem, tmp_path)
    LatentCache(str(tmp_path), vae, 32)
    for path in tmp_path.glob(f"{shards[1]}*"):
        path.unlink()
    with pytest.raises(ValueError, match="other scenes"):
        LatentCache(str(tmp_path), vae, 32)


def test_the_fingerprint_sees_weights_and_statistics():
    torch.manual_seed(0)
    vae = tiny_vae()
    first = autoencoder_hash(vae)
    vae.register_to_config(latents_mean=[0.5] * 12)
    second = autoencoder_hash(vae)
    with torch.no_grad():
        vae.encoder.proj_out.weight[0, 0] += 1e-3
    assert len({first, second, autoencoder_hash(vae)}) == 3
