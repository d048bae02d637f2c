"""The cache of recorded scenes: written by several, continued, checked, refused if stale."""

import json

import pytest
import torch
from recordings import film, write_colmap, write_nerfstudio, write_realestate10k
from safetensors.torch import load_file, save_file
from tiny import tiny_text_encoder, tiny_tokenizer, tiny_vae

from videorfsplat.__main__ import main
from videorfsplat.data.readers.captions import caption_line
from videorfsplat.data.readers.folders import find_scenes
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.geometry.rays import raymap_to_cameras
from videorfsplat.models.one_frame import decode_frames, denormalize_latents, encode_frames
from videorfsplat.training.joint_batches import CachedScenes, pad_texts
from videorfsplat.training.scene_cache import (
    MANIFEST_NAME,
    CachePlan,
    SceneCache,
    write_scene_cache,
)
from videorfsplat.training.step_data import StepRandomness

PLAN = CachePlan(ViewSampling(num_views=3, height=32, width=48), draws=2, scenes_per_shard=2)
NAMES = ["clips/train/a", "clips/train/b", "room", "vase"]
CAPTIONS = {name: [f"a house {i}", "the lake at night by the tree"] for i, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_realestate10k(film(), root / "clips", "a")
    write_realestate10k(film(), root / "clips", "b")
    write_nerfstudio(film(), root / "room")
    write_colmap(film(), root / "vase")
    return find_scenes(root)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    return tiny_vae(), tokenizer, tiny_text_encoder(len(tokenizer))


@pytest.fixture(scope="module")
def written(data, models, tmp_path_factory):
    """Not to be changed."""
    folder = tmp_path_factory.mktemp("cache")
    write_scene_cache(folder, data, CAPTIONS, PLAN, *models)
    return folder


def files_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_samples_hold_views_cameras_and_texts(written, models, data):
    vae, tokenizer, text_encoder = models
    cache = SceneCache(written, vae, verify=True)
    assert len(cache) == 8
    assert (cache.num_views, cache.latent_size, cache.skipped) == (3, (4, 6), [])
    sample = cache.sample(5)
    assert sample.scene == "room"
    assert sample.latents.shape == (3, 12, 4, 6)
    # The raymaps are those of cameras that start at the identity, at unit extent.
    found = raymap_to_cameras(sample.raymaps.double(), 48, 32).cameras
    torch.testing.assert_close(found.viewmats[0], torch.eye(4).double(), rtol=0, atol=1e-5)
    assert found.centers[1:].norm(dim=1).mean() == pytest.approx(1.0, abs=1e-4)
    # Token states are those of the encoder, without padding.
    assert sample.captions == CAPTIONS["room"]
    for caption, states in zip(sample.captions, sample.texts, strict=True):
        tokens = tokenizer(caption, return_tensors="pt")
        with torch.no_grad():
            expected = text_encoder(**tokens).last_hidden_state[0]
        torch.testing.assert_close(states.float(), expected, rtol=0.01, atol=0.01)  # bfloat16


def test_draws_of_a_scene_differ_and_views_are_their_frames(written, models, data):
    cache = SceneCache(written, models[0])
    records = [json.loads(p.read_bytes()) for p in sorted(written.glob("shard-*.json"))]
    frames = [s["frames"] for record in records for s in record["samples"]]
    assert any(frames[i] != frames[i + 1] for i in range(0, 8, 2))
    # Encoding the frames of a record again gives the latents of the sample.
    from videorfsplat.data.readers.views import fit_views

    sequence = data[2].read()
    pictures = [sequence.frames.read(i) for i in frames[4]]
    cameras = sequence.cameras[frames[4]]
    views, _ = fit_views(pictures, cameras, sequence.distortion[frames[4]], (32, 48))
    with torch.no_grad():
        means = encode_frames(models[0], views.float() / 127.5 - 1)[:, :12]
        expected = decode_frames(models[0], means)
        latents = cache.sample(4).latents.float()
        found = decode_frames(models[0], denormalize_latents(models[0], latents))
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)  # float16


def test_several_processes_write_the_same_cache(written, data, models, tmp_path):
    for index in (1, 0):
        write_scene_cache(
            tmp_path, data, CAPTIONS, PLAN, *models, process_index=index, num_processes=2
        )
    assert files_of(tmp_path) == files_of(written)


def test_what_is_finished_stays_and_the_rest_is_made(written, data, models, tmp_path):
    write_scene_cache(tmp_path, data, CAPTIONS, PLAN, *models, process_index=0, num_processes=2)
    with pytest.raises(ValueError, match="shard 2 of 2 is missing"):
        SceneCache(tmp_path, models[0])
    # Killed after the tensors and before the record.
    (tmp_path / "shard-000001.safetensors").write_bytes(b"torn")
    finished = (tmp_path / "shard-000000.safetensors").stat().st_mtime_ns
    write_scene_cache(tmp_path, data, CAPTIONS, PLAN, *models)
    assert (tmp_path / "shard-000000.safetensors").stat().st_mtime_ns == finished
    assert files_of(tmp_path) == files_of(written)


def test_broken_scenes_are_left_out_counted_and_named(data, models, tmp_path):
    captions = {name: texts for name, texts in CAPTIONS.items() if name != "vase"}
    root = tmp_path / "data"
    write_nerfstudio(film(), root / "room")
    write_colmap(film(), root / "torn")
    path = root / "torn/sparse/0/images.bin"
    path.write_bytes(path.read_bytes()[:-9])
    scenes = [*find_scenes(root), data[3]]
    write_scene_cache(tmp_path / "cache", scenes, captions | {"torn": ["a"]}, PLAN, *models)
    cache = SceneCache(tmp_path / "cache", models[0])
    assert len(cache) == 2
    assert [skip["scene"] for skip in cache.skipped] == ["torn", "vase"]
    assert "images.bin ends" in cache.skipped[0]["reason"]
    assert cache.skipped[1]["reason"] == "vase: no captions"


def test_a_strict_cache_is_not_begun_over_a_bad_frame(tmp_path, capsys):
    root = tmp_path / "data"
    write_nerfstudio(film(), root / "room")
    path = root / "room/images/frame_00003.png"
    path.write_bytes(path.read_bytes()[:200])
    (tmp_path / "c.jsonl").write_text(caption_line("room", ["a house"]))
    words = ["data", "cache", root, "--captions", tmp_path / "c.jsonl", "--strict"]
    words += ["--num-views", 3, "--height", 32, "--width", 48, "--output", tmp_path / "cache"]
    # Models that do not exist: nothing is loaded before the frames are read.
    words += ["--autoencoder", tmp_path / "none", "--text-encoder", tmp_path / "none"]
    assert main(list(map(str, words))) == 2
    assert "1 frames cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_stale_cache_is_refused(written, data, models, tmp_path):
    torch.manual_seed(1)
    other = tiny_vae()
    with pytest.raises(ValueError, match=r"manifest\.json: a stale cache"):
        SceneCache(written, other)
    write_scene_cache(tmp_path, data[:1], CAPTIONS, PLAN, *models)
    for scenes, captions, plan, vae, changed in (
        (data[:1], CAPTIONS, PLAN, other, "autoencoder"),
        (data[:2], CAPTIONS, PLAN, models[0], "num_scenes, scenes"),
        (data[:1], CAPTIONS | {NAMES[0]: ["b"]}, PLAN, models[0], "scenes"),
        (data[:1], CAPTIONS, CachePlan(PLAN.sampling, 1), models[0], "draws, scenes_per_shard"),
    ):
        with pytest.raises(ValueError, match=rf"other settings \({changed}\)"):
            write_scene_cache(tmp_path, scenes, captions, plan, vae, *models[1:])


def test_damage_is_found(data, models, tmp_path):
    write_scene_cache(tmp_path, data[:1], CAPTIONS, PLAN, *models)
    path = tmp_path / "shard-000000.safetensors"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(ValueError, match="checksum is not the recorded one"):
        SceneCache(tmp_path, models[0], verify=True)
    path.write_bytes(sound[:-7])
    with pytest.raises(ValueError, match=r"000000\.safetensors has \d+ bytes, expected \d+"):
        SceneCache(tmp_path, models[0])
    record = tmp_path / "shard-000000.json"
    for content in ("[]", "{}", '{"samples": 7}', "[" * 100_000, json.dumps({"samples": []})):
        record.write_text(content)
        with pytest.raises(ValueError, match=r"shard-000000\.json"):
            SceneCache(tmp_path, models[0])
    (tmp_path / MANIFEST_NAME).write_text("[]")
    with pytest.raises(ValueError, match=r"manifest\.json: expected a JSON object"):
        SceneCache(tmp_path, models[0])
    (tmp_path / MANIFEST_NAME).write_text('{"format": "x"}')
    with pytest.raises(ValueError, match="expected videorfsplat-cache version 1, got x None"):
        SceneCache(tmp_path, models[0])


def randomness() -> StepRandomness:
    return StepRandomness(torch.Generator().manual_seed(5), 0, 1)


def test_one_bad_sample_is_replaced_and_written_down(data, models, tmp_path):
    write_scene_cache(tmp_path / "cache", data[:2], CAPTIONS, PLAN, *models)
    path = tmp_path / "cache/shard-000000.safetensors"
    tensors = load_file(path)
    tensors["latents"][1, 0, 0, 0, 0] = float("nan")
    save_file(tensors, path)
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | {"bytes": path.stat().st_size}))
    scenes = CachedScenes(SceneCache(tmp_path / "cache", models[0]), tmp_path)
    batch = scenes.draw(randomness(), 16, 3, 0.0)
    assert batch.latents.isfinite().all()
    lines = [json.loads(x) for x in (tmp_path / "bad-samples.jsonl").read_text().splitlines()]
    assert {line["sample"] for line in lines} == {1}
    assert "clips/train/a has values that are not finite" in lines[0]["error"]


def test_batches_are_padded_shared_and_dropped_out(written, models, tmp_path):
    scenes = CachedScenes(SceneCache(written, models[0]), tmp_path)
    batch = scenes.draw(randomness(), 8, 2, 0.0)
    assert batch.latents.shape == (8, 12, 2, 4, 6)
    assert batch.raymaps.shape == (8, 6, 2, 4, 6)
    lengths = batch.text_mask.sum(1)
    assert lengths.max() == batch.texts.shape[1]
    assert lengths.unique().numel() > 1
    padding = batch.texts[batch.text_mask == 0]
    assert not padding.any()
    halves = [
        scenes.draw(StepRandomness(torch.Generator().manual_seed(5), i, 2), 8, 2, 0.0)
        for i in range(2)
    ]
    for i, half in enumerate(halves):
        assert torch.equal(half.latents, batch.latents[i::2])
    assert not scenes.draw(randomness(), 8, 2, 1.0).is_told.any()
    one = scenes.draw(randomness(), 8, 1, 0.0)
    # A single view is seen from itself: its raymap is that of the identity.
    first = one.raymaps[:, :, 0]
    assert torch.equal(first[:, 3:], torch.zeros_like(first[:, 3:]))
    embeds, mask = pad_texts([torch.ones(3, 2), torch.ones(1, 2)], 2)
    assert embeds.shape == (2, 2, 2)
    assert mask.tolist() == [[1, 1], [1, 0]]
